"""A command that Ctrl-C ends within a second or so, even from native code that holds Python's lock.

TensorFlow's import, its converter and XLA hold that lock for up to half a minute: until they return, no handler and no
thread of their process runs. So the command goes on in a child, forked while nothing but the standard library is there,
which costs a millisecond; the parent only passes signals on, and kills a child that does not answer one. What the child
had half-written it has noted in a journal, by which the parent removes it, and what a user should know then.

Not for `edge-run`: it waits in no such code, and systemd wants to know the process that it has started.
"""

import ctypes
import mmap
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NoReturn

from edge_device.system.interrupts import SIGNALS, exit_on_signals, signal_name, tell_handled

GRACE_S: Final = 1.0
"""Time until a child whose handler has not run is killed. Python code answers within `interrupts.NUDGE_S`."""

_WATCHED: Final = (*SIGNALS, signal.SIGCHLD)
_PR_SET_PDEATHSIG: Final = 1

_journal: IO[bytes] | None = None

_ADVICE: Final = b"says "
"""What the journal has before advice; paths begin with a slash."""


def note_unfinished(path: Path) -> None:
    """Notes that `path` is to be removed if this process is killed; does nothing in a process that nobody watches."""
    if _journal is not None:
        _journal.write(os.fsencode(path.absolute()) + b"\0")
        _journal.flush()


def note_advice(line: str) -> None:
    """Notes what to say if this process is killed, in the place of what was noted before; empty for nothing."""
    if _journal is not None:
        _journal.write(_ADVICE + line.encode() + b"\0")
        _journal.flush()


def go_on_in_child() -> None:
    """Returns in a child of this process, which itself waits for the child and ends as the child does.

    To be called before any thread is started: a fork copies none.
    """
    global _journal
    # In memory, where no full disk is in its way; until the end of both processes.
    handled, journal = mmap.mmap(-1, 1), os.fdopen(os.memfd_create("journal", os.MFD_CLOEXEC), "w+b")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody hears how a child ended
    # Before the fork: a signal in between would end one of the two, and leave the other.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    parent, child = os.getpid(), os.fork()
    if child:
        _wait(child, handled, journal)
    # The child dies with the parent, however that ends: nobody else would pass signals on.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before it was asked for
        os._exit(1)
    _journal = journal
    tell_handled(lambda: handled.__setitem__(0, 1))
    exit_on_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(child: int, handled: mmap.mmap, journal: IO[bytes]) -> NoReturn:
    """Passes signals on to the child, and ends with its status."""
    asked, deadline = 0, 0.0
    while True:
        rest = max(0.0, deadline - time.monotonic()) if asked else None
        # Blocked signals are waited for, so that no handler runs at an unforeseen moment.
        received = signal.sigtimedwait(_WATCHED, rest) if rest is not None else signal.sigwaitinfo(_WATCHED)
        if received is None:
            if not handled[0]:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                _end(-asked, journal)
            asked = 0
        elif received.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)  # 0: it was only stopped, by Ctrl-Z
            if ended:
                _end(os.waitstatus_to_exitcode(status), journal)
        elif not asked:
            # One that the terminal, or timeout(1), has sent to both comes twice to the child, which takes it as one.
            handled[0] = 0 if deadline else handled[0]
            asked, deadline = received.si_signo, time.monotonic() + GRACE_S
            os.kill(child, asked)


def _end(status: int, journal: IO[bytes]) -> NoReturn:
    """Ends this process as the child ended, and does what a child that was killed could not: cleans up and says so.

    Args:
        status: Exit status of the child, or the negative number of the signal that killed it.
        journal: Names that `note_unfinished` noted.
    """
    clear = _CLEAR if sys.stderr.isatty() else ""
    advice = _clean_up(journal) if status < 0 else ""
    if advice and status != -signal.SIGTERM:
        print(clear, advice, sep="", file=sys.stderr)
    if status == -signal.SIGINT:
        print(clear, "interrupted", sep="", file=sys.stderr)
    elif status < 0 and status != -signal.SIGTERM:
        why = "; memory may have run out" if status == -signal.SIGKILL else ""
        print(f"error: the command was ended by {signal_name(-status)}{why}", file=sys.stderr)
    # 128 and the signal's number, as shells tell it.
    raise SystemExit(status if status >= 0 else 128 - status)


_CLEAR: Final = "\r\033[K"
"""Removes the line with the running time, which the child can no longer do."""


def _clean_up(journal: IO[bytes]) -> str:
    """Removes what is still where the child has noted it (what was finished has been renamed); returns the latest
    advice."""
    journal.seek(0)
    advice = b""
    for name in journal.read().split(b"\0")[:-1]:
        if name.startswith(_ADVICE):
            advice = name.removeprefix(_ADVICE)
            continue
        with suppress(OSError):
            shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)
    return advice.decode()
