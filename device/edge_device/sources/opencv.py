"""What the sources on OpenCV's captures share."""

import os

import cv2

from edge_core.preprocess import Frame
from edge_device.sources.pool import FramePool


def quiet_ffmpeg() -> None:
    """Before the first capture of the process: FFmpeg would print addresses, passwords included, and much else."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET


class Retriever:
    """Retrieves the frame that a capture has grabbed, into memory that is used again."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._pool = FramePool()
        self._shape: tuple[int, ...] | None = None  # of the frame before; OpenCV makes a new one if it has changed

    def __call__(self) -> Frame | None:
        """The frame; None if it cannot be decoded.

        Raises:
            cv2.error: A V4L2 buffer is only partly filled.
        """
        # OpenCV writes into the array that it is given if that has the frame's shape.
        ok, image = self._capture.retrieve(self._pool.take(self._shape) if self._shape else None)
        if not ok or image is None:
            return None
        self._shape = image.shape
        return image  # type: ignore[return-value]
