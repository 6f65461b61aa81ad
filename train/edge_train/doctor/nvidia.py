"""NVIDIA's driver, found without CUDA and without TensorFlow."""

import re
from dataclasses import dataclass
from typing import Final

from edge_device.doctor.machine_facts import Host

DRIVER_FILE: Final = "/proc/driver/nvidia/version"
WSL_COMMAND: Final = "/usr/lib/wsl/lib/nvidia-smi"
"""Windows' driver inside the Windows Subsystem for Linux, which has no /proc/driver/nvidia."""

NEEDED: Final = {11: (450, 80, 2), 12: (525, 60, 13), 13: (580, 65, 6)}
"""The oldest Linux driver for each major version of CUDA: "CUDA Toolkit Release Notes", table of minor version
compatibility."""


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver.

    Attributes:
        version: `550.54.14`; empty if it does not say.
        where: What showed that it is there.
    """

    version: str
    where: str

    def runs_cuda(self, major: int) -> bool | None:
        """Whether it is new enough for a major version of CUDA; None if that is not known."""
        if not self.version or major not in NEEDED:
            return None
        return tuple(int(part) for part in self.version.split(".")) >= NEEDED[major]


def find_driver(host: Host | None = None) -> Driver | None:
    """The driver of this computer, or None. Takes a millisecond where the kernel's module says it, else runs
    nvidia-smi."""
    host = host or Host()
    if told := host.text(DRIVER_FILE):
        found = re.search(r"\b(\d{3,}(?:\.\d+)+)\b", told.splitlines()[0])
        return Driver(found[1] if found else "", DRIVER_FILE)
    for command in ("nvidia-smi", str(host.path(WSL_COMMAND))):
        answer = host.output(command, "--query-gpu=driver_version", "--format=csv,noheader")
        if answer and re.fullmatch(r"[\d.]+", first := answer.splitlines()[0].strip()):
            return Driver(first, command)
    return None
