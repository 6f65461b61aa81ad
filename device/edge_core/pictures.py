"""Picture files to frames: one decoder for training, conversion and device."""

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

_HEIC_BRANDS: Final = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def read_picture(path: Path) -> Frame:
    """Reads a picture file into a frame.

    Raises:
        PictureError: the file cannot be read or decoded, or holds only a part of its picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error
    try:
        return decode_picture(data)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from None


def decode_picture(data: bytes) -> Frame:
    """Decodes the bytes of a picture file to a frame: uint8, shape (height, width, 3), B, G, R.

    Turned upright by its EXIF orientation; grey, CMYK and 16-bit pictures become 8-bit colour, transparency is
    dropped, and of an animation the first picture counts.

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
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # more pixels than OpenCV's limit, for one
        raise PictureError(f"not decodable: {error.err}") from error
    if frame is None:
        raise PictureError("not a whole picture in a format that OpenCV decodes")
    return frame  # type: ignore[return-value]


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end-of-image marker follows the first scan (one before it may be the EXIF thumbnail's).

    Segments as in ITU-T T.81, B.1.1: FF, marker, two bytes of length that count themselves.
    """
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return False
        if data[position + 1] == 0xFF:  # fill byte
            position += 1
        elif data[position + 1] == 0xDA:  # start of scan
            return data.find(b"\xff\xd9", position) != -1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return False


def _png_ends(data: bytes) -> bool:
    """Whether the chunks (length, type, content, four bytes of checksum) lead to the one that ends the picture."""
    position = 8
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + int.from_bytes(data[position : position + 4])
    return False
