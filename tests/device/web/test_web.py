"""The live page over real sockets: what it tells, to whom, and what hostile and slow clients can do."""

import errno
import http.client
import json
import logging
import math
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core import Frame, InputSpec, ModelCard
from edge_core.errors import OutputError, RuntimeMissingError, SettingsError
from edge_core.images import decode_picture
from edge_device.notices import Notice
from edge_device.results import Decision, Event, FrameResult, Latency, Prediction, SinkCounts, Status
from edge_device.sinks.web import TOKEN_VARIABLE, Address, WebPage, parse_address, read_token
from edge_device.sinks.web.address import listen, new_token
from edge_device.sinks.web.feed import Feed, to_json
from edge_device.sinks.web.picture import JpegPicture, PictureTaker
from edge_device.sources import SourceFrame

TOKEN = "correct-horse-battery-staple"
CARD = ModelCard(labels=("red", "green"), input=InputSpec(32, 32))
SECURITY_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "connection": "close",
}

pytest.importorskip("starlette", reason="the extra [web] is not installed")
pytest.importorskip("uvicorn", reason="the extra [web] is not installed")


def result(image: Frame, index: int = 0, zone: str = "", label: str = "red", score: float = 0.75) -> FrameResult:
    frame = SourceFrame(image, "/dev/video0", index, index / 10, 2.0)
    return FrameResult(frame, (Prediction(label, score), Prediction("green", 0.125)), Latency(2, 1, 3, 6), zone)


STATUS = Status(
    time=1e9,
    uptime_s=60,
    frames=100,
    frames_dropped=3,
    frames_still=0,
    fps=10,
    latency=Latency(2, 1, 3, 6),
    age_p95_ms=9,
    source="/dev/video0",
    source_mode="640x480",
    source_state="open",
    source_losses=0,
    model="tiny.tflite",
    model_sha256="ab" * 32,
    model_swaps=0,
    runtime="ai-edge-litert",
    device="cpu",
    threads=1,
    sinks={"web": SinkCounts(100)},
)


@contextmanager
def served(host: str = "127.0.0.1", **options: Any) -> Iterator[WebPage]:
    page = WebPage(Address(host, 0), **options)
    page.open(CARD)
    try:
        yield page
    finally:
        page.close()


@pytest.fixture
def page() -> Iterator[WebPage]:
    with served() as page:
        yield page


@pytest.fixture(scope="module")
def idle() -> Iterator[WebPage]:
    """A page that several tests ask, and that none hands anything to."""
    with served() as page:
        yield page


@pytest.fixture(scope="module")
def guarded() -> Iterator[WebPage]:
    """The same beyond loopback, with a token."""
    with served("0.0.0.0", token=TOKEN) as page:
        yield page


@contextmanager
def feeding(page: WebPage, image: Frame) -> Iterator[None]:
    """Hands frames over, 50 a second."""
    stopped = threading.Event()

    def run() -> None:
        index = 0
        while not stopped.wait(0.02):
            page.frame(result(image, index))
            index += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def port_of(page: WebPage) -> int:
    return int(page.url.rpartition(":")[2])


