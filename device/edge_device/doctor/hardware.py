"""Cameras and accelerators: whether they are seen, may be used, and are free."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_device.doctor.findings import Finding, JsonObject, Level
from edge_device.doctor.machine_facts import Host
from edge_device.doctor.probe import Probed
from edge_device.doctor.software import RUNTIMES
from edge_device.system.board import read_board
from edge_device.system.packages import LIBEDGETPU, installed, is_other_numpy, older_numpy
from edge_device.system.v4l2_device import RAW

CODECS: Final = ("bcm2835-isp", "bcm2835-codec", "bcm2835-codec-decode", "pispbe", "rpi-hevc-dec", "rpivid")
"""Drivers of a Raspberry Pi that are no cameras though they give pictures."""

CORAL_USB: Final = {("1a6e", "089a"): "before its first use", ("18d1", "9302"): "in use"}
"""Vendor and product of a Coral USB Accelerator, before and after its firmware is loaded: coral.ai/docs."""

GASKET: Final = "sudo apt install gasket-dkms && sudo modprobe apex"
GASKET_ENDS: Final = (6, 4)
"""Kernel from which on Google's gasket-dkms does not compile: `class_create` lost an argument (google/gasket-driver
issue 12)."""
NEWER_GASKET: Final = (
    "take gasket-dkms for newer kernels from github.com/feranick/gasket-driver/releases, then: "
    "sudo apt install ./gasket-dkms_*.deb && sudo modprobe apex"
)

CORAL_PCI: Final = ("0x1ac1", "0x089a")
HIGH_SPEED: Final = 480
"""Megabits a second of USB 2."""

FORMATS: Final = 6
"""Pixel formats of a camera that are told in words: webcams have two or three, kernel doubles fifty. JSON has all."""


def cameras(host: Host) -> Iterator[Finding]:
    nodes = sorted(host.path("/dev").glob("video*"), key=lambda node: int("0" + re.sub(r"\D", "", node.name)))
    closed = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        text = f"this user may not use {', '.join(map(str, closed))}"
        fix = "sudo usermod -aG video $USER, then log in again"
        yield Finding("video-group", "problem", text, fix, {"devices": [str(node) for node in closed]})
    outcomes = {node: host.probe("camera", str(node)) for node in nodes if node not in closed}
    found = [finding for node, outcome in outcomes.items() if (finding := _camera(node, outcome))]
    yield from found
    # The node of a sensor on the ribbon connector: it gives no pictures by itself, but tells that a camera is there.
    raw = any(not outcome.error and outcome["driver"] in RAW for outcome in outcomes.values())
    yield from _picamera2(host, raw)
    # A node that may not be used is a finding of its own, and may well be the camera.
    if not (found or raw or closed):
        yield Finding("camera", "warning", "no camera is attached", "plug one in; see: lsusb; sudo dmesg | tail")


def _camera(node: Path, outcome: Probed) -> Finding | None:
    """What a video node is by the answer of its driver; None if it is no camera that gives pictures."""
    if outcome.error:
        text = f"{node} does not answer: {outcome.error}"
        return Finding("camera", "problem", text, "plug it in again; see: sudo dmesg | tail", {"device": str(node)})
    if not (outcome["capture"] and outcome["formats"]) or outcome["driver"] in (*RAW, *CODECS):
        return None
    details = {"device": str(node), **(outcome.value or {})}
    what = f"{node}: {outcome['card']} ({outcome['driver']}), {formats_in_words(outcome['formats'])}"
    if outcome["controls"]:
        what += f"; for --control: {', '.join(one['name'] for one in outcome['controls'])}"
    return Finding("camera", "ok", what, details=details)


def formats_in_words(formats: list[JsonObject]) -> str:
    """Pixel formats with their largest size, "MJPG up to 1920x1080 at 30/s"."""
    parts = []
    for one in formats[:FORMATS]:
        largest = max(one["sizes"], key=lambda size: size["width"] * size["height"], default=None)
        part = str(one["pixel_format"])
        if largest:
            part += f" up to {largest['width']}x{largest['height']}"
            part += f" at {largest['fps']:.0f}/s" if largest["fps"] else ""
        parts.append(part)
    more = len(formats) - FORMATS
    return ", ".join([*parts, f"and {more} others"] if more > 0 else parts)


def _picamera2(host: Host, attached: bool) -> Iterator[Finding]:
    """The Raspberry Pi's own cameras, which need picamera2 and libcamera, which only apt has."""
    if not (attached or read_board(host.root).is_raspberry_pi):
        return
    outcome = host.probe("picamera2")
    if outcome.error:
        yield _no_picamera2(host, attached, outcome)
    else:
        seen = [one["model"] for one in outcome["cameras"]]
        text = f"picamera2 sees {', '.join(seen) or 'no camera'}"
        for one in outcome["cameras"]:
            text += f"; {one['model']} has for --control: {', '.join(one['controls'])}" if one["controls"] else ""
        yield Finding(
            "picamera2",
            "ok",
            text,
            details={"cameras": seen, "controls": {one["model"]: one["controls"] for one in outcome["cameras"]}},
        )


