"""RandAugment (Cubuk et al., 2020): of a list of distortions two are drawn, all of one strength.

Those that a camera cannot cause, such as inverted colors, are left out of the paper's list; blur and noise were added.
"""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from edge_core.preprocess import Frame

COUNT: Final = 2
STRENGTH: Final = 0.5
"""Of 1, at which a picture is turned by 30 degrees and its contrast lost by 90 %: 9 or 10 on the paper's scale of 30
shows the same."""

Distortion = Callable[[Frame, float, np.random.Generator], Frame]


def randaugment(pixels: Frame, rng: np.random.Generator) -> None:
    """Distorts a picture in place: uint8, shape (height, width, 3)."""
    for index in rng.integers(0, len(_DISTORTIONS), COUNT).tolist():
        pixels[:] = _DISTORTIONS[index](pixels, float(rng.choice((-STRENGTH, STRENGTH))), rng)


def _warped(pixels: Frame, matrix: list[list[float]]) -> Frame:
    height, width = pixels.shape[:2]
    # Moves the origin into the middle of the picture.
    center = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
    around_center = center @ np.array([*matrix, [0, 0, 1]]) @ np.linalg.inv(center)
    return cv2.warpAffine(pixels, around_center[:2], (width, height), borderMode=cv2.BORDER_REFLECT_101)  # type: ignore[return-value]


def _rotate(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    angle = np.radians(30 * strength)
    return _warped(pixels, [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]])


def _shear(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    across = rng.random() < 0.5
    return _warped(pixels, [[1, 0.3 * strength * across, 0], [0.3 * strength * (not across), 1, 0]])


def _shift(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    height, width = pixels.shape[:2]
    across = rng.random() < 0.5
    return _warped(pixels, [[1, 0, 0.3 * strength * width * across], [0, 1, 0.3 * strength * height * (not across)]])


def _blend(pixels: Frame, other: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", strength: float) -> Frame:
    """`pixels` moved away from `other`, or towards it: by 90 % of the distance at strength 1."""
    blended = other + (pixels.astype(np.float32) - other) * (1 + 0.9 * strength)
    return np.clip(blended, 0, 255).astype(np.uint8)


def _brightness(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    return _blend(pixels, np.zeros(1, np.float32), strength)


def _contrast(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    return _blend(pixels, np.full(1, pixels.mean(), np.float32), strength)


def _saturation(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    return _blend(pixels, pixels.mean(axis=2, keepdims=True, dtype=np.float32), strength)


def _sharpness(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    return _blend(pixels, cv2.blur(pixels, (3, 3)).astype(np.float32), 2 * strength)


def _blur(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    return cv2.GaussianBlur(pixels, (0, 0), 0.1 + 2 * abs(strength))  # type: ignore[return-value]


def _noise(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    noise = rng.normal(0, 25 * abs(strength), pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _posterise(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    # 256 less a power of two has all bits set but the lowest ones.
    return pixels & np.uint8(256 - (1 << round(5 * abs(strength))))


def _equalize(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    return np.stack([cv2.equalizeHist(np.ascontiguousarray(pixels[..., channel])) for channel in range(3)], axis=2)


def _cut_out(pixels: Frame, strength: float, rng: np.random.Generator) -> Frame:
    height, width = pixels.shape[:2]
    side = max(1, round(0.4 * abs(strength) * min(height, width)))
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    cut = pixels.copy()
    cut[top : top + side, left : left + side] = 127
    return cut


_DISTORTIONS: Final[tuple[Distortion, ...]] = (
    _rotate,
    _shear,
    _shift,
    _brightness,
    _contrast,
    _saturation,
    _sharpness,
    _blur,
    _noise,
    _posterise,
    _equalize,
    _cut_out,
)
