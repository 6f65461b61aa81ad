"""Statistics of latencies that were measured in turns: medians with intervals, tails, jitter, and ratios by round."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.statistics import Estimate

Milliseconds = npt.NDArray[np.float64]
"""Latencies of the frames of one turn, shape (frames,)."""

QUANTILES: Final = tuple(range(0, 101, 5))
"""Percentiles that a report keeps of a distribution."""

MAX_SPREAD: Final = 0.10
"""Of the turns of a row, see `relative_iqr`; beyond it the row is called unstable."""


@dataclass(frozen=True)
class RowLatency:
    """What a frame took, in milliseconds.

    Attributes:
        median: Median of the medians of the turns, with its 95 % interval, see `median_interval`.
        p50, p95, p99: Percentiles over all frames.
        jitter: Interquartile range over all frames, as a share of `p50`.
        quantiles: The percentiles 0, 5, 10 … 100 over all frames.
    """

    median: Estimate
    p50: float
    p95: float
    p99: float
    jitter: float
    quantiles: tuple[float, ...]


def latency(turns: Sequence[Milliseconds]) -> RowLatency:
    """Sums up turns, one at least, each of one frame at least."""
    frames = np.concatenate(turns)
    p25, p50, p75, p95, p99 = (float(value) for value in np.percentile(frames, (25, 50, 75, 95, 99)))
    quantiles = tuple(float(value) for value in np.percentile(frames, QUANTILES))
    return RowLatency(median_interval(medians(turns)), p50, p95, p99, (p75 - p25) / p50, quantiles)


def medians(turns: Sequence[Milliseconds]) -> Milliseconds:
    """Of each turn, shape (turns,): the frames of a turn share its luck, so the turn is what is counted."""
    return np.array([np.median(turn) for turn in turns])


def median_interval(values: npt.NDArray[np.float64]) -> Estimate:
    """The median with a 95 % interval between two order statistics, which asks nothing of the distribution.

    So many values are cut off at either end as a fair coin gives heads in n throws with a probability of 2.5 % at most
    (David and Nagaraja, Order Statistics, 2003, 7.1). Fewer than six values give no such interval: theirs is the range.
    """
    count, cut, tail = len(values), 0, 0
    # tail / 2**count is the chance of so many heads or fewer; 2.5 % is one in 40.
    for heads in range(count // 2):
        tail += comb(count, heads)
        if 40 * tail > 2**count:
            break
        cut = heads
    ordered = np.sort(values)
    return Estimate(float(np.median(values)), float(ordered[cut]), float(ordered[count - 1 - cut]))


def ratio(turns: Sequence[Milliseconds], reference: Sequence[Milliseconds]) -> Estimate:
    """How long a row takes, as a multiple of the first row: the median of the ratios within the rounds.

    What slows the machine for a while slows both turns of a round, so this repeats where milliseconds do not.

    Args:
        turns, reference: Latencies of the row and of the first row, one entry for each round, the same number of
            rounds.
    """
    return median_interval(medians(turns) / medians(reference))


def relative_iqr(turns: Sequence[Milliseconds]) -> float:
    """Interquartile range of the turns' medians, as a share of their median."""
    low, middle, high = np.percentile(medians(turns), (25, 50, 75))
    return float((high - low) / middle)


def narrow_enough(estimate: Estimate, precision: float) -> bool:
    """Whether the interval reaches no further than `precision` of the value to either side, on average of both."""
    return estimate.high - estimate.low <= 2 * precision * estimate.value
