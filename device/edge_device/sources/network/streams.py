"""Network cameras: MJPEG and single pictures over HTTP, RTSP through FFmpeg.

No message, name or exception has a user name, a password or a query in it.
"""

import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    OpenerDirector,
    ProxyHandler,
    build_opener,
)

import cv2

from edge_core.errors import SourceError
from edge_device.sources.jpegs import JpegDecoder, JpegSplitter
from edge_device.sources.network.addresses import redact, split_address
from edge_device.sources.opencv import Retriever, quiet_ffmpeg
from edge_device.sources.source import Closing, Source, SourceFrame

STALLED_S: Final = 5.0
"""A camera that sends nothing for so long is lost; one that wakes up for a connection takes two or three."""

SNAPSHOT_FPS: Final = 1.0
"""How often a single picture is asked for, unless told otherwise: each takes a connection, and cameras are slow at
it."""

CHUNK: Final = 1 << 18
"""Bytes read at once, if there are so many: a few pictures at most."""

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

_STREAMS: Final = ("multipart/", "video/", "application/octet-stream")


class HttpCamera(Source):
    """Motion JPEG over HTTP, whatever is between the pictures, or a picture that is asked for again and again.

    The pictures are decoded at the size that is needed. Proxies are not used: a camera is near.
    """

    live = True

    def __init__(
        self, address: str, fps: float | None = None, covering: int | None = None, stalled_s: float = STALLED_S
    ) -> None:
        """Connects.

        Args:
            address: `http://user:password@camera/video.mjpg`, where it has such; basic and digest authentication.
            fps: How often a single picture is asked for; a stream comes as it likes.
            covering: Shorter side in pixels to decode at, see `edge_core.images.decode_picture`.
            stalled_s: A camera that sends no picture for so long is lost.

        Raises:
            SourceError: It cannot be reached, refuses, or sends something else.
        """
        self._address, user, password = split_address(address)
        self._name = redact(address)
        self._opener = _opener(self._address, user, password)
        self._stalled_s = stalled_s
        self._decoder = JpegDecoder(self._name, covering)
        self._damaged = 0
        self._opened = time.monotonic()
        self._closing = Closing(self._release)
        self._response = self._connect()
        # Without the header `get_content_type` says text/plain; what comes is looked through for JPEGs all the same.
        stated = "content-type" in self._response.headers
        content = self._response.headers.get_content_type() if stated else "application/octet-stream"
        self._interval_s = 1 / (fps or SNAPSHOT_FPS) if content in ("image/jpeg", "image/jpg", "image/pjpeg") else None
        if self._interval_s is None and not content.startswith(_STREAMS):
            self.close()
            raise SourceError(f"{self._name} sends {content}, which is neither a stream of JPEGs nor a JPEG")
        self.mode = f"JPEG every {self._interval_s:g} s" if self._interval_s else "MJPEG"

    @property
    def unreadable(self) -> int:
        return self._decoder.unreadable + self._damaged

    @property
    def cut(self) -> int:
        return self._decoder.cut

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives pictures without end.

        Raises:
            SourceError: The connection is lost, nothing comes any more, or only damaged pictures.
        """
        index = 0
        start = time.perf_counter()
        for picture in self._snapshots(self._interval_s) if self._interval_s else self._stream():
            taken = time.monotonic()
            image = self._decoder.decode(picture)
            if image is not None:
                capture_ms = 1e3 * (time.perf_counter() - start)
                yield SourceFrame(image, self._name, index, taken - self._opened, capture_ms, taken)
                index += 1
                start = time.perf_counter()

    def close(self) -> None:
        self._closing.asked.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # ends a read that waits
        self._closing.close()

    def _stream(self) -> Iterator[bytes]:
        """The newest of the pictures that have come, again and again."""
        splitter = JpegSplitter(self._response.headers.get_boundary("") or "")
        heard = time.monotonic()
        while not self._closing.asked.is_set():
            data = self._read()
            if not data and not self._closing.asked.is_set():
                raise SourceError(f"{self._name} has closed the connection")
            damaged = splitter.damaged
            pictures = splitter.feed(data)
            self._damaged += splitter.damaged - damaged
            if pictures:
                # The newest of what has come at once: to decode the others would show the past.
                yield pictures[-1]
                heard = time.monotonic()
            elif time.monotonic() - heard > self._stalled_s:
                raise SourceError(f"{self._name} has sent no picture for {self._stalled_s:g} s")

    def _snapshots(self, interval_s: float) -> Iterator[bytes]:
        """The picture that the camera has now, again and again."""
        due = time.monotonic()
        stream = self._stream()
        while True:
            with suppress(StopIteration):
                yield next(stream)
            due = max(due + interval_s, time.monotonic())
            if self._closing.asked.wait(due - time.monotonic()):
                return
            with self._closing.reading() as may:
                if not may:
                    return
                self._release()
                self._response = self._connect()
            # One picture of each connection is taken.
            stream = self._stream()

    def _connect(self) -> HTTPResponse:
        reason = ""
        try:
            response: HTTPResponse = self._opener.open(self._address, timeout=self._stalled_s)
            # Kept apart from the response, which must not be touched while another thread reads from it.
            self._socket = socket.socket(fileno=os.dup(response.fileno()))
            return response
        except HTTPError as error:
            error.close()
            reason = f"answers {error.code} {_PHRASES.get(error.code, error.reason)}"
            if error.code in (401, 403):
                reason += "; the address takes user name and password: http://NAME:PASSWORD@…"
        except URLError as error:
            reason = f"cannot be reached: {error.reason}"
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                reason += "; SSL_CERT_FILE names a file with the certificate to trust"
        except TimeoutError:
            reason = f"has not answered for {self._stalled_s:g} s"
        except ValueError:  # from urllib's handlers of authentication
            reason = "asks for another authentication than basic and digest, or for one of these in a way of its own"
        except (HTTPException, OSError) as error:
            reason = f"does not speak HTTP as it should ({type(error).__name__})"
        raise SourceError(f"{self._name} {reason}")

    def _read(self) -> bytes:
        with self._closing.reading() as may:
            if not may:
                return b""
            try:
                return self._response.read1(CHUNK)
            except TimeoutError:
                raise SourceError(f"{self._name} has sent nothing for {self._stalled_s:g} s") from None
            except (HTTPException, OSError, ValueError) as error:
                if self._closing.asked.is_set():
                    return b""
                raise SourceError(f"{self._name} has broken the connection off ({type(error).__name__})") from None

    def _release(self) -> None:
        self._response.close()
        self._socket.close()


class RtspCamera(Source):
    """A camera that speaks RTSP: H.264 or H.265, through OpenCV's FFmpeg, over TCP."""

    live = True

    def __init__(self, address: str, stalled_s: float = STALLED_S) -> None:
        """Connects.

        Args:
            address: `rtsp://user:password@camera:554/stream`, where it has such.
            stalled_s: A camera that sends nothing for so long is lost.

        Raises:
            SourceError: It cannot be reached, or gives no video.
        """
        bare, _, _ = split_address(address)
        self._name = redact(address)
        parts = urlsplit(bare)
        # The ports that IANA has for rtsp and rtsps.
        port = parts.port or (322 if parts.scheme == "rtsps" else 554)
        try:  # FFmpeg would not say why
            socket.create_connection((parts.hostname or "", port), stalled_s).close()
        except OSError as error:
            raise SourceError(f"{self._name} cannot be reached: {error.strerror or error}") from None
        quiet_ffmpeg()
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")  # UDP loses parts of frames
        self._opened = time.monotonic()
        milliseconds = round(1e3 * stalled_s)
        parameters = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds),
            *(cv2.CAP_PROP_N_THREADS, 1),  # each more delays the frames by one
        ]
        with _opencv_silenced():
            self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, parameters)
        if not self._capture.isOpened():
            raise SourceError(
                f"{self._name} answers, but gives no video; check the path, and user name and password: "
                "rtsp://NAME:PASSWORD@…"
            )
        self._closing = Closing(self._capture.release)
        self._retrieve = Retriever(self._capture)
        width, height, fps = (
            self._capture.get(name) for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
        )
        codec = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1")
        self.mode = f"{width:.0f}x{height:.0f} {codec} {fps:g} fps"

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives frames without end.

        Raises:
            SourceError: The connection is lost, or nothing comes any more.
        """
        index = 0
        while True:
            start = time.perf_counter()
            with self._closing.reading() as may:
                if not may:
                    return
                grabbed = self._capture.grab()
                taken = time.monotonic()
                image = self._retrieve() if grabbed else None
            if image is None:
                if self._closing.asked.is_set():
                    return
                raise SourceError(f"{self._name} has stopped sending after {index} frames")
            capture_ms = 1e3 * (time.perf_counter() - start)
            yield SourceFrame(image, self._name, index, taken - self._opened, capture_ms, taken)
            index += 1
            del image  # or it would count as used while the next is read

    def close(self) -> None:
        self._closing.close()


def _opener(address: str, user: str | None, password: str | None) -> OpenerDirector:
    if user is None:
        # An empty table: not the proxies of the environment either.
        return build_opener(ProxyHandler({}))
    passwords = HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, address, user, password or "")
    return build_opener(ProxyHandler({}), HTTPBasicAuthHandler(passwords), HTTPDigestAuthHandler(passwords))


@contextmanager
def _opencv_silenced() -> Iterator[None]:
    """OpenCV's own log would print an address that does not open, as it is."""
    log = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, else 5
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)
