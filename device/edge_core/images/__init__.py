"""Picture files to frames: one decoder for training, conversion and device."""

import re
import warnings
from collections.abc import Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np

from edge_core.errors import PictureError
from edge_core.images.image_header import RAW, SCAN, ImageHeader, format_of, jpeg_segments, read_header
from edge_core.native_stderr import without_lines
from edge_core.preprocess import Frame

MAX_PIXELS: Final = 1 << 27
"""Pixels of the largest picture that is decoded: 400 MB. A larger JPEG is decoded at a half, a quarter or an eighth of
its size; a larger picture of another format is refused, since a file of 76 kB may hold 400 million pixels."""

MISSING_SHARE: Final = 1 / 16
"""Share of a JPEG's rows that may be missing at its end. It is decoded as far as it goes; a file that lacks more is
taken for one whose copying broke off."""

OUTLIERS: Final = 0.0002
"""Share of a picture's levels at either end that its range leaves out: three pixels of 160 x 120, hot or dead ones. A
warm object of 4 x 4 pixels still counts, which at a share of 0.001 it does not."""

Levels = tuple[float, float] | None
"""As in `InputSpec`."""

Own = Literal["own"]
"""In place of levels: of a picture with more than 16 bits a level its own range, for a first look before a range is
known."""

_REDUCED: Final = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}

# An eighth takes but the mean of each block, which is all that it takes to see whether rows are there.
_GRAY_EIGHTH: Final = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
_END: Final = b"\xff\xd9"
_COMPLAINTS: Final = re.compile(rb"Corrupt JPEG data|Premature end of JPEG file")
"""What libjpeg writes to standard error of a JPEG that it decodes all the same."""


def read_picture(path: Path, covering: int | None = None, levels: Levels = None) -> Frame:
    """Reads a picture file into a frame.

    Args:
        path: Path of the picture file.
        covering, levels: The arguments of `decode_picture`.

    Raises:
        PictureError: The file cannot be read or decoded, or holds only a part of its picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error
    try:
        return decode_picture(data, covering, levels)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from None


def decode_picture(data: bytes, covering: int | None = None, levels: Levels | Own = None) -> Frame:
    """Decodes the bytes of a picture file to a frame: uint8, shape (height, width, 3), B, G, R.

    Turned upright by its EXIF orientation; gray, CMYK and 16-bit pictures become 8-bit color, transparency is
    dropped, and of an animation the first picture counts.

    Args:
        data: Content of the file.
        covering: A JPEG may be decoded at a half, a quarter or an eighth of its size as long as its shorter side stays
            that many pixels or more. Its pixels differ from those of a full decode by a few levels, so this is for
            pictures that are distorted anyway, never for what is to be as the device sees it. 12 megapixels at an
            eighth: 15 ms against 64.
        levels: The `levels` of a model's `InputSpec`: which levels of a picture with more than 8 bits become 0 and
            255. Without them those of 16 bits are taken as 0 to 65535, and those of more bits are refused.

    Raises:
        PictureError: The bytes are no picture that OpenCV decodes, or hold only a part of one.
    """
    if not data:
        raise PictureError("the file is empty")
    header = read_header(data)
    if header is None:
        raise PictureError("a video, not a picture" if format_of(data[:64]) == "video" else "not a picture")
    if header.kind == RAW:
        raise PictureError("a camera's raw photo; save it as JPEG")
    if header.kind in ("HEIC", "JPEG XL"):
        return _decode_by_pillow(data, header)
    if is_cut(data):
        with without_lines(_COMPLAINTS):
            return _decode_by_opencv(_whole_jpeg(data), header, covering, levels)
    _check_png(data, header)
    return _decode_by_opencv(data, header, covering, levels)


def _decode_by_opencv(data: bytes, header: ImageHeader, covering: int | None, levels: Levels | Own) -> Frame:
    if header.wide and levels is None:
        raise PictureError("its levels have more than 16 bits; it takes a model that fit --levels has trained")
    if header.opacity:
        # libtiff would multiply the levels by it, so that what is seen through is black; 0: it has no such meaning.
        data = data[: header.opacity] + bytes(2) + data[header.opacity + 2 :]
    try:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), _mode(header, covering, levels))
    except cv2.error as error:
        raise PictureError(f"not decodable: {error.err}") from error
    if frame is None:
        raise PictureError(f"not a whole {header.kind} picture, or one of a kind that OpenCV does not decode")
    if levels is not None and frame.dtype != np.uint8:
        frame = in_8_bits(frame, _own_range(frame) if levels == "own" else levels)
    # Of pictures with wide levels come as many channels as the file has.
    frame = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) if frame.ndim == 2 else frame[:, :, :3]
    return _turned(frame, header.turns)  # type: ignore[arg-type]


def _mode(header: ImageHeader, covering: int | None, levels: Levels | Own) -> int:
    """How OpenCV shall decode a picture."""
    if header.wide:
        return cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH  # other modes decode no picture of one such channel
    mode = _REDUCED[_shrink(header, covering)]
    if header.kind == "AVIF":
        mode |= cv2.IMREAD_IGNORE_ORIENTATION  # the format's own turns count, not those in its EXIF
    if header.deep and isinstance(levels, tuple):
        # Without it OpenCV gives the upper 8 bits alone, whatever range the levels fill.
        mode |= cv2.IMREAD_ANYDEPTH
    return mode


def _own_range(levels: cv2.typing.MatLike) -> tuple[float, float]:
    known = levels[np.isfinite(levels)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    return low, high if high > low else low + 1


def deep_levels(data: bytes) -> tuple[float, float] | None:
    """Lowest and highest level, but for `OUTLIERS`, of a picture with more than 8 bits a level; None for other
    pictures.

    Raises:
        PictureError: See `decode_picture`.
    """
    header = read_header(data)
    if header is None or not header.deep:
        return None
    _shrink(header, None)
    _check_png(data, header)
    try:
        levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise PictureError(f"not decodable: {error.err}") from error
    if levels is None or levels.dtype == np.uint8:
        return None
    if levels.ndim == 3:
        levels = levels[:, :, :3]  # opacity is no level
    if not np.isfinite(levels).any():
        return None
    known = levels[np.isfinite(levels)]
    # Of a picture so small that the share is less than a pixel nothing is left out.
    share = OUTLIERS if known.size * OUTLIERS >= 1 else 0
    return tuple(float(one) for one in np.quantile(known, (share, 1 - share), method="nearest"))  # type: ignore[return-value]


def in_8_bits(picture: cv2.typing.MatLike, levels: tuple[float, float]) -> Frame:
    """Brings `levels` to 0 and 255, linearly, in single precision; what lies outside is clipped, what is no number is
    0."""
    low, high = levels
    scaled = (picture.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.asarray(np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255)), np.uint8)


def is_cut(data: bytes) -> bool:
    """Whether the bytes are a JPEG that lacks its end."""
    return data.startswith(b"\xff\xd8") and not _jpeg_ends(data)


def encode_jpeg(frame: cv2.typing.MatLike, quality: int) -> bytes:
    """The bytes of a JPEG file: `frame` as in `decode_picture`, `quality` from 0 to 100."""
    return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end-of-image marker follows the first scan (one before it may be the EXIF thumbnail's)."""
    return any(data.find(_END, start) != -1 for marker, start in jpeg_segments(data) if marker == SCAN)


