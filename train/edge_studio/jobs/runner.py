"""Runs the command of a folder and writes how it ended: a process of its own, so that the server may die meanwhile.

Run as a script with the folder; imports nothing but the standard library, so that it is there at once.
"""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

# Less than GRACE_S of supervised.py: the result has to be written before this process is killed itself.
PATIENCE_S: Final = 1.5
"""Seconds after which a command that was asked to end is killed."""

_PR_SET_PDEATHSIG: Final = 1


def main(folder: Path) -> int:
    # Whoever started this waits for the parent alone; the child goes to init and is never a zombie of the server.
    if os.fork():
        return 0
    os.setsid()
    # Held until the end: two runners of one folder cannot be.
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 1
    if (folder / "result.json").exists():  # another runner has been here, and its server did not live to see it
        return 1
    asked = json.loads((folder / "command.json").read_text("utf-8"))
    ending: list[subprocess.Popen[bytes]] = []
    stopped = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True
        for child in ending:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)

    def kill(number: int, frame: object) -> None:
        for child in ending:
            with suppress(ProcessLookupError):
                child.kill()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, kill)
    _write(folder / "process.json", {"pid": os.getpid(), "start": _start_time(), "boot": _boot(), "time": time.time()})
    with (folder / "log.txt").open("ab") as log:
        status = _run(asked, log, ending, lambda: stopped)
    _write(folder / "result.json", {"exit_status": status, "time": time.time()})
    return 0


def _run(asked: Any, log: Any, ending: list[subprocess.Popen[bytes]], stopped: Any) -> int:
    """The exit status of the command; 127 if it cannot be started, 143 if it was to end before it began."""
    environment = {**os.environ, **asked["environment"], "PYTHONUNBUFFERED": "1"}
    try:
        child = subprocess.Popen(
            asked["words"],
            stdin=subprocess.DEVNULL,
            stdout=log if asked["results"] else subprocess.DEVNULL,
            stderr=log,
            env=environment,
            cwd=asked["cwd"],
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
        )
    except OSError as error:
        log.write(f"error: {asked['words'][0]} cannot be started: {error.strerror or error}\n".encode())
        return 127
    ending.append(child)
    if stopped():  # the signal came before there was anything to end
        child.terminate()
    status = child.wait()
    # Below zero it is the signal that ended it, which a shell tells as 128 and its number.
    return status if status >= 0 else 128 - status


def _die_with_parent() -> None:
    """The command does not outlive a runner that is killed: nobody would hear how it ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _start_time() -> int:
    return int(Path("/proc/self/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19])


def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _write(path: Path, value: Any) -> None:
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
