"""`edge-run` without its imports, which take an emulated processor seconds: each command is a copy of a process that
has made them once. `edge-run doctor`, and all that a board does over SSH, are started as a user starts them."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from typing import Final, TextIO

_FORK: Final = get_context("fork")

Tell = Callable[[str], None]


class Forked:
    """A function in a copy of this process; what it writes is piped.

    Attributes:
        pid: of the copy.
        stdout, stderr: what it writes, to be read to their ends.
    """

    def __init__(self, function: Callable[..., None], *arguments: object) -> None:
        """Starts it; `SystemExit` gives its exit status, another exception 1."""
        ours, theirs = zip(os.pipe(), os.pipe(), strict=True)
        self._process = _FORK.Process(target=_run, args=(theirs, function, *arguments))
        self._process.start()
        for end in theirs:
            os.close(end)
        self.pid = self._process.pid or 0
        self.stdout, self.stderr = (_reader(end) for end in ours)

    def terminate(self) -> None:
        """Asks it to end."""
        os.kill(self.pid, signal.SIGTERM)

    def ended(self, patience_s: float | None = None) -> int:
        """Its exit status; it is killed if it has not ended in time."""
        self._process.join(patience_s)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        return self._process.exitcode or 0


def edge_run(arguments: Sequence[str]) -> None:
    """What the command does, in this process, to its end."""
    from edge_device.__main__ import main

    sys.argv = ["edge-run", *arguments]
    main()


def told(process: Forked, tell: Tell) -> int:
    """Tells every line that it writes; its exit status."""
    errors = threading.Thread(target=_tell_all, args=(process.stderr, tell))
    errors.start()
    _tell_all(process.stdout, tell)
    errors.join()
    return process.ended()


def _tell_all(stream: TextIO, tell: Tell) -> None:
    with stream:
        for line in stream:
            tell(line.rstrip())


def _run(ends: tuple[int, int], function: Callable[..., None], *arguments: object) -> None:
    for end, standard in zip(ends, (1, 2), strict=True):
        os.dup2(end, standard)
        os.close(end)
    function(*arguments)


def _reader(end: int) -> TextIO:
    return open(end, errors="replace")
