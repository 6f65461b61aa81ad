"""A source in a thread of its own: while the model runs on one frame, the next is read, decoded and preprocessed.

Of a live source only the newest frame is kept: a queue would show the past. Of a file every frame is, two ahead.

A frame is preprocessed by whoever has the time: by the source's thread while the model is busy, else by the one that
waits for it. So neither a slow model nor a slow decoder waits for the other's work (with the decoder the slower one,
1280x720 JPEGs: 0.91 of its rate when its thread always preprocessed).
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_device.frames.focus import Focus, FocusSubject
from edge_device.frames.regions import Orientation, Region, cut
from edge_device.sources import Source, SourceFrame
from edge_device.sources.pool import FramePool

AHEAD: Final = 2
"""Frames of a file that are prepared before they are asked for: one ready, one in the making."""

UPRIGHT: Final = Orientation()

_END_S: Final = 0.15


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame, ready for the model.

    Attributes:
        frame: The frame that the source gave, turned upright.
        pixels: What `preprocess` made of each zone, or of each subject that was seen where there is a focus.
        spec: Input of the model that the pixels are for.
        preprocess_ms: What that took, orientation and focus included.
        subjects: What the focus found in the frame; None without a focus.
    """

    frame: SourceFrame
    pixels: tuple[Frame, ...]
    spec: InputSpec
    preprocess_ms: float
    subjects: tuple[FocusSubject, ...] | None = None


@dataclass(frozen=True)
class TimedFocus:
    """A focus that takes the time of a frame by the clock of its source.

    Attributes:
        focus: The focus.
        live: Whether the source is a camera; a file has a time of its own.
    """

    focus: Focus
    live: bool

    def __call__(self, frame: SourceFrame) -> Sequence[FocusSubject]:
        return self.focus.subjects(frame.image, frame.taken_s if self.live else frame.time_s)


class Preparer:
    """Makes of a frame what the model takes of it.

    For one thread: its memory is used again.

    Attributes:
        spec: Input of the model in use; may be replaced at any time, because the model may.
    """

    def __init__(
        self, spec: InputSpec, regions: Sequence[Region], orientation: Orientation, focus: TimedFocus | None = None
    ) -> None:
        """Prepares for a model.

        Args:
            spec: Input of the model.
            regions: What of a frame it is given, one by one.
            orientation: How the camera is turned.
            focus: Finds what the model is given in place of the regions.
        """
        self.spec = spec
        self._focus = focus
        self._regions = tuple(regions)
        self._orientation = orientation
        self._pool = FramePool()
        self._upright = FramePool()

    def __call__(self, frame: SourceFrame) -> Prepared:
        start = time.perf_counter()
        spec = self.spec
        upright = frame.image
        if self._orientation != UPRIGHT:
            height, width, channels = upright.shape
            shape = (width, height, channels) if self._orientation.rotate % 180 else upright.shape
            upright = self._orientation.apply(upright, self._upright.take(shape))
            frame = SourceFrame(upright, frame.source, frame.index, frame.time_s, frame.capture_ms, frame.taken_s)
        subjects = tuple(self._focus(frame)) if self._focus else None
        regions = self._regions if subjects is None else [subject.view for subject in subjects if subject.seen]
        pixels = tuple(preprocess(cut(upright, region), spec, out=self._pool.take(spec.shape)) for region in regions)
        return Prepared(frame, pixels, spec, 1e3 * (time.perf_counter() - start), subjects)


class Capture:
    """Runs a source; `take` gives what is ready.

    Attributes:
        dropped: Frames of a live source that a newer one has superseded before they were taken.
        error: What ended the source; None if it runs, was closed, or came to its end.
    """

    def __init__(
        self,
        source: Source,
        spec: InputSpec,
        regions: Sequence[Region],
        orientation: Orientation,
        focus: Focus | None = None,
    ) -> None:
        """Starts to read `source`, which is closed by `close`; the rest is as for `Preparer`.

        A focus sees every frame, in this order, also those that are superseded: it follows what moves.
        """
        self.dropped = 0
        self.error: Exception | None = None
        self._source = source
        timed = TimedFocus(focus, live=source.live) if focus else None
        self._focused = focus is not None
        # One for each of the two threads, as each uses its memory again.
        self._ahead, self._at_once = (Preparer(spec, regions, orientation, timed) for _ in range(2))
        self._ready: deque[Prepared | SourceFrame] = deque()
        # Guards `_ready`, `_closed` and `_ended`: a frame is handed over, and the end is told, under it.
        self._changed = threading.Condition()
        self._closed = self._ended = self._waited_for = False
        self._thread = threading.Thread(target=self._read, name="capture", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the source has come to its end by itself, and all was taken."""
        return self._ended and not self._ready

    def prepare_for(self, spec: InputSpec) -> None:
        """Prepares for another model from now on; some frames for the one before may still be taken."""
        self._ahead.spec = self._at_once.spec = spec

    def take(self, wait_s: float) -> Prepared | None:
        """The next frame, or None if there was none for so long or there will be none."""
        with self._changed:
            if not self._ready and not self._ended:
                self._waited_for = True
                self._changed.wait(wait_s)
                self._waited_for = False
            if not self._ready:
                return None
            frame = self._ready.popleft()
            self._changed.notify()
        # Outside of the lock: the source's thread reads the next frame meanwhile.
        return frame if isinstance(frame, Prepared) else self._at_once(frame)

    def close(self) -> None:
        """Ends the source. A read that hangs in a driver is left behind; it keeps nothing from ending."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # After `_closed` is set: what this makes the source's thread do is no end of the source by itself.
        self._source.close()
        self._thread.join(_END_S)

    def _read(self) -> None:
        try:
            for frame in self._source:
                # A focus follows what moves from frame to frame, so that one thread alone must give it all of them.
                if not self._put(frame if self._waited_for and not self._focused else self._ahead(frame)):
                    return
        except Exception as error:  # noqa: BLE001 - raised again in the thread that takes
            self.error = error
        finally:
            with self._changed:
                self._ended = not self._closed
                self._changed.notify_all()

    def _put(self, frame: Prepared | SourceFrame) -> bool:
        with self._changed:
            if self._source.live:
                self.dropped += len(self._ready)
                self._ready.clear()
            else:
                while len(self._ready) >= AHEAD and not self._closed:
                    self._changed.wait()
            self._ready.append(frame)
            self._changed.notify_all()
            return not self._closed
