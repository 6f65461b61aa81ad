"""Rows timed in turns."""

import base64
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import numpy as np

from edge_bench.backends.contenders import RowSpec
from edge_bench.measure.power import Log
from edge_bench.measure.worker_process import BenchWorker
from edge_bench.results.accuracy import Right, Scores
from edge_bench.results.latency import (
    MAX_SPREAD,
    Milliseconds,
    median_interval,
    medians,
    narrow_enough,
    ratio,
    relative_iqr,
)
from edge_bench.results.report import BenchSettings, Sustained, Turn
from edge_core.codec import from_fields
from edge_core.errors import EdgeError
from edge_core.progress import Track, silently
from edge_device.system.board import Readings

BURST_SECONDS: Final = 0.25
"""How long a row is timed before another has its turn; a clock that slows down as the machine heats hits all alike."""

LONGER_SECONDS: Final = 1.0
"""A turn of a row that runs alone; less where that is asked for."""

FEWEST_ROUNDS: Final = 10
FIRST_SECONDS: Final = 10.0


@dataclass
class Timed:
    """What a turn gave: milliseconds frame by frame, the board's readings at its end, its mean power if that is
    known."""

    time_s: float
    preprocess_ms: Milliseconds
    invoke_ms: Milliseconds
    readings: Readings
    watts: float | None

    @property
    def total_ms(self) -> Milliseconds:
        return self.preprocess_ms + self.invoke_ms

    def summed_up(self) -> Turn:
        return Turn(self.time_s, float(np.median(self.total_ms)), len(self.total_ms), self.readings)


@dataclass
class Contender:
    """A candidate with its process and what was measured of it so far.

    Attributes:
        first: Whether this is the row that the others are compared with.
        failure: Why it is out; empty while it is in.
    """

    candidate: RowSpec
    worker: BenchWorker
    first: bool
    runtime: str
    cold_start_ms: float
    first_ms: float
    file_bytes: int
    turns: list[Timed] = field(default_factory=list)
    scores: Scores | None = None
    peak_mb: float = 0.0
    right: Right | None = None
    sustained: Sustained | None = None
    failure: str = ""

    @contextmanager
    def attempted(self) -> Iterator[None]:
        """Around work with it: an error puts it out of the benchmark, or ends the benchmark if this is the first
        row."""
        try:
            yield
        except EdgeError as error:
            if self.first:
                raise
            self.failure = str(error)

    def classify(self, pixels: Sequence[str]) -> Scores:
        """Scores of preprocessed photos, names of .npy files."""
        data = base64.b64decode(self.worker.ask("classify", pixels=list(pixels))["scores"])
        return np.frombuffer(data, "<f4").reshape(len(pixels), len(self.candidate.labels)).astype(np.float32)

    @property
    def total_ms(self) -> list[Milliseconds]:
        return [turn.total_ms for turn in self.turns]


class Clock:
    """Times turns."""

    def __init__(self, frames: Sequence[str], order: random.Random, log: Log | None = None) -> None:
        """Starts the time that turns are told by.

        Args:
            frames: Names of .npy files, which each turn sees in an order of its own.
            order: Random generator for the order of the frames.
            log: Log of a power meter, preferred to the board's own sensor.
        """
        self._frames, self._order, self._log = frames, order, log
        self._start = time.perf_counter()

    def turn(self, worker: BenchWorker, seconds: float) -> Timed:
        frames = self._order.sample(self._frames, len(self._frames))
        begin = time.time()
        timed = worker.ask("burst", frames=frames, seconds=seconds)
        watts = self._log.mean_watts(begin, time.time()) if self._log else timed["watts"]
        return Timed(
            time.perf_counter() - self._start,
            np.array(timed["preprocess_ms"]),
            np.array(timed["invoke_ms"]),
            from_fields(Readings, timed["readings"]),
            watts,
        )


def time_rounds(
    contenders: Sequence[Contender],
    clock: Clock,
    settings: BenchSettings,
    order: random.Random,
    track: Track = silently,
) -> None:
    """Gives each contender a turn a round, in random order, until all is known well enough or time is up."""
    rounds = max(1, round(settings.seconds / BURST_SECONDS))

    def turns() -> Iterator[Contender]:
        for number in range(rounds):
            staying = [one for one in contenders if not one.failure]
            yield from order.sample(staying, len(staying))
            if number + 1 >= FEWEST_ROUNDS and _settled(staying, settings.precision):
                return

    for contender in track(turns(), "Timing in turns", rounds * len(contenders)):
        with contender.attempted():
            contender.turns.append(clock.turn(contender.worker, min(BURST_SECONDS, settings.seconds)))


def _settled(contenders: Sequence[Contender], precision: float) -> bool:
    first = contenders[0].total_ms
    staying = [one.total_ms for one in contenders if not one.failure]
    return all(
        narrow_enough(median_interval(medians(turns)), precision) and narrow_enough(ratio(turns, first), precision)
        for turns in staying
    )


def time_sustained(contender: Contender, clock: Clock, seconds: float, track: Track = silently) -> Sustained:
    """Lets a contender run alone without a pause."""
    turns: list[Turn] = []

    def until_time_is_up() -> Iterator[int]:
        end = time.monotonic() + seconds
        while not turns or time.monotonic() < end:
            yield len(turns)

    for _ in track(until_time_is_up(), f"Sustained: {contender.candidate.name}", round(seconds / LONGER_SECONDS)):
        turns.append(clock.turn(contender.worker, min(LONGER_SECONDS, seconds)).summed_up())
    begin = turns[0].time_s
    first = median(turn.total_ms for turn in turns if turn.time_s - begin < FIRST_SECONDS)
    last = median(turn.total_ms for turn in turns[-max(1, len(turns) // 4) :])
    return Sustained(tuple(turns), last / first, _held_back([turn.readings for turn in turns]))


def unstable(contender: Contender) -> tuple[str, ...]:
    """Why a row's latencies are not to be believed: throttling, or turns that differ too much."""
    reasons = list(_held_back([turn.readings for turn in contender.turns]))
    between = relative_iqr(contender.total_ms)
    if between > MAX_SPREAD:
        reasons.append(f"its turns spread by {100 * between:.0f} %")
    return tuple(reasons)


def _held_back(readings: Sequence[Readings]) -> tuple[str, ...]:
    flags = [flag for one in readings for flag in one.throttled]
    return tuple(f"{flag} in {flags.count(flag)} of {len(readings)} turns" for flag in dict.fromkeys(flags))


def joules_per_frame(turns: Sequence[Timed]) -> float | None:
    """Energy of the whole board for a frame: mean power of a turn times the mean time of its frames; median of
    turns."""
    known = [turn.watts * float(turn.total_ms.mean()) / 1e3 for turn in turns if turn.watts is not None]
    return median(known) if known else None
