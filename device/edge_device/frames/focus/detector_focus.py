"""What an object detector finds, followed from frame to frame."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_core.preprocess import Frame
from edge_device.frames.focus.changes import small_picture
from edge_device.frames.focus.object_detector import ObjectDetector
from edge_device.frames.focus.subject import FocusSubject, holds, region_of, square_around
from edge_device.frames.focus.tracker import Tracker
from edge_device.frames.regions import WHOLE, Region


@dataclass(frozen=True)
class DetectorFocusRule:
    """What is looked for.

    Attributes:
        classes: Names of the classes to look for; empty looks for all.
        score: Score from which on an object counts.
        subjects: Largest number of subjects at a time.
        regions: Parts of the frame in which the middle of an object may lie.
        ignored: Parts of the frame in which it may not.
    """

    classes: frozenset[str] = frozenset()
    score: float = 0.4
    subjects: int = 3
    regions: Sequence[Region] = (WHOLE,)
    ignored: Sequence[Region] = ()


class DetectorFocus:
    """Follows what an object detector finds; see `Focus`."""

    def __init__(self, detector: ObjectDetector, rule: DetectorFocusRule = DetectorFocusRule()) -> None:
        """Has seen nothing.

        Args:
            detector: The detector, open.
            rule: What is looked for.
        """
        self._detector, self._rule = detector, rule
        self._tracker = Tracker()

    def subjects(self, frame: Frame, taken_s: float) -> Sequence[FocusSubject]:
        picture, rule = small_picture(frame), self._rule
        high, wide = picture.shape
        boxes = [
            (
                one.box.x * wide,
                one.box.y * high,
                (one.box.x + one.box.width) * wide,
                (one.box.y + one.box.height) * high,
            )
            for one in self._detector.detect(frame, rule.score)
            if not rule.classes or one.label in rule.classes
            if holds(rule.regions, one.box) and not holds(rule.ignored, one.box)
        ]
        self._tracker.match(boxes, picture, taken_s)
        found = []
        for track in self._tracker.tracks:
            if not track.number:
                self._tracker.confirm(track)
            if box := region_of(track.box, picture.shape):
                view = square_around(box, frame.shape[1], frame.shape[0])
                found.append(FocusSubject(track.number, box, view, taken_s - track.born_s, not track.missed))
        return found[: rule.subjects]
