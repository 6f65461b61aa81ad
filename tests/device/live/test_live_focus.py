"""The loop with a focus: each subject is classified, decided and told of by itself."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_core.errors import ModelFormatError, SettingsError
from edge_core.preprocess import Frame
from edge_device import DecisionOptions, FocusOptions, LiveOptions, SourceOptions, run_live
from edge_device.frames.focus import FocusSubject, MotionFocus, TileFocus, TileFocusRule
from edge_device.frames.overlay import annotated
from edge_device.frames.regions import Region
from edge_device.inference.classifier import Classifier
from edge_device.live.deciders import Deciders, Part
from edge_device.live.decisions import Exponential, Rule
from edge_device.live.loop import Live, LiveSettings
from edge_device.live.make_focus import make_focus
from edge_device.results import Event, Followed, FrameResult, Status
from edge_device.sinks.inbox.snapshots import Snapshots
from edge_device.sinks.mqtt.broker import parse_broker
from edge_device.sinks.mqtt.publisher import Mqtt
from edge_device.sinks.sink import Sink
from edge_device.sinks.sink_queue import SinkQueues
from edge_device.sinks.terminal import Lines
from edge_device.sinks.web.feed import Feed
from edge_device.sources import Source, SourceFrame

from ...models.make_tiny_detector import tiny_detector
from ...moving import FPS, across, scene
from ...moving import Path as Way

pytestmark = pytest.mark.timeout(300)

TinyModel = Callable[..., Path]
RULE = Rule(Exponential(0.3), threshold=0.3)


class Scene(Source):
    """A film of what moves."""

    def __init__(self, ways: Sequence[Way], seconds: float) -> None:
        self._ways, self._seconds = ways, seconds

    def __iter__(self):  # type: ignore[no-untyped-def]
        for index, (now_s, frame) in enumerate(scene(self._ways, self._seconds)):
            yield SourceFrame(frame, "scene", index, now_s, 0.0)


class Everything(Sink):
    name = "everything"
    wants_image = True

    def __init__(self) -> None:
        self.results: list[FrameResult] = []
        self.events: list[Event] = []

    def frame(self, result: FrameResult) -> None:
        self.results.append(result)

    def event(self, event: Event) -> None:
        self.events.append(event)


def run(model: Path, source: Source, settings: LiveSettings) -> tuple[Everything, Status]:
    sink, classifier = Everything(), Classifier(model, threads=1)
    queues = SinkQueues([sink], classifier.card, zones=3, patience=lambda: True)
    status = Live(classifier, source, queues, settings, name="test", model=model).run(lambda: False)
    return sink, status


def test_two_subjects_are_two_events_each_with_its_track_and_box(tiny_model: TinyModel) -> None:
    ways = across(0.25), across(0.75, start_s=2.5)
    sink, status = run(tiny_model(), Scene(ways, 7), LiveSettings(focus=MotionFocus(), rule=RULE))
    told = sorted((event.track or 0, event.label, event.kind) for event in sink.events)
    assert told == [(1, "red", "entered"), (1, "red", "left"), (2, "blue", "entered"), (2, "blue", "left")]
    for event in sink.events:
        assert event.box is not None
        assert event.box[1] + event.box[3] / 2 == pytest.approx(0.25 if event.track == 1 else 0.75, abs=0.1)
    followed = [result for result in sink.results if result.subject]
    assert status.frames == len({result.frame.index for result in followed})
    assert status.frames + status.frames_still == round(7 * FPS)


def test_a_focus_that_finds_nothing_rests_and_says_so_once_a_second(tiny_model: TinyModel) -> None:
    sink, status = run(tiny_model(), Scene([], 5), LiveSettings(focus=MotionFocus(), rule=RULE))
    assert (status.frames, status.frames_still) == (0, round(5 * FPS))
    assert 4 <= len(sink.results) <= 6
    assert all(result.top == () and result.latency.invoke_ms == 0 for result in sink.results)
    assert {result.to_json()["decision"]["label"] for result in sink.results} == {None}
    assert sink.events == []


def test_frames_are_counted_with_those_that_show_nothing(tiny_model: TinyModel) -> None:
    _, status = run(tiny_model(), Scene([], 5), LiveSettings(focus=MotionFocus(), frames=9))
    assert status.frames + status.frames_still == 9


def test_a_subject_belongs_to_the_zone_it_is_in(tiny_model: TinyModel) -> None:
    regions = {"upper": Region(0, 0, 1, 0.5), "lower": Region(0, 0.5, 1, 0.5)}
    settings = LiveSettings(regions=regions, focus=MotionFocus(), rule=RULE)
    sink, _ = run(tiny_model(), Scene([across(0.25), across(0.75)], 6), settings)
    zones = {(event.zone, event.label) for event in sink.events}
    assert zones == {("upper", "red"), ("lower", "blue")}
    assert {result.subject.rank for result in sink.results if result.subject} == {0}


LEFT, RIGHT = Region(0, 0, 0.5, 1), Region(0.5, 0, 0.5, 1)


class Fixed:
    """A focus that always finds the same."""

    def __init__(self, *found: FocusSubject) -> None:
        self.found = found

    def subjects(self, frame: Frame, taken_s: float) -> Sequence[FocusSubject]:
        return self.found


class Blinking:
    """A focus that sees its subject in every other frame, and expects it where no zone is now and then."""

    def __init__(self) -> None:
        self._count = 0

    def subjects(self, frame: Frame, taken_s: float) -> Sequence[FocusSubject]:
        self._count += 1
        part = RIGHT if self._count % 5 == 0 else LEFT
        return [FocusSubject(1, part, part, seen=self._count % 2 == 1)]


def test_a_subject_that_is_only_expected_keeps_its_label_and_is_not_classified(tiny_model: TinyModel) -> None:
    settings = LiveSettings(regions={"left": LEFT}, focus=Blinking(), rule=Rule(Exponential(0.05), threshold=0.1))
    sink, status = run(tiny_model(), Scene([], 2), settings)
    frames = round(2 * FPS)
    assert status.frames == sum(number % 2 == 1 and number % 5 != 0 for number in range(1, frames + 1))
    lasted = [event.duration_s for event in sink.events if event.kind == "left"]
    assert lasted and max(lasted) > 2 / FPS


def test_one_thing_enters_once_though_the_model_wavers() -> None:
    deciders, events = Deciders(("red", "blue"), Rule()), []
    part = Part("", LEFT, Followed(1, (0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 0.5, 1.0), 0, 1))
    for number in range(60):  # a second in two it looks like another thing, or foreign
        turned = 20 <= number < 32
        scores = np.array([0.2, 0.8] if turned else [0.9, 0.1], np.float32)
        events += deciders.update(part, scores, number / 15, number / 15, known=number % 4 == 0 and not turned)[1]
    events += deciders.leave(4.0, 4.0)
    assert [(event.kind, event.label) for event in events] == [("entered", "red"), ("left", "red")]


class Still(Source):
    """Frames of which the left half is red and the right half blue."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __iter__(self):  # type: ignore[no-untyped-def]
        image = np.zeros((240, 480, 3), np.uint8)
        image[:, :240], image[:, 240:] = (10, 20, 250), (250, 10, 20)
        for index in range(self._count):
            yield SourceFrame(image, "still", index, index / 10, 0.0)


