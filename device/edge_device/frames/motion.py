"""Whether anything moved: what stands still need not be classified again and again, and the board stays cool."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.preprocess import Frame

CELLS: Final = 32
"""A zone is looked at as CELLS x CELLS means of gray: noise of single pixels averages out."""


@dataclass(frozen=True)
class MotionRule:
    """What counts as motion.

    Attributes:
        level: Gray levels by which the mean of a cell must differ.
        share: Share of the cells that must differ, 0..1.
        hold_s: How long frames are classified after the last motion, so that smoothing comes to its end.
        memory_s: How fast the picture that frames are compared with follows a slow change, the sun's, say.
        refresh_s: How long a picture that stands still goes unclassified: what creeps into it slower than `memory_s` is
            found then, and who watches the live page sees that it lives. A thirtieth of a camera's frames.
    """

    level: float = 8.0
    share: float = 0.01
    hold_s: float = 2.0
    memory_s: float = 5.0
    refresh_s: float = 1.0


class Motion:
    """Compares frames with a running mean of those before them."""

    def __init__(self, rule: MotionRule = MotionRule()) -> None:
        self._rule = rule
        self._means: list[npt.NDArray[np.float32]] = []
        self._now_s = 0.0
        self._until_s = self._due_s = -np.inf

    def moves(self, zones: Sequence[Frame], now_s: float) -> bool:
        """Whether to classify a frame.

        Args:
            zones: What `preprocess` made of each, uint8, shape (height, width, 3); always as many, of the same shape.
            now_s: Seconds of a clock that does not jump.
        """
        rule = self._rule
        cells = [_cells(pixels) for pixels in zones]
        if len(cells) != len(self._means):
            # The first frame, or another number of zones: there is nothing to compare with, and it may be a change.
            self._means, self._now_s = cells, now_s
            self._until_s, self._due_s = now_s + rule.hold_s, now_s + rule.refresh_s
            return True
        share = max(
            float((np.abs(new - mean) > rule.level).mean()) for new, mean in zip(cells, self._means, strict=True)
        )
        if share >= rule.share:
            self._until_s = now_s + rule.hold_s
        # An exponential average by time, not by frames: the same whatever the frame rate is.
        weight = 1 - np.exp((self._now_s - now_s) / rule.memory_s)
        for new, mean in zip(cells, self._means, strict=True):
            cv2.accumulateWeighted(new, mean, float(weight))
        self._now_s = now_s
        if now_s > self._until_s and now_s < self._due_s:
            return False
        self._due_s = now_s + rule.refresh_s
        return True


def _cells(pixels: Frame) -> npt.NDArray[np.float32]:
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (CELLS, CELLS), interpolation=cv2.INTER_AREA).astype(np.float32)
