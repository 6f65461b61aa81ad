"""Runs what may crash in a process of its own, and tells how it ended."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_device.doctor.findings import JsonObject
from edge_device.system.interrupts import signal_name

TIMEOUT_S: Final = 60.0
"""A Pi Zero 2 imports OpenCV from a slow card in ten seconds; what takes longer hangs, if it is given the processor."""

STARVED: Final = 0.05
"""Part of the time for which a probe has had the processor, from which on it is taken to be held up by other work. On
emulated boards beside ten busy processes an import of OpenCV took more than a minute."""

PACKAGES: Final = str(Path(__file__).parents[2])
"""The folder that edge_device lies in: a probe finds it wherever it is started."""

_PROGRAM: Final = """
import sys
sys.path.extend({folders!r})
from {module} import main
main()
"""


@dataclass(frozen=True)
class Probed:
    """How a probe ended.

    Attributes:
        value: What it found; None if it found nothing, because of `error`.
        error: Why, in one line; empty if all is well.
        kind: Name of the exception that ended it, "ImportError", say; of the signal, "SIGILL", say; or "timeout".
    """

    value: JsonObject | None
    error: str = ""
    kind: str = ""

    def __getitem__(self, key: str) -> Any:
        """A part of `value`; None where there is none."""
        return (self.value or {}).get(key)


@dataclass(frozen=True)
class Prober:
    """Starts probes.

    Attributes:
        python: The interpreter that runs them.
        timeout_s: Seconds after which a probe is given up; on a busy machine, seconds of the processor.
        environment: Added to this process's.
        module: Module whose `main` runs a probe by its name.
        folders: That modules are looked for in, after all others.
    """

    python: str = sys.executable
    timeout_s: float = TIMEOUT_S
    environment: dict[str, str] = field(default_factory=dict)
    module: str = "edge_device.doctor.probes"
    folders: tuple[str, ...] = (PACKAGES,)

    def __call__(self, name: str, *arguments: str) -> Probed:
        """Runs a probe of `module` by its name."""
        program = _PROGRAM.format(module=self.module, folders=list(self.folders))
        return read_outcome(*self._run([self.python, "-c", program, name, *arguments]))

    def _run(self, command: Sequence[str]) -> tuple[int | None, bytes, bytes]:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | self.environment,
                start_new_session=True,  # so that what it starts ends with it
            )
        except OSError as error:
            return 127, b"", str(error).encode()
        try:
            output, errors = self._communicate(process)
        # Ctrl-C, too: a probe that hangs in a driver must not outlive the doctor.
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # within a driver that hangs it cannot even be killed: it is left
                process.communicate(timeout=1)
            if isinstance(error, subprocess.TimeoutExpired):
                return None, b"", b""
            raise
        return process.returncode, output, errors

    def _communicate(self, process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
        used_s = 0.0
        while True:
            try:
                return process.communicate(timeout=self.timeout_s)
            except subprocess.TimeoutExpired:
                before_s, used_s = used_s, processor_s(process.pid)
                if used_s - before_s < STARVED * self.timeout_s or used_s > self.timeout_s:
                    raise


def processor_s(process: int) -> float:
    """Seconds for which a process has had the processor; 0 if it is gone."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text("ascii", "replace")
    except OSError:
        return 0.0
    user, system = stat.rpartition(")")[2].split()[11:13]  # fields 14 and 15 of proc_pid_stat(5)
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def read_outcome(status: int | None, output: bytes, errors: bytes) -> Probed:
    """What a probe's exit status, output and errors say; a status of None: it was given up."""
    if status is None:
        return Probed(None, "no answer; it hangs", "timeout")
    if status < 0:
        name = signal_name(-status)
        return Probed(None, f"the process died by {name}", name)
    try:
        answer = json.loads(output)
        return Probed(answer["value"], answer["error"], answer["kind"])
    except (ValueError, KeyError, TypeError):
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        return Probed(None, f"the process ended with status {status}: {last[0]}", "exit")