def ask(
    page: WebPage, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; of a response without end its first bytes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=60)) as connection:
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        endless = answer.headers.get_content_type() in ("text/event-stream", "multipart/x-mixed-replace")
        content = answer.read1(1000) if endless and method != "HEAD" else answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def raw(page: WebPage, data: bytes) -> bytes:
    """All that the server answers to these bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port_of(page)), timeout=60) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(1 << 16), b""))
        except TimeoutError:
            raise
        except OSError:  # it had enough before all was sent
            return b""


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode("latin-1")


def eventually(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def routes(page: WebPage) -> list[str]:
    """Every path there is, one that is none, and the one that the guard answers itself."""
    assert page._site
    paths = [route.path for route in page._site.app.routes]  # type: ignore[attr-defined]
    assert len(paths) >= 9
    return [*paths, "/login", "/nothing"]


def open_streams(page: WebPage) -> int:
    assert page._site
    return sum(page._site._shown[""].streams._open.values())


# Address and token


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8080", Address("127.0.0.1", 8080)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
        ("[::]:8080", Address("::", 8080)),
        ("raspberrypi.local:0", Address("raspberrypi.local", 0)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", ":", ":80", "host", "host:", "::1:80", "[::1]", "[x]:1", "h:65536", "h:-1", "a b:1", "h:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="no \\[HOST:\\]PORT"):
        parse_address(text)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    with suppress(SettingsError):
        assert 0 <= parse_address(text).port <= 65535


def test_a_taken_port_is_one_line(idle: WebPage) -> None:
    with pytest.raises(OutputError, match="Address already in use; choose another with --web") as caught:
        listen(Address("127.0.0.1", port_of(idle)))
    assert len(str(caught.value).splitlines()) == 1


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(OutputError, match=r"192\.0\.2\.1"):
        listen(Address("192.0.2.1", 0))


def test_a_token_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    token = read_token(tmp_path / "token", {})
    assert token and len(token) >= 43
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert read_token(tmp_path / "token", {TOKEN_VARIABLE: TOKEN}) == token
    assert read_token(None, {TOKEN_VARIABLE: f" {TOKEN}\n"}) == TOKEN
    assert read_token(None, {}) is None


def test_a_token_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of one, or an empty one, would keep a service from starting until a person removes it."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OutputError, match="No space left"):
        patched.setattr(os, "fsync", full)
        read_token(tmp_path / "token", {})
    assert not list(tmp_path.iterdir())
    link = os.link

    def meanwhile(source: Path, target: Path) -> None:
        target.write_text(TOKEN)
        link(source, target)

    monkeypatch.setattr(os, "link", meanwhile)
    assert read_token(tmp_path / "token", {}) == TOKEN
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_token_file_is_made_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def unknown(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", unknown)
    assert read_token(tmp_path / "token", {}) == (tmp_path / "token").read_text().strip()
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("token", ["", "short", "with a space inside it", "ümlaut-ümlaut-ümlaut", "x" * 257])
def test_a_bad_token_is_refused_and_not_repeated(tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token)
    for file, environment in ((tmp_path / "token", {}), (None, {TOKEN_VARIABLE: token})):
        with pytest.raises(SettingsError, match="was given no token") as caught:
            read_token(file, environment)
        assert not token or token not in str(caught.value)


def test_a_missing_extra_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("edge_device.sinks.web.", "starlette."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(RuntimeMissingError, match=r"pip install 'edge-mobilenet\[web\]'"):
        WebPage(Address(port=0)).open(CARD)


# Who may ask


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"])
def test_beyond_loopback_no_route_answers_without_the_token(guarded: WebPage, method: str) -> None:
    no_headers: dict[str, str] = {}
    for path in routes(guarded):
        for headers in (
            no_headers,
            {"Authorization": "Bearer wrong"},
            {"Authorization": TOKEN},
            {"Authorization": f"Basic {TOKEN}"},
            {"Cookie": f"edge_run_{port_of(guarded)}=wrong"},
            {"Accept": "text/html"},
        ):
            status, answered, body = ask(guarded, path, method, None, **headers)
            assert status == 401, (path, headers)
            assert answered["www-authenticate"] == "Bearer"
            assert TOKEN.encode() not in body
        if path != "/login":
            assert ask(guarded, f"{path}?token={TOKEN}", method)[0] == 401


def test_with_the_token_every_route_answers(color_frames: dict[str, Frame]) -> None:
    with served("0.0.0.0", token=TOKEN) as page, feeding(page, color_frames["red"]):
        for path in routes(page):
            expected = {"/login": 401, "/nothing": 404}.get(path, 200)
            assert ask(page, path, Authorization=f"Bearer {TOKEN}")[0] == expected, path


@pytest.mark.parametrize("root", ["/", "/cam/"])
def test_a_page_for_this_machine_alone_says_what_others_need(capfd: pytest.CaptureFixture[str], root: str) -> None:
    with served(root=root) as page:
        port = page.url.rpartition(":")[2]
        remark = f" (on this machine alone; for others give --web 0.0.0.0:{port})" if root == "/" else ""
        assert capfd.readouterr().err == f"live page: http://127.0.0.1:{port}/{remark}\n"


def test_a_bind_beyond_loopback_makes_a_token_and_prints_it_once(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with served("0.0.0.0") as page:
        said = capfd.readouterr()
        assert said.out == ""
        address, _, token = said.err.strip().partition("/login?token=")
        assert address == f"live page: {page.url}"
        assert len(token) >= 43 and " " not in token
        assert ask(page, "/healthz")[0] == 401
        assert ask(page, "/healthz", Authorization=f"Bearer {token}")[0] == 503
        assert ask(page, f"/login?token={token}")[0] == 303
        ask(page, f"/nothing?token={token}")
        raw(page, f"GET /login?token={token} HTTP/9.9\r\n\r\n".encode())
        page.open(CARD)
    said = capfd.readouterr()
    assert token not in said.out + said.err + caplog.text
    assert token not in page.url


def test_a_token_that_was_given_is_never_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with served("0.0.0.0", token=TOKEN):
        assert TOKEN not in "".join(capfd.readouterr())


def test_logging_in_gives_a_cookie_that_scripts_and_other_sites_cannot_use() -> None:
    with served("0.0.0.0", token=TOKEN) as page:
        status, headers, _ = ask(page, f"/login?token={TOKEN}")
        assert (status, headers["location"]) == (303, "/")
        cookie, *attributes = [part.strip().lower() for part in headers["set-cookie"].split(";")]
        assert {"httponly", "samesite=strict", "path=/"} <= set(attributes)
        assert TOKEN not in cookie
        assert ask(page, "/", Cookie=f"other=1; {cookie}")[0] == 200
        assert ask(page, "/", Cookie=f"{cookie}0")[0] == 401
    with served("0.0.0.0", token=TOKEN) as again:  # a restart logs nobody out
        assert ask(again, "/", Cookie=cookie.replace(str(port_of(page)), str(port_of(again))))[0] == 200
    with served("0.0.0.0", token=new_token()) as other:
        assert ask(other, "/", Cookie=cookie.replace(str(port_of(page)), str(port_of(other))))[0] == 401


@pytest.mark.parametrize("token", ["short", "with a space inside it", "ümlaut-ümlaut-ümlaut"])
def test_a_page_does_not_take_a_bad_token(token: str) -> None:
    with pytest.raises(SettingsError):
        WebPage(Address(), token=token)


def test_a_token_asked_for_on_loopback_is_asked_for() -> None:
    with served(token=TOKEN) as page:
        assert ask(page, "/healthz")[0] == 401


def test_guessing_ends_after_ten_wrong_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_device.sinks.web.guard import Guesses

    with served("0.0.0.0", token=TOKEN) as page:
        for _ in range(3 * Guesses.ALLOWED):  # a page left open with an old cookie
            assert ask(page, "/", Cookie=f"edge_run_{port_of(page)}=old")[0] == 401
        for number in range(1, Guesses.ALLOWED):
            assert ask(page, f"/login?token=wrong{number}")[0] == 401
        status, headers, _ = ask(page, "/", Authorization=f"Bearer {TOKEN}")
        assert status == 429
        assert 1 <= int(headers["retry-after"]) <= Guesses.WINDOW_S + 1
        monkeypatch.setattr(Guesses, "WINDOW_S", 0.0)
        assert ask(page, "/", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_guesses_are_counted_for_a_network_and_a_window_and_forgotten() -> None:
    from edge_device.sinks.web.guard import Guesses

    guesses = Guesses()
    for number in range(Guesses.ALLOWED):
        assert guesses.wait_s("2001:db8::1", 5.0) == 0
        guesses.add(f"2001:db8::{number}", str(number), 5.0)
    assert guesses.wait_s("2001:db8::ffff", 15.0) == 50
    assert guesses.wait_s("2001:db8:0:1::1", 15.0) == 0
    assert guesses.wait_s("2001:db8::1", 65.0) == 0
    guesses.add("2001:db8::1", "late", 65.0)
    assert guesses.wait_s("2001:db8::1", 65.0) == 0
    for number in range(5000):
        guesses.add(f"10.0.{number // 256}.{number % 256}", "x", 65.0)
    assert len(guesses._by_address) <= 1000


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "192.168.1.5", "", "[::2]", "["]
)
def test_on_loopback_another_name_is_refused_on_every_route(idle: WebPage, host: str) -> None:
    for path in routes(idle):
        assert ask(idle, path, Host=host)[0] == 421, path


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:8080", "127.1.2.3", "[::1]:80"])
def test_on_loopback_its_own_names_are_answered(idle: WebPage, host: str) -> None:
    assert ask(idle, "/", Host=host)[0] == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_link_here_but_not_load(idle: WebPage, site: str) -> None:
    for path in routes(idle):
        assert ask(idle, path, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="image")[0] == 403, path
        framed = ask(idle, path, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe")
        assert framed[0] == 403, path
    assert ask(idle, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")[0] == 200
    assert ask(idle, "/page.js", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="no-cors")[0] == 200


def test_every_answer_carries_the_security_headers(
    page: WebPage, guarded: WebPage, color_frames: dict[str, Frame]
) -> None:
    with feeding(page, color_frames["red"]):
        answers = [ask(page, path) for path in routes(page)]
        answers += [ask(page, "/", "POST"), ask(page, "/", Host="evil.example"), ask(guarded, "/")]
        answers += [ask(guarded, "/", Accept="text/html"), ask(guarded, f"/login?token={TOKEN}")]
    for status, headers, _ in answers:
        assert SECURITY_HEADERS.items() <= headers.items(), status
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "*" not in policy
        assert "server" not in headers
        assert not any(name.startswith("access-control") for name in headers)


# Hostile requests


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"])
def test_other_methods_are_not_allowed(idle: WebPage, method: str) -> None:
    for path in routes(idle):
        status, headers, _ = ask(idle, path, method)
        assert (status, headers["allow"]) == (405, "GET, HEAD"), path


def test_head_ends(page: WebPage, color_frames: dict[str, Frame]) -> None:
    with feeding(page, color_frames["red"]):
        for path in routes(page):
            status, _, body = ask(page, path, "HEAD")
            assert (status, body) == ({"/login": 303, "/nothing": 404}.get(path, 200), b""), path
    assert open_streams(page) == 0


@pytest.mark.parametrize(
    "path",
    [
        "/../../../etc/passwd",
        "/static/../page.py",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/page.css/../../page.py",
        "/..%2f..%2fpyproject.toml",
        "//etc/passwd",
        "/static/page.html",
        "/page.html",
        "/\\..\\page.py",
        "/page.py",
        "/page.js%00.html",
        "/%ff%fe",
        "http://evil.example/etc/passwd",
        "*",
    ],
)
def test_nothing_but_the_routes_can_be_read(idle: WebPage, path: str) -> None:
    head, _, body = raw(idle, get(path)).partition(b"\r\n\r\n")
    assert head.split()[1] in (b"404", b"400"), head
    assert b"root:" not in body and b"import" not in body


@pytest.mark.parametrize(
    "request_bytes",
    [
        get("/" + "a" * 100_000),
        get("/", "X-Long: " + "a" * 100_000),
        get("/", *(f"X-{number}: {number}" for number in range(10_000))),
        b"\0" * 50_000,
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        get("/", "Content-Length: -1"),
        get("/", "Content-Length: 5", "Content-Length: 6"),
        get("/", "Transfer-Encoding: gzip, chunked"),
        get("/\xff"),
        get("/", "Bad Header: x"),
        get("/", "X: \0"),
    ],
    ids=range(15),
)
def test_malformed_and_oversized_requests_are_refused_and_survived(idle: WebPage, request_bytes: bytes) -> None:
    answer = raw(idle, request_bytes)
    assert answer == b"" or answer.split()[1][:1] == b"4" or answer.split()[1] == b"501"
    assert ask(idle, "/")[0] == 200


def test_a_body_is_not_taken(idle: WebPage) -> None:
    for headers in (["Content-Length: 5"], ["Content-Length: 99999999999"], ["Transfer-Encoding: chunked"]):
        assert raw(idle, get("/", *headers)).split()[1] == b"413"
    assert ask(idle, "/", "GET", b"x" * 1000)[0] == 413
    assert ask(idle, "/", Content_Length="0")[0] == 200


@pytest.mark.parametrize("cookie", ["a=b; =; ;;;", '"', "a" * 4000, "edge_run=\\377", "x\xff=\xfe"])
def test_odd_cookies_and_queries_are_no_key(cookie: str) -> None:
    with served("0.0.0.0", token=TOKEN) as page:
        assert ask(page, "/", Cookie=cookie)[0] == 401
        for query in ("token", "token=%ff%00", "&" * 100, "a=1&" * 50, "token=" + "x" * 5000, "token=&token=" + TOKEN):
            assert ask(page, f"/login?{query}")[0] in (303, 401)


@settings(max_examples=100)
@given(
    st.binary(max_size=200)
    | st.builds(
        lambda path, name, value: (
            b"GET /" + path + b" HTTP/1.1\r\nHost: localhost\r\n" + name + b": " + value + b"\r\n\r\n"
        ),
        *([st.binary(max_size=30)] * 3),
    )
)
def test_any_bytes_are_survived(idle: WebPage, data: bytes) -> None:
    answer = raw(idle, data)
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert b" 500 " not in answer[:20]
    assert idle._site and idle._site.alive


def test_an_error_inside_tells_nothing(page: WebPage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(now_s: float) -> dict[str, Any]:
        raise RuntimeError("a secret")

    monkeypatch.setattr(page._feed, "state", broken)
    status, headers, body = ask(page, "/api/latest")
    assert status == 500
    assert json.loads(body) == {"error": "something went wrong here"}
    assert headers["x-content-type-options"] == "nosniff"


# Slow clients


def test_who_never_sends_a_request_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_device.sinks.web.server.REQUEST_S", 0.2)
    with served() as page:
        for begun in (b"", b"GET / HTTP/1.1\r\nHost: loc"):
            with socket.create_connection(("127.0.0.1", port_of(page)), timeout=60) as client:
                client.sendall(begun)
                assert ended(client)


def ended(client: socket.socket) -> bool:
    """Whether the other side ends the connection, one way or another."""
    with suppress(ConnectionResetError):
        while client.recv(1 << 16):
            pass
    return True


def slow_client(page: WebPage, path: str = "/stream.mjpg") -> socket.socket:
    """Asks for a stream and never reads it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    client.connect(("127.0.0.1", port_of(page)))
    client.sendall(get(path))
    return client


