"""A search for what stands still: overlapping squares all over the frame, some in each frame, of which the best
counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from edge_core.preprocess import Frame
from edge_device.frames.focus.subject import FocusSubject, TileTrial, holds
from edge_device.frames.regions import WHOLE, Region

SCALES: Final = (1.0, 0.6, 0.36)
"""Sides of the squares as shares of the frame's shorter side: each thing of a quarter of it or more fills half of a
square."""

OVERLAP: Final = 1 / 3
"""Share of a square's side that the next one overlaps, at least: 39 squares on a frame of 16:9."""

LEAD: Final = 0.1
"""Lead in score by which another square must beat the one that counts."""

SAME: Final = 0.2
"""Share of the smaller of two squares that both have in common from which on they show the same subject."""

CONFIDENT: Final = 0.5
"""Highest score under which a square counts for nothing."""


@dataclass(frozen=True)
class TileFocusRule:
    """How it is searched.

    Attributes:
        budget_ms: Time in milliseconds for inferences in each frame; one square at least is tried.
        regions: Parts of the frame in which the middle of a square may lie.
        ignored: Parts of the frame in which it may not.
    """

    budget_ms: float = 100.0
    regions: Sequence[Region] = (WHOLE,)
    ignored: Sequence[Region] = ()


def tiles(width: int, height: int) -> list[Region]:
    """The squares of a frame of this size in pixels, the largest first."""
    return [
        Region(left, top, side / width, side / height)
        for scale in SCALES
        for side in [scale * min(width, height)]
        for top in _starts(side / height)
        for left in _starts(side / width)
    ]


class TileFocus:
    """Finds the square that is the most confident of those that the model knows; see `TryingFocus`.

    A model that cannot tell what is foreign to it is confident of some square of every frame: use one that can.
    """

    def __init__(self, rule: TileFocusRule = TileFocusRule()) -> None:
        """Has tried nothing."""
        self._rule = rule
        self._shape: tuple[int, int] | None = None
        self._tiles: list[Region] = []
        self._next = 0
        self._round: dict[Region, TileTrial] = {}
        self._best: tuple[int, Region, float] | None = None
        self._tracks = 0
        # Until a time is known, one square is taken to use up the budget.
        self._took_ms = [rule.budget_ms]

    def subjects(self, frame: Frame, taken_s: float) -> Sequence[FocusSubject]:
        if frame.shape[:2] != self._shape:
            self._begin(frame.shape[0], frame.shape[1])
        best = self._best  # another thread may replace it
        found = [FocusSubject(best[0], best[1], best[1], max(0.0, taken_s - best[2]))] if best else []
        # The square that counts is classified in every frame, and takes its part of the time.
        room = int(self._rule.budget_ms / max(median(self._took_ms), 1e-3)) - len(found)
        count = min(max(1, room), len(self._tiles))
        tried = [self._tiles[(self._next + number) % len(self._tiles)] for number in range(count)]
        self._next = (self._next + count) % max(1, len(self._tiles))
        self._now_s = taken_s
        return found + [FocusSubject(0, one, one) for one in tried]

    def tried(self, trials: Sequence[TileTrial]) -> None:
        self._took_ms = [*self._took_ms, *(one.took_ms for one in trials)][-15:]
        tiles = self._tiles
        self._round |= {one.view: one for one in trials}
        if len(self._round) >= len(tiles):
            self._choose([one for one in self._round.values() if one.view in tiles])
            self._round = {}

    def _begin(self, height: int, width: int) -> None:
        rule = self._rule
        self._tiles = [one for one in tiles(width, height) if holds(rule.regions, one) and not holds(rule.ignored, one)]
        self._shape, self._next, self._round, self._best = (height, width), 0, {}, None

    def _choose(self, trials: Sequence[TileTrial]) -> None:
        """Ends a round: the square that counts stays unless another is clearly better, or it is good no more."""
        good = {one.view: one for one in trials if one.known is not False and one.score >= CONFIDENT}
        if not good:
            self._best = None
            return
        best = max(good.values(), key=_merit)
        if self._best is None:
            self._found(best.view)
            return
        number, view, since_s = self._best
        if view in good and good[view].score + LEAD > best.score:
            return
        if _common(view, best.view) >= SAME:
            self._best = number, best.view, since_s
        else:
            self._found(best.view)

    def _found(self, view: Region) -> None:
        self._tracks += 1
        self._best = self._tracks, view, self._now_s


def _merit(trial: TileTrial) -> tuple[float, float]:
    # Rounded, so that among scores that are as good as equal the familiarity decides.
    return round(trial.score, 2), trial.familiarity or 0.0


def _starts(side: float) -> list[float]:
    """Where squares of a side begin, both as shares of the frame: evenly from edge to edge."""
    side = min(side, 1.0)
    # Rounded up, so that neighbors overlap by OVERLAP or more.
    steps = 0 if side > 1 - 1e-6 else -int(-(1 - side) // (side * (1 - OVERLAP)))
    return [(1 - side) * number / max(1, steps) for number in range(steps + 1)]


def _common(one: Region, other: Region) -> float:
    """Share of the smaller of two parts that both have in common."""
    wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    smaller = min(one.width * one.height, other.width * other.height)
    return max(wide, 0.0) * max(high, 0.0) / smaller
