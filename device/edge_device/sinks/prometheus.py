"""Metrics for Prometheus, in its text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).

Written here, and not by prometheus-client: a dozen lines of format against another package on the Pi.
"""

import hmac
import ipaddress
import socket
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, get_args

from edge_core.artifact.card import ModelCard
from edge_core.errors import OutputError, SettingsError
from edge_device.results import Event, FrameResult, Status, View
from edge_device.sinks.sink import Sink
from edge_device.sinks.web.address import parse_address

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
CLIENTS: Final = 8
"""Requests at a time; a Prometheus has one."""

REQUEST_S: Final = 5.0
"""For a whole request, however slowly it drips in."""


def parse_listen(text: str) -> tuple[str, int]:
    """Takes `9100`, `HOST:9100` or `[::1]:9100` to an address and a port; without a host it is 127.0.0.1.

    Raises:
        SettingsError: It is none of these.
    """
    address = parse_address(text)
    return address.host, address.port


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Histogram:
    """How many values were below each of `BUCKETS_S`."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum = 0.0

    def add(self, value_s: float) -> None:
        # `le` includes its limit, so a value that equals one belongs to its bucket; the last bucket is +Inf.
        self.counts[bisect_left(BUCKETS_S, value_s)] += 1
        self.sum += value_s


class Prometheus(Sink):
    """Answers GET /metrics on a port of its own, for one camera or all of several."""

    name = "prometheus"

    def __init__(self, host: str = "127.0.0.1", port: int = 9100, token: str | None = None) -> None:
        """Names the address.

        Args:
            host: Address to listen on.
            port: 0 takes a free one; `port` tells which.
            token: Demanded as `Authorization: Bearer TOKEN`, Prometheus' `authorization: credentials`.

        Raises:
            SettingsError: Beyond loopback without a token.
        """
        if not token and not is_loopback(host):
            raise SettingsError(f"metrics on {host} can be read by others; give --token-file FILE, or EDGE_RUN_TOKEN")
        self._port = _Port(host, port, token)
        self._lock = threading.Lock()
        self._frames: Counter[str] = Counter()
        self._events: Counter[tuple[str, str, str]] = Counter()
        self._stages = {stage: Histogram() for stage in ("capture", "preprocess", "invoke", "total")}
        self._age = Histogram()
        self._status: Status | None = None
        self._opened = False
        self._port.sinks[""] = self

    @property
    def port(self) -> int:
        """Port that it listens on."""
        return self._port.port

    def join(self, first: "Prometheus", camera: str) -> None:
        """Offers its figures, with the name of a camera, at the address of the first one's; to be called before `open`.

        Args:
            first: The sink of the camera that is named first; it joins itself.
            camera: Value of the label `camera`.
        """
        first._port.sinks.pop("", None)
        first._port.sinks[camera] = self
        self._port = first._port

    def open(self, card: ModelCard) -> None:
        if not self._opened:
            self._port.open()
            self._opened = True

    def frame(self, result: FrameResult) -> None:
        took = result.latency
        with self._lock:
            self._frames[result.zone] += 1
            self._stages["capture"].add(took.capture_ms / 1e3)
            self._stages["preprocess"].add(took.preprocess_ms / 1e3)
            self._stages["invoke"].add(took.invoke_ms / 1e3)
            self._stages["total"].add(took.total_ms / 1e3)
            self._age.add(result.age_ms / 1e3)

    def event(self, event: Event) -> None:
        with self._lock:
            self._events[event.label, event.zone, event.kind] += 1

    def status(self, status: Status) -> None:
        self._status = status

    def close(self) -> None:
        if self._opened:
            self._opened = False
            self._port.close()

    def text(self) -> str:
        """All metrics, of all cameras."""
        return self._port.text()

    def metrics(self) -> Iterator["Metric"]:
        """The metrics of this camera alone."""
        with self._lock:
            yield Metric("frames_total", "counter", "Results by zone.", _by(("zone",), self._frames))
            events = _by(("label", "zone", "kind"), self._events)
            yield Metric("events_total", "counter", "Labels that entered or left.", events)
            yield _histograms("latency_seconds", "What a frame took, by stage.", "stage", self._stages)
            yield _histograms("age_seconds", "Of a frame when its result was there.", "", {"": self._age})
        if self._status:
            yield from _of_status(self._status)


Sample = tuple[str, Mapping[str, str], float]
"""What follows the name of a metric (`_bucket`), its labels and its value."""


@dataclass(frozen=True)
class Metric:
    """A metric as the format has it.

    Attributes:
        name: Name without the prefix.
        kind: "counter", "gauge" or "histogram".
        told: Help text.
        samples: Its values.
    """

    name: str
    kind: str
    told: str
    samples: Sequence[Sample]

    def lines(self) -> Iterator[str]:
        yield f"# HELP edge_{self.name} {self.told}"
        yield f"# TYPE edge_{self.name} {self.kind}"
        for suffix, labels, value in self.samples:
            yield f"edge_{self.name}{suffix}{_labels(labels)} {_number(value)}"


class _Port:
    """A port, and the sinks whose figures are read there, by camera; one without a name is alone."""

    def __init__(self, host: str, port: int, token: str | None) -> None:
        self.sinks: dict[str, Prometheus] = {}
        self.port = port
        self._host, self._token = host, token
        self._users = 0
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def open(self) -> None:
        """Serves for one sink more.

        Raises:
            OutputError: The address is taken, or not one of this machine.
        """
        with self._lock:
            if self._server is None:
                try:
                    self._server = _Server(self._host, self.port, self._token, self.text)
                except OSError as error:
                    raise OutputError(
                        f"metrics cannot be served at {self._host}:{self.port}: {error.strerror or error}"
                    ) from error
                self.port = self._server.server_address[1]
            self._users += 1

    def close(self) -> None:
        """One sink less; after the last one nobody serves."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._server:
                self._server.stop()

    def text(self) -> str:
        """All metrics, each once with the values of all cameras, as the format demands."""
        found: dict[str, Metric] = {}
        for camera, sink in self.sinks.items():
            for one in sink.metrics():
                samples = [
                    (suffix, {"camera": camera, **labels} if camera else labels, value)
                    for suffix, labels, value in one.samples
                ]
                before = found[one.name].samples if one.name in found else ()
                found[one.name] = replace(one, samples=[*before, *samples])
        return "\n".join([line for one in found.values() for line in one.lines()] + [""])


