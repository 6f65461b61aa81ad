"""The studio as its parts see it: its settings, its projects, and what it tells the pages that are open."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.routing import BaseRoute

from edge_core.errors import SettingsError
from edge_device.system.user_folders import cache_folder
from edge_studio.analysis.analysis_process import AnalysisProcess
from edge_studio.devices.fleet import Fleet
from edge_studio.devices.inbox import Inbox
from edge_studio.event_hub import EventHub
from edge_studio.jobs.job_queue import JobQueue
from edge_studio.photos.photo_store import PhotoStore
from edge_studio.project import Project, check_project_name, is_project_name


@dataclass(frozen=True)
class StudioSettings:
    """What a studio is started with.

    Attributes:
        folder: Folder of the projects.
        host: Name or IP address to listen on.
        port: Port to listen on; 0 is any free one.
        token: Token that every request has to show, as a cookie once its login page has been passed.
        cache: Folder for what can be made again: thumbnails, indexes, unpacked archives.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8090
    token: str | None = None
    cache: Path = field(default_factory=lambda: cache_folder() / "studio")


@dataclass(frozen=True)
class Tab:
    """A page of a project in its navigation.

    Attributes:
        title: Word on the tab.
        path: Last part of the page's address, /p/PROJECT/PATH.
    """

    title: str
    path: str


@dataclass(frozen=True)
class StudioPart:
    """What one area adds to the studio.

    Attributes:
        routes: Routes of its pages and of its API, which lies below /api/.
        tabs: Pages of a project that its navigation shows.
        start: Called once when the server begins.
        stop: Called once when the server ends.
    """

    routes: Sequence[BaseRoute]
    tabs: Sequence[Tab] = ()
    start: Callable[[], None] = lambda: None
    stop: Callable[[], None] = lambda: None


class Studio:
    """A folder of projects, and the hub by which parts tell the open pages what has changed.

    Attributes:
        settings: What it was started with.
        hub: Tells pages what has happened, `studio.hub.publish(project.name, "job", {...})`, from any thread.
        analysis: Process for what takes TensorFlow or long.
        tabs: Pages of a project that its navigation shows, of all parts; filled by `build_app`.
        jobs: Trainings, exports and publications, one at a time.
        fleet: Boards that run the projects' models.
        address: Address of the server on this machine, http://127.0.0.1:8090; empty until it listens.
        reachable: Address of the server that boards would ask; that on this machine if it is for this machine alone.
    """

    def __init__(self, settings: StudioSettings) -> None:
        self.settings: Final = settings
        self.hub: Final = EventHub()
        self.analysis: Final = AnalysisProcess()
        self._stores: dict[str, PhotoStore] = {}
        # Not reentrant: what holds it calls nothing else that takes it.
        self._lock = threading.Lock()
        self.tabs: list[Tab] = []
        self.jobs: Final = JobQueue(self.state / "jobs", settings.folder)
        self.fleet: Final = Fleet(settings.folder, self.state, self.jobs)
        self._inboxes: dict[str, Inbox] = {}
        self.address = self.reachable = ""

    @property
    def state(self) -> Path:
        """Folder of what the studio itself has to remember: jobs and boards."""
        return self.settings.folder / ".studio"

    def projects(self) -> list[Project]:
        """The projects of the folder, by name."""
        folder = self.settings.folder
        names = [child.name for child in folder.iterdir() if child.is_dir()] if folder.is_dir() else []
        return [Project(folder, name) for name in sorted(names) if is_project_name(name)]

    def project(self, name: str) -> Project:
        """An existing project.

        Raises:
            SettingsError: There is none of that name.
        """
        found = Project(self.settings.folder, name)
        if not is_project_name(name) or not found.photos.is_dir():
            raise SettingsError(f"there is no project {name!r} in {self.settings.folder}")
        return found

    def photo_store(self, project: Project) -> PhotoStore:
        """The photos of a project, opened once: `studio.photo_store(project).add(jpeg, "door.jpg", "roses")`."""
        with self._lock:
            if project.name not in self._stores:
                # Under the lock: two stores of one project would each write its journal.
                self._stores[project.name] = PhotoStore(project, self.settings.cache)
            return self._stores[project.name]

    def inbox(self, project: Project) -> Inbox:
        """The frames of a project's boards that are not labeled, opened once."""
        # Before the lock, which `photo_store` takes itself.
        photos = self.photo_store(project)
        with self._lock:
            if project.name not in self._inboxes:
                self._inboxes[project.name] = Inbox(project, photos, lambda: self.fleet.board_names(project))
            return self._inboxes[project.name]

    def create(self, name: str) -> Project:
        """Makes an empty project.

        Raises:
            SettingsError: The name cannot be a project's, or is taken.
            OutputError: Its folder cannot be made.
        """
        made = Project(self.settings.folder, check_project_name(name))
        made.make()
        return made
