"""Console, webhook, Prometheus, command and window, each with its real counterpart: a terminal, a server, a process."""

import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core import InputSpec, ModelCard
from edge_core.errors import OutputError, SettingsError, printable
from edge_device.notices import Notice
from edge_device.results import Decision, Event, FrameResult, Latency, Prediction, SinkCounts, Status
from edge_device.sinks import prometheus as prometheus_module
from edge_device.sinks import sink_queue as outlet_module
from edge_device.sinks.exec import Command, harmless, parse_command, substituted
from edge_device.sinks.prometheus import Prometheus, parse_listen
from edge_device.sinks.sink import Later, Refused
from edge_device.sinks.sink_queue import SinkQueues
from edge_device.sinks.terminal import Dashboard, FrameRate, JsonConsole, Lines, console
from edge_device.sinks.webhook import Webhook
from edge_device.sinks.window import Window
from edge_device.sources import SourceFrame

from ...programs import Started, needs

CARD = ModelCard(labels=("cat", "dog"), input=InputSpec(32, 32))
TOOK = Latency(8.1, 0.4, 2.3, 10.8)
STATUS = Status(
    1.7e9, 90_061, 9, 3, 0, 29.97, TOOK, 40, "/dev/video0", "1280x720", "open", 1, "m.tflite", "ab", 0, "r", "cpu", 2
)
HOSTILE = '-rf "x"\\\n\x1b[2J{label}$(touch hacked)/../etc/passwd'


def result(index: int = 0, label: str = "cat", zone: str = "", decision: Decision | None = None) -> FrameResult:
    frame = SourceFrame(np.zeros((4, 4, 3), np.uint8), "/dev/video0", index, index / 30, 8.1, 100 + index / 30)
    return FrameResult(frame, (Prediction(label, 0.9312), Prediction("dog", 0.05)), TOOK, zone, decision, 21.0)


def event(number: int = 1, label: str = "cat", zone: str = "") -> Event:
    return Event("left", label, zone, 1.7e9, 0.9, 12.34, number)


def until(true: Callable[[], object]) -> None:
    until_s = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until_s, "it has not come to that in 60 s"
        time.sleep(0.005)


# --- Console


def test_json_is_one_object_a_line_and_frames_are_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    sink = console(as_json=True)
    sink.frame(result(7))
    sink.event(event())
    sink.notice(Notice("warning", "source", "lost", 0.0))
    sink.status(STATUS)
    frame, *others = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert list(frame) == ["source", "frame", "time_s", "top", "latency_ms"]
    assert [one["type"] for one in others] == ["event", "notice", "status"]


def test_lines_are_plain_text_and_notices_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    sink = console()
    assert isinstance(sink, Lines)
    for index in range(31):
        sink.frame(result(index))
    sink.frame(result(31, HOSTILE, "door", Decision(None, 0.4)))
    sink.event(event(zone="door"))
    sink.notice(Notice("warning", "source", "lost", 0.0))
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    assert lines[30] == (
        "/dev/video0  1.00 s  cat 93.1 %  dog 5.0 %  30.0 fps  capture 8.1  preprocess 0.4  invoke 2.3 ms"
    )
    assert "door" in lines[31] and "-> unknown 40.0 %" in lines[31]
    assert "\x1b" not in output
    assert re.fullmatch(r"\d\d:\d\d:\d\d  cat left zone door after 12\.3 s  90 %", lines[32])
    assert len(lines) == 33
    assert errors == "warning: source: lost\n"


def test_a_reader_that_goes_away_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    told: list[int] = []
    with os.fdopen(os.dup(theirs), "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        sink = console(as_json=True, closed=lambda: told.append(1))
        assert isinstance(sink, JsonConsole)
        with pytest.raises(BrokenPipeError):
            sink.frame(result())
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), broken.fileno())  # for what is left to be flushed
    assert told == [1]


