"""A camera for tests, and for trials without one, with faults by script."""

import math
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np

from edge_core.errors import SourceError
from edge_core.preprocess import Frame
from edge_device.sources.jpegs import JpegDecoder
from edge_device.sources.source import ANY_MODE, CameraMode, Source, SourceFrame

QUEUE: Final = 4
"""A reader that is later than so many frames has missed the others, as with a driver's queue."""


@dataclass(frozen=True, eq=False)
class Show:
    """A frame, or the bytes of a JPEG, so many times."""

    picture: Frame | bytes
    times: int


@dataclass(frozen=True)
class Unplugged:
    """The camera is pulled out. So many attempts to open it fail, then it is back; none, ever, where None."""

    failed_openings: int | None = 0


@dataclass(frozen=True)
class Stall:
    """Nothing comes for so long; a stall longer than the camera's `stalled_s` is noticed as a loss."""

    seconds: float


@dataclass(frozen=True)
class Garbage:
    """So many frames that cannot be decoded; 50 are a loss."""

    frames: int = 1


@dataclass(frozen=True)
class ChangedSize:
    """From here on, frames are scaled to this size; as they are where 0."""

    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Slow:
    """From here on, so many frames a second; as fast as they are asked for where None."""

    fps: float | None


@dataclass(frozen=True)
class Raises:
    """Something that no source should raise, a bug: the error goes through as it is."""

    error: BaseException


Fault = Unplugged | Stall | Garbage | ChangedSize | Slow | Raises
Step = Frame | bytes | Show | Fault


