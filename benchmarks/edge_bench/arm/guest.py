"""The emulated Raspberry Pi as this project's checks and counts have it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_bench.arm.debian import root_folder
from edge_bench.arm.programs import cache_folder
from edge_bench.arm.wheels import site_folder

SUITES: Final = {"3.11": "bookworm", "3.13": "trixie"}
"""Releases of Debian, and so of Raspberry Pi OS, by their Python."""

KERNEL_SUITE: Final = "bookworm"
"""Its vivid takes pictures on an output node; later ones want their nodes connected first."""

PACKAGES: Final = (
    "busybox-static",
    "coreutils",
    "dash",
    "libgl1",
    "libglib2.0-0",  # OpenCV's, as libgl1; every Raspberry Pi OS has it
    "libstdc++6",
    "openssh-server",
    "python3",
    "python3-venv",
)


@dataclass(frozen=True)
class Files:
    """Folders of a Python on arm64: its system, the product's requirements, and what was compiled of both."""

    root: Path
    site: Path
    pycache: Path


def files(python: str, more: tuple[Path, ...] = ()) -> Files:
    """Downloads what is not in the cache yet.

    Args:
        python: A key of `SUITES`.
        more: Further packages for `edge_bench.arm.wheels.site_folder`.

    Raises:
        RuntimeMissingError: A program for it is not installed.
        HostError: It cannot be downloaded.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    root = root_folder(SUITES[python], PACKAGES, cache)
    site = site_folder(python, cache, more)
    pycache = cache / f"pycache-{python}"
    pycache.mkdir(exist_ok=True)
    return Files(root, site, pycache)
