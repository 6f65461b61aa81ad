"""What this machine is, as far as it tells."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Final

PACKAGES: Final = (
    "ai-edge-litert",
    "edge-mobilenet",
    "mediapipe",
    "numpy",
    "onnxruntime",
    "opencv-python",
    "opencv-python-headless",
    "tensorflow",
    "tf-keras",
    "tflite-runtime",
    "tf2onnx",
)


@dataclass(frozen=True)
class Environment:
    """Where it was measured.

    Attributes:
        date: When it began, ISO 8601 with the time zone.
        machine: Board or CPU model.
        cores: That this process may use.
        governor: Name of the CPU's frequency governor; None where the system does not tell.
        load: Average number of busy processes in the minute before; more than a few tenths spoils the latencies.
        system, distribution, python: Name and version.
        packages: Versions of those that matter here.
        power: Where the joules are from, in words; None for nowhere.
    """

    date: str
    machine: str
    cores: int
    governor: str | None
    load: float
    system: str
    distribution: str
    python: str
    packages: Mapping[str, str]
    power: str | None

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """Milliseconds compare where this is the same."""
        return self.machine, self.cores, self.governor


def read_environment(power: str | None) -> Environment:
    """Describes this machine; `power` is where its power is measured."""
    return Environment(
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
        machine=_machine(),
        cores=len(os.sched_getaffinity(0)),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        load=os.getloadavg()[0],
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        distribution=_distribution(),
        python=platform.python_version(),
        packages=dict(_versions()),
        power=power,
    )


def _machine() -> str:
    """`Raspberry Pi 5 Model B Rev 1.0` from the device tree, or the first CPU's model name."""
    board = _read("/proc/device-tree/model")
    names = [line.split(":", 1)[1] for line in (_read("/proc/cpuinfo") or "").splitlines() if "model name" in line]
    return " ".join((board or next(iter(names), platform.machine())).split())


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "unknown"


def _versions() -> list[tuple[str, str]]:
    installed = {name: list(metadata.distributions(name=name)) for name in PACKAGES}
    return [(name, found[0].version) for name, found in installed.items() if found]


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8", "replace").strip("\0 \n") or None
    except OSError:
        return None
