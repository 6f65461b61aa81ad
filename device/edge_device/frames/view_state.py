"""Whether a camera's picture shows anything: states of the view, each against the camera's own recent past.

A covered lens and a dark room give the same black picture, a hand before the lens and a blank wall the same smooth one.
So the states name what the picture shows, and what people are told names the possible causes.

The structure of a view (how details differ from their surroundings, relative to the light there) is averaged over some
seconds, so that noise and what passes leave little, and compared block by block with a background that follows slowly.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.preprocess import Frame
from edge_device.results import View

TOLD: Final[Mapping[View, str]] = {
    "clear": "the view is clear again",
    "dark": "the picture is dark: the lens is covered, or there is no light",
    "overexposed": "the picture is overexposed: light shines into the lens, or the exposure is wrong",
    "covered": "the picture has lost its details: something covers the lens, or is right before it",
    "blurred": "the picture is less sharp than it was: the lens is out of focus, dirty or wet, or there is fog",
    "moved": "the background is another one: the camera was moved, or something large stands before it",
}
"""What people are told of each state, after the camera's name."""

LOOK_S: Final = 0.5
"""Time between two looks; one takes 1 ms for 1280x720."""

SIDE: Final = 320
"""Longer side of the picture that is looked at, in pixels: blur over three pixels of 1280 is still seen."""

BLOCKS: Final = (10, 6)
"""Number of blocks across and down, each compared by itself."""

PICTURE_S: Final = 2.0
"""Time over which pictures are averaged: noise falls to a third, a passer-by to a trace."""

BACKGROUND_S: Final = 60.0
"""Time over which the background follows, dusk and the way of the shadows."""

HISTORY: Final = 600
"""Looks whose median is the usual sharpness: five minutes."""

LEARNED: Final = 20
"""Looks after which the past is known well enough to compare with."""

SETTLED_S: Final = 1.0
"""Time after the first frame, and after a step of the exposure, in which no label may enter."""

LOUDEST: Final = 8.0
"""Standard deviation in levels that noise has at most in the picture that is looked at; more is another picture."""

STEP: Final = 1.2
"""Ratio of the light in two frames in a row, the median over the picture, from which on the exposure has jumped."""


AFTER_S: Final[Mapping[View, float]] = {
    "dark": 5.0,
    "overexposed": 5.0,
    "covered": 15.0,
    "blurred": 15.0,
    "moved": 20.0,
}
"""Time for which each state must last before it is told: a hand before the lens or a lorry that passes is none."""

CLEAR_S: Final = 3.0
"""Time for which the view must be clear before a state has ended."""

ACCEPTED_S: Final = 120.0
"""Time after which another background that stands still is the camera's own."""


@dataclass(frozen=True)
class ViewRule:
    """When a picture is what; chosen with `benchmarks/experiments/view_states.py`.

    Attributes:
        dark: Grey level that hardly a pixel of a dark picture reaches where no structure is seen in it.
        black: Grey level that hardly a pixel reaches in a picture that is dark whatever is seen in it.
        white: Grey level from which on a pixel counts as overexposed.
        overexposed: Share of overexposed pixels from which on a picture is.
        glaring: Share of overexposed pixels from which on a picture is, if it has risen by `glare`.
        glare: Rise of that share above the usual one.
        legible: Share of blocks that show the same as before, from which on a picture is not overexposed however white
            it is. Of 54 grounds, half as much exposure again left 0.69, 0.85 and 0.93 of the three that became white,
            six times as much 0.73 at most of the 41 that did.
        alike: Correlation of a block with the background from which on both show the same.
        lost: Share of blocks that show the same below which a background is another.
        kept: Share of blocks that usually show the same, at least, for anything to be told of what does not.
        faint: Share of its usual contrast below which a block has lost its details.
        covered: Share of blocks without details from which on the lens is covered.
        shape: Correlation of the picture's large parts with the background's from which on lost details are blur.
        blurred: Share of the usual sharpness below which a picture is blurred.
        contrast: Smallest contrast of a block that is worth comparing, as a share of the light there.
        blocks: Smallest number of such blocks: of a blank wall nothing is told but dark and overexposed.
    """

    dark: float = 30.0
    black: float = 8.0
    white: float = 248.0
    overexposed: float = 0.9
    glaring: float = 0.7
    glare: float = 0.4
    legible: float = 0.82
    alike: float = 0.5
    lost: float = 0.15
    kept: float = 0.6
    faint: float = 0.3
    covered: float = 0.85
    shape: float = 0.7
    blurred: float = 0.5
    contrast: float = 0.015
    blocks: int = 6


