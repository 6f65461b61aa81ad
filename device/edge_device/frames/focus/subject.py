"""What a focus is, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from edge_core.preprocess import Frame
from edge_device.frames.regions import Region

MARGIN: Final = 0.0
"""Ground that is left on each side of a subject, as a share of its longer side. Sixty photos of flowers at 30 % of the
frame's height, cut with 0, 5, 10 and 15 %: 93, 87, 85 and 85 % right, and 83, 78, 65 and 57 % known to the model."""


LEAST: Final = 0.005
"""Side of the smallest part of a frame that a subject may be in, as a share of the frame's."""

Corners = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


@dataclass(frozen=True)
class FocusSubject:
    """Something in a frame that is classified by itself.

    Attributes:
        track: Number of the subject, from 1 on; it keeps the number from frame to frame for as long as it is followed.
            0 of a part that is only tried: what the classifier says of it goes back to the focus, and to nobody else.
        box: Part of the frame that the subject fills.
        view: Part of the frame that is classified: `regions.cut(frame, subject.view)` gives it to `preprocess`.
        age_s: Seconds since the subject was found.
        seen: Whether it was found in this very frame. Otherwise it is expected there, and followed for a moment longer;
            nothing is classified then.
    """

    track: int
    box: Region
    view: Region
    age_s: float = 0.0
    seen: bool = True


class Focus(Protocol):
    """Finds what to classify in the frames of one source.

    focus = MotionFocus()
    for frame in source:
        for subject in focus.subjects(frame.image, frame.time_s):
            scores, _ = classifier.scores(cut(frame.image, subject.view))
    """

    def subjects(self, frame: Frame, taken_s: float) -> Sequence[FocusSubject]:
        """Takes the next frame in.

        Args:
            frame: Frame of the source, upright, in full size: uint8, shape (height, width, 3), B, G, R; not changed.
            taken_s: Time of the frame in seconds, by a clock that does not jump: of a camera `time.monotonic`, of a
                video its position in it.

        Returns:
            What to classify in this frame, the one followed for longest first; nothing where nothing is to be seen.
        """
        ...


@dataclass(frozen=True)
class TileTrial:
    """What the classifier says of a part that is only tried.

    Attributes:
        view: The part of the frame.
        score: Highest score, 0..1.
        familiarity: Familiarity of the part, 0..1; None of a model that cannot tell.
        known: Whether that is enough; None of a model that cannot tell.
        took_ms: Time of the inference in milliseconds.
    """

    view: Region
    score: float
    familiarity: float | None
    known: bool | None
    took_ms: float


@runtime_checkable
class TryingFocus(Focus, Protocol):
    """A focus that learns from the classifier where to look."""

    def tried(self, trials: Sequence[TileTrial]) -> None:
        """Takes in what the classifier says of parts that it was given with the track 0.

        It may be called in another thread than `subjects`, for an earlier frame.
        """
        ...


def square_around(box: Region, width: int, height: int, margin: float = MARGIN) -> Region:
    """The smallest square around a box with a margin, moved into the frame where it reaches out.

    Args:
        box: Part of the frame that a subject fills.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        margin: Ground to leave on each side, as a share of the box's longer side.

    Returns:
        The square as a part of the frame; its side is at most the frame's shorter side.
    """
    side = max(box.width * width, box.height * height) * (1 + 2 * margin)
    side = min(side, width, height)
    left, wide = _span(box.x + box.width / 2, side / width)
    top, high = _span(box.y + box.height / 2, side / height)
    return Region(left, top, wide, high)


def holds(parts: Sequence[Region], box: Region) -> bool:
    """Whether the middle of a box lies in one of the parts of a frame."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    return any(one.x <= x <= one.x + one.width and one.y <= y <= one.y + one.height for one in parts)


def region_of(box: Corners, shape: tuple[int, ...]) -> Region | None:
    """A box in pixels of a picture as a part of the frame; None where nothing of it is in the frame.

    Args:
        box: Left, top, right and bottom in pixels.
        shape: Shape of the picture, (height, width).
    """
    left, right = max(0.0, box[0] / shape[1]), min(1.0, box[2] / shape[1])
    top, bottom = max(0.0, box[1] / shape[0]), min(1.0, box[3] / shape[0])
    if right - left <= LEAST or bottom - top <= LEAST:
        return None
    return Region(left, top, right - left, bottom - top)


def _span(middle: float, length: float) -> tuple[float, float]:
    """Start and length of a stretch around `middle`, moved into 0..1."""
    return min(max(middle - length / 2, 0.0), 1.0 - length), length
