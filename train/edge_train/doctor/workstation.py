"""The computer itself: Python, processor, memory, and the folder that keeps what a second run need not make again."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_device.doctor.findings import Finding
from edge_device.doctor.machine_facts import Host
from edge_device.system.user_folders import cache_folder

NEWEST_PYTHON: Final = (3, 13)
"""The newest that TensorFlow 2.21 has wheels for."""

NEEDED_GB: Final = 2.0
"""A training takes 0.9 GB, however many photos there are (benchmarks/experiments/peak_memory.py), beside the system and
the page cache."""

FREE_GB: Final = 5.0
"""Feature maps take 19 kB a view, four views a photo: 0.8 GB for 10,000 photos; the public sets 0.2 to 0.8 GB."""

NO_WHEEL: Final = (
    f"TensorFlow has no wheel for Python {sys.version_info[0]}.{sys.version_info[1]}; make a venv with Python 3.11 to "
    "3.13 to train, convert and benchmark (edge-run works here)"
)


def python(host: Host) -> Iterator[Finding]:
    version = sys.version_info[:2]
    what = f"Python {platform.python_version()} ({sys.executable})"
    details = {"version": platform.python_version(), "machine": platform.machine()}
    if version > NEWEST_PYTHON:
        fix = "python3.13 -m venv edge && edge/bin/pip install 'edge-mobilenet[train,convert,bench]'"
        yield Finding("python", "problem", f"{what}: {NO_WHEEL}", fix, details)
    else:
        yield Finding("python", "ok", what, details=details)


def processor(host: Host) -> Iterator[Finding]:
    cores = usable_cores()
    flags = set(host.fields("/proc/cpuinfo", ":").get("flags", "").split())
    machine = platform.machine()
    details = {"cores": cores, "machine": machine, "avx": "avx" in flags if flags else None}
    what = f"{cores} processor core{'s' * (cores != 1)}"
    if not flags or machine not in ("x86_64", "AMD64"):
        yield Finding("processor", "ok", what, details=details)
    elif "avx" not in flags:
        text = f"{what} without AVX: TensorFlow's wheels end with an illegal instruction"
        fix = "train on another computer; in a virtual machine, let it see the host's processor (qemu: -cpu host)"
        yield Finding("processor", "problem", text, fix, details)
    else:
        there = [name for name in ("avx", "avx2", "fma", "avx512f", "amx_tile") if name in flags]
        yield Finding("processor", "ok", f"{what} with {', '.join(name.upper() for name in there)}", details=details)


def memory(host: Host) -> Iterator[Finding]:
    sizes = host.fields("/proc/meminfo", ":")
    try:
        total, free = (int(sizes[name].split()[0]) * 1024 / 1e9 for name in ("MemTotal", "MemAvailable"))
    except (KeyError, ValueError, IndexError):
        return
    details = {"total_gb": round(total, 1), "available_gb": round(free, 1)}
    text = f"{free:.1f} of {total:.1f} GB of memory are free"
    if free < NEEDED_GB:
        text += f"; a training takes 0.9 GB, and is quicker with {NEEDED_GB:g} GB free"
        yield Finding("memory", "warning", text, "close what is not needed", details)
    else:
        yield Finding("memory", "ok", text, details=details)


def cache(host: Host) -> Iterator[Finding]:
    folder = cache_folder()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    fix = "export XDG_CACHE_HOME=/a/folder/with/room"
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        free = shutil.disk_usage(place).free / 1e9
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror or error}; feature maps and weights are kept there"
        yield Finding("cache", "problem", text, fix, {"folder": str(folder)})
        return
    kept = _size(folder) / 1e9
    details = {"folder": str(folder), "kept_gb": round(kept, 2), "free_gb": round(free, 1)}
    text = f"{folder} keeps {kept:.1f} GB of feature maps, weights and sets; {free:.1f} GB are free there"
    if free < FREE_GB:
        yield Finding("cache", "warning", f"{text}, where a set of 10,000 photos takes 0.8 GB", fix, details)
    else:
        yield Finding("cache", "ok", text, details=details)


def usable_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total
