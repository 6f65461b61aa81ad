"""The live page as a sink."""

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import quote

from edge_core.artifact.card import ModelCard
from edge_device.command_line.console import extra_needed, say
from edge_device.frames.regions import WHOLE, Region
from edge_device.inference.card_rows import card_rows
from edge_device.notices import Notice
from edge_device.results import Event, FrameResult, Status
from edge_device.sinks.sink import Sink
from edge_device.sinks.web.address import Address, check_token, is_loopback, listen, new_token, reachable_host
from edge_device.sinks.web.camera_view import CameraView
from edge_device.sinks.web.feed import Feed
from edge_device.sinks.web.kept import KeptPictures
from edge_device.sinks.web.picture import JpegPicture, PictureTaker

if TYPE_CHECKING:
    from edge_device.sinks.web.site import Site


class WebPage(Sink):
    """Shows the newest frame, its labels and how the loop fares to browsers, and its health to monitors."""

    name = "web"
    frames: ClassVar[Literal["all", "newest", "none"]] = "newest"
    wants_image = True

    def __init__(
        self,
        address: Address,
        *,
        token: str | None = None,
        zones: Mapping[str, Region] = {},
        clients: int = 20,
        stream_fps: float = 10.0,
        health_s: float = 10.0,
        root: str = "/",
        frame: str = "",
    ) -> None:
        """Describes a page; `open` serves it.

        Args:
            address: Where to listen.
            token: That is asked for. Without one, none is asked for if only this machine can connect; else one is made
                and printed.
            zones: Zones by name.
            clients: That may have the picture stream open at once, and as many the stream of figures.
            stream_fps: Pictures a second, at most.
            health_s: Without a frame for so long, `/healthz` answers 503.

            root: Path under which a proxy shows it, `/cam/`.
            frame: Origin whose pages may show it in a frame; empty: none may.

        Raises:
            SettingsError: The token is too easily guessed, or no text for a header.
        """
        self._name = ""
        boxes = {name: (zone.x, zone.y, zone.width, zone.height) for name, zone in zones.items() if zone != WHOLE}
        self._feed, self._camera = Feed(boxes, health_s), PictureTaker(stream_fps)
        self._view = CameraView(self._feed, self._camera)
        token = None if token is None else check_token(token, "the live page")
        self._service = _Service(address, token, clients, root, frame)
        self._service.views[""] = self._view
        self._opened = False
        self._telling = threading.Lock()

    @property
    def url(self) -> str:
        """Where to look, without the token; empty before `open`."""
        return self._service.url

    @property
    def _site(self) -> "Site | None":
        return self._service.site

    @property
    def kept(self) -> KeptPictures | None:
        """Pictures that a person takes and fetches by the page; to be set before `open`."""
        return self._view.kept

    @kept.setter
    def kept(self, kept: KeptPictures | None) -> None:
        self._view.kept = kept

    def join(self, first: "WebPage", camera: str) -> None:
        """Shows its camera by name on the page of the camera that is named first; to be called before `open` of any.

        Args:
            first: The sink of the camera that is shown where nobody has chosen one; it joins itself.
            camera: Name of the camera.
        """
        first._service.views.pop("", None)
        first._service.views[camera] = self._view
        self._service, self._name = first._service, camera

    def address(self, root: str) -> str:
        """Where a browser sees this camera, below a path; empty before `open`."""
        chosen = f"?camera={quote(self._name)}" if self._name else ""
        return f"{self.url}{root}{chosen}" if self.url else root

    def open(self, card: ModelCard) -> None:
        """Serves from the first call on, and says where.

        Raises:
            RuntimeMissingError: The extra `web` is not installed.
            OutputError: The address is taken, or not one of this machine.
        """
        self._feed.set_model(card_rows(card))
        if self.kept:
            self.kept.labels = card.labels
            if self.kept.teacher:
                self.kept.teacher.known = card.labels
            self._tell_kept()
        if not self._opened:
            if self.kept and self.kept.teacher:
                self.kept.teacher.changed.append(self._tell_kept)
            self._service.open()
            self._opened = True

    def frame(self, result: FrameResult) -> None:
        now_s = time.monotonic()
        self._feed.add_result(result, now_s)
        if picture := self._camera.take(result.frame, now_s):
            self._service.show(self._name, picture)
        if self.kept and self.kept.answer(result):
            self._tell_kept()

    def _tell_kept(self) -> None:
        # As one: what a frame's thread had read would else be told after the end of a lesson, and stay.
        with self._telling:
            if self.kept:
                self._feed.set_kept(self.kept.to_json())

    def event(self, event: Event) -> None:
        self._feed.add_event(event)

    def notice(self, notice: Notice) -> None:
        self._feed.add_notice(notice)

    def status(self, status: Status) -> None:
        """Takes statistics.

        Raises:
            OutputError: The server had ended, and its address is taken now.
        """
        self._feed.set_status(status, time.monotonic())
        self._service.go_on()

    def close(self) -> None:
        if self._opened:
            self._opened = False
            self._service.close()


class _Service:
    """The server of a page, and the cameras that are shown on it, by name; one without a name is alone."""

    def __init__(self, address: Address, token: str | None, clients: int, root: str, frame: str) -> None:
        self.views: dict[str, CameraView] = {}
        self.url = ""
        self._alone = True
        self._address, self._token, self._clients, self._root, self._frame = address, token, clients, root, frame
        self.site: Site | None = None
        self._users = 0
        self._lock = threading.Lock()

    def open(self) -> None:
        """Serves for one camera more, and says where at the first."""
        with self._lock:
            if self.site is None:
                given = self._token is not None
                self._serve()
                login = f"/login?token={quote(self._token, safe='')}" if self._token and not given else "/"
                remark = " (with the token that was given)" if given else ""
                if self._alone and not self._root.strip("/"):  # under another path it is for a proxy's clients
                    remark += f" (on this machine alone; for others give --web 0.0.0.0:{self._address.port})"
                say(f"live page: {self.url}{login}{remark}")
            self._users += 1

    def show(self, camera: str, picture: JpegPicture) -> None:
        if site := self.site:
            site.show(camera, picture)

    def go_on(self) -> None:
        """Serves again where the server has ended."""
        with self._lock:
            if self.site and not self.site.alive:
                self._serve()

    def close(self) -> None:
        """One camera less; after the last one nobody serves."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self.site:
                self.site.stop()
                self.site = None

    def _serve(self) -> None:
        with extra_needed("web", "starlette", "uvicorn"):
            from edge_device.sinks.web.guard import Place
            from edge_device.sinks.web.site import Site
        place = Place(self._root, self._frame)
        listener = listen(self._address)
        # A server that is begun anew takes the port that was given out, which browsers know.
        self._address = Address(self._address.host, listener.getsockname()[1])
        # By the socket, not by the text: a name may lead to any address.
        self._alone = is_loopback(listener)
        if self._token is None and not self._alone:
            self._token = new_token()
        self.url = f"http://{reachable_host(listener)}:{self._address.port}"
        self.site = Site(
            listener,
            self._address.host,
            self.views,
            token=self._token,
            clients=self._clients,
            place=place,
        )
