"""JPEGs out of a stream of bytes, and what to do with damaged ones."""

import re
from typing import Final

from edge_core.errors import PictureError, SourceError
from edge_core.images import decode_picture, is_cut
from edge_core.images.image_header import SCAN
from edge_core.preprocess import Frame

UNREADABLE_IN_A_ROW: Final = 50
"""So many damaged pictures one after the other are a broken camera, fewer a bad cable: lost USB packets are common."""

MAX_BYTES: Final = 32 << 20
"""A longer JPEG is none; 100 megapixels of noise at quality 90 would fit."""

MAX_PIXELS: Final = 1 << 26
"""A larger picture from a stream is passed over: 200 MB decoded, and a hostile header of 20 bytes may ask for 12 GB."""

_MARKER: Final = re.compile(rb"\xff[\xc0-\xcf\xd8-\xef\xfe]")  # table B.1 without RSTn, which are within scan data
_START, _END = 0xD8, 0xD9
_SIZES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


class JpegSplitter:
    """Cuts a stream of bytes into the JPEGs in it, whatever is between them: part headers, padding, garbage.

    By the structure of ITU-T T.81, B.1.1: what is inside a segment (an EXIF thumbnail, for one) is stepped over, and an
    end-of-image marker ends the picture at once, without waiting for what follows it. Some cameras leave that marker
    out: then a picture whose scan has begun ends where its part of a multipart stream ends, or where the next picture
    begins.

    Attributes:
        damaged: Pictures that end before their scan, or are larger than `MAX_BYTES` or `MAX_PIXELS`.
    """

    def __init__(self, boundary: str = "") -> None:
        """`boundary` is the one of a multipart stream (RFC 2046, 5.1.1), with or without its dashes; empty if
        unknown."""
        self.damaged = 0
        self._boundary = b"--" + boundary.lstrip("-").encode() if boundary.strip("-") else b""
        self._scanning = False
        self._held = bytearray()
        self._begun = False
        self._next = 0  # what is before it in `_held` was looked at

    def feed(self, data: bytes) -> list[bytes]:
        """Takes the bytes that came next; gives the pictures that are whole now."""
        self._held += data
        whole = []
        while self._begin() and (end := self._end()):
            if end > 0:
                whole.append(bytes(self._held[:end]))
            else:
                self.damaged += 1
            del self._held[: abs(end)]
            self._begun = self._scanning = False
        return whole

    def _begin(self) -> bool:
        """Whether a picture has begun; what comes before it is dropped."""
        if not self._begun:
            start = self._held.find(b"\xff\xd8\xff")
            # The last two bytes may be the beginning of a picture whose third byte has not come yet.
            del self._held[: start if start >= 0 else -2]
            self._begun, self._next = start >= 0, 2
        return self._begun

    def _end(self) -> int:
        """Where the picture ends; negative: how much of it to drop; 0: more bytes are needed to know."""
        held = self._held
        part_end = held.find(self._boundary, self._next) if self._boundary and self._scanning else -1
        while found := _MARKER.search(held, self._next):
            marker, after = held[found.end() - 1], found.end()
            if 0 <= part_end < found.start():
                break
            if marker == _END:
                return after
            # A new picture begins: the one before lacks its end, and counts if its scan has begun.
            if marker == _START:
                return found.start() if self._scanning else -found.start()
            if len(held) < after + 7:  # length, precision, height, width; an end-of-image is shorter, and was handled
                self._next = found.start()
                break
            if marker in _SIZES and _pixels(held, after) > MAX_PIXELS:
                # Dropped up to here; the rest of it is looked through for the next picture.
                return -after
            following = after + max(2, int.from_bytes(held[after : after + 2]))
            if self._boundary and not self._scanning:
                # Cut in its header: the rest of the segment would be taken out of the next picture.
                if (cut := held.find(self._boundary, after, following)) >= 0:
                    return -cut
                if len(held) < following:
                    self._next = found.start()
                    break
            self._next = following
            if marker == SCAN:
                self._scanning = True
                part_end = held.find(self._boundary, self._next) if self._boundary else -1
        else:
            # All but what may be the first part of a marker or of a boundary was looked at, and is not looked at again.
            self._next = max(self._next, len(held) - max(1, len(self._boundary)))
        if part_end >= 0:
            # A boundary has a line break before it, which belongs to it (RFC 2046, 5.1.1).
            return part_end - held.endswith(b"\r\n", 0, part_end) * 2
        return -len(held) if len(held) > MAX_BYTES else 0


def _pixels(data: bytearray, frame: int) -> int:
    """Height times width of a frame header (T.81, B.2.2), which has a length and the precision in front of them."""
    height, width = (int.from_bytes(data[at : at + 2]) for at in (frame + 3, frame + 5))
    return height * width


class JpegDecoder:
    """Decodes the pictures of a camera; passes over damaged ones unless there are too many.

    Attributes:
        unreadable: How many were damaged.
        cut: How many lacked their end, and were decoded as far as they go.
    """

    def __init__(self, source: str, covering: int | None = None) -> None:
        """`source` is named in errors; `covering` as in `edge_core.images.decode_picture`."""
        self.unreadable = 0
        self.cut = 0
        self._in_a_row = 0
        self._source = source
        self._covering = covering

    def decode(self, data: bytes) -> Frame | None:
        """The picture, or None for one that is damaged.

        Raises:
            SourceError: It is one too many.
        """
        try:
            frame = decode_picture(data, self._covering)
        except PictureError as error:
            self.damaged(str(error))
            return None
        self.cut += is_cut(data)
        self.intact()
        return frame

    def intact(self) -> None:
        """A picture that did not have to be decoded here is as it should be."""
        self._in_a_row = 0

    def damaged(self, reason: str) -> None:
        """Counts a picture that cannot be decoded.

        Raises:
            SourceError: It is one too many.
        """
        self.unreadable += 1
        self._in_a_row += 1
        if self._in_a_row >= UNREADABLE_IN_A_ROW:
            raise SourceError(
                f"{self._source} gives damaged pictures only, {self._in_a_row} one after the other ({reason}); check "
                "its cable and its power"
            )
