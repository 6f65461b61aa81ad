"""Accuracy on test photos that are small in a camera's frame: what a user sees otherwise once the camera hangs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.data.photo_folder import Photo
from edge_core.images import read_picture
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_core.progress import Track, silently
from edge_core.statistics import Estimate, accuracy

HEIGHTS: Final = (0.6, 0.4, 0.3, 0.2)
"""Heights of the subject as shares of the frame's, those of `edge-bench run --scene`."""

SHAPE: Final = (360, 640)
"""Height and width of the frame in pixels; networks see it at 160 to 300, so a larger one tells no more."""

MOST: Final = 96
"""Photos that are composed, at most: the interval is 10 points wide to either side then, in 400 inferences."""

Score = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""Takes pictures, uint8, shape (pictures, height, width, 3), to scores, float32, shape (pictures, labels)."""


@dataclass(frozen=True)
class SubjectSize:
    """Accuracy on whole frames whose subject has one size.

    Attributes:
        height: Height of the subject as a share of the frame's, 0..1.
        right: Share of the frames whose best label is the subject's.
    """

    height: float
    right: Estimate


def subject_sizes(
    photos: Sequence[Photo],
    labels: Sequence[str],
    spec: InputSpec,
    score: Score,
    track: Track = silently,
    *,
    grounds: Sequence[Photo] = (),
    most: int = MOST,
) -> tuple[SubjectSize, ...]:
    """Shows whole frames to a model in which a photo's middle square lies somewhere before another photo.

    Args:
        photos: Test photos, each of which can be decoded.
        labels: Labels in the order of the scores.
        spec: What the model takes.
        score: The model.
        track: Receives the progress, a step for each photo.
        grounds: What they lie before; test photos of other classes where none is given.
        most: Number of photos that are composed, at most.

    Returns:
        One entry for each of `HEIGHTS`; none where all photos are of one class, or there are none.

    Raises:
        PictureError: A photo has gone since it was tested.
    """
    behind = grounds or photos
    others = {label: [photo for photo in behind if photo.label != label] for label in {one.label for one in photos}}
    chosen = [photo for photo in photos[:: max(1, -(-len(photos) // most))] if others[photo.label]]
    if not chosen:
        return ()
    right = []
    for number, photo in enumerate(track(chosen, "Making the test photos small", len(chosen))):
        # The same frames for the same photos in every evaluation.
        rng = np.random.default_rng(number)
        other = others[photo.label][int(rng.integers(len(others[photo.label])))]
        frames = _frames(photo, other, spec, rng)
        right.append(score(np.stack(frames)).argmax(axis=1) == labels.index(photo.label))
    groups = [photo.group for photo in chosen]
    columns = np.array(right).T
    return tuple(SubjectSize(height, accuracy(one, groups)) for height, one in zip(HEIGHTS, columns, strict=True))


def _frames(photo: Photo, other: Photo, spec: InputSpec, rng: np.random.Generator) -> list[Frame]:
    """A frame for each height, as the model sees it."""
    high, wide = SHAPE
    # Decoded at a part of its size: pictures that are made smaller anyway.
    subject = _middle(read_picture(photo.path, high, spec.levels), 1.0)
    ground = _middle(read_picture(other.path, high, spec.levels), wide / high)
    ground = np.asarray(cv2.resize(ground, (wide, high), interpolation=cv2.INTER_AREA), np.uint8)
    made = []
    for height in HEIGHTS:
        side, frame = round(height * high), ground.copy()
        top, left = int(rng.integers(high - side + 1)), int(rng.integers(wide - side + 1))
        frame[top : top + side, left : left + side] = cv2.resize(subject, (side, side), interpolation=cv2.INTER_AREA)
        made.append(preprocess(frame, spec))
    return made


def _middle(picture: Frame, ratio: float) -> Frame:
    """The largest part around the middle whose width is `ratio` times its height."""
    high, wide = picture.shape[:2]
    down, across = min(high, max(1, round(wide / ratio))), min(wide, max(1, round(high * ratio)))
    top, left = (high - down) // 2, (wide - across) // 2
    return picture[top : top + down, left : left + across]
