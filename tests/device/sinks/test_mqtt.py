import base64
import gc
import getpass
import hashlib
import json
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core import InputSpec, ModelCard
from edge_core.errors import SettingsError
from edge_device.frames.view_state import TOLD
from edge_device.notices import Notice
from edge_device.results import Decision, Event, FrameResult, Latency, Prediction, Status
from edge_device.sinks import sink_queue as outlet_module
from edge_device.sinks.mqtt import broker as broker_module
from edge_device.sinks.mqtt import publisher as module
from edge_device.sinks.mqtt.broker import NO_CERTIFICATES, Broker, Certificates, parse_broker
from edge_device.sinks.mqtt.home_assistant import words
from edge_device.sinks.mqtt.publisher import Mqtt, MqttSettings
from edge_device.sinks.sink_queue import SinkQueues
from edge_device.sources import SourceFrame

from ...doubles import free_port
from ...programs import missing, needs, program

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
    until_s = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until_s, "it has not come to that in 60 s"
        time.sleep(0.01)


class Mosquitto:
    """A real broker on a port of its own, with or without passwords; what it forgets at a restart is as it is."""

    def __init__(self, folder: Path, users: bool = False, lines: Sequence[str] = ()) -> None:
        self.port = free_port()
        self._settings = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence false",
            *lines,
            f"allow_anonymous {str(not users).lower()}",
        ]
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
        self.pictures: list[bytes] = []
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(60)

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        if message.topic.endswith("/picture"):
            self.pictures.append(message.payload)
        else:
            self.messages.append((message.topic, message.payload.decode(), message.retain))

    def of(self, topic: str) -> list[str]:
        return [payload for at, payload, _ in self.messages if at == topic]

    def events(self) -> list[int]:
        return [json.loads(payload)["number"] for payload in self.of("edge/porch/event")]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is enough for a broker that has a processor; here it may wait for one."""
    monkeypatch.setattr(module, "ACKNOWLEDGED_S", 30.0)
    monkeypatch.setattr(module, "CLOSING_S", 30.0)


def until_settled(sink: Mqtt) -> None:
    """Waits until the broker has all that a connection begins with: its client says that it is connected before."""
    until(sink._subscribed.is_set)
    settled = sink._client.publish("settled", qos=1)
    until(settled.is_published)


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts brokers with these lines in their settings; ends them."""
    started: list[Mosquitto] = []

    def start(*lines: str) -> Mosquitto:
        started.append(Mosquitto(tmp_path, lines=lines))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def broker(brokers: Callable[..., Mosquitto]) -> Mosquitto:
    return brokers()


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    listening = Listener(broker.port)
    yield listening
    listening.close()


