"""A real Home Assistant with the MQTT sink: its own states and its own log, as a table. `make verify-home-assistant`.

Starts mosquitto, Home Assistant (MQTT by its configuration entry, REST by a token, nothing else) and `edge-run live`
with a fake camera, all on loopback. Exit status 1 where Home Assistant has made something else of it than it should.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import secrets
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np

LABELS = ("red", "unknown", "None", "dark")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class HomeAssistant:
    """A configuration of its own, and the REST interface."""

    def __init__(self, command: str, folder: Path, broker: int) -> None:
        self.port = free_port()
        self._key, self._token_id = secrets.token_hex(32), secrets.token_hex(16)
        (folder / ".storage").mkdir(parents=True)
        (folder / "configuration.yaml").write_text(
            f"homeassistant:\nhttp:\n  server_host: 127.0.0.1\n  server_port: {self.port}\napi:\n"
            "websocket_api:\ndevice_automation:\n"
            "logger:\n  default: warning\n"
        )
        self._store(folder, "auth", self._auth())
        self._store(folder, "core.config_entries", {"entries": [self._entry(broker)]})
        self._log = folder / "output.log"
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [*shlex.split(command), "--config", str(folder)], stdout=out, stderr=subprocess.STDOUT
            )

    @staticmethod
    def _store(folder: Path, key: str, data: dict[str, Any]) -> None:
        whole = {"version": 1, "minor_version": 1, "key": key, "data": data}
        (folder / ".storage" / key).write_text(json.dumps(whole))

    def _auth(self) -> dict[str, Any]:
        user = {"id": "u" * 32, "group_ids": ["system-admin"], "is_owner": True, "is_active": True, "name": "verify"}
        token = {
            "id": self._token_id,
            "user_id": user["id"],
            "client_id": None,
            "client_name": "verify",
            "client_icon": None,
            "token_type": "long_lived_access_token",
            "credential_id": None,
            "created_at": "2026-01-01T00:00:00+00:00",
            "access_token_expiration": 315360000.0,
            "token": secrets.token_hex(64),
            "jwt_key": self._key,
            "last_used_at": None,
            "last_used_ip": None,
        }
        return {
            "users": [user | {"system_generated": False, "local_only": False}],
            "groups": [{"id": "system-admin", "name": "Administrators"}],
            "credentials": [],
            "refresh_tokens": [token],
        }

    @staticmethod
    def _entry(broker: int) -> dict[str, Any]:
        return {
            "entry_id": "verify",
            "version": 1,
            "minor_version": 1,
            "domain": "mqtt",
            "title": "broker",
            "data": {"broker": "127.0.0.1", "port": broker},
            "options": {},
            "source": "user",
            "unique_id": None,
            "pref_disable_new_entities": False,
            "pref_disable_polling": False,
            "disabled_by": None,
            "created_at": "2026-01-01T00:00:00+00:00",
            "modified_at": "2026-01-01T00:00:00+00:00",
        }

    def _bearer(self) -> str:
        def part(value: bytes) -> str:
            return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

        now = int(time.time())
        claims = {"iss": self._token_id, "iat": now - 60, "exp": now + 3600}
        told = f"{part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{part(json.dumps(claims).encode())}"
        return f"{told}.{part(hmac.digest(self._key.encode(), told.encode(), hashlib.sha256))}"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._bearer()}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            content: bytes = answer.read()
        return content

    def socket(self) -> "Conversation":
        return Conversation(self.port, self._bearer())

    def states(self) -> dict[str, dict[str, Any]]:
        """By entity."""
        return {one["entity_id"]: one for one in json.loads(self.ask("/api/states"))}

    def complaints(self) -> list[str]:
        """What its log has to say about MQTT."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [line for line in lines if "mqtt" in line.lower() and ("WARNING" in line or "ERROR" in line)]


