"""Which Edge TPU, which library, and what to say when either is not there."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_core.errors import AcceleratorError, SettingsError
from edge_device.system.packages import LIBEDGETPU

LIBRARY: Final = "libedgetpu.so.1"
LIBRARY_VARIABLE: Final = "EDGETPU_LIBRARY"

USB_IDS: Final = ("1a6e:089a", "18d1:9302")
"""Of a USB Accelerator before libedgetpu has loaded its firmware, and after."""

_DEVICE: Final = re.compile(r"coral(?::(usb|pci)(?::([0-9]{1,2}))?)?")


@dataclass(frozen=True)
class Coral:
    """An Edge TPU.

    Attributes:
        port: Value of libedgetpu's option `device`: `usb`, `pci`, `usb:0`, or empty for the first of all.
    """

    port: str = ""

    def __str__(self) -> str:
        return f"coral {self.port}".rstrip()

    @property
    def options(self) -> dict[str, str]:
        """For libedgetpu's delegate, see edgetpu_c.h and `tflite_plugin_create_delegate`."""
        return {"device": self.port} if self.port else {}

    def places(self, found: Iterable[str]) -> frozenset[str]:
        """Which accelerators it may stand for, as `usb:0`: several names are one where they have a place in common.

        Args:
            found: What `attached` tells. `coral` is the first of all, so of either bus unless there is but one.
        """
        bus, _, number = self.port.partition(":")
        if bus:
            return frozenset({f"{bus}:{number or 0}"})
        buses = {"pci" if one.startswith("/dev/") else "usb" for one in found} or {"pci", "usb"}
        return frozenset(f"{one}:0" for one in buses)


def parse_device(text: str) -> Coral | None:
    """The Edge TPU that `--device` names, None for `cpu`.

    Raises:
        SettingsError: Neither `cpu` nor `coral`, `coral:usb`, `coral:pci`, `coral:usb:N`, `coral:pci:N`.
    """
    if text == "cpu":
        return None
    match = _DEVICE.fullmatch(text)
    if match is None:
        raise SettingsError(
            f"no device is called {text!r}; there are cpu, coral, coral:usb, coral:pci, and with a number, from 0 on, "
            "coral:usb:0 or coral:pci:0"
        )
    bus, number = match.groups()
    return Coral(f"{bus}:{int(number)}" if number else bus or "")


def library() -> str:
    """The file name of libedgetpu: what EDGETPU_LIBRARY says, or the one that Coral's packages install."""
    return os.environ.get(LIBRARY_VARIABLE) or LIBRARY


def load(tflite: Any, coral: Coral) -> Any:
    """libedgetpu's delegate, for an interpreter of the module `tflite`. May end the process.

    Raises:
        AcceleratorError: There is no library, or no accelerator that it can open.
    """
    try:
        return tflite.load_delegate(library(), coral.options)
    except OSError as error:
        raise AcceleratorError(
            f"{library()} cannot be loaded ({error}); {LIBEDGETPU}; {LIBRARY_VARIABLE} names another file"
        ) from error
    except (ValueError, AttributeError) as error:  # libedgetpu gives no reason; no library of that kind at all
        reason = " ".join(str(error).split())
        raise AcceleratorError(f"{coral} cannot be opened ({reason}): {_advice(attached())}") from error


def attached(root: Path = Path("/")) -> tuple[str, ...]:
    """Accelerators that the kernel sees: USB identifiers, and device files of those on PCIe."""
    found = [f"/dev/{path.name}" for path in sorted((root / "dev").glob("apex_*"))]
    for device in sorted((root / "sys/bus/usb/devices").glob("*")):
        try:
            identifier = ":".join((device / name).read_text().strip() for name in ("idVendor", "idProduct"))
        except OSError:  # an interface, or pulled out meanwhile
            continue
        if identifier in USB_IDS:
            found.append(identifier)
    return tuple(found)


def _advice(found: Iterable[str]) -> str:
    if seen := ", ".join(found):
        return (
            f"{seen} is there, so another process has it or this user may not open it: sudo usermod -aG plugdev $USER "
            "(PCIe: the group apex), log in again; the udev rules come with libedgetpu1-std"
        )
    return (
        f"lsusb shows neither {USB_IDS[0]} nor {USB_IDS[1]} and there is no /dev/apex_0; plug it in, a USB 3 port and "
        "its own cable are best; what one on PCIe lacks is told by: edge-run doctor"
    )
