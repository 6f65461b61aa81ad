"""Results to an MQTT broker, described for Home Assistant's discovery.

    PREFIX/availability          online, offline (the last will)                        retained
    PREFIX/state                 what is there: label, score, state, zone, top          retained
    PREFIX/zones/ZONE/state      the same of a zone                                     retained
    PREFIX/status                statistics, `problems` and `notices` among them        retained
    PREFIX/picture               JPEG of the moment when a label entered last           retained
    PREFIX/event                 what entered or left                                   QoS 1, the rest has QoS 0
    PREFIX/notice                what a person should know

Everything retained stands in one table, `_Retained`: it is sent at every connection, and what the broker still holds of
an earlier run and is not in the table is cleared.
"""

import json
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from edge_core.artifact.card import ModelCard
from edge_core.codec import JsonObject
from edge_core.errors import SettingsError
from edge_core.preprocess import Frame
from edge_device.command_line.console import extra_needed
from edge_device.frames.view_state import TOLD
from edge_device.notices import Notice
from edge_device.results import Event, FrameResult, Status, box_to_json
from edge_device.sinks.mqtt.broker import (
    NO_CERTIFICATES,
    Broker,
    Certificates,
    digest,
    hung_up,
    machine,
    why_no_connection,
    why_refused,
)
from edge_device.sinks.mqtt.home_assistant import NOTHING, CameraDevice, Topics, bundle, without, words
from edge_device.sinks.sink import Sink
from edge_device.sinks.web.picture import page_jpeg

CLOSING_S: Final = 1.0
"""So long the broker's answer is waited for at the end."""

ACKNOWLEDGED_S: Final = 1.0
"""How long the broker's acknowledgement of an event is waited for before others have their turn."""

CHANGED_S: Final = 0.5
REFRESHED_S: Final = 10.0
"""A state is sent at most so often when its label or score changes, and so often when nothing does."""

SCORE_STEP: Final = 0.05
"""By how much a score must differ from the one that was sent to be sent before its time."""

TOP: Final = 10
"""Labels in a state: a thousand would be 70 kB, and Home Assistant's recorder keeps 16 kB."""

NOTICES: Final = 5
"""In the statistics, for who looks later."""

PATIENCE_S: Final = 5.0
"""A connection may take so long before it counts as a failure."""


@dataclass(frozen=True)
class MqttSettings:
    """What is told, and to whom.

    Attributes:
        discovery: Topic prefix of Home Assistant; empty: it is told nothing.
        certificates: Certificate files for TLS.
        picture: Whether the picture of the last event is sent.
        page: Gives the address of the live page once there is one, else an empty text.
    """

    discovery: str = "homeassistant"
    certificates: Certificates = NO_CERTIFICATES
    picture: bool = True
    page: Callable[[], str] = lambda: ""


def _believed(result: FrameResult) -> tuple[str | None, float]:
    """Label and score of a state: what was decided, else the best label; none where the frame is foreign."""
    if result.decision:
        return result.decision.label, result.decision.score
    if result.top and result.known is not False:
        return result.top[0].label, result.top[0].score
    return None, 0.0


def _more(result: FrameResult) -> JsonObject:
    """What a state has beside label and score."""
    fields: JsonObject = {} if result.known is None else {"known": result.known}
    if result.subject:
        subject = result.subject
        fields |= {"track": subject.track, "box": box_to_json(subject.box), "subjects": subject.of}
    return fields


class _Retained:
    """What the broker should hold, by topic."""

    def __init__(self) -> None:
        self._wanted: dict[str, bytes] = {}

    def set(self, topic: str, payload: bytes) -> None:
        self._wanted[topic] = payload

    def all(self) -> list[tuple[str, bytes]]:
        return list(self._wanted.items())

    def get(self, topic: str) -> bytes | None:
        return self._wanted.get(topic)


@dataclass(frozen=True)
class _Sent:
    """A zone's state as it was sent, and when."""

    label: str | None
    score: float
    at_s: float