@pytest.fixture
def sink(broker: Mosquitto) -> Iterator[Mqtt]:
    opened = Mqtt(parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch"), ("", "back/yard"))
    opened.open(CARD)
    until_settled(opened)
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
    state = json.loads(listener.of("edge/porch/state")[-1])
    assert (state["label"], state["score"], state["top"]) == ("cat", 0.9, [{"label": "cat", "score": 0.9}])
    assert json.loads(listener.of("edge/porch/zones/back_yard/state")[-1])["label"] == "dog"
    assert listener.events() == [1]
    assert json.loads(listener.of("edge/porch/notice")[0])["text"] == "lost"
    assert json.loads(listener.of("edge/porch/status")[0])["problems"] == ["0 is away"]
    sink.status(status(view="dark"))
    until(lambda: len(listener.of("edge/porch/status")) > 1)
    told = json.loads(listener.of("edge/porch/status")[-1])
    assert (told["view"], told["problems"]) == ("dark", [f"0: {TOLD['dark']}"])


def retained(port: int) -> dict[str, str]:
    """What the broker holds."""
    late = Listener(port)
    late.client.publish("listed", "all")  # the broker has answered the subscription before it takes this
    until(lambda: late.of("listed"))
    late.close()
    return {topic: payload for topic, payload, was_retained in late.messages if was_retained}


DISCOVERY = "homeassistant/device/{}/config"


@needs_mosquitto
def test_what_is_there_is_retained_and_home_assistant_is_told_how_to_read_it(sink: Mqtt, broker: Mosquitto) -> None:
    sink.frame(result("cat"))
    sink.frame(result("dog", "back/yard"))
    sink.status(status())
    sink.event(event(1))  # acknowledged: what was sent before has arrived
    sink.frame(result("cat"))
    held = retained(broker.port)
    assert held["edge/porch/availability"] == "online"
    assert json.loads(held["edge/porch/state"])["label"] == "cat"
    told = json.loads(held[DISCOVERY.format(sink.identity)])
    assert (told["device"]["identifiers"], told["device"]["model"]) == ([sink.identity], "m.tflite")
    named = {one["name"]: one for one in told["components"].values() if "name" in one}
    assert set(named) == {
        *("Label", "Score", "back/yard label", "back/yard score", "Label entered or left", "Last event"),
        *("Problem", "View", "Frame rate", "Processor temperature"),
    }
    for one in told["components"].values():
        topics = {one[key] for key in ("state_topic", "image_topic", "json_attributes_topic") if key in one}
        topics |= {place["topic"] for place in one.get("availability", [])}
        assert topics <= {*held, "edge/porch/event", "edge/porch/picture"}
    assert named["Label"]["options"] == ["nothing", "cat", "dog"]
    triggers = [one for one in told["components"].values() if one["platform"] == "device_automation"]
    assert {(one["type"], one["subtype"]) for one in triggers} == {
        (kind, zone + label) for kind in ("entered", "left") for zone in ("", "back/yard: ") for label in ("cat", "dog")
    }
    assert "edge/porch/event" not in held


@needs_mosquitto
def test_the_picture_is_of_the_frame_with_which_a_label_entered(sink: Mqtt, listener: Listener) -> None:
    frame = SourceFrame(np.full((48, 64, 3), (10, 20, 250), np.uint8), "camera", 0, 0.0, 1.0)
    sink.frame(result("dog"))
    sink.event(event(1))
    assert not listener.pictures
    sink.frame(replace(result("cat"), frame=frame))
    sink.frame(result("cat"))
    until(lambda: listener.pictures)
    (picture,) = listener.pictures
    decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None and decoded.shape == (48, 64, 3)


@needs_mosquitto
def test_what_an_earlier_run_left_behind_is_cleared_and_nothing_of_others(
    broker: Mosquitto, listener: Listener
) -> None:
    address = parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch")
    others = {
        "edge/other/state": "x",
        "homeassistant/sensor/else/label/config": "{}",
        "edge/porch/zones/a/b/state": "x",
    }
    for topic, payload in others.items():
        listener.client.publish(topic, payload, retain=True)
    before = Mqtt(address, ("door", "gate"))
    before.open(CARD)
    until_settled(before)
    before.status(status())
    before.frame(result("cat", "door"))
    before.close()
    legacy = f"homeassistant/sensor/{before.identity}/zone_1_label/config"  # as versions before device discovery wrote
    listener.client.publish(legacy, '{"name": "door label"}', retain=True)
    until(lambda: listener.of(legacy))
    listener.messages.clear()
    after = Mqtt(address, ("gate",))
    after.open(CARD)
    until(lambda: listener.of(legacy) == [""] and listener.of("edge/porch/zones/door/state"))
    discovery = DISCOVERY.format(after.identity)
    assert not listener.of(discovery)  # what is known only later is not removed to come back
    after.status(status())
    until(lambda: len(listener.of(discovery)) == 3)
    bundles = [json.loads(payload)["components"] for payload in listener.of(discovery)]
    gone = {key for key in bundles[1] if bundles[1][key].keys() == {"platform"}}
    assert len(gone) == 2 + 4  # label and score, entered and left of both labels
    assert bundles[0] == bundles[2] == {key: bundles[1][key] for key in bundles[1] if key not in gone}
    after.close()
    held = retained(broker.port)
    assert not [topic for topic, payload in held.items() if "door" in topic + payload]
    assert held.items() >= others.items()


@needs_mosquitto
def test_what_is_sent_at_the_very_end_arrives(broker: Mosquitto) -> None:
    for number in range(8):
        sink = Mqtt(parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/{number}"))
        sink.open(CARD)
        until(sink._client.is_connected)
        sink.status(status())
        sink.close()
    held = retained(broker.port)
    assert {f"edge/{number}/status" for number in range(8)} <= held.keys()


@needs_mosquitto
def test_a_camera_that_is_forgotten_leaves_nothing_with_the_broker(broker: Mosquitto, listener: Listener) -> None:
    listener.client.publish("edge/other/state", "x", retain=True)
    until(lambda: listener.of("edge/other/state"))
    address = parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch")
    before = Mqtt(address, ("door", "gate"))
    before.open(CARD)
    until_settled(before)
    before.frame(result("cat", "door"))
    before.status(status())
    before.event(replace(event(1), zone="door"))  # acknowledged: what was sent before has arrived
    before.frame(result("cat", "door"))
    until(lambda: listener.pictures)
    before.close()
    discovery = DISCOVERY.format(before.identity)
    ours = {"edge/porch/zones/door/state", "edge/porch/status", "edge/porch/availability", discovery}
    assert retained(broker.port).keys() > ours
    assert listener.pictures[-1]
    Mqtt(address).forget()
    assert retained(broker.port).keys() == {"edge/other/state"}
    until(lambda: listener.of(discovery)[-1] == "")  # by which Home Assistant removes the device
    until(lambda: listener.pictures[-1] == b"")


def test_a_camera_is_not_forgotten_by_a_broker_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Mqtt(parse_broker(f"mqtt://127.0.0.1:{free_port()}/edge/porch"))
    refused = sink._why
    monkeypatch.setattr(sink._subscribed, "wait", lambda _: until(lambda: sink._why != refused))
    with pytest.raises(ConnectionError, match="nothing listens"):
        sink.forget()


def test_what_is_told_while_a_connection_comes_about_is_not_undone_by_it() -> None:
    """The client's thread, which sends all that is retained, is late with what the sink's thread has replaced."""
    sink, sent = Mqtt(Broker("h", 1, "edge/porch")), list[str]()
    other = threading.Thread(target=lambda: sink.frame(result("cat")))

    class Client:
        def is_connected(self) -> bool:
            return True

        def subscribe(self, topics: object) -> None:
            """Nothing."""

        def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
            if not other.ident:
                other.start()
                other.join(0.2)
            if topic == "edge/porch/state":
                sent.append(json.loads(payload)["label"])

    sink._describe(CARD)
    sink._client = Client()
    sink._on_connect(sink._client, None, None, SimpleNamespace(is_failure=False), None)
    other.join()
    assert sent == [None, "cat"]


@needs_mosquitto
def test_a_label_that_left_is_not_retained_though_no_frame_says_so(sink: Mqtt, broker: Mosquitto) -> None:
    sink.frame(result("cat"))
    sink.event(replace(event(1), kind="left"))
    assert json.loads(retained(broker.port)["edge/porch/state"])["label"] is None


@needs_mosquitto
def test_a_restart_does_not_revive_the_label_of_the_run_before(broker: Mosquitto) -> None:
    address = parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch")
    before = Mqtt(address)
    before.open(CARD)
    until_settled(before)
    before.status(status())
    before.frame(result("cat"))
    before.event(event(1))
    before._client._sock_close()  # a power cut
    before._client.loop_stop()
    assert json.loads(retained(broker.port)["edge/porch/state"])["label"] == "cat"
    after = Mqtt(address)
    after.open(CARD)
    until(lambda: json.loads(retained(broker.port)["edge/porch/state"])["label"] is None)
    assert retained(broker.port)["edge/porch/availability"] == "offline"  # not before the source is known
    after.status(status(source_state="waiting"))
    until(lambda: retained(broker.port)["edge/porch/availability"] == "online")
    after.close()


@needs_mosquitto
def test_a_still_scene_is_sent_once_and_a_score_that_settles_again(
    sink: Mqtt, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHANGED_S", 0.0)
    for score in (0.7, 0.71, 0.69, 0.8, 0.98, 0.97, 0.98):
        sink.frame(result("cat", score=score))
    sink.event(event(1))
    until(listener.events)
    states = [json.loads(payload) for payload in listener.of("edge/porch/state")][1:]
    assert [state["score"] for state in states] == [0.7, 0.8, 0.98]
    assert "time" not in states[0]  # or each would be another row in Home Assistant's recorder


@needs_mosquitto
def test_a_will_of_an_older_connection_does_not_stand(sink: Mqtt, listener: Listener) -> None:
    sink.status(status())
    until(lambda: listener.of("edge/porch/availability")[-1:] == ["online"])
    before = len(listener.of("edge/porch/availability"))
    listener.client.publish("edge/porch/availability", "offline", retain=True)
    # Contradicted once or twice: it may come as the broker's retained message, too.
    until(lambda: (said := listener.of("edge/porch/availability")[before:])[-1:] == ["online"] and "offline" in said)


@needs_mosquitto
def test_two_processes_with_one_address_do_not_throw_each_other_out(broker: Mosquitto) -> None:
    address = parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch")
    both = [Mqtt(address), Mqtt(address)]
    for one in both:
        one.open(CARD)
    for one in both:
        until_settled(one)
    time.sleep(1.5)  # a client that was thrown out is back after a second
    for number, one in enumerate(both):
        one.event(event(number))
        assert one._why == "connection lost"  # what it would be told as; it has not been
        one.close()
    assert both[0].identity == both[1].identity


@needs_mosquitto
def test_discovery_is_sent_again_when_home_assistant_starts(sink: Mqtt, listener: Listener) -> None:
    topic = DISCOVERY.format(sink.identity)
    sink.status(status())
    until(lambda: listener.of(topic))
    before = len(listener.of(topic))
    listener.client.publish("homeassistant/status", "online")
    until(lambda: len(listener.of(topic)) > before)


@needs_mosquitto
def test_the_end_is_announced_and_a_sudden_end_by_the_last_will(broker: Mosquitto, listener: Listener) -> None:
    def told() -> list[str]:  # one client may repeat itself
        return [payload for payload, _ in groupby(listener.of("edge/porch/availability"))]

    address = parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch")
    ordered, sudden = Mqtt(address), Mqtt(address)
    ordered.open(CARD)
    until_settled(ordered)
    ordered.status(status())
    until(lambda: told() == ["offline", "online"])
    before = threading.active_count()
    ordered.close()
    until(lambda: told() == ["offline", "online", "offline"])
    until(lambda: threading.active_count() < before)
    sudden.open(CARD)
    until_settled(sudden)
    sudden.status(status())
    until(lambda: told()[3:] == ["online"])
    sudden._client._sock_close()  # as a power cut does: without a farewell
    until(lambda: told()[4:5] == ["offline"])
    sudden.close()


@needs_mosquitto
def test_no_event_is_lost_when_the_broker_is_killed_and_all_arrive_once_it_is_back(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet_module, "LONGEST_PAUSE_S", 0.5)
    monkeypatch.setattr(module, "ACKNOWLEDGED_S", 0.5)  # sooner than the client connects again
    said: list[Notice] = []
    queues = SinkQueues([Mqtt(parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch"))], CARD, notify=said.append)
    number = 0
    for _ in range(3):
        for _ in range(40):
            number += 1
            queues.event(event(number))
            queues.frame(result("cat"))
        until(lambda sent=number: queues.counts()["mqtt"].events > sent - 40)  # type: ignore[misc]
        broker.kill()  # in the midst of it
        delivered = queues.counts()["mqtt"].events
        for _ in range(20):
            number += 1
            queues.event(event(number))
        time.sleep(0.3)
        assert queues.counts()["mqtt"].events <= delivered + 1  # one acknowledgement may have been under way
        broker.start()
        until(lambda sent=number: queues.counts()["mqtt"].events == sent)  # type: ignore[misc]
    counts = queues.counts()["mqtt"]
    assert (counts.events, counts.events_lost, counts.error) == (number, 0, "")
    assert [one.level for one in said][:1] == ["warning"]
    assert queues.close(60) == []


@needs_mosquitto
def test_an_event_that_was_reported_as_delivered_was_with_the_broker(
    brokers: Callable[..., Mosquitto], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a listener whose session the broker keeps on disk, over a kill of the broker."""
    on_disk = [
        "persistence true",
        f"persistence_location {tmp_path}/",
        "autosave_interval 1",
        "autosave_on_changes true",
    ]
    broker = brokers(*on_disk)
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
    assert subscribed.wait(60)
    queues = SinkQueues([Mqtt(parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch"))], CARD)
    for number in range(1, 31):
        queues.event(event(number))
    until(lambda: queues.counts()["mqtt"].events == 30 and len(heard) == 30)
    broker.kill()
    for number in range(31, 61):
        queues.event(event(number))
    time.sleep(0.5)
    assert queues.counts()["mqtt"].events == 30
    broker.start()
    until(lambda: queues.counts()["mqtt"].events == 60)
    until(lambda: set(heard) >= set(range(1, 61)))
    assert list(dict.fromkeys(heard)) == list(range(1, 61))
    assert queues.close(60) == []
    listening.disconnect()
    listening.loop_stop()


@needs_mosquitto
def test_without_a_broker_the_failure_is_told_and_the_end_is_quick(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.kill()
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    said: list[Notice] = []
    queues = SinkQueues([Mqtt(parse_broker(f"mqtt://127.0.0.1:{broker.port}/edge/porch"))], CARD, notify=said.append)
    queues.status(status())
    until(lambda: said)
    assert said[0].about == "sink mqtt"
    queues.event(event(1))
    start = time.monotonic()
    (left,) = queues.close()
    assert time.monotonic() - start < 20
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


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private authority, and what it signed for a broker at 127.0.0.1, one elsewhere, and a client."""
    if not program("openssl"):
        pytest.skip(missing("openssl"))
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Private authority")
    names = {"broker": "IP:127.0.0.1", "elsewhere": "DNS:elsewhere.example", "client": "DNS:client"}
    for name, alternative in names.items():
        openssl("req", *new[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "extra").write_text(f"subjectAltName={alternative}\n")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extra"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    return folder


def tls_lines(folder: Path, name: str = "broker", client: bool = False) -> list[str]:
    lines = [f"certfile {folder / name}.pem", f"keyfile {folder / name}.key", f"cafile {folder / 'ca.pem'}"]
    return [*lines, "require_certificate true"] if client else lines


def why(address: str, certificates: Certificates = NO_CERTIFICATES) -> str:
    """What is told of a connection that does not come about; empty where it does."""
    sink = Mqtt(parse_broker(address), settings=MqttSettings(certificates=certificates))
    sink.open(CARD)
    until(lambda: sink._why != "no connection yet")
    time.sleep(0.1)
    connected, told = sink._client.is_connected(), sink._why
    sink.close()
    until(lambda: sink._client._thread is None)  # a client that ends later would leave its socket to another test
    sink._client = None
    gc.collect()  # paho leaves the sockets of failed handshakes to it
    assert "\n" not in told
    return "" if connected else told


@needs_mosquitto
def test_a_private_authority_and_a_client_certificate(brokers: Callable[..., Mosquitto], certificates: Path) -> None:
    running = brokers(*tls_lines(certificates, client=True))
    own = Certificates(certificates / "ca.pem", certificates / "client.pem", certificates / "client.key")
    address = parse_broker(f"mqtts://127.0.0.1:{running.port}/edge/porch")
    sink = Mqtt(address, settings=MqttSettings(certificates=own))
    sink.open(CARD)
    until(lambda: sink._client.is_connected())
    sink.event(event(1))
    sink.close()


@needs_mosquitto
def test_a_broker_with_websockets_and_tls_of_its_own(brokers: Callable[..., Mosquitto], certificates: Path) -> None:
    port = free_port()
    # Beside a plain listener: mosquitto 2.0.11 does not start with WebSockets alone.
    running = brokers(f"listener {port} 127.0.0.1", "protocol websockets", *tls_lines(certificates))
    settings = MqttSettings(certificates=Certificates(certificates / "ca.pem"))
    sink = Mqtt(parse_broker(f"wss://127.0.0.1:{port}/edge/porch"), settings=settings)
    sink.open(CARD)
    until(lambda: sink._client.is_connected())
    listening = Listener(running.port)
    sink.event(event(1))
    until(listening.events)
    sink.close()
    listening.close()


class WebSocketBroker:
    """What a web server in front of a broker does: WebSocket frames on one side (RFC 6455), bytes on the other."""

    def __init__(self, broker: int, path: str) -> None:
        self._broker, self._path = broker, path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as reader, suppress(OSError, ValueError, struct.error):
            head = b"".join(iter(reader.readline, b"\r\n")).decode()
            if not head.startswith(f"GET {self._path} "):
                client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                return
            key = str(next(re.finditer(r"(?im)^sec-websocket-key: *(\S+)", head))[1])
            accepted = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
            client.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
            )
            with socket.create_connection(("127.0.0.1", self._broker)) as broker:
                threading.Thread(target=self._back, args=(broker, client), daemon=True).start()
                while True:
                    first, length = struct.unpack("!BB", reader.read(2))
                    length &= 127
                    if length > 125:
                        (length,) = struct.unpack(
                            "!H" if length == 126 else "!Q", reader.read(2 if length == 126 else 8)
                        )
                    mask, data = reader.read(4), reader.read(length)
                    if first & 15 == 8:
                        return
                    broker.sendall(bytes(byte ^ mask[place % 4] for place, byte in enumerate(data)))

    @staticmethod
    def _back(broker: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := broker.recv(60_000):
                length = struct.pack("!B", len(data)) if len(data) < 126 else struct.pack("!BH", 126, len(data))
                client.sendall(b"\x82" + length + data)

    def close(self) -> None:
        self._listener.close()


@needs_mosquitto
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_behind_websockets(broker: Mosquitto, listener: Listener) -> None:
    server = WebSocketBroker(broker.port, "/broker/mqtt")
    sink = Mqtt(parse_broker(f"ws://127.0.0.1:{server.port}/edge/porch?path=/broker/mqtt"))
    sink.open(CARD)
    until(lambda: sink._client.is_connected())
    sink.event(event(1))
    until(listener.events)
    sink.close()
    assert "?path=" in why(f"ws://127.0.0.1:{server.port}/edge/porch")
    server.close()


@needs_mosquitto
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_connection_that_fails_is_told_as_what_it_is(brokers: Callable[..., Mosquitto], certificates: Path) -> None:
    ours = Certificates(certificates / "ca.pem")
    plain = brokers()
    assert "speak TLS" in why(f"mqtts://127.0.0.1:{plain.port}", ours)
    assert "hung up" in why(f"ws://127.0.0.1:{plain.port}") or "WebSocket" in why(f"ws://127.0.0.1:{plain.port}")
    plain.kill()
    assert "nothing listens" in why(f"mqtt://127.0.0.1:{plain.port}")
    assert "is not known" in why("mqtt://no-such-host.invalid")
    private = brokers(*tls_lines(certificates))
    assert "--mqtt-ca" in why(f"mqtts://127.0.0.1:{private.port}")
    assert why(f"mqtts://127.0.0.1:{private.port}", ours) == ""
    assert "not for localhost" in why(f"mqtts://localhost:{private.port}", ours)
    assert "TLS (mqtts://" in why(f"mqtt://127.0.0.1:{private.port}")
    strict = brokers(*tls_lines(certificates, client=True))
    assert "client certificate" in why(f"mqtts://127.0.0.1:{strict.port}", ours)


def test_files_that_are_no_certificates_are_refused_at_the_start(tmp_path: Path, certificates: Path) -> None:
    (tmp_path / "text.pem").write_text("hello")
    for files, named in (
        (Certificates(ca=tmp_path / "text.pem"), "--mqtt-ca"),
        (Certificates(ca=tmp_path / "nothing.pem"), "--mqtt-ca"),
        (Certificates(own=tmp_path / "text.pem"), "--mqtt-cert"),
        (Certificates(own=certificates / "client.pem", key=certificates / "broker.key"), "--mqtt-key"),
        (Certificates(key=certificates / "client.key"), "--mqtt-cert"),
    ):
        with pytest.raises(SettingsError, match=named):
            Mqtt(Broker("127.0.0.1", 1, "x", "mqtts"), settings=MqttSettings(certificates=files)).open(CARD)
    with pytest.raises(SettingsError, match="mqtts://"):
        Mqtt(
            Broker("127.0.0.1", 1, "x"), settings=MqttSettings(certificates=Certificates(ca=certificates / "ca.pem"))
        ).open(CARD)


def test_an_address_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "pi/3+")
    monkeypatch.setattr(broker_module, "machine", lambda: "0123")
    found = parse_broker("mqtt://broker")
    assert found == Broker("broker", 1883, found.prefix)
    assert re.fullmatch("edge-mobilenet/pi_3_-[0-9a-f]{6}", found.prefix)
    assert parse_broker("mqtt://broker", about="/dev/video1").prefix != found.prefix
    assert parse_broker("mqtts://u:p%40%2F@[::1]:99/a/b/") == Broker(
        "::1", 99, "a/b", "mqtts", user="u", password="p@/"
    )
    assert parse_broker("mqtts://u@h/x", "from a file") == Broker(
        "h", 8883, "x", "mqtts", user="u", password="from a file"
    )
    assert parse_broker("ws://h/x") == Broker("h", 80, "x", "ws")
    assert parse_broker("wss://h/x?path=/broker/mqtt") == Broker("h", 443, "x", "wss", "/broker/mqtt")
    monkeypatch.setattr(broker_module, "machine", lambda: "another")
    assert parse_broker("mqtt://broker").prefix != found.prefix
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


def test_a_client_id_is_of_one_process_alone_and_fits_every_broker() -> None:
    ids = [Mqtt(Broker("h", 1, prefix)).client_id for prefix in ("a", "a", "b")]
    assert len(set(ids)) == 3
    assert all(len(one) <= 23 for one in ids)  # what MQTT 3.1.1 promises, 3.1.3.1


def test_every_label_has_a_state_that_home_assistant_takes() -> None:
    labels = [
        "cat",
        "None",
        "unknown",
        "Unavailable",
        "nothing",
        "",
        " ",
        "x" * 300,
        "x" * 299 + "y",
        "unknown (label)",
    ]
    found = words(labels)
    assert list(found) == labels and found["cat"] == "cat"
    assert len(set(found.values())) == len(labels)
    assert all(0 < len(word) <= 255 for word in found.values())
    assert not {word.lower() for word in found.values()} & {"none", "unknown", "unavailable", "nothing", ""}


@given(st.lists(st.text(max_size=300), unique=True, max_size=8))
def test_any_labels_have_states_that_differ(labels: list[str]) -> None:
    found = words(labels)
    assert len(set(found.values())) == len(labels)
    assert all(0 < len(word) <= 255 for word in found.values())


def test_a_thousand_labels_make_no_message_that_chokes_home_assistant() -> None:
    sink = Mqtt(Broker("h", 1, "edge/porch"))
    sink._describe(ModelCard(labels=tuple(f"label number {n}" for n in range(1000)), input=InputSpec(32, 32)))
    assert len(json.dumps(sink.bundle())) < 10_000
    many = replace(result("label number 1"), top=tuple(Prediction(f"label number {n}", 0.001) for n in range(1000)))
    sink.frame(many)
    assert len(sink._retained.get("edge/porch/state") or b"") < 1000


def test_cameras_with_one_address_are_a_device_each() -> None:
    for text in ("mqtt://broker/farm", "mqtt://broker"):
        porch, gate = (parse_broker(text, about="0", camera=name) for name in ("porch", "gate"))
        assert porch.prefix.rpartition("/")[2] == "porch"
        assert gate.prefix.rpartition("/")[2] == "gate"
        assert porch.prefix.rpartition("/")[0] == gate.prefix.rpartition("/")[0]
        assert Mqtt(porch).identity != Mqtt(gate).identity
        named = f"{text}/porch" if text.endswith("farm") else text
        assert parse_broker(named, about="1", camera="porch") == porch  # nor does another source make another device
