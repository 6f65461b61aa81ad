"""The pictures that are compared: what stands before the camera, what is preprocessed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np

from edge_core import Frame
from edge_core.images import decode_picture

T = TypeVar("T")

CAMERA: Final = (640, 480)
"""Width and height of the emulated camera's frames."""


def framed(picture: Frame) -> Frame:
    """A picture, whole, as large as the camera's frame allows, on gray."""
    width, height = CAMERA
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    frame = np.full((height, width, 3), 127, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR_EXACT)
    frame[top : top + size[1], left : left + size[0]] = scaled
    return frame


def evenly(items: Sequence[T], count: int) -> list[T]:
    """`count` of some items at equal distances, so that photos sorted by class are of all classes; or all, if fewer."""
    count = min(count, len(items))
    return [items[number * len(items) // count] for number in range(count)]


def read(folder: Path, count: int | None = None) -> list[tuple[str, Frame]]:
    """Photos of a folder by name, decoded; `count` of them at equal distances, or all."""
    paths = sorted(folder.iterdir())
    return [(path.name, decode_picture(path.read_bytes())) for path in evenly(paths, count or len(paths))]
