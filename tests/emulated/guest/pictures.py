"""The pictures that are compared: what stands before the camera, what is preprocessed."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_core import Frame
from edge_core.images import decode_picture

CAMERA: Final = (640, 480)
"""Width and height of the emulated camera's frames."""


def framed(picture: Frame) -> Frame:
    """A picture, whole, as large as the camera's frame allows, on grey."""
    width, height = CAMERA
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    frame = np.full((height, width, 3), 127, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR_EXACT)
    frame[top : top + size[1], left : left + size[0]] = scaled
    return frame


def read(folder: Path, count: int | None = None) -> list[tuple[str, Frame]]:
    """Photos of a folder by name, decoded; the first `count`, or all."""
    return [(path.name, decode_picture(path.read_bytes())) for path in sorted(folder.iterdir())[:count]]
