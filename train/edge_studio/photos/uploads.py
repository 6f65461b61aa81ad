"""What may come in: pictures that can be decoded, of a size that can be handled, under names that any disk takes."""

import threading
import unicodedata
from contextlib import nullcontext
from pathlib import PurePosixPath
from typing import Final

from edge_core.data.photo_folder import is_litter, nfc
from edge_core.errors import PictureError
from edge_core.images import decode_picture
from edge_core.images.image_header import format_of, read_header
from edge_core.preprocess import Frame
from edge_train.data.archives import UnpackLimits

PICTURE_BYTES: Final = 64 << 20
"""Bytes of one picture; a phone's largest has 40 MB."""

ARCHIVE_BYTES: Final = 8 << 30

PICTURE_PIXELS: Final = 64_000_000
"""Pixels of one picture; a camera's largest ordinary one has 61 million. Decoded, these take 192 MB."""

ARCHIVE_LIMITS: Final = UnpackLimits(files=100_000, bytes=16 << 30, ratio=20, floor=64 << 20)

THUMBNAIL_SIDE: Final = 192
"""Pixels of a thumbnail's longer side: a tile of the grid on a screen with two pixels a point."""

_LARGE_PIXELS: Final = 16_000_000
_large = threading.Lock()
"""One large picture is decoded at a time, so that six uploads at once take the memory of one."""

SUFFIXES: Final = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WebP": (".webp",),
    "PNM": (".ppm", ".pgm", ".pbm"),
    "TIFF": (".tif", ".tiff"),
    "JPEG 2000": (".jp2",),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heif"),
    "JPEG XL": (".jxl",),
}
"""Endings of a file's name by the format of its content, the usual one first."""

_NAME_CHARACTERS: Final = 80
_REPLACED: Final = frozenset('/\\:*?"<>|%#')


def check_picture(data: bytes, covering: int = THUMBNAIL_SIDE) -> tuple[str, Frame]:
    """Decodes a picture that may be of any size; returns its format and the frame.

    Args:
        data: Content of the file.
        covering: Pixels that the frame's shorter side needs; a large JPEG is decoded no larger than that takes.

    Raises:
        PictureError: It is not a picture, is damaged, or has too many pixels.
    """
    header = read_header(data)
    if header is None:
        raise PictureError("a video, not a picture" if format_of(data[:64]) == "video" else _why_unknown(data))
    pixels = header.width * header.height
    if pixels > PICTURE_PIXELS:
        raise PictureError(
            f"{header.width}x{header.height} pixels are more than the {PICTURE_PIXELS // 1_000_000} million that the "
            "studio takes; make it smaller"
        )
    with _large if pixels > _LARGE_PIXELS else nullcontext():
        return header.kind, decode_picture(data, covering)


def safe_name(name: str, kind: str) -> str:
    """A file's name from one that somebody sent: no folder, nothing hidden, and the ending that its content has.

    Args:
        name: Name, or path of either kind, of which the last part counts.
        kind: Format of the content, one of `SUFFIXES`.
    """
    last = PurePosixPath(nfc(name).replace("\\", "/")).name
    kept = _replaced(last)
    stem, dot, suffix = kept.rpartition(".")
    endings = SUFFIXES.get(kind, (".jpg",))
    ending = dot + suffix.lower()
    # More than five characters behind the last dot are part of the name, not an ending.
    if not dot or not stem.strip(" .") or len(suffix) > 5:
        stem, ending = kept, ""
    stem = stem.strip(" .")[:_NAME_CHARACTERS].strip(" .")
    # 160 of the 255 bytes that file systems allow: a number and what `written_whole` adds are still to come.
    while len(stem.encode("utf-8", "replace")) > 2 * _NAME_CHARACTERS:
        stem = stem[:-1]
    made = (stem or "photo") + (ending if ending in endings else endings[0])
    return f"_{made}" if is_litter(made) else made


def _replaced(name: str) -> str:
    """A name without what a disk, a terminal or a page may take for something else."""
    return "".join("_" if one in _REPLACED or unicodedata.category(one)[0] == "C" else one for one in name)


def _why_unknown(data: bytes) -> str:
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml")):
        return "an SVG or XML file, not a picture of pixels; export it as PNG"
    if start.startswith((b"<!doctype", b"<html")):
        return "a web page, not a picture"
    return "the file is empty" if not data else "not a picture"
