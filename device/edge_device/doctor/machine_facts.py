"""What the doctor looks at: the files of a system, its commands, and processes that may die."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_device.doctor.probe import Prober
from edge_device.system.board import ROOT, read_throttled


@dataclass(frozen=True)
class Host:
    """A system.

    Attributes:
        root: Root folder of the system's files; tests give another one.
        probe: Runs what may crash.
        commands: Folders in which its commands are; those of PATH if empty.
    """

    root: Path = ROOT
    probe: Prober = field(default_factory=Prober)
    commands: str = ""

    def path(self, path: str) -> Path:
        """A file of this system, by its absolute path."""
        return self.root / path.lstrip("/")

    def text(self, path: str | Path) -> str:
        """What a file says, in one line if it is one; empty if it cannot be read."""
        path = self.path(path) if isinstance(path, str) else path
        try:
            with path.open("rb") as file:
                # Limited, since some files of /proc have no end; the device tree ends its texts with a zero byte.
                return file.read(1 << 16).rstrip(b"\0\n ").decode(errors="replace")
        except (OSError, ValueError):
            return ""

    def fields(self, path: str, separator: str) -> dict[str, str]:
        """The lines of a file as `name separator value`, without the quotation marks of a shell."""
        pairs = (line.split(separator, 1) for line in self.text(path).splitlines() if separator in line)
        return {name.strip(): value.strip().strip("\"'") for name, value in pairs}

    def vcgencmd(self) -> int | None:
        """What a Raspberry Pi's firmware says of its supply, see `edge_device.system.board`."""
        return read_throttled(self.output("vcgencmd", "get_throttled") or "")

    def output(self, *command: str, timeout_s: float = 10) -> str | None:
        """What a command prints; None if there is no such command, it fails, or it hangs."""
        # LC_ALL=C: what commands print is read by its English words.
        environment = os.environ | ({"PATH": self.commands} if self.commands else {}) | {"LC_ALL": "C"}
        try:
            done = _run(command, environment, timeout_s)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None


def _run(command: Sequence[str], environment: dict[str, str], timeout_s: float) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["env", *command],  # which looks for it in the PATH that it is given, not in ours
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        timeout=timeout_s,
        text=True,
        errors="replace",
        check=False,
    )
