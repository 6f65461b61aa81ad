"""C++ libraries write to standard error as they please; within `silenced` they do not."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ONE_AT_A_TIME: Final = threading.RLock()
"""Of two threads at once the second would keep, and restore at the end, the silence of the first."""


@contextmanager
def silenced() -> Iterator[None]:
    """Sends what the process writes to standard error nowhere: TensorFlow's greetings, a converter's log.

    Exceptions pass through; only what bypasses Python is lost.
    """
    with _ONE_AT_A_TIME:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            kept = os.dup(2)
        except OSError:  # closed by the shell: there is nothing to silence
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
