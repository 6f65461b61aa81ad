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
from edge_studio.jobs.commands import JobCommand, curve_command, export_command, publish_command, train_command
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
    routes, news, opened = JobRoutes(studio), JobNews(studio), ExitStack()

    def start() -> None:
        opened.enter_context(studio.jobs)
        news.start()
        opened.callback(news.stop)

    base = "/api/p/{project}"
    return StudioPart(
        [
            writing(f"{base}/train", routes.train),
            writing(f"{base}/curve", routes.curve),
            writing(f"{base}/export", routes.export),
            writing(f"{base}/publish", routes.publish),
            reading(f"{base}/jobs", routes.listed),
            reading(f"{base}/jobs/{{job}}/log", routes.log),
            writing(f"{base}/jobs/{{job}}/cancel", routes.cancel),
            writing(f"{base}/jobs/{{job}}/again", routes.again),
            reading(f"{base}/exports", routes.exports),
            Route(f"{base}/exports/{{name}}", routes.download),
            Route(f"{base}/exports/{{name}}/report", routes.report),
        ],
        start=start,
        stop=opened.close,
    )


class JobRoutes:
    """What the routes answer."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def train(self, request: Request, fields: Fields) -> JsonObject:
        """Begins a training with the choices of the page's form."""
        project = self._project(request)
        command = train_command(fields.values, project.photos, self._next_run(project))
        project.runs.mkdir(exist_ok=True)
        return self._submitted(project, command)

    def curve(self, request: Request, fields: Fields) -> JsonObject:
        """Measures whether more photos would help a run."""
        project = self._project(request)
        return self._submitted(project, curve_command(finished_run(project, fields.text("run"))))

    def export(self, request: Request, fields: Fields) -> JsonObject:
        """Begins an export with the choices of the page's form."""
        project = self._project(request)
        values = dict(fields.values)
        run = finished_run(project, str(values.pop("run", "")))
        # The page says whether, never with which key: that is the studio's own.
        values["sign"] = str(signing_key(self._studio.state)) if fields.flag("sign") else ""
        command = export_command(values, run, project.exports, unknown_pictures(project, run))
        project.exports.mkdir(exist_ok=True)
        return self._submitted(project, command)

    def publish(self, request: Request, fields: Fields) -> JsonObject:
        """Publishes an exported file for boards."""
        project = self._project(request)
        file = exported_file(project, fields.text("file"))
        return self._submitted(project, publish_command(file, project.updates, signing_key(self._studio.state)))

    def listed(self, request: Request) -> JsonObject:
        """The jobs of a project, the newest first, and how many of other projects share the machine."""
        project = self._project(request)
        return {
            "jobs": [told(self._studio, job) for job in reversed(self._jobs(project))],
            "others": self._others(project),
        }

    def log(self, request: Request) -> JsonObject:
        """The end of what a job has printed."""
        return {"log": self._studio.jobs.log(self._job(request).id)}

    def cancel(self, request: Request, fields: Fields) -> JsonObject:
        """Ends a job."""
        return {"job": self._studio.jobs.cancel(self._job(request).id).to_json()}

    def again(self, request: Request, fields: Fields) -> JsonObject:
        """Takes a job up again that was cancelled or failed."""
        return {"job": self._studio.jobs.again(self._job(request).id).to_json()}

    def exports(self, request: Request) -> JsonObject:
        """The exported files."""
        return {"exports": [one.to_json() for one in exported_files(self._project(request))]}

    def download(self, request: Request) -> Response:
        """An exported file."""
        try:
            path = exported_file(self._project(request), request.path_params["name"])
        except EdgeError as error:
            return error_response(error, 404)
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    def report(self, request: Request) -> Response:
        """The report of an exported file."""
        try:
            path = exported_file(self._project(request), request.path_params["name"]).with_suffix(".report.html")
        except EdgeError as error:
            return error_response(error, 404)
        if not path.is_file():
            return error_response(SettingsError(f"{path.name} is not there"), 404)
        return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})

    def _submitted(self, project: Project, command: JobCommand) -> JsonObject:
        return {"job": self._studio.jobs.submit(project.name, command).to_json()}

    def _project(self, request: Request) -> Project:
        return self._studio.project(request.path_params["project"])

    def _jobs(self, project: Project) -> list[Job]:
        return [job for job in self._studio.jobs.jobs() if job.record.project == project.name]

    def _others(self, project: Project) -> int:
        """Number of jobs of other projects that wait or run: they share the machine."""
        unfinished = [job for job in self._studio.jobs.jobs() if job.state in ("queued", "running")]
        return sum(job.record.project != project.name for job in unfinished)

    def _job(self, request: Request) -> Job:
        """A job of the project that the address names.

        Raises:
            SettingsError: There is none.
        """
        project = self._project(request)
        job = self._studio.jobs.job(request.path_params["job"])
        if job.record.project != project.name:
            raise SettingsError(f"there is no job {job.id!r} in {project.name}")
        return job

    def _next_run(self, project: Project) -> Path:
        """A folder for the next run that no run has and no job that waits will have."""
        # A job that waits has made no folder yet, by which `next_run` goes.
        taken = {job.record.output for job in self._jobs(project) if job.state != "done"}
        run = next_run(project)
        while str(run) in taken:
            run = run.with_name(f"run-{int(run.name.removeprefix('run-')) + 1}")
        return run


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
