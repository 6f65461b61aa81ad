"""Where frames come from: cameras, video files, pictures.

A source is opened, gives its frames once, in order, and is closed:

    with open_source("0") as source:
        for frame in source:
            print(frame.time_s, classifier.classify(frame.image)[0])
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2

from edge_core.errors import PictureError, SourceError
from edge_core.photos import pictures_below
from edge_core.pictures import EXTENSIONS, read_picture
from edge_core.preprocess import Frame


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """A frame and where it is from.

    Attributes:
        image: uint8, shape (height, width, 3), B, G, R.
        source: the picture or video file, or the camera's device.
        index: of the frame among those that the source has given, from 0.
        time_s: when it was there, in seconds since the source was opened; of a video file, its position in the video.
        capture_ms: what waiting for it, reading and decoding took.
        taken_s: when it was there, by `time.monotonic`.
    """

    image: Frame
    source: str
    index: int
    time_s: float
    capture_ms: float
    taken_s: float = field(default_factory=time.monotonic)


class Source(Protocol):
    """Gives frames until they end or it is closed.

    Attributes:
        live: whether only the newest frame counts, and whether it may come back when it is lost: a camera, not a file.
        mode: what was granted, for people ("1280x720 MJPG 30 fps"); empty where there is nothing to grant.
    """

    live: bool
    mode: str

    def __iter__(self) -> Iterator[SourceFrame]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class CameraMode:
    """What a camera is asked for; it gives what comes nearest, and what it likes where None."""

    width: int | None = None
    height: int | None = None
    fps: float | None = None


Skipped = Callable[[Path, PictureError], None]
"""Told of a picture that is passed over, and why; the message names the file."""


@contextmanager
def open_source(text: str, mode: CameraMode = CameraMode(), skipped: Skipped | None = None) -> Iterator[Source]:
    """Opens a source by what names it, and closes it at the end.

    Args:
        text: a camera's number or device (`0`, `/dev/video0`, `/dev/v4l/by-id/…`), a picture, a folder of pictures, or
            a video file.
        mode: asked of a camera.
        skipped: as in `Pictures`.

    Raises:
        SourceError: there is no such source, or it gives no frames.
    """
    path = Path(text)
    source: Source
    if text.isdecimal() or text.startswith("/dev/"):
        source = Camera(f"/dev/video{text}" if text.isdecimal() else text, mode)
    elif not text or not path.exists():
        raise SourceError(f"{text!r} is no file, folder or camera; --source takes one of these, 0 is the first camera")
    elif path.is_dir() or path.suffix.lower() in EXTENSIONS:
        source = Pictures([path], skipped)
    else:
        source = Video(path)
    try:
        yield source
    finally:
        source.close()


class Camera:
    """A V4L2 camera: USB, or CSI through the legacy driver."""

    live = True
    mode = ""

    def __init__(self, device: str, mode: CameraMode = CameraMode()) -> None:
        """Opens `device`, `/dev/video0`, say.

        Raises:
            SourceError: it is not there, not permitted, or no camera.
        """
        self._device = device
        if not os.path.exists(device):
            raise SourceError(f"there is no camera {device}; {_cameras()}")
        if not os.access(device, os.R_OK | os.W_OK):
            raise SourceError(f"{device} is not permitted; join its group with: sudo usermod -aG video $USER")
        self._opened = time.perf_counter()
        self._capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceError(f"{device} does not open as a camera, or another program uses it; {_cameras()}")
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a longer queue would fill up with frames of the past
        for name, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, mode.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, mode.height),
            (cv2.CAP_PROP_FPS, mode.fps),
        ):
            if value is not None:
                self._capture.set(name, value)

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives frames without end.

        Raises:
            SourceError: the camera gives none any more.
        """
        index = 0
        while True:
            start = time.perf_counter()
            ok, image = self._capture.read()
            now = time.perf_counter()
            if not ok:
                raise SourceError(
                    f"{self._device} has stopped giving frames after {index}; check its cable"
                    if index
                    else f"{self._device} opens but gives no frames; {_cameras()}"
                )
            yield SourceFrame(image, self._device, index, now - self._opened, 1e3 * (now - start))  # type: ignore[arg-type]
            index += 1

    def close(self) -> None:
        self._capture.release()