def test_what_is_classified_is_the_view_and_json_has_the_box(tiny_model: TinyModel) -> None:
    box = Region(0.6, 0.25, 0.25, 0.5)
    focus = Fixed(FocusSubject(1, LEFT, LEFT), FocusSubject(7, box, RIGHT))
    sink, status = run(tiny_model(), Still(3), LiveSettings(focus=focus))
    assert [result.top[0].label for result in sink.results] == ["red", "blue"] * 3
    fields = sink.results[1].to_json()
    assert (fields["track"], fields["box"]) == (7, [0.6, 0.25, 0.25, 0.5])
    assert "decision" not in fields
    assert status.frames == 3


def test_sinks_show_and_keep_each_subject(tiny_model: TinyModel, tmp_path: Path) -> None:
    box = Region(0.6, 0.25, 0.25, 0.5)
    focus = Fixed(FocusSubject(1, LEFT, LEFT), FocusSubject(7, box, RIGHT))
    sink, _ = run(tiny_model(), Still(1), LiveSettings(focus=focus))
    first, second = sink.results
    drawn = annotated(first.frame.image, [first, second])
    assert tuple(drawn[170, 288]) == (255, 255, 255)  # the left side of the second box
    assert (drawn[64:176, 292:404] == second.frame.image[64:176, 292:404]).all()  # its label is above it
    store = Snapshots(tmp_path, below=1.0)
    store.open(Classifier(tiny_model()).card)
    store.frame(second)
    (kept,) = tmp_path.glob("blue/*.json")
    assert json.loads(kept.read_text())["track"] == 7
    picture = cv2.imread(str(kept.with_suffix(".jpg")))
    assert picture is not None and picture.shape == (240, 240, 3)  # the view, not the frame
    feed = Feed()
    feed.add_result(first, 1.0)
    feed.add_result(second, 1.0)
    assert [one["track"] for one in feed.results(1.0)["results"]] == [1, 7]
    # While the picture of the next frame is made, one of its results is there: the other subject is not gone.
    again = [replace(one, frame=replace(one.frame, index=4, time_s=0.4, taken_s=0.4)) for one in (first, second)]
    feed.add_result(again[1], 1.05)
    assert [one["track"] for one in feed.results(1.05)["results"]] == [1, 7]
    for index in (6, 7):
        feed.add_result(replace(first, frame=replace(first.frame, index=index, taken_s=index / 10)), 1.06)
    assert [one["track"] for one in feed.results(1.06)["results"]] == [1]
    later = SourceFrame(first.frame.image, "still", 5, 0.5, 0.0)
    feed.add_result(FrameResult(later, (), first.latency), 1.1)
    assert [one["top"] for one in feed.results(1.1)["results"]] == [[]]