def _no_picamera2(host: Host, attached: bool, outcome: Probed) -> Finding:
    """Why picamera2 cannot be imported; no problem where no camera waits for it."""
    error = outcome.error
    packaged = host.path("/usr/lib/python3/dist-packages/picamera2").is_dir()
    details: JsonObject = {"error": error, "kind": outcome.kind, "packaged": packaged}
    configuration = Path(sys.prefix) / "pyvenv.cfg"
    # In a venv the two prefixes differ (PEP 405); whether it sees the system's packages is a line of its pyvenv.cfg.
    alone = sys.prefix != sys.base_prefix and "include-system-site-packages = true" not in host.text(configuration)
    level: Level = "problem" if attached else "ok"
    if not packaged:
        fix = "sudo apt install python3-picamera2"
        text = "the camera at the board's connector needs picamera2, which apt has and pip has not"
        if not attached:
            text, fix = "picamera2 is not installed, and no camera is at the board's connector", ""
    elif alone:
        text = "picamera2 is installed, but this venv does not see the system's packages"
        change = "s/^include-system-site-packages.*/include-system-site-packages = true/"
        fix = f"sed -i '{change}' {shlex.quote(str(configuration))}"
        fix = fix if attached else ""
    elif is_other_numpy(error):
        # Told without a camera, too: it would be looked for at the camera once that is plugged in.
        level = "problem" if attached else "warning"
        text, fix = (
            f"picamera2 was compiled for NumPy 1, and this Python has {installed('numpy')}: {error}",
            older_numpy(),
        )
    else:
        text, fix = f"picamera2 does not load: {error}", "sudo apt install --reinstall python3-picamera2"
    return Finding("picamera2", level, text, fix, details)