def _of_status(status: Status) -> Iterator[Metric]:
    plain: list[tuple[str, str, str, float | None]] = [
        ("uptime_seconds", "gauge", "Since the start.", status.uptime_s),
        ("frames_classified_total", "counter", "Frames.", status.frames),
        ("frames_dropped_total", "counter", "Superseded before they were looked at.", status.frames_dropped),
        ("frames_still_total", "counter", "Not classified because nothing moved.", status.frames_still),
        ("frames_unreadable_total", "counter", "Could not be decoded.", status.frames_unreadable),
        ("frames_cut_total", "counter", "Lacked their end, and were decoded as far as they go.", status.frames_cut),
        ("frames_per_second", "gauge", "Classified, lately.", status.fps),
        ("source_open", "gauge", "1 unless the source is away or its picture frozen.", status.source_state == "open"),
        ("source_losses_total", "counter", "How often the source was lost.", status.source_losses),
        ("model_swaps_total", "counter", "How often the model was replaced.", status.model_swaps),
        ("fallback", "gauge", "1 while the CPU stands in for the accelerator.", bool(status.fallback)),
        ("temperature_celsius", "gauge", "Of the processor.", status.temperature_c),
        ("throttled", "gauge", "1 while the processor is held back.", bool(status.throttled)),
        ("memory_bytes", "gauge", "Resident.", 1e6 * status.memory_mb),
    ]
    for name, kind, told, value in plain:
        if value is not None:
            yield Metric(name, kind, told, [("", {}, float(value))])
    views = [("", {"state": view}, float(view == status.view)) for view in get_args(View)]
    yield Metric("view", "gauge", "1 for what the picture of the camera shows now.", views)
    model = {"model": status.model, "sha256": status.model_sha256, "runtime": status.runtime, "device": status.device}
    yield Metric("info", "gauge", "What runs; always 1.", [("", model, 1.0)])
    for field, told in (
        ("frames", "Taken by a sink."),
        ("events", "Delivered by a sink."),
        ("frames_dropped", "A sink was too slow for."),
        ("events_lost", "A sink refused, or was down for too long for."),
        ("failures", "Attempts of a sink."),
    ):
        values = [("", {"sink": name}, float(getattr(counts, field))) for name, counts in status.sinks.items()]
        yield Metric(f"sink_{field}_total", "counter", told, values)


def _histograms(name: str, told: str, label: str, by_value: Mapping[str, Histogram]) -> Metric:
    samples: list[Sample] = []
    for value, histogram in by_value.items():
        labels = {label: value} if label else {}
        below = 0
        for limit, count in zip((*BUCKETS_S, float("inf")), histogram.counts, strict=True):
            # Buckets are cumulative in the format: each counts all values up to its limit.
            below += count
            samples.append(("_bucket", {**labels, "le": _number(limit)}, below))
        samples += [("_sum", labels, histogram.sum), ("_count", labels, below)]
    return Metric(name, "histogram", told, samples)


def _by(names: tuple[str, ...], counts: Mapping[str, int] | Mapping[tuple[str, str, str], int]) -> list[Sample]:
    keyed = [(key if isinstance(key, tuple) else (key,), count) for key, count in counts.items()]
    return [("", dict(zip(names, values, strict=True)), float(count)) for values, count in keyed]


def _labels(labels: Mapping[str, str]) -> str:
    escaped = (value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for value in labels.values())
    inside = ",".join(f'{name}="{value}"' for name, value in zip(labels, escaped, strict=True))
    return f"{{{inside}}}" if inside else ""


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else f"{value:.10g}"


class _Server(ThreadingHTTPServer):
    """At most `CLIENTS` requests at a time, each with `REQUEST_S`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, host: str, port: int, token: str | None, text: Callable[[], str]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.token, self.text = token, text
        self._free = threading.BoundedSemaphore(CLIENTS)
        super().__init__((host, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: object) -> None:
        # Not waited for here: this is the thread that accepts connections.
        if self._free.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except BaseException:  # no thread could be started, so that none gives the place back
                self._free.release()
                raise
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: object) -> None:
        def hang_up() -> None:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

        # A timeout of the socket would begin anew with every byte that drips in.
        deadline = threading.Timer(REQUEST_S, hang_up)
        deadline.daemon = True
        deadline.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            deadline.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: object) -> None:
        """A client that hangs up is no news."""

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "edge-mobilenet"
    sys_version = ""

    def do_GET(self) -> None:
        asked = self.headers.get("Authorization", "")
        wanted = f"Bearer {self.server.token}"
        # Takes as long whatever was shown, so that nobody finds a token letter by letter.
        if self.server.token and not hmac.compare_digest(asked.encode(errors="replace"), wanted.encode()):
            self._answer(401, "a token is needed: Authorization: Bearer TOKEN\n")
        elif self.path.partition("?")[0] != "/metrics":
            self._answer(404, "there is only /metrics\n")
        else:
            self._answer(200, self.server.text(), "text/plain; version=0.0.4; charset=utf-8")

    def _answer(self, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode(errors="backslashreplace")
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a request may hold a token."""
