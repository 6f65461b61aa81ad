"""Programs that this machine must have, and how they are run."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_core.errors import HostError, RuntimeMissingError

CACHE: Final = "EDGE_PI_CACHE"
"""Environment variable: the folder to keep downloads in, 1.2 GB for two Pythons."""

PACKAGES: Final = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "gcc": "gcc",
    "qemu-aarch64": "qemu-user",
    "qemu-arm": "qemu-user",
    "qemu-system-aarch64": "qemu-system-arm",
}
"""Which of Debian's packages has a program."""


def cache_folder() -> Path:
    """Where downloads are kept between runs."""
    given = os.environ.get(CACHE)
    return (
        Path(given)
        if given
        else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "edge-mobilenet/pi"
    )


def tool(name: str) -> str:
    """Path of a program.

    Raises:
        RuntimeMissingError: It is not installed.
    """
    path = shutil.which(name)
    if path is None:
        package = PACKAGES.get(name, name)
        raise RuntimeMissingError(
            f"{name} is not installed; on Debian: sudo apt install --no-install-recommends {package}"
        )
    return path


def run(command: Sequence[str | Path], cwd: Path | None = None) -> str:
    """What a program prints.

    Raises:
        RuntimeMissingError: It is not installed.
        HostError: It failed; the last line that it wrote says of what.
    """
    name, *arguments = command
    path = name if isinstance(name, Path) or "/" in name else tool(name)
    done = subprocess.run([path, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise HostError(
            f"{' '.join(map(str, command[:2]))} failed: {said[-1] if said else f'status {done.returncode}'}"
        )
    return done.stdout