Grey = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Structure:
    """What a picture shows, apart from its light.

    Attributes:
        details: Details relative to the light around them, float32, shape (height, width).
        shape: The same of the picture's large parts.
        energy: Mean square of the details in each block, without what noise gives, float32, shape (down, across).
        fine: The same of the finest details, those that blur takes first.
        noise: Variance of one pixel's noise in each block, relative to the light there.
    """

    details: Grey
    shape: Grey
    energy: Grey
    fine: Grey
    noise: Grey


class ViewWatch:
    """Looks at a camera's frames now and then.

    Attributes:
        state: What the view is; "clear" where nothing is wrong, or nothing is known to be.
    """

    def __init__(self, rule: ViewRule = ViewRule()) -> None:
        """Has seen nothing."""
        self.state: View = "clear"
        self._rule = rule
        self._looked_s = self._settled_s = -math.inf
        self._found: View | None = "clear"
        self._found_s = self._clear_s = self._faulty_s = -math.inf  # since when
        self._latest: Grey | None = None
        self._mean: Grey | None = None
        self._begin()

    @property
    def doubtful(self) -> bool:
        """Whether no label may enter or leave: the view is not clear, the camera has begun, or its exposure jumped."""
        # "moved" counts once it is told: until then it may be a large subject, whose label is wanted.
        faulty = self._found not in ("clear", "moved", None)
        return self.state != "clear" or faulty or self._looked_s < self._settled_s

    def settle(self, now_s: float) -> None:
        """A camera begins, anew perhaps: for `SETTLED_S` its picture is not to be trusted."""
        self._settled_s = now_s + SETTLED_S

    def look(self, frame: Frame, now_s: float) -> bool:
        """Takes a frame in.

        Args:
            frame: Frame of the source, uint8, shape (height, width, 3), B, G, R; not changed.
            now_s: Time of the frame in seconds, by a clock that does not jump.

        Returns:
            Whether `state` has changed by it.
        """
        passed_s = now_s - self._looked_s
        if passed_s < LOOK_S:
            return False
        self._looked_s = now_s
        grey = _small(frame)
        if self._latest is None or self._latest.shape != grey.shape:
            self._begin()
            self.settle(now_s)
        elif _stepped(self._latest, grey):
            self.settle(now_s)
            self._mean = None
        # After a pause of the camera one picture must not replace the average as a whole.
        passed_s = min(passed_s, PICTURE_S)
        self._average(grey, passed_s)
        found = self._judge(grey, passed_s, now_s)
        if found != "clear" and self._found in ("clear", None):
            self._faulty_s = now_s
        if found in ("clear", None) and self._found not in ("clear", None):
            self._clear_s = now_s
        if found != self._found:
            self._found_s = now_s
        self._found = found
        return self._decide(now_s)

    def _decide(self, now_s: float) -> bool:
        found, before = self._found, self.state
        if found == "clear" or (found is None and before != "moved"):
            if now_s - self._clear_s >= CLEAR_S:
                self.state = "clear"
        elif found is not None:
            # From a clear view on, any fault counts; one state follows another only once that has lasted.
            since_s = self._faulty_s if before == "clear" else self._found_s
            if now_s - since_s >= AFTER_S[found]:
                self.state = found
        if self.state == "moved" and now_s - self._other_since_s >= ACCEPTED_S:
            self._forget(self._other)
            self.state = "clear"
        return self.state != before

    def _begin(self) -> None:
        self._mean = None
        self._noise = 0.0  # variance of one pixel
        self._rest = 1.0  # share of it that is left in the mean
        self._forget()

    def _forget(self, background: "_Background | None" = None) -> None:
        """Begins with the past anew."""
        self._background = background
        self._other: _Background | None = None
        self._other_since_s = 0.0
        self._glare: deque[float] = deque(maxlen=HISTORY)
        self._kept: deque[float] = deque(maxlen=HISTORY)
        self._sharp: deque[float] = deque(maxlen=HISTORY)

    def _average(self, grey: Grey, passed_s: float) -> None:
        if self._mean is None or self._latest is None or self._found in ("dark", "overexposed"):
            self._mean, self._rest = grey.copy(), 1.0
        else:
            weight = 1 - math.exp(-passed_s / PICTURE_S)
            cv2.accumulateWeighted(grey, self._mean, weight)
            # Variance of a weighted sum of independent noise, relative to that of one picture.
            self._rest = (1 - weight) ** 2 * self._rest + weight**2
            found = float(np.median(np.abs(grey - self._latest)[::2, ::2])) / 0.954  # of two normal errors' difference
            self._noise += 0.2 * (min(found, LOUDEST) ** 2 - self._noise)
        self._latest = grey

    def _judge(self, grey: Grey, passed_s: float, now_s: float) -> View | None:
        """What this look alone says; None where it cannot tell."""
        assert self._mean is not None
        rule = self._rule
        glaring = float(np.mean(grey >= rule.white))
        rise = glaring - median(self._glare) if len(self._glare) >= LEARNED else 0.0
        white = glaring >= rule.overexposed or (glaring >= rule.glaring and rise >= rule.glare)
        if white and not self._is_legible(grey):
            return "overexposed"
        seen = _structure(self._mean, self._noise * self._rest)
        brightest = float(np.quantile(self._mean[::2, ::2], 0.99))
        # Share of blocks whose details stand out of the noise, at twice the energy that noise gives.
        shows = float(np.mean(seen.energy > np.maximum(2 * DETAIL_NOISE * seen.noise, rule.contrast**2)))
        if brightest < rule.black or (brightest < rule.dark and shows < 0.1):
            return "dark"
        if self._background is None:
            self._background = _Background(seen)
        found = self._against_past(self._background, seen, passed_s, now_s)
        if found == "clear":
            self._other = None
            self._background.learn(seen, passed_s)
            self._glare.append(glaring)
        return found

    def _is_legible(self, grey: Grey) -> bool:
        """Whether a picture by itself, not the average with those before it, still shows most of the background."""
        if self._background is None:
            return False
        seen = _structure(grey, self._noise)
        where = self._background.comparable(seen, self._rule)
        # A few blocks, those in the dark perhaps, say nothing of the rest.
        enough = np.count_nonzero(where) >= 2 * self._rule.blocks
        return bool(enough) and self._background.kept(seen, where, self._rule) >= self._rule.legible

    def _against_past(self, past: "_Background", seen: _Structure, passed_s: float, now_s: float) -> View | None:
        """What a picture with enough light is, compared with those before it."""
        rule = self._rule
        where = past.comparable(seen, rule)
        if np.count_nonzero(where) < rule.blocks:
            # What only a comparison can tell stays as it was.
            return "clear" if self.state in ("dark", "overexposed") else self.state
        kept, usual = past.kept(seen, where, rule), median(self._sharp) if len(self._sharp) >= LEARNED else None
        if len(self._kept) >= LEARNED and median(self._kept) >= rule.kept:
            if past.faint(seen, where, rule) >= rule.covered:
                return "blurred" if past.same_shape(seen) >= rule.shape else "covered"
            if kept < rule.lost:
                return "moved" if self._stands_still(seen, passed_s, now_s) else None
        sharp, hidden = _sharpness(seen, where)
        if usual is not None and kept >= rule.lost and max(sharp, hidden) < rule.blurred * usual:
            return "blurred"
        self._kept.append(kept)
        if kept < rule.kept - 0.1:
            return None  # a large subject, or half of another background: nothing to learn
        if hidden < sharp:
            self._sharp.append(sharp)
        return "clear"

    def _stands_still(self, seen: _Structure, passed_s: float, now_s: float) -> bool:
        """Whether another background is there, the same as at the looks before."""
        other = self._other
        if other is None or other.kept(seen, other.comparable(seen, self._rule), self._rule) < self._rule.kept:
            self._other = _Background(seen)
            self._other_since_s = now_s
            return other is None
        other.learn(seen, passed_s)
        return True


