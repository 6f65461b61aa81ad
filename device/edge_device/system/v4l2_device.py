"""What a V4L2 device says of itself, through ioctl: v4l-utils need not be installed.

Structures and numbers: include/uapi/linux/videodev2.h of the Linux kernel.
"""

import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge_device.system.nearest import no_control

RAW: Final = ("unicam", "rp1-cfe")
"""Drivers of a Raspberry Pi's camera connector: they give raw sensor data, which libcamera makes pictures of."""

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


# Number, size and fields of each ioctl, as videodev2.h lays its structs out; x are reserved bytes. The size is part of
# the number, so a kernel refuses a struct that it does not know.
_QUERYCAP: Final = (_request(2, 0, 104), "16s32s32s3I12x")
_QUERYCTRL: Final = (_request(3, 36, 68), "2I32s4iI8x")
_QUERYMENU: Final = (_request(3, 37, 44), "2I32s4x")
_G_CTRL: Final = (_request(3, 27, 8), "Ii")
_S_CTRL: Final = (_request(3, 28, 8), "Ii")
# A flag beside a control's number: the next one that the driver has is meant, and no number has to be guessed.
_NEXT_CONTROL: Final = 0x80000000
_DISABLED: Final = 0x0001
_READ_ONLY: Final = 0x0004
_BOOLEAN, _MENU, _BITMASK, _INTEGER_MENU = 2, 3, 8, 9
# The keys are v4l2_ctrl_type; 64-bit numbers, texts and compounds are not among them: they need another ioctl.
_SETTABLE: Final = {1: "integer", _BOOLEAN: "boolean", _MENU: "menu", _BITMASK: "bitmask", _INTEGER_MENU: "menu"}
_ENUM_FMT: Final = (_request(3, 2, 64), "3I32s2I12x")
_ENUM_FRAMESIZES: Final = (_request(3, 74, 44), "3I6I8x")
_ENUM_FRAMEINTERVALS: Final = (_request(3, 75, 52), "5I6I8x")


def describe(path: str) -> dict[str, Any]:
    """Card, driver and formats of a device.

    Returns: {"card", "driver", "bus", "capture", "controls": see `Control`, "formats": [{"pixel_format", "compressed",
        "sizes": [{"width", "height", "fps"}]}]}; `fps` is the highest, None if the driver does not say; a stepwise size
        is given as its largest.

    Raises:
        OSError: It cannot be opened, or is no V4L2 device.
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
            "controls": [vars(one) for one in _controls(device)] if kinds else [],
            "formats": [one for kind in kinds for one in _formats(device, kind)],
        }
    finally:
        os.close(device)


@dataclass(frozen=True)
class Control:
    """A setting of a camera.

    Attributes:
        name: Name that `v4l2-ctl --list-ctrls` shows: `focus_automatic_continuous`.
        id: Number of the control.
        kind: "integer", "boolean", "menu" or "bitmask".
        minimum, maximum, step, default: Limits, step and default of its value.
        value: That it has now; None if it does not say.
        menu: Names of a menu's values, by value.
    """

    name: str
    id: int
    kind: str
    minimum: int
    maximum: int
    step: int
    default: int
    value: int | None
    menu: dict[int, str]

    def __str__(self) -> str:
        entries = ", ".join(f"{value} {name}" for value, name in self.menu.items())
        return f"{self.name} ({entries or f'{self.minimum} to {self.maximum}'})"


def driver_of(path: str) -> str:
    """Name of the driver of a device; empty if it does not say."""
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return _text(_ask(device, _QUERYCAP)[0])
    except OSError:
        return ""
    finally:
        os.close(device)


def set_controls(path: str, wanted: Mapping[str, str]) -> dict[str, int]:
    """Sets controls by their names, in the order given, and reads back what they are then.

    Args:
        path: Path of the device; another program may have it open.
        wanted: Values by name: whole numbers, true or false, or a name from the control's menu.

    Raises:
        SettingsError: There is no such control, or it cannot have such a value.
        OSError: The device cannot be opened.
    """
    device = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        known = {control.name: control for control in _controls(device)}
        granted = {}
        for name, text in wanted.items():
            control = known.get(control_name(name))
            if control is None:
                raise _refused(no_control(path, name, {one: str(known[one]) for one in known}))
            value = _value(control, text)
            try:
                # Negative values in two's complement, as `_ask` packs unsigned numbers.
                _ask(device, _S_CTRL, control.id, value & 0xFFFFFFFF)
            except OSError as error:  # an exposure time while exposure is automatic, say
                raise _refused(f"{path} does not set {control.name} to {text}: {error.strerror or error}") from error
            # A driver may round to its step, or clip, without an error.
            granted[control.name] = _number(control.kind, _ask(device, _G_CTRL, control.id)[1])
        return granted
    finally:
        os.close(device)


def _refused(reason: str) -> Exception:
    from edge_core.errors import SettingsError  # its package imports NumPy, and the doctor comes without

    return SettingsError(reason)


def control_name(name: str) -> str:
    """A control's name as `v4l2-ctl` writes it."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _value(control: Control, text: str) -> int:
    by_name = {control_name(entry): value for value, entry in control.menu.items()}
    if control.kind == "boolean":
        by_name = {"true": 1, "false": 0, "on": 1, "off": 0, "yes": 1, "no": 0}
    try:
        value = by_name[control_name(text)] if control_name(text) in by_name else _whole(text)
    except ValueError:
        value = None
    if value is None or not control.minimum <= value <= control.maximum or (control.menu and value not in control.menu):
        raise _refused(f"the control {control} cannot be {text!r}")
    return value


def _whole(text: str) -> int:
    """A whole number; masks are written in hexadecimal, as `v4l2-ctl` shows them."""
    return int(text, 16) if text.lower().startswith("0x") else int(text)


def _number(kind: str, value: int) -> int:
    """A control's number as the kernel means it: that of a mask has no sign."""
    return value & 0xFFFFFFFF if kind == "bitmask" else value


def _controls(device: int) -> Iterator[Control]:
    """What can be set, in the driver's order."""
    number = 0
    for _ in range(_MANY):
        try:
            found = _ask(device, _QUERYCTRL, number | _NEXT_CONTROL)
        except OSError:  # the end, or a driver without controls
            return
        # The answer has the number of the control that came next.
        number, kind, name, minimum, maximum, step, default, flags = found
        if kind not in _SETTABLE or flags & (_DISABLED | _READ_ONLY):
            continue
        try:
            value = _number(_SETTABLE[kind], _ask(device, _G_CTRL, number)[1])
        except OSError:
            value = None
        maximum, default = (_number(_SETTABLE[kind], one) for one in (maximum, default))
        menu = dict(_menu(device, number, kind, range(minimum, maximum + 1))) if kind in (_MENU, _INTEGER_MENU) else {}
        yield Control(control_name(_text(name)), number, _SETTABLE[kind], minimum, maximum, step, default, value, menu)


def _menu(device: int, number: int, kind: int, values: range) -> Iterator[tuple[int, str]]:
    for value in values[:_MANY]:
        try:
            _, _, entry = _ask(device, _QUERYMENU, number, value)
        except OSError:  # menus may have gaps
            continue
        yield value, str(int.from_bytes(entry[:8], "little")) if kind == _INTEGER_MENU else _text(entry)


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
    # The forms have every byte of the structs: with "<" no padding is added.
    form = "<" + form
    buffer = bytearray(struct.pack(f"<{len(given)}I", *given).ljust(struct.calcsize(form), b"\0"))
    fcntl.ioctl(device, number, buffer)
    return struct.unpack(form, buffer)


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode(errors="replace").strip()
