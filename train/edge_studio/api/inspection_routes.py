"""The route that has a project's photos looked over, and what keeps the flags that come of it."""

import threading
from collections.abc import Iterable

from starlette.requests import Request

from edge_core.codec import JsonObject, from_fields
from edge_core.errors import EdgeError
from edge_studio.api.json_routes import Fields, reading, writing
from edge_studio.jobs.export_list import finished_runs
from edge_studio.photos.photo_flags import FlagSet, PhotoFlag
from edge_studio.photos.photo_store import PhotoStore
from edge_studio.project import Project
from edge_studio.studio import Studio, StudioPart


class PhotoInspector:
    """Has the photos of projects looked over, one project at a time each once, and tells its pages."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._lock = threading.Lock()
        self._told: dict[str, JsonObject] = {}

    def start(self, project: Project) -> JsonObject:
        """Begins, unless it is under way; returns where it stands."""
        # Under the lock, or two requests at once would both begin.
        with self._lock:
            if not self._told.get(project.name, {}).get("running"):
                self._told[project.name] = {"running": True, "label": "Starting", "done": 0, "total": 0}
                threading.Thread(target=self._run, args=[project], name="inspect", daemon=True).start()
        return self.state(project)

    def state(self, project: Project) -> JsonObject:
        """`running`, and `label`, `done` and `total` of the step; `error` if it has failed."""
        return self._told.get(project.name, {"running": False})

    def _run(self, project: Project) -> None:
        # What is told of an error that nobody foresaw, which the thread prints to the terminal when it ends.
        told: JsonObject = {
            "running": False,
            "error": "something went wrong here; the terminal of edge-train says what",
        }
        try:
            self._inspect(project, self._studio.photo_store(project))
            told = {"running": False}
        except (EdgeError, OSError) as error:
            told["error"] = " ".join(str(error).split())
        finally:
            self._tell(project, told)
            self._studio.hub.publish(project.name, "photos", {})

    def _inspect(self, project: Project, store: PhotoStore) -> None:
        def progress(told: JsonObject) -> None:
            self._tell(project, told | {"running": True})

        photos = store.index().photos  # before: what changes meanwhile has another version, and no flag
        versions = {photo.path: photo.version for photo in photos}
        cache = str(self._studio.settings.cache)
        where = {"photos": str(project.photos), "cache": cache}
        found = self._studio.analysis.ask({"do": "audit"} | where, progress)["flags"]
        store.set_flags(FlagSet(versions, by_path(found)))
        if runs := finished_runs(project):
            run = str(project.runs / runs[0])
            found += self._studio.analysis.ask({"do": "suspects", "run": run} | where, progress)["flags"]
            store.set_flags(FlagSet(versions, by_path(found)))

    def _tell(self, project: Project, told: JsonObject) -> None:
        self._told[project.name] = told
        self._studio.hub.publish(project.name, "inspect", told)


def inspection_part(studio: Studio) -> StudioPart:
    """Starts to look over the photos of a project, and says where that stands."""
    inspector = PhotoInspector(studio)

    def start(request: Request, fields: Fields) -> JsonObject:
        return inspector.start(studio.project(request.path_params["project"]))

    def state(request: Request) -> JsonObject:
        return inspector.state(studio.project(request.path_params["project"]))

    path = "/api/p/{project}/inspect"
    return StudioPart([reading(path, state), writing(path, start)], stop=studio.analysis.stop)


def by_path(found: Iterable[JsonObject]) -> dict[str, tuple[PhotoFlag, ...]]:
    """Flags by the path of their photo."""
    flags: dict[str, tuple[PhotoFlag, ...]] = {}
    for one in found:
        flags[one["path"]] = (*flags.get(one["path"], ()), from_fields(PhotoFlag, one))
    return flags