@pytest.fixture(scope="module")
def noise() -> Frame:
    """A frame whose JPEG is large: half a megabyte."""
    return np.random.default_rng(0).integers(0, 256, (720, 1280, 3)).astype(np.uint8)


def test_who_takes_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch, noise: Frame) -> None:
    monkeypatch.setattr("edge_device.sinks.web.server.STUCK_S", 0.3)
    with served(stream_fps=100) as page, slow_client(page) as client, feeding(page, noise):
        eventually(lambda: open_streams(page) == 1)
        eventually(lambda: open_streams(page) == 0)
        assert ended(client)


def test_two_hundred_slow_clients_cost_no_pictures_and_hold_nobody_up(
    monkeypatch: pytest.MonkeyPatch, noise: Frame
) -> None:
    taken = 0
    encode = PictureTaker.take

    def counted(camera: PictureTaker, *arguments: Any) -> Any:
        nonlocal taken
        picture = encode(camera, *arguments)
        taken += picture is not None
        return picture

    monkeypatch.setattr(PictureTaker, "take", counted)
    monkeypatch.setattr("edge_device.sinks.web.server.STUCK_S", 600.0)  # none is dropped meanwhile
    with served(clients=201, stream_fps=1000) as page:
        clients = [slow_client(page) for _ in range(200)]
        index = 0

        def frame() -> None:
            nonlocal index
            index += 1
            page.frame(result(noise, index))

        def buffered() -> list[int]:
            assert page._site
            connections = page._site._server._uvicorn.server_state.connections
            return [connection.transport.get_write_buffer_size() for connection in list(connections)]

        eventually(lambda: open_streams(page) == 200)
        while not (len(buffered()) == 200 and all(buffered()) and not page._camera.wanted):
            frame()
            time.sleep(0.01)
        stuck_at = taken
        for _ in range(1000):
            frame()
        assert taken <= stuck_at + 2  # all are stuck: nobody waits for a picture
        jpeg = len(cv2.imencode(".jpg", cv2.resize(noise, (960, 540)), [cv2.IMWRITE_JPEG_QUALITY, 75])[1])
        assert max(buffered()) < 1.2 * jpeg  # never more than one picture
        with feeding(page, noise):
            assert decode_picture(ask(page, "/frame.jpg")[2]).shape == (540, 960, 3)
        for client in clients:
            client.close()


