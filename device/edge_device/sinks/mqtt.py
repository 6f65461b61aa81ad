"""Results to an MQTT broker, described for Home Assistant's discovery.

    PREFIX/availability          online, offline (the last will)          retained
    PREFIX/state                 what is there: label, score, best        retained, on a change and every 10 s
    PREFIX/zones/ZONE/state      the same of a zone                       retained
    PREFIX/status                statistics, `problems` among them        retained
    PREFIX/event                 what entered or left                     QoS 1, the rest has QoS 0
    PREFIX/notice                what a person should know

Discovery: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, one retained message per entity, sent at
every connection and when Home Assistant announces its start.
"""

import hashlib
import json
import re
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final, Literal
from urllib.parse import unquote, urlsplit

from edge_core.artifact.card import ModelCard
from edge_core.errors import SettingsError
from edge_device.console import extra_needed
from edge_device.results import UNKNOWN, Event, FrameResult, Notice, Status
from edge_device.sinks.sink import Sink

ACKNOWLEDGED_S: Final = 1.0
"""How long the broker's acknowledgement of an event is waited for before others have their turn."""

CHANGED_S: Final = 0.5
REFRESHED_S: Final = 10.0
"""A state is sent at most so often when its label changes, and so often when only its score does."""

PATIENCE_S: Final = 5.0
"""A connection may take so long before it counts as a failure."""


@dataclass(frozen=True)
class Broker:
    """Where an MQTT broker is; as text without the password."""

    host: str
    port: int
    prefix: str
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"mqtt{'s' * self.tls}://{self.host}:{self.port}/{self.prefix}"


def parse_broker(text: str, password: str | None = None) -> Broker:
    """Takes `mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/PREFIX]` apart.

    Args:
        text: the address; the prefix is `edge-mobilenet/` and the host's name unless given.
        password: from a file or the environment, in place of one in the address.

    Raises:
        SettingsError: it is no such address; the message does not repeat it, for there may be a password in it.
    """
    form = "--mqtt takes mqtt://USER:PASSWORD@HOST:PORT/PREFIX, or mqtts:// with TLS"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise SettingsError(f"{form}; this has no such port or host") from None
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == 0:
        raise SettingsError(form)
    prefix = unquote(parts.path).strip("/")
    if "@" in prefix or parts.query or parts.fragment or "?" in text or "#" in text:
        raise SettingsError(f"{form}; in a password / @ ? and # are written %2F %40 %3F and %23")
    if re.search(r"[+\0]|//", prefix):
        raise SettingsError(f"the topic prefix {prefix!r} has a +, or two / in a row")
    tls = parts.scheme == "mqtts"
    return Broker(
        host=parts.hostname,
        port=port or (8883 if tls else 1883),
        prefix=prefix or f"edge-mobilenet/{_segment(socket.gethostname())}",
        tls=tls,
        user=unquote(parts.username) if parts.username else None,
        password=password if password is not None else unquote(parts.password) if parts.password else None,
    )