class FakeCamera(Source):
    """Plays a script of frames and faults; at its end it is unplugged for good.

    It is the camera itself, not one connection to it: the script goes on where it was when it is opened again.

        camera = FakeCamera([red, Stall(2), red, Unplugged(failed_openings=3), Garbage(7), blue], fps=30)
        source = Reconnecting(camera.open)

    Attributes:
        openings: How often it was opened, or tried to.
        closed: Whether it is closed now.
    """

    live = True

    def __init__(
        self,
        script: Sequence[Step],
        fps: float | None = 30.0,
        *,
        repeat: bool = False,
        stalled_s: float = 3.0,
        covering: int | None = None,
        name: str = "fake camera",
    ) -> None:
        """Is open already.

        Args:
            script: What happens, one after the other.
            fps: Frames a second; as fast as they are asked for where None.
            repeat: Begins anew at the end of the script, without end.
            stalled_s: Nothing for so long is a loss.
            covering: Shorter side in pixels to decode the bytes in the script at, see
                `edge_core.images.decode_picture`.
            name: What frames and errors say.
        """
        if repeat and all(isinstance(step, Slow | ChangedSize) for step in script):
            raise ValueError("a script without a frame or a fault cannot be repeated")
        self._script = script
        self._fps = fps
        self.mode = f"{fps:g} fps" if fps else ""
        self._repeat = repeat
        self._stalled_s = stalled_s
        self._name = name
        self._covering = covering
        self._decoder = JpegDecoder(name, covering)
        self._at = 0  # in the script
        self._shown = 0  # of the `times` of a step
        self._given = 0
        self._size: tuple[int, int] | None = None
        self._refused: float = 0
        self._closed = threading.Event()
        self._started = time.monotonic()
        self._due_s = 0.0  # when the next frame is there
        self.openings = 0

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @property
    def unreadable(self) -> int:
        return self._decoder.unreadable

    @property
    def cut(self) -> int:
        return self._decoder.cut

    def open(self) -> Self:
        """Connects to it (again).

        Raises:
            SourceError: It is unplugged.
        """
        self.openings += 1
        if self._refused:
            self._refused -= 1
            raise SourceError(f"there is no {self._name}")
        self._closed.clear()
        self._decoder = JpegDecoder(self._name, self._covering)
        return self

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives the frames.

        Raises:
            SourceError: The script says so, or is at its end.
        """
        while not self.closed:
            if self._at == len(self._script):
                if not self._repeat:
                    self._refused = math.inf
                    raise SourceError(f"the {self._name} has stopped giving frames after {self._given}")
                self._at = 0
            step = self._script[self._at]
            if isinstance(step, Fault):
                self._at += 1
                self._happen(step)
                continue
            picture, times = (step.picture, step.times) if isinstance(step, Show) else (step, 1)
            self._shown += 1
            if self._shown > times:
                self._at, self._shown = self._at + 1, 0
                continue
            start = time.perf_counter()
            time_s = self._wait()
            if isinstance(picture, bytes):
                image = self._decoder.decode(picture)
            else:
                image = picture
                self._decoder.intact()
            if image is None or self.closed:
                continue
            if self._size:
                image = cv2.resize(image, self._size)  # type: ignore[assignment]
            yield SourceFrame(image, self._name, self._given, time_s, 1e3 * (time.perf_counter() - start))
            self._given += 1

    def close(self) -> None:
        self._closed.set()

    def _happen(self, fault: Fault) -> None:
        if isinstance(fault, Unplugged):
            self._refused = math.inf if fault.failed_openings is None else fault.failed_openings
            raise SourceError(f"the {self._name} was unplugged")
        if isinstance(fault, Stall):
            stopped = self._closed.wait(min(fault.seconds, self._stalled_s))
            if fault.seconds > self._stalled_s and not stopped:
                raise SourceError(f"the {self._name} has given no frame for {self._stalled_s:g} s")
        elif isinstance(fault, Garbage):
            for _ in range(fault.frames):
                self._wait()
                if self.closed:
                    return
                self._decoder.damaged("it is garbage by script")
        elif isinstance(fault, ChangedSize):
            self._size = (fault.width, fault.height) if fault.width else None
        elif isinstance(fault, Slow):
            self._fps = fault.fps
        else:
            raise fault.error

    def _wait(self) -> float:
        """Until the next frame is due; the seconds since the camera was made."""
        now_s = time.monotonic() - self._started
        if self._fps is None:
            return now_s
        # Later than the queue is long: what was due in between is lost, as with a real camera.
        if now_s - self._due_s > QUEUE / self._fps:
            self._due_s = now_s
        self._closed.wait(max(0.0, self._due_s - now_s))
        time_s = self._due_s
        self._due_s += 1 / self._fps
        return time_s


def fake_camera(text: str, mode: CameraMode = ANY_MODE) -> FakeCamera:
    """A camera by text, `fake:`, `fake:1280x720` or `fake:1280x720@15`, that shows a pattern that moves.

    Size and frames a second are those of `mode` where the text has none, else 640x480 and 30; `@0` is as fast as they
    are asked for.

    Raises:
        SourceError: The text is something else.
    """
    found = re.fullmatch(r"fake:(?:(\d{1,4})x(\d{1,4}))?(?:@(\d{1,4}(?:\.\d+)?))?", text)
    if not found or "0" in (found[1], found[2]):
        raise SourceError(f"{text!r} is no fake camera; one is fake:, fake:1280x720 or fake:1280x720@15")
    width, height = (int(found[1]), int(found[2])) if found[1] else (mode.width or 640, mode.height or 480)
    fps = float(found[3]) if found[3] else mode.fps or 30.0
    # Views of one picture of twice the width that repeats itself: it moves for nothing, in the memory of two frames.
    across = np.arange(2 * width) * (2 * np.pi / width)
    shade = np.linspace(0.3, 1.0, height)[:, None, None]
    waves = 127 + 127 * np.cos(across[:, None] + np.array([0.0, 2.1, 4.2]))
    picture = np.empty((height, 2 * width, 3), np.uint8)
    np.multiply(shade, waves, out=picture, casting="unsafe")  # without a picture of floats, 44 MB at 1280x720
    step = max(1, width // 60)
    script = [picture[:, left : left + width] for left in range(0, width, step)]
    return FakeCamera(script, fps or None, repeat=True, name=text)