def test_more_clients_than_allowed_are_told_to_come_later(color_frames: dict[str, Frame]) -> None:
    with served(clients=2) as page, feeding(page, color_frames["red"]):
        for path in ("/stream.mjpg", "/api/events"):
            clients = [slow_client(page, path) for _ in range(2)]
            eventually(lambda: open_streams(page) == 2)
            status, headers, body = ask(page, path)
            assert (status, headers["retry-after"]) == (503, "10")
            assert json.loads(body) == {"error": "2 clients are served already"}
            assert ask(page, "/api/latest")[0] == 200
            for client in clients:
                client.close()
            eventually(lambda: open_streams(page) == 0)
            assert ask(page, path)[0] == 200


def test_more_connections_than_can_be_are_cut() -> None:
    with served(clients=1) as page:
        clients = [socket.create_connection(("127.0.0.1", port_of(page)), timeout=60) for _ in range(300)]
        assert page._site
        connections = page._site._server._uvicorn.server_state.connections
        eventually(lambda: 0 < len(connections) <= 130)
        for client in clients:
            client.close()
        eventually(lambda: not connections)
        assert ask(page, "/")[0] == 200


# What it tells


def parts(data: bytes) -> list[bytes]:
    """The JPEGs of a multipart stream."""
    return [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in data.split(b"--frame\r\n")[1:-1]]


