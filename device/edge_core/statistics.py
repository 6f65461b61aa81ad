"""95 % intervals, so that no accuracy stands alone."""

import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

Z_95: Final = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, all three in the same unit."""

    value: float
    low: float
    high: float

    def percent(self) -> str:
        """For people: `92.1 % (90.3 to 93.6)`."""
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def accuracy(correct: npt.NDArray[np.bool_] | npt.NDArray[np.float64], groups: Sequence[str] | None = None) -> Estimate:
    """Share of true values with Wilson's score interval (E. B. Wilson, JASA 22, 1927), which holds near 0 and 1, too.

    Args:
        correct: Shape (photos,), at least one. May be shares 0..1 of several answers about a photo: these vary less
            than ones and zeros of the same mean, so the interval is rather too wide for them.
        groups: One key per photo, equal for photos that show the same, empty for a photo by itself; see
            `effective_count`.
    """
    if not correct.size:
        raise ValueError("an accuracy needs at least one photo")
    return proportion(float(correct.mean()), correct.size if groups is None else effective_count(groups))


def proportion(share: float, count: float) -> Estimate:
    """Wilson's interval around a share of `count` photos, more than 0, which need not be a whole number."""
    middle = (share + Z_95**2 / (2 * count)) / (1 + Z_95**2 / count)
    half = Z_95 / (1 + Z_95**2 / count) * sqrt(share * (1 - share) / count + Z_95**2 / (4 * count**2))
    return Estimate(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))  # but for rounding


def effective_count(groups: Sequence[str]) -> float:
    """How many photos that have nothing in common tell as much as these, of which some belong together.

    (sum of n)^2 / sum of n^2 over the groups (L. Kish, Survey Sampling, 1965), with all photos of a group right or all
    wrong: thirty frames of a clip tell as much as one photo. Frames do differ, so this is the cautious end.

    Args:
        groups: One key per photo, equal for photos of one group, empty for a photo by itself; at least one photo.
    """
    sizes = Counter(group for group in groups if group)
    return len(groups) ** 2 / (sum(not group for group in groups) + sum(size**2 for size in sizes.values()))


def mean_share(shares: Sequence[Estimate]) -> Estimate:
    """Mean of shares that were estimated on different photos, each of them counting the same: balanced accuracy, say.

    The interval is made of theirs by the method of variance estimates recovery (Zou and Donner, Statistics in Medicine
    27, 2008), so a class with a single photo widens it as it should.

    Args:
        shares: Each with its 95 % interval, at least one.
    """
    if not shares:
        raise ValueError("a mean needs at least one share")
    count, value = len(shares), sum(share.value for share in shares) / len(shares)
    below = sqrt(sum((share.value - share.low) ** 2 for share in shares)) / count
    above = sqrt(sum((share.high - share.value) ** 2 for share in shares)) / count
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))


def paired_difference(correct: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> Estimate:
    """Accuracy of one model minus that of another on the same photos.

    The interval is Agresti and Min's (Statistics in Medicine 24, 2005): Wald's after half a photo is added to each of
    the four cells of the paired table, so that two models without a disagreement do not get an interval of width zero.

    Args:
        correct, reference: Shape (photos,), whether each model was right about each photo.
    """
    if correct.shape != reference.shape or not correct.size:
        raise ValueError("a paired difference needs the same photos for both models, at least one")
    won = int((correct & ~reference).sum())
    lost = int((reference & ~correct).sum())
    return _paired(won, lost, correct.size)


def _paired(won: float, lost: float, photos: int) -> Estimate:
    # Half a photo in each of four cells.
    total = photos + 2
    won_share, lost_share = (won + 0.5) / total, (lost + 0.5) / total
    middle = won_share - lost_share
    half = Z_95 * sqrt((won_share + lost_share - middle**2) / total)
    return Estimate((won - lost) / photos, max(-1.0, middle - half), min(1.0, middle + half))


def mcnemar(won: int, lost: int) -> float:
    """Probability of photos won and lost as unequal as these, or more so, between two models that are equally good.

    McNemar's test (Psychometrika 12, 1947) in its exact form: of the photos on which one model is right and the other
    is not, each is won or lost by a fair coin. Two-sided.
    """
    unequal = won + lost
    # Both tails. With as many won as lost the middle term counts twice, hence the limit of 1 below.
    as_unequal = 2 * sum(comb(unequal, count) for count in range(min(won, lost) + 1))
    # A fraction, as 2 to the power of 1,024 is beyond a float.
    return min(1.0, float(Fraction(as_unequal, 2**unequal)))


def photos_to_tell(won: int, lost: int, photos: int, limit: float) -> int:
    """How many photos it takes for an interval of `paired_difference` that reaches `limit` to either side, and no more.

    Args:
        won, lost: Photos on which only one of the two models was right, of `photos`; more photos are taken to have as
            large a share of them.
        limit: A difference in accuracy, more than 0.
    """

    def too_few(count: int) -> bool:
        found = _paired(count * won / photos, count * lost / photos, count)
        return found.high - found.low > 2 * limit

    # The more photos, the narrower: too few is true up to a count, and false from there on.
    return bisect_left(range(sys.maxsize), True, lo=1, key=lambda count: not too_few(count))
