"""Boxes of one frame joined to those of the frames before: position, size and velocity, matched greedily by
distance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import cv2
import numpy as np

from edge_device.frames.focus.changes import DENSE, Box, Gray, Mask, Mean, area, overlap, union, whole

FARTHEST: Final = 1.5
"""Distance from where a track is expected, in lengths of its box, beyond which a box is another subject."""

INSIDE: Final = 0.5
"""Share of a track's box that a part must hold for the track to be in it."""

GAP: Final = 0.3
"""Gap between the parts of one subject, in its lengths, at most."""

STOUT: Final = 0.6
"""Shorter side of a part as a share of its longer, and that as a share of the largest part's, from which on it is a
thing of its own: two that come in side by side were one for good before."""

SETTLED: Final = 3
"""Boxes after which what was found is one of two things in a part, not an arc of the other's outline."""

REACH: Final = 5
"""Pixels around its expected place in which a track is looked for by its looks."""

ALIKE: Final = 0.6
"""Correlation with its earlier looks from which on a place is the track's."""

LOST_S: Final = 0.6
"""Time without a box after which a track ends."""

LOST_FRAMES: Final = 3
"""Frames without a box before which no track ends: a detector on a small board sees two a second."""

VELOCITY_S: Final = 0.25
"""Time over which a velocity is averaged."""

SIZE_S: Final = 0.15
"""Time over which a size is averaged: an outline with a gap is smaller for a frame."""


STEADY: Final = 0.75
"""Share of its frames in which a track must have a box before it is a subject."""

SAME: Final = 0.38
"""Likeness of what has changed within a track's box in two frames in a row, on the average, from which on it is one
thing. Boxes of rain that were taken for subjects had 0.02 to 0.21 (11 in 2 min), crossing photos 0.45 to 0.84 (25 at 5
to 30 frames a second, half of them in that rain)."""

FORM: Final = (12, 12)
"""Columns and rows into which a track's box is divided to compare what has changed."""

STEADY_S: Final = 1.0
"""Time after which what changes in one place is a subject: one that was there before the first frame, say."""


@dataclass(eq=False)
class SubjectTrack:
    """A subject that is followed.

    Attributes:
        number: Number of the track, from 1 on; 0 until it is confirmed.
        x, y: Middle of its box, in pixels.
        wide, high: Size of its box, in pixels.
        vx, vy: Velocity, in pixels a second.
        born_s: Time of its first box.
        seen_s: Time of its latest box.
        moved_s: Time at which it moved last.
        moves: Number of frames in which it moved.
        frames: Number of frames since it was born.
        hits: Number of frames with a box for it.
        missed: Number of frames since the latest box.
        born_x, born_y: Middle of its first box.
        patch: How it looked when it was last in a box of its own.
        form: Shares of the cells of its box that have changed, 0..1, shape `FORM`.
        likeness: Likeness of its form from frame to frame, averaged, 0..1.
        dense: Whether as much of its box has changed as of a thing's.
    """

    number: int
    x: float
    y: float
    wide: float
    high: float
    vx: float = 0.0
    vy: float = 0.0
    born_s: float = 0.0
    seen_s: float = 0.0
    moved_s: float = 0.0
    moves: int = 0
    frames: int = 1
    hits: int = 1
    missed: int = 0
    born_x: float = 0.0
    born_y: float = 0.0
    patch: Gray | None = None
    form: Mean | None = None
    likeness: float = 0.0
    dense: bool = False

    def predict(self, passed_s: float) -> None:
        """Goes on as it went."""
        self.frames += 1
        self.missed += 1
        self.x += self.vx * passed_s
        self.y += self.vy * passed_s

    def move(self, middle: tuple[float, float], passed_s: float) -> None:
        """Goes to where it was found, which corrects its velocity."""
        if passed_s > 0:
            # What the prediction was off by, in a second, is the velocity that it lacked; averaged by time.
            weight = 1 - math.exp(-passed_s / VELOCITY_S)
            self.vx += weight * (middle[0] - self.x) / passed_s
            self.vy += weight * (middle[1] - self.y) / passed_s
        self.x, self.y = middle

    def is_steady(self, now_s: float) -> bool:
        """Whether it is more than a flicker: it has gone half its length, or has changed in its place for a second.

        Ground that a subject has uncovered differs from the background, too, but it neither goes nor changes.
        """
        if self.hits < STEADY * self.frames:
            return False
        way = math.hypot(self.x - self.born_x, self.y - self.born_y)
        lively = now_s - self.born_s >= STEADY_S and now_s - self.moved_s < STEADY_S / 4
        return lively or way >= max(self.wide, self.high) / 2

    def compare(self, mask: Mask) -> None:
        """Compares what has changed within its box with what had before.

        Args:
            mask: 255 where the picture differs from the background, shape (height, width).
        """
        left, top, right, bottom = whole(self.box, mask.shape)
        part = mask[top:bottom, left:right]
        if not part.size:
            return
        self.dense = cv2.countNonZero(part) >= DENSE * max(part.shape)
        form = np.asarray(cv2.resize(part, FORM, interpolation=cv2.INTER_AREA), np.float32) * np.float32(1 / 255)
        if self.form is not None:
            # What both have in common as a share of what either has: the Jaccard index, for shares of cells.
            alike = float(np.minimum(form, self.form).sum() / max(float(np.maximum(form, self.form).sum()), 1e-6))
            # The plain mean of the first ten comparisons, from then on an average that forgets.
            self.likeness += (alike - self.likeness) * max(1 / (self.frames - 1), 0.1)
        self.form = form

    @property
    def is_solid(self) -> bool:
        """Whether it looks like one thing: drops of rain are others in each frame, and of a shadow little is seen."""
        return self.dense and self.likeness >= SAME

    @property
    def box(self) -> Box:
        return (
            self.x - self.wide / 2,
            self.y - self.high / 2,
            self.x + self.wide / 2,
            self.y + self.high / 2,
        )


