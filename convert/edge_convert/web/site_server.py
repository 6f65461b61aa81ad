"""A site from memory to browsers: on this machine alone, or with a token and over HTTPS to the local network.

The server and the guard before it are the live page's. Needs the extra `web`.
"""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from edge_convert.web.phone_site import POLICY
from edge_core.errors import OutputError
from edge_device.sinks.web.address import is_loopback
from edge_device.sinks.web.guard import Guard
from edge_device.sinks.web.server import CertificateFiles, Server

CLIENTS: Final = 32

_CHUNK: Final = 64 << 10
"""Bytes that a phone must take in the time after which the server gives it up: 6 KB/s."""

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".bin": "application/octet-stream",
}
_TEXT: Final = (".html", ".js", ".css", ".txt", ".webmanifest", ".svg")
_FOR_EVER: Final = "private, max-age=31536000, immutable"


def read_site(path: Path) -> dict[str, bytes]:
    """The files of a site that `edge-convert web` wrote, a folder or a single HTML file, by their paths.

    Raises:
        OutputError: It is no such site, or cannot be read.
    """
    try:
        if path.is_file() and path.suffix == ".html":
            return {"index.html": path.read_bytes()}
        if not (path / "sw.js").is_file() or not (path / "index.html").is_file():
            raise OutputError(f"{path} is not a site; edge-convert web FILE --out {path} writes one")
        return {
            str(one.relative_to(path)): one.read_bytes()
            for one in sorted(path.rglob("*"))
            if one.is_file() and one.suffix in _TYPES
        }
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{path}: {error.strerror or error}") from error


class SiteServer:
    """Serves the files of a site from a thread until it is stopped.

    Attributes:
        port: Port that it listens on.
    """

    def __init__(
        self,
        listener: socket.socket,
        files: Mapping[str, bytes],
        *,
        token: str | None = None,
        certificate: CertificateFiles | None = None,
    ) -> None:
        """Starts to serve.

        Args:
            listener: Listening; closed at the end.
            files: Content of each file by its path in the site.
            token: Token that is asked for; None for none, which is for loopback alone.
            certificate: Certificate to serve HTTPS with; None serves HTTP.
        """
        hosts = frozenset({"localhost"}) if is_loopback(listener) else None
        self.port = int(listener.getsockname()[1])
        guard = Guard(site_app(files), token=token, hosts=hosts, port=self.port)
        self._server = Server(listener, guard, CLIENTS, asyncio.Event().wait, certificate)

    @property
    def alive(self) -> bool:
        return self._server.alive

    def stop(self) -> None:
        self._server.stop()


def site_app(files: Mapping[str, bytes]) -> Starlette:
    """The routes of a site, without a guard: what is in `files` is all that there is."""
    packed = {name: gzip.compress(content, 6, mtime=0) for name, content in files.items() if Path(name).suffix in _TEXT}
    whole = "sw.js" in files  # a single file brings its own policy, with the digests of its scripts

    async def answer(request: Request) -> Response:
        name = request.path_params["name"] or "index.html"
        if name not in files:
            return JSONResponse({"error": "there is nothing here"}, 404)
        headers = {
            "cache-control": _FOR_EVER if name.startswith("b-") else "no-cache",
            "content-security-policy": (POLICY if whole else "base-uri 'none'") + "; frame-ancestors 'none'",
            "permissions-policy": "camera=(self), geolocation=(), microphone=()",
            "vary": "accept-encoding",
        }
        content = files[name]
        if name in packed and "gzip" in request.headers.get("accept-encoding", ""):
            content = packed[name]
            headers["content-encoding"] = "gzip"
        headers["content-length"] = str(len(content))
        return StreamingResponse(_chunks(content), headers=headers, media_type=_TYPES[Path(name).suffix])

    return Starlette(routes=[Route("/{name:path}", answer)])


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]
