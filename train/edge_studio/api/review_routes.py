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
from edge_studio.jobs.commands import LEARNING_CURVE
from edge_studio.jobs.export_list import finished_run, finished_runs
from edge_studio.jobs.supervised import read_json
from edge_studio.project import Project
from edge_studio.review.label_doubts import CheckedLabels, find_doubts
from edge_studio.review.run_comparison import OUTCOMES, RunComparison, compare_runs
from edge_studio.review.run_review import ReviewedPhoto, RunReview, review_run, sha256_of
from edge_studio.studio import Studio, StudioPart
from edge_train.evaluation.learning_curve import CURVE_FILE

PICTURES: Final = ("curves.png", LEARNING_CURVE, "reliability.png")
"""Plots of a run that its page shows."""

DOUBTS: Final = 500
"""Doubts in one answer, at most."""


def review_part(studio: Studio) -> StudioPart:
    """Reviews of runs, heatmaps, and the queue of labels in doubt."""
    routes = ReviewRoutes(studio)
    base = "/api/p/{project}"
    return StudioPart(
        [
            reading(f"{base}/runs", routes.listed),
            reading(f"{base}/runs/{{run}}/review", routes.one_run),
            Route(f"{base}/runs/{{run}}/heatmap", routes.heatmap, methods=["GET"]),
            Route(f"{base}/runs/{{run}}/files/{{name}}", routes.file, methods=["GET"]),
            reading(f"{base}/compare", routes.compare),
            reading(f"{base}/doubts", routes.doubts),
            writing(f"{base}/doubts/right", routes.found_right),
        ]
    )


class ReviewRoutes:
    """What the routes answer."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def listed(self, request: Request) -> JsonObject:
        """The finished runs."""
        project = self._project(request)
        return {"runs": [run_summary(project, name) for name in finished_runs(project)]}

    def one_run(self, request: Request) -> JsonObject:
        """What a run made of its test photos: the mistakes, or a cell of the confusion matrix."""
        found = self._review(self._project(request), request.path_params["run"])
        query = request.query_params
        if query.get("only") == "mistakes":
            photos = found.mistakes()
        else:
            photos = found.cell(query.get("label", ""), query.get("predicted", ""))
        return review_json(found, photos, request)

    def compare(self, request: Request) -> JsonObject:
        """Two runs on the test photos that both have."""
        project, query = self._project(request), request.query_params
        before, after = (self._review(project, query.get(name, "")) for name in ("before", "after"))
        return comparison_json(compare_runs(before, after), request)

    def doubts(self, request: Request) -> JsonObject:
        """Photos whose label may be wrong."""
        project = self._project(request)
        store, runs = self._studio.photo_store(project), finished_runs(project)
        newest = self._review(project, runs[0]) if runs else None
        photos, already = store.index().photos, self._checked(project).all()
        found = find_doubts(photos, newest, store.flags(), already, project.photos)
        return {
            "run": runs[0] if runs else "",
            "total": len(found),
            "classes": list(store.index().counts),
            "photos": [one.to_json() for one in found[:DOUBTS]],
        }

    def found_right(self, request: Request, fields: Fields) -> JsonObject:
        """Remembers that a person has found a label right."""
        project = self._project(request)
        photo = self._studio.photo_store(project).find(fields.text("path"))
        self._checked(project).add(photo, project.photos)
        return {}

    def heatmap(self, request: Request) -> Response:
        """A PNG of where a run looks in a photo."""
        try:
            project = self._project(request)
            run = finished_run(project, request.path_params["run"])
            photo = self._studio.photo_store(project).find(request.query_params.get("path", ""))
            return FileResponse(drawn_heatmap(self._studio, run, project.photos / photo.path), media_type="image/png")
        except (EdgeError, OSError) as error:
            return error_response(error, 404)

    def file(self, request: Request) -> Response:
        """A plot of a run, or its report."""
        name = request.path_params["name"]
        try:
            path = finished_run(self._project(request), request.path_params["run"]) / name
        except EdgeError as error:
            return error_response(error, 404)
        if name not in (*PICTURES, "report.html") or not path.is_file():
            return error_response(SettingsError(f"there is no {name!r} of this run"), 404)
        page = name.endswith(".html")
        headers = {"content-security-policy": REPORT_POLICY} if page else {}
        return FileResponse(path, media_type="text/html" if page else "image/png", headers=headers)

    def _project(self, request: Request) -> Project:
        return self._studio.project(request.path_params["project"])

    def _review(self, project: Project, name: str) -> RunReview:
        photos = self._studio.photo_store(project).index().photos
        return review_run(project, finished_run(project, name), photos)

    def _checked(self, project: Project) -> CheckedLabels:
        return CheckedLabels(self._studio.state / "checked" / f"{project.name}.jsonl")


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
        "gain": str(read_json(folder / CURVE_FILE).get("sentence", "")),
        "weakest": found.weakest(),
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
    # By content: a run that was trained anew under the same name looks elsewhere.
    digest = sha256_of(run / "model.keras")
    out = studio.settings.cache / "heatmaps" / digest[:16] / f"{sha256_of(photo)}.png"
    if not out.is_file():
        studio.analysis.ask({"do": "heatmap", "run": str(run), "photo": str(photo), "out": str(out)})
    return out
