"""What a picture file says of itself in its first bytes: format, width and height, how it is to be turned.

The name of a file plays no part. Sizes are read before anything is decoded, so that no file takes more memory than its
pixels are allowed to.
"""

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG's start-of-frame markers (ITU-T T.81, table B.1): baseline, progressive and their kin."""

SCAN: Final = 0xDA

_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_BITMAP_HEADERS: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_JXL_BOX: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
_JP2_BOX: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
_PNM: Final = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
_HEAD: Final = 64

RAW: Final = "raw photo"
"""Kind of a camera's raw photo. Where it is a TIFF, the first picture in it is only a thumbnail of 160 x 120."""


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of a picture say.

    Attributes:
        kind: Name of the format.
        width, height: Size in pixels before the picture is turned; 0 where the bytes do not say.
        deep: Whether its levels have more than 8 bits.
        wide: Whether they have more than 16, whole numbers or not.
        turns: AVIF's and HEIF's `irot` and `imir`, in their order: quarter turns to the left as 1 to 3, or -1 for a
            picture mirrored left to right, -2 for one mirrored top to bottom.
        opacity: Position of the two bytes by which a TIFF says that its fourth channel is opacity, with which its
            levels have yet to be multiplied; 0 for other pictures.
    """

    kind: str
    width: int = 0
    height: int = 0
    deep: bool = False
    wide: bool = False
    turns: tuple[int, ...] = ()
    opacity: int = 0


def format_of(head: bytes) -> str:
    """The format that the first 64 bytes of a file are of; empty for what is neither a picture nor a video.

    "video" is what a camera films; every other name is a picture's format, whether it can be decoded or not.
    """
    if head[4:8] == b"ftyp":
        # Bytes 12 to 15 are the minor version, not a brand.
        brands = {head[at : at + 4] for at in range(8, min(len(head), int.from_bytes(head[:4])), 4)} - {head[12:16]}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        return "HEIC" if brands & _HEIC_BRANDS else RAW if b"crx " in brands else "video"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "BMP"
    if re.match(rb"P[1-6][\s#]", head):
        return "PNM"
    return next((kind for at, start, kind in _SIGNATURES if head[at:].startswith(start)), "")


_SIGNATURES: Final = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (8, b"CR\2", RAW),  # Canon, in a TIFF
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"IIRO", RAW),  # Olympus
    (0, b"IIRS", RAW),
    (0, b"IIU\0", RAW),  # Panasonic
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, _JP2_BOX, "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, _JXL_BOX, "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (8, b"AVI ", "video"),
    (0, b"\x1aE\xdf\xa3", "video"),  # Matroska, WebM
    (0, b"\0\0\x01\xba", "video"),  # MPEG program stream
    (4, b"moov", "video"),
    (4, b"mdat", "video"),
    (4, b"wide", "video"),
)


def read_header(data: bytes) -> ImageHeader | None:
    """Reads the header of a picture; None for bytes that are no picture. Damaged ones have a width and height of 0."""
    kind = format_of(data[:_HEAD])
    if kind in ("", "video"):
        return None
    try:
        return _READERS[kind](data) if kind in _READERS else ImageHeader(kind)
    except (struct.error, IndexError):
        return ImageHeader(kind)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and position of each segment of a JPEG up to its first scan.

    As in ITU-T T.81, B.1.1: FF, marker, two bytes of length that count themselves.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == 0xFF:  # fill byte
            position += 1
            continue
        yield data[position + 1], position
        if data[position + 1] == SCAN:
            return
        position += 2 + int.from_bytes(data[position + 2 : position + 4])


def _jpeg(data: bytes) -> ImageHeader:
    for marker, start in jpeg_segments(data):
        if marker in _FRAMES:  # FF, marker, length, precision, then height and width of two bytes each
            precision, height, width = struct.unpack_from(">BHH", data, start + 4)
            return ImageHeader("JPEG", width, height, precision > 8)
    return ImageHeader("JPEG")


def _png(data: bytes) -> ImageHeader:
    # After the signature (8 bytes), length and type of IHDR, which has to be the first chunk.
    width, height, depth = struct.unpack_from(">IIB", data, 16)
    return ImageHeader("PNG", width, height, depth > 8)


def _gif(data: bytes) -> ImageHeader:
    return ImageHeader("GIF", *struct.unpack_from("<HH", data, 6))


def _bmp(data: bytes) -> ImageHeader:
    # A header of 12 bytes, OS/2's, has sides of 16 bits; a negative height is of a picture with its top row first.
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return ImageHeader("BMP", abs(width), abs(height))


def _webp(data: bytes) -> ImageHeader:
    kind = data[12:16]
    if kind == b"VP8X":  # the canvas: 24 bits each, less one
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return ImageHeader("WebP", width, height)
    if kind == b"VP8L":  # lossless: two sides of 14 bits, less one, behind a signature byte
        (bits,) = struct.unpack_from("<I", data, 21)
        return ImageHeader("WebP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    # Lossy: the frame header of VP8, RFC 6386, 9.1, whose two upper bits ask for scaling and count for nothing here.
    width, height = struct.unpack_from("<HH", data, 26)
    return ImageHeader("WebP", width & 0x3FFF, height & 0x3FFF)


def _pnm(data: bytes) -> ImageHeader:
    found = _PNM.match(data[:4096])
    if not found:
        return ImageHeader("PNM")
    # The bitmaps P1 and P4 give no highest level.
    rest = (
        re.match(rb"(?:\s|#[^\n]*\n)*(\d+)", data[found.end() : found.end() + 4096]) if data[1:2] in b"2356" else None
    )
    # Cut off: `int` refuses more than 4,300 digits with a ValueError.
    width, height = (int(number[:12]) for number in found.groups())
    return ImageHeader("PNM", width, height, bool(rest) and int(rest[1][:9]) > 255)  # type: ignore[index]


def _tiff(data: bytes) -> ImageHeader:
    layout = _BIG_TIFF if data[2:4] in (b"+\0", b"\0+") else _CLASSIC_TIFF
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + layout.offset, data, layout.first_directory)
    (count,) = struct.unpack_from(order + layout.count, data, at)
    first = at + struct.calcsize("=" + layout.count)
    found, opacity = {}, 0
    # A BigTIFF may claim 2^64 entries.
    for entry in range(first, first + min(count, 4096) * layout.entry_size, layout.entry_size):
        tag, kind, number = struct.unpack_from(order + layout.entry, data, entry)
        if tag == _DNG_VERSION:
            return ImageHeader(RAW)
        if tag not in (_SUBFILE, _WIDTH, _HEIGHT, _BITS, _EXTRA) or kind not in _LETTERS:
            continue
        where = _value(data, order, layout, entry, 2 * number if tag in (_BITS, _EXTRA) else 0)
        (found[tag],) = struct.unpack_from(order + _LETTERS[kind], data, where)
        if tag == _EXTRA and found[tag] == _UNMULTIPLIED:
            opacity = where
    bits, is_thumbnail = found.get(_BITS, 8), found.get(_SUBFILE, 0) & 1
    kind = RAW if is_thumbnail else "TIFF"
    width, height = found.get(_WIDTH, 0), found.get(_HEIGHT, 0)
    return ImageHeader(kind, width, height, deep=bits > 8, wide=bits > 16, opacity=opacity)


def _value(data: bytes, order: str, layout: "_TiffLayout", entry: int, size: int) -> int:
    """Position of the value of an entry, of so many bytes.

    It stands in the entry itself if it fits, and else the entry has the offset of it: one number of bits per channel, 2
    bytes each, does not fit into a classic entry from three channels on.
    """
    where = entry + struct.calcsize("=" + layout.entry)
    if size > struct.calcsize("=" + layout.offset):
        (where,) = struct.unpack_from(order + layout.offset, data, where)
    return where


@dataclass(frozen=True)
class _TiffLayout:
    """Widths of a TIFF's numbers, in the letters of `struct`.

    Attributes:
        offset: Letter of a position in the file.
        count: Letter of the number of entries in a directory.
        entry: Letters of an entry's tag, type and number of values; the value or its offset follows.
        entry_size: Bytes of an entry.
        first_directory: Position of the offset of the first directory.
    """

    offset: str
    count: str
    entry: str
    entry_size: int
    first_directory: int


_CLASSIC_TIFF: Final = _TiffLayout("I", "H", "HHI", 12, 4)
_BIG_TIFF: Final = _TiffLayout("Q", "Q", "HHQ", 20, 8)
# Tags NewSubfileType, ImageWidth, ImageLength, BitsPerSample, ExtraSamples of TIFF 6.0, section 8, and DNGVersion of
# Adobe's DNG.
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _EXTRA, _DNG_VERSION = 254, 256, 257, 258, 338, 50706
_UNMULTIPLIED: Final = 2  # ExtraSamples: "unassociated alpha"
_LETTERS = {3: "H", 4: "I"}  # its types of 16 and 32 bits, in the letters of `struct`


def _jpeg_2000(data: bytes) -> ImageHeader:
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return ImageHeader("JPEG 2000")
    # The SIZ marker segment (ITU-T T.800, A.5.1) gives the corners of the image on a reference grid, then the depth of
    # the first component: its low seven bits, less one.
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    return ImageHeader("JPEG 2000", right - left, bottom - top, data[at + 42] & 0x7F > 7)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each box (ISO/IEC 14496-12, 4.2) between two positions."""
    while start + 8 <= end:
        size, head = int.from_bytes(data[start : start + 4]), 8
        # 1: the size has 64 bits and follows the type; 0: the box goes to the end of the file.
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16]), 16
        size = min(size, end - start) if size else end - start
        # Damaged, and it would be read for ever: no box is smaller than its head.
        if size < head:
            return
        yield data[start + 4 : start + 8], start + head, start + size
        start += size


