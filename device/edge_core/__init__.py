"""What every stage agrees on: preprocessing, model card, labels, photos, run folders, errors.

NumPy, OpenCV and flatbuffers only.
"""

try:
    import cv2 as _cv2  # noqa: F401
except ImportError as error:
    if "libGL" in str(error) or "libgthread" in str(error):
        raise ImportError(
            f"OpenCV lacks a system library ({error}); on Debian and Raspberry Pi OS: apt install libgl1 libglib2.0-0"
        ) from None
    raise

from edge_core.artifact.card import Backbone, Dataset, ModelCard
from edge_core.artifact.container import complete, read_card
from edge_core.errors import EdgeError
from edge_core.images import decode_picture, read_picture
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_core.statistics import Estimate

__all__ = [
    "Backbone",
    "Dataset",
    "EdgeError",
    "Estimate",
    "Frame",
    "InputSpec",
    "ModelCard",
    "complete",
    "decode_picture",
    "preprocess",
    "read_card",
    "read_picture",
]