class Mqtt(Sink):
    """A connection that comes back by itself. An event counts as delivered once the broker has acknowledged it.

    Attributes:
        identity: Identity of the device, the same after a restart.
        client_id: Client identifier of this process alone: a broker throws out the older of two clients with one
            id.
    """

    name = "mqtt"
    frames: ClassVar[Literal["all", "newest", "none"]] = "newest"
    wants_image: ClassVar[bool] = True

    def __init__(self, broker: Broker, zones: Sequence[str] = ("",), settings: MqttSettings = MqttSettings()) -> None:
        """Names the broker.

        Args:
            broker: Address of the broker, see `parse_broker`.
            zones: Names of the zones, one empty name for the whole frame.
            settings: What is published, and how.
        """
        self._broker = broker
        self._zones = tuple(zones)
        self._settings = settings
        self._discovery = settings.discovery.strip("/")
        self._topics = Topics(broker.prefix)
        self.identity = "edge-" + digest(f"{machine()} {broker.prefix}", 16)
        self.client_id = f"edge-{self.identity[5:13]}-{secrets.token_hex(4)}"
        self._client: Any = None
        # Message ids come around after 65,535; those of long ago have left this queue by then.
        self._acknowledged: deque[int] = deque(maxlen=4096)
        self._news = threading.Event()
        self._subscribed = threading.Event()
        self._unsubscribed = threading.Event()
        self._in_flight: tuple[int, int] | None = None
        self._why = "no connection yet"
        self._refused = False
        # From the start on: a connection that takes a moment to come about is not yet a failure.
        self._away_since = time.monotonic()
        self._retained = _Retained()
        # What is retained is set and sent under it: a new connection, which sends all of it from the client's thread,
        # would else send what the sink's thread has replaced meanwhile, and the broker would keep that.
        self._telling = threading.RLock()
        self._sent: dict[str, _Sent] = {}
        self._picture_of: str | None = None
        self._notices: deque[str] = deque(maxlen=NOTICES)
        self._card: ModelCard | None = None
        self._words: dict[str, str] = {}
        self._status: Status | None = None
        self._older_bundle = b"{}"
        self._closing = False

    def open(self, card: ModelCard) -> None:
        self._describe(card)
        if self._client is None:
            self._start()

    def _describe(self, card: ModelCard) -> None:
        self._card, self._words = card, words(card.labels)
        for zone in self._zones:
            self._reset(zone)
        if self._status is None:
            self._retain(self._topics.of("availability"), b"offline")

    def _start(self) -> None:
        with extra_needed("mqtt", "paho"):
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        broker, certificates = self._broker, self._settings.certificates
        transport: Any = "websockets" if broker.websockets else "tcp"
        client = Client(CallbackAPIVersion.VERSION2, client_id=self.client_id, transport=transport)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_publish = self._on_connect_fail, self._on_publish
        client.on_message, client.on_subscribe = self._on_message, self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        if broker.websockets:
            client.ws_set_options(path=broker.path)
        if broker.user is not None or broker.password is not None:
            client.username_pw_set(broker.user or "", broker.password)
        if broker.tls:
            client.tls_set_context(certificates.context())
        elif certificates != NO_CERTIFICATES:
            raise SettingsError("--mqtt-ca, --mqtt-cert and --mqtt-key are for TLS: write mqtts:// or wss://")
        # Before the connection, of which it is a part: the broker sends it if this process is gone without a word.
        client.will_set(self._topics.of("availability"), "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, 30)
        # Not waited for: a broker that is down must not keep a camera from starting.
        client.connect_async(broker.host, broker.port, keepalive=30)
        self._client = client
        client.loop_start()

    def frame(self, result: FrameResult) -> None:
        if result.subject and result.subject.rank:
            return  # a zone's state is that of the subject it has followed for longest; events tell of the others
        label, score = _believed(result)
        sent, now_s = self._sent.get(result.zone), time.monotonic()
        changed = sent is None or label != sent.label or abs(score - sent.score) >= SCORE_STEP
        if sent is None or now_s - sent.at_s >= (CHANGED_S if changed else REFRESHED_S):
            top = [{"label": one.label, "score": round(one.score, 2)} for one in result.top[:TOP]]
            self._set_state(result.zone, label, score, top, _more(result))
        if self._picture_of == result.zone:
            self._picture_of = None
            self._send_picture(result.frame.image)

    def event(self, event: Event) -> None:
        if self._in_flight is None or self._in_flight[0] != event.number:
            self._take_in(event)
            self._check_connected()
            self._news.clear()
            message = self._client.publish(self._topics.of("event"), _json(event.to_json()), qos=1)
            self._in_flight = event.number, message.mid  # repeated by the client at the next connection: never here
        deadline_s = time.monotonic() + ACKNOWLEDGED_S
        while self._in_flight[1] not in self._acknowledged:
            # Before the second look: an answer that comes after it sets the event again.
            self._news.clear()
            if self._in_flight[1] not in self._acknowledged and not self._news.wait(deadline_s - time.monotonic()):
                self._check_connected()
                raise TimeoutError(f"{self._broker} has not acknowledged event {event.number} yet")
        self._in_flight = None

    def _take_in(self, event: Event) -> None:
        """What an event means for the rest: without a camera no frame would take back what has left."""
        sent = self._sent.get(event.zone)
        if event.kind == "left" and sent and sent.label == event.label:
            self._reset(event.zone)
        elif event.kind == "entered" and self._settings.picture:
            self._picture_of = event.zone

    def notice(self, notice: Notice) -> None:
        self._notices.append(f"{notice.level}: {notice.about}: {notice.text}"[:300])
        self._publish(self._topics.of("notice"), _json(notice.to_json()), retain=False)

    def status(self, status: Status) -> None:
        before, self._status = self._status, status
        self._announce()
        self._retain(self._topics.of("status"), _json(self._status_fields(status)))
        if before is None:  # not before the source's own availability is known, or an old one would count
            self._retain(self._topics.of("availability"), b"online")
        for zone in self._zones:
            sent = self._sent.get(zone)
            if sent is None or time.monotonic() - sent.at_s >= REFRESHED_S:
                self._send_again(self._topics.state(zone))
        if time.monotonic() - self._away_since > PATIENCE_S:
            self._check_connected()

    def _status_fields(self, status: Status) -> JsonObject:
        problems = [f"sink {name}: {counts.error}" for name, counts in status.sinks.items() if counts.error]
        if status.source_state == "waiting":
            problems.append(f"{status.source} is away")
        if status.source_state == "frozen":
            problems.append(f"{status.source} sends one and the same picture")
        if status.view != "clear":
            problems.append(f"{status.source}: {TOLD[status.view]}")
        if status.fallback:
            problems.append(status.fallback)
        return {
            **status.to_json(),
            "problems": [*(one[:300] for one in problems), *status.throttled],
            "notices": list(self._notices),
        }

    def close(self) -> None:
        client = self._client
        if client is None:
            return
        self._closing = True
        for zone in self._zones:
            self._reset(zone)
        self._retain(self._topics.of("availability"), b"offline")
        self._hang_up()
        # While it connects or waits to, its thread ends when it likes; it is a daemon.
        stopping = threading.Thread(target=client.loop_stop, daemon=True)
        stopping.start()
        stopping.join(0.3)

    def forget(self) -> None:
        """Clears all that the broker holds of this camera, so that Home Assistant removes its device; instead of
        `open`.

        Raises:
            ConnectionError: There is no connection within `PATIENCE_S`, or the broker does not answer.
        """
        self._start()
        self._subscribed.wait(PATIENCE_S)
        self._check_connected()
        # Zones are cleared as what an earlier run has left behind: before it acknowledges this, the broker sends them.
        names = ("availability", "state", "status", "picture")
        sent = [
            self._client.publish(topic, b"", qos=1, retain=True)
            for topic in (self._discovery_topic, *(self._topics.of(name) for name in names))
        ]
        for message in sent:
            message.wait_for_publish(PATIENCE_S)
        if not all(message.is_published() for message in sent):
            raise ConnectionError(f"{self._broker}: no answer")
        self._hang_up()
        self._client.loop_stop()

    def _hang_up(self) -> None:
        """Ends the connection, once the broker has read all and we have read what it had sent.

        To close a socket that still has messages for us in it resets the connection: the broker drops what it has not
        read, and publishes the last will.
        """
        if self._client.is_connected():
            self._client.unsubscribe(self._subscriptions())
            self._unsubscribed.wait(CLOSING_S)
        self._client.disconnect()

    def _subscriptions(self) -> list[str]:
        ours = [self._topics.of("availability"), self._topics.of("picture"), self._topics.of("zones/+/state")]
        if self._discovery:
            ours += [
                f"{self._discovery}/status",
                f"{self._discovery}/+/{self.identity}/+/config",
                self._discovery_topic,
            ]
        return ours

    def _check_connected(self) -> None:
        if not self._client.is_connected():
            raise ConnectionError(f"{self._broker}: {self._why}")

    def _set_state(
        self, zone: str, label: str | None, score: float, top: list[JsonObject], more: Mapping[str, object] = {}
    ) -> None:
        state = {
            "label": label,
            "score": round(score, 2),
            "state": NOTHING if label is None else self._words.get(label, NOTHING),
            "zone": zone,
            "top": top,
            **more,
        }
        self._sent[zone] = _Sent(label, score, time.monotonic())
        self._retain(self._topics.state(zone), _json(state))

    def _reset(self, zone: str) -> None:
        """Nothing is there, as far as is known; the next frame is told at once."""
        self._set_state(zone, None, 0.0, [])
        del self._sent[zone]

    def _send_picture(self, image: Frame) -> None:
        if image.size:
            self._retain(self._topics.of("picture"), page_jpeg(image))

    def _announce(self) -> None:
        """Not before the first statistics: what is known only then would be removed and added at every start."""
        if not self._discovery or not self._card:
            return
        with self._telling:  # or an older bundle that arrives now would be seen by nobody
            now = self.bundle()
            before = self._retained.get(self._discovery_topic) or self._older_bundle
            if _json(now) != before:
                self._retain(self._discovery_topic, _json(now))
                self._remove(before, now)
            self._retained.set(self._discovery_topic, _json(now))

    def bundle(self) -> JsonObject:
        """What Home Assistant is told."""
        assert self._card
        status = self._status
        backbone = self._card.backbone
        return bundle(
            CameraDevice(
                identity=self.identity,
                topics=self._topics,
                zones=self._zones,
                labels=self._card.labels,
                model=status.model if status else backbone.name if backbone else "classifier",
                model_sha256=status.model_sha256 if status else "",
                page=self._settings.page(),
                picture=self._settings.picture,
                temperature=status is not None and status.temperature_c is not None,
            )
        )

    def _remove(self, before: bytes, now: JsonObject) -> None:
        """Has Home Assistant remove the entities of an older bundle that are gone."""
        try:
            old = json.loads(before)
        except ValueError:
            return
        if isinstance(old, dict) and (between := without(old, now)):
            self._publish(self._discovery_topic, _json(between))
            self._publish(self._discovery_topic, _json(now))

    @property
    def _discovery_topic(self) -> str:
        return f"{self._discovery}/device/{self.identity}/config"

    def _retain(self, topic: str, payload: bytes) -> None:
        with self._telling:
            self._retained.set(topic, payload)
            self._publish(topic, payload)

    def _send_again(self, topic: str) -> None:
        with self._telling:
            if (payload := self._retained.get(topic)) is not None:
                self._publish(topic, payload)

    def _publish(self, topic: str, payload: bytes, retain: bool = True) -> None:
        """With QoS 0, and only when connected: what is retained is sent anew at every connection."""
        if self._client is not None and self._client.is_connected():
            self._client.publish(topic, payload, retain=retain)

    # What follows is called in the client's thread.

    def _on_connect(self, client: Any, userdata: object, flags: object, reason: Any, properties: object) -> None:
        del userdata, flags, properties
        self._refused = reason.is_failure
        if self._refused:
            self._why = why_refused(reason)
            return
        self._why = "connection lost"
        # Before anything is sent: so the broker first gives what it holds of an earlier run.
        if not self._closing:
            client.subscribe([(topic, 0) for topic in self._subscriptions()])
        self._publish_retained()

    def _publish_retained(self) -> None:
        with self._telling:
            for topic, payload in self._retained.all():
                self._publish(topic, payload)

    def _on_subscribe(self, client: object, userdata: object, number: int, reasons: Any, properties: object) -> None:
        del client, userdata, number, reasons, properties
        self._subscribed.set()

    def _on_unsubscribe(self, *given: object) -> None:
        del given
        self._unsubscribed.set()

    def _on_message(self, client: object, userdata: object, message: Any) -> None:
        del client, userdata
        with self._telling:
            self._take(message.topic, bytes(message.payload), retained=message.retain)

    def _take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """What the broker holds of an earlier run, or another client has sent."""
        wanted = self._retained.get(topic)
        if self._discovery and topic == f"{self._discovery}/status":
            if payload == b"online" and not retained:  # Home Assistant was started again, and knows nothing yet
                self._publish_retained()
        elif topic == self._discovery_topic:
            self._take_bundle(payload, wanted, retained=retained)
        elif wanted is None:
            if retained and payload:  # of an earlier run, with other zones, say
                self._publish(topic, b"")
        elif topic == self._topics.of("availability") and payload != wanted and not self._closing:
            self._publish(topic, wanted)  # the last will of a connection before, or another process with this prefix

    def _take_bundle(self, payload: bytes, wanted: bytes | None, *, retained: bool) -> None:
        """What Home Assistant was told of this device before; entities that are no more are taken back."""
        if wanted is None:
            self._older_bundle = payload
        elif retained and payload != wanted:
            self._remove(payload, json.loads(wanted))

    def _on_disconnect(self, client: object, userdata: object, flags: object, reason: Any, properties: object) -> None:
        del client, userdata, properties
        self._away_since = time.monotonic()
        if self._why == "connection lost":
            self._why = f"connection lost ({reason})"
        elif not self._refused:
            self._why = hung_up(self._broker)

    def _on_connect_fail(self, client: object, userdata: object) -> None:
        del client, userdata
        self._why = why_no_connection(self._broker, sys.exc_info()[1])  # it is called where that is handled

    def _on_publish(self, client: object, userdata: object, number: int, reason: Any, properties: object) -> None:
        del client, userdata, reason, properties
        self._acknowledged.append(number)
        self._news.set()


def _json(fields: JsonObject) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode(errors="backslashreplace")
