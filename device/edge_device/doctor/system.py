"""The board and its system: supply, heat, space, memory, clock, journal."""

import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from edge_device.doctor.findings import Finding, Level
from edge_device.doctor.machine_facts import Host
from edge_device.system.board import Sensors, decode_throttled, read_board

MADE: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Before this version was made: a clock that says less is wrong."""

SUPPORT_ENDS: Final = {"11": "2026-08-31", "12": "2028-06-30", "13": "2030-06-30"}
"""Of the releases of Debian, long-term support included, which Raspberry Pi OS follows: wiki.debian.org/LTS."""

WARM_C: Final = 70.0
HOT_C: Final = 80.0
"""At which a Raspberry Pi begins to slow down; raspberrypi.com/documentation, "Frequency management"."""

SPACE_MB: Final = (100, 1000)
"""Free, below which it is a problem, or will be one."""

MEMORY_MB: Final = (100, 200)
"""Available: `edge-run live` takes up to 150."""

SMALL_MB: Final = 600
"""A Zero 2 W or a 3 A+ has 512 MB."""

RASPBERRY_PI_OS_64: Final = "write Raspberry Pi OS (64-bit) to the card with Raspberry Pi Imager"


def board(host: Host) -> Iterator[Finding]:
    found = read_board(host.root)
    processor = host.fields("/proc/cpuinfo", ":")
    features = processor.get("Features", "").split()
    what = f"{found.model}, {found.machine}, {os.cpu_count()} cores"
    details = {"model": found.model, "machine": found.machine, "bits": found.bits, "dot_product": "asimddp" in features}
    if found.machine.startswith("armv6"):
        fix = "take a Raspberry Pi 3 or newer, or a Zero 2 W"
        yield Finding("board", "problem", f"{what}: nobody makes wheels for ARMv6", fix, details)
    # Of this Python, not of the kernel: Raspberry Pi OS (32-bit) runs a 64-bit kernel on newer boards.
    elif found.bits == 32:
        text = f"{what}, with a 32-bit system: OpenCV and ai-edge-litert have no wheels for it"
        yield Finding("board", "problem", text, RASPBERRY_PI_OS_64, details)
    else:
        yield Finding("board", "ok", what, details=details)


def system(host: Host) -> Iterator[Finding]:
    fields = host.fields("/etc/os-release", "=")
    name, release = fields.get("PRETTY_NAME", "unknown system"), fields.get("VERSION_ID", "")
    # Raspberry Pi OS says it is Debian in os-release; its own date is in rpi-issue.
    image = re.search(r"\d{4}-\d{2}-\d{2}", host.text("/etc/rpi-issue"))
    what = f"Raspberry Pi OS of {image[0]}, on {name}" if image else name
    ends = SUPPORT_ENDS.get(release) if fields.get("ID") in ("debian", "raspbian") else None
    details = {"name": name, "release": release, "image": image[0] if image else None, "support_ends": ends}
    if ends and datetime.now(UTC).date().isoformat() > ends:
        text = f"{what}, which gets no security updates since {ends}"
        yield Finding("system", "warning", text, RASPBERRY_PI_OS_64 if image else "install a newer release", details)
    else:
        yield Finding("system", "ok", what, details=details)


def python(host: Host) -> Iterator[Finding]:
    library, release = platform.libc_ver()
    what = f"Python {platform.python_version()} ({sys.executable}), {library or 'no glibc'} {release}".rstrip()
    details = {"version": platform.python_version(), "libc": library, "libc_version": release}
    if library != "glibc":
        text = f"{what}: ai-edge-litert has wheels for glibc only"
        yield Finding("python", "problem", text, "use Debian, Raspberry Pi OS or Ubuntu", details)
    elif not (3, 11) <= sys.version_info < (3, 15):
        text = f"{what}: ai-edge-litert has wheels for Python 3.11 to 3.14"
        yield Finding("python", "warning", text, "python3.13 -m venv edge, and install into it", details)
    else:
        yield Finding("python", "ok", what, details=details)


def supply(host: Host) -> Iterator[Finding]:
    """Under-voltage and throttling, of a Raspberry Pi."""
    if not read_board(host.root).is_raspberry_pi:
        return
    bits = Sensors(host.root, host.vcgencmd).throttle_bits()
    if bits is None:
        text = "the board does not tell whether its supply is good and its processor held back"
        yield Finding("throttling", "warning", text, "sudo usermod -aG video $USER, then log in again")
        return
    now, before = decode_throttled(bits)
    details = {"now": list(now), "before": list(before)}
    adequate = "use the power supply made for this board, with its own cable; unplug what draws from USB"
    cool = "give it a heat sink or a fan, or less to do: edge-run live --max-fps 5"
    if now:
        text = f"{', '.join(now)}, now: the processor runs slower than it could"
        yield Finding("throttling", "problem", text, adequate if "under-voltage" in now else cool, details)
    elif before:
        text = f"{', '.join(before)}, at some time since the board was booted"
        yield Finding("throttling", "warning", text, adequate if "under-voltage" in before else cool, details)
    else:
        yield Finding("throttling", "ok", "nothing has held the processor back since it was booted", details=details)


def temperature(host: Host) -> Iterator[Finding]:
    readings = Sensors(host.root, lambda: None).read()
    if readings.temperature_c is None:
        return
    what = f"the processor has {readings.temperature_c:.0f} °C"
    if readings.clock_mhz:
        what += f" at {readings.clock_mhz:.0f} MHz" + (f" ({readings.governor})" if readings.governor else "")
    details = {"temperature_c": readings.temperature_c, "clock_mhz": readings.clock_mhz, "governor": readings.governor}
    cool = "give it a heat sink or a fan, or less to do: edge-run live --max-fps 5"
    if readings.temperature_c >= HOT_C:
        yield Finding("temperature", "problem", f"{what}, and slows down from {HOT_C:.0f} °C on", cool, details)
    elif readings.temperature_c >= WARM_C:
        yield Finding("temperature", "warning", f"{what}; from {HOT_C:.0f} °C on it slows down", cool, details)
    else:
        yield Finding("temperature", "ok", what, details=details)


def disk(host: Host) -> Iterator[Finding]:
    free_mb = shutil.disk_usage(host.root).free / 1e6
    what, details = f"{free_mb / 1000:.1f} GB are free on {host.root}", {"free_mb": round(free_mb)}
    clean = "sudo apt clean && sudo journalctl --vacuum-size=50M"
    if free_mb < SPACE_MB[0]:
        yield Finding("disk", "problem", what, clean, details)
    elif free_mb < SPACE_MB[1]:
        yield Finding("disk", "warning", f"{what}: logs and snapshots will fill it", clean, details)
    else:
        yield Finding("disk", "ok", what, details=details)


def memory(host: Host) -> Iterator[Finding]:
    # What the kernel calls kB are kibibytes.
    sizes = {
        name: int(value.split()[0]) * 1024 / 1e6 for name, value in host.fields("/proc/meminfo", ":").items() if value
    }
    if "MemAvailable" not in sizes:
        return
    available, total, swap = sizes["MemAvailable"], sizes["MemTotal"], sizes.get("SwapTotal", 0.0)
    devices = [line.split()[0] for line in host.text("/proc/swaps").splitlines()[1:] if line.split()]
    zram = any("zram" in device for device in devices)
    what = f"{available:.0f} of {total:.0f} MB are available, "
    what += f"{swap:.0f} MB of swap{' in zram' if zram else ''}" if swap else "no swap"
    details = {"available_mb": round(available), "total_mb": round(total), "swap_mb": round(swap), "zram": zram}
    if available < MEMORY_MB[1]:
        level: Level = "problem" if available < MEMORY_MB[0] else "warning"
        fix = "see what takes it: ps aux --sort=-rss | head"
        yield Finding("memory", level, f"{what}; edge-run live takes up to 150 MB", fix, details)
    elif total < SMALL_MB and not swap:
        text = f"{what}; on so small a board swap in zram helps"
        yield Finding("memory", "warning", text, "sudo apt install zram-tools", details)
    else:
        yield Finding("memory", "ok", what, details=details)


def clock(host: Host) -> Iterator[Finding]:
    now = datetime.fromtimestamp(time.time(), UTC)
    answer = host.output("timedatectl", "show", "--property=NTPSynchronized", "--value")
    synchronized = {"yes": True, "no": False}.get(answer or "")
    if synchronized is None and host.path("/run/systemd/timesync/synchronized").exists():
        synchronized = True
    details = {"time": now.isoformat(timespec="seconds"), "synchronised": synchronized}
    what = f"the clock says {now:%Y-%m-%d %H:%M} UTC"
    fix = "sudo timedatectl set-ntp true"
    if now < MADE:
        text = f"{what}: certificates are refused, events have wrong times"
        yield Finding("clock", "problem", text, f"{fix}, or: sudo date -s '2026-01-31 12:00'", details)
    elif synchronized is False:
        yield Finding("clock", "warning", f"{what}, and is not synchronized with a time server", fix, details)
    else:
        yield Finding("clock", "ok", what + (", synchronized" if synchronized else ""), details=details)


def journal(host: Host) -> Iterator[Finding]:
    if not host.path("/run/systemd/system").exists():
        return
    if any(host.path("/var/log/journal").glob("*/system.journal")):
        yield Finding("journal", "ok", "the journal outlives a reboot", details={"persistent": True})
    else:
        text = "the journal is gone after a reboot, and with it why a service ended"
        # Raspberry Pi OS says volatile in a file that begins with 40.
        fix = (
            "sudo mkdir -p /etc/systemd/journald.conf.d && "
            r"printf '[Journal]\nStorage=persistent\nSystemMaxUse=50M\n' | "
            "sudo tee /etc/systemd/journald.conf.d/50-persistent.conf && sudo systemctl restart systemd-journald"
        )
        yield Finding("journal", "warning", text, fix, {"persistent": False})