class Tracker:
    """Follows boxes.

    Attributes:
        tracks: All that is followed now, confirmed or not, in the order of their birth.
    """

    def __init__(self) -> None:
        """Follows nothing."""
        self.tracks: list[SubjectTrack] = []
        self._numbers = count(1)
        self._now_s: float | None = None

    def update(self, parts: Sequence[Box], picture: Gray, smallest: float, now_s: float) -> None:
        """Takes the boxes of the next frame in.

        Args:
            parts: Boxes of a frame; a subject may be in several of them, and several subjects in one.
            picture: The frame, small and gray.
            smallest: Longer side in pixels of the smallest subject.
            now_s: Time of the frame in seconds.
        """
        passed_s = self._predict(now_s)
        owned, rest = self._owned(parts)
        seen: list[SubjectTrack] = []
        for track, boxes, shared in owned:
            # Two tracks are in one box, which tells neither the place nor the size of each.
            if shared:
                _match(track, shared, picture, now_s, passed_s)
                seen.append(track)
            elif boxes:
                kept, left = _compact(track, boxes)
                rest += left
                _follow(track, union(kept), picture, now_s, passed_s)
                seen.append(track)
        free = [box for box in _united(rest) if _length(box) >= smallest]
        missing = [track for track in self.tracks if track not in seen]
        self._match_by_distance(missing, free, picture, now_s, passed_s)
        self._renew(free, now_s)

    def match(self, boxes: Sequence[Box], picture: Gray, now_s: float) -> None:
        """Takes in boxes of which each is one subject, whole; the arguments are those of `update`."""
        passed_s = self._predict(now_s)
        free = list(boxes)
        self._match_by_distance(list(self.tracks), free, picture, now_s, passed_s)
        self._renew(free, now_s)

    def _predict(self, now_s: float) -> float:
        """Lets all tracks go on as they went; the seconds since the last frame."""
        passed_s = 0.0 if self._now_s is None else max(0.0, now_s - self._now_s)
        self._now_s = now_s
        for track in self.tracks:
            track.predict(passed_s)
        return passed_s

    def _renew(self, free: Sequence[Box], now_s: float) -> None:
        """Ends the tracks that were lost, and begins those of the boxes that are left."""
        self.tracks = [one for one in self.tracks if one.missed < LOST_FRAMES or now_s - one.seen_s <= LOST_S]
        self.tracks += [_born(box, now_s) for box in free]

    def confirm(self, track: SubjectTrack) -> None:
        """Gives a track its number."""
        track.number = next(self._numbers)

    def end(self, track: SubjectTrack) -> None:
        """Follows a track no more."""
        self.tracks.remove(track)

    def _owned(self, parts: Sequence[Box]) -> tuple[list[tuple[SubjectTrack, list[Box], Box | None]], list[Box]]:
        """For each track the parts that lie where it is expected, and the part that it shares with another track."""
        own: dict[int, list[Box]] = {n: [] for n in range(len(self.tracks))}
        shared: dict[int, Box] = {}
        rest: list[Box] = []
        for part in parts:
            # Of one subject there may be several for two frames: the arcs of its outline.
            inside = [n for n, track in enumerate(self.tracks) if track.hits >= SETTLED and _mostly(track.box, part)]
            if len(inside) > 1:
                shared |= dict.fromkeys(inside, part)
                continue
            fits = [(overlap(part, _grown(track.box)), n) for n, track in enumerate(self.tracks)]
            best, owner = max(fits, default=(0.0, 0))
            # At least half of a part must lie where a track is expected for it to be the track's.
            if fits and best >= area(part) / 2:
                own[owner].append(part)
            else:
                rest.append(part)
        return [(track, own[n], shared.get(n)) for n, track in enumerate(self.tracks)], rest

    def _match_by_distance(
        self, missing: list[SubjectTrack], free: list[Box], picture: Gray, now_s: float, passed_s: float
    ) -> None:
        """What is not where it was expected: the nearest first. What is taken leaves `free`."""
        while pairs := [
            (distance, t, b)
            for t, track in enumerate(missing)
            for b, box in enumerate(free)
            if (distance := _distance(track, box)) < FARTHEST
        ]:
            _, t, b = min(pairs)
            _follow(missing.pop(t), free.pop(b), picture, now_s, passed_s)


