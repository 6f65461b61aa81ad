"""A source that may be lost is opened again, for as long as it takes."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from edge_core.errors import SourceError
from edge_device.notices import Notifier, ignore, notice
from edge_device.sources.source import Source, SourceFrame

FIRST_PAUSE_S: Final = 0.5
"""A USB device that resets is back after that."""

LONGEST_PAUSE_S: Final = 15.0
"""Opening a device costs a few milliseconds, and nobody waits longer at a camera that was plugged in again."""


def back_off(attempt: int) -> float:
    """Seconds before an attempt, counted from 0: doubling, and shortened by chance, so that a hundred boards do not ask
    one camera at the same moment after a power cut."""
    pause_s: float = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempt, 10))
    return random.uniform(0.5, 1.0) * pause_s


class Reconnecting(Source):
    """Gives the frames of a live source as if it had never been lost: indexes and times go on.

    It ends when it is closed, or when the source ends without an error (a video that is played in real time).
    """

    live = True

    def __init__(
        self,
        open_it: Callable[[], Source],
        notify: Notifier = ignore,
        *,
        wait: bool = False,
        pause_s: Callable[[int], float] = back_off,
    ) -> None:
        """Opens the source.

        Args:
            open_it: Opens it, or raises SourceError.
            notify: Gets that the source was lost, why it does not come back where the reason is another, and that it is
                back.
            wait: Whether to wait for a source that is not there yet, at boot, say.
            pause_s: Seconds before an attempt to open it, counted from 0.

        Raises:
            SourceError: It does not open, and is not waited for.
        """
        self._open_it = open_it
        self._notify = notify
        self._pause_s = pause_s
        self._started = time.monotonic()
        self._closed = threading.Event()
        self._source: Source | None = None
        self._unreadable_before = 0
        self._cut_before = 0
        self._said = set[str]()
        try:
            self._opened()
        except SourceError as error:
            if not wait:
                raise
            self._wait_for_it(error, "waiting for it")

    @property
    def unreadable(self) -> int:
        source = self._source  # another thread may lose it meanwhile
        return self._unreadable_before + (source.unreadable if source else 0)

    @property
    def cut(self) -> int:
        source = self._source
        return self._cut_before + (source.cut if source else 0)

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives frames; raises nothing of its own."""
        index = attempt = 0
        lost = time.monotonic()
        # While it waits, this is the pause between two attempts, which `close` cuts short.
        while not (self.state == "waiting" and self._closed.wait(self._pause_s(attempt))):
            attempt += 1
            try:
                for frame in self._source or self._opened():
                    if self.state == "waiting":
                        there = f"is {'back' if self.losses else 'there'} after {time.monotonic() - lost:.1f} s"
                        self._notify(
                            notice("info", "source", f"{frame.source} {there}{self.mode and ': ' + self.mode}")
                        )
                        self.state = "open"
                        self._said.clear()
                    # Only a frame shows that it is back: some cameras open and then give nothing.
                    attempt = 0
                    time_s = frame.taken_s - self._started
                    yield SourceFrame(frame.image, frame.source, index, time_s, frame.capture_ms, frame.taken_s)
                    index += 1
                    del frame  # or its memory would be held while the next is read
                return
            except SourceError as error:
                if self._closed.is_set():
                    return
                if self.state == "open":
                    self.losses += 1
                    lost = time.monotonic()
                self._wait_for_it(error, "trying to open it again")
            finally:
                self._release()

    def close(self) -> None:
        self._closed.set()
        if source := self._source:
            source.close()

    def _opened(self) -> Source:
        self._source = source = self._open_it()
        self.mode = source.mode
        # The other order is `close` first, which then found no source to close.
        if self._closed.is_set():  # by `close`, before it could see the source
            source.close()
        return source

    def _wait_for_it(self, error: SourceError, what: str) -> None:
        """Says why once for every outage, not at every attempt: it may be out for months."""
        self.state = "waiting"
        if str(error) not in self._said:
            self._notify(notice("warning", "source", f"{error}; {what}"))
            self._said.add(str(error))

    def _release(self) -> None:
        if source := self._source:
            self._unreadable_before += source.unreadable
            self._cut_before += source.cut
            self._source = None
            source.close()