def test_a_dashboard_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    for name, value in {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}.items():
        monkeypatch.setenv(name, value)
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        sink = console()
        assert isinstance(sink, Dashboard)
        sink.open(CARD)
        failing = SinkCounts(events_lost=2, error="no connection")
        sink.status(replace(STATUS, temperature_c=51.0, sinks={"mqtt": failing}, fallback="no accelerator"))
        sink.event(event(label=HOSTILE, zone="door"))
        sink.notice(Notice("warning", "source", "was lost", 1.7e9))
        for zone in ("door", "yard"):
            sink._screen._drawn_s = 0
            sink.frame(result(1, zone=zone, decision=Decision("cat", 0.8)))
        sink.close()
        monkeypatch.undo()
        shown = ""
        while select.select([ours], [], [], 0.3)[0]:
            shown += os.read(ours, 1 << 16).decode(errors="replace")
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    for part in (
        *("m.tflite on cpu, 2 threads", "/dev/video0 1280x720 open", "door", "yard", "cat", "93.1 %", "80.0 %", "━"),
        *("30.0 fps", "capture 8.1", "total 10.8 ms", "age 21 ms", "3 dropped", "1 d 1:01:01", "51 °C"),
        *(
            "mqtt: no connection, 2 events lost",
            "on the CPU: no accelerator",
            "was lost",
            "left zone door after 12.3 s",
        ),
    ):
        assert part in text
    assert "\x1b[2J" not in shown


def test_a_dashboard_fits_a_small_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console as Terminal

    for width, height in ((20, 5), (1, 1), (300, 100)):
        dashboard = Dashboard(Terminal(force_terminal=True, width=width, height=height))
        dashboard.open(CARD)
        dashboard.frame(result(label="a very long label, longer than the terminal is wide"))
        dashboard.status(STATUS)
        dashboard.close()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_dashboard_folds_words_and_cuts_no_number(width: int) -> None:
    import io

    from rich.console import Console as Terminal

    text = io.StringIO()
    terminal = Terminal(file=text, width=width)
    dashboard = Dashboard(terminal)
    decided = replace(result(), decision=Decision("a very long label, longer than any terminal is wide " * 2, 0.987))
    for zone in ("door", "the yard behind the house"):
        dashboard._results[zone, 0] = replace(decided, zone=zone)
    dashboard._status = replace(STATUS, model="flowers-with-a-long-name-int8.tflite", frames=1_234_567)
    dashboard._events.append(
        "12:34:56  a label with a long name left zone the yard behind the house after 12345.6 s  87 %"
    )
    terminal.print(dashboard.picture())
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for figure in ("98.7", "93.1", "1280x720", "10.8", "1234567", "12345.6", "12:34:56", "87", "1:01:01"):
        assert figure in words, figure


def test_dashboards_of_several_cameras_share_a_terminal() -> None:
    import io

    from rich.console import Console as Terminal

    text = io.StringIO()
    terminal = Terminal(file=text, width=100, height=60, force_terminal=True)
    porch, gate = Dashboard(terminal), Dashboard(terminal)
    gate.join(porch)
    for one, camera in ((porch, "porch"), (gate, "gate")):
        one.open(CARD)
        one.status(replace(STATUS, camera=camera))
        one.frame(replace(result(label=f"{camera} cat"), camera=camera))
    porch.close()
    before = len(text.getvalue())
    gate.event(event(label="what comes late"))
    assert "what comes late" in text.getvalue()[before:]  # the last to close lets the terminal go
    gate.close()
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue()[before:])
    for part in ("porch: m.tflite", "porch cat", "gate: m.tflite", "gate cat"):
        assert part in last


@given(st.text())
def test_no_text_controls_the_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.translate(dict.fromkeys(map(ord, "\u200c\u200d\xa0"))).isprintable()
    assert shown == text or not text.isprintable()


def test_the_rate_is_of_frames_and_not_of_zones() -> None:
    rate = FrameRate()
    for index in range(10):
        for zone in ("door", "yard"):
            fps = rate.add(result(index, zone=zone))
    assert fps == pytest.approx(30)


# --- Webhook