class Conversation:
    """Home Assistant's WebSocket interface: messages of JSON, one text frame each (RFC 6455)."""

    def __init__(self, port: int, token: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        head = f"GET /api/websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._socket.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self._reader = self._socket.makefile("rb")
        while self._reader.readline() not in (b"\r\n", b""):
            pass
        self._number = 0
        self.receive()
        self._send({"type": "auth", "access_token": token})
        if (answer := self.receive())["type"] != "auth_ok":
            raise SystemExit(f"error: Home Assistant does not let its WebSocket be used: {answer}")

    def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message).encode()
        length = (
            struct.pack("!BB", 0x81, 0x80 | len(text))
            if len(text) < 126
            else struct.pack("!BBH", 0x81, 0xFE, len(text))
        )
        self._socket.sendall(length + bytes(4) + text)  # a mask of zeros is a mask

    def receive(self) -> Any:
        _, length = struct.unpack("!BB", self._reader.read(2))
        if length > 125:
            (length,) = struct.unpack("!H" if length == 126 else "!Q", self._reader.read(2 if length == 126 else 8))
        return json.loads(self._reader.read(length))

    def ask(self, kind: str, **fields: Any) -> Any:
        """The result of a command; None where there is none."""
        self._number += 1
        self._send({"id": self._number, "type": kind, **fields})
        while (answer := self.receive()).get("type") != "result":
            pass
        return answer.get("result") if answer["success"] else answer["error"]


