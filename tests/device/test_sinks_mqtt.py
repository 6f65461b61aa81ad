import getpass
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core import InputSpec, ModelCard
from edge_core.errors import SettingsError
from edge_device.results import Decision, Event, FrameResult, Latency, Notice, Prediction, Status
from edge_device.sinks import mqtt as module
from edge_device.sinks import sink_queue as outlet_module
from edge_device.sinks.mqtt import Broker, Mqtt, parse_broker
from edge_device.sinks.sink_queue import Outlets
from edge_device.sources import SourceFrame

from ..programs import missing, needs, program

CARD = ModelCard(labels=("cat", "dog"), input=InputSpec(32, 32))
TOOK = Latency(1, 1, 1, 3)
MOSQUITTO = program("mosquitto")

needs_mosquitto = needs("mosquitto")


def result(label: str, zone: str = "", score: float = 0.9) -> FrameResult:
    frame = SourceFrame(np.zeros((4, 4, 3), np.uint8), "camera", 0, 0.0, 1.0)
    return FrameResult(frame, (Prediction(label, score),), TOOK, zone, Decision(label, score))


def event(number: int) -> Event:
    return Event("entered", "cat", "", 1.7e9, 0.9, 0.0, number)


def status(**fields: Any) -> Status:
    usual = Status(0, 0, 9, 0, 0, 29.97, TOOK, 0, "0", "", "open", 0, "m.tflite", "ab", 0, "r", "cpu", 1)
    return replace(usual, temperature_c=51.5, **fields)