def _heif(data: bytes) -> ImageHeader:
    """Size and turns of the primary item (ISO/IEC 23008-12, 6.5): the largest `ispe` counts, whatever item it is of."""
    kind = format_of(data[:_HEAD])
    meta = next((box for box in _boxes(data, 0, len(data)) if box[0] == b"meta"), None)
    if meta is None:
        return ImageHeader(kind)
    # Like `ispe` and `pixi` it is a "full" box: a version and flags, four bytes, come before the content.
    children = {name: (start, end) for name, start, end in _boxes(data, meta[1] + 4, meta[2])}
    inside = {name: (start, end) for name, start, end in _boxes(data, *children.get(b"iprp", (0, 0)))}
    properties = list(_boxes(data, *inside.get(b"ipco", (0, 0))))
    sizes = [struct.unpack_from(">II", data, start + 4) for name, start, _ in properties if name == b"ispe"]
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    # Behind the number of channels stand the bits of each.
    deep = any(max(data[start + 5 : end], default=8) > 8 for name, start, end in properties if name == b"pixi")
    primary = _primary_item(data, children.get(b"pitm"))
    order = [index for index in _associated(data, inside.get(b"ipma"), primary) if 0 < index <= len(properties)]
    turns = _heif_turns(data, [properties[index - 1] for index in order])
    return ImageHeader(kind, width, height, deep, turns=tuple(turns))