class Mqtt(Sink):
    """A connection that comes back by itself. An event counts as delivered once the broker has acknowledged it."""

    name = "mqtt"
    frames: ClassVar[Literal["all", "newest", "none"]] = "newest"

    def __init__(self, broker: Broker, discovery: str = "homeassistant", ca_file: Path | None = None) -> None:
        """Names the broker.

        Args:
            broker: see `parse_broker`.
            discovery: topic prefix of Home Assistant; empty: it is told nothing.
            ca_file: certificates that the broker's must be signed by; the system's unless given.
        """
        self._broker = broker
        self._discovery = discovery.strip("/")
        self._ca_file = ca_file
        self.client_id = "edge-" + _digest(f"{_machine()} {broker.prefix}", 16)
        self._client: Any = None
        self._acknowledged: deque[int] = deque(maxlen=4096)
        self._news = threading.Event()
        self._sent: tuple[int, int] | None = None
        self._why = "no connection yet"
        self._away_since = time.monotonic()
        self._states: dict[str, tuple[str, float, str]] = {}
        self._status: Status | None = None
        self._device: dict[str, Any] = {}

    def open(self, card: ModelCard) -> None:
        backbone = f"{card.backbone.name} {card.backbone.alpha}" if card.backbone else "classifier"
        self._device = {
            "identifiers": [self.client_id],
            "name": self._broker.prefix.rpartition("/")[2],
            "manufacturer": "edge-mobilenet",
            "model": f"{backbone}, {len(card.labels)} labels",
            "sw_version": version("edge-mobilenet"),
        }
        if self._client is None:
            self._start()

    def _start(self) -> None:
        with extra_needed("mqtt", "paho"):
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        broker = self._broker
        client = Client(CallbackAPIVersion.VERSION2, client_id=self.client_id)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_publish = self._on_connect_fail, self._on_publish
        client.on_message = self._on_message
        if broker.user is not None or broker.password is not None:
            client.username_pw_set(broker.user or "", broker.password)
        if broker.tls:
            try:
                client.tls_set_context(ssl.create_default_context(cafile=self._ca_file))
            except OSError as error:
                raise SettingsError(f"{self._ca_file} holds no certificates: {error}") from error
        client.will_set(self._topic("availability"), "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, 30)
        client.connect_async(broker.host, broker.port, keepalive=30)
        self._client = client
        client.loop_start()

    def frame(self, result: FrameResult) -> None:
        best = result.top[0] if result.top else None
        if result.decision:
            label, score = result.decision.label or UNKNOWN, result.decision.score
        else:
            label, score = (best.label, best.score) if best else (UNKNOWN, 0.0)
        new = result.zone not in self._states
        before, sent_s, _ = self._states.get(result.zone, ("", 0.0, ""))
        now_s = time.monotonic()
        if new or now_s - sent_s >= (CHANGED_S if label != before else REFRESHED_S):
            state = {
                "label": label,
                "score": round(score, 4),
                "zone": result.zone,
                "top": [{"label": one.label, "score": round(one.score, 4)} for one in result.top],
                "time": round(time.time(), 3),
            }
            self._states[result.zone] = label, now_s, json.dumps(state, ensure_ascii=False)
            if new:
                self._announce()
            self._publish(self._state_topic(result.zone), self._states[result.zone][2])

    def event(self, event: Event) -> None:
        if self._sent is None or self._sent[0] != event.number:
            self._check_connected()
            self._news.clear()
            message = self._client.publish(self._topic("event"), _json(event.to_json()), qos=1)
            self._sent = event.number, message.mid  # the client repeats it at the next connection: never send it again
        deadline_s = time.monotonic() + ACKNOWLEDGED_S
        while self._sent[1] not in self._acknowledged:
            self._news.clear()
            if self._sent[1] not in self._acknowledged and not self._news.wait(deadline_s - time.monotonic()):
                self._check_connected()
                raise TimeoutError(f"{self._broker} has not acknowledged event {event.number} yet")
        self._sent = None

    def notice(self, notice: Notice) -> None:
        self._publish(self._topic("notice"), _json(notice.to_json()), retain=False)

    def status(self, status: Status) -> None:
        first = self._status is None or self._status.model_sha256 != status.model_sha256
        self._status = status
        if first:
            self._device |= {"model": status.model, "hw_version": status.model_sha256[:12] or "unknown"}
            self._announce()
        self._publish(self._topic("status"), _json(_with_problems(status)))
        if time.monotonic() - self._away_since > PATIENCE_S:
            self._check_connected()

    def close(self) -> None:
        client = self._client
        if client is None:
            return
        self._publish(self._topic("availability"), "offline")
        client.disconnect()
        # While it connects or waits to, its thread ends when it likes; it is a daemon.
        stopping = threading.Thread(target=client.loop_stop, daemon=True)
        stopping.start()
        stopping.join(0.3)

    def _check_connected(self) -> None:
        if not self._client.is_connected():
            raise ConnectionError(f"{self._broker}: {self._why}")

    def _publish(self, topic: str, payload: str, retain: bool = True) -> None:
        """With QoS 0, and only when connected: what is retained is sent anew at every connection."""
        if self._client is not None and self._client.is_connected():
            self._client.publish(topic, payload, retain=retain)

    # What follows but `_announce` and the topics is called in the client's thread.

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del userdata, flags, properties
        if reason.is_failure:
            self._why = f"the broker says: {reason}"
            return
        if self._discovery:
            client.subscribe(f"{self._discovery}/status")
        self._refresh()

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        del client, userdata
        if message.payload == b"online" and not message.retain:
            self._refresh()

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del client, userdata, flags, properties
        self._away_since = time.monotonic()
        if not self._why.startswith("the broker says"):
            self._why = f"connection lost ({reason})"

    def _on_connect_fail(self, client: Any, userdata: Any) -> None:
        del client, userdata
        self._why = "no connection; is the broker running, and the address right?"

    def _on_publish(self, client: Any, userdata: Any, number: int, reason: Any, properties: Any) -> None:
        del client, userdata, reason, properties
        self._acknowledged.append(number)
        self._news.set()

    def _refresh(self) -> None:
        """Sends all that is retained: the broker may have forgotten it."""
        self._why = "connection lost"
        self._publish(self._topic("availability"), "online")
        self._announce()
        for zone, (_, _, state) in list(self._states.items()):
            self._publish(self._state_topic(zone), state)
        if self._status:
            self._publish(self._topic("status"), _json(_with_problems(self._status)))

    def _announce(self) -> None:
        if self._discovery:
            for topic, entity in self.entities().items():
                self._publish(topic, _json(entity))

    def entities(self) -> dict[str, dict[str, Any]]:
        """Discovery topics and what is told there, of the zones and readings seen so far."""
        found: dict[str, dict[str, Any]] = {}

        def entity(kind: str, key: str, name: str, topic: str, value: str, **fields: Any) -> None:
            found[f"{self._discovery}/{kind}/{self.client_id}/{key}/config"] = {
                "name": name,
                "unique_id": f"{self.client_id}_{key}",
                "state_topic": topic,
                "value_template": "{{ " + value + " }}",
                "availability_topic": self._topic("availability"),
                "device": self._device,
                **fields,
            }

        for zone in list(self._states) or [""]:
            topic = self._state_topic(zone)
            key, name = (f"zone_{_digest(zone, 8)}_", f"{zone} ") if zone else ("", "")
            percent = {"unit_of_measurement": "%", "state_class": "measurement", "suggested_display_precision": 0}
            entity("sensor", f"{key}label", f"{name}label", topic, "value_json.label", json_attributes_topic=topic)
            entity("sensor", f"{key}score", f"{name}score", topic, "(value_json.score * 100) | round(1)", **percent)
        status = self._topic("status")
        of_device = {"entity_category": "diagnostic"}
        measured = {**of_device, "state_class": "measurement"}
        problem = "'ON' if value_json.problems else 'OFF'"
        entity("binary_sensor", "problem", "problem", status, problem, device_class="problem", **of_device)
        entity(
            "sensor", "fps", "frame rate", status, "value_json.fps | round(1)", unit_of_measurement="fps", **measured
        )
        if self._status and self._status.temperature_c is not None:
            heat = {"unit_of_measurement": "°C", "device_class": "temperature"}
            entity("sensor", "temperature", "temperature", status, "value_json.temperature_c", **heat, **measured)
        return found

    def _topic(self, name: str) -> str:
        return f"{self._broker.prefix}/{name}"

    def _state_topic(self, zone: str) -> str:
        return self._topic(f"zones/{_segment(zone)}/state" if zone else "state")


def _with_problems(status: Status) -> dict[str, Any]:
    problems = [f"sink {name}: {counts.error}" for name, counts in status.sinks.items() if counts.error]
    if status.source_state == "waiting":
        problems.append(f"{status.source} is away")
    if status.fallback:
        problems.append(status.fallback)
    return {**status.to_json(), "problems": [*problems, *status.throttled]}


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)


def _segment(name: str) -> str:
    """A name as one level of a topic."""
    return re.sub(r"[+#/\0]", "_", name)


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _machine() -> str:
    """What tells this machine from others; the same after a restart. Never sent as it is: machine-id(5) forbids it."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return socket.gethostname()
