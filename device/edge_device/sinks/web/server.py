"""uvicorn in a thread of its own, with limits on what one client may take."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge_device.sinks.web.guard import HEAD_BYTES

REQUEST_S: Final = 10.0
"""A client that has not sent its request within this is dropped."""

STUCK_S: Final = 10.0
"""So is one that has not taken within this what was sent to it."""

_SPARE: Final = 64
"""Connections beyond those of streams: requests that are answered at once, and clients that are told to come later."""

_STOP_S: Final = 0.4


class Connection(H11Protocol):
    """uvicorn's, which waits without end for a client that neither sends nor takes."""

    _waiting: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Whatever the kernel does not take at once counts as stuck, and holds the next picture back. Not 0: TLS pauses
        # at as much as the limit, not above it, so an empty buffer would be stuck for good.
        transport.set_write_buffer_limits(high=1)
        self._waiting = self.loop.call_later(REQUEST_S, self._give_up)
        if len(self.connections) > (self.config.limit_concurrency or 0) + _SPARE:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._waiting, self._stuck):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(STUCK_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck:
            self._stuck.cancel()

    def _give_up(self) -> None:
        if self.cycle is None:
            self.transport.abort()


@dataclass(frozen=True)
class CertificateFiles:
    """Where a certificate and its private key lie, both in PEM."""

    certificate: Path
    key: Path


def quiet_config(
    app: ASGIApp,
    connections: int,
    http: type[asyncio.Protocol] | Literal["h11"] = "h11",
    lifespan: Literal["on", "off"] = "off",
    certificate: CertificateFiles | None = None,
) -> uvicorn.Config:
    """uvicorn's settings for a page of ours: small heads, no WebSockets, no word of its own.

    Args:
        app: What is served.
        connections: Connections at once; more are told to come later.
        http: What speaks HTTP.
        lifespan: Whether the application is told of its beginning and its end.
        certificate: Certificate to serve HTTPS with; None serves HTTP.
    """
    return uvicorn.Config(
        app,
        http=http,
        ws="none",
        lifespan=lifespan,
        log_config=None,
        # Its messages are about what clients do wrong: one could fill a disk.
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        limit_concurrency=connections,
        ssl_certfile=certificate.certificate if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )


class Server:
    """Serves an ASGI application from a thread until it is stopped."""

    def __init__(
        self,
        listener: socket.socket,
        app: ASGIApp,
        streams: int,
        work: Callable[[], Coroutine[object, object, object]],
        certificate: CertificateFiles | None = None,
    ) -> None:
        """Starts to serve.

        Args:
            listener: Listening; closed at the end.
            app: What is served.
            streams: Connections that may stay, in all.
            work: Goes on beside it, in the same thread.
            certificate: Certificate to serve HTTPS with; None serves HTTP.
        """
        config = quiet_config(app, streams + _SPARE, Connection, certificate=certificate)
        self._uvicorn = uvicorn.Server(config)
        self._listener = listener
        self._work = work
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def call(self, function: Any, *arguments: Any) -> None:
        """Has a function called by the server's thread, soon."""
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(function, *arguments)

    def stop(self) -> None:
        """Cuts all connections and ends."""
        self.call(self._stop)
        self._thread.join(_STOP_S)

    def _stop(self) -> None:
        for connection in list(self._uvicorn.server_state.connections):
            connection.transport.abort()
        # By force: streams have no end that could be waited for.
        self._uvicorn.should_exit = self._uvicorn.force_exit = True

    def _run(self) -> None:
        with contextlib.closing(self._listener), asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        work = asyncio.create_task(self._work())
        work.add_done_callback(lambda _: self._stop())  # without it, pages would be told nothing
        try:
            await self._uvicorn.serve(sockets=[self._listener])
        finally:
            work.cancel()
