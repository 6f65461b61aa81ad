"""A photo's subject as a camera has it that hangs somewhere: small, off the middle, before another ground.

Pictures are cut out and pasted, which teaches detectors, too (Dwibedi et al., "Cut, Paste and Learn", 2017); as there,
the edge of what is pasted is soft or hard by chance, so that no edge tells where to look.
"""

from typing import Final

import cv2
import numpy as np

from edge_core.preprocess import Frame

HEIGHTS: Final = (0.25, 0.9)
"""Least and largest height of the subject, of the frame's shorter side. Below, 160 pixels hold 40 of it."""

GROUND: Final = (0.4, 0.8)
"""Least and largest side of the ground, of the other photo's shorter one: a part shows less of that photo's subject."""

EDGE: Final = 0.08
"""Width over which a soft edge fades, of the subject's height."""


def before_ground(subject: Frame, other: Frame, shape: tuple[int, int], rng: np.random.Generator) -> Frame:
    """The middle square of a photo, smaller, anywhere before a part of another one.

    Args:
        subject: Photo, uint8, shape (height, width, 3).
        other: Photo of the ground, the same.
        shape: Height and width of the frame in pixels.
        rng: Draws place, size, ground and edge.

    Returns:
        The frame, uint8, shape (height, width, 3).
    """
    part = _square(other, rng.uniform(*GROUND), *rng.random(2))
    high, wide = shape
    square = cv2.resize(part, (max(shape), max(shape)), interpolation=cv2.INTER_AREA)
    # As it is, not distorted, where the frame is no square.
    frame = np.asarray(square[:high, :wide], np.uint8)
    small = max(1, round(min(shape) * rng.uniform(*HEIGHTS)))
    pasted = cv2.resize(_square(subject, 1.0, 0.5, 0.5), (small, small), interpolation=cv2.INTER_AREA)
    top, left = rng.integers(0, high - small + 1), rng.integers(0, wide - small + 1)
    under = frame[top : top + small, left : left + small]
    share = _round_share(small) if rng.random() < 0.5 else np.ones((small, small, 1), np.float32)
    under[:] = np.rint(pasted * share + under * (1 - share)).astype(np.uint8)
    return frame


def _square(photo: Frame, share: float, down: float, across: float) -> Frame:
    """A square part whose side is a share of the photo's shorter one, so far down and across of what is possible."""
    height, width = photo.shape[:2]
    side = max(1, round(min(height, width) * share))
    top, left = round((height - side) * down), round((width - side) * across)
    return photo[top : top + side, left : left + side]


def _round_share(side: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """How much of a pixel is the subject's within a circle with a soft edge: shape (side, side, 1), 0..1."""
    across = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    from_edge = 0.5 - np.hypot(across[:, None], across[None])
    return np.clip(from_edge / EDGE, 0, 1).astype(np.float32)[..., None]
