"""Routes, guard and server put together. Needs the extra `web`."""

import socket

from edge_device.sinks.web.address import is_loopback
from edge_device.sinks.web.feed import Feed
from edge_device.sinks.web.guard import AT_THE_ROOT, Guard, Place
from edge_device.sinks.web.kept import KeptPictures
from edge_device.sinks.web.kept_routes import kept_routes
from edge_device.sinks.web.picture import JpegPicture, PictureTaker
from edge_device.sinks.web.routes import Streams, build_app
from edge_device.sinks.web.server import Server


class Site:
    """Serves a feed and the pictures of a camera on a socket."""

    def __init__(
        self,
        listener: socket.socket,
        host: str,
        feed: Feed,
        camera: PictureTaker,
        *,
        token: str | None,
        clients: int,
        place: Place = AT_THE_ROOT,
        kept: KeptPictures | None = None,
    ) -> None:
        """Starts to serve.

        Args:
            listener: Listening; closed at the end.
            host: What the address was called.
            feed, camera: What is shown.
            token: That is asked for; None: none is, which is for loopback alone.
            place: Where browsers see it.
            kept: Pictures that a person takes and fetches by it.
            clients: Largest number of clients of each stream.
        """
        self._streams = Streams(feed, camera, clients)
        self.app = build_app(feed, self._streams, kept_routes(kept) if kept else ())
        # Beyond loopback the token keeps other sites out, and nobody knows all names of this machine.
        hosts = frozenset({"localhost", host.lower()}) if is_loopback(listener) else None
        guard = Guard(self.app, token=token, hosts=hosts, port=listener.getsockname()[1], place=place)
        self._server = Server(listener, guard, 2 * clients, self._streams.keep_updating)

    @property
    def alive(self) -> bool:
        return self._server.alive

    def show(self, picture: JpegPicture) -> None:
        """Sends a picture to all who wait for one; called from any thread."""
        self._server.call(self._streams.pictures.put, picture)

    def stop(self) -> None:
        self._server.stop()
