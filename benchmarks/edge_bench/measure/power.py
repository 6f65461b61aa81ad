"""What the board draws, in watts, between two moments: its own counters, or the log of a meter on its cable."""

import csv
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol

import numpy as np

from edge_core.errors import SettingsError

ROOT: Final = Path("/")
MICRO: Final = 1e-6


@dataclass(frozen=True)
class Sample:
    """What a meter said at a moment, `time.monotonic`: energy so far in joules, or power in watts."""

    time: float
    value: float


class Meter(Protocol):
    """Tells what the board draws.

    Attributes:
        source: Where it knows it from, in words.
    """

    source: ClassVar[str]

    def sample(self) -> Sample: ...

    def mean_watts(self, begin: Sample, end: Sample) -> float:
        """Mean power between two samples."""
        ...


class Counter:
    """Intel's and AMD's running average power limit: counters of energy below /sys/class/powercap, package by
    package."""

    source: ClassVar[str] = "energy counters of the processor (RAPL)"

    def __init__(self, counters: Sequence[Path]) -> None:
        self._counters = counters
        self._ranges = [MICRO * (_number(path.with_name("max_energy_range_uj")) or 0) for path in counters]
        self._last = [0.0] * len(counters)
        self._turned = 0.0

    def sample(self) -> Sample:
        # One that cannot be read stands still: taken for 0, it would look as if it had begun anew.
        found = [_number(path) for path in self._counters]
        values = [last if one is None else MICRO * one for one, last in zip(found, self._last, strict=True)]
        for value, last, whole in zip(values, self._last, self._ranges, strict=True):
            # A counter below its last value has begun anew from 0.
            self._turned += whole if value < last else 0
        self._last = values
        return Sample(time.monotonic(), sum(values) + self._turned)

    def mean_watts(self, begin: Sample, end: Sample) -> float:
        return (end.value - begin.value) / max(end.time - begin.time, 1e-9)


class Gauge:
    """A power sensor that the kernel knows, /sys/class/hwmon/*/power1_input: a Jetson's or an INA219's, say."""

    source: ClassVar[str] = "power sensors of the board (hwmon)"

    def __init__(self, sensors: Sequence[Path]) -> None:
        self._sensors = sensors

    def sample(self) -> Sample:
        return Sample(time.monotonic(), sum(MICRO * (_number(path) or 0) for path in self._sensors))

    def mean_watts(self, begin: Sample, end: Sample) -> float:
        return (begin.value + end.value) / 2


class Log:
    """The log of a USB power meter: a CSV with the columns `time`, seconds since 1970, and `watts`; it may grow
    still."""

    source: ClassVar[str] = "a meter's log"

    def __init__(self, path: Path) -> None:
        """Checks that it can be read.

        Raises:
            SettingsError: It cannot, or has other columns.
        """
        self._path = path
        self._read()

    def mean_watts(self, begin: float, end: float) -> float | None:
        """Mean power between two moments, seconds since 1970; None where the log does not cover them."""
        times, watts = self._read()
        first, last = bisect_left(times, begin), bisect_left(times, end)
        # Readings have to lie on both sides of both moments.
        if first == 0 or last >= len(times) or end <= begin:
            return None
        inside = [begin, *times[first:last], end]
        levels = np.interp(inside, times, watts)
        # The sum of the trapezoids between readings, with interpolated ones at both ends.
        return float(((levels[1:] + levels[:-1]) / 2 * np.diff(inside)).sum()) / (end - begin)

    def _read(self) -> tuple[list[float], list[float]]:
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                rows = [(float(row["time"]), float(row["watts"])) for row in reader]
            if not {"time", "watts"} <= {*(reader.fieldnames or ())} or not np.isfinite(rows).all():
                raise ValueError("a column is missing, or a value is no number")
        except OSError as error:
            raise SettingsError(f"{self._path}: {error.strerror}") from error
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise SettingsError(f"{self._path} is no log with the columns time and watts: {error}") from error
        rows.sort()
        return [row[0] for row in rows], [row[1] for row in rows]


def find_meter(root: Path = ROOT) -> Meter | None:
    """What this machine measures its power with: sensors of the board, or counters of the processor; None for
    nothing."""
    sensors = [path for path in sorted(root.glob("sys/class/hwmon/hwmon*/power*_input")) if _number(path) is not None]
    if sensors:
        return Gauge(sensors)
    counters = sorted(root.glob("sys/class/powercap/*-rapl:[0-9]*/energy_uj"))
    # intel-rapl:0 is a package; intel-rapl:0:0 is a part of it, which is counted in it already.
    packages = [path for path in counters if path.parent.name.count(":") == 1 and _number(path) is not None]
    return Counter(packages) if packages else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
