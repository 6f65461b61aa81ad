"""Whether two pictures show one thing: copies that were rescaled, saved again or cropped a little, and bursts.

Each picture is kept as a `Sketch` of four kilobytes. Difference hashes of the sketches find candidates. A candidate is
believed only if no part of the two sketches differs once one has been moved, scaled and brightened to fit the other:
two photos of a fixed camera have the background in common, and differ where the object is.
"""

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.preprocess import Frame, InputSpec, preprocess

Sketch = npt.NDArray[np.uint8]
"""What is kept of a photo: uint8, shape (SIDE, SIDE, 3), R, G, B."""

SIDE: Final = 36

HASH_BITS: Final = 128
MAX_DISTANCE: Final = 20
"""Differing bits of candidates. Copies cropped by 5 % differ by up to that many in all but a few of a hundred."""

FLAT_LEVELS: Final = 4.0
"""Standard deviation of the gray levels below which a picture has no shape that could be compared: fog, a covered
lens."""

CANDIDATES: Final = 8
"""Pairs that are looked at for each photo, the likeliest: a group of more photos is held together by chains of
pairs."""

TOLERANCE: Final = 8.0
SLOPE_TOLERANCE: Final = 0.4
"""Levels by which a part of a copy may differ, and how much more for each level a pixel that the picture changes there:
a copy is resampled, and shifted by a fraction of a pixel."""

_DOUBLE: Final = InputSpec(2 * SIDE, 2 * SIDE, "stretch")
"""Sketches are made at twice their size, so that what halvings cut off the edges is at most a hundredth."""

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
_SATURATED: Final = 245.0  # levels from which on a brighter picture shows no difference
_GRAY_LEVELS: Final = 6.0
_STEPS: Final = 2
# Pixels of SIDE along x and y, and shares of the size along x and y.
_FARTHEST: Final = np.array([3, 3, 0.15, 0.15], np.float32)
# A ridge for the least squares. The columns of the scale are gradients times offsets, whose mean square is 108.
_DAMPING: Final = np.diag(np.array([1, 1, 100, 100, 1e-3, 1e-3], np.float32))

Floats = npt.NDArray[np.float32]


