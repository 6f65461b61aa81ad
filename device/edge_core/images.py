"""Picture files to frames: one decoder for training, conversion and device."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_core.errors import PictureError
from edge_core.preprocess import Frame

EXTENSIONS: Final = (
    *(
        ".avif",
        ".bmp",
        ".gif",
        ".jpeg",
        ".jpg",
        ".jp2",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    ),
    *(".heic", ".heif"),  # not decoded here, but a phone's photos must be told of, not passed over in silence
)
"""What counts as a picture in a folder, lower case."""

_SCAN: Final = 0xDA
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG's start-of-frame markers (ITU-T T.81, table B.1): baseline, progressive and their kin."""

_REDUCED: Final = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}

_HEIC_BRANDS: Final = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def read_picture(path: Path, covering: int | None = None) -> Frame:
    """Reads a picture file into a frame.

    Args:
        path: of the file.
        covering: see `decode_picture`.

    Raises:
        PictureError: the file cannot be read or decoded, or holds only a part of its picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error
    try:
        return decode_picture(data, covering)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from None


def decode_picture(data: bytes, covering: int | None = None) -> Frame:
    """Decodes the bytes of a picture file to a frame: uint8, shape (height, width, 3), B, G, R.

    Turned upright by its EXIF orientation; grey, CMYK and 16-bit pictures become 8-bit colour, transparency is
    dropped, and of an animation the first picture counts.

    Args:
        data: content of the file.
        covering: a JPEG may be decoded at a half, a quarter or an eighth of its size as long as its shorter side stays
            that many pixels or more. Its pixels differ from those of a full decode by a few levels, so this is for
            pictures that are distorted anyway, never for what is to be as the device sees it. 12 megapixels at an
            eighth: 15 ms against 64.

    Raises:
        PictureError: the bytes are no picture that OpenCV decodes, or hold only a part of one.
    """
    if not data:
        raise PictureError("the file is empty")
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        raise PictureError("HEIC is not supported; save it as JPEG")
    if data.startswith(b"\xff\xd8") and not _jpeg_ends(data):  # OpenCV 4 fills the rest with grey
        raise PictureError("the file is truncated")
    if data.startswith(b"\x89PNG") and not _png_ends(data):  # OpenCV 5 asks for as much memory as a wrong length says
        raise PictureError("the file is truncated or damaged")
    try:
        mode = _REDUCED[1 if covering is None else _shrink(data, covering)]
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error as error:  # more pixels than OpenCV's limit, for one
        raise PictureError(f"not decodable: {error.err}") from error
    if frame is None:
        raise PictureError("not a whole picture in a format that OpenCV decodes")
    return frame  # type: ignore[return-value]


def encode_jpeg(frame: cv2.typing.MatLike, quality: int) -> bytes:
    """The bytes of a JPEG file: `frame` as in `decode_picture`, `quality` from 0 to 100."""
    return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and position of each segment up to the first scan.

    As in ITU-T T.81, B.1.1: FF, marker, two bytes of length that count themselves.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == 0xFF:  # fill byte
            position += 1
            continue
        yield data[position + 1], position
        if data[position + 1] == _SCAN:
            return
        position += 2 + int.from_bytes(data[position + 2 : position + 4])


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end-of-image marker follows the first scan (one before it may be the EXIF thumbnail's)."""
    return any(data.find(b"\xff\xd9", start) != -1 for marker, start in _jpeg_segments(data) if marker == _SCAN)


def _shrink(data: bytes, covering: int) -> int:
    """The largest of 1, 2, 4 and 8 that leaves a JPEG's shorter side `covering` pixels or more; 1 for other formats."""
    if data.startswith(b"\xff\xd8"):
        for marker, start in _jpeg_segments(data):
            if marker in _FRAMES:  # FF, marker, length, precision, then height and width of two bytes each
                sides = (int.from_bytes(data[at : at + 2]) for at in (start + 5, start + 7))
                shorter = min(sides)
                return max(factor for factor in _REDUCED if factor == 1 or -(-shorter // factor) >= covering)
    return 1


def _png_ends(data: bytes) -> bool:
    """Whether the chunks (length, type, content, four bytes of checksum) lead to the one that ends the picture."""
    position = 8
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + int.from_bytes(data[position : position + 4])
    return False