def _whole_jpeg(data: bytes) -> bytes:
    """A JPEG that lacks its end, with one, if hardly any rows are missing.

    Rows that are missing come out of the decoder with one level, that of the last block before them. Where so many rows
    have, the bytes are decoded once more with others behind them: rows that come out the same were there.

    Raises:
        PictureError: More is missing.
    """
    # Zeros are what a disk has of a file that was never written to its end; real data has no such runs. Half of an
    # end-of-image marker, with a whole one behind it, would read as a fill byte.
    written = data.rstrip(b"\0")
    data = (written if len(data) - len(written) >= 16 else data).removesuffix(b"\xff")
    whole = _last_scan(data)  # first, as the decoder prints what it thinks of a header without a scan
    ended = cv2.imdecode(np.frombuffer(data + _END, np.uint8), _GRAY_EIGHTH) if whole else None
    if ended is None:
        raise PictureError("the file is truncated")
    # Rows at the end that are all of the last pixel's level, counted from below to the first that is not.
    flat = (
        len(ended) - int((ended != ended[-1, -1]).any(axis=1)[::-1].argmax()) if (ended != ended[-1, -1]).any() else 0
    )
    most = max(1, MISSING_SHARE * len(ended))
    if len(ended) - flat > most:
        # Any bytes without FF do, which would begin a marker: they are read as the code of the missing blocks.
        other = cv2.imdecode(np.frombuffer(data + b"\x5a\xc3" * 64 + _END, np.uint8), _GRAY_EIGHTH)
        missing = other is None or (ended != other).any(axis=1)
        if np.any(missing) and len(ended) - int(np.argmax(missing)) > most:
            raise PictureError("the file is truncated")
    return data + _END


