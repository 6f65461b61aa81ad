import threading
import time
from itertools import islice

import cv2
import numpy as np
import pytest

from edge_core import Frame
from edge_core.errors import SourceError
from edge_device.sources import CameraMode, FakeCamera, fake, open_source
from edge_device.sources.fake import ChangedSize, Garbage, Raises, Show, Slow, Stall, Step, Unplugged, fake_camera


def shown(camera: FakeCamera, count: int | None = None) -> list[tuple[int, ...]]:
    """The color of what it shows, by its upper left pixel, until it fails."""
    colors = []
    try:
        for frame in islice(camera, count):
            colors.append(tuple(int(level) for level in frame.image[0, 0]))
    except SourceError:
        pass
    return colors


@pytest.fixture
def red(color_frames: dict[str, Frame]) -> Frame:
    return color_frames["red"]


@pytest.fixture
def blue(color_frames: dict[str, Frame]) -> Frame:
    return color_frames["blue"]


def test_an_unplugged_camera_opens_again_after_so_many_attempts_and_goes_on(red: Frame, blue: Frame) -> None:
    camera = FakeCamera([red, Unplugged(failed_openings=2), blue], fps=None)
    frames = iter(camera)
    assert next(frames).index == 0
    with pytest.raises(SourceError, match="unplugged"):
        next(frames)
    for _ in range(2):
        with pytest.raises(SourceError, match="there is no fake camera"):
            camera.open()
    (frame,) = islice(camera.open(), 1)
    assert frame.index == 1
    assert frame.image is blue
    assert camera.openings == 3


@pytest.mark.parametrize("script", [[Unplugged(None)], []], ids=["by script", "at its end"])
def test_a_camera_may_be_gone_for_good(script: list[Step]) -> None:
    camera = FakeCamera(script)
    with pytest.raises(SourceError):
        next(iter(camera))
    for _ in range(100):
        with pytest.raises(SourceError):
            camera.open()


def test_a_short_stall_delays_and_a_long_one_is_a_loss(red: Frame) -> None:
    camera = FakeCamera([Stall(0.05), red, Stall(60), red], fps=None, stalled_s=0.1)
    start = time.monotonic()
    frames = iter(camera)
    next(frames)
    assert time.monotonic() - start >= 0.05
    with pytest.raises(SourceError, match=r"no frame for 0\.1 s"):
        next(frames)
    assert [frame.index for frame in islice(camera.open(), 1)] == [1]


def test_garbage_is_counted_and_fifty_in_a_row_are_a_loss(red: Frame) -> None:
    camera = FakeCamera([Garbage(49), red, b"no jpeg", red, Garbage(49), red, Garbage(50), red], fps=None)
    assert len(shown(camera)) == 3
    assert camera.unreadable == 49 + 1 + 49 + 50
    assert len(shown(camera.open())) == 1


def test_jpegs_in_the_script_are_decoded_at_the_size_that_is_needed() -> None:
    jpeg = cv2.imencode(".jpg", np.full((480, 640, 3), 99, np.uint8))[1].tobytes()
    for covering, shape in ((None, (480, 640, 3)), (160, (240, 320, 3)), (60, (60, 80, 3))):
        assert [frame.image.shape for frame in islice(FakeCamera([jpeg], covering=covering), 1)] == [shape]


def test_frames_change_their_size_and_back(red: Frame) -> None:
    script: list[Step] = [red, ChangedSize(20, 10), Show(red, 2), ChangedSize(), red]
    camera = FakeCamera(script, fps=None)
    assert [frame.image.shape[:2] for frame in islice(camera, 4)] == [(48, 64), (10, 20), (10, 20), (48, 64)]


def test_what_no_source_should_raise_goes_through(red: Frame) -> None:
    frames = iter(FakeCamera([red, Raises(MemoryError("no more"))], fps=None))
    next(frames)
    with pytest.raises(MemoryError, match="no more"):
        next(frames)


def test_it_keeps_its_rate_and_can_slow_down(red: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "QUEUE", 1000)  # this machine may be late
    camera = FakeCamera([Show(red, 3), Slow(10), Show(red, 2)], fps=50)
    start = time.monotonic()
    times = [frame.time_s for frame in islice(camera, 5)]
    assert times == pytest.approx([0, 0.02, 0.04, 0.06, 0.16])
    assert time.monotonic() - start >= 0.15


def test_a_reader_that_is_late_has_missed_frames(red: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(fake, "QUEUE", 1000)  # this machine may be late
        frames = iter(FakeCamera([red], fps=100, repeat=True))
        assert next(frames).time_s == 0
    time.sleep(0.2)
    assert next(frames).time_s > 0.15


def test_it_repeats_without_end(red: Frame, blue: Frame) -> None:
    camera = FakeCamera([red, blue], fps=None, repeat=True)
    colors = shown(camera, 1001)
    assert colors == [(10, 20, 250), (250, 10, 20)] * 500 + [(10, 20, 250)]
    with pytest.raises(ValueError, match="repeated"):
        FakeCamera([Slow(3)], repeat=True)


def test_closing_ends_a_stall_at_once(red: Frame) -> None:
    camera = FakeCamera([red, Stall(60), red], stalled_s=99)
    frames = iter(camera)
    assert next(frames).index == 0
    threading.Timer(0.1, camera.close).start()
    assert not list(frames)
    assert camera.closed


def test_a_fake_camera_by_text_shows_a_pattern_that_moves() -> None:
    with open_source("fake:320x200@0", CameraMode(fps=5)) as source:
        first, second = islice(source, 2)
    assert first.image.shape == (200, 320, 3)
    assert first.source == "fake:320x200@0"
    assert not np.array_equal(first.image, second.image)
    assert fake_camera("fake:@15").mode == "15 fps"
    with open_source("fake:", CameraMode(64, 32, 1000)) as source:
        assert next(iter(source)).image.shape == (32, 64, 3)
    for text in ("fake:1280", "fake:0x9", "fake:9x9@x", "fake:99999x99999"):
        with pytest.raises(SourceError, match="fake:1280x720"), open_source(text):
            pass
