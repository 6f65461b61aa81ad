import gc
import math
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

import numpy as np
import pytest

from edge_core import InputSpec, ModelCard
from edge_core.errors import OutputError
from edge_device.notices import Notice
from edge_device.results import Decision, Event, Followed, FrameResult, Latency, Prediction, SinkCounts, Status
from edge_device.sinks import sink_queue as module
from edge_device.sinks.sink import Later, Refused, Sink
from edge_device.sinks.sink_queue import EVENTS, FRAMES, IMAGES, SinkQueues, without_image
from edge_device.sources import SourceFrame

CARD = ModelCard(labels=("cat", "dog"), input=InputSpec(32, 32))
TOOK = Latency(1, 1, 1, 3)
STATUS = Status(0, 0, 0, 0, 0, 0, TOOK, 0, "0", "", "open", 0, "m", "", 0, "r", "cpu", 1)


def result(index: int, zone: str = "") -> FrameResult:
    frame = SourceFrame(np.zeros((4, 4, 3), np.uint8), "camera", index, index / 30, 1.0)
    return FrameResult(frame, (Prediction("cat", 0.9),), TOOK, zone)


def event(number: int) -> Event:
    return Event("entered", "cat", "", 0.0, 0.9, 0.0, number)


def notice(text: str) -> Notice:
    return Notice("info", "loop", text, 0.0)


