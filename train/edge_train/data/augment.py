"""What training sees of a photo: the photo itself, its mirror image, and what the camera might have seen instead.

A view moves the camera (another window of the frame), then goes through `preprocess` as every frame does, then
changes the light. So augmentation happens around the preprocessing contract, never instead of it.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import cv2
import numpy as np

from edge_core.data.photo_folder import Photo
from edge_core.errors import PictureError
from edge_core.images import read_picture
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_train.data.randaugment import randaugment
from edge_train.settings import Augment

SMALLEST_WINDOW: Final = 0.7
"""Of the largest window's side; the photo's subject should still be in it."""

GAIN_RANGE: Final = 0.2
"""A channel is multiplied by 1 ± this: exposure for all three, color temperature for each."""


VERSION: Final = 1
DRAWN_VERSION: Final = 2
"""Raised with every change of the pixels below, so that feature maps of other views are not taken for theirs."""


@dataclass(frozen=True)
class ViewMaker:
    """Makes views of a photo.

    Attributes:
        spec: What the model expects.
        numbers: Which views. 0 is the photo as the device sees it, 1 its mirror image where that is allowed, all others
            are drawn.
        mirror: Whether a mirrored photo still shows its label.
        seed: Random seed for the augmentations.
        augment: `camera` moves it and changes the light; `randaugment` does two more things, see `randaugment`.
    """

    spec: InputSpec
    numbers: tuple[int, ...]
    mirror: bool
    seed: int
    augment: Augment = "camera"

    def __call__(self, photo: Photo) -> Frame:
        """The views of a photo: uint8, shape (len(numbers), height, width, 3).

        They depend on the photo's content, the seed and the view's number alone, not on other photos or on threads.

        Raises:
            PictureError: It cannot be decoded.
        """
        drawn = not any(self._as_seen(number) for number in self.numbers)
        # The smallest window of what was decoded still covers the input.
        covering = ceil(max(self.spec.shape) / SMALLEST_WINDOW) if drawn else None
        frame = read_picture(photo.path, covering, self.spec.levels)
        views = np.empty((len(self.numbers), *self.spec.shape), np.uint8)
        for number, out in zip(self.numbers, views, strict=True):
            self._make(frame, number, zlib.crc32(f"{photo.sha256}:{number}".encode()), out)
        return views

    def name(self, number: int) -> str:
        """Of a view, the same for the same pixels."""
        levels = f" {self.spec.levels[0]:g}..{self.spec.levels[1]:g}" if self.spec.levels else ""
        if self._as_seen(number):
            return f"{VERSION} mirrored{levels}" if number else f"{VERSION} as seen{levels}"
        more = levels if self.augment == "camera" else f" {self.augment}{levels}"
        return f"{DRAWN_VERSION} drawn {number} {self.seed} {self.mirror}{more}"

    def _as_seen(self, number: int) -> bool:
        return number == 0 or (number == 1 and self.mirror)

    def _make(self, frame: Frame, number: int, key: int, out: Frame) -> None:
        if self._as_seen(number):
            preprocess(frame[:, ::-1] if number else frame, self.spec, out=out)
        else:
            rng = np.random.default_rng([self.seed, key])
            window = _window(frame, rng)
            if self.mirror and rng.random() < 0.5:
                window = window[:, ::-1]
            preprocess(window, self.spec, out=out)
            _relight(out, rng)
            if self.augment == "randaugment":
                randaugment(out, rng)


def view_photos(photos: Sequence[Photo], maker: ViewMaker) -> list[Frame]:
    """One drawn view of each photo that can be decoded, for a picture of what training sees."""
    shown = []
    for photo in photos:
        try:
            shown.append(maker(photo)[-1])
        except PictureError:
            continue
    return shown


def _window(frame: Frame, rng: np.random.Generator) -> Frame:
    """A part of the frame with its proportions, 0.7 to 1 of each side, anywhere in it."""
    height, width = frame.shape[:2]
    scale = rng.uniform(SMALLEST_WINDOW, 1.0)
    inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = rng.integers(0, height - inner_height + 1), rng.integers(0, width - inner_width + 1)
    return frame[top : top + inner_height, left : left + inner_width]


def _relight(pixels: Frame, rng: np.random.Generator) -> None:
    """Changes exposure and color temperature in place."""
    gains = rng.uniform(1 - GAIN_RANGE, 1 + GAIN_RANGE) * rng.uniform(1 - GAIN_RANGE / 2, 1 + GAIN_RANGE / 2, 3)
    table = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)
    # (1, 256, 3): a table for each channel.
    cv2.LUT(pixels, table[None], dst=pixels)
