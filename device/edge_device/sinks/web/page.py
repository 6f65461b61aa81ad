"""The live page as a sink."""

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
from edge_device.sinks.web.feed import Feed
from edge_device.sinks.web.kept import KeptPictures
from edge_device.sinks.web.picture import PictureTaker

if TYPE_CHECKING:
    from edge_device.sinks.web.site import Site


class WebPage(Sink):
    """Shows the newest frame, its labels and how the loop fares to browsers, and its health to monitors.

    Attributes:
        url: Where to look, without the token; empty before `open`.
        kept: Pictures that a person takes and fetches by the page; to be set before `open`.
    """

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
        self.url = ""
        self.kept: KeptPictures | None = None
        self._address, self._clients = address, clients
        self._token = None if token is None else check_token(token, "the live page")
        boxes = {name: (zone.x, zone.y, zone.width, zone.height) for name, zone in zones.items() if zone != WHOLE}
        self._feed = Feed(boxes, health_s)
        self._camera = PictureTaker(stream_fps)
        self._root, self._frame = root, frame
        self._site: Site | None = None

    def open(self, card: ModelCard) -> None:
        """Serves from the first call on, and says where.

        Raises:
            RuntimeMissingError: The extra `web` is not installed.
            OutputError: The address is taken, or not one of this machine.
        """
        self._feed.set_model(card_rows(card))
        if self.kept:
            self.kept.labels = card.labels
            self._feed.set_kept(self.kept.to_json())
        if self._site is None:
            given = self._token is not None
            self._serve()
            login = f"/login?token={quote(self._token, safe='')}" if self._token and not given else "/"
            say(f"live page: {self.url}{login}{' (with the token that was given)' if given else ''}")

    def frame(self, result: FrameResult) -> None:
        now_s = time.monotonic()
        self._feed.add_result(result, now_s)
        picture = self._camera.take(result.frame, now_s)
        if picture and self._site:
            self._site.show(picture)
        if self.kept and self.kept.answer(result):
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
        if self._site and not self._site.alive:
            self._serve()

    def close(self) -> None:
        if self._site:
            self._site.stop()
            self._site = None

    def _serve(self) -> None:
        with extra_needed("web", "starlette", "uvicorn"):
            from edge_device.sinks.web.guard import Place
            from edge_device.sinks.web.site import Site
        place = Place(self._root, self._frame)
        listener = listen(self._address)
        self._address = Address(self._address.host, listener.getsockname()[1])
        if self._token is None and not is_loopback(listener):
            self._token = new_token()
        self.url = f"http://{reachable_host(listener)}:{self._address.port}"
        self._site = Site(
            listener,
            self._address.host,
            self._feed,
            self._camera,
            token=self._token,
            clients=self._clients,
            place=place,
            kept=self.kept,
        )