class _Background:
    """What pictures have shown lately."""

    def __init__(self, seen: _Structure) -> None:
        self._details, self._shape, self._count = seen.details.copy(), seen.shape.copy(), 1
        self._energy = _blocks(np.square(self._details))

    def learn(self, seen: _Structure, passed_s: float) -> None:
        self._count += 1
        weight = max(1 / self._count, 1 - math.exp(-passed_s / BACKGROUND_S))
        cv2.accumulateWeighted(seen.details, self._details, weight)
        cv2.accumulateWeighted(seen.shape, self._shape, weight)
        self._energy = _blocks(np.square(self._details))

    def comparable(self, seen: _Structure, rule: ViewRule) -> npt.NDArray[np.bool_]:
        """Blocks with a structure that would stand out of the noise, bool, shape (down, across)."""
        return np.asarray(self._energy > np.maximum(rule.contrast**2, 2 * DETAIL_NOISE * seen.noise))

    def kept(self, seen: _Structure, where: npt.NDArray[np.bool_], rule: ViewRule) -> float:
        """Share of the blocks that show the same."""
        # The least energy keeps a block without details from being told alike by a quotient of two small numbers.
        scale = np.sqrt(np.maximum(seen.energy, 0.01 * self._energy) * self._energy) + 1e-12
        alike = _blocks(seen.details * self._details) / scale
        return float(np.mean(alike[where] >= rule.alike)) if where.any() else 0.0

    def faint(self, seen: _Structure, where: npt.NDArray[np.bool_], rule: ViewRule) -> float:
        """Share of the blocks that have lost their details."""
        left = np.abs(_blocks(seen.details * self._details)) < rule.faint * self._energy
        little = seen.energy < rule.faint * self._energy + DETAIL_NOISE * seen.noise
        # Both: noise adds energy without details, and other details than before are no lack of them.
        return float(np.mean((left & little)[where]))

    def same_shape(self, seen: _Structure) -> float:
        """Correlation of the large parts."""
        here, there = seen.shape.ravel(), self._shape.ravel()
        return float(here @ there / (np.linalg.norm(here) * np.linalg.norm(there) + 1e-12))


