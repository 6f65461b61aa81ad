"""What is learned from one frame: the frame as it is, cuts of it, and each of these mirrored."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from edge_core.preprocess import Frame

_CUTS: Final = (
    (1.0, 0.5, 0.5),
    (0.8, 0.5, 0.5),
    (0.85, 0.0, 0.0),
    (0.85, 1.0, 1.0),
    (0.85, 1.0, 0.0),
    (0.85, 0.0, 1.0),
)
"""Sides of a cut as a share of the frame's, and where it lies: 0 is left or top, 1 right or bottom."""

MOST_CUTS: Final = len(_CUTS)


def views(frame: Frame, cuts: int, mirrored: bool) -> Iterator[Frame]:
    """The frame first, then what else is to be learned from it.

    Args:
        frame: uint8, shape (height, width, 3).
        cuts: How many of the cuts, the whole frame among them, 1 to `MOST_CUTS`.
        mirrored: Whether each comes mirrored, too.
    """
    height, width = frame.shape[:2]
    for share, x, y in _CUTS[:cuts]:
        rows, columns = max(1, round(share * height)), max(1, round(share * width))
        top, left = round(y * (height - rows)), round(x * (width - columns))
        cut = frame[top : top + rows, left : left + columns]
        yield cut
        if mirrored:
            yield np.ascontiguousarray(cut[:, ::-1])
