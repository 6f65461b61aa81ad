"""A line on a terminal with the time that work has taken so far, drawn by a process of its own.

A thread would stand still with the work: TensorFlow's import and its converter hold Python's lock for half a minute.
Run as a script, this file is that process; it imports nothing but the standard library, so that it starts at once.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PERIOD_S: Final = 0.25
"""Between two drawings; as long goes by until the process notices that its parent has been killed."""

TURNING: Final = "|/-\\"

CLEAR: Final = "\r\033[K"


@contextmanager
def elapsed_line(label: str) -> Iterator[None]:
    """Shows `label` with a running time on standard error, which must be a terminal; the line is gone afterwards."""
    drawing = _start(label)
    try:
        yield
    finally:
        if drawing is not None:
            drawing.kill()
            drawing.wait()
            print(CLEAR, end="", file=sys.stderr, flush=True)


def _start(label: str) -> subprocess.Popen[bytes] | None:
    """The process that draws; None where no process can be started: the work goes on unseen."""
    # What is blocked here stays blocked there: Ctrl-C goes to every process of the terminal, and is the parent's to
    # answer.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(
            # Without site packages and environment it starts at once, and nothing of the user's gets in its way.
            [sys.executable, "-I", "-S", __file__, str(os.getpid()), label],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=sys.stderr,
        )
    except OSError:
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def line(label: str, elapsed_s: float, turn: int, width: int) -> str:
    """What is drawn: never as wide as the terminal, where it would fold, and the cursor at its beginning, so that a
    message of another process overwrites it."""
    minutes, seconds = divmod(int(elapsed_s), 60)
    figures = f" {minutes}:{seconds:02}"
    room = max(0, width - len(figures) - 3)
    words = label if len(label) <= room else label[: max(0, room - 1)] + "…"
    return f"{CLEAR}{TURNING[turn % len(TURNING)]} {words}{figures}\r"


def _draw(parent: int, label: str) -> None:
    """Draws until this process is killed, or `parent` is no longer there."""
    began, turn = time.monotonic(), 0
    # A process whose parent has gone is given another one.
    while os.getppid() == parent:
        try:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            drawn = line(label, time.monotonic() - began, turn, width)
            os.write(sys.stderr.fileno(), drawn.encode("utf-8", "replace"))
        except OSError:  # the terminal was closed
            return
        turn += 1
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    _draw(int(sys.argv[1]), sys.argv[2])