DETAIL_NOISE: Final = 0.11
FINE_NOISE: Final = 0.89
"""Variance that white noise of variance 1 leaves between boxes of 3 and 15 pixels, and within 3 pixels."""


def _small(frame: Frame) -> Grey:
    """A frame in grey, its longer side of `SIDE` pixels; of a large one only some rows are looked at."""
    height, width = frame.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    wide, high = max(16, round(width * scale)), max(16, round(height * scale))
    rows = frame[:: max(1, height // (2 * high))]
    grey = cv2.cvtColor(cv2.resize(rows, (wide, high), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return grey.astype(np.float32)


def _structure(mean: Grey, noise: float) -> _Structure:
    # A few levels more than the light itself, or the noise of a dark picture would be divided by next to nothing.
    light = _blurred(mean, 31) + 4.0
    finest, middle = _blurred(mean, 3), _blurred(mean, 15)
    details = (finest - middle) / light
    relative = np.asarray(noise / np.square(_blocks(light)), np.float32)
    energy = np.maximum(_blocks(np.square(details)) - DETAIL_NOISE * relative, 0)
    fine = np.maximum(_blocks(np.square((mean - finest) / light)) - FINE_NOISE * relative, 0)
    wide = _blurred(mean, 81) + 4.0
    return _Structure(details, (middle - wide) / wide, energy, fine, relative)


def _sharpness(seen: _Structure, where: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Amplitude of the finest details relative to the others', and what of it noise could hide."""
    energy = float(seen.energy[where].sum()) + 1e-12
    return math.sqrt(float(seen.fine[where].sum()) / energy), math.sqrt(
        0.5 * FINE_NOISE * float(seen.noise[where].sum()) / energy
    )


def _stepped(before: Grey, now: Grey) -> bool:
    """Whether the light has jumped by one factor over most of the picture."""
    ratio = (_blocks(now) + 4.0) / (_blocks(before) + 4.0)
    middle = float(np.median(ratio))
    return not 1 / STEP < middle < STEP and float(np.mean(np.abs(ratio / middle - 1) < 0.1)) >= 0.5


def _blocks(picture: Grey) -> Grey:
    """The mean of each block."""
    return np.asarray(cv2.resize(picture, BLOCKS, interpolation=cv2.INTER_AREA), np.float32)


def _blurred(picture: Grey, side: int) -> Grey:
    return np.asarray(cv2.blur(picture, (side, side)), np.float32)