class Recorder(Sink):
    """Remembers what it took; waits while `gate` is closed, and fails while `error` is set."""

    name = "recorder"

    def __init__(self) -> None:
        self.took: list[tuple[str, object]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.attempts: list[float] = []

    def _take(self, kind: str, what: object) -> None:
        self.attempts.append(time.monotonic())
        self.gate.wait()
        if self.error:
            raise self.error
        self.took.append((kind, what))

    def open(self, card: ModelCard) -> None:
        self.took.append(("open", card))

    def frame(self, result: FrameResult) -> None:
        self._take("frame", (result.zone, result.frame.index))

    def event(self, event: Event) -> None:
        self._take("event", event.number)

    def notice(self, notice: Notice) -> None:
        self.took.append(("notice", notice.text))

    def status(self, status: Status) -> None:
        self.took.append(("status", status.frames))

    def close(self) -> None:
        self.took.append(("close", None))

    def of(self, kind: str) -> list[object]:
        return [what for name, what in self.took if name == kind]


class Newest(Recorder):
    frames: ClassVar[Literal["all", "newest", "none"]] = "newest"


class EventsOnly(Recorder):
    frames: ClassVar[Literal["all", "newest", "none"]] = "none"


class Images(Recorder):
    wants_image = True

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[object] = []

    def frame(self, result: FrameResult) -> None:
        super().frame(result)
        self.shapes.append(result.frame.image.shape)


def until(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until_s, "it has not come to that in 60 s"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(module, "SETTLED_S", 0.05)


@pytest.fixture
def opened() -> Iterator[Callable[..., SinkQueues]]:
    started: list[SinkQueues] = []
    sinks: list[Recorder] = []

    def open_all(*given: Recorder, **settings: object) -> SinkQueues:
        queues = SinkQueues(given, CARD, **settings)  # type: ignore[arg-type]
        started.append(queues)
        sinks.extend(given)
        return queues

    yield open_all
    for sink in sinks:
        sink.gate.set()
    for queues in started:
        queues.close(60)


def test_everything_arrives_in_order_and_the_sink_is_closed_last(opened: Callable[..., SinkQueues]) -> None:
    sink = Recorder()
    queues = opened(sink)
    for number in range(1, 50):
        queues.frame(result(number))
        queues.event(event(number))
    queues.notice(notice("hello"))
    queues.status(STATUS)
    assert queues.close(60) == []
    assert sink.of("frame") == [("", number) for number in range(1, 50)]
    assert sink.of("event") == list(range(1, 50))
    assert sink.took[0] == ("open", CARD)
    assert sink.took[-1] == ("close", None)
    assert (sink.of("notice"), sink.of("status")) == (["hello"], [0])
    assert queues.counts() == {"recorder": SinkCounts(frames=49, events=49)}


def test_a_slow_sink_loses_the_oldest_frames_and_holds_nobody_up(opened: Callable[..., SinkQueues]) -> None:
    slow, quick = Recorder(), Recorder()
    slow.gate.clear()
    queues = opened(slow, quick)
    queues.frame(result(0))
    until(lambda: bool(slow.attempts))  # it has the first in hand
    for number in range(1, FRAMES + 11):
        queues.frame(result(number))
        until(lambda sent=number: len(quick.of("frame")) == sent + 1)  # type: ignore[misc]
    assert queues.counts()["recorder"].frames_dropped == 10
    slow.gate.set()
    assert queues.close(60) == []
    assert slow.of("frame") == [("", number) for number in (0, *range(11, FRAMES + 11))]
    counts = queues.counts()
    assert (counts["recorder"].frames, counts["recorder"].frames_dropped) == (FRAMES + 1, 10)
    assert counts["recorder 2"] == SinkCounts(frames=FRAMES + 11)


def test_a_sink_of_the_newest_frame_gets_one_of_each_zone(opened: Callable[..., SinkQueues]) -> None:
    sink = Newest()
    sink.gate.clear()
    queues = opened(sink, zones=2)
    queues.frame(result(0, "door"))
    until(lambda: bool(sink.attempts))
    for number in range(1, 100):
        queues.frame(result(number, "door"))
        queues.frame(result(number, "yard"))
    sink.gate.set()
    queues.close(60)
    assert sink.of("frame") == [("door", 0), ("door", 99), ("yard", 99)]
    assert queues.counts()["recorder"].frames_dropped == 2 * 98


def test_only_sinks_that_want_it_hold_an_image_and_few_of_them(opened: Callable[..., SinkQueues]) -> None:
    with_image, without, none = Images(), Recorder(), EventsOnly()
    shapes: list[object] = []
    without.frame = lambda result: shapes.append(result.frame.image.shape)  # type: ignore[method-assign]
    queues = opened(with_image, without, none, zones=2)
    with_image.gate.clear()
    queues.frame(result(0))
    until(lambda: bool(with_image.attempts and shapes))
    gc.collect()  # what other tests have left would be collected between the two counts
    before = sum(isinstance(one, SourceFrame) and one.image.size > 0 for one in gc.get_objects())
    for number in range(1, 100):
        queues.frame(result(number))
    after = sum(isinstance(one, SourceFrame) and one.image.size > 0 for one in gc.get_objects())
    assert after - before == 2 * IMAGES
    with_image.gate.set()
    queues.close(60)
    assert set(with_image.shapes) == {(4, 4, 3)}
    assert set(shapes) == {(0, 0, 3)}
    assert none.of("frame") == []


def test_a_result_without_its_image_is_the_same_otherwise() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    whole = FrameResult(
        SourceFrame(image, "porch", 7, 0.7, 1.5, 3.0),
        (Prediction("cat", 0.9),),
        Latency(1.0, 2.0, 3.0, 6.0),
        "door",
        Decision("cat", 0.8),
        familiarity=0.5,
        known=True,
        subject=Followed(3, (0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0), 0, 1),
        camera="porch",
    )
    bare = without_image(whole)
    assert bare.frame.image.size == 0 and whole.frame.image is image
    assert bare.to_json() == whole.to_json()
    assert {**vars(bare), "frame": None} == {**vars(whole), "frame": None}


def test_a_source_that_can_wait_loses_no_frame(opened: Callable[..., SinkQueues]) -> None:
    sink = Recorder()
    sink.gate.clear()
    queues = opened(sink, patience=lambda: True)
    threading.Timer(0.1, sink.gate.set).start()
    for number in range(3 * FRAMES):
        queues.frame(result(number))
    queues.close(60)
    assert sink.of("frame") == [("", number) for number in range(3 * FRAMES)]
    asked: list[int] = []
    impatient = Recorder()
    impatient.gate.clear()

    def no_longer() -> bool:
        asked.append(1)
        return False

    queues = opened(impatient, patience=no_longer)
    for number in range(FRAMES + 3):
        queues.frame(result(number))
    assert asked


def test_events_are_handed_over_again_until_they_are_accepted_in_order(opened: Callable[..., SinkQueues]) -> None:
    sink = Recorder()
    sink.error = ConnectionError("broker\n is down")
    queues = opened(sink)
    for number in range(1, 6):
        queues.event(event(number))
    until(lambda: len(sink.attempts) > 4)
    counts = queues.counts()["recorder"]
    assert (counts.events, counts.events_lost) == (0, 0)
    assert counts.failures >= 4
    assert counts.error == "broker is down"
    sink.error = None
    until(lambda: queues.counts()["recorder"].events == 5)
    assert sink.of("event") == [1, 2, 3, 4, 5]
    assert queues.counts()["recorder"].error == ""


def test_the_pauses_between_attempts_grow(opened: Callable[..., SinkQueues]) -> None:
    sink = EventsOnly()
    sink.error = OSError("no")
    queues = opened(sink)
    queues.event(event(1))
    until(lambda: len(sink.attempts) >= 6)
    pauses = np.diff(sink.attempts[:6])
    assert (pauses >= [0.01, 0.02, 0.04, 0.05, 0.05]).all()


def test_a_sink_can_ask_for_a_longer_pause_or_refuse_an_event_for_good(opened: Callable[..., SinkQueues]) -> None:
    sink = EventsOnly()
    sink.error = Later("busy", after_s=0.3)
    queues = opened(sink)
    queues.event(event(1))
    until(lambda: len(sink.attempts) >= 2)
    assert sink.attempts[1] - sink.attempts[0] >= 0.3
    sink.error = Refused("HTTP 404")
    until(lambda: queues.counts()["recorder"].events_lost == 1)
    sink.error = None
    queues.event(event(2))
    until(lambda: queues.counts()["recorder"].events == 1)
    assert sink.of("event") == [2]


def test_frames_go_on_while_an_event_waits_for_its_next_attempt(opened: Callable[..., SinkQueues]) -> None:
    sink = Recorder()
    sink.event = lambda event: (_ for _ in ()).throw(OSError("only events fail"))  # type: ignore[method-assign]
    queues = opened(sink)
    queues.event(event(1))
    for number in range(50):
        queues.frame(result(number))
    until(lambda: len(sink.of("frame")) == 50)
    assert queues.counts()["recorder"].error == "only events fail"  # a frame's success is not the event's


def test_events_beyond_the_limit_are_lost_oldest_first_and_counted(opened: Callable[..., SinkQueues]) -> None:
    sink = EventsOnly()
    sink.gate.clear()
    queues = opened(sink)
    queues.event(event(0))
    until(lambda: bool(sink.attempts))
    for number in range(1, EVENTS + 8):
        queues.event(event(number))
    assert queues.counts()["recorder"].events_lost == 7
    sink.gate.set()
    until(lambda: queues.counts()["recorder"].events == EVENTS + 1)
    assert sink.of("event") == [0, *range(8, EVENTS + 8)]


def test_failure_and_recovery_are_told_once_to_the_others(opened: Callable[..., SinkQueues]) -> None:
    broken, other, said = Recorder(), Recorder(), list[Notice]()
    broken.name = "broken"
    queues = opened(broken, other, notify=said.append)
    broken.error = OSError(28, "No space left on device")
    for number in range(20):
        queues.frame(result(number))
    queues.event(event(1))
    until(lambda: (now := queues.counts()["broken"]).frames_dropped == 20 and now.failures > 22)
    assert [one.text for one in said] == ["[Errno 28] No space left on device"]
    broken.error = None
    until(lambda: len(said) == 2)
    assert [(one.level, one.about) for one in said] == [("warning", "sink broken"), ("info", "sink broken")]
    assert said[1].text.startswith("works again after ")
    until(lambda: len(other.of("notice")) == 2)
    assert broken.of("notice") == []
    assert queues.counts()["broken"].frames_dropped == 20
    assert queues.counts()["broken"].events == 1


def test_a_sink_that_fails_now_and_then_is_told_of_once(
    opened: Callable[..., SinkQueues], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLED_S", 3600.0)  # the pauses between frames are shorter on any machine
    sink, said = Recorder(), list[Notice]()
    queues = opened(sink, notify=said.append)
    taken = sink.frame

    def every_other(result: FrameResult) -> None:
        if result.frame.index % 2:
            raise OSError("now and then")
        taken(result)

    sink.frame = every_other  # type: ignore[method-assign]
    for number in range(61):
        queues.frame(result(number))
        time.sleep(0.002)
    until(lambda: len(sink.of("frame")) == 31)
    assert queues.counts()["recorder"].failures == 30
    assert [one.level for one in said] == ["warning"]
    monkeypatch.setattr(module, "SETTLED_S", 0.0)
    queues.notice(notice("it looks up"))
    until(lambda: [one.level for one in said] == ["warning", "info"])


def test_a_sink_that_is_stuck_for_good_does_not_hinder_the_end(opened: Callable[..., SinkQueues]) -> None:
    stuck, fine = EventsOnly(), Recorder()
    stuck.name = "stuck"
    queues = opened(stuck, fine)
    stuck.gate.clear()
    for number in range(1, 4):
        queues.event(event(number))
    until(lambda: bool(stuck.attempts))
    start = time.monotonic()
    (said,) = queues.close(1.5)
    assert time.monotonic() - start < 30
    assert (said.level, said.about) == ("warning", "sink stuck")
    assert said.text == "did not return and was abandoned; 3 events were not delivered"
    assert fine.took[-1] == ("close", None)


def test_a_sink_that_closes_slowly_is_hurried_once_the_end_is_asked_for(opened: Callable[..., SinkQueues]) -> None:
    slow, stuck = EventsOnly(), EventsOnly()
    stuck.name = "stuck"
    queues = opened(slow, stuck)
    stuck.gate.clear()
    queues.event(event(1))
    until(lambda: bool(stuck.attempts))
    start = time.monotonic()
    left = queues.close(600, lambda: 0.2 if time.monotonic() > start + 0.3 else math.inf)
    assert 0.3 < time.monotonic() - start < 60
    assert [one.text for one in left] == ["did not return and was abandoned; 1 events were not delivered"]
    assert slow.took[-1] == ("close", None)


def test_at_the_end_an_event_is_tried_once_more_and_what_is_left_is_told(opened: Callable[..., SinkQueues]) -> None:
    late, down = EventsOnly(), EventsOnly()
    down.name = "down"
    queues = opened(late, down)
    late.error = Later("not now", after_s=99)
    down.error = OSError("down")
    for number in range(1, 4):
        queues.event(event(number))
    until(lambda: bool(late.attempts and down.attempts))
    late.error = None
    (said,) = queues.close(60)
    assert late.of("event") == [1, 2, 3]
    assert (said.about, said.text) == ("sink down", "3 events were not delivered")


def test_a_sink_that_can_never_work_stops_the_start_and_closes_the_others() -> None:
    class Bad(Recorder):
        def open(self, card: ModelCard) -> None:
            raise OutputError("the folder cannot be written")

    fine = Recorder()
    before = set(threading.enumerate())
    with pytest.raises(OutputError, match="folder"):
        SinkQueues([fine, Bad()], CARD)
    assert fine.took[-1] == ("close", None)
    assert set(threading.enumerate()) <= before  # what another test has left may end meanwhile


def test_a_swapped_model_opens_every_sink_again_and_a_failure_is_survived(opened: Callable[..., SinkQueues]) -> None:
    class Picky(Recorder):
        def open(self, card: ModelCard) -> None:
            super().open(card)
            if card.labels != CARD.labels:
                raise OutputError("not this one")

    sink = Picky()
    queues = opened(sink)
    new = ModelCard(labels=("a", "b"), input=CARD.input)
    queues.swapped(new)
    queues.frame(result(1))
    until(lambda: bool(sink.of("frame")))
    assert sink.of("open") == [CARD, new]
    assert queues.counts()["recorder"].failures == 1


def test_forty_thousand_frames_leave_nothing_behind(
    opened: Callable[..., SinkQueues], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVENTS", 1000)

    def sinks() -> list[Recorder]:
        made: list[Recorder] = [Recorder(), Newest(), Images(), EventsOnly()]
        for one in made:
            one.frame = one.event = lambda _: None  # type: ignore[method-assign, assignment]
        made[-1].event = lambda event: (_ for _ in ()).throw(OSError("down"))  # type: ignore[method-assign]
        return made

    queues = opened(*sinks())
    one_frame = result(1)

    def run(frames: int) -> None:
        for number in range(frames):
            queues.frame(one_frame)
            if number % 8 == 0:
                queues.event(event(number))

    tracemalloc.start()
    run(8 * 1000 + 8)  # the queue of the sink that is down is full from here on
    before = tracemalloc.get_traced_memory()[0]
    run(32_000)
    growth = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert growth < 300_000  # what waits in the other queues, more or less
    assert queues.counts()["recorder 4"].events_lost >= 4000


def test_an_event_that_is_refused_at_the_end_is_told(opened: Callable[..., SinkQueues]) -> None:
    sink = EventsOnly()
    queues = opened(sink)
    sink.error = Later("not now", after_s=99)
    queues.event(event(1))
    until(lambda: queues.counts()["recorder"].failures == 1)
    sink.error = Refused("HTTP 404")
    (said,) = queues.close(60)
    assert said.text == "1 events were lost: HTTP 404"
