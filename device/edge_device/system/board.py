"""What the board says of itself: its model, how warm it is, what holds its processor back.

Standard library only, as all that `edge_device.doctor` imports: that one must run where nothing else does.
"""

import os
import platform
import re
import struct
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path("/")

THROTTLE_FLAGS: Final = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
"""Bits 0 to 3 of a Raspberry Pi's `get_throttled`: now; bits 16 to 19: since it was booted.

https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
"""

_BEFORE: Final = 16

_VCGENCMD_EVERY_S: Final = 60.0
"""A process for three words: where the kernel has no file for them, they are asked for so seldom."""


@dataclass(frozen=True)
class Board:
    """Which board this is.

    Attributes:
        model: Name that the firmware gives the board ("Raspberry Pi 4 Model B Rev 1.4"); "unknown board" if it does
            not say.
        machine: Architecture of the kernel, "aarch64" or "x86_64", say.
        bits: Word size of this Python, 32 or 64; a 64-bit kernel may well run a 32-bit system.
    """

    model: str
    machine: str
    bits: int

    @property
    def is_raspberry_pi(self) -> bool:
        return self.model.startswith("Raspberry Pi")


@dataclass(frozen=True)
class Readings:
    """What the board feels now; None or empty where it cannot be read.

    Attributes:
        temperature_c: Temperature of the processor; of its hottest part if it has several sensors.
        throttled: What holds the processor back now, words of `THROTTLE_FLAGS`.
        throttled_before: What did at some time since the board was booted.
        clock_mhz: Clock rate of the fastest core.
        governor: That sets the clock, "ondemand", say.
        memory_mb: Resident memory of this process.
    """

    temperature_c: float | None = None
    throttled: tuple[str, ...] = ()
    throttled_before: tuple[str, ...] = ()
    clock_mhz: float | None = None
    governor: str = ""
    memory_mb: float = 0.0


def read_board(root: Path = ROOT) -> Board:
    """Which board this is, from the device tree, or from DMI on a PC."""
    model = _text(root / "proc/device-tree/model")
    if not model:
        names = [_text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
        model = " ".join(name for name in names if name)
    return Board(model or "unknown board", platform.machine(), 8 * struct.calcsize("P"))


def decode_throttled(value: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What `get_throttled` tells: what holds the processor back now, and what did since it was booted."""
    now = tuple(flag for bit, flag in enumerate(THROTTLE_FLAGS) if value >> bit & 1)
    return now, tuple(flag for bit, flag in enumerate(THROTTLE_FLAGS, _BEFORE) if value >> bit & 1)


def ask_vcgencmd() -> int | None:
    """What `vcgencmd get_throttled` prints; None where there is no such command, or it does not answer."""
    command = ["vcgencmd", "get_throttled"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=1, check=False).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return read_throttled(answer)


def read_throttled(answer: str) -> int | None:
    """The number in what `vcgencmd get_throttled` prints; None if it is something else."""
    found = re.fullmatch(r"throttled=0x([0-9a-f]{1,8})", answer.strip())
    return int(found[1], 16) if found else None


class Sensors:
    """The sensors of a board, found once; reading them opens a handful of small files and never raises."""

    def __init__(self, root: Path = ROOT, vcgencmd: Callable[[], int | None] = ask_vcgencmd) -> None:
        """Looks for sensors.

        Args:
            root: Root folder of the file system.
            vcgencmd: Command that is run, once a minute at most, on a Raspberry Pi whose kernel does not tell by
                itself.
        """
        self._temperatures = _processor_sensors(root)
        # Of the firmware's driver, where the kernel has it: no process is needed then.
        self._throttled = sorted(root.glob("sys/devices/platform/soc*/soc*:firmware/get_throttled"))[:1]
        self._vcgencmd = vcgencmd if not self._throttled and read_board(root).is_raspberry_pi else None
        self._answer: int | None = None
        self._asked = -_VCGENCMD_EVERY_S
        self._clocks = sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq"))
        self._statm = root / "proc/self/statm"
        self._page_mb = os.sysconf("SC_PAGE_SIZE") / 1e6

    def read(self) -> Readings:
        """What they say now."""
        temperatures = [number / 1000 for number in _numbers(self._temperatures)]
        clocks = _numbers(self._clocks)
        pages = _text(self._statm).split()
        now, before = decode_throttled(self.throttle_bits() or 0)
        return Readings(
            # What lies outside of these limits is no processor's temperature.
            temperature_c=max((one for one in temperatures if -40 < one < 150), default=None),
            throttled=now,
            throttled_before=before,
            clock_mhz=max(clocks) / 1000 if clocks else None,
            governor=_text(self._clocks[0].with_name("scaling_governor")) if self._clocks else "",
            # The second number of statm is the resident pages (proc(5)).
            memory_mb=int(pages[1]) * self._page_mb if len(pages) > 1 and pages[1].isdigit() else 0.0,
        )

    def throttle_bits(self) -> int | None:
        """What `decode_throttled` takes; None where the board does not tell."""
        for path in self._throttled:
            try:
                return int(_text(path), 16)
            except ValueError:
                return None
        if self._vcgencmd and time.monotonic() - self._asked >= _VCGENCMD_EVERY_S:
            self._asked = time.monotonic()
            self._answer = self._vcgencmd()
        return self._answer


def _processor_sensors(root: Path) -> list[Path]:
    """The files, in thousandths of a degree, that tell how warm the processor is.

    A thermal zone says by its type what it measures: "cpu-thermal" (Raspberry Pi), "x86_pkg_temp" (Intel),
    "soc_thermal" or several "...cpu..." (other Arm boards). AMD has none, only a hwmon chip. "acpitz" is somewhere on
    the board, and on many PCs a constant, so it is not taken.
    """
    zones = {zone: _text(zone.with_name("type")).lower() for zone in root.glob("sys/class/thermal/thermal_zone*/temp")}
    for wanted in ("cpu", "x86_pkg_temp", "soc"):
        found = sorted(zone for zone, kind in zones.items() if wanted in kind)
        if found:
            return found
    chips = sorted(root.glob("sys/class/hwmon/hwmon*/temp1_input"))
    return [chip for chip in chips if _text(chip.with_name("name")) in ("k10temp", "coretemp", "cpu_thermal")]


def _numbers(paths: Iterable[Path]) -> list[int]:
    """The numbers in files; those that cannot be read are left out."""
    texts = [_text(path) for path in paths]
    return [int(text) for text in texts if re.fullmatch(r"-?\d{1,12}", text, re.ASCII)]


def _text(path: Path) -> str:
    """What a file of /proc or /sys says, in one line; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4096).rstrip(b"\0\n ").decode(errors="replace")
    except (OSError, ValueError):
        return ""
