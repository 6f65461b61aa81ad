"""What training sees of a photo: the photo itself, its mirror image, and what the camera might have seen instead.

A view moves the camera (another window of the frame), then goes through `preprocess` as every frame does, then
changes the light. So augmentation happens around the preprocessing contract, never instead of it.
"""

import hashlib
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Final

import cv2
import numpy as np

from edge_core.data.photo_folder import Photo
from edge_core.errors import PictureError
from edge_core.images import read_picture
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_train.data.distortions.randaugment import randaugment
from edge_train.data.distortions.small_subjects import before_ground
from edge_train.settings import Augment

SMALLEST_WINDOW: Final = 0.7
"""Of the largest window's side; the photo's subject should still be in it."""

GAIN_RANGE: Final = 0.2
"""A channel is multiplied by 1 ± this: exposure for all three, color temperature for each."""

SCENE_SIDE: Final = 2
"""Side of a composed frame, in sides of what the model takes: a subject of half its height is not enlarged."""

GROUNDS_TRIED: Final = 10
"""With two classes, one view in a thousand stays without a ground."""

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
        augment: `camera` moves it and changes the light; `randaugment` does two more things, see `randaugment`; `scene`
            makes its subject small before a part of another photo, see `small_subjects`.
        grounds: Photos that `scene` takes the ground from: of those with another label than the photo's.
    """

    spec: InputSpec
    numbers: tuple[int, ...]
    mirror: bool
    seed: int
    augment: Augment = "camera"
    grounds: tuple[Photo, ...] = ()

    def __call__(self, photo: Photo) -> Frame:
        """The views of a photo: uint8, shape (len(numbers), height, width, 3).

        They depend on the photo's content, the seed and the view's number alone, and with `scene` on grounds and
        label; not on threads, or on other photos.

        Raises:
            PictureError: It cannot be decoded.
        """
        drawn = not any(self._as_seen(number) for number in self.numbers)
        # The smallest window of what was decoded still covers the input.
        covering = ceil(max(self.spec.shape) / SMALLEST_WINDOW) if drawn else None
        frame = read_picture(photo.path, covering, self.spec.levels)
        views = np.empty((len(self.numbers), *self.spec.shape), np.uint8)
        for number, out in zip(self.numbers, views, strict=True):
            if self._as_seen(number):
                preprocess(frame[:, ::-1] if number else frame, self.spec, out=out)
            else:
                key = zlib.crc32(f"{photo.sha256}:{number}".encode())
                self._draw(frame, photo.label, np.random.default_rng([self.seed, key]), out)
        return views

    def name(self, number: int) -> str:
        """Of a view, the same for the same pixels."""
        levels = f" {self.spec.levels[0]:g}..{self.spec.levels[1]:g}" if self.spec.levels else ""
        if self._as_seen(number):
            return f"{VERSION} mirrored{levels}" if number else f"{VERSION} as seen{levels}"
        more = levels if self.augment == "camera" else f" {self.augment}{self._grounds_digest}{levels}"
        return f"{DRAWN_VERSION} drawn {number} {self.seed} {self.mirror}{more}"

    def _as_seen(self, number: int) -> bool:
        return number == 0 or (number == 1 and self.mirror)

    def _draw(self, frame: Frame, label: str, rng: np.random.Generator, out: Frame) -> None:
        window = _window(frame, rng)
        if self.mirror and rng.random() < 0.5:
            window = window[:, ::-1]
        if self.augment == "scene":
            window = self._in_scene(window, label, rng)
        preprocess(window, self.spec, out=out)
        _relight(out, rng)
        if self.augment == "randaugment":
            randaugment(out, rng)

    def _in_scene(self, window: Frame, label: str, rng: np.random.Generator) -> Frame:
        """Before a part of a photo with another label; as it is where none was drawn that can be decoded."""
        # With the input's proportions, so that no subject lies where `preprocess` cuts off.
        shape = SCENE_SIDE * self.spec.height, SCENE_SIDE * self.spec.width
        for index in rng.integers(len(self.grounds), size=GROUNDS_TRIED if self.grounds else 0).tolist():
            if self.grounds[index].label != label:
                with suppress(PictureError):
                    other = read_picture(self.grounds[index].path, max(shape), self.spec.levels)
                    return before_ground(window, other, shape, rng)
        return window

    @cached_property
    def _grounds_digest(self) -> str:
        """Of the photos that grounds are taken from: with others, views are other ones."""
        if not self.grounds:
            return ""
        told = "".join(f"{photo.sha256}{photo.label}\n" for photo in self.grounds)
        return f" {hashlib.sha256(told.encode()).hexdigest()[:16]}"


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
