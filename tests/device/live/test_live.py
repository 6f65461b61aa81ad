import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_core import Frame
from edge_core.errors import SourceError
from edge_core.preprocess import InputSpec, preprocess
from edge_device.frames import frozen, view_state
from edge_device.frames.motion import Motion, MotionRule
from edge_device.frames.regions import WHOLE, Orientation, Region, cut
from edge_device.inference.classifier import Classifier
from edge_device.inference.threads import best_choice, choose_threads
from edge_device.live import loop
from edge_device.live.capture import AHEAD, Capture, Preparer
from edge_device.live.decisions import Rule
from edge_device.live.loop import Live, LiveSettings, _Meter
from edge_device.results import Decision, FrameResult, Latency, Status
from edge_device.sinks.sink_queue import SinkQueues
from edge_device.sources import FakeCamera, Reconnecting, Source, SourceFrame
from edge_device.sources.fake import Show, Stall, Step, Unplugged

from ...doubles import Recorder, until

TinyModel = Callable[..., Path]


class Film(Source):
    """Every frame counts, `fps` by its own clock, as in a video file."""

    def __init__(self, frames: Sequence[Frame], fps: float = 10.0) -> None:
        self._frames, self._fps = frames, fps
        self.closed = False

    def __iter__(self) -> Iterator[SourceFrame]:
        for index, image in enumerate(self._frames):
            yield SourceFrame(image, "film", index, index / self._fps, 0.0)

    def close(self) -> None:
        self.closed = True


def run(
    model: Path,
    source: Source,
    settings: LiveSettings | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Recorder, Status]:
    recorder = Recorder()
    classifier = Classifier(model, threads=1)
    queues = SinkQueues([recorder], classifier.card, patience=None if source.live else lambda: True)
    status = Live(classifier, source, queues, settings or LiveSettings(), name="test", model=model).run(stopped)
    return recorder, status


def test_every_frame_of_a_film_is_classified_as_the_classifier_alone_does(
    tiny_model: TinyModel, color_frames: dict[str, Frame]
) -> None:
    film = [color_frames[label] for label in ("red", "green", "blue", "dark")] * 10
    model = tiny_model()
    recorder, status = run(model, Film(film))
    assert status.frames == 40
    assert status.source_state == "ended"
    alone = Classifier(model)
    assert [result.top[0] for result in recorder.frames_seen] == [alone.classify(frame)[0] for frame in film]
    assert [result.frame.index for result in recorder.frames_seen] == list(range(40))


