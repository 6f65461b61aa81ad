import threading
import time
from contextlib import closing
from itertools import islice

import pytest

from edge_core import Frame
from edge_core.errors import SourceError
from edge_device.notices import Notice
from edge_device.sources import FakeCamera, Reconnecting, open_source
from edge_device.sources.fake import Garbage, Raises, Show, Stall, Step, Unplugged
from edge_device.sources.reconnecting import FIRST_PAUSE_S, LONGEST_PAUSE_S, back_off


class Heard:
    """What was told, as a source tells it."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def __call__(self, notice: Notice, /) -> None:
        assert notice.about == "source"
        self.all.append((notice.level, notice.text))


def at_once(attempt: int) -> float:
    return 0.0


@pytest.fixture
def red(color_frames: dict[str, Frame]) -> Frame:
    return color_frames["red"]


def test_frames_go_on_after_every_loss(red: Frame) -> None:
    script: list[Step] = [Show(red, 2), Unplugged(3), Garbage(3), Show(red, 2), Stall(9), red, Garbage(50), red]
    camera = FakeCamera(script, fps=None, stalled_s=0.01)
    heard = Heard()
    with closing(Reconnecting(camera.open, heard, pause_s=at_once)) as source:
        assert source.live
        frames = []
        for frame in islice(source, 6):
            frames.append(frame)
            assert source.state == "open"
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.time_s for frame in frames] == sorted(frame.time_s for frame in frames)
    assert source.losses == 3
    assert source.unreadable == 53
    assert camera.openings == 1 + 4 + 1 + 1
    assert camera.closed
    levels = [level for level, _ in heard.all]
    assert levels == ["warning", "warning", "info", "warning", "info", "warning", "info"]
    assert "was unplugged; trying to open it again" in heard.all[0][1]
    assert "there is no fake camera" in heard.all[1][1]
    assert "fake camera is back after" in heard.all[2][1]


def test_what_keeps_failing_for_one_reason_is_told_once(red: Frame) -> None:
    heard = Heard()
    camera = FakeCamera([red, Unplugged(500), red], fps=None)
    with closing(Reconnecting(camera.open, heard, pause_s=at_once)) as source:
        assert len(list(islice(source, 2))) == 2
    assert camera.openings == 502
    assert len(heard.all) == 3


def test_a_camera_that_opens_but_gives_nothing_is_one_loss_and_waited_for_longer_and_longer(red: Frame) -> None:
    attempts = []

    def pause(attempt: int) -> float:
        attempts.append(attempt)
        return 0.0

    camera = FakeCamera([red, *[Unplugged()] * 4, red, Unplugged(), red], fps=None)
    with closing(Reconnecting(camera.open, pause_s=pause)) as source:
        assert len(list(islice(source, 3))) == 3
    assert attempts == [0, 1, 2, 3, 0]
    assert source.losses == 2


def test_a_source_that_is_not_there_at_first_is_an_error_or_waited_for(red: Frame) -> None:
    camera = FakeCamera([Unplugged(3), red], fps=None)
    with pytest.raises(SourceError):
        next(iter(camera))
    with pytest.raises(SourceError, match="there is no"):
        Reconnecting(camera.open)
    heard = Heard()
    source = Reconnecting(camera.open, heard, wait=True, pause_s=at_once)
    assert source.state == "waiting"
    assert heard.all == [("warning", "there is no fake camera; waiting for it")]
    assert next(iter(source)).index == 0
    assert source.state == "open"  # type: ignore[comparison-overlap]
    assert source.losses == 0
    source.close()


def test_closing_ends_the_wait_at_once(red: Frame) -> None:
    camera = FakeCamera([red, Unplugged(None)], fps=None)

    def pause_s(attempt: int) -> float:
        threading.Timer(0.1, source.close).start()
        return 3600.0

    source = Reconnecting(camera.open, pause_s=pause_s)
    assert [frame.index for frame in source] == [0]
    assert source.state == "waiting"


def test_closing_ends_a_read_and_is_no_loss(red: Frame) -> None:
    camera = FakeCamera([red, Stall(3600)], fps=None, stalled_s=4000)
    source = Reconnecting(camera.open)
    frames = iter(source)
    assert next(frames).index == 0
    threading.Timer(0.1, source.close).start()
    assert not list(frames)
    assert source.losses == 0
    assert camera.closed


def test_a_source_that_opens_after_it_was_closed_is_closed_again(red: Frame) -> None:
    opening, go_on = threading.Event(), threading.Event()
    camera = FakeCamera([Unplugged(), red], repeat=True)

    def slowly() -> FakeCamera:
        if camera.openings:
            opening.set()
            assert go_on.wait(60)
        return camera.open()

    source = Reconnecting(slowly, pause_s=at_once)
    frames: list[object] = []
    thread = threading.Thread(target=lambda: frames.extend(source))
    thread.start()
    assert opening.wait(60)
    source.close()
    go_on.set()
    thread.join(60)
    assert not thread.is_alive()
    assert camera.closed
    assert not frames


def test_other_errors_are_not_taken_for_a_loss(red: Frame) -> None:
    source = Reconnecting(FakeCamera([red, Raises(ZeroDivisionError())], fps=None).open)
    frames = iter(source)
    next(frames)
    with pytest.raises(ZeroDivisionError):
        next(frames)


def test_it_ends_when_the_source_ends_without_an_error(red: Frame) -> None:
    class Short(FakeCamera):
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield from islice(super().__iter__(), 2)

    assert len(list(Reconnecting(Short([red], fps=None, repeat=True).open))) == 2


def test_pauses_double_up_to_a_quarter_of_a_minute() -> None:
    for attempt in (*range(10), 1_000_000):
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempt, 5))
        assert longest / 2 <= back_off(attempt) <= longest
    assert len({back_off(3) for _ in range(9)}) > 1


def test_open_source_reconnects_cameras_only(red: Frame) -> None:
    start = time.monotonic()
    with open_source("fake:32x32@0", reconnect=True) as source:
        assert isinstance(source, Reconnecting)
        assert all(0 <= frame.time_s <= time.monotonic() - start + 1 for frame in islice(source, 3))
    with pytest.raises(SourceError, match="no camera /dev/video99"), open_source("99", reconnect=True):
        pass
    with open_source("99", reconnect=True, wait=True) as source:
        assert source.state == "waiting"
    with pytest.raises(SourceError, match="no file"), open_source("nothing.mp4", reconnect=True, wait=True):
        pass