def read_stream(page: WebPage, path: str, enough: Callable[[bytes], bool]) -> bytes:
    with closing(http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=60)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        data = b""
        while not enough(data):
            data += answer.read1(1 << 16)
        return data


def test_the_stream_is_the_frames(page: WebPage, color_frames: dict[str, Frame]) -> None:
    with feeding(page, color_frames["red"]):
        shown = parts(read_stream(page, "/stream.mjpg", lambda data: data.count(b"--frame") > 3))
        shown.append(ask(page, "/frame.jpg")[2])
    assert len(shown) >= 4
    for jpeg in shown:
        image = decode_picture(jpeg)
        assert image.shape == color_frames["red"].shape
        assert np.abs(image.astype(int) - color_frames["red"]).max() < 12


def test_a_part_of_the_stream_ends_as_soon_as_it_was_sent(page: WebPage, color_frames: dict[str, Frame]) -> None:
    """A browser shows a part when the boundary after it has come: not only with the next picture."""
    done = threading.Event()

    def once() -> None:
        while not page._camera.wanted:
            time.sleep(0.01)
        page.frame(result(color_frames["red"]))
        done.set()

    threading.Thread(target=once).start()
    data = read_stream(page, "/stream.mjpg", lambda data: data.count(b"--frame\r\n") == 2)
    assert done.wait(60)
    (jpeg,) = parts(data)
    assert jpeg.endswith(b"\xff\xd9")


