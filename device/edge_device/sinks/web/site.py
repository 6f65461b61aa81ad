"""Routes, guard and server put together. Needs the extra `web`."""

import asyncio
import socket
from collections.abc import Mapping

from edge_device.sinks.web.address import is_loopback
from edge_device.sinks.web.camera_view import CameraView
from edge_device.sinks.web.guard import AT_THE_ROOT, Guard, Place
from edge_device.sinks.web.kept_routes import kept_routes
from edge_device.sinks.web.picture import JpegPicture
from edge_device.sinks.web.routes import Shown, Streams, build_app
from edge_device.sinks.web.server import Server
from edge_device.sinks.web.teach_routes import teach_routes


class Site:
    """Serves what is known of cameras, and their pictures, on a socket."""

    def __init__(
        self,
        listener: socket.socket,
        host: str,
        views: Mapping[str, CameraView],
        *,
        token: str | None,
        clients: int,
        place: Place = AT_THE_ROOT,
    ) -> None:
        """Starts to serve.

        Args:
            listener: Listening; closed at the end.
            host: What the address was called.
            views: What is shown, by the names of the cameras.
            token: That is asked for; None: none is, which is for loopback alone.
            clients: Largest number of clients of each stream of a camera.
            place: Where browsers see it.
        """
        self._shown = {name: Shown(one, Streams(one.feed, one.taker, clients)) for name, one in views.items()}
        self.app = build_app(self._shown, [*kept_routes(self._shown), *teach_routes(self._shown)])
        # Beyond loopback the token keeps other sites out, and nobody knows all names of this machine.
        hosts = frozenset({"localhost", host.lower()}) if is_loopback(listener) else None
        guard = Guard(self.app, token=token, hosts=hosts, port=listener.getsockname()[1], place=place)
        self._server = Server(listener, guard, 2 * clients * len(views), self._keep_updating)

    @property
    def alive(self) -> bool:
        return self._server.alive

    def show(self, camera: str, picture: JpegPicture) -> None:
        """Sends a picture of a camera to all who wait for one; called from any thread."""
        self._server.call(self._shown[camera].streams.pictures.put, picture)

    def stop(self) -> None:
        self._server.stop()

    async def _keep_updating(self) -> None:
        await asyncio.gather(*(one.streams.keep_updating() for one in self._shown.values()))
