"""What moves before a still background, followed from frame to frame."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from edge_core.preprocess import Frame
from edge_device.frames.focus.changes import Background, ChangeRule, Gray, Mask, boxes, small_picture, whole
from edge_device.frames.focus.subject import FocusSubject, region_of, square_around
from edge_device.frames.focus.tracker import SubjectTrack, Tracker
from edge_device.frames.regions import WHOLE, Region

SETTLE_S: Final = 1.0
"""Time after the start, or after a change of the whole picture, in which nothing new is followed."""

EVERYWHERE: Final = 0.5
"""Share of the picture that differs from which on the camera or the light has changed, not a subject come."""

CONFIRMED: Final = 3
"""Frames in which something must move before it is a subject."""

INSET: Final = 0.05
"""Share of the longer side of a subject's box that is left out on each side of what is classified: the box's corners
show ground, which is foreign to the model. Of 90 held-out flowers at 20 to 33 % of the frame's height, cut out of noisy
frames at 0, 5 and 10 %, 79, 92 and 92 % were sure and known, as were 92 % of the photos themselves; of 41 things that
are no flowers 7 % each time."""

ACTIVE: Final = 0.04
"""Share of a box that must differ from the frame before for it to move."""


@dataclass(frozen=True)
class MotionFocusRule:
    """What is followed.

    Attributes:
        subjects: Largest number of subjects at a time.
        linger_s: Time for which a subject that has stopped is followed; then it is background.
        regions: Parts of the frame in which subjects are looked for.
        ignored: Parts of the frame that count as still.
        change: What counts as a change of the background.
    """

    subjects: int = 3
    linger_s: float = 10.0
    regions: Sequence[Region] = (WHOLE,)
    ignored: Sequence[Region] = ()
    change: ChangeRule = field(default_factory=ChangeRule)


class MotionFocus:
    """Follows what moves; see `Focus`."""

    def __init__(self, rule: MotionFocusRule = MotionFocusRule()) -> None:
        """Has seen nothing."""
        self._rule = rule
        self._background = Background(rule.change)
        self._tracker = Tracker()
        self._before: Gray | None = None
        self._now_s = 0.0
        self._settled_s: float | None = None
        self._looked_at: Mask | None = None

    def subjects(self, frame: Frame, taken_s: float) -> Sequence[FocusSubject]:
        picture = small_picture(frame)
        passed_s, self._now_s = max(0.0, taken_s - self._now_s), taken_s
        if self._before is None or self._before.shape != picture.shape:
            self._begin(picture, taken_s)
            return ()
        mask = self._background.changes(picture)
        if self._background.share > EVERYWHERE:
            self._begin(picture, taken_s)
            return ()
        if self._looked_at is not None:
            cv2.bitwise_and(mask, self._looked_at, mask)
        assert self._settled_s is not None
        parts = boxes(mask) if taken_s >= self._settled_s else []
        smallest = self._rule.change.smallest * picture.shape[0]
        self._tracker.update(parts, picture, smallest, taken_s)
        # Before the background learns, which spares what is then still followed.
        self._judge(picture, mask, taken_s)
        # Until it has settled all is background, also what was there before the first frame.
        spared = self._spared(mask) if self._background.learns and taken_s >= self._settled_s else None
        self._background.learn(picture, passed_s, spared)
        self._before = picture
        return self._found(frame, picture, taken_s)

    def _begin(self, picture: Gray, now_s: float) -> None:
        self._background.forget()
        self._background.learn(picture, 0.0)
        self._tracker.tracks.clear()
        self._before, self._settled_s = picture, now_s + SETTLE_S
        self._looked_at = _looked_at(picture.shape, self._rule)

    def _judge(self, picture: Gray, mask: Mask, now_s: float) -> None:
        """Confirms what moves, and lets become background what has not moved for long."""
        assert self._before is not None
        if self._background.hears:
            self._background.hear(picture, self._before)
        # The frame is held against the one before: against the background, what has stopped would move for ever.
        level = max(self._rule.change.level, 4 * self._background.noise)
        for track in list(self._tracker.tracks):
            left, top, right, bottom = whole(track.box, picture.shape)
            if left < right and top < bottom:
                part = slice(top, bottom), slice(left, right)
                step = cv2.absdiff(picture[part], self._before[part])
                # Not `cv2.compare`, which takes a single pixel, as is left of a track in a corner, for a scalar.
                moving = cv2.threshold(step, level, 255, cv2.THRESH_BINARY)[1]
                if cv2.countNonZero(moving) >= ACTIVE * moving.size:
                    track.moved_s = now_s
                    track.moves += 1
            if self._is_background(track, picture, mask, now_s):
                # At once: the background is spared where the picture differs, and would never learn what came to stay.
                self._background.take(picture, track.box)
                self._tracker.end(track)

    def _is_background(self, track: SubjectTrack, picture: Gray, mask: Mask, now_s: float) -> bool:
        """Whether a track is no subject, or none any more; one that proves to be a subject is confirmed."""
        if not track.number:
            track.compare(mask)
            if track.moves >= CONFIRMED and track.is_steady(now_s) and track.is_solid:
                if self._background.is_ground(picture, track.box):
                    return True
                self._tracker.confirm(track)
        patience_s = self._rule.linger_s if track.number else SETTLE_S
        return now_s - track.moved_s > patience_s

    def _spared(self, mask: Mask) -> Mask:
        """Where the background must not follow: 0; elsewhere 255."""
        spared = cv2.bitwise_not(mask)
        for track in self._tracker.tracks:
            left, top, right, bottom = whole(track.box, mask.shape)
            spared[top:bottom, left:right] = 0
        return np.asarray(spared, np.uint8)

    def _found(self, frame: Frame, picture: Gray, now_s: float) -> list[FocusSubject]:
        height, width = frame.shape[:2]
        found = []
        for track in self._tracker.tracks:
            box = region_of(track.box, picture.shape) if track.number else None
            if box:
                view = square_around(box, width, height, -INSET)
                found.append(FocusSubject(track.number, box, view, now_s - track.born_s, not track.missed))
        return found[: self._rule.subjects]


def _looked_at(shape: tuple[int, ...], rule: MotionFocusRule) -> Mask | None:
    """Where subjects are looked for: 255; None is everywhere."""
    if not rule.ignored and WHOLE in rule.regions:
        return None
    mask = np.zeros(shape, np.uint8)
    # In this order, so that an ignored part counts where both overlap.
    for regions, level in ((rule.regions, 255), (rule.ignored, 0)):
        for region in regions:
            top, left = round(region.y * shape[0]), round(region.x * shape[1])
            bottom, right = round((region.y + region.height) * shape[0]), round((region.x + region.width) * shape[1])
            mask[top:bottom, left:right] = level
    return mask