def sketch(frame: Frame) -> Sketch:
    """Makes the sketch of a photo.

    Args:
        frame: uint8, shape (height, width, 3), B, G, R.
    """
    return cv2.resize(preprocess(frame, _DOUBLE), (SIDE, SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def shows_one_of(new: Sketch, seen: Sketch) -> bool:
    """Whether a picture shows what one of others does.

    A picture without shapes, a dark one say, is compared with the latest `CANDIDATES` of the others.

    Args:
        new: uint8, shape (SIDE, SIDE, 3).
        seen: uint8, shape (pictures, SIDE, SIDE, 3), the latest last.
    """
    if not len(seen):
        return False
    signs = hash_signs(np.concatenate([seen, new[None]]))
    likeness = signs[:-1] @ signs[-1]
    if not signs[-1].any():  # flat: its hash tells nothing
        closest = np.arange(max(0, len(seen) - CANDIDATES), len(seen))
    else:
        closest = np.argsort(-likeness, kind="stable")[:CANDIDATES]
        closest = closest[likeness[closest] >= HASH_BITS - 2 * MAX_DISTANCE]
    alike = difference(seen[closest], np.repeat(new[None], len(closest), axis=0)) <= 1
    return bool(alike.any())


def hash_signs(sketches: Sketch) -> Floats:
    """Difference hashes: whether a picture gets brighter, to the right and downwards, between 9 x 9 means of gray.

    Args:
        sketches: uint8, shape (photos, SIDE, SIDE, 3).

    Returns:
        -1 or 1, shape (photos, HASH_BITS): the dot product of two is HASH_BITS less twice the bits that differ. All 0
        for a picture without shapes.
    """
    means = gray_means(sketches, 9)
    # 64 comparisons in each direction: HASH_BITS in all.
    across = means[:, :8, 1:] > means[:, :8, :8]
    down = means[:, 1:, :8] > means[:, :8, :8]
    signs = np.stack([across, down], axis=1).reshape(len(sketches), HASH_BITS) * np.float32(2) - 1
    return np.where(means.std(axis=(1, 2))[:, None] < FLAT_LEVELS, np.float32(0), signs)


def difference(one: Sketch, other: Sketch) -> Floats:
    """How much the part of two pictures that differs most does differ; of copies at most 1.

    `other` is fitted to `one` by least squares, linearized twice (Lucas and Kanade 1981): shift and scale along each
    axis, gain and offset of the levels. Saturated levels take no part in it. A picture that is gray is compared in
    gray.

    Args:
        one, other: uint8, shape (pairs, SIDE, SIDE, 3).
    """
    return worst_part(*_comparable(one, other), _STEPS) if len(one) else np.empty(0, np.float32)


def worst_part(target: Floats, moving: Floats, steps: int) -> Floats:
    """`difference` of pictures of any square size, blurred, of one channel or more, fitted in so many steps."""
    side = target.shape[1]
    offsets = np.arange(side, dtype=np.float32) - (side - 1) / 2
    farthest = _FARTHEST * np.array([side / SIDE, side / SIDE, 1, 1], np.float32)
    warp = np.zeros((len(target), 4), np.float32)
    warped = moving
    for _ in range(steps):
        gain = _fit(target, warped, offsets)
        # What is solved for is the motion times the gain; the least gain keeps a poor fit from leaping.
        warp = np.clip(warp + gain[:, :4] / np.maximum(gain[:, 4:5], 0.3), -farthest, farthest)
        warped = _warped(moving, warp, offsets)
    # In the end gain and offset alone, with nothing left to move.
    gain = _fit(target, warped, None)
    fitted = gain[:, 0, None, None, None] * warped + gain[:, 1, None, None, None]
    excess = target - fitted
    excess[(warped >= _SATURATED) & (excess > 0)] = 0  # it may have been brighter
    excess[(target >= _SATURATED) & (excess < 0)] = 0
    # The lesser one: an edge that only one of the pictures has is a difference.
    slope = np.minimum(_slope(target), _slope(fitted))
    parts = np.abs(excess).max(axis=3) / (TOLERANCE + SLOPE_TOLERANCE * slope)
    edge = _edge(side)
    worst = parts[:, edge, edge].max(axis=(1, 2), initial=0)
    # 1.3 stops of exposure either way; a fit that takes more is one of different pictures.
    return np.where((gain[:, 0] > 0.4) & (gain[:, 0] < 2.5), worst, np.inf).astype(np.float32)


def gray_means(sketches: Sketch, side: int) -> Floats:
    """Means of gray, shape (photos, side, side)."""
    step = SIDE // side
    gray = sketches.reshape(-1, SIDE, SIDE, 3) @ _LUMA
    return np.asarray(gray.reshape(len(sketches), side, step, side, step).mean(axis=(2, 4)), np.float32)


def _comparable(one: Sketch, other: Sketch) -> tuple[Floats, Floats]:
    """Both as floats, blurred a little; both in gray where either is."""
    pictures = [one.astype(np.float32), other.astype(np.float32)]
    gray = np.min([np.ptp(picture, axis=3).mean(axis=(1, 2)) for picture in pictures], axis=0) < _GRAY_LEVELS
    for picture in pictures:
        picture[gray] = (picture[gray] @ _LUMA)[..., None]
    first, second = (np.stack([cv2.GaussianBlur(each, (0, 0), 1) for each in picture]) for picture in pictures)
    return first.astype(np.float32), second.astype(np.float32)


def _fit(target: Floats, moving: Floats, offsets: Floats | None) -> Floats:
    """Least squares: shift and scale along x and y (with `offsets` from the middle), gain, offset of the levels."""
    columns: list[Any] = [moving, np.ones_like(moving)]
    damping = _DAMPING[4:, 4:]
    if offsets is not None:
        down, across = np.gradient(moving, axis=(1, 2))
        scales = [across * offsets[None, None, :, None], down * offsets[None, :, None, None]]
        columns, damping = [across, down, *scales, *columns], _DAMPING
    used = (target < _SATURATED) & (moving < _SATURATED)
    matrix = np.stack(columns, axis=-1) * used[..., None]
    edge = _edge(target.shape[1])
    matrix = matrix[:, edge, edge].reshape(len(target), -1, len(columns))
    levels = target[:, edge, edge].reshape(len(target), -1, 1)
    transposed = matrix.transpose(0, 2, 1)
    return np.asarray(np.linalg.solve(transposed @ matrix + damping, transposed @ levels)[..., 0], np.float32)


def _warped(pictures: Floats, warp: Floats, offsets: Floats) -> Floats:
    """Each picture shifted and scaled: `warp` has the shape (pictures, 4), as the first four of `_fit`."""
    side = len(offsets)
    middle = (side - 1) / 2
    moved = []
    for picture, (right, down, wider, taller) in zip(pictures, warp, strict=True):
        x = np.tile(middle + right + offsets * (1 + wider), (side, 1)).astype(np.float32)
        y = np.tile(middle + down + offsets * (1 + taller), (side, 1)).T.astype(np.float32)
        moved.append(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return np.asarray(moved, np.float32).reshape(pictures.shape)  # OpenCV drops a single channel


def _edge(side: int) -> slice:
    """The pixels of an axis that are compared: 2 of 36 at either end are not, what is there may be beyond the other's
    edge."""
    return slice(side // 18, -(side // 18))


def _slope(pictures: Floats) -> Floats:
    """Largest change of a level from pixel to pixel around each pixel, shape (pictures, SIDE, SIDE)."""
    down, across = np.gradient(pictures, axis=(1, 2))
    steepest: Floats = np.hypot(down, across).max(axis=3)
    return np.stack([cv2.dilate(each, np.ones((3, 3), np.uint8)) for each in steepest]).astype(np.float32)
