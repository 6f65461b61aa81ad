"""Routes that train, export and publish, and that tell how far it is."""

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError, SettingsError
from edge_studio.api.json_routes import Fields, error_response, reading, writing
from edge_studio.jobs.commands import curve_command, export_command, publish_command, train_command
from edge_studio.jobs.export_list import exported_file, exported_files, finished_run, next_run, unknown_pictures
from edge_studio.jobs.job import Job
from edge_studio.jobs.job_curve import epochs_of
from edge_studio.jobs.signing import signing_key
from edge_studio.project import Project
from edge_studio.studio import Studio, StudioPart

NEWS_S: Final = 0.5
"""Seconds between two looks for what pages should be told."""

REPORT_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'"
"""Of a report that a command wrote: it holds all that it shows, and runs nothing."""


def job_part(studio: Studio) -> StudioPart:
    """Jobs of a project: begins them, tells of them, ends them; and the files that they have exported."""
    news = JobNews(studio)
    opened = ExitStack()

    def start() -> None:
        opened.enter_context(studio.jobs)
        news.start()
        opened.callback(news.stop)

    def train(request: Request, fields: Fields) -> JsonObject:
        project = _project(studio, request)
        command = train_command(fields.values, project.photos, _next_run(studio, project))
        project.runs.mkdir(exist_ok=True)
        return {"job": studio.jobs.submit(project.name, command).to_json()}

    def export(request: Request, fields: Fields) -> JsonObject:
        project = _project(studio, request)
        values = dict(fields.values)
        run = finished_run(project, str(values.pop("run", "")))
        if values.get("sign") is True:
            values["sign"] = str(signing_key(studio.state))
        elif values.get("sign") is False:
            values["sign"] = ""
        command = export_command(values, run, project.exports, unknown_pictures(project, run))
        project.exports.mkdir(exist_ok=True)
        return {"job": studio.jobs.submit(project.name, command).to_json()}

    def publish(request: Request, fields: Fields) -> JsonObject:
        project = _project(studio, request)
        file = exported_file(project, fields.text("file"))
        command = publish_command(file, project.updates, signing_key(studio.state))
        return {"job": studio.jobs.submit(project.name, command).to_json()}

    def curve(request: Request, fields: Fields) -> JsonObject:
        project = _project(studio, request)
        command = curve_command(finished_run(project, fields.text("run")))
        return {"job": studio.jobs.submit(project.name, command).to_json()}

    def listed(request: Request) -> JsonObject:
        project = _project(studio, request)
        return {
            "jobs": [told(studio, job) for job in reversed(_jobs(studio, project))],
            "others": _others(studio, project),
        }

    def log(request: Request) -> JsonObject:
        return {"log": studio.jobs.log(_job(studio, request).id)}

    def cancel(request: Request, fields: Fields) -> JsonObject:
        return {"job": studio.jobs.cancel(_job(studio, request).id).to_json()}

    def again(request: Request, fields: Fields) -> JsonObject:
        return {"job": studio.jobs.again(_job(studio, request).id).to_json()}

    def exports(request: Request) -> JsonObject:
        return {"exports": [one.to_json() for one in exported_files(_project(studio, request))]}

    def download(request: Request) -> Response:
        try:
            path = exported_file(_project(studio, request), request.path_params["name"])
        except EdgeError as error:
            return error_response(error, 404)
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    def report(request: Request) -> Response:
        try:
            path = exported_file(_project(studio, request), request.path_params["name"]).with_suffix(".report.html")
        except EdgeError as error:
            return error_response(error, 404)
        if not path.is_file():
            return error_response(SettingsError(f"{path.name} is not there"), 404)
        return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})

    base = "/api/p/{project}"
    return StudioPart(
        [
            writing(f"{base}/train", train),
            writing(f"{base}/export", export),
            writing(f"{base}/publish", publish),
            writing(f"{base}/curve", curve),
            reading(f"{base}/jobs", listed),
            reading(f"{base}/jobs/{{job}}/log", log),
            writing(f"{base}/jobs/{{job}}/cancel", cancel),
            writing(f"{base}/jobs/{{job}}/again", again),
            reading(f"{base}/exports", exports),
            Route(f"{base}/exports/{{name}}", download),
            Route(f"{base}/exports/{{name}}/report", report),
        ],
        start=start,
        stop=opened.close,
    )


def told(studio: Studio, job: Job) -> JsonObject:
    """A job as its page is told of it, with how far it is and, of a training, its epochs so far."""
    progress = studio.jobs.progress(job.id) if job.state == "running" else None
    epochs = epochs_of(Path(job.record.output), job.state) if job.record.kind == "train" else []
    return job.to_json() | {"progress": progress and vars(progress), "epochs": epochs}


class JobNews:
    """Tells the open pages whatever changes in a job."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="job news", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._closing.set()
        self._thread.join()

    def _work(self) -> None:
        last = {job.id: job.to_json() for job in self._studio.jobs.jobs()}
        while not self._closing.wait(NEWS_S):
            now: dict[str, JsonObject] = {}
            for job in self._studio.jobs.jobs():
                # Progress is read of what runs alone: jobs that have ended do not change.
                now[job.id] = told(self._studio, job) if job.state == "running" else job.to_json()
                if now[job.id] != last.get(job.id):
                    self._studio.hub.publish(job.record.project, "job", told(self._studio, job))
            last = now


def _project(studio: Studio, request: Request) -> Project:
    return studio.project(request.path_params["project"])


def _jobs(studio: Studio, project: Project) -> list[Job]:
    return [job for job in studio.jobs.jobs() if job.record.project == project.name]


def _others(studio: Studio, project: Project) -> int:
    """Number of jobs of other projects that wait or run: they share the machine."""
    unfinished = [job for job in studio.jobs.jobs() if job.state in ("queued", "running")]
    return sum(job.record.project != project.name for job in unfinished)


def _job(studio: Studio, request: Request) -> Job:
    """A job of the project that the address names.

    Raises:
        SettingsError: There is none.
    """
    project = _project(studio, request)
    job = studio.jobs.job(request.path_params["job"])
    if job.record.project != project.name:
        raise SettingsError(f"there is no job {job.id!r} in {project.name}")
    return job


def _next_run(studio: Studio, project: Project) -> Path:
    """A folder for the next run that no run has and no job that waits will have."""
    taken = {job.record.output for job in _jobs(studio, project) if job.state != "done"}
    run = next_run(project)
    while str(run) in taken:
        run = run.with_name(f"run-{int(run.name.removeprefix('run-')) + 1}")
    return run
