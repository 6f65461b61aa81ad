"""Memory for frames, used again."""

import sys
from typing import Final

import numpy as np

from edge_core.preprocess import Frame

KEPT: Final = 8
"""Frames at most; what is needed above that is left to the garbage collector."""


class FramePool:
    """Frames of one shape, each written over once nobody holds it any more, nor a view of it.

    Nobody gives a frame back: it counts as free when the pool's own reference is the last. A fresh 1280x720 frame costs
    675 page faults, and no number of buffers would be right for every reader.
    """

    def __init__(self) -> None:
        self._frames: list[Frame] = []

    def take(self, shape: tuple[int, ...]) -> Frame:
        """A frame of that shape that nobody uses, its content undefined."""
        # Frames of the shape before stay with whoever holds them, and are freed with the last of these.
        if self._frames and self._frames[0].shape != shape:
            self._frames.clear()
        for number in range(len(self._frames)):
            if sys.getrefcount(self._frames[number]) == _FREE:
                return self._frames[number]
        frame = np.empty(shape, np.uint8)
        if len(self._frames) < KEPT:
            self._frames.append(frame)
        return frame


def _references_when_free() -> int:
    """What `sys.getrefcount` says of an element of a list that nothing else refers to: it differs between Pythons."""
    frames = [np.empty(1, np.uint8)]
    return sys.getrefcount(frames[0])


_FREE: Final = _references_when_free()