def test_a_frame_is_encoded_once_for_all_and_only_if_somebody_watches(
    monkeypatch: pytest.MonkeyPatch, color_frames: dict[str, Frame]
) -> None:
    encoded = 0

    def encode(image: Frame, quality: int) -> bytes:
        nonlocal encoded
        encoded += 1
        return b"picture %d" % encoded

    from edge_device.sinks.web.routes import Streams

    asked, next_picture = 0, Streams.next_picture

    async def counted(streams: Streams, number: int) -> JpegPicture:
        nonlocal asked
        asked += 1
        return await next_picture(streams, number)

    monkeypatch.setattr("edge_device.sinks.web.picture.encode_jpeg", encode)
    monkeypatch.setattr(Streams, "next_picture", counted)
    with served(stream_fps=1000) as page:
        for index in range(50):
            page.frame(result(color_frames["red"], index))
        assert encoded == 0
        with ThreadsReading(page, 3) as readers:

            def have_read(count: int) -> bool:
                return all(data.count(b"--frame\r\n") >= count for data in readers.read)

            eventually(lambda: open_streams(page) == 3)
            for index in range(50, 60):
                eventually(partial(have_read, index - 50))
                eventually(lambda index=index: asked == 3 * (index - 49))  # type: ignore[misc]  # all three wait
                shown = result(color_frames["red"], index, "left")
                for zone in ("left", "right"):
                    page.frame(replace(shown, zone=zone))
            eventually(lambda: all(len(parts(data)) >= 10 for data in readers.read))
        assert encoded == 10
        assert parts(readers.read[0])[:10] == parts(readers.read[1])[:10] == parts(readers.read[2])[:10]


class ThreadsReading:
    """Clients that read the stream of pictures, each in a thread."""

    def __init__(self, page: WebPage, count: int) -> None:
        self.read = [b""] * count
        self._clients = [slow_client(page) for _ in range(count)]
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def _run(self, number: int) -> None:
        with self._clients[number].makefile("rb") as answer:
            while (line := answer.readline()) != b"\r\n":
                assert line
            while size := int(answer.readline() or b"0", 16):  # chunked
                self.read[number] += answer.read(size)
                answer.readline()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client, thread in zip(self._clients, self._threads, strict=True):
            client.shutdown(socket.SHUT_RDWR)
            thread.join()
            client.close()


def test_pictures_come_no_faster_than_asked_for_and_no_larger(noise: Frame) -> None:
    camera = PictureTaker(fps=10)
    taken = []
    for index in range(300):  # ten seconds of 30 frames a second
        camera.wanted = True
        picture = camera.take(SourceFrame(noise, "", index, 0, 0, 100 + index / 30), 100 + index / 30)
        taken += [picture] if picture else []
    assert 99 <= len(taken) <= 101
    assert decode_picture(taken[0].jpeg).shape == (540, 960, 3)
    for index, shape in enumerate([(5000, 1, 3), (1, 5000, 3), (1, 1, 3)]):
        camera.wanted = True
        odd = camera.take(SourceFrame(np.zeros(shape, np.uint8), "", index, 0, 0, 1e6), 1e6 + index)
        assert odd and max(decode_picture(odd.jpeg).shape) <= 960


