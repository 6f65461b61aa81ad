"""Where a frame differs from its still background: boxes on a small gray picture.

What differs is looked for in detail alone: the background is brought to the light of the frame in each neighborhood of
`DETAIL` pixels. A light that comes and goes over more than that (a cloud's shadow, dawn, exposure, the bands of a
flickering tube) leaves nothing; of a subject its outline and its texture remain, whose boxes are the subject's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.preprocess import Frame
from edge_device.frames.focus.subject import Corners

SIDE: Final = 160
"""Longer side of the small picture in pixels: a subject of a fifth of a 16:9 frame's height is 18 pixels high there."""

DETAIL: Final = 11
"""Side of the box filter in pixels of the small picture."""

DENSE: Final = 1.5
"""Pixels that differ for each pixel of a box's longer side, at least: a streak of rain has one, half an outline two."""

TOLERANCE_FRAMES: Final = 8
"""Frames after which it is found anew by how much each pixel may differ: it changes as slowly as that."""

GROUND_S: Final = 60.0
"""Time over which is averaged how the ground looks, whatever is before it."""

GROUND: Final = 0.55
"""Correlation of a part's details with the ground's from which on it is ground in another light. The highest of 119
subjects in 48 clips had 0.42 when it was found; three pieces of ground behind a cloud's shadow had 0.66 to 0.91."""

LEARN_FRAMES: Final = 2
"""Frames after which the background follows the picture again: what is derived from it lasts as long."""

NOISE_FRAMES: Final = 8
"""Frames after which noise and exposure are estimated again; where the exposure jumps in between, the light of each
neighborhood has changed, which leaves nothing either."""

Gray = npt.NDArray[np.uint8]
Mean = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]
Box = Corners
"""In pixels of the small picture."""


@dataclass(frozen=True)
class ChangeRule:
    """What counts as a change of the background.

    Attributes:
        level: Gray levels by which a detail must differ, at least.
        noise: Multiple of the picture's own noise by which a detail must differ, at least.
        slack: Share of the range of the background's neighboring pixels that is no difference: half a pixel of the
            small picture is four of a frame of 1280x720, for a camera that shakes.
        smallest: Longer side of the smallest box, as a share of the frame's height.
        memory_s: Time in which the background follows what changes slowly.
    """

    level: float = 6.0
    noise: float = 6.0
    slack: float = 0.6
    smallest: float = 0.07
    memory_s: float = 4.0


