"""Cameras that try updates out together: all hand over their frames, one of them leads.

The first camera that gives frames leads: a candidate runs on its frames, and a trial is judged by how it fares. Once it
has given none for a while, the next one to give a frame leads.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge_device.frames.regions import WHOLE, Region
from edge_device.live.update.trial_health import TrialReading

REMEMBERED: Final = 500
"""Frames over which the share of unknown ones is taken."""

AWAY_S: Final = 10.0
"""Seconds without a frame after which another camera leads: longer than a camera takes to be opened again."""


@dataclass
class Seat:
    """What is known of one camera.

    Attributes:
        regions: Zones of the camera by name.
        unknown: Whether each of its latest frames was unknown.
        baseline: How it fared before a trial; None before its first statistics.
    """

    regions: Mapping[str, Region] = field(default_factory=lambda: {"": WHOLE})
    unknown: deque[bool] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    baseline: TrialReading | None = None


class Seats:
    """The cameras by name, and which of them leads.

    Attributes:
        leader: Name of the camera that leads; None before the first frame.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes a function that gives seconds and does not jump."""
        self.leader: str | None = None
        self._clock, self._seen_s = clock, clock()
        self._seats: dict[str, Seat] = {}

    def __getitem__(self, camera: str) -> Seat:
        return self._seats.setdefault(camera, Seat())

    def leads(self, camera: str) -> bool:
        """Whether the camera leads, which has given a frame now."""
        now_s = self._clock()
        if self.leader is None or now_s - self._seen_s > AWAY_S:
            self.leader = camera
        if self.leader == camera:
            self._seen_s = now_s
        return self.leader == camera