class Video:
    """Every frame of a video file, turned upright."""

    live = False
    mode = ""

    def __init__(self, path: Path) -> None:
        """Opens a file.

        Raises:
            SourceError: it cannot be read, or is no video.
        """
        self._path = path
        try:
            with path.open("rb") as file:
                head = file.read(4096)
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror or error}") from error
        # FFmpeg renders text files as videos of a terminal; every other container has a zero byte in its header.
        binary = b"\0" in head or head.startswith(b"YUV4MPEG2")
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG) if binary else cv2.VideoCapture()
        if not self._capture.isOpened():
            raise SourceError(f"{path} is neither a picture nor a video that OpenCV can read")

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives the frames.

        Raises:
            SourceError: there is none.
        """
        index = 0
        while True:
            start = time.perf_counter()
            ok, image = self._capture.read()
            capture_ms = 1e3 * (time.perf_counter() - start)
            if not ok:
                break
            time_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
            yield SourceFrame(image, str(self._path), index, time_s, capture_ms)  # type: ignore[arg-type]
            index += 1
        if not index:
            raise SourceError(f"{self._path} holds no video frame that OpenCV can decode")

    def close(self) -> None:
        self._capture.release()


class Pictures:
    """Picture files, and those below folders in natural order: `2.jpg` before `10.jpg`."""

    live = False
    mode = ""

    def __init__(self, paths: Sequence[Path], skipped: Skipped | None = None) -> None:
        """Takes files, which must be pictures, and folders, of which only the pictures count.

        Args:
            paths: given in this order.
            skipped: told of a picture that cannot be read and of a folder without one; these raise PictureError
                otherwise.
        """
        self._paths = paths
        self._skipped = skipped

    def __iter__(self) -> Iterator[SourceFrame]:
        opened = time.perf_counter()
        index = 0
        for named in self._paths:
            for path in (pictures_below(named) or [named]) if named.is_dir() else [named]:
                start = time.perf_counter()
                try:
                    if path.is_dir():
                        raise PictureError(f"{path}: the folder holds no pictures")
                    image = read_picture(path)
                except PictureError as error:
                    if self._skipped is None:
                        raise
                    self._skipped(path, error)
                    continue
                now = time.perf_counter()
                yield SourceFrame(image, str(path), index, now - opened, 1e3 * (now - start))
                index += 1

    def close(self) -> None:
        """There is nothing to release."""


class FakeCamera:
    """A camera for tests and trials without one: gives its frames, then fails like a camera that was pulled out."""

    live = True
    mode = ""

    def __init__(self, frames: Sequence[Frame], fps: float = 30.0) -> None:
        self._frames = frames
        self._fps = fps
        self.closed = False

    def __iter__(self) -> Iterator[SourceFrame]:
        for index, image in enumerate(self._frames):
            yield SourceFrame(image, "fake camera", index, index / self._fps, 0.0)
        raise SourceError(f"the fake camera has stopped giving frames after {len(self._frames)}")

    def close(self) -> None:
        self.closed = True


def _cameras() -> str:
    """Which video devices there are, by name (a Raspberry Pi's codecs are among them), and what to do."""
    devices = sorted(Path("/dev").glob("video*"), key=lambda path: int("0" + re.sub(r"\D", "", path.name)))
    if not devices:
        return "this machine has none (no /dev/video*); plug one in, or name a video or a folder with --source"
    names = []
    for device in devices:
        try:
            names.append(f"{device} ({Path('/sys/class/video4linux', device.name, 'name').read_text().strip()})")
        except OSError:
            names.append(str(device))
    return f"choose with --source from {', '.join(names)}"
