"""What surrounds `edge-run live` in tests and experiments: models to swap, a camera, a real broker, a web server."""

import getpass
import json
import os
import random
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import cv2
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_core import InputSpec, ModelCard, complete
from edge_core.artifact.golden import read_golden
from edge_core.artifact.seal import seal
from edge_core.preprocess import Frame
from edge_device.inference.verify import sealed
from edge_device.notices import Notice
from edge_device.results import Event, FrameResult, Status
from edge_device.sinks.sink import Sink

from .programs import program

TESTS: Final = Path(__file__).parent
LABELS: Final = ("red", "green", "blue", "dark")
COLORS: Final = {"red": (10, 20, 250), "green": (10, 250, 20), "blue": (250, 10, 20), "dark": (9, 9, 9)}
MOSQUITTO: Final = program("mosquitto")
PATIENCE_S: Final = 60.0


def picture(label: str, width: int = 64, height: int = 48) -> Frame:
    """What the tests' tiny model calls so."""
    return np.full((height, width, 3), COLORS[label], np.uint8)


@cache
def jpeg(label: str, width: int = 640, height: int = 480) -> bytes:
    return cv2.imencode(".jpg", picture(label, width, height))[1].tobytes()


def network(side: int = 32, for_accelerator: bool = False) -> bytes:
    """The tests' tiny network, which takes pictures of any size; `for_accelerator` as Google's compiler would leave it,
    one operator that a delegate has to know: tests/device/inference/edgetpu_double.c does."""
    model = schema.ModelT.InitFromPackedBuf((TESTS / "models" / "tiny-uint8.tflite").read_bytes())
    (graph,) = model.subgraphs
    graph.tensors[graph.inputs[0]].shape = [1, side, side, 3]
    graph.tensors[graph.inputs[0]].shapeSignature = None
    if for_accelerator:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode, code.version = "edgetpu-custom-op", 1
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, list(graph.inputs), list(graph.outputs)
        model.operatorCodes, graph.operators = [code], [operator]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def tiny(labels: tuple[str, ...] = LABELS, side: int = 32, for_accelerator: bool = False) -> bytes:
    """A complete, sealed .tflite; one for an accelerator has its model for the CPU inside."""
    card = ModelCard(labels, InputSpec(side, side))
    plain = sealed(complete(network(side), card, "tiny"), [picture(label) for label in COLORS])
    if not for_accelerator:
        return plain
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        Path(file.name).write_bytes(plain)
        golden = read_golden(Path(file.name))
    return seal(complete(network(side, for_accelerator=True), card, "tiny", network(side)), golden)


def until(true: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
    """Waits for something to be true.

    Raises:
        TimeoutError: it is not.
    """
    end_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end_s:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """A port for a program that cannot be given one that is open: below those that the kernel gives to whoever asks for
    any, or the test in the next process had it before the program."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


class Recorder(Sink):
    """Writes down what it is told."""

    name = "recorder"

    def __init__(self) -> None:
        self.frames_seen: list[FrameResult] = []
        self.events: list[Event] = []
        self.notices: list[Notice] = []
        self.statuses: list[Status] = []
        self.closed = False

    def frame(self, result: FrameResult) -> None:
        self.frames_seen.append(result)

    def event(self, event: Event) -> None:
        self.events.append(event)

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)

    def status(self, status: Status) -> None:
        self.statuses.append(status)

    def close(self) -> None:
        self.closed = True


class Broker:
    """A mosquitto that forgets nothing but its connections, and a subscriber of its own that notes numbers of events.

    It keeps the subscriber's messages over a restart, as a broker does that one relies on.
    """

    PREFIX: Final = "edge/trial"

    def __init__(self, folder: Path) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.port = free_port()
        self.received: list[int] = []
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser {getpass.getuser()}\n"
            f"persistence true\npersistence_location {folder}/\nautosave_interval 1\nautosave_on_changes true\n"
        )
        self.start()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="receiver", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe(f"{self.PREFIX}/event", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _, __, message: self.received.append(json.loads(message.payload)["number"])
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        until(subscribed.is_set, "a subscription")

    @property
    def address(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}/{self.PREFIX}"

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen([str(MOSQUITTO), "-c", str(self._settings)], stdout=quiet, stderr=quiet)
        until(self._listens, "mosquitto listens")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self.process.kill()
        self.process.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed is no news."""


class Receiver:
    """A web server that notes the numbers of the events that it accepts, and does as `does` says.

    Attributes:
        does: "accept", "hang", "close", or the status to answer with.
        received: numbers of events that were answered with 200.
    """

    def __init__(self) -> None:
        self.does = "accept"
        self.received: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                does = outer.does
                if does == "hang":
                    time.sleep(60)
                if does in ("hang", "close"):
                    self.close_connection = True
                    return
                if does == "accept":
                    outer.received.append(event["number"])
                self.send_response(200 if does == "accept" else int(does))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class NetworkCamera:
    """Motion JPEG over HTTP, whose label changes every `TURN_S`; what it sends can be changed while it sends.

    Attributes:
        sends: "pictures", "nothing", "rubbish" between pictures, "damaged" pictures only, "huge" headers, "503".
        size: width and height of its pictures.
    """

    TURN_S: Final = 1.3
    """Above a second, for which a label stays at least."""

    def __init__(self, jpegs: Sequence[bytes] = (), fps: float = 20.0) -> None:
        """Begins to send.

        Args:
            jpegs: in place of pictures of two labels.
            fps: pictures a second.
        """
        self.sends = "pictures"
        self.size = (640, 480)
        self._jpegs, self._fps = jpegs, fps
        self._connections: set[socket.socket] = set()
        self._server: _Server | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/video.mjpg"

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if outer.sends == "503":
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                outer._connections.add(self.connection)
                with suppress(OSError):
                    for part in outer._parts():
                        self.wfile.write(part)
                outer._connections.discard(self.connection)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = _Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _parts(self) -> Iterator[bytes]:
        while True:
            pictures = self._jpegs or [jpeg(label, *self.size) for label in ("red", "blue")]
            data = pictures[int(time.monotonic() / self.TURN_S) % len(pictures)]
            if self.sends == "rubbish":
                data = os.urandom(random.randrange(20_000)) + data[: len(data) * 2 // 3] + data
            elif self.sends == "damaged":
                data = data[:200] + bytes(100) + data[-2:]
            elif self.sends == "huge":
                data = b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01" + data
            if self.sends != "nothing":
                yield b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + data + b"\r\n"
            time.sleep(1 / self._fps)

    def cut(self) -> None:
        """Breaks off the connections that there are."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.cut()
