"""The routes of the live page."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from edge_core.codec import JsonObject
from edge_device.sinks.web.camera_view import CameraView
from edge_device.sinks.web.feed import Feed, to_json
from edge_device.sinks.web.picture import JpegPicture, PictureTaker

T = TypeVar("T")

UPDATE_S: Final = 0.2
"""Between two updates of the figures: faster, and nobody could read them."""

_HEARTBEAT_S: Final = 1.0
"""An update at least as often, so that a page can tell a loop without frames from a dead connection."""

_PICTURE_WAIT_S: Final = 2.0

_STATIC: Final = Path(__file__).parent / "static"
_FILES: Final = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/teach.js": ("teach.js", "text/javascript; charset=utf-8"),
    "/cameras.js": ("cameras.js", "text/javascript; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

_BOUNDARY: Final = b"--frame"

_TILE: Final = ("zone", "track", "decision", "known", "top")
"""Of a result, what the overview of several cameras has."""


class Newest(Generic[T]):
    """A value that is replaced, and a way to wait for the next one. What was replaced before it was read is gone.

    Attributes:
        value: None before the first.
        number: Number of values so far.
    """

    def __init__(self) -> None:
        self.value: T | None = None
        self.number = 0
        self._replaced = asyncio.Event()

    def put(self, value: T) -> None:
        self.value = value
        self.number += 1
        # An event of its own for each value: setting it wakes all who wait now, and nobody who comes later.
        replaced, self._replaced = self._replaced, asyncio.Event()
        replaced.set()

    async def after(self, number: int) -> T:
        """The newest value, as soon as it is not the one of this number any more."""
        while self.number <= number or self.value is None:
            await self._replaced.wait()
        return self.value


@dataclass(frozen=True)
class Update:
    """What pages are told; `state` only if they have not been told this `version`."""

    results: bytes
    state: bytes
    version: int


class Streams:
    """What goes to all who watch a camera. Belongs to the thread of the server.

    Attributes:
        pictures, updates: The newest picture and the newest update.
    """

    def __init__(self, feed: Feed, camera: PictureTaker, clients: int) -> None:
        """Offers what `feed` knows and `camera` takes, to `clients` at most of each kind."""
        self.pictures, self.updates = Newest[JpegPicture](), Newest[Update]()
        self._feed, self._camera, self._clients = feed, camera, clients
        self._open = {"pictures": 0, "updates": 0}

    async def keep_updating(self) -> None:
        """Makes an update for all who are there: as soon as something changed, and every second."""
        told: tuple[float | None, int] = (None, -1)
        told_s = 0.0
        state = b""
        while True:
            await asyncio.sleep(UPDATE_S)
            now_s = time.monotonic()
            latest = (self._feed.frame_s, self._feed.version)
            if not self._open["updates"] or (latest == told and now_s - told_s < _HEARTBEAT_S):
                continue
            # What changes now and then is put into JSON once, not for every update and every page.
            if latest[1] != told[1]:
                state = _message("state", self._feed.state(now_s))
            told, told_s = latest, now_s
            self.updates.put(Update(_message("results", self._feed.results(now_s)), state, latest[1]))

    async def next_picture(self, number: int) -> JpegPicture:
        self._camera.wanted = True
        return await self.pictures.after(number)

    async def mjpeg(self) -> AsyncIterator[bytes]:
        """Pictures as parts of a multipart/x-mixed-replace stream, each with its age."""
        while True:
            # Not the picture that is there: if nobody watched, it is old.
            picture = await self.next_picture(self.pictures.number)
            head = (
                f"Content-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n"
                f"X-Age-Ms: {1e3 * (time.monotonic() - picture.taken_s):.0f}\r\n\r\n"
            )
            # The boundary that ends a part goes with it, or a browser would show each picture one too late.
            yield head.encode() + picture.jpeg + b"\r\n" + _BOUNDARY + b"\r\n"

    async def events(self) -> AsyncIterator[bytes]:
        """Updates as server-sent events: `history` once, `results`, and `state` when it has changed."""
        yield _message("history", self._feed.history(time.monotonic()))
        # A page that was just opened has been told no version, so that its first update has everything.
        number, version = self.updates.number, -1
        while True:
            update = await self.updates.after(number)
            number = self.updates.number
            yield update.results if update.version == version else update.state + update.results
            version = update.version

    def respond(self, kind: str, media_type: str, first: bytes, parts: Callable[[], AsyncIterator[bytes]]) -> Response:
        """A response without end, or 503 if there are as many of its kind as may be."""
        if self._open[kind] >= self._clients:
            return _json({"error": f"{self._clients} clients are served already"}, 503, {"retry-after": "10"})
        return _Endless(media_type, first, parts, lambda count: self._count(kind, count))

    def _count(self, kind: str, count: int) -> None:
        self._open[kind] += count


class _Endless(Response):
    """A response that ends when its client goes.

    Starlette's own would leave a generator that waits for the next picture to the garbage collector.
    """

    def __init__(
        self,
        media_type: str,
        first: bytes,
        parts: Callable[[], AsyncIterator[bytes]],
        count: Callable[[int], None],
    ) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._first, self._parts, self._count = first, parts, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await super().__call__(scope, receive, send)
            return
        self._count(1)
        tasks = [asyncio.create_task(self._send(send)), asyncio.create_task(_gone(receive))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            # Waited for, so that the connection counts as free only once its generator is closed.
            await asyncio.gather(*tasks, return_exceptions=True)
            self._count(-1)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        async for part in self._parts():
            # Waits until the client has taken all of it; meanwhile newer ones pass by.
            await send({"type": "http.response.body", "body": part, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass(frozen=True)
class Shown:
    """A camera on the page: what there is of it, and who watches.

    Attributes:
        view: What is shown.
        streams: What goes to all who watch.
    """

    view: CameraView
    streams: Streams


class _CameraRoutes:
    """What is answered of cameras, each request of the one that it names."""

    def __init__(self, cameras: Mapping[str, Shown]) -> None:
        self._cameras = cameras

    def all(self) -> list[Route]:
        return [
            Route("/api/latest", self.latest),
            Route("/api/status", self.status),
            Route("/api/cameras", self.overview),
            Route("/api/events", self.events),
            Route("/stream.mjpg", self.stream),
            Route("/frame.jpg", self.frame),
            Route("/healthz", self.healthz),
        ]

    async def latest(self, request: Request) -> Response:
        now_s, feed = time.monotonic(), asked_for(self._cameras, request).view.feed
        return _json(feed.results(now_s) | feed.state(now_s))

    async def status(self, request: Request) -> Response:
        return _json(asked_for(self._cameras, request).view.feed.state(time.monotonic())["status"])

    async def overview(self, request: Request) -> Response:
        return _json({"cameras": _overview(self._cameras)})

    async def events(self, request: Request) -> Response:
        streams = asked_for(self._cameras, request).streams
        return streams.respond("updates", "text/event-stream", b"retry: 2000\n\n", streams.events)

    async def stream(self, request: Request) -> Response:
        streams = asked_for(self._cameras, request).streams
        return streams.respond(
            "pictures", "multipart/x-mixed-replace; boundary=frame", _BOUNDARY + b"\r\n", streams.mjpeg
        )

    async def frame(self, request: Request) -> Response:
        shown = asked_for(self._cameras, request)
        try:
            number = shown.streams.pictures.number
            picture = await asyncio.wait_for(shown.streams.next_picture(number), _PICTURE_WAIT_S)
        except TimeoutError:
            return _json({"error": shown.view.feed.health(time.monotonic()).reason or "no frame came"}, 503)
        age_ms = 1e3 * (time.monotonic() - picture.taken_s)
        return Response(picture.jpeg, media_type="image/jpeg", headers={"x-age-ms": f"{age_ms:.0f}"})

    async def healthz(self, request: Request) -> Response:
        if "camera" in request.query_params or len(self._cameras) == 1:
            told = asked_for(self._cameras, request).view.feed.results(time.monotonic())
            health = told["health"] | {"frame_age_s": told["frame_age_s"]}
        else:
            health = _worst(_overview(self._cameras))
        return _json(health, 200 if health["ok"] else 503)


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = (_STATIC / name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return answer


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    # What went wrong is nobody's business out there.
    return _json({"error": "there is nothing here" if status == 404 else "something went wrong here"}, status)


def build_app(cameras: Mapping[str, Shown], further: Sequence[Route] = ()) -> Starlette:
    """The routes and `further` ones, without a guard.

    Args:
        cameras: Cameras by name, the one that is meant where a request names none first.
        further: Routes beside those here.
    """
    files = [Route(path, _file(name, media_type)) for path, (name, media_type) in _FILES.items()]
    return Starlette(
        routes=[*files, *_CameraRoutes(cameras).all(), *further],
        exception_handlers={HTTPException: _refused, Exception: _refused},
    )


def asked_for(cameras: Mapping[str, Shown], request: Request) -> Shown:
    """The camera that a request names by `?camera=`, or the first one.

    Raises:
        HTTPException: There is no camera of that name.
    """
    name = request.query_params.get("camera", next(iter(cameras)))
    if name not in cameras:
        raise HTTPException(404)
    return cameras[name]


def _overview(cameras: Mapping[str, Shown]) -> list[JsonObject]:
    """Of each camera how it fares, and what is there."""
    found: list[JsonObject] = []
    for name, shown in cameras.items():
        told = shown.view.feed.results(time.monotonic())
        results = [
            {"zone": "", "decision": None, "known": None} | {key: one[key] for key in _TILE if key in one}
            for one in told["results"]
        ]
        found.append({"name": name, **told["health"], "frame_age_s": told["frame_age_s"], "results": results})
    return found


def _worst(overview: Sequence[JsonObject]) -> JsonObject:
    """The health of all cameras: that of the first that is not well, else of the first that is not live."""
    order = sorted(overview, key=lambda one: (one["ok"], one["state"] == "live"))
    worst = {name: order[0][name] for name in ("ok", "state", "reason", "frame_age_s")}
    named = f"{order[0]['name']}: {worst['reason']}" if worst["reason"] else ""
    return worst | {"reason": named, "cameras": {one["name"]: one["ok"] for one in overview}}


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(value), status, headers, "application/json")


def _message(name: str, value: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + to_json(value) + b"\n\n"
