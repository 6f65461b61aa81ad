"""Against real servers on loopback: http.server, and an RTSP server."""

import base64
import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_core.errors import SourceError
from edge_device.live.collecting import CollectSettings, collect
from edge_device.live.options import SOURCE_PASSWORD
from edge_device.sources import CameraMode, Decoding, Reconnecting, SourceFrame, open_source, redact
from edge_device.sources.network.addresses import split_address, with_password
from edge_device.sources.network.streams import HttpCamera, RtspCamera

from ...doubles import free_port, until

USER, PASSWORD = "admin", "geh/eim@"
AUTHORITY = "admin:geh%2Feim%40@"


def jpeg(level: int, height: int = 48, width: int = 64) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width, 3), level, np.uint8))[1].tobytes()


class Camera(BaseHTTPRequestHandler):
    """Paths are what is wrong with it."""

    protocol_version = "HTTP/1.1"
    requests: list[str]
    sent: ClassVar[int] = 0

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        type(self).requests.append(self.path)
        name = self.path.partition("?")[0].strip("/").replace("-", "_")
        with_login = {"basic": self._basic, "digest": self._digest}.get(name)
        if with_login and not with_login():
            return
        with suppress(OSError):  # the client has gone
            getattr(self, "do_" + name, self.do_stream)()
        self.close_connection = True

    def do_stream(self, pictures: int = 10**9, length: bool = True, boundary: bytes = b"--frame") -> None:
        self._head("multipart/x-mixed-replace; boundary=frame")
        for number in range(pictures):
            picture = jpeg(number % 250, 480, 640)
            head = b"%s\r\nContent-Type: image/jpeg\r\n" % boundary
            head += b"Content-Length: %d\r\n" % len(picture) if length else b""
            self.wfile.write(head + b"\r\n" + picture + b"\r\n")
            type(self).sent += 1
            time.sleep(0.01)

    def do_boundary_only(self) -> None:
        self.do_stream(length=False)

    def do_broken_boundary(self) -> None:
        self.do_stream(boundary=b"--something else")

    def do_chunked(self) -> None:
        self._head("multipart/x-mixed-replace; boundary=frame", **{"Transfer-Encoding": "chunked"})
        for number in range(10**9):
            data = b"--frame\r\n\r\n" + jpeg(number % 250)
            for part in (data[:100], data[100:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            time.sleep(0.01)

    def do_ends(self) -> None:
        self.do_stream(3)

    def do_cut(self) -> None:
        self.do_stream(3)
        self.wfile.write(b"--frame\r\n\r\n" + jpeg(1)[:99])

    def do_stalls(self) -> None:
        self.do_stream(3)
        time.sleep(30)

    def do_trickles(self) -> None:
        self._head("multipart/x-mixed-replace; boundary=frame")
        while True:
            self.wfile.write(b"\r\n")
            time.sleep(0.05)

    def do_garbage(self) -> None:
        self._head("multipart/x-mixed-replace; boundary=frame")
        while True:
            self.wfile.write(b"--frame\r\n\r\n" + b"\xff\xd8\xff\xe0\0\2\xff\xd9")
            time.sleep(0.001)

    def do_mute(self) -> None:
        time.sleep(30)

    def do_babble(self) -> None:
        self.wfile.write(b"220 mail.example ESMTP\r\n" * 3)

    def do_page(self) -> None:
        self._head("text/html; charset=utf-8")

    def do_missing(self) -> None:
        self.send_error(404)

    def do_snapshot(self) -> None:
        picture = jpeg(10 * len(self.requests))
        self._head("image/jpeg", **{"Content-Length": str(len(picture))})
        self.wfile.write(picture)

    def do_moved(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/snapshot")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _head(self, content: str, **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _refuse(self, challenge: str) -> bool:
        self.send_response(401)
        self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def _basic(self) -> bool:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == wanted or self._refuse('Basic realm="camera"')

    def _digest(self) -> bool:
        """RFC 2617, 3.2.2, with qop=auth."""
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', self.headers.get("Authorization", "")))

        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        secret = md5(f"{USER}:camera:{PASSWORD}")
        request = md5(f"GET:{given.get('uri')}")
        parts = [given.get(name, "") for name in ("nc", "cnonce", "qop")]
        if given.get("response") == md5(":".join([secret, "5ca1ab1e", *parts, request])):
            return True
        return self._refuse('Digest realm="camera", nonce="5ca1ab1e", qop="auth"')


@pytest.fixture
def handler() -> type[Camera]:
    return type("Handler", (Camera,), {"requests": []})


@pytest.fixture
def camera(handler: type[Camera]) -> Iterator[Callable[..., str]]:
    """The address of a path of a camera, `camera("stalls")`, with user and password `camera("basic", AUTHORITY)`."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield lambda path, authority="": f"http://{authority}127.0.0.1:{server.server_port}/{path}"
        server.shutdown()


@pytest.mark.parametrize("path", ["stream", "boundary-only", "broken-boundary", "chunked"])
def test_a_stream_gives_frames_whatever_its_framing(camera: Callable[..., str], path: str) -> None:
    with open_source(camera(path)) as source:
        assert source.live
        frames = list(islice(source, 5))
    assert [frame.index for frame in frames] == list(range(5))
    levels = [int(frame.image[0, 0, 0]) for frame in frames]
    assert levels == sorted(levels)
    assert len(set(levels)) > 2
    assert {frame.source for frame in frames} == {camera(path)}
    assert all(frame.time_s > 0 and frame.capture_ms > 0 for frame in frames)


def test_frames_are_decoded_at_the_size_that_is_needed(camera: Callable[..., str]) -> None:
    with open_source(camera("stream"), decoding=Decoding(covering=100)) as source:
        assert next(iter(source)).image.shape == (120, 160, 3)


def test_a_reader_that_is_slow_gets_the_newest_picture(camera: Callable[..., str], handler: type[Camera]) -> None:
    with open_source(camera("stream")) as source:
        frames = iter(source)
        first = next(frames)
        before = handler.sent
        until(lambda: handler.sent > before + 40, "more pictures")
        next(frames)
        second = next(frames)
    assert second.image[0, 0, 0] > first.image[0, 0, 0] + 15


@pytest.mark.parametrize(
    ("path", "count", "message"),
    [
        ("ends", 3, "has closed the connection"),
        ("cut", 3, "has closed the connection"),
        ("stalls", 3, r"has sent nothing for 3 s"),
        ("trickles", 0, r"has sent no picture for 3 s"),
        ("garbage", 0, "damaged pictures only"),
    ],
)
def test_a_stream_that_is_lost_ends_with_the_reason(
    camera: Callable[..., str], path: str, count: int, message: str
) -> None:
    frames: list[SourceFrame] = []
    stalled_s = 3 if path in ("stalls", "trickles") else 60  # it must answer within that, too
    with closing(HttpCamera(camera(path), stalled_s=stalled_s)) as source, pytest.raises(SourceError, match=message):
        frames.extend(source)
    assert len(frames) <= count
    assert bool(frames) == bool(count)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("page", "sends text/html, which is neither"),
        ("missing", "answers 404 Not Found"),
        ("basic", "answers 401 Unauthorized; the address takes user name and password"),
        ("digest", "answers 401 Unauthorized; the address takes user name and password"),
        ("mute", r"has not answered for 1 s"),
        ("babble", "does not speak HTTP"),
    ],
)
@pytest.mark.parametrize("authority", ["", "root:wr0ng@"])
def test_what_is_no_camera_is_refused_with_the_reason(
    camera: Callable[..., str], path: str, message: str, authority: str
) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        HttpCamera(camera(path, authority) + "?token=s3cret", stalled_s=1 if path == "mute" else 60)
    assert "wr0ng" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("path", ["basic", "digest"])
def test_user_and_password_open_it_and_are_seen_nowhere(camera: Callable[..., str], path: str) -> None:
    with open_source(camera(path, AUTHORITY)) as source:
        frame = next(iter(source))
        assert frame.source == camera(path)
        assert "eim" not in repr(source) + repr(frame) + source.mode


def test_a_single_picture_is_asked_for_again_and_again(camera: Callable[..., str]) -> None:
    with open_source(camera("moved"), CameraMode(fps=50)) as source:
        assert source.mode == "JPEG every 0.02 s"
        start = time.monotonic()
        frames = list(islice(source, 4))
        assert time.monotonic() - start >= 0.05
    assert [int(frame.image[0, 0, 0]) for frame in frames] == pytest.approx([20, 40, 60, 80], abs=2)


def test_nothing_listens(camera: Callable[..., str]) -> None:
    port = free_port()
    for address in (f"http://admin:s3cret@127.0.0.1:{port}/x", f"rtsp://admin:s3cret@127.0.0.1:{port}/x"):
        with pytest.raises(SourceError, match=r"cannot be reached.*refused") as caught, open_source(address):
            pass
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("path", ["stalls", "snapshot"])
def test_closing_ends_a_read_at_once(camera: Callable[..., str], path: str) -> None:
    with open_source(camera(path), CameraMode(fps=0.01)) as source:
        threading.Timer(0.3, source.close).start()
        start = time.monotonic()
        assert len(list(source)) <= 3
    assert time.monotonic() - start < 50  # stalled for 5 s it is lost, which would raise


def test_a_lost_stream_is_opened_again(camera: Callable[..., str]) -> None:
    told: list[str] = []
    address = camera("ends", AUTHORITY)

    def open_it() -> HttpCamera:
        return HttpCamera(address, stalled_s=60)

    with closing(Reconnecting(open_it, lambda notice: told.append(notice.text), pause_s=lambda attempt: 0.0)) as source:
        assert [frame.index for frame in islice(source, 7)] == list(range(7))
        assert source.losses >= 2
    assert told
    assert not any("eim" in text or USER in text for text in told)


def test_collecting_takes_the_password_from_the_environment(
    camera: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = CollectSettings(camera("basic", "admin@"), "cat", every_s=0, count=1)
    with pytest.raises(SourceError, match="401"):
        collect(settings, tmp_path)
    monkeypatch.setenv(SOURCE_PASSWORD, "geh/eim@")
    assert collect(settings, tmp_path).taken == 1


secrets = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\t"), min_size=1).map(
    lambda text: f"s3c{text}ret"
)


@given(st.sampled_from(["rtsp", "http", "https", "RTSP", "rtmp"]), secrets, secrets, secrets)
@example("http", "s3c?ret", "s3c/ret", "s3c#ret")
@example("rtsp", "s3c@ret", "s3c@ret", "s3c@ret")
def test_no_secret_is_left_in_an_address(scheme: str, user: str, password: str, token: str) -> None:
    for address in (
        f"{scheme}://{user}:{password}@camera:8554/stream?token={token}#{token}",
        f"{scheme}://{user}:{password}@camera:8554/stream",
        f"{scheme}://{user}@camera:8554/stream#{token.replace('@', '')}",
    ):
        shown = redact(address)
        assert "s3c" not in shown
        assert "ret" not in shown
        assert redact(shown) == shown
        try:
            bare, _, _ = split_address(address)
        except SourceError as error:
            assert "s3c" not in str(error)
        else:
            assert urlsplit(bare).netloc == "camera:8554"


def test_what_is_no_secret_stays() -> None:
    assert redact("rtsp://admin:x@camera:8554/stream?a=1") == "rtsp://camera:8554/stream"
    assert redact("http://192.168.0.9/video.mjpg") == "http://192.168.0.9/video.mjpg"
    for text in ("0", "/dev/video0", "photos/a@b?.jpg", "-", ""):
        assert redact(text) == text


@pytest.mark.parametrize(
    "address",
    [
        "ftp://admin:s3cret@camera/x",
        "http://",
        "http://admin:s3cret@camera:99999/x",
        "http://admin:s3cret/x@camera/y",
        "http://s3cret:1/x@camera/y",
        "http://admin:s3cret@[::1/x",
        "http://admin:s3cret@camera/a b",
        "http://admin:s3cret@camera/a\nb",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(SourceError) as caught, open_source(address, reconnect=True, wait=True):
        pass
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


class RtspServer:
    """A camera that speaks RTSP (RFC 2326) and sends JPEGs (RFC 2435) within its connection.

    Every path shows frames of growing brightness, 64x48, over and over; `ends` three of them, and `stalls` no more
    after three.
    """

    LEVELS: ClassVar[int] = 240
    """How much brighter they become before they begin anew, after 2.4 s."""

    def __init__(self, user: str, password: str) -> None:
        self._login = base64.b64encode(f"{user}:{password}".encode()).decode()

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as lines:
            while request := lines.readline().decode().split():
                fields = {}
                while line := lines.readline().decode().strip():
                    name, _, value = line.partition(":")
                    fields[name.lower()] = value.strip()
                method, address = request[:2]
                status, head, body = "200 OK", "", ""
                if self._login not in fields.get("authorization", "") and method != "OPTIONS":
                    status, head = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n'
                elif method == "DESCRIBE":
                    body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                    body += "m=video 0 RTP/AVP 26\r\na=control:one\r\n"
                    head = "Content-Type: application/sdp\r\n"
                elif method == "SETUP":
                    head = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                head += f"CSeq: {fields['cseq']}\r\nSession: 1\r\nContent-Length: {len(body)}\r\n"
                connection.sendall(f"RTSP/1.0 {status}\r\n{head}\r\n{body}".encode())
                if method == "PLAY":
                    self._play(connection, address.rstrip("/").rpartition("/")[2])
                    return

    def _play(self, connection: socket.socket, path: str) -> None:
        for number in range(3 if path in ("ends", "stalls") else 10**9):
            picture = jpeg(10 + 2 * number % self.LEVELS)
            tables = [
                picture[found.end() : found.end() + 64]
                for found in re.finditer(rb"\xff\xdb\0\x43.", picture, re.DOTALL)
            ]
            scan = picture[picture.index(b"\xff\xda") + 14 : -2]
            packet = struct.pack(">BBHII", 0x80, 0x80 | 26, number & 0xFFFF, 3000 * number, 1)  # last of its frame
            packet += struct.pack(">IBBBB", 0, 1, 255, 64 // 8, 48 // 8)  # 4:2:0, tables follow
            packet += struct.pack(">BBH", 0, 0, 128) + b"".join(tables) + scan
            connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
            time.sleep(0.02)
        if path == "stalls":
            connection.recv(1)
            time.sleep(20)


@pytest.fixture(scope="module")
def rtsp() -> Iterator[Callable[..., str]]:
    """As `camera`, but RTSP."""
    with RtspServer(USER, PASSWORD) as server:
        yield lambda path, authority="": f"rtsp://{authority}127.0.0.1:{server.port}/{path}"


def test_an_rtsp_camera_gives_frames(rtsp: Callable[..., str]) -> None:
    with open_source(rtsp("stream", AUTHORITY)) as source:
        assert source.live
        assert source.mode.startswith("64x48 MJPG")
        frames = list(islice(source, 5))
        assert "eim" not in repr(source) + repr(frames) + source.mode
    assert [frame.index for frame in frames] == list(range(5))
    levels = [int(frame.image[0, 0, 0]) for frame in frames]
    brighter = [(after - before) % RtspServer.LEVELS for before, after in pairwise(levels)]
    assert all(0 < step < RtspServer.LEVELS // 2 for step in brighter), levels
    assert {frame.source for frame in frames} == {rtsp("stream")}
    assert not any(np.shares_memory(frames[0].image, frame.image) for frame in frames[1:])


@pytest.mark.parametrize("authority", ["", "admin:wr0ng@"])
def test_an_rtsp_camera_that_refuses_is_named_without_the_password(
    rtsp: Callable[..., str], authority: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError, match="gives no video; check the path, and user name and password") as caught:
        RtspCamera(rtsp("stream", authority) + "?s3cret")
    assert "wr0ng" not in str(caught.value) + "".join(capfd.readouterr())


@pytest.mark.parametrize("path", ["ends", "stalls"])
def test_an_rtsp_camera_that_is_lost_ends_with_an_error(rtsp: Callable[..., str], path: str) -> None:
    frames: list[SourceFrame] = []
    source = RtspCamera(rtsp(path, AUTHORITY), stalled_s=3)  # it must answer within that, too
    with closing(source), pytest.raises(SourceError, match=r"has stopped sending after \d+ frames"):
        frames.extend(source)
    assert frames


def test_an_rtsp_camera_is_closed_while_it_is_read(rtsp: Callable[..., str]) -> None:
    with closing(RtspCamera(rtsp("stalls", AUTHORITY), stalled_s=3)) as source:
        threading.Timer(0.3, source.close).start()
        assert len(list(source)) <= 10


@pytest.mark.parametrize(
    ("address", "whole"),
    [
        ("rtsp://me@host/1", "rtsp://me:p%40s%2Fs@host/1"),
        ("rtsp://me:other@host/1", "rtsp://me:other@host/1"),
        ("rtsp://host/1", "rtsp://host/1"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_a_password_from_the_environment_goes_to_the_user_that_the_address_names(address: str, whole: str) -> None:
    assert with_password(address, "p@s/s") == whole
    assert with_password(address, None) == address
    if "://" in whole:
        assert redact(whole) == redact(address)