def test_the_search_by_tiles_tells_of_the_best_square_alone(tiny_model: TinyModel) -> None:
    focus = TileFocus(TileFocusRule(budget_ms=1e4))
    sink, status = run(tiny_model(), Still(30), LiveSettings(focus=focus, rule=RULE))
    followed = [result.subject for result in sink.results if result.subject]
    assert {one.track for one in followed} == {1}
    assert all(one.box == one.view and one.of == 1 for one in followed)
    assert [(event.kind, event.track) for event in sink.events] == [("entered", 1), ("left", 1)]
    assert status.frames == 30
    assert len(followed) + sum(not result.top for result in sink.results) == len(sink.results)


def test_a_detector_of_the_user_finds_and_the_model_names(tiny_model: TinyModel, tmp_path: Path) -> None:
    detector = tmp_path / "detector.tflite"
    detector.write_bytes(tiny_detector(("bird", "cat")))
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 128))
    for number in range(30):
        frame = np.full((128, 128, 3), (0, 0, 255), np.uint8)
        if number >= 10:
            frame[32:64, 32:64] = (250, 10, 20)
        writer.write(frame)
    writer.release()
    sink = Everything()
    options = LiveOptions(
        tiny_model(),
        SourceOptions(str(film)),
        decisions=DecisionOptions(thresholds=("0.3",)),
        focus=FocusOptions(str(detector), detect="cat"),
    )
    run_live(options, sinks=[sink])
    assert [(event.label, event.kind, event.track) for event in sink.events] == [
        ("blue", "entered", 1),
        ("blue", "left", 1),
    ]
    (box,) = {result.to_json()["box"][0] for result in sink.results if result.subject}
    assert box == pytest.approx(0.25, abs=0.01)


def test_mqtt_has_the_subject_that_is_followed_for_longest_and_every_event(tiny_model: TinyModel) -> None:
    focus = Fixed(FocusSubject(1, LEFT, LEFT), FocusSubject(7, RIGHT, RIGHT))
    sink, _ = run(tiny_model(), Still(1), LiveSettings(focus=focus))
    states: list[dict[str, object]] = []
    mqtt = Mqtt(parse_broker("mqtt://127.0.0.1:9/edge", None, about="test"))
    mqtt._retain = lambda topic, payload: states.append(json.loads(payload))  # type: ignore[method-assign]
    for result in sink.results:
        mqtt.frame(result)
    assert [(state["label"], state["track"], state["box"], state["subjects"]) for state in states] == [
        ("red", 1, [0.0, 0.0, 0.5, 1.0], 2)
    ]


def test_lines_name_the_track_and_say_when_there_is_nothing_to_see(
    tiny_model: TinyModel, capsys: pytest.CaptureFixture[str]
) -> None:
    focus = Fixed(FocusSubject(7, RIGHT, RIGHT))
    sink, _ = run(tiny_model(), Still(1), LiveSettings(focus=focus, rule=RULE))
    empty, _ = run(tiny_model(), Still(1), LiveSettings(focus=Fixed(), rule=RULE))
    lines = Lines()
    lines.frame(sink.results[0])
    lines.frame(empty.results[0])
    first, second = capsys.readouterr().out.splitlines()
    assert "track 7  blue" in first
    assert "nothing to see" in second
    assert "->" not in second


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (LiveOptions(Path("m"), focus=FocusOptions("moton")), "moton"),
        (LiveOptions(Path("m"), focus=FocusOptions("motion", detect="cat")), "--detect"),
        (LiveOptions(Path("m"), focus=FocusOptions("none.tflite")), "none.tflite"),
        (LiveOptions(Path("m"), focus=FocusOptions(ignored=("0,0,1,0.5",))), "--ignore"),
        (LiveOptions(Path("m"), focus=FocusOptions("motion", ignored=("0,0,2,1",))), "inside the frame"),
        (LiveOptions(Path("m"), SourceOptions(on_motion=True), focus=FocusOptions("motion")), "--on-motion"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: LiveOptions, what: str) -> None:
    with pytest.raises((SettingsError, ModelFormatError), match=what):
        make_focus(options, [])