def in_use(host: Host) -> Iterator[Finding]:
    """Other processes that hold a camera or an Edge TPU."""
    for process in sorted(host.path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        if process.name == str(os.getpid()):
            continue
        held = set()
        try:
            for descriptor in (process / "fd").iterdir():
                held |= {*re.findall(r"^/dev/(?:video|apex_)\d+$", os.readlink(descriptor))}
        except OSError:
            continue  # ended meanwhile, or another user's
        if held:
            name, devices = host.text(process / "comm"), sorted(held)
            text = f"{name} (process {process.name}) holds {', '.join(devices)}"
            details = {"process": int(process.name), "name": name, "devices": devices}
            yield Finding("in-use", "warning", text, f"if it should not: kill {process.name}", details)


def coral(host: Host) -> Iterator[Finding]:
    usb = [
        device
        for device in sorted(host.path("/sys/bus/usb/devices").glob("*"))
        if (host.text(device / "idVendor"), host.text(device / "idProduct")) in CORAL_USB
    ]
    pci = [
        device
        for device in sorted(host.path("/sys/bus/pci/devices").glob("*"))
        if (host.text(device / "vendor"), host.text(device / "device")) == CORAL_PCI
    ]
    for device in usb:
        yield from _usb(host, device)
    if pci:
        yield from _pci(host, len(pci))
    yield from _libedgetpu(host, bool(usb or pci))


def _usb(host: Host, device: Path) -> Iterator[Finding]:
    # Bus and device number name the node, each in three digits. "0" stands for a file that cannot be read.
    numbers = [int("0" + host.text(device / name)) for name in ("busnum", "devnum")]
    node = host.path(f"/dev/bus/usb/{numbers[0]:03}/{numbers[1]:03}")
    megabits = host.text(device / "speed")
    speed = int(megabits) if megabits.isascii() and megabits.isdigit() else None
    details = {"node": str(node), "speed_mbit": speed}
    if not os.access(node, os.R_OK | os.W_OK):
        text = f"a Coral is on USB, but {node} may not be used"
        fix = (
            """echo 'SUBSYSTEM=="usb", ATTRS{idVendor}=="1a6e|18d1", GROUP="plugdev", MODE="0664"' | """
            "sudo tee /etc/udev/rules.d/60-edgetpu.rules && sudo usermod -aG plugdev $USER && "
            "sudo udevadm control --reload && sudo udevadm trigger, then log in again"
        )
        yield Finding("coral-usb", "problem", text, fix, details)
    elif speed is not None and speed <= HIGH_SPEED:
        text = "a Coral is on USB 2, which is the slower part of an inference"
        yield Finding("coral-usb", "warning", text, "plug it into a blue port (USB 3)", details)
    else:
        yield Finding("coral-usb", "ok", f"a Coral is on USB, {speed or 'unknown'} Mbit/s", details=details)


def _pci(host: Host, count: int) -> Iterator[Finding]:
    nodes = sorted(host.path("/dev").glob("apex_*"))
    closed = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    details = {"devices": [str(node) for node in nodes], "page_size": os.sysconf("SC_PAGE_SIZE")}
    # A Raspberry Pi 5 boots a kernel with pages of 16 KiB, for which the gasket driver was not written.
    if not nodes and os.sysconf("SC_PAGE_SIZE") > 4096:
        text = f"{count} Coral on PCIe, whose driver needs a kernel with pages of 4 KiB"
        fix = "echo kernel=kernel8.img | sudo tee -a /boot/firmware/config.txt && sudo reboot"
        yield Finding("coral-pci", "problem", text, fix, details)
    elif not nodes:
        text = f"{count} Coral on PCIe, but there is no /dev/apex_0: its driver is not loaded"
        yield Finding("coral-pci", "problem", text, _gasket(host), details)
    elif closed:
        fix = (
            """echo 'SUBSYSTEM=="apex", MODE="0660", GROUP="apex"' | sudo tee /etc/udev/rules.d/65-apex.rules && """
            "sudo groupadd -f apex && sudo usermod -aG apex $USER && sudo udevadm control --reload && "
            "sudo udevadm trigger, then log in again"
        )
        yield Finding("coral-pci", "problem", f"{', '.join(map(str, closed))} may not be used", fix, details)
    else:
        yield Finding("coral-pci", "ok", f"a Coral is on PCIe: {', '.join(map(str, nodes))}", details=details)


def _gasket(host: Host) -> str:
    """What brings the driver of a Coral on PCIe, for the kernel that runs."""
    release = re.match(r"(\d+)\.(\d+)", host.text("/proc/sys/kernel/osrelease"))
    return NEWER_GASKET if release and (int(release[1]), int(release[2])) >= GASKET_ENDS else GASKET


def _libedgetpu(host: Host, attached: bool) -> Iterator[Finding]:
    library = os.environ.get("EDGETPU_LIBRARY") or "libedgetpu.so.1"
    outcome = host.probe("edgetpu", library)
    details = {"library": library, "version": outcome["version"], "error": outcome.error, "kind": outcome.kind}
    if outcome.error and "cannot open shared object file" in outcome.error:
        if attached:
            yield Finding(
                "libedgetpu", "problem", f"a Coral is attached, but {library} is not there", LIBEDGETPU, details
            )
        return
    if outcome.error or not outcome["delegate"]:
        text = f"{library} does not load: {outcome.error or 'it is no libedgetpu'}"
        yield Finding("libedgetpu", "problem" if attached else "warning", text, LIBEDGETPU, details)
        return
    yield Finding("libedgetpu", "ok", f"{library}: {outcome['version']}", details=details)
    if attached:
        yield from _delegates(host, library)


def _delegates(host: Host, library: str) -> Iterator[Finding]:
    """Whether each runtime opens the Coral: libedgetpu fits only the TFLite that it was built for."""
    for name, module in RUNTIMES.items():
        if installed(name):
            opened = host.probe("delegate", module, library)
            if opened.error:
                text = f"{name} {installed(name)} does not open the Coral through {library}: {opened.error}"
                yield Finding("coral-delegate", "problem", text, LIBEDGETPU, {"runtime": name, "kind": opened.kind})
            else:
                text = f"{name} {installed(name)} opens the Coral"
                yield Finding("coral-delegate", "ok", text, details={"runtime": name})
