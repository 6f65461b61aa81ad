"""A model's own pixels as a picture file, with nothing lost."""

from pathlib import Path

import cv2
import numpy as np

from edge_core.files import written_whole
from edge_core.preprocess import Frame, InputSpec


def save_pixels(path: Path, pixels: Frame, spec: InputSpec) -> None:
    """Writes what a model takes as a PNG, of which `read_picture` and `preprocess` make the same bytes again.

    Args:
        path: Path of the PNG file to write.
        pixels: uint8, shape `spec.shape`, in `spec.color_order`.
        spec: Input spec of the model.

    Raises:
        OutputError: The file cannot be written.
    """
    frame = pixels if spec.color_order == "BGR" else pixels[..., ::-1]
    with written_whole(path) as beside:
        beside.write_bytes(cv2.imencode(".png", np.ascontiguousarray(frame))[1].tobytes())
