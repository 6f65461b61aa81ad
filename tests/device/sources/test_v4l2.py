"""Against a double of OpenCV's capture, which behaves as OpenCV 5.0 did with a V4L2 device under LD_PRELOAD."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from cv2.typing import MatLike

from edge_core.errors import SettingsError, SourceError
from edge_device.sources import CameraMode, v4l2
from edge_device.sources.plug import Plug
from edge_device.sources.v4l2 import Camera


def fourcc(name: str) -> int:
    return cv2.VideoWriter.fourcc(*name)


class Capture:
    """A camera of 640x480 and 1280x720, YUYV and, if it has them, JPEGs; what it gives is put into `queue`."""

    queue: ClassVar[deque[bytes | None]]
    jpegs = True
    fault: str | None = None
    released = 0
    reading = False
    latest: "Capture"

    def __init__(self, device: str, backend: int) -> None:
        assert backend == cv2.CAP_V4L2
        self.properties: dict[int, float] = {
            cv2.CAP_PROP_FOURCC: fourcc("YUYV"),
            cv2.CAP_PROP_FRAME_WIDTH: 640,
            cv2.CAP_PROP_FRAME_HEIGHT: 480,
            cv2.CAP_PROP_FPS: 30,
            cv2.CAP_PROP_BUFFERSIZE: 4,
            cv2.CAP_PROP_CONVERT_RGB: 1,
        }
        self.size: dict[int, float] = {}
        type(self).latest = self

    def isOpened(self) -> bool:
        return True

    def get(self, name: int) -> float:
        return self.properties[name]

    def set(self, name: int, value: float) -> bool:
        if name == cv2.CAP_PROP_FOURCC and not (self.jpegs and value == fourcc("MJPG")):
            return True  # OpenCV says so, and keeps its own
        if name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            self.size[name] = value
            if len(self.size) == 2:
                wide = self.size[cv2.CAP_PROP_FRAME_WIDTH] > 900
                self.properties[cv2.CAP_PROP_FRAME_WIDTH] = 1280 if wide else 640
                self.properties[cv2.CAP_PROP_FRAME_HEIGHT] = 720 if wide else 480
            return True
        self.properties[name] = min(value, 30) if name == cv2.CAP_PROP_FPS else value
        return True

    @staticmethod
    def waitAny(captures: "list[Capture]", nanoseconds: int) -> tuple[bool, tuple[int, ...]]:
        (capture,) = captures
        assert not capture.released
        end = time.monotonic() + nanoseconds / 1e9
        capture.reading = True
        try:
            while not capture.queue and time.monotonic() < end:
                if capture.fault:
                    raise cv2.error(capture.fault)
                time.sleep(0.001)
        finally:
            capture.reading = False
        return (True, (0,)) if capture.queue else (False, ())

    def retrieve(self, image: MatLike | None = None) -> tuple[bool, MatLike]:
        data = self.queue.popleft()
        if data is None:
            raise cv2.error("(-215:Assertion failed)")
        if not self.properties[cv2.CAP_PROP_CONVERT_RGB]:
            return True, np.frombuffer(data, np.uint8)[None]
        shape = (int(self.properties[cv2.CAP_PROP_FRAME_HEIGHT]), int(self.properties[cv2.CAP_PROP_FRAME_WIDTH]), 3)
        if image is None or image.shape != shape:
            image = np.empty(shape, np.uint8)
        image[:] = data[0]
        return True, image

    def release(self) -> None:
        assert not self.reading, "OpenCV would crash"
        self.released += 1


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(Capture, "queue", deque(), raising=False)
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(v4l2, "STALLED_S", 30)  # a slow machine of the tests is no stall
    monkeypatch.delenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", raising=False)
    path = tmp_path / "video7"
    path.touch()
    return str(path)


def jpeg(level: int) -> bytes:
    return cv2.imencode(".jpg", np.full((720, 1280, 3), level, np.uint8))[1].tobytes()


def test_jpegs_are_decoded_here_at_the_size_that_is_needed(device: str) -> None:
    with closing(Camera(device, CameraMode(1280, 720), covering=160)) as camera:
        assert camera.mode == "1280x720 MJPG 30 fps"
        for level in (10, 20, 30):
            Capture.queue.append(jpeg(level))
            frame = next(islice(camera, 1))
            assert frame.image.shape == (180, 320, 3)
            assert frame.image[0, 0, 0] == pytest.approx(level, abs=2)
            assert frame.source == device
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == str(v4l2.STALLED_S)


def test_a_camera_without_jpegs_gives_frames_in_memory_that_is_used_again(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "jpegs", False)
    told: list[str] = []
    with closing(Camera(device, notify=lambda notice: told.append(notice.text))) as camera:
        assert camera.mode == "640x480 YUYV 30 fps"
        assert not told  # JPEGs were our wish, not the user's
        frames = iter(camera)
        places = set()
        held = []
        for level in range(12):
            Capture.queue.append(bytes([level]))
            frame = next(frames)
            places.add(frame.image.ctypes.data)
            if level in (3, 4):
                held.append(frame.image[:9, :9])  # a view will do
    assert len(places) <= 5
    assert [int(image[0, 0, 0]) for image in held] == [3, 4]


@pytest.mark.parametrize(
    ("mode", "granted", "refused"),
    [
        (CameraMode(1920, 1080, 60, "MJPG"), "1280x720 MJPG 30 fps", "width 1920 and height 1080 and 60 fps"),
        (CameraMode(1280, pixel_format="NV12"), "1280x720 YUYV 30 fps", "pixel format NV12"),
        (CameraMode(height=720), "1280x720 MJPG 30 fps", ""),
        (CameraMode(640, 480, 29.97), "640x480 MJPG 29.97 fps", ""),
    ],
)
def test_what_is_not_granted_is_told(device: str, mode: CameraMode, granted: str, refused: str) -> None:
    told: list[tuple[str, str]] = []
    with closing(Camera(device, mode, notify=lambda notice: told.append((notice.level, notice.text)))) as camera:
        assert camera.mode == granted
    if refused:
        assert told == [("warning", f"{device} gives {granted}, not the {refused} that it was asked for")]
    else:
        assert not told


def test_a_reader_that_is_late_gets_the_newest_frame(device: str) -> None:
    with closing(Camera(device)) as camera:
        frames = iter(camera)
        Capture.queue.extend(jpeg(level) for level in (10, 20, 30))
        assert next(frames).image[0, 0, 0] == pytest.approx(30, abs=2)
        # A full queue is from when it filled up.
        Capture.queue.extend(jpeg(level) for level in (40, 50, 60, 70))
        later = threading.Thread(target=arrives_once_the_queue_is_empty, args=(jpeg(200),))
        later.start()
        assert next(frames).image[0, 0, 0] == pytest.approx(200, abs=2)
        later.join()


def arrives_once_the_queue_is_empty(picture: bytes) -> None:
    while Capture.queue:
        time.sleep(0.01)
    Capture.queue.append(picture)


def test_damaged_jpegs_are_passed_over_and_fifty_in_a_row_are_a_loss(device: str) -> None:
    with closing(Camera(device)) as camera:
        frames = iter(camera)

        seen = threading.Event()

        def feed() -> None:
            # A picture that comes before the one before it was looked at would take its place.
            for number, picture in enumerate([jpeg(1)[: len(jpeg(1)) // 2]] * 3 + [jpeg(99)] + [b""] * 50):
                while Capture.queue or camera.unreadable < min(number, 3) + max(0, number - 4):
                    time.sleep(0.001)
                Capture.queue.append(picture)
                if number == 3:
                    seen.wait(60)

        thread = threading.Thread(target=feed)
        thread.start()
        assert next(frames).image[0, 0, 0] == pytest.approx(99, abs=2)
        assert camera.unreadable == 3
        seen.set()
        with pytest.raises(SourceError, match=f"{device} gives damaged pictures only, 50 one after the other"):
            next(frames)
        thread.join()


def test_a_buffer_that_is_partly_filled_is_passed_over(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Capture, "jpegs", False)
    with closing(Camera(device)) as camera:
        frames = iter(camera)
        Capture.queue.append(None)
        threading.Timer(0.05, lambda: Capture.queue.append(b"a")).start()
        assert next(frames).index == 0
        assert camera.unreadable == 1


@pytest.mark.parametrize(("given", "message"), [(0, "opens but gives no frames"), (1, "stopped giving frames after 1")])
def test_an_unplugged_camera_is_an_error(
    device: str, monkeypatch: pytest.MonkeyPatch, given: int, message: str
) -> None:
    with closing(Camera(device)) as camera:
        frames = iter(camera)
        for _ in range(given):
            Capture.queue.append(jpeg(1))
            next(frames)
        monkeypatch.setattr(Capture, "fault", "Error is reported for camera stream: 0 (handle = 3)")
        with pytest.raises(SourceError, match=message):
            next(frames)


def test_a_camera_that_stalls_is_noticed(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "STALLED_S", 1)
    with closing(Camera(device)) as camera:
        frames = iter(camera)
        Capture.queue.append(jpeg(1))
        next(frames)
        time.sleep(1.1)  # the reader's own
        with pytest.raises(SourceError, match="has given no frame for 1 s"):
            next(frames)


def closed_while_read(camera: Camera) -> None:
    threading.Timer(0.1, camera.close).start()
    assert list(camera) == []


def closed_before(camera: Camera) -> None:
    camera.close()
    assert list(camera) == []


def closed_by_the_reader(camera: Camera) -> None:
    Capture.queue.append(jpeg(1))
    next(iter(camera))
    camera.close()


@pytest.mark.parametrize("end", [closed_while_read, closed_before, closed_by_the_reader])
def test_it_is_released_once_and_never_during_a_read(device: str, end: Callable[[Camera], None]) -> None:
    camera = Camera(device)
    end(camera)
    camera.close()
    assert Capture.latest.released == 1


def test_a_pixel_format_that_opencv_cannot_read_is_refused() -> None:
    with pytest.raises(SettingsError, match="'H264' is not one of MJPG"):
        CameraMode(pixel_format="H264")  # type: ignore[arg-type]


def plugged(known: Path, name: str, port: Path, index: int = 0) -> None:
    """What the kernel shows of a camera at a port."""
    port.mkdir(parents=True, exist_ok=True)
    (known / name).mkdir(parents=True)
    (known / name / "device").symlink_to(port)
    (known / name / "index").write_text(f"{index}\n")


def unplugged(known: Path, name: str) -> None:
    for path in (known / name).iterdir():
        path.unlink()
    (known / name).rmdir()


def test_a_camera_that_comes_back_under_another_number_is_found(tmp_path: Path) -> None:
    known, port = tmp_path / "video4linux", tmp_path / "usb1" / "1-1"
    plugged(known, "video0", port)
    plugged(known, "video1", port, index=1)
    plug = Plug("/dev/video0", known)
    assert plug.device() == plug.device() == "/dev/video0"
    unplugged(known, "video0")
    assert plug.device() == "/dev/video0", "it is not back yet"
    known.rename(tmp_path / "gone")
    assert plug.device() == "/dev/video0", "nor is the driver"
    (tmp_path / "gone").rename(known)
    plugged(known, "video0", tmp_path / "usb1" / "1-2")
    plugged(known, "video2", port)
    assert plug.device() == "/dev/video2", "video0 is another camera, video1 another stream"


def test_a_camera_at_another_port_is_taken_by_its_name(tmp_path: Path) -> None:
    known = tmp_path / "video4linux"
    plugged(known, "video0", tmp_path / "usb1" / "1-1")
    plug = Plug("/dev/video0", known)
    plug.device()
    unplugged(known, "video0")
    plugged(known, "video0", tmp_path / "usb1" / "1-2")
    assert plug.device() == "/dev/video0"


def test_a_camera_that_the_kernel_tells_nothing_of_is_taken_by_its_name(tmp_path: Path) -> None:
    assert Plug("/dev/video7", tmp_path / "none").device() == "/dev/video7"