def test_a_picture_that_does_not_come_is_503(page: WebPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_device.sinks.web.routes._PICTURE_WAIT_S", 0.05)
    status, _, body = ask(page, "/frame.jpg")
    assert status == 503
    assert json.loads(body) == {"error": "no frame was classified yet"}


def test_latest_tells_all_there_is(page: WebPage, color_frames: dict[str, Frame]) -> None:
    empty = json.loads(ask(page, "/api/latest")[2])
    assert (empty["results"], empty["status"], empty["events"], empty["frame_age_s"]) == ([], None, [], None)
    for index in range(3):
        page.frame(result(color_frames["red"], index, "left"))
        page.frame(replace(result(color_frames["red"], index, "right"), decision=Decision(None, 0.3)))
    event = Event("entered", "red", "left", 1e9, 0.9, 0.0, 1)
    page.event(event)
    page.notice(Notice("info", "model", "replaced", 1e9))
    page.status(STATUS)
    told = json.loads(ask(page, "/api/latest")[2])
    assert [(one["zone"], one["frame"]) for one in told["results"]] == [("left", 2), ("right", 2)]
    assert told["results"][0]["top"] == [{"label": "red", "score": 0.75}, {"label": "green", "score": 0.125}]
    assert told["results"][1]["decision"] == {"label": None, "score": 0.3}
    assert told["events"] == [event.to_json()]
    assert told["notices"][0]["text"] == "replaced"
    assert told["status"]["fps"] == 10
    assert told["status"]["sinks"]["web"]["frames"] == 100
    assert told["model"]["labels"] == "2: red, green"
    assert told["health"] == {"ok": True, "state": "live", "reason": ""}


def test_another_model_leaves_no_scores_of_the_one_before(page: WebPage, color_frames: dict[str, Frame]) -> None:
    page.frame(result(color_frames["red"]))
    url = page.url
    page.open(ModelCard(labels=("cat", "dog"), input=InputSpec(32, 32)))
    told = json.loads(ask(page, "/api/latest")[2])
    assert page.url == url
    assert told["model"]["labels"] == "2: cat, dog"
    assert told["results"] == []


def messages(data: bytes) -> list[tuple[str, Any]]:
    blocks = [block.split(b"\n") for block in data.split(b"\n\n")[:-1]]
    return [
        (lines[0].removeprefix(b"event: ").decode(), json.loads(lines[1].removeprefix(b"data: ")))
        for lines in blocks
        if lines[0].startswith(b"event: ")
    ]


def test_the_stream_of_figures_begins_with_history_and_tells_what_changes(
    page: WebPage, color_frames: dict[str, Frame]
) -> None:
    page.frame(result(color_frames["red"]))
    told: set[int] = set()

    def enough(data: bytes) -> bool:
        states = [body for name, body in messages(data) if name == "state"]
        if len(states) == 1 and not told:
            told.add(1)
            page.event(Event("entered", "red", "", 1e9, 0.9, 0.0, 1))
        return len(states) == 2 and data.endswith(b"\n\n")

    (first, history), *rest = messages(read_stream(page, "/api/events", enough))
    assert first == "history"
    assert history[""][0][1] == {"red": 0.75, "green": 0.125}
    states = [body for name, body in rest if name == "state"]
    assert [len(state["events"]) for state in states] == [0, 1]
    assert rest[1][0] == "results"
    assert rest[1][1]["results"][0]["top"][0]["label"] == "red"


def test_a_loop_without_frames_still_sends_updates_with_a_growing_age(
    page: WebPage, color_frames: dict[str, Frame]
) -> None:
    page.frame(result(color_frames["red"]))
    data = read_stream(page, "/api/events", lambda data: data.count(b"event: results") == 3)
    ages = [body["frame_age_s"] for name, body in messages(data) if name == "results"]
    assert len(ages) >= 2 and ages == sorted(set(ages))


def test_health_is_what_a_monitor_wants_to_know(page: WebPage, color_frames: dict[str, Frame]) -> None:
    status, _, body = ask(page, "/healthz")
    assert (status, json.loads(body)["reason"]) == (503, "no frame was classified yet")
    page.frame(result(color_frames["red"]))
    status, _, body = ask(page, "/healthz")
    assert (status, json.loads(body)["state"]) == (200, "live")


@pytest.fixture
def red(color_frames: dict[str, Frame]) -> FrameResult:
    return result(color_frames["red"])


def health(feed: Feed, now_s: float) -> tuple[bool, str]:
    found = feed.health(now_s)
    return found.ok, found.state


def test_health_follows_frames_statistics_and_time(red: FrameResult) -> None:
    feed = Feed(health_s=10)
    assert health(feed, 100) == (False, "starting")
    for number in range(20):
        feed.add_result(replace(red, frame=replace(red.frame, index=number)), 100 + number / 10)
    assert health(feed, 104.8) == (True, "live")
    assert health(feed, 105) == (True, "late")
    assert health(feed, 112) == (False, "late")
    feed.set_status(replace(STATUS, source_state="waiting"), 106)
    assert health(feed, 107) == (True, "lost")
    assert health(feed, 112) == (False, "lost")
    assert feed.health(112).reason == "/dev/video0 is lost and being reopened; no frame was classified for 10 s"
    feed.set_status(replace(STATUS, frames_still=5), 113)
    assert health(feed, 114) == (True, "still")
    feed.set_status(replace(STATUS, frames_still=5), 118)
    assert health(feed, 126) == (False, "late")
    feed.add_result(replace(red, frame=replace(red.frame, index=20)), 127)
    assert health(feed, 128) == (True, "live")
    feed.set_status(replace(STATUS, source_state="frozen"), 128)
    assert health(feed, 128) == (False, "frozen")
    assert "frozen" in feed.health(128).reason
    feed.set_status(replace(STATUS, view="covered"), 128)
    assert health(feed, 128) == (False, "covered")
    assert "something covers the lens" in feed.health(128).reason
    feed.set_status(replace(STATUS, source_state="ended"), 129)
    assert health(feed, 129) == (False, "ended")


def test_a_slow_source_is_not_late(red: FrameResult) -> None:
    feed = Feed(health_s=10)
    for number in range(5):
        feed.add_result(replace(red, frame=replace(red.frame, index=number)), 100 + 20 * number)
    assert health(feed, 230) == (True, "live")
    assert health(feed, 250) == (False, "late")


def test_zones_of_one_frame_do_not_hide_how_seldom_frames_come(red: FrameResult) -> None:
    feed = Feed()
    for number in range(5):
        frame = replace(red.frame, index=number)
        for zone in range(8):
            feed.add_result(replace(red, frame=frame, zone=str(zone)), 100 + 4 * number + zone / 1000)
    assert health(feed, 116 + 8) == (True, "live")


def test_memory_is_bounded(red: FrameResult) -> None:
    feed = Feed()
    for number in range(2000):
        feed.add_result(red, number)
        feed.add_event(Event("entered", "red", "", 1e9, 0.9, 0.0, number))
        feed.add_notice(Notice("info", "loop", "x", 1e9))
    assert len(feed.state(2000)["events"]) == len(feed.state(2000)["notices"]) == 50
    assert feed.state(2000)["events"][-1]["number"] == 1999
    assert 119 <= len(feed.history(2000)[""]) <= 121


def test_no_image_is_kept(page: WebPage) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    before = sys.getrefcount(image)
    page._camera.wanted = True
    page.frame(result(image))
    page.frame(result(image, 1, "zone"))
    assert sys.getrefcount(image) == before


def test_json_is_what_browsers_read() -> None:
    value = {"nan": math.nan, "list": [math.inf, (1.5, None)], "name": "a\udc80\u2028<"}
    text = to_json(value).decode("ascii")
    assert json.loads(text) == {"nan": None, "list": [None, [1.5, None]], "name": "a\udc80\u2028<"}
    assert "\n" not in text


# Beginning and end


def test_a_server_that_has_ended_is_started_again_where_it_was(page: WebPage) -> None:
    url = page.url
    assert page._site
    page._site.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(page, "/")
    page.status(STATUS)
    assert page.url == url
    assert ask(page, "/")[0] == 200


def test_closing_cuts_all_and_leaves_nothing(color_frames: dict[str, Frame]) -> None:
    def held() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    before = held()
    for _ in range(3):
        with served() as page, feeding(page, color_frames["red"]):
            clients = [slow_client(page, path) for path in ("/stream.mjpg", "/api/events", "/stream.mjpg")]
            eventually(lambda page=page: open_streams(page) == 3)  # type: ignore[misc]
        page.frame(result(color_frames["red"]))  # one that was under way
        for client in clients:
            client.close()
    # What another test has left may end meanwhile.
    eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))