def until(true: Any, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if true():
                return True
        except OSError:
            pass
        time.sleep(0.3)
    return False


def model_file(path: Path) -> Path:
    """The tests' tiny model with labels of which two are words that Home Assistant keeps for itself."""
    from edge_core import InputSpec, ModelCard, complete

    tiny = Path(__file__).parents[1] / "models" / "tiny-uint8.tflite"
    path.write_bytes(complete(tiny.read_bytes(), ModelCard(labels=LABELS, input=InputSpec(32, 32)), "tiny"))
    return path


CAMERA = """
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments): pass
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=x")
        self.end_headers()
        while True:
            picture = Path(sys.argv[2]).read_bytes()
            head = b"--x\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: %d\\r\\n\\r\\n"
            self.wfile.write(head % len(picture) + picture + b"\\r\\n")
            time.sleep(0.1)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def picture_file(path: Path, color: tuple[int, int, int]) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(cv2.imencode(".jpg", np.full((96, 128, 3), color, np.uint8))[1].tobytes())
    os.replace(beside, path)


def verify(command: str, folder: Path, opened: ExitStack) -> list[tuple[str, bool, str]]:
    """What was looked at, whether it is as it should be, and what Home Assistant says."""

    def start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([str(argument) for argument in arguments], **options)
        opened.callback(process.kill)
        return process

    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    broker, camera_port, page = free_port(), free_port(), free_port()
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin") or "mosquitto"
    start(mosquitto, "-p", broker, **quiet)
    found = HomeAssistant(command, folder / "config", broker)
    opened.callback(found.process.kill)
    picture, model = folder / "picture.jpg", model_file(folder / "tiny.tflite")
    red, dark = (10, 20, 250), (60, 60, 60)
    picture_file(picture, dark)

    def camera() -> subprocess.Popen[bytes]:
        return start(sys.executable, "-c", CAMERA, camera_port, picture, **quiet)

    seen = camera()

    def live(*zones: str) -> subprocess.Popen[bytes]:
        return start(
            *(sys.executable, "-m", "edge_device", "live", model, "--source", f"http://127.0.0.1:{camera_port}/"),
            *("--threads", 1, "--threshold", 0.5, "--json", "--web", page),
            *("--mqtt", f"mqtt://127.0.0.1:{broker}/edge/porch", *zones, "--wait-for-source"),
            **quiet,
        )

    rows: list[tuple[str, bool, str]] = []

    def state(entity: str) -> str:
        return str(found.states().get(entity, {}).get("state", "not there"))

    def check(what: str, entity: str, wanted: Any, seconds: float = 60) -> None:
        right = until(lambda: wanted(state(entity)), seconds)
        rows.append((what, right, f"{entity}: {state(entity)}"))

    if not until(lambda: found.ask("/api/"), 600):
        raise SystemExit(f"error: Home Assistant did not start: {found._log.read_text(errors='replace')[-2000:]}")
    running = live()
    label = "sensor.porch_label"
    check("nothing believed is a word, not unknown", label, lambda text: text in ("nothing", "dark"), 60)
    picture_file(picture, red)
    check("a label that enters", label, lambda text: text == "red")
    check("score settles", "sensor.porch_score", lambda text: text.isdigit() and int(text) > 60)
    check("event entity", "event.porch_label_entered_or_left", lambda text: text.startswith("20"))
    check("picture of the last event", "image.porch_last_event", lambda text: text.startswith("20"))
    check("no problem", "binary_sensor.porch_problem", lambda text: text == "off")
    told = found.states()[label]["attributes"]
    options = told.get("options", [])
    rows.append(("enum with words that are not reserved", "unknown (label)" in options, str(options)))
    rows.append(("no time or list in the attributes", not {"time", "top"} & set(told), str(sorted(told))))
    link = found.ask("/api/template", {"template": f"{{{{ device_attr('{label}', 'configuration_url') }}}}"}).decode()
    rows.append(("link to the live page", link == f"http://127.0.0.1:{page}/", link))
    heard = found.socket()
    device = found.ask("/api/template", {"template": f"{{{{ device_id('{label}') }}}}"}).decode()
    listed = [one for one in heard.ask("device_automation/trigger/list", device_id=device) if one["domain"] == "mqtt"]
    told_of = sorted(f"{one['type']} {one['subtype']}" for one in listed)
    wanted = sorted(f"{kind} {label}" for kind in ("entered", "left") for label in LABELS)
    rows.append(("a trigger for each label that enters or leaves", told_of == wanted, ", ".join(told_of)))
    (left,) = [one for one in listed if (one["type"], one["subtype"]) == ("left", "red")]
    heard.ask("subscribe_trigger", trigger=left)
    picture_file(picture, dark)
    fired = heard.receive()["event"]["variables"]["trigger"]
    rows.append(("a trigger fires", fired["payload_json"]["label"] == "red", str(fired["payload_json"])[:80]))
    picture_file(picture, red)
    check("the label is back", label, lambda text: text == "red")
    seen.kill()
    check("a camera that is away", label, lambda text: text == "unavailable", 40)
    check("is told as a problem", "binary_sensor.porch_problem", lambda text: text == "on", 20)
    check("frame rate while it is away", "sensor.porch_frame_rate", lambda text: text == "0", 20)
    running.terminate()
    running.wait(10)
    running = live()
    time.sleep(8)
    rows.append(("a restart without a camera revives nothing", state(label) == "unavailable", state(label)))
    seen = camera()
    check("a camera that is back", label, lambda text: text in ("red", "nothing"), 60)
    running.terminate()
    running.wait(10)
    running = live("--zone", "door=0,0,0.5,1")
    check("a zone instead of the whole frame", "sensor.porch_door_label", lambda text: text == "red", 60)
    rows.append(("the entity that is gone is removed", state(label) == "not there", state(label)))
    running.terminate()
    running.wait(10)
    check("the end", "sensor.porch_door_label", lambda text: text == "unavailable", 10)
    from edge_device.sinks.mqtt.broker import parse_broker
    from edge_device.sinks.mqtt.publisher import Mqtt

    Mqtt(parse_broker(f"mqtt://127.0.0.1:{broker}/edge/porch")).forget()  # as `service uninstall` does
    check("a camera that is forgotten", "sensor.porch_door_label", lambda text: text == "not there", 10)
    complaints = found.complaints()
    rows.append(("no warning in its log", not complaints, complaints[0][:200] if complaints else "none"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hass", default="hass", help="Command that starts Home Assistant.")
    options = parser.parse_args()
    with ExitStack() as opened, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        rows = verify(options.hass, Path(folder), opened)
    for what, right, said in rows:
        print(f"{'ok  ' if right else 'FAIL'}  {what:45}  {said}")
    print(f"{sum(right for _, right, _ in rows)} of {len(rows)} as they should be")
    sys.exit(not all(right for _, right, _ in rows))


if __name__ == "__main__":
    main()
