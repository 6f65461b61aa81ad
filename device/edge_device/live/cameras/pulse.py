"""What the service manager is told of several loops: ready, alive and stopping as one process."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from edge_device.system.systemd import ServiceManager

READY_S: Final = 10.0
"""Seconds after the first loop has begun in which the others may: one whose driver hangs must not keep the service from
being ready."""


class LoopPulse:
    """What one loop tells of itself, for a `ProcessPulse` to look at.

    Attributes:
        begun: Whether the loop has run, now or before.
        running: Whether it should be alive now: a camera that is lost and reopened is, one that is begun anew is not.
        seen_s: When it has told last that it lives.
        text: How it fares.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.begun = self.running = False
        self.seen_s = -math.inf
        self.text = "not begun"
        self._clock = clock

    def ready(self) -> None:
        self.seen_s = self._clock()
        self.begun = self.running = True

    def alive(self) -> None:
        self.seen_s = self._clock()

    def stopping(self) -> None:
        self.running = False

    def status(self, text: str, /) -> None:
        self.text = text


class ProcessPulse:
    """Passes on that the process lives, as long as every loop does that should."""

    def __init__(
        self,
        loops: Mapping[str, LoopPulse],
        manager: ServiceManager | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the pulses of the loops by the names of their cameras."""
        self._loops, self._clock = loops, clock
        self._manager = manager or ServiceManager()
        self._ready = False
        self._first_s = math.inf

    def beat(self) -> None:
        """Looks at the loops; to be called several times a second."""
        now_s, loops = self._clock(), self._loops.values()
        if any(one.begun for one in loops):
            self._first_s = min(self._first_s, now_s)
        if not self._ready and (all(one.begun for one in loops) or now_s >= self._first_s + READY_S):
            self._ready = True
            self._manager.ready()
        # A loop that hangs keeps the whole process from being called alive, and systemd starts all of it anew.
        silent_s = self._manager.alive_every_s
        if all(not one.running or now_s - one.seen_s <= silent_s for one in loops):
            self._manager.alive()
        if any(one.begun for one in loops):
            self._manager.status("; ".join(f"{name}: {one.text}" for name, one in self._loops.items()))

    def stopping(self) -> None:
        """The end was asked for."""
        self._manager.stopping()
