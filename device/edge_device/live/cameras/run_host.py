"""What the cameras of one process have in common."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from edge_device.inference.turns import RunnerPool
from edge_device.sinks.sink import Sink

T = TypeVar("T")
S = TypeVar("S", bound=Sink)


class SharedParts:
    """What is there once, although several cameras ask for it: a port, a file, a measurement."""

    def __init__(self) -> None:
        self._made: dict[Hashable, object] = {}
        self._lock = threading.Lock()

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returned when it was asked for under this key first."""
        # Held while it is made, so that a second camera gets the same one rather than another.
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return cast(T, self._made[key])


@dataclass(frozen=True)
class RunHost:
    """The process around one camera, or several.

    Attributes:
        asked: Whether a signal has asked for the end: an accelerator that hangs is not waited for then.
        ended: Whether all loops are to end.
        close_window: Called when a person has closed the window.
        shared: What the cameras share.
        pool: Models that the cameras share; None where there is but one camera.
    """

    asked: Callable[[], bool]
    ended: Callable[[], bool]
    close_window: Callable[[], None]
    shared: SharedParts = field(default_factory=SharedParts)
    pool: RunnerPool | None = None