def small_picture(frame: Frame) -> Gray:
    """A frame in gray, its longer side of `SIDE` pixels: of 1280x720 two of eight pixels in each eighth row.

    The rows come from memory, which is most of its cost. With four of eight pixels, for less noise, it took a third
    longer, and kept the same 58 of 60 subjects that crossed in 24 clips.

    Args:
        frame: uint8, shape (height, width, 3), B, G, R.

    Returns:
        uint8, shape (height, width).
    """
    height, width = frame.shape[:2]
    scale = SIDE / max(height, width)
    wide, high = max(8, round(width * scale)), max(8, round(height * scale))
    step = max(1, height // high)
    # In color first, so that what is made gray is small.
    return np.asarray(cv2.cvtColor(cv2.resize(frame[step // 2 :: step], (wide, high)), cv2.COLOR_BGR2GRAY), np.uint8)


class Background:
    """A running mean of small pictures, and what differs from it.

    Attributes:
        mean: The background; None before the first picture.
        noise: Standard deviation of the noise of one pixel of a small picture, in gray levels.
        share: Share of the picture that differed last, 0..1.
    """

    def __init__(self, rule: ChangeRule = ChangeRule()) -> None:
        """Knows nothing yet."""
        self.rule = rule
        self.mean: Mean | None = None
        self.noise = 1.0
        self.share = 0.0
        self._limit: Gray | None = None
        self._still: Gray | None = None
        self._ground: Mean | None = None
        self._count = 0
        self._unlearned_s = 0.0
        self._passed_s = 0.0
        self._exposure = 1.0

    def learn(self, picture: Gray, passed_s: float, spared: Mask | None = None) -> None:
        """Lets the background follow a picture, if it is time to.

        Args:
            picture: uint8, shape (height, width).
            passed_s: Seconds since the one before.
            spared: Where it must not follow: 0; elsewhere 255.
        """
        if self.mean is None or self.mean.shape != picture.shape:
            self.mean, self._count = picture.astype(np.float32), 1
            self._ground, self._unlearned_s, self._passed_s, self._still = self.mean.copy(), 0.0, 0.0, None
            self._set_limit()
            return
        self._unlearned_s += passed_s
        self._passed_s += passed_s
        if self.learns:
            # In the beginning the plain mean of all pictures so far, from then on an average that forgets.
            weight = max(1 / (self._count + 1), 1 - math.exp(-self._unlearned_s / self.rule.memory_s))
            cv2.accumulateWeighted(picture, self.mean, weight, spared)
            self._unlearned_s, self._still = 0.0, None
        self._count += 1
        if self._count % TOLERANCE_FRAMES == 0 and self._ground is not None:
            weight = max(TOLERANCE_FRAMES / self._count, 1 - math.exp(-self._passed_s / GROUND_S))
            cv2.accumulateWeighted(picture, self._ground, min(weight, 0.5))
            self._passed_s = 0.0
        if self._count % TOLERANCE_FRAMES == 0 or self._count < TOLERANCE_FRAMES:
            self._set_limit()

    def _set_limit(self) -> None:
        """Finds by how much each pixel may differ: by the level, and by a share of the range of its neighbors."""
        assert self.mean is not None
        level = max(self.rule.level, self.rule.noise * self.noise)
        span = cv2.subtract(cv2.dilate(self.mean, _CROSS), cv2.erode(self.mean, _CROSS))
        self._limit = np.asarray(cv2.convertScaleAbs(span, alpha=self.rule.slack / 2, beta=int(level)), np.uint8)

    def is_ground(self, picture: Gray, box: Box) -> bool:
        """Whether a part of a picture has the details of the ground there: then its light alone has changed.

        The background itself cannot tell: where it was spared for something, or took it, its light is another than
        beside it, and from that edge on it differs from the picture.
        """
        assert self._ground is not None
        left, top, right, bottom = whole(box, picture.shape)
        if left >= right or top >= bottom:  # it is expected outside of the picture, where nothing can be told
            return False
        now, ground = (_details(one[top:bottom, left:right]) for one in (picture, self._ground))
        size = float(np.linalg.norm(now) * np.linalg.norm(ground))
        return float((now * ground).sum()) >= GROUND * max(size, 1e-6)

    def forget(self) -> None:
        """Begins anew with the next picture."""
        self.mean, self._count = None, 0

    def take(self, picture: Gray, box: Box) -> None:
        """Makes a part of a picture background at once."""
        assert self.mean is not None
        left, top, right, bottom = whole(box, picture.shape)
        self.mean[top:bottom, left:right] = picture[top:bottom, left:right]
        self._still = None

    def changes(self, picture: Gray) -> Mask:
        """What differs: 255, elsewhere 0."""
        assert self.mean is not None and self._limit is not None
        if self._count % NOISE_FRAMES == 0 or self._count < NOISE_FRAMES:
            self._exposure = _median(picture[2::8, 2::8] / np.maximum(self.mean[2::8, 2::8], 1.0))
            self._still = None
        if self._still is None:
            # With half a level more black becomes 1, by which can be divided.
            self._still = np.asarray(cv2.convertScaleAbs(self.mean, alpha=self._exposure, beta=0.51), np.uint8)
        mask = _differing(picture, self._still, self._limit)
        left, top, wide, high = cv2.boundingRect(mask)
        self.share = 0.0
        if wide:
            # What is left of it in detail. Of the outside of a subject's box nothing is, so that is not looked at.
            reach = DETAIL // 2
            part = slice(max(0, top - reach), top + high + reach), slice(max(0, left - reach), left + wide + reach)
            now, differing = picture[part], mask[part]
            cv2.bitwise_and(differing, _differing(now, _lit(self._still[part], now), self._limit[part]), differing)
            self.share = cv2.countNonZero(differing) / mask.size
        return mask

    @property
    def learns(self) -> bool:
        """Whether it is time to follow the picture again; the first ones are followed one by one."""
        return self._count % LEARN_FRAMES == 0 or self._count < TOLERANCE_FRAMES

    @property
    def hears(self) -> bool:
        """Whether it is time to estimate the noise again."""
        return self._count % NOISE_FRAMES == 0

    def hear(self, picture: Gray, before: Gray) -> None:
        """Estimates the noise from two pictures in a row."""
        step = cv2.absdiff(picture[2::8, 2::8], before[2::8, 2::8]).ravel()
        half = step.size // 2
        # The mean of the lower half of such differences, by the deviation of one picture.
        found = float(np.add.reduce(np.partition(step, half)[:half], dtype=np.float32)) / (0.46 * half)
        self.noise += 0.05 * NOISE_FRAMES * (min(found, 8.0) - self.noise)


def _differing(picture: Gray, still: Gray, limit: Gray) -> Mask:
    """Where two pictures differ by more than is tolerated there: 255."""
    difference = cv2.absdiff(picture, still)
    return np.asarray(cv2.compare(difference, limit, cv2.CMP_GT, difference), np.uint8)


def _lit(still: Gray, picture: Gray) -> Gray:
    """A part of the background in the light of the picture, which is taken from each neighborhood; at the edges it is
    not exact.

    A subject changes the light of the ground beside it, too, in this sense: without the plain look its box was 1.2
    times as large as it, at 30 % of the frame's height.
    """
    light = cv2.divide(cv2.blur(picture, _BLUR), cv2.blur(still, _BLUR), dtype=cv2.CV_32F)
    return np.asarray(cv2.multiply(still, light, dtype=cv2.CV_8U), np.uint8)


def _details(part: Gray | Mean) -> Mean:
    """What differs from its neighborhood, as a share of the light there."""
    values = np.asarray(part, np.float32)
    light = np.asarray(cv2.blur(values, _BLUR), np.float32)
    return (values - light) / (light + 4)


def boxes(mask: Mask) -> list[Box]:
    """The boxes of what differs, one for each connected part: a subject may be in several.

    Args:
        mask: 255 where the picture differs, shape (height, width).
    """
    reach = _JOIN.shape[0] // 2
    x, y, wide, high = cv2.boundingRect(mask)  # most of a picture is still
    if not wide:
        return []
    x0, y0 = max(0, x - reach), max(0, y - reach)
    part = mask[y0 : y + high + reach, x0 : x + wide + reach]
    _, _, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(part, _JOIN), connectivity=8)
    found: list[Box] = []
    for left, top, wide, high, _ in stats[1:].tolist():
        points = cv2.countNonZero(part[top : top + high, left : left + wide])
        if points >= DENSE * (max(wide, high) - 2 * reach):
            left, top = left + x0, top + y0
            right, bottom = left + wide, top + high
            # Undone: at the edge of the picture nothing was joined.
            left, top = left + reach * (left > 0), top + reach * (top > 0)
            right, bottom = right - reach * (right < mask.shape[1]), bottom - reach * (bottom < mask.shape[0])
            found.append((left, top, right, bottom))
    return found


def _median(values: npt.NDArray[np.floating[Any]]) -> float:
    """A median in a fifth of the time that `numpy.median` takes for so few."""
    middle = values.size // 2
    return float(np.partition(values, middle, axis=None)[middle])


def area(box: Box) -> float:
    """Area of a box in square pixels."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def overlap(one: Box, other: Box) -> float:
    """Area that two boxes share, in square pixels."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def union(found: Sequence[Box]) -> Box:
    """The smallest box around others."""
    lefts, tops, rights, bottoms = zip(*found, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def whole(box: Box, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A box in whole pixels, inside a picture of this shape: left, top, right, bottom."""
    left, top, right, bottom = box
    return (
        min(max(0, int(left)), shape[1]),
        min(max(0, int(top)), shape[0]),
        max(0, min(shape[1], int(right + 1))),
        max(0, min(shape[0], int(bottom + 1))),
    )


_BLUR: Final = (DETAIL, DETAIL)
_CROSS: Final = np.ones((3, 3), np.uint8)
_JOIN: Final = np.ones((3, 3), np.uint8)
