"""When a board asks for updates: spread over the fleet, and rarer where nobody answers."""

from dataclasses import dataclass, field
from random import Random
from typing import Final

FIRST_S: Final = 60.0
"""Seconds after its start within which a board asks first: after a power cut all boards of a street start at once."""

LONGEST_S: Final = 86_400.0
"""Seconds between two attempts at most, however often they failed."""

DOUBLINGS: Final = 5
"""Failures in a row that each double the pause. A board that asks every two seconds, beside who trains its model, has
asked for an hour by the time that the first one is published, and would wait for another: now a minute and a half at
most. One that asks every hour waits for `LONGEST_S`, as before."""


@dataclass
class PollSchedule:
    """Pauses between two polls.

    Attributes:
        every_s: Mean pause in seconds, of which each is 0.5 to 1.5 times.
        jitter: Source of random numbers.
        failures: Number of polls in a row that failed.
    """

    every_s: float
    jitter: Random = field(default_factory=Random)
    failures: int = 0

    def first(self) -> float:
        """Seconds from the start to the first poll."""
        return self.jitter.uniform(0, min(FIRST_S, self.every_s))

    def after(self, succeeded: bool) -> float:
        """Seconds from a poll to the next.

        Args:
            succeeded: Whether the server gave a valid answer, new or not.
        """
        self.failures = 0 if succeeded else self.failures + 1
        pause_s = min(LONGEST_S, self.every_s * 2 ** min(self.failures, DOUBLINGS))
        return float(pause_s * self.jitter.uniform(0.5, 1.5))