def test_the_last_results_of_a_film_reach_a_sink_that_is_slow(
    tiny_model: TinyModel, color_frames: dict[str, Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for the end does not wait for it; a film that has ended has time."""
    monkeypatch.setattr(loop, "CLOSE_S", 0.0)
    take = Recorder.frame

    def slowly(recorder: Recorder, result: FrameResult) -> None:
        time.sleep(0.02)
        take(recorder, result)

    monkeypatch.setattr(Recorder, "frame", slowly)
    recorder, _ = run(tiny_model(), Film([color_frames["red"]] * 20))
    assert len(recorder.frames_seen) == 20 and recorder.closed


def test_who_asks_for_the_end_after_that_of_a_film_need_not_wait_for_a_sink(
    tiny_model: TinyModel, color_frames: dict[str, Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CLOSE_S", 0.0)
    monkeypatch.setattr(loop, "LAST_S", 600.0)
    stuck, asked = threading.Event(), threading.Event()

    def status(recorder: Recorder, status: Status) -> None:
        if status.source_state == "ended":
            threading.Timer(0.3, asked.set).start()  # when the loop has ended, and its sinks are being closed
            stuck.wait(60)

    monkeypatch.setattr(Recorder, "status", status)
    began_s = time.monotonic()
    run(tiny_model(), Film([color_frames["red"]]), stopped=asked.is_set)
    stuck.set()
    assert time.monotonic() - began_s < 50


def test_a_film_makes_the_events_that_its_own_clock_says(tiny_model: TinyModel, color_frames: dict[str, Frame]) -> None:
    film = [color_frames["red"]] * 30 + [color_frames["green"]] * 30
    recorder, _ = run(tiny_model(), Film(film, fps=10.0), LiveSettings(rule=Rule(threshold=0.3, hold_s=0.0)))
    assert [(event.kind, event.label) for event in recorder.events] == [
        ("entered", "red"),
        ("left", "red"),
        ("entered", "green"),
        ("left", "green"),
    ]
    assert 2.9 <= recorder.events[1].duration_s <= 4.0
    assert [event.number for event in recorder.events] == [1, 2, 3, 4]


def test_zones_are_classified_one_by_one(tiny_model: TinyModel, color_frames: dict[str, Frame]) -> None:
    both = np.hstack([color_frames["red"], color_frames["blue"]])
    regions = {"left": Region(0, 0, 0.5, 1), "right": Region(0.5, 0, 0.5, 1)}
    recorder, status = run(tiny_model(), Film([both] * 3), LiveSettings(regions=regions))
    assert [(result.zone, result.top[0].label) for result in recorder.frames_seen] == [
        ("left", "red"),
        ("right", "blue"),
    ] * 3
    assert status.frames == 3


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
def test_what_reaches_the_model_is_preprocess_of_the_upright_region(rotate: int, mirror: bool) -> None:
    rng = np.random.default_rng(rotate)
    frame = rng.integers(0, 256, (97, 61, 3), np.uint8)
    orientation, region, spec = Orientation(rotate, mirror), Region(0.1, 0.3, 0.6, 0.5), InputSpec(32, 24)  # type: ignore[arg-type]
    prepared = Preparer(spec, [WHOLE, region], orientation)(SourceFrame(frame, "test", 0, 0.0, 0.0))
    upright = np.rot90(frame, -rotate // 90)
    upright = np.ascontiguousarray(upright[:, ::-1] if mirror else upright)
    assert (prepared.frame.image == upright).all()
    for pixels, part in zip(prepared.pixels, (WHOLE, region), strict=True):
        assert (pixels == preprocess(cut(upright, part), spec)).all()


def test_pixels_that_somebody_holds_are_not_written_over() -> None:
    prepare = Preparer(InputSpec(8, 8), [WHOLE], Orientation())
    held = [prepare(SourceFrame(np.full((9, 9, 3), level, np.uint8), "test", level, 0.0, 0.0)) for level in range(20)]
    assert [int(prepared.pixels[0][0, 0, 0]) for prepared in held] == list(range(20))


def test_of_a_live_source_only_the_newest_frame_is_taken() -> None:
    frames = [np.full((8, 8, 3), level, np.uint8) for level in range(50)]
    capture = Capture(FakeCamera(frames, fps=None), InputSpec(8, 8), [WHOLE], Orientation())
    while not capture.error:
        time.sleep(0.01)
    newest = capture.take(1)
    assert newest is not None
    assert newest.frame.index == 49
    assert capture.dropped == 49
    assert capture.take(0) is None
    assert capture.ended
    capture.close()


def test_a_film_is_read_no_further_ahead_than_needed() -> None:
    given = []

    class Counted(Film):
        def __iter__(self) -> Iterator[SourceFrame]:
            for frame in super().__iter__():
                given.append(frame.index)
                yield frame

    film = Counted([np.zeros((8, 8, 3), np.uint8)] * 50)
    capture = Capture(film, InputSpec(8, 8), [WHOLE], Orientation())
    until(lambda: len(given) > AHEAD, "what is read ahead")
    time.sleep(0.2)  # and no more
    assert len(given) == AHEAD + 1
    assert [prepared.frame.index for _ in range(50) if (prepared := capture.take(30))] == list(range(50))
    capture.close()
    assert film.closed


def test_a_camera_that_is_lost_comes_back_and_what_was_there_leaves_meanwhile(
    tiny_model: TinyModel, color_frames: dict[str, Frame]
) -> None:
    red = color_frames["red"]
    script: list[Step] = [Show(red, 120), Unplugged(failed_openings=3), Show(red, 1000)]
    camera = FakeCamera(script, fps=60)
    source = Reconnecting(camera.open, pause_s=lambda attempt: 0.6)
    until_s = time.monotonic() + 60

    rule = Rule(threshold=0.3, smoothing=None, lost_s=0.5, hold_s=0.0)
    recorder = Recorder()
    classifier = Classifier(tiny_model(), threads=1)
    live = Live(
        classifier,
        source,
        SinkQueues([recorder], classifier.card),
        LiveSettings(rule=rule),
        name="test",
        model=Path("m"),
    )
    status = live.run(lambda: len(recorder.events) >= 3 or time.monotonic() > until_s)
    assert [event.kind for event in recorder.events] == ["entered", "left", "entered", "left"]
    assert status.source_losses == 1
    assert status.source_state == "open"


def test_a_picture_that_freezes_is_told_and_so_is_the_next_that_differs(
    tiny_model: TinyModel, color_frames: dict[str, Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "LOOKED_AT_S", 0.0)
    monkeypatch.setattr(frozen, "FROZEN_S", 0.5)
    red, blue = color_frames["red"], color_frames["blue"]
    camera = FakeCamera([*[red, blue] * 30, Show(red, 60), blue, Stall(60)], fps=60, stalled_s=60)
    recorder = Recorder()
    classifier = Classifier(tiny_model(), threads=1)
    until_s = time.monotonic() + 60
    Live(
        classifier, camera, SinkQueues([recorder], classifier.card), LiveSettings(), name="porch", model=Path("m")
    ).run(lambda: len(recorder.notices) > 1 or time.monotonic() > until_s)
    # A third one may come before the run has ended.
    assert [(notice.level, notice.about) for notice in recorder.notices[:2]] == [
        ("warning", "source"),
        ("info", "source"),
    ]
    assert "frozen" in recorder.notices[0].text and "porch" in recorder.notices[0].text
    states = [status.source_state for status in recorder.statuses]
    assert "frozen" in states and states[-1] == "open"


def test_a_film_may_stand_still(
    tiny_model: TinyModel, color_frames: dict[str, Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "LOOKED_AT_S", 0.0)
    monkeypatch.setattr(frozen, "FROZEN_S", 0.0)
    recorder, _ = run(tiny_model(), Film([color_frames["red"]] * 20))
    assert recorder.notices == []


def test_a_picture_counts_as_frozen_after_half_a_minute_and_not_before(color_frames: dict[str, Frame]) -> None:
    watch = frozen.FrozenPicture()
    red, blue = color_frames["red"], color_frames["blue"]
    changes = [time_s for time_s in range(100) if watch.look(blue if time_s in (20, 75) else red, time_s)]
    assert changes == [51, 75]
    almost = red.copy()
    almost[0, 0, 0] ^= 1
    assert watch.look(red[:, ::-1], 200) and watch.frozen  # a view of the same pixels
    assert watch.look(almost, 231) and not watch.frozen


def test_the_frame_rate_is_none_while_nothing_comes_and_forgets_a_pause() -> None:
    meter, took = _Meter(), Latency(1, 1, 1, 3)
    for number in range(50):
        meter.add(number / 10, 1, took)
    assert meter.fps(5.0) == pytest.approx(10)
    assert meter.fps(7.0) == 0
    for number in range(20):
        meter.add(100 + number / 10, 1, took)
    assert meter.fps(102) == pytest.approx(10)
    meter.add(300, 1, took)
    meter.add(400, 1, took)
    assert meter.fps(500) == pytest.approx(0.01)  # no more are asked for


def test_a_stalled_camera_does_not_delay_the_end(tiny_model: TinyModel, color_frames: dict[str, Frame]) -> None:
    camera = FakeCamera([Show(color_frames["red"], 5), Stall(60)], fps=None, stalled_s=60)
    asked = threading.Event()
    threading.Timer(0.5, asked.set).start()
    _, status = run(tiny_model(), camera, stopped=asked.is_set)
    assert status.uptime_s < 50
    assert status.source_state == "open"


def test_a_source_that_does_not_come_back_ends_the_run_with_its_error(
    tiny_model: TinyModel, color_frames: dict[str, Frame]
) -> None:
    with pytest.raises(SourceError, match="stopped giving frames after 3"):
        run(tiny_model(), FakeCamera([color_frames["red"]] * 3, fps=None))
    with pytest.raises(SourceError, match="gave no frame"):
        run(tiny_model(), Film([]))


def test_frames_and_statistics_end_where_they_were_asked_to(
    tiny_model: TinyModel, color_frames: dict[str, Frame]
) -> None:
    film = Film([color_frames["red"]] * 50)
    recorder, status = run(tiny_model(), film, LiveSettings(frames=7))
    assert status.frames == len(recorder.frames_seen) == 7
    assert recorder.statuses[-1] == replace(status, sinks=recorder.statuses[-1].sinks)
    assert film.closed


def test_no_more_frames_a_second_are_classified_than_asked_for(
    tiny_model: TinyModel, color_frames: dict[str, Frame]
) -> None:
    _, status = run(tiny_model(), Film([color_frames["red"]] * 5), LiveSettings(max_fps=10.0))
    assert status.uptime_s >= 0.5


def test_what_stands_still_is_not_classified(tiny_model: TinyModel, color_frames: dict[str, Frame]) -> None:
    film = Film([color_frames["red"]] * 100 + [color_frames["blue"]] * 100, fps=10)
    rule = MotionRule(hold_s=1.0, memory_s=0.5)
    recorder, status = run(tiny_model(), film, LiveSettings(motion=rule))
    seen = [result.frame.index for result in recorder.frames_seen]
    assert seen[:10] == list(range(10))
    assert 100 in seen
    assert len(seen) < 50
    assert status.frames + status.frames_still == 200


def test_noise_is_no_motion_and_a_small_object_is() -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(60, 180, (160, 160, 3)).astype(np.int16)

    def noisy(picture: np.ndarray) -> Frame:
        return np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)

    motion = Motion(MotionRule(hold_s=0.0, refresh_s=1e9))
    motion.moves([noisy(still)], 0.0)
    assert not any(motion.moves([noisy(still)], 0.1 * number) for number in range(1, 50))
    still[40:70, 40:70] = 255
    assert motion.moves([noisy(still)], 5.1)


def test_what_stands_still_or_creeps_is_classified_now_and_then() -> None:
    motion = Motion(MotionRule(hold_s=0.0, refresh_s=1.0))
    picture = np.full((160, 160, 3), 90, np.uint8)
    times = [number / 10 for number in range(50) if motion.moves([picture], number / 10)]
    assert times == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_replaced_model_goes_on_with_the_next_frame(tiny_model: TinyModel, color_frames: dict[str, Frame]) -> None:
    first = tiny_model("uint8")
    second = Classifier(tiny_model("float32", labels=("r", "g", "b", "d")), threads=1)

    class Swap:
        handed = False

        def take(self) -> object:
            """After the ninth frame; it is asked while no frame has come, too."""
            if live._meter.frames < 9 or self.handed:
                return None
            self.handed = True
            return type("Replacement", (), {"model": second})()

    recorder = Recorder()
    classifier = Classifier(first, threads=1)
    queues = SinkQueues([recorder], classifier.card, patience=lambda: True)
    settings = LiveSettings(rule=Rule(threshold=0.3, thresholds={"red": 0.3, "r": 0.3}, smoothing=None, hold_s=0.0))
    film = Film([color_frames["red"]] * 30)
    live = Live(classifier, film, queues, settings, name="test", model=first, watcher=Swap())  # type: ignore[arg-type]
    status = live.run(lambda: False)
    labels = [result.top[0].label for result in recorder.frames_seen]
    assert labels == ["red"] * 9 + ["r"] * 21
    assert [(event.kind, event.label) for event in recorder.events] == [
        ("entered", "red"),
        ("left", "red"),
        ("entered", "r"),
        ("left", "r"),
    ]
    assert status.model_swaps == 1
    (notice,) = recorder.notices
    assert (notice.level, notice.about) == ("warning", "model")
    assert "'red'" in notice.text


def test_a_thread_more_must_be_worth_it() -> None:
    assert best_choice([10.0, 9.5, 9.4]) == 0
    assert best_choice([10.0, 5.5, 5.4]) == 1
    assert best_choice([10.0, 9.9, 4.0]) == 2


def test_threads_are_chosen_by_running_the_model(tiny_model: TinyModel) -> None:
    model = tiny_model()
    opened: list[int] = []

    def open_with(threads: int) -> Classifier:
        opened.append(threads)
        return Classifier(model, threads=threads)

    chosen = choose_threads(open_with, cores=2)
    assert opened == [1, 2]
    assert chosen in (1, 2)


def test_a_covered_camera_makes_what_was_there_leave_and_nothing_enters_until_it_sees_again(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_state, "LOOK_S", 0.0)
    monkeypatch.setattr(view_state, "AFTER_S", dict.fromkeys(view_state.AFTER_S, 0.2))
    monkeypatch.setattr(view_state, "CLEAR_S", 0.1)
    lit, black = np.full((48, 64, 3), 200, np.uint8), np.zeros((48, 64, 3), np.uint8)
    camera = FakeCamera([Show(lit, 120), Show(black, 60), Show(lit, 6000)], fps=60)
    until_s, recorder, classifier = time.monotonic() + 60, Recorder(), Classifier(tiny_model(), threads=1)
    rule = Rule(threshold=0.0, smoothing=None, hold_s=0.0)  # the best label of any frame is there
    queues, settings = SinkQueues([recorder], classifier.card), LiveSettings(rule=rule)
    Live(classifier, camera, queues, settings, name="test", model=Path("m")).run(
        lambda: len(recorder.events) >= 3 or time.monotonic() > until_s
    )
    assert [event.kind for event in recorder.events] == ["entered", "left", "entered", "left"]
    dark = [result for result in recorder.frames_seen if result.view == "dark"]
    assert dark and all(
        result.decision == Decision(None, 0.0) and result.to_json()["view"] == "dark" for result in dark
    )
    assert [(one.level, one.about) for one in recorder.notices if one.about == "view"] == [
        ("warning", "view"),
        ("info", "view"),
    ]
    assert "test: the picture is dark" in recorder.notices[0].text
    assert "dark" in [status.view for status in recorder.statuses] and recorder.statuses[-1].view == "clear"