def _follow(track: SubjectTrack, box: Box, picture: Gray, now_s: float, passed_s: float) -> None:
    """Moves a track to its box."""
    track.hits, track.missed = track.hits + 1, 0
    track.seen_s = now_s
    track.move(_middle(box), passed_s)
    weight = 1 - math.exp(-passed_s / SIZE_S)
    track.wide += weight * (box[2] - box[0] - track.wide)
    track.high += weight * (box[3] - box[1] - track.high)
    left, top, right, bottom = whole(track.box, picture.shape)
    track.patch = picture[top:bottom, left:right]


def _match(track: SubjectTrack, part: Box, picture: Gray, now_s: float, passed_s: float) -> None:
    """Finds a track that is in one part with another: by how it looked before, else it goes on as it went; but it does
    not leave the part, as one did that was hidden for half a second and slower than it was believed to be."""
    track.hits, track.missed = track.hits + 1, 0
    track.seen_s = now_s
    x, y = _look_for(track, picture) or (track.x, track.y)
    x, y = _kept_within(x, track.wide, part[0], part[2]), _kept_within(y, track.high, part[1], part[3])
    if (x, y) != (track.x, track.y):
        track.move((x, y), passed_s)


def _kept_within(middle: float, length: float, start: float, end: float) -> float:
    """The middle of a stretch that is moved into another, or to its middle where it is the longer one."""
    half = min(length, end - start) / 2
    return min(max(middle, start + half), end - half)


def _look_for(track: SubjectTrack, picture: Gray) -> tuple[float, float] | None:
    """The middle of the place near that where a track is expected that looks most as it did; None if none does."""
    patch = track.patch
    # Of fewer pixels any place correlates well.
    if patch is None or min(patch.shape) < 4:
        return None
    high, wide = patch.shape
    left, top = round(track.x - wide / 2) - REACH, round(track.y - high / 2) - REACH
    x0, y0 = max(left, 0), max(top, 0)
    window = picture[y0 : top + high + 2 * REACH, x0 : left + wide + 2 * REACH]
    if window.shape[0] < high or window.shape[1] < wide:
        return None
    fit = cv2.matchTemplate(window, patch, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(fit)
    return (x0 + x + wide / 2, y0 + y + high / 2) if best >= ALIKE else None


def _compact(track: SubjectTrack, boxes: list[Box]) -> tuple[list[Box], list[Box]]:
    """The parts that make one subject, and those too far from the largest."""
    if len(boxes) == 1:
        return boxes, []
    main = max(boxes, key=area)
    reach = GAP * max(_length(main), track.wide, track.high)
    near = [box for box in boxes if overlap(_grown(main, reach), box) > 0 and not _is_another(box, main)]
    return near, [box for box in boxes if box not in near]


def _is_another(box: Box, main: Box) -> bool:
    """Whether a part beside the largest is a thing of its own: an arc of an outline is thin, a speck is small."""
    if box == main or _length(box) < STOUT * _length(main):
        return False
    return all(min(one[2] - one[0], one[3] - one[1]) >= STOUT * _length(one) for one in (box, main))


def _united(found: Sequence[Box]) -> list[Box]:
    """Boxes that nearly touch become one: the arcs of one outline. The largest first."""
    done: list[Box] = []
    for box in sorted(found, key=area, reverse=True):
        while touching := [other for other in done if overlap(_grown(box), other) > 0]:
            done = [other for other in done if other not in touching]
            box = union([box, *touching])
        done.append(box)
    return sorted(done, key=area, reverse=True)


def _distance(track: SubjectTrack, box: Box) -> float:
    """How ill a box fits a track: distance of their middles in lengths of the larger, and the difference in size."""
    x, y = _middle(box)
    length = max(track.wide, track.high, _length(box), 1.0)
    size = abs(math.log(max(area(track.box), 1.0) / max(area(box), 1.0)))
    # Twice or half the area counts as much as 0.07 lengths of distance.
    return math.hypot(x - track.x, y - track.y) / length + 0.1 * size


def _mostly(box: Box, part: Box) -> bool:
    """Whether most of a box lies in a part."""
    return overlap(box, part) > INSIDE * area(box)


def _grown(box: Box, by: float = 2.0) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _length(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _born(box: Box, now_s: float) -> SubjectTrack:
    x, y = _middle(box)
    wide, high = box[2] - box[0], box[3] - box[1]
    return SubjectTrack(0, x, y, wide, high, born_s=now_s, seen_s=now_s, moved_s=now_s, born_x=x, born_y=y)
