"""C and C++ libraries write to standard error as they please; within `silenced` and `without_lines` they do not."""

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Final

_ONE_AT_A_TIME: Final = threading.RLock()
"""Of two threads at once the second would keep, and restore at the end, the silence of the first."""


@contextmanager
def silenced() -> Iterator[None]:
    """Sends what the process writes to standard error nowhere: TensorFlow's greetings, a converter's log.

    Exceptions pass through; only what bypasses Python is lost.
    """
    with open(os.devnull, "wb") as nowhere, _redirected(nowhere):
        yield


@contextmanager
def without_lines(noise: re.Pattern[bytes]) -> Iterator[None]:
    """Holds back what the process writes to standard error, and then passes on all but the lines that start so.

    Other threads may write there at the same time: what they say comes later, but it does come.
    """
    # In memory: a board whose only writable folder is that of its recordings has no place for temporary files.
    with open(os.memfd_create("standard error", os.MFD_CLOEXEC), "w+b") as held:
        try:
            with _redirected(held):
                yield
        finally:
            held.seek(0)
            rest = b"".join(line for line in held if not noise.match(line))
            if rest:
                with suppress(OSError):
                    os.write(2, rest)


@contextmanager
def _redirected(place: IO[bytes]) -> Iterator[None]:
    with _ONE_AT_A_TIME:
        if sys.stderr is not None:
            # What Python still holds was written before, and belongs to where standard error leads now.
            sys.stderr.flush()
        try:
            kept = os.dup(2)
        except OSError:  # closed by the shell: there is nothing to silence
            yield
            return
        try:
            os.dup2(place.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