def until(true: Callable[[], object]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it has not come to that in 30 s")


class Mosquitto:
    """A real broker on a port of its own, with or without passwords; what it forgets at a restart is as it is."""

    def __init__(self, folder: Path, users: bool = False) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._settings = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", f"allow_anonymous {str(not users).lower()}"]
        if users:
            passwords = [
                str(shutil.which("mosquitto_passwd")),
                "-b",
                "-c",
                str(folder / "passwords"),
                "edge",
                "se:cr/et",
            ]
            subprocess.run(passwords, check=True, capture_output=True)
            lines.append(f"password_file {folder / 'passwords'}")
        self._settings.write_text("\n".join([*lines, f"user {getpass.getuser()}", ""]))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([str(MOSQUITTO), "-c", str(self._settings)], stdout=quiet, stderr=quiet)
        until(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


class Listener:
    """Another client, which takes note of every message."""

    def __init__(self, port: int, user: str | None = None, password: str | None = None) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, str, bool]] = []
        self.ready = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2)
        if user:
            self.client.username_pw_set(user, password)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = lambda _, __, message: self.messages.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(30)

    def of(self, topic: str) -> list[str]:
        return [payload for at, payload, _ in self.messages if at == topic]

    def events(self) -> list[int]:
        return [json.loads(payload)["number"] for payload in self.of("edge/porch/event")]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    running = Mosquitto(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    listening = Listener(broker.port)
    yield listening
    listening.close()


@pytest.fixture
def sink(broker: Mosquitto) -> Iterator[Mqtt]:
    opened = Mqtt(parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch"))
    opened.open(CARD)
    until(lambda: opened._client.is_connected())
    yield opened
    opened.close()


@needs_mosquitto
def test_states_events_notices_and_statistics_arrive(sink: Mqtt, listener: Listener) -> None:
    sink.frame(result("cat"))
    sink.frame(result("dog", "back/yard"))
    sink.event(event(1))
    sink.notice(Notice("warning", "source", "lost", 0.0))
    sink.status(status(source_state="waiting"))
    until(lambda: listener.of("edge/porch/status"))
    (state,) = [json.loads(payload) for payload in listener.of("edge/porch/state")]
    assert (state["label"], state["score"], state["top"]) == ("cat", 0.9, [{"label": "cat", "score": 0.9}])
    assert json.loads(listener.of("edge/porch/zones/back_yard/state")[0])["label"] == "dog"
    assert listener.events() == [1]
    assert json.loads(listener.of("edge/porch/notice")[0])["text"] == "lost"
    assert json.loads(listener.of("edge/porch/status")[0])["problems"] == ["0 is away"]


@needs_mosquitto
def test_what_is_there_is_retained_and_home_assistant_is_told_how_to_read_it(sink: Mqtt, broker: Mosquitto) -> None:
    sink.frame(result("cat"))
    sink.frame(result("dog", "yard"))
    sink.status(status())
    sink.event(event(1))  # acknowledged: what was sent before has arrived
    late = Listener(broker.port)
    until(lambda: late.of("edge/porch/status") and len(late.messages) >= 11)
    late.close()
    retained = {topic: payload for topic, payload, was_retained in late.messages if was_retained}
    assert retained["edge/porch/availability"] == "online"
    assert json.loads(retained["edge/porch/state"])["label"] == "cat"
    entities = {topic: json.loads(payload) for topic, payload in retained.items() if topic.startswith("homeassistant/")}
    assert {topic.split("/")[1] for topic in entities} == {"sensor", "binary_sensor"}
    assert {one["name"] for one in entities.values()} == {
        *("label", "score", "yard label", "yard score", "problem", "frame rate", "temperature")
    }
    for topic, one in entities.items():
        assert one["state_topic"] in retained, topic
        assert one["availability_topic"] == "edge/porch/availability"
        assert one["device"]["identifiers"] == [sink.client_id]
        assert one["device"]["model"] == "m.tflite"
        assert all(character.isalnum() or character in "_-/" for character in topic)
    assert len({one["unique_id"] for one in entities.values()}) == len(entities)


@needs_mosquitto
def test_discovery_is_sent_again_when_home_assistant_starts(sink: Mqtt, listener: Listener) -> None:
    topic = f"homeassistant/sensor/{sink.client_id}/label/config"
    before = len(listener.of(topic))
    listener.client.publish("homeassistant/status", "online")
    until(lambda: len(listener.of(topic)) > before)


@needs_mosquitto
def test_the_end_is_announced_and_a_sudden_end_by_the_last_will(broker: Mosquitto, listener: Listener) -> None:
    address = parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch")
    ordered, sudden = Mqtt(address), Mqtt(address)
    ordered.open(CARD)
    until(lambda: listener.of("edge/porch/availability") == ["online"])
    before = threading.active_count()
    ordered.close()
    until(lambda: listener.of("edge/porch/availability") == ["online", "offline"])
    until(lambda: threading.active_count() < before)
    sudden.open(CARD)
    until(lambda: listener.of("edge/porch/availability")[2:] == ["online"])
    sudden._client._sock_close()  # as a power cut does: without a farewell
    until(lambda: "offline" in listener.of("edge/porch/availability")[2:])
    sudden.close()


@needs_mosquitto
def test_no_event_is_lost_when_the_broker_is_killed_and_all_arrive_once_it_is_back(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet_module, "LONGEST_PAUSE_S", 0.5)
    said: list[Notice] = []
    outlets = Outlets([Mqtt(parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch"))], CARD, told=said.append)
    number = 0
    for _ in range(3):
        for _ in range(40):
            number += 1
            outlets.event(event(number))
            outlets.frame(result("cat"))
        until(lambda sent=number: outlets.counts()["mqtt"].events > sent - 40)  # type: ignore[misc]
        broker.kill()  # in the midst of it
        delivered = outlets.counts()["mqtt"].events
        for _ in range(20):
            number += 1
            outlets.event(event(number))
        time.sleep(0.3)
        assert outlets.counts()["mqtt"].events <= delivered + 1  # one acknowledgement may have been under way
        broker.start()
        until(lambda sent=number: outlets.counts()["mqtt"].events == sent)  # type: ignore[misc]
    counts = outlets.counts()["mqtt"]
    assert (counts.events, counts.events_lost, counts.error) == (number, 0, "")
    assert [one.level for one in said][:1] == ["warning"]
    assert outlets.close() == []


@needs_mosquitto
def test_an_event_that_was_reported_as_delivered_was_with_the_broker(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a listener whose session the broker keeps on disk, over a kill of the broker."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    monkeypatch.setattr(outlet_module, "LONGEST_PAUSE_S", 0.5)
    heard: list[int] = []
    subscribed = threading.Event()
    listening = Client(CallbackAPIVersion.VERSION2, client_id="keeper", clean_session=False)
    listening.reconnect_delay_set(1, 1)
    listening.on_connect = lambda client, *_: client.subscribe("edge/porch/event", qos=1)
    listening.on_subscribe = lambda *_: subscribed.set()
    listening.on_message = lambda _, __, message: heard.append(json.loads(message.payload)["number"])
    listening.connect("127.0.0.1", broker.port)
    listening.loop_start()
    assert subscribed.wait(30)
    outlets = Outlets([Mqtt(parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch"))], CARD)
    for number in range(1, 31):
        outlets.event(event(number))
    until(lambda: outlets.counts()["mqtt"].events == 30 and len(heard) == 30)
    broker.kill()
    for number in range(31, 61):
        outlets.event(event(number))
    subscribed.clear()
    time.sleep(0.5)
    assert outlets.counts()["mqtt"].events == 30
    # Subscribed before the sink is back: the sink's client waits a second at least, and is held a little longer.
    sink = outlets._outlets["mqtt"].sink
    assert isinstance(sink, Mqtt)
    sink._client.reconnect_delay_set(4, 4)
    broker.start()
    assert subscribed.wait(30)
    until(lambda: outlets.counts()["mqtt"].events == 60)
    until(lambda: set(heard) >= set(range(1, 61)))
    assert list(dict.fromkeys(heard)) == list(range(1, 61))
    assert outlets.close() == []
    listening.disconnect()
    listening.loop_stop()


@needs_mosquitto
def test_without_a_broker_the_failure_is_told_and_the_end_is_quick(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.kill()
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    said: list[Notice] = []
    outlets = Outlets([Mqtt(parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch"))], CARD, told=said.append)
    outlets.status(status())
    until(lambda: said)
    assert said[0].about == "sink mqtt"
    outlets.event(event(1))
    start = time.monotonic()
    (left,) = outlets.close()
    assert time.monotonic() - start < 3
    assert "1 events were not delivered" in left.text


@needs_mosquitto
def test_a_wrong_password_is_told_as_what_the_broker_says_and_never_shown(tmp_path: Path) -> None:
    if not program("mosquitto_passwd"):
        pytest.skip(missing("mosquitto_passwd"))
    broker = Mosquitto(tmp_path, users=True)
    try:
        good = Mqtt(parse_broker(f"mqtt://edge:se%3Acr%2Fet@127.0.0.1:{broker.port}"))
        good.open(CARD)
        until(lambda: good._client.is_connected())
        good.event(event(1))
        good.close()
        wrong = Mqtt(parse_broker(f"mqtt://edge:gu3ss@127.0.0.1:{broker.port}"))
        wrong.open(CARD)
        until(lambda: "broker says" in wrong._why)
        with pytest.raises(ConnectionError, match=r"(?i)not authori[sz]ed") as caught:
            wrong.event(event(1))
        assert "gu3ss" not in str(caught.value)
        wrong.close()
    finally:
        broker.kill()


def test_an_address_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "pi/3+")
    assert parse_broker("mqtt://broker") == Broker("broker", 1883, "edge-mobilenet/pi_3_")
    assert parse_broker("mqtts://u:p%40%2F@[::1]:99/a/b/") == Broker("::1", 99, "a/b", True, "u", "p@/")
    assert parse_broker("mqtts://u@h", "from a file") == Broker(
        "h", 8883, "edge-mobilenet/pi_3_", True, "u", "from a file"
    )
    shown = parse_broker("mqtt://user:hidden@h/x")
    assert "hidden" not in f"{shown} {shown!r}"


@pytest.mark.parametrize(
    "text",
    [
        *("", "broker", "http://h", "mqtt://", "mqtt://:1", "mqtt://h:0", "mqtt://h:99999", "mqtt://h:port"),
        *("mqtt://h/a+b", "mqtt://h/a#b", "mqtt://h/a//b", "mqtt://u:secret/x@h", "mqtt://u:sec?ret@h", "mqtt://[::1"),
    ],
)
def test_what_is_no_address_is_refused_without_showing_a_password(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_broker(text)
    assert "secret" not in str(caught.value)


@given(st.text() | st.text().map(lambda rest: "mqtt://" + rest))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        broker = parse_broker(text)
    except SettingsError:
        return
    assert broker.host
    assert 0 < broker.port < 65536


def test_the_client_id_is_the_same_every_time_and_fits_every_broker() -> None:
    ids = [Mqtt(Broker("h", 1, prefix)).client_id for prefix in ("a", "a", "b")]
    assert ids[0] == ids[1] != ids[2]
    assert all(len(one) <= 23 for one in ids)  # what MQTT 3.1.1 promises, 3.1.3.1
