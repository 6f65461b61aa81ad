"""95 % intervals, so that no accuracy stands alone."""

from dataclasses import dataclass
from math import sqrt
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


def accuracy(correct: npt.NDArray[np.bool_]) -> Estimate:
    """Share of true values with Wilson's score interval (E. B. Wilson, JASA 22, 1927), which holds near 0 and 1, too.

    Args:
        correct: shape (photos,), at least one.
    """
    if not correct.size:
        raise ValueError("an accuracy needs at least one photo")
    count, share = correct.size, float(correct.mean())
    middle = (share + Z_95**2 / (2 * count)) / (1 + Z_95**2 / count)
    half = Z_95 / (1 + Z_95**2 / count) * sqrt(share * (1 - share) / count + Z_95**2 / (4 * count**2))
    return Estimate(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))  # but for rounding


def paired_difference(correct: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> Estimate:
    """Accuracy of one model minus that of another on the same photos.

    The interval is Agresti and Min's (Statistics in Medicine 24, 2005): Wald's after half a photo is added to each of
    the four cells of the paired table, so that two models without a disagreement do not get an interval of width zero.

    Args:
        correct, reference: shape (photos,), whether each model was right about each photo.
    """
    if correct.shape != reference.shape or not correct.size:
        raise ValueError("a paired difference needs the same photos for both models, at least one")
    won = int((correct & ~reference).sum())
    lost = int((reference & ~correct).sum())
    total = correct.size + 2
    won_share, lost_share = (won + 0.5) / total, (lost + 0.5) / total
    middle = won_share - lost_share
    half = Z_95 * sqrt((won_share + lost_share - middle**2) / total)
    return Estimate((won - lost) / correct.size, max(-1.0, middle - half), min(1.0, middle + half))
