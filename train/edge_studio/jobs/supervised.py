"""A command in a process that outlives whoever started it, and that is found again by its number and its start time.

A folder holds all that is known of it, each file written whole by one process only:

    command.json    what to run, by whoever starts it
    process.json    number, start time and start of the machine, by the runner (`edge_studio.jobs.runner`)
    result.json     exit status and time, by the runner, at the end
    progress.jsonl  how far the command is, by the command (`edge_device.command_line.progress_file`)
    log.txt         what it prints
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from edge_core.codec import JsonObject
from edge_core.files import written_whole
from edge_device.live.update.update_state import boot_id

COMMAND_FILE: Final = "command.json"
PROCESS_FILE: Final = "process.json"
RESULT_FILE: Final = "result.json"
PROGRESS_FILE: Final = "progress.jsonl"
LOG_FILE: Final = "log.txt"

GRACE_S: Final = 2.0
"""Seconds that a command has to end in order; the four commands answer within one."""

LOG_TAIL: Final = 64 << 10
"""Bytes of the log that are shown."""

LOST: Final = 128 + signal.SIGKILL
"""Exit status of a command whose own is not known, as a shell tells it of one that was killed."""

_STARTING_S: Final = 10.0
"""Seconds within which a runner that was started says so; it imports nothing but the standard library."""


class SupervisedProcess:
    """A command, its runner, and the folder that tells of both.

    Attributes:
        folder: Folder of the files above.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, words: Sequence[str], environment: Mapping[str, str], cwd: Path, *, results: bool = True) -> None:
        """Starts a command, unless it runs or has ended; returns once its number is on the disk.

        A runner that a lost server has started, and that nobody knows of yet, holds the folder: no second one runs.

        Args:
            words: Program and arguments.
            environment: Variables beside those of this process.
            cwd: Folder that the command runs in.
            results: Whether what it prints on standard output goes into the log, too; without it messages alone do, as
                of a command that prints a line for each frame of months.

        Raises:
            OutputError: The folder cannot be written.
            OSError: No process can be started.
        """
        asked = {"words": list(words), "environment": dict(environment), "cwd": str(cwd), "results": results}
        write_json(self.folder / COMMAND_FILE, asked)
        # -I -S: it needs neither PYTHON variables nor site-packages, and starts at once without them.
        runner = [sys.executable, "-I", "-S", str(Path(__file__).with_name("runner.py")), str(self.folder)]
        # It goes on in a child of its own, in a session of its own: what ends the server does not end the work.
        subprocess.run(
            runner, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        end_s = time.monotonic() + _STARTING_S
        while not (self.folder / PROCESS_FILE).exists() and time.monotonic() < end_s:
            time.sleep(0.01)

    def forget(self) -> None:
        """Has the next start begin anew; to be called while nothing runs."""
        for name in (PROCESS_FILE, RESULT_FILE):
            with suppress(FileNotFoundError):
                (self.folder / name).unlink()

    @property
    def started(self) -> bool:
        """Whether a runner has begun, now or earlier."""
        return (self.folder / PROCESS_FILE).exists()

    def alive(self) -> bool:
        """Whether the runner is there: the process of that number that began at that time since this boot."""
        told = read_json(self.folder / PROCESS_FILE)
        number = told.get("pid")
        return isinstance(number, int) and told.get("boot") == boot_id() and start_time(number) == told.get("start")

    def result(self) -> JsonObject | None:
        """Exit status and time of the end; None until there is one; a damaged file is that of a lost one."""
        file = self.folder / RESULT_FILE
        if not file.exists():  # asked first: it may be written, whole, at any moment
            return None
        told = read_json(file)
        if isinstance(told.get("exit_status"), int) and isinstance(told.get("time"), int | float):
            return told
        with suppress(FileNotFoundError):
            return {"exit_status": LOST, "time": file.stat().st_mtime}
        return None

    def stop(self) -> None:
        """Ends the command and all that it has started, in order if it answers, within `GRACE_S` at most."""
        if self.alive():
            number = int(read_json(self.folder / PROCESS_FILE)["pid"])
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGTERM)
            end_s = time.monotonic() + GRACE_S
            while self.alive() and time.monotonic() < end_s:
                time.sleep(0.02)
        self.end_orphans()

    def end_orphans(self) -> None:
        """Kills what is left of the process group, its runner included."""
        told = read_json(self.folder / PROCESS_FILE)
        number = told.get("pid")
        if not isinstance(number, int) or told.get("boot") != boot_id():
            return
        # The kernel gives no new process the number of a group that has members: if another process has it, ours are
        # gone.
        if start_time(number) in (None, told.get("start")):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(number, signal.SIGKILL)

    def log(self) -> str:
        """The end of what the command has printed."""
        with suppress(OSError), (self.folder / LOG_FILE).open("rb") as file:
            return tail(file, LOG_TAIL).decode("utf-8", "replace")
        return ""


def start_time(number: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none, or it has ended (a zombie)."""
    try:
        told = Path(f"/proc/{number}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = told.rpartition(")")[2].split()  # the name before it may hold anything; from field 3 on, see proc(5)
    return None if fields[0] in ("Z", "X") else int(fields[19])


def tail(file: IO[bytes], size: int) -> bytes:
    """The last bytes of a file, from the beginning of a line on."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - size))
    data = file.read(size)
    return data.partition(b"\n")[2] if end > size else data


def write_json(path: Path, value: JsonObject) -> None:
    """Replaces a file; it is on the disk when this returns.

    Raises:
        OutputError: It cannot be written.
    """
    with written_whole(path, durable=True) as beside:
        beside.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def read_json(path: Path) -> JsonObject:
    """An object of JSON; empty if there is none, or it cannot be understood."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