def _last_scan(data: bytes) -> bool:
    """Whether the scan that a JPEG ends with is its last: of a progressive one, every bit of every coefficient is
    there."""
    kind = next((marker for marker, _ in jpeg_segments(data) if marker in (0xC0, 0xC1, 0xC2)), 0)
    start = next((at for marker, at in jpeg_segments(data) if marker == SCAN), -1)
    if kind != 0xC2 or start < 0:
        return start >= 0
    refined: dict[int, set[int]] = {}
    components: set[int] = set()
    # Within a scan's data FF is followed by 00 (T.81, B.1.1.5), so these two bytes are always a marker.
    for scan in re.finditer(rb"\xff\xda", data[start:]):
        at = start + scan.start()
        count = data[at + 4] if at + 5 < len(data) else 0
        # Behind the components: first and last coefficient of the scan, and from which bit to which (T.81, B.2.3).
        tail = data[at + 5 + 2 * count : at + 8 + 2 * count]
        if len(tail) < 3:
            return False
        for component in data[at + 5 : at + 5 + 2 * count : 2]:
            components.add(component)
            if not tail[2] & 15:  # the lowest bit
                refined.setdefault(component, set()).update(range(tail[0], tail[1] + 1))
    return all(len(refined.get(component, ())) == 64 for component in components)


def _shrink(header: ImageHeader, covering: int | None) -> int:
    """By how much to shrink while decoding: 1, and for JPEGs also 2, 4 and 8.

    The largest that leaves the shorter side `covering` pixels or more, and no less than memory asks for.

    Raises:
        PictureError: Too many pixels even then, or the header does not say how many.
    """
    shorter, pixels = min(header.width, header.height), header.width * header.height
    if not pixels:
        raise PictureError(f"the {header.kind} header is damaged: it gives no width and height")
    factors = list(_REDUCED) if header.kind == "JPEG" else [1]
    fitting = [factor for factor in factors if pixels <= MAX_PIXELS * factor**2]
    if not fitting:
        raise PictureError(
            f"{header.width}x{header.height} pixels are more than the {MAX_PIXELS / 1e6:.0f} million that are decoded; "
            "make it smaller"
        )
    # Rounded up, as libjpeg does when it scales.
    wanted = [factor for factor in fitting if covering and -(-shorter // factor) >= covering]
    return max(wanted, default=fitting[0])


def _decode_by_pillow(data: bytes, header: ImageHeader) -> Frame:
    """What OpenCV has no decoder for, by Pillow's plug-ins, which turn a HEIC by its own turns.

    Raises:
        PictureError: The plug-in is not installed, or cannot decode it.
    """
    plugin, package = {"HEIC": ("pillow_heif", "pillow-heif"), "JPEG XL": ("pillow_jxl", "pillow-jxl-plugin")}[
        header.kind
    ]
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError

        module = import_module(plugin)
    except ImportError:
        raise PictureError(f"{header.kind} takes another package: pip install {package}; or save it as JPEG") from None
    # The other plug-in registers itself when it is imported.
    if header.kind == "HEIC":
        module.register_heif_opener()
    try:
        if header.width:
            _shrink(header, None)
        # Of pictures beyond 89 million pixels, which newer phones take; `MAX_PIXELS` is our own limit.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(BytesIO(data)) as picture:  # reads the header only
            _shrink(ImageHeader(header.kind, picture.width, picture.height), None)
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except PictureError:
        raise
    except UnidentifiedImageError:  # its text has the address of a Python object
        raise PictureError(f"not a whole {header.kind} picture: the file is truncated or damaged") from None
    except Exception as error:  # noqa: BLE001 - whatever the plug-in raises, the file is at fault
        raise PictureError(f"not a whole {header.kind} picture: {' '.join(str(error).split())}") from None
    return np.ascontiguousarray(np.asarray(upright)[:, :, ::-1])


def _turned(frame: Frame, turns: Sequence[int]) -> Frame:
    for turn in turns:
        frame = np.rot90(frame, turn) if turn > 0 else frame[:, ::-1] if turn == -1 else frame[::-1]
    return np.ascontiguousarray(frame)


def _check_png(data: bytes, header: ImageHeader) -> None:
    """Checks that a PNG's chunks (length, type, content, four bytes of checksum) lead to the one that ends it.

    OpenCV 5 asks for as much memory as a wrong length says.

    Raises:
        PictureError: They do not.
    """
    position = 8
    while header.kind == "PNG":
        if position + 12 > len(data):
            raise PictureError("the file is truncated or damaged")
        if data[position + 4 : position + 8] == b"IEND":
            return
        position += 12 + int.from_bytes(data[position : position + 4])
