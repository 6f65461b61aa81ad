"""Whether a live source sends one and the same picture: an encoder that hangs goes on sending its last one."""

import zlib
from typing import Final

from edge_core.preprocess import Frame

FROZEN_S: Final = 30.0
"""A sensor's noise makes no two frames alike; a page that is fetched as a picture may stand still for a while."""

LOOKED_AT_S: Final = 1.0
"""Between two looks: the checksum of a frame of 1280x720 takes 1 ms."""


class FrozenPicture:
    """Compares a frame a second with the one before, byte by byte.

    Attributes:
        frozen: Whether all frames for `FROZEN_S` were the same.
        since_s: When the picture that is shown now was seen first.
    """

    def __init__(self) -> None:
        """Has seen nothing."""
        self.frozen = False
        self.since_s = 0.0
        self._looked_s = float("-inf")
        self._seen: tuple[tuple[int, ...], int] | None = None

    def look(self, frame: Frame, now_s: float) -> bool:
        """Takes a frame in.

        Args:
            frame: uint8, shape (height, width, 3).
            now_s: When it was there, in seconds, by a clock that does not jump.

        Returns:
            Whether `frozen` has changed by it.
        """
        if now_s - self._looked_s < LOOKED_AT_S:
            return False
        self._looked_s = now_s
        # A checksum, so that the frame's memory can be used again.
        seen = (frame.shape, zlib.crc32(frame.data if frame.flags.c_contiguous else frame.tobytes()))
        if seen != self._seen:
            self._seen, self.since_s = seen, now_s
        before, self.frozen = self.frozen, now_s - self.since_s >= FROZEN_S
        return self.frozen != before
