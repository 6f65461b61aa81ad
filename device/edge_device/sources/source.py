"""What a source is."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from edge_core.errors import SettingsError
from edge_core.images import Levels
from edge_core.preprocess import Frame

PixelFormat = Literal["MJPG", "JPEG", "YUYV", "UYVY", "NV12", "NV21", "YU12", "YV12", "GREY", "Y16", "BGR3", "RGB3"]
"""By V4L2's four characters: those that OpenCV makes colors of. A format that it does not know, H264 for one, gives
frames of stale memory without an error."""


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """A frame and where it is from.

    Attributes:
        image: Pixels: uint8, shape (height, width, 3), channels B, G, R. A JPEG may have been decoded at a part of its
            size. The memory is used again once nobody holds the array or a view of it any more.
        source: The picture or video file, the camera's device, or its address without user name and password.
        index: Number of the frame among those that the source has given, from 0.
        time_s: Time at which it came, in seconds since the source was opened; of a video file, its position in the
            video.
        capture_ms: Milliseconds that waiting for it, reading and decoding took.
        taken_s: Time by `time.monotonic`, in seconds, at which it came and was not yet decoded.
    """

    image: Frame
    source: str
    index: int
    time_s: float
    capture_ms: float
    taken_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class CameraMode:
    """What a camera is asked for; it gives what comes nearest, and what it likes where None.

    Attributes:
        width, height: Requested size of a frame in pixels.
        fps: Frames a second.
        pixel_format: A USB camera is asked for MJPG where None: uncompressed, USB 2 carries 1280x720 ten times a
            second.
        controls: Values by name of the camera's own settings, as text: `{"brightness": "120"}`, `{"AfMode": "2"}`.
        tuning_file: File with what a Raspberry Pi camera's pictures are made of its raw data; its sensor's own by
            default.
        buffers: Number of frames that a Raspberry Pi camera has memory for; what picamera2 takes by default.

    Raises:
        SettingsError: OpenCV cannot read `pixel_format`, or `tuning_file` is not there.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    pixel_format: PixelFormat | None = None
    controls: Mapping[str, str] = field(default_factory=dict)
    tuning_file: Path | None = None
    buffers: int | None = None

    def __post_init__(self) -> None:
        if self.pixel_format is not None and self.pixel_format not in get_args(PixelFormat):
            known = ", ".join(get_args(PixelFormat))
            raise SettingsError(f"pixel format {self.pixel_format!r} is not one of {known}")
        if self.tuning_file is not None and not self.tuning_file.is_file():
            raise SettingsError(
                f"{self.tuning_file} is not a file; Raspberry Pi OS has them in /usr/share/libcamera/ipa/rpi"
            )


def parse_controls(texts: Sequence[str]) -> dict[str, str]:
    """Controls from `NAME=VALUE`, in their order.

    Raises:
        SettingsError: One is not of this form, or named twice.
    """
    controls: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise SettingsError(f"a control is NAME=VALUE, as in brightness=120 or AfMode=2, not {text!r}")
        if name in controls:
            raise SettingsError(f"the control {name} is given twice")
        controls[name] = value
    return controls


ANY_MODE: Final = CameraMode()


@dataclass(frozen=True)
class Decoding:
    """What frames are decoded for.

    Attributes:
        covering: The shorter side in pixels that frames must keep at least, where they can be decoded at a part of
            their size: JPEGs of cameras and of standard input. Pictures in files are always decoded whole.
        levels: Levels of the model's `InputSpec`, for picture files and cameras with more than 8 bits a level.
    """

    covering: int | None = None
    levels: Levels = None


WHOLE: Final = Decoding()
"""What the camera likes."""


class Source:
    """Gives frames, once and in order, until they end or it is closed.

    Attributes:
        live: Whether only the newest frame counts, as of a camera, or each does, as of a file.
        mode: Size, format and rate that a camera granted, for people ("1280x720 MJPG 30 fps"); empty for other sources.
        state: "waiting" while the source is lost and not yet opened again, else "open".
        losses: Number of times that the source was lost.
        unreadable: Number of pictures so far that could not be decoded, and were passed over.
        cut: Number of JPEGs so far that lacked their end, and were decoded as far as they go.
    """

    live: bool = False
    mode: str = ""
    state: Literal["open", "waiting"] = "open"
    losses: int = 0

    @property
    def unreadable(self) -> int:
        return 0

    @property
    def cut(self) -> int:
        return 0

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives the frames.

        Raises:
            SourceError: There is none, or there are no more though there should be: the camera was unplugged.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Ends the frames and lets the device go. Any thread may call it, more than once; it does not wait."""


SLICE_S: Final = 0.25
"""A wait for a frame is cut into slices of it, so that closing is noticed."""


class Closing:
    """Lets one thread read from a device while another may close it.

    An OpenCV capture that is released during a read hangs for good, or crashes. So a device is released by `close` only
    when no read is under way, else by the reader as soon as it has ended.
    """

    def __init__(self, release: Callable[[], object]) -> None:
        """`release` is called once."""
        self.asked = threading.Event()
        self._release = release
        self._lock = threading.Lock()
        self._released = False

    @contextmanager
    def reading(self) -> Iterator[bool]:
        """Around each read; whether it may be done."""
        try:
            with self._lock:
                yield not self.asked.is_set()
        finally:
            # `close` came during the read and could not take the lock, so that the device is left to this thread.
            if self.asked.is_set():
                self.close()

    def close(self) -> None:
        self.asked.set()
        # Not waited for: whoever reads releases the device at its end.
        if self._lock.acquire(blocking=False):
            try:
                if not self._released:
                    self._released = True
                    self._release()
            finally:
                self._lock.release()
