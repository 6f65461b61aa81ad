"""Routes of finished runs: what they got wrong, why, how two differ, and which labels are in doubt."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError, SettingsError
from edge_studio.api.job_routes import REPORT_POLICY
from edge_studio.api.json_routes import Fields, error_response, reading, writing
from edge_studio.api.photo_routes import WINDOW, number_of
from edge_studio.jobs.export_list import finished_run, finished_runs
from edge_studio.project import Project
from edge_studio.review.label_doubts import CheckedLabels, find_doubts
from edge_studio.review.run_comparison import OUTCOMES, RunComparison, compare_runs
from edge_studio.review.run_review import ReviewedPhoto, RunReview, review_run, sha256_of
from edge_studio.studio import Studio, StudioPart

PICTURES: Final = ("curves.png", "learning_curve.png", "reliability.png")
"""Plots of a run that its page shows."""

DOUBTS: Final = 500
"""Doubts in one answer, at most."""


def review_part(studio: Studio) -> StudioPart:
    """Reviews of runs, heatmaps, and the queue of labels in doubt."""

    def project_of(request: Request) -> Project:
        return studio.project(request.path_params["project"])

    def review(project: Project, name: str) -> RunReview:
        return review_run(project, finished_run(project, name), studio.photo_store(project).index().photos)

    def checked(project: Project) -> CheckedLabels:
        return CheckedLabels(studio.state / "checked" / f"{project.name}.jsonl")

    def listed(request: Request) -> JsonObject:
        project = project_of(request)
        return {"runs": [run_summary(project, name) for name in finished_runs(project)]}

    def one_run(request: Request) -> JsonObject:
        found = review(project_of(request), request.path_params["run"])
        query = request.query_params
        if query.get("only") == "mistakes":
            photos = found.mistakes()
        else:
            photos = found.cell(query.get("label", ""), query.get("predicted", ""))
        return review_json(found, photos, request)

    def compare(request: Request) -> JsonObject:
        project, query = project_of(request), request.query_params
        found = compare_runs(review(project, query.get("before", "")), review(project, query.get("after", "")))
        return comparison_json(found, request)

    def doubts(request: Request) -> JsonObject:
        project = project_of(request)
        store, runs = studio.photo_store(project), finished_runs(project)
        newest = review(project, runs[0]) if runs else None
        photos, already = store.index().photos, checked(project).all()
        found = find_doubts(photos, newest, store.flags(), already, project.photos)
        return {
            "run": runs[0] if runs else "",
            "total": len(found),
            "classes": list(store.index().counts),
            "photos": [one.to_json() for one in found[:DOUBTS]],
        }

    def found_right(request: Request, fields: Fields) -> JsonObject:
        project = project_of(request)
        checked(project).add(studio.photo_store(project).find(fields.text("path")), project.photos)
        return {}

    def heatmap(request: Request) -> Response:
        try:
            project = project_of(request)
            run = finished_run(project, request.path_params["run"])
            photo = studio.photo_store(project).find(request.query_params.get("path", ""))
            return FileResponse(drawn_heatmap(studio, run, project.photos / photo.path), media_type="image/png")
        except (EdgeError, OSError) as error:
            return error_response(error, 404)

    def file(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            path = finished_run(project_of(request), request.path_params["run"]) / name
        except EdgeError as error:
            return error_response(error, 404)
        if name not in (*PICTURES, "report.html") or not path.is_file():
            return error_response(SettingsError(f"there is no {name!r} of this run"), 404)
        page = name.endswith(".html")
        headers = {"content-security-policy": REPORT_POLICY} if page else {}
        return FileResponse(path, media_type="text/html" if page else "image/png", headers=headers)

    base = "/api/p/{project}"
    return StudioPart(
        [
            reading(f"{base}/runs", listed),
            reading(f"{base}/runs/{{run}}/review", one_run),
            Route(f"{base}/runs/{{run}}/heatmap", heatmap, methods=["GET"]),
            Route(f"{base}/runs/{{run}}/files/{{name}}", file, methods=["GET"]),
            reading(f"{base}/compare", compare),
            reading(f"{base}/doubts", doubts),
            writing(f"{base}/doubts/right", found_right),
        ]
    )


def run_summary(project: Project, name: str) -> JsonObject:
    """A run in the list: its name, its accuracy and its number of test photos; only its name if it is damaged."""
    try:
        found = review_run(project, finished_run(project, name), ())
    except EdgeError as error:
        return {"name": name, "error": " ".join(str(error).split())}
    folder = project.runs / name
    return {
        "name": name,
        "accuracy": found.evaluation.get("accuracy"),
        "photos": len(found.photos),
        "labels": list(found.labels),
        "pictures": [picture for picture in PICTURES if (folder / picture).is_file()],
    }


def review_json(found: RunReview, photos: list[ReviewedPhoto], request: Request) -> JsonObject:
    """A window of photos, and what the run's evaluation says."""
    start, count = number_of(request, "start", 0), min(WINDOW, number_of(request, "count", WINDOW))
    return {
        "name": found.name,
        "labels": list(found.labels),
        "accuracy": found.evaluation.get("accuracy"),
        "confusion": found.evaluation.get("confusion"),
        "classes": found.evaluation.get("classes"),
        "total": len(photos),
        "photos": [one.to_json() for one in photos[start : start + count]],
    }


def comparison_json(found: RunComparison, request: Request) -> JsonObject:
    """A window of the photos with one outcome, and how many have each.

    Raises:
        SettingsError: There is no such outcome.
    """
    outcome = next((one for one in OUTCOMES if one == request.query_params.get("outcome", "worse")), None)
    if outcome is None:
        raise SettingsError(f"an outcome is one of {', '.join(OUTCOMES)}")
    start, count = number_of(request, "start", 0), min(WINDOW, number_of(request, "count", WINDOW))
    pairs = found.of(outcome)
    return {
        "counts": {one: len(found.of(one)) for one in OUTCOMES},
        "difference": vars(found.difference) if found.difference else None,
        "p_value": found.p_value,
        "total": len(pairs),
        "photos": [pair.to_json() for pair in pairs[start : start + count]],
    }


def drawn_heatmap(studio: Studio, run: Path, photo: Path) -> Path:
    """A PNG of where a run looks in a photo, drawn once.

    Raises:
        CheckFailedError: It cannot be drawn.
    """
    card = sha256_of(run / "model.keras")
    out = studio.settings.cache / "heatmaps" / card[:16] / f"{sha256_of(photo)}.png"
    if not out.is_file():
        studio.analysis.ask({"do": "heatmap", "run": str(run), "photo": str(photo), "out": str(out)})
    return out
