"""Wheels for 64-bit Arm, in a folder that a Python of that machine takes as its path.

Which ones is fixed, with their SHA-256: instruction counts are of these and of no others.
"""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from edge_bench.arm.programs import run
from edge_core.files import folder_written_whole

PYTHONS: Final = ("3.11", "3.13")
"""Of Raspberry Pi OS on Debian 12 and 13, bookworm and trixie."""

GLIBC: Final = (17, 24, 27, 28, 31, 34)
"""What wheels are built against, 2.17 for one, up to that of Debian 12, 2.36."""


def site_folder(python: str, cache: Path, more: Sequence[Path] = ()) -> Path:
    """What the product requires, installed for a Python on arm64; kept in `cache`.

    Args:
        python: One of `PYTHONS`.
        cache: Where it is kept. Once it is there, nothing is downloaded again.
        more: Further files of pinned requirements.

    Raises:
        HostError: It cannot be downloaded.
    """
    with resources.as_file(resources.files("edge_bench.arm") / "requirements.txt") as pinned:
        files = [pinned, *more]
        key = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
        site = cache / f"site-{python}-{key}"
        if not site.exists():
            with folder_written_whole(site) as beside:
                named = [part for file in files for part in ("--requirement", str(file))]
                pip("install", python, "--quiet", "--no-deps", "--require-hashes", "--target", str(beside), *named)
    return site


def wheel_folder(python: str, cache: Path) -> Path:
    """The wheels themselves, for a board without a network; as `site_folder`."""
    with resources.as_file(resources.files("edge_bench.arm") / "requirements.txt") as pinned:
        key = hashlib.sha256(pinned.read_bytes()).hexdigest()[:12]
        folder = cache / f"wheels-{python}-{key}"
        if not folder.exists():
            with folder_written_whole(folder) as beside:
                pip("download", python, "--quiet", "--no-deps", "--require-hashes", "--dest", str(beside),
                    "--requirement", str(pinned))  # fmt: skip
    return folder


def pip(do: str, python: str, *arguments: str) -> str:
    """Runs this machine's pip, as it is configured, for a Python on arm64."""
    return run([Path(sys.executable), "-m", "pip", do, "--disable-pip-version-check", *arguments, *_target(python)])


def _target(python: str) -> Iterable[str]:
    short = python.replace(".", "")
    platforms = ["linux_aarch64", "manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in GLIBC)]
    return [
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
        *(f"--abi={abi}" for abi in (f"cp{short}", "abi3", "none")),
        *(f"--platform={platform}" for platform in platforms),
    ]
