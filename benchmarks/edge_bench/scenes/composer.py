"""Scenes as a camera that stands still would see them: photos that move before a picture, with sensor noise."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.preprocess import Frame

WIDTH: Final = 1280
HEIGHT: Final = 720
FPS: Final = 15.0
NOISE: Final = 4.0
"""Standard deviation of the noise of one pixel, in levels: a small sensor indoors."""

ROAM: Final = 256
"""Pixels by which the field of noise is larger than a frame, each way: 65,536 parts of it are different noise."""

Path2d = Callable[[float], tuple[float, float] | None]
"""Middle of a subject in pixels by time in seconds; None: it isn't there."""

Weather = Callable[[Frame, float, np.random.Generator], Frame]


@dataclass(frozen=True, eq=False)
class Sprite:
    """A photo on its way.

    Attributes:
        image: uint8, shape (height, width, 3), B, G, R.
        alpha: float32, shape (height, width, 1), 0..1.
        path: Where its middle is.
    """

    image: Frame
    alpha: npt.NDArray[np.float32]
    path: Path2d


def sprite(photo: Frame, side: int, path: Path2d) -> Sprite:
    """The photo's middle square at `side` pixels, within a soft ellipse that touches its sides."""
    height, width = photo.shape[:2]
    shorter = min(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    image = cv2.resize(photo[top : top + shorter, left : left + shorter], (side, side), interpolation=cv2.INTER_AREA)
    across = np.linspace(-1, 1, side, dtype=np.float32)
    radius = np.abs(across[:, None]) ** 4 + np.abs(across[None, :]) ** 4  # a square with round corners
    alpha = np.clip((1 - radius) * side / 12, 0, 1)[:, :, None]
    return Sprite(np.asarray(image, np.uint8), alpha.astype(np.float32), path)


def frames(
    ground: Frame,
    sprites: Sequence[Sprite],
    seconds: float,
    seed: int = 0,
    weather: Weather | None = None,
    fps: float = FPS,
) -> Iterator[tuple[float, Frame]]:
    """The frames of a scene with their times.

    Args:
        ground: Still background, uint8, shape (height, width, 3), B, G, R.
        sprites: What moves; later ones are in front.
        seconds: Length of the scene.
        seed: Chooses the part of the noise that each frame gets.
        weather: What happens to each frame before the noise.
        fps: Frames a second.
    """
    rng = np.random.default_rng(seed)
    more, less = _noise(ground.shape)
    for number in range(round(seconds * fps)):
        now_s = number / fps
        frame = ground.copy()
        for one in sprites:
            if place := one.path(now_s):
                _paste(frame, one, place)
        if weather:
            frame = weather(frame, now_s, rng)
        down, right = (int(one) for one in rng.integers(0, ROAM, 2))
        part = (slice(down, down + frame.shape[0]), slice(right, right + frame.shape[1]))
        # OpenCV's sums stop at 0 and 255 instead of wrapping around.
        yield now_s, np.asarray(cv2.subtract(cv2.add(frame, more[part]), less[part]), np.uint8)


@lru_cache(maxsize=4)
def _noise(shape: tuple[int, ...]) -> tuple[Frame, Frame]:
    """What noise adds to a frame of a shape and what it takes away, `ROAM` pixels larger: each frame gets another part.

    One field for all scenes, in two halves without a sign: OpenCV adds those ten times faster, and drawing the noise
    anew took longer than all else in a scene.
    """
    drawn = np.random.default_rng(0).normal(0, NOISE, (shape[0] + ROAM, shape[1] + ROAM, shape[2]))
    noise = np.rint(drawn).astype(np.int16)
    return np.maximum(noise, 0).astype(np.uint8), np.maximum(-noise, 0).astype(np.uint8)


def _paste(frame: Frame, one: Sprite, place: tuple[float, float]) -> None:
    high, wide = one.image.shape[:2]
    left, top = round(place[0] - wide / 2), round(place[1] - high / 2)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, frame.shape[1]), min(top + high, frame.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = frame[y0:y1, x0:x1]
    inner = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    alpha = one.alpha[inner]
    part[:] = (part * (1 - alpha) + one.image[inner] * alpha).astype(np.uint8)
