"""What a V4L2 device says of itself, through ioctl: v4l-utils need not be installed.

Structures and numbers: include/uapi/linux/videodev2.h of the Linux kernel.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from typing import Any, Final

_VIDEO_CAPTURE: Final = 0x00000001
_VIDEO_CAPTURE_MPLANE: Final = 0x00001000
_DEVICE_CAPS: Final = 0x80000000
_BUFFER_TYPES: Final = {_VIDEO_CAPTURE: 1, _VIDEO_CAPTURE_MPLANE: 9}
_BIG_ENDIAN: Final = 1 << 31
_COMPRESSED: Final = 0x0001
_DISCRETE: Final = 1

_MANY: Final = 64
"""A driver that never ends its list does not keep us."""


def _request(direction: int, number: int, size: int) -> int:
    """Number of an ioctl of V4L2; direction 2: read, 3: read and written."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


_QUERYCAP: Final = (_request(2, 0, 104), "16s32s32s3I12x")
_ENUM_FMT: Final = (_request(3, 2, 64), "3I32s2I12x")
_ENUM_FRAMESIZES: Final = (_request(3, 74, 44), "3I6I8x")
_ENUM_FRAMEINTERVALS: Final = (_request(3, 75, 52), "5I6I8x")


def describe(path: str) -> dict[str, Any]:
    """Card, driver and formats of a device.

    Returns: {"card", "driver", "bus", "capture", "formats": [{"pixel_format", "compressed", "sizes": [{"width", "height",
        "fps"}]}]}; `fps` is the highest, None if the driver does not say; a stepwise size is given as its largest.

    Raises:
        OSError: it cannot be opened, or is no V4L2 device.
    """
    device = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        driver, card, bus, _, capabilities, of_device = _ask(device, _QUERYCAP)
        if capabilities & _DEVICE_CAPS:  # else they are those of all nodes of this card together
            capabilities = of_device
        kinds = [kind for bit, kind in _BUFFER_TYPES.items() if capabilities & bit]
        return {
            "card": _text(card),
            "driver": _text(driver),
            "bus": _text(bus),
            "capture": bool(kinds),
            "formats": [one for kind in kinds for one in _formats(device, kind)],
        }
    finally:
        os.close(device)


def _formats(device: int, kind: int) -> Iterator[dict[str, Any]]:
    for _, _, flags, _, pixel_format, _ in _listed(device, _ENUM_FMT, kind):
        yield {
            "pixel_format": _name(pixel_format),
            "compressed": bool(flags & _COMPRESSED),
            "sizes": [
                {"width": width, "height": height, "fps": _fastest(device, pixel_format, width, height)}
                for width, height in _sizes(device, pixel_format)
            ],
        }


def _name(pixel_format: int) -> str:
    """A four-character code; of those with the highest bit set bytes are swapped, which v4l2-ctl, too, tells by -BE."""
    return _text(struct.pack("<I", pixel_format & ~_BIG_ENDIAN)) + "-BE" * bool(pixel_format & _BIG_ENDIAN)


def _sizes(device: int, pixel_format: int) -> Iterator[tuple[int, int]]:
    for _, _, kind, *numbers in _listed(device, _ENUM_FRAMESIZES, pixel_format):
        if kind != _DISCRETE:
            yield numbers[1], numbers[4]  # min, max, step of the width, then of the height
            return
        yield numbers[0], numbers[1]


def _fastest(device: int, pixel_format: int, width: int, height: int) -> float | None:
    rates = []
    for _, _, _, _, _, numerator, denominator, *_ in _listed(device, _ENUM_FRAMEINTERVALS, pixel_format, width, height):
        if numerator:  # of the interval, the shortest one if it is stepwise
            rates.append(round(denominator / numerator, 2))
    return max(rates, default=None)


def _listed(device: int, request: tuple[int, str], *about: int) -> Iterator[tuple[Any, ...]]:
    """What an enumerating ioctl gives, index by index."""
    for index in range(_MANY):
        try:
            yield _ask(device, request, index, *about)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):  # the end, or it has no such list
                return
            raise


def _ask(device: int, request: tuple[int, str], *given: int) -> tuple[Any, ...]:
    number, form = request
    buffer = bytearray(struct.pack(f"<{len(given)}I", *given).ljust(struct.calcsize("<" + form), b"\0"))
    fcntl.ioctl(device, number, buffer)
    return struct.unpack("<" + form, buffer)


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode(errors="replace").strip()
