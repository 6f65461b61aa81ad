"""Ctrl-C and SIGTERM end a command at once, whatever its main thread waits for.

Python runs a handler between two steps of its interpreter, or when a system call comes back interrupted. A signal that
comes after the last such step and before the call that follows therefore leaves the main thread waiting for good, in
the `read` of a pipe, say. So a thread hears of every signal through the wake-up descriptor and interrupts the main
thread with SIGURG, which means nothing to anybody here, again and again until the handler has run. Go's runtime
interrupts its threads by the same signal, for the same reasons: its default is to be ignored, and programs expect it at
any time.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

T = TypeVar("T")

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

NUDGE_S: Final = 0.05
"""Between two interruptions of a main thread that has not run its handler yet."""

TOGETHER_S: Final = 0.1
"""A signal that comes again within this time is the same one: timeout(1) sends it to its child and to the whole
group."""

_HANDLED: Final = 0
_SWALLOWED: Final = 0x80
"""What the wake-up pipe carries beside numbers of signals: that a handler has run, and with a number, that the
exception which it raised was swallowed."""


class _Interrupts:
    """The handlers of this process, and the thread that sees to it that they run.

    Attributes:
        action: What a handler does, given the number of the signal.
        handled: Called whenever a handler has run.
    """

    def __init__(self) -> None:
        self.action: Callable[[int], None] = _raise
        self.handled: Callable[[], None] = lambda: None
        self._last: tuple[int, float] = (0, 0.0)
        self._writing = -1
        self._before = sys.unraisablehook
        os.register_at_fork(after_in_child=self._forget)  # a forked process has no such thread

    def install(self) -> None:
        """Sets the handlers, even where the process was started with signals ignored (`nohup`, a script's `&`)."""
        if self._writing < 0:
            reading, self._writing = os.pipe()
            # Python writes to it within the C handler of a signal, where nothing may wait.
            os.set_blocking(self._writing, False)
            self._before, sys.unraisablehook = sys.unraisablehook, self._unraisable
            threading.Thread(target=self._watch, args=(reading,), name="signals", daemon=True).start()
        # Whatever the main thread does: C code of Python writes the signal's number there.
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGURG, lambda number, frame: None)
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        # First, so that the watching thread stops to interrupt even if what follows raises.
        os.write(self._writing, bytes([_HANDLED]))
        self.handled()
        (before, when), self._last = self._last, (number, time.monotonic())
        if number != before or self._last[1] - when > TOGETHER_S:
            self.action(number)

    def _watch(self, reading: int) -> None:
        main = threading.main_thread().ident
        assert main is not None
        waiting = False
        while True:
            if waiting and not select.select([reading], [], [], NUDGE_S)[0]:
                signal.pthread_kill(main, signal.SIGURG)
                continue
            for byte in os.read(reading, 1024):
                if byte & _SWALLOWED:
                    select.select([], [], [], NUDGE_S)  # until what has swallowed it is left
                    signal.pthread_kill(main, byte & ~_SWALLOWED)
                elif byte == _HANDLED or byte in SIGNALS:
                    waiting = byte != _HANDLED

    def _unraisable(self, unraisable: Any) -> None:
        """Sends a signal again whose exception came in a destructor or a callback, where Python only prints it."""
        number = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}.get(unraisable.exc_type)
        if number is None:
            self._before(unraisable)
        else:
            # Or the repetition would be taken for the same signal, and passed over.
            self._last = (0, 0.0)
            os.write(self._writing, bytes([_SWALLOWED | number]))

    def _forget(self) -> None:
        if self._writing >= 0:
            # The pipe is the parent's: a signal of the child would wake the parent's thread.
            signal.set_wakeup_fd(-1)
            sys.unraisablehook = self._before
            os.close(self._writing)
            self._writing = -1


def _raise(number: int) -> None:
    """Ends by an exception, so that what was half-written is removed on the way."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _exit(number: int) -> None:
    """Ends at once, where there is nothing to be cleaned up: no `except:` of an import that goes on stands in the
    way."""
    if number == signal.SIGINT:
        clear = b"\r\033[K" if os.isatty(2) else b""  # of a line that a process of its own draws
        os.write(2, clear + b"interrupted\n")
    os._exit(128 + number)


_interrupts: Final = _Interrupts()


def end_on_signals() -> None:
    """From now on SIGINT raises KeyboardInterrupt in the main thread, and SIGTERM SystemExit(143), within `NUDGE_S` or
    so.

    Does nothing in another thread than the main one, which alone may set handlers.
    """
    if threading.current_thread() is threading.main_thread():
        _interrupts.install()


@contextmanager
def raising_on_signals() -> Iterator[None]:
    """Within it, signals raise as `end_on_signals` says; afterwards they do what they did before."""
    end_on_signals()
    before, _interrupts.action = _interrupts.action, _raise
    try:
        yield
    finally:
        _interrupts.action = before


def exit_on_signals() -> None:
    """From now on SIGINT and SIGTERM end this process without an exception, but within `raising_on_signals`."""
    end_on_signals()
    _interrupts.action = _exit


def tell_handled(call: Callable[[], None]) -> None:
    """From now on `call` is called whenever a handler has run: whoever sent the signal may be waiting for that."""
    _interrupts.handled = call


class StopRequest:
    """Whether Ctrl-C or SIGTERM has asked a loop to stop, between two of its steps.

    stopped = StopRequest()
    ...                         # a signal raises, as anywhere
    with stopped.awaited():     # now the first one only asks, so that no output is cut in two; a second one raises
        while not stopped():
            ...
    """

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        return self._asked

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Within it, whoever is asked to stop looks at this object several times a second."""
        end_on_signals()
        before, _interrupts.action = _interrupts.action, self._ask
        try:
            yield
        finally:
            _interrupts.action = before

    def _ask(self, number: int) -> None:
        if self._asked:
            _raise(number)
        self._asked = True


def signal_name(number: int) -> str:
    """Name of a signal, "SIGSEGV", or "signal 35" of a real-time signal, which has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def interruptible(call: Callable[[], T]) -> T:
    """What `call` returns or raises, called in a thread of its own and waited for, so that a signal ends the wait.

    For native code that waits where Python runs no handler: opening a camera, a stream or a named pipe through OpenCV.
    After a signal the thread is left behind, and keeps nothing from ending.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
