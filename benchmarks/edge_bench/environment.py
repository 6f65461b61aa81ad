"""What this machine is, as far as it tells."""

import os
import platform
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from edge_bench.report import Environment

PACKAGES: Final = (
    "edge-mobilenet",
    "ai-edge-litert",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "tensorflow",
    "tf-keras",
    "tflite-runtime",
)


def read_environment(threads: int, frame_size: tuple[int, int], seconds: float) -> Environment:
    """Describes this machine and what it is asked to do."""
    return Environment(
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
        machine=_machine(),
        cores=len(os.sched_getaffinity(0)),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        load=os.getloadavg()[0],
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        packages=dict(_versions()),
        threads=threads,
        frame_size=frame_size,
        seconds=seconds,
    )


def _machine() -> str:
    """`Raspberry Pi 5 Model B Rev 1.0` from the device tree, or the first CPU's model name."""
    board = _read("/proc/device-tree/model")
    names = [line.split(":", 1)[1] for line in (_read("/proc/cpuinfo") or "").splitlines() if "model name" in line]
    return " ".join((board or next(iter(names), platform.machine())).split())


def _versions() -> list[tuple[str, str]]:
    installed = {name: list(metadata.distributions(name=name)) for name in PACKAGES}
    return [(name, found[0].version) for name, found in installed.items() if found]


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8", "replace").strip("\0 \n") or None
    except OSError:
        return None
