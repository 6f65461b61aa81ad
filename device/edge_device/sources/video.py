"""Video files."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2

from edge_core.errors import SourceError
from edge_device.sources.opencv import Retriever, quiet_ffmpeg
from edge_device.sources.source import Closing, Source, SourceFrame

LATE_S: Final = 0.05
"""A frame of a file that plays in real time is dropped when it is as late as that."""

DROPPED_IN_A_ROW: Final = 30
"""Then one is given, however late, or a board that decodes slower than the video plays would never give one."""

GAP_S: Final = 10.0
"""A longer gap between two frames is a flaw of the file, and not waited for."""


class Video(Source):
    """Frames of a video file, turned upright."""

    def __init__(self, path: Path, realtime: bool = False) -> None:
        """Opens a file.

        Args:
            path: Path of the file.
            realtime: Gives the frames when they are due, and drops those that are not asked for in time, as a camera
                does; else every frame, as soon as it is asked for.

        Raises:
            SourceError: It cannot be read, or is no video.
        """
        self.live = realtime
        self._path = path
        try:
            with path.open("rb") as file:
                head = file.read(4096) or b""  # None of a pipe that has nothing yet
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror or error}") from error
        # FFmpeg renders text files as videos of a terminal; every other container has a zero byte in its header.
        # YUV4MPEG2 is the exception: a header of text, and raw frames.
        binary = b"\0" in head or head.startswith(b"YUV4MPEG2")
        quiet_ffmpeg()
        # By its whole path: FFmpeg would take "12:30.mp4" for an address of the protocol 12.
        self._capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG) if binary else cv2.VideoCapture()
        if not self._capture.isOpened():
            raise SourceError(f"{path} is neither a picture nor a video that OpenCV can read")
        self._closing = Closing(self._capture.release)
        self._retrieve = Retriever(self._capture)

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives the frames.

        Raises:
            SourceError: There is none.
        """
        index = grabbed = dropped = 0
        begun = time.monotonic()
        while True:
            start = time.perf_counter()
            with self._closing.reading() as may:
                if not may:
                    return
                if not self._capture.grab():
                    break
                grabbed += 1
                # Of the frame that was grabbed, so before it is decoded.
                time_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
                if self.live:
                    early_s = begun + time_s - time.monotonic() if grabbed > 1 else 0.0
                    if early_s < -LATE_S and dropped < DROPPED_IN_A_ROW:
                        dropped += 1
                        continue
                    if early_s < -LATE_S or early_s > GAP_S or grabbed == 1:  # else it would be late, or wait, for good
                        begun = time.monotonic() - time_s
                    elif self._closing.asked.wait(max(0.0, early_s)):
                        return
                    dropped = 0
                taken = time.monotonic()
                image = self._retrieve()
            if image is None:
                continue
            capture_ms = 1e3 * (time.perf_counter() - start)
            yield SourceFrame(image, str(self._path), index, time_s, capture_ms, taken)
            index += 1
            del image  # or it would count as used while the next is read
        if not grabbed:
            raise SourceError(f"{self._path} holds no video frame that OpenCV can decode")

    def close(self) -> None:
        self._closing.close()