def _heif_turns(data: bytes, properties: Iterable[tuple[bytes, int, int]]) -> Iterator[int]:
    """How an item is to be turned, in the order in which its properties apply (ISO/IEC 23008-12, 6.5.10 and 6.5.12)."""
    for name, start, _ in properties:
        if name == b"irot" and data[start] & 3:  # the low two bits: quarter turns, counterclockwise
            yield data[start] & 3
        elif name == b"imir":  # the low bit: the axis, 0 for the vertical one
            yield -1 if data[start] & 1 else -2


def _primary_item(data: bytes, place: tuple[int, int] | None) -> int:
    if place is None:
        return 0
    start = place[0]
    # Version 0 numbers items in 16 bits, later ones in 32.
    return int.from_bytes(data[start + 4 : start + (8 if data[start] else 6)])


def _associated(data: bytes, place: tuple[int, int] | None, item: int) -> list[int]:
    """Numbers, from 1, of the properties of an item, in the order in which they are to be applied."""
    if place is None:
        return []
    start = place[0]
    # The lowest flag: indices have 15 bits in place of 7. The highest bit of each says that the property is essential.
    version, wide = data[start], data[start + 3] & 1
    (entries,) = struct.unpack_from(">I", data, start + 4)
    at = start + 8
    for _ in range(min(entries, 4096)):
        (number,) = struct.unpack_from(">H" if version < 1 else ">I", data, at)
        at += 2 if version < 1 else 4
        count, at = data[at], at + 1
        size = 2 if wide else 1
        found = [int.from_bytes(data[at + size * n : at + size * (n + 1)]) for n in range(count)]
        if number == item:
            return [value & (0x7FFF if wide else 0x7F) for value in found]
        at += size * count
    return []


_READERS: Final = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "BMP": _bmp,
    "WebP": _webp,
    "PNM": _pnm,
    "TIFF": _tiff,
    "JPEG 2000": _jpeg_2000,
    "AVIF": _heif,
    "HEIC": _heif,
}