class Server:
    """A real HTTP server that answers with what `answers` holds, then with 200."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, object]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append((self.path, dict(self.headers), json.loads(body)))
                status, headers = server.answers.pop(0) if server.answers else (200, {})
                if status == 0:  # never answers
                    time.sleep(1)
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def numbers(self) -> list[object]:
        return [body["number"] for _, _, body in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


def test_an_event_is_posted_as_json(server: Server) -> None:
    sink = Webhook(f"http://us%40er:pass@{server.address}/hook?key=1")
    sink.open(CARD)
    sink.event(event(label="Käse"))
    ((path, headers, body),) = server.requests
    assert path == "/hook?key=1"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic dXNAZXI6cGFzcw=="
    assert body == {"type": "event", **event(label="Käse").to_json(), "host": socket.gethostname()}
    Webhook(f"http://{server.address}", token="t0ken").event(event())
    assert server.requests[1][1]["Authorization"] == "Bearer t0ken"


def test_what_became_of_an_update_is_posted_and_no_other_notice(server: Server) -> None:
    sink = Webhook(f"http://{server.address}/hook")
    sink.notice(Notice("warning", "source", "it is lost", 1.0))
    sink.notice(Notice("warning", "update", "abc is refused: too slow", 2.0))
    ((_, _, body),) = server.requests
    assert (body["type"], body["about"], body["text"]) == ("notice", "update", "abc is refused: too slow")


@pytest.mark.parametrize("status", [500, 503, 408, 429])
def test_a_server_that_is_busy_gets_the_event_again(server: Server, status: int) -> None:
    server.answers = [(status, {"Retry-After": "7"})]
    with pytest.raises(Later, match=str(status)) as caught:
        Webhook(f"http://{server.address}/secret").event(event())
    assert caught.value.after_s == 7
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_server_that_refuses_does_not(server: Server, status: int) -> None:
    server.answers = [(status, {})]
    with pytest.raises(Refused, match=str(status)) as caught:
        Webhook(f"http://{server.address}/secret").event(event())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(server: Server, status: int) -> None:
    server.answers = [(status, {"Location": f"http://{server.address}/elsewhere"})]
    with pytest.raises(Refused, match="redirection"):
        Webhook(f"http://{server.address}/").event(event())
    assert len(server.requests) == 1


def test_a_server_that_is_silent_or_away_is_tried_again(server: Server) -> None:
    server.answers = [(0, {})]
    with pytest.raises(ConnectionError, match="does not answer"):
        Webhook(f"http://{server.address}/secret", timeout_s=0.1).event(event())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionError, match="does not answer") as caught:
            Webhook(f"http://127.0.0.1:{free.getsockname()[1]}/secret").event(event())
    assert "secret" not in str(caught.value)


def test_garbage_in_place_of_http_is_survived() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"SSH-2.0-nonsense\r\n" * 9)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ConnectionError):
            Webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/").event(event())
        thread.join()


def test_events_arrive_in_order_over_failures_and_refusals(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_module, "FIRST_PAUSE_S", 0.01)
    server.answers = [(200, {}), (503, {}), (500, {}), (404, {}), (429, {"Retry-After": "0"})]
    queues = SinkQueues([Webhook(f"http://{server.address}/")], CARD)
    for number in range(1, 6):
        queues.event(event(number))
    until(lambda: queues.counts()["webhook"].events == 4)
    assert server.numbers() == [1, 2, 2, 2, 3, 3, 4, 5]
    assert queues.counts()["webhook"].events_lost == 1
    assert queues.close(60) == []


@pytest.mark.parametrize(
    "url", ["", "ftp://h/secret", "file:///etc/secret", "http://", "http://h:x/secret", "http://h/a secret"]
)
def test_what_is_no_web_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="--webhook takes") as caught:
        Webhook(url)
    assert "secret" not in str(caught.value)


@given(st.text())
def test_any_retry_after_is_a_pause(text: str) -> None:
    from edge_device.sinks.webhook import _retry_after_s

    assert _retry_after_s(text) >= 0
    assert _retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _retry_after_s("Wed, 21 Oct 2099 07:28:00 GMT") > 1e9


# --- Prometheus


@pytest.fixture
def metrics() -> Iterator[Prometheus]:
    sink = Prometheus(port=0)
    sink.open(CARD)
    yield sink
    sink.close()


def ask(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=180)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def samples(text: str) -> dict[str, float]:
    """A reader of the text format: every line must be a comment or a sample."""
    found = {}
    label = r'[a-z_0-9]+="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
    for line in text.splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(rf"(edge_[a-z_0-9]+(?:\{{{label}(?:,{label})*\}})?) (\S+)", line)
            assert match, line
            assert match[1] not in found
            found[match[1]] = float(match[2])
    return found


def test_metrics_tell_of_frames_events_and_statistics(metrics: Prometheus) -> None:
    for index in range(4):
        metrics.frame(result(index, zone="door"))
    metrics.event(event(zone="door"))
    metrics.event(event(label=HOSTILE))
    metrics.open(CARD)  # a swapped model
    metrics.status(replace(STATUS, temperature_c=51.5, sinks={"mqtt": SinkCounts(events=7, failures=2)}))
    status, text = ask(metrics.port)
    found = samples(text)
    assert status == 200
    assert found['edge_frames_total{zone="door"}'] == 4
    assert found['edge_events_total{label="cat",zone="door",kind="left"}'] == 1
    assert found['edge_latency_seconds_bucket{stage="invoke",le="0.0025"}'] == 4
    assert found['edge_latency_seconds_bucket{stage="invoke",le="0.001"}'] == 0
    assert found['edge_latency_seconds_bucket{stage="total",le="+Inf"}'] == 4
    assert found['edge_latency_seconds_sum{stage="total"}'] == pytest.approx(0.0432)
    assert found["edge_age_seconds_count"] == 4
    assert found["edge_temperature_celsius"] == 51.5
    assert (found['edge_view{state="clear"}'], found['edge_view{state="moved"}']) == (1, 0)
    assert found['edge_sink_events_total{sink="mqtt"}'] == 7
    assert found['edge_info{model="m.tflite",sha256="ab",runtime="r",device="cpu"}'] == 1
    assert sum(HOSTILE[:3] in name for name in found) == 1
    typed = re.findall(r"# TYPE (\S+) (\S+)", text)
    assert len(typed) == len(dict(typed))
    for name in found:
        family = re.sub(r"_(bucket|sum|count)$", "", name.partition("{")[0])
        assert family in dict(typed)
        assert dict(typed)[family] != "counter" or family.endswith("_total")


def test_nothing_but_metrics_is_answered(metrics: Prometheus) -> None:
    assert ask(metrics.port)[0] == 200
    assert "temperature" not in ask(metrics.port)[1]
    for path in ("/", "/metrics/", "/../metrics", "/etc/passwd", "/metrics%00"):
        assert ask(metrics.port, path)[0] == 404
    assert ask(metrics.port, method="POST")[0] == 501


def test_a_token_is_demanded() -> None:
    sink = Prometheus(port=0, token="s3cret")
    sink.open(CARD)
    assert ask(sink.port)[0] == 401
    for wrong in ("Bearer", "Bearer s3cre", "Basic s3cret", "Bearer s3cret ä".encode().decode("latin-1")):
        assert ask(sink.port, Authorization=wrong)[0] == 401
    assert ask(sink.port, "/elsewhere")[0] == 401
    assert ask(sink.port, Authorization="Bearer s3cret")[0] == 200
    sink.close()


def test_a_machine_without_threads_to_spare_serves_again_once_it_has_some(
    metrics: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        for _ in range(prometheus_module.CLIENTS):
            with pytest.raises(OSError):
                ask(metrics.port)
    assert ask(metrics.port)[0] == 200


def test_slow_and_broken_clients_hold_nobody_up(metrics: Prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_module, "REQUEST_S", 1.5)  # long enough to be seen
    before = threading.active_count()
    slow = [socket.create_connection(("127.0.0.1", metrics.port)) for _ in range(30)]
    for client in slow:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
    until(lambda: threading.active_count() > before)
    assert threading.active_count() - before <= 2 * prometheus_module.CLIENTS
    metrics.frame(result())
    until(lambda: threading.active_count() <= before)
    monkeypatch.setattr(prometheus_module, "REQUEST_S", 60.0)  # who asks here may be slow, too
    assert ask(metrics.port)[0] == 200
    for client in slow:
        client.close()
    for garbage in (b"\x16\x03\x01" * 99, b"GET " + b"/" * 100_000 + b"\r\n\r\n", b"\r\n" * 99, b"X" * 70_000):
        with socket.create_connection(("127.0.0.1", metrics.port)) as client:
            client.sendall(garbage)
    until(lambda: threading.active_count() <= before)
    assert ask(metrics.port)[0] == 200


def test_beyond_loopback_a_token_is_needed_and_a_port_in_use_is_told(metrics: Prometheus) -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::", "pi.local", ""):
        with pytest.raises(SettingsError, match="give --token-file FILE, or EDGE_RUN_TOKEN"):
            Prometheus(host)
    Prometheus("0.0.0.0", token="x")
    Prometheus("::1")
    with pytest.raises(OutputError, match=f"127.0.0.1:{metrics.port}.*in use"):
        Prometheus(port=metrics.port).open(CARD)


def test_where_to_listen_is_read() -> None:
    assert parse_listen("9100") == ("127.0.0.1", 9100)
    assert parse_listen("0.0.0.0:80") == ("0.0.0.0", 80)
    assert parse_listen("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize("text", ["", "x", ":80", "host", "1:2:x", "70000", "h:-1", "http://h:80", "h:٣"])
def test_what_is_no_place_to_listen_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no "):
        parse_listen(text)


# --- Command


PYTHON = sys.executable
NOTE = (
    "import json, os, sys; json.dump([sys.argv[2:], dict(os.environ)], open(sys.argv[1], 'a')); "
    "open(sys.argv[1], 'a').write(chr(10))"
)


def notes(path: Path) -> list[tuple[list[str], dict[str, str]]]:
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()]


def test_a_command_gets_the_event_in_arguments_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_MQTT_PASSWORD", "hidden")
    words = parse_command("x -c y z {kind} {label} {zone} {score}-{duration} '{\"a\": 1}'")
    sink = Command([PYTHON, "-c", NOTE, str(tmp_path / "note"), *words[4:]])
    sink.open(CARD)
    sink.event(event(label="a cat", zone="door"))
    ((arguments, environment),) = notes(tmp_path / "note")
    assert arguments == ["left", "a cat", "door", "0.900-12.3", '{"a": 1}']
    given_ = {name: value for name, value in environment.items() if name.startswith("EDGE_")}
    assert given_ == {
        "EDGE_KIND": "left",
        "EDGE_LABEL": "a cat",
        "EDGE_ZONE": "door",
        "EDGE_SCORE": "0.900",
        "EDGE_DURATION_S": "12.3",
        "EDGE_TIME": "1700000000.000",
        "EDGE_NUMBER": "1",
    }
    sink.event(replace(event(), camera="porch"))
    assert notes(tmp_path / "note")[1][1]["EDGE_CAMERA"] == "porch"


def test_a_label_is_never_an_option_a_path_or_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = Command([PYTHON, "-c", NOTE, str(tmp_path / "note"), "{label}", "--name={label}"])
    sink.event(event(label=HOSTILE))
    ((arguments, environment),) = notes(tmp_path / "note")
    assert arguments == [harmless(HOSTILE), f"--name={harmless(HOSTILE)}"]
    assert not set(arguments[0]) & set("/\\$\"'{}\x1b\n")
    assert environment["EDGE_LABEL"] == HOSTILE
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("label", ["Glas & Flaschen", "Papier/Pappe", "♻ (1,5 l)", "d'Anjou", "50 % $"])
def test_a_label_that_nothing_reads_is_not_altered(label: str) -> None:
    values = {"label": label}
    words = ["notify-send", "{label}", "saw {label}!", "--name={label}"]
    assert substituted(words, values) == ["notify-send", label, f"saw {label}!", f"--name={label}"]


@pytest.mark.parametrize(
    "words",
    [
        ["python3", "-c", "print('{label}')"],
        ["ssh", "pi", "notify {label}"],
        ["curl", "-d", '{"label": "{label}"}'],
        ["touch", "seen/{label}"],
    ],
)
def test_a_label_that_something_would_read_is_made_harmless(words: list[str]) -> None:
    assert harmless(HOSTILE) in substituted(words, {"label": HOSTILE})[-1]


@given(st.text())
def test_a_label_that_is_shown_is_no_option_and_no_way_out_of_a_folder(text: str) -> None:
    made = substituted(["x", "{label}"], {"label": text})[1]
    assert made[:1] not in set("-+@</~.")
    assert ".." not in made.split("/") and made.isprintable()


def test_what_a_command_prints_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    Command([PYTHON, "-c", "import sys; print('sent', 1); print('slowly', file=sys.stderr)"]).event(event())
    assert capsys.readouterr().err == f"{PYTHON}: sent 1 slowly\n"


@given(st.text())
def test_any_text_is_made_harmless(text: str) -> None:
    made = harmless(text)
    assert not made or made[0] == "_" or made[0].isalnum()
    assert not set(made) & set("/\\$`\"'{}<>|;&*?~=@!#\n\0")


def test_a_command_that_fails_is_not_run_again_unless_it_asks(tmp_path: Path) -> None:
    told = "import sys; print('first'); print('it is', 'broken', file=sys.stderr); sys.exit(3)"
    with pytest.raises(Refused, match=r"ended with status 3: it is broken$"):
        Command([PYTHON, "-c", told]).event(event())
    with pytest.raises(OSError, match="status 75") as caught:
        Command([PYTHON, "-c", "import sys; sys.exit(75)"]).event(event())
    assert not isinstance(caught.value, Refused)
    gone = tmp_path / "gone"
    gone.write_text("#!/bin/true\n")
    gone.chmod(0o755)
    sink = Command([str(gone)])
    sink.open(CARD)
    gone.unlink()
    with pytest.raises(FileNotFoundError):
        sink.event(event())


def test_a_command_that_takes_too_long_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, pid = subprocess.Popen.wait, tmp_path / "pid"

    def once_it_hangs(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        until(lambda: pid.exists() and pid.read_text().endswith("\n"))
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", once_it_hangs)
    program = f"sleep 60 & echo $! > '{pid}'; wait"
    with pytest.raises(Refused, match=r"killed after 0\.2 s"):
        Command(["/bin/sh", "-c", program], timeout_s=0.2).event(event())
    child = int((tmp_path / "pid").read_text())
    until(lambda: has_ended(child))


def has_ended(process: int) -> bool:
    """Whether a process is gone, or dead and nobody has waited for it yet."""
    try:
        return "zombie" in Path(f"/proc/{process}/status").read_text()
    except OSError:  # it may go between any two looks at it
        return True


def test_a_command_that_hangs_does_not_outlive_the_end(tmp_path: Path) -> None:
    program = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    queues = SinkQueues([Command([PYTHON, "-c", program], timeout_s=60)], CARD)
    queues.event(event())
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    (said,) = queues.close(0.2)
    assert "abandoned" in said.text
    until(lambda: not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists())


def test_what_a_command_leaves_running_does_not_hold_it_up(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))"
    )
    Command([PYTHON, "-c", program]).event(event())
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "takes a command"),
        ("'' x", "takes a command"),
        ("say 'x", "quotation"),
        ("{label} x", "choose the program"),
        ("say {labels}", "no placeholder {labels}"),
        ("sh -c 'say {label}'", "EDGE_LABEL"),
        ("/bin/bash script {zone}", "EDGE_LABEL"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(reason) if "{" in reason else f"(?i){reason}"):
        parse_command(text)


def test_a_shell_may_read_the_environment(tmp_path: Path) -> None:
    sink = Command(parse_command(f"""sh -c 'printf %s "$EDGE_LABEL" > "{tmp_path}/note"'"""))
    sink.open(CARD)
    sink.event(event(label=HOSTILE))
    assert (tmp_path / "note").read_text() == HOSTILE


def test_a_program_that_is_not_there_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match="no program no-such-program"):
        Command(parse_command("no-such-program {label}")).open(CARD)


# --- Window


def test_a_window_without_a_desktop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SettingsError, match="DISPLAY"):
        Window().open(CARD)
    monkeypatch.setenv("DISPLAY", ":0.nowhere")
    with pytest.raises(SettingsError, match="cannot reach the desktop"):
        Window().open(CARD)
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    with pytest.raises(SettingsError, match="headless"):
        Window().open(CARD)


@needs("Xvfb")
def test_frames_are_shown_in_a_window() -> None:
    """In a process of its own, as Qt ends the one that it is in when it is not content."""
    program = """
import numpy as np
from edge_core import InputSpec, ModelCard
from edge_device.results import FrameResult, Latency
from edge_device.sinks.window import Window
from edge_device.sources import SourceFrame
window = Window()
window.open(ModelCard(labels=("cat", "dog"), input=InputSpec(32, 32)))
for index in range(3):
    frame = SourceFrame(np.zeros((48, 64, 3), np.uint8), "camera", index, 0.0, 0.0)
    window.frame(FrameResult(frame, (), Latency(0, 0, 0, 0)))
print(window._shown)
window.close()
"""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-noreset", "-screen", "0", "320x240x24"]
    with Started(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as desktop:
        os.close(writer)
        try:
            with os.fdopen(reader) as display:
                environment = os.environ | {"DISPLAY": f":{display.readline().strip()}"}
            environment["PYTHONPATH"] = os.pathsep.join(sys.path)
            run = [sys.executable, "-c", program]
            done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=180, check=False)
            assert done.returncode == 0, done.stderr
        finally:
            desktop.terminate()
    assert done.stdout == "True\n"
