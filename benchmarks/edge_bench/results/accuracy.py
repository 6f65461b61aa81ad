"""Statistics of scores: what a row is right about, how sure it is of that, and how it differs from the first row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.statistics import Estimate, accuracy, mcnemar, paired_difference
from edge_train.evaluation.metrics import BINS, class_scores

Scores = npt.NDArray[np.float32]
"""Shape (photos, labels), 0..1."""
Truth = npt.NDArray[np.intp]
"""Index of the right label of each photo, shape (photos,)."""

Right = npt.NDArray[np.bool_]
"""Whether a row is right about each photo, as it is and corrupted in every way, shape (photos, 1 + ways)."""
Weights = npt.NDArray[np.float64]
"""How often each photo counts in each resample, shape (resamples, photos)."""
Values = npt.NDArray[np.float64]
"""Shape (resamples,)."""

RESAMPLES: Final = 1000
SEED: Final = 0


@dataclass(frozen=True)
class ClassAccuracy:
    """How much of a class is recognized (recall), and F1; None for a class without photos."""

    label: str
    photos: int
    recall: Estimate | None
    f1: Estimate | None


@dataclass(frozen=True)
class Difference:
    """A row against the first row, photo by photo.

    Attributes:
        top1: Accuracy minus the first row's, paired, 95 % interval of Agresti and Min.
        won, lost: Photos that only this row, and only the first row, is right about.
        mcnemar_p: P-value of McNemar's exact test for the hypothesis that neither row is better.
        agreement: Share of photos that get the first row's label, right or wrong.
    """

    top1: Estimate
    won: int
    lost: int
    mcnemar_p: float
    agreement: Estimate


@dataclass(frozen=True)
class Accuracy:
    """A row on the held-out photos; every interval is at 95 %.

    Attributes:
        top1, top5: Share of photos whose label is the best, or among the five best; Wilson's interval. `top5` is None
            for five labels or fewer, where it says nothing.
        macro_f1: Mean F1 of the classes; percentile bootstrap over photos.
        calibration_error: Expected calibration error, 15 bins of equal width (Guo et al. 2017); the same bootstrap.
        classes: Each class by itself.
        confusion: Photos by true and predicted label, shape (labels, labels).
        predicted: Index of the best label of each photo, in the order of the report's photos.
    """

    top1: Estimate
    top5: Estimate | None
    macro_f1: Estimate
    calibration_error: Estimate
    classes: tuple[ClassAccuracy, ...]
    confusion: tuple[tuple[int, ...], ...]
    predicted: tuple[int, ...]


def measure_accuracy(scores: Scores, truth: Truth, labels: Sequence[str]) -> Accuracy:
    """Judges the scores of one photo at least."""
    predicted = scores.argmax(1)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    weights = resampled(len(truth))
    return Accuracy(
        accuracy(predicted == truth),
        accuracy(_among_best(scores, truth, 5)) if len(labels) > 5 else None,
        bootstrap(lambda weights: _macro_f1(weights, truth, predicted), weights),
        bootstrap(lambda weights: _calibration_error(weights, scores.max(1), predicted == truth), weights),
        tuple(ClassAccuracy(one.label, one.photos, one.recall, one.f1) for one in class_scores(confusion, labels)),
        tuple(tuple(int(count) for count in row) for row in confusion),
        tuple(int(index) for index in predicted),
    )


def compare(scores: Scores, reference: Scores, truth: Truth) -> Difference:
    """A row's scores against the first row's, on the same photos."""
    predicted, expected = scores.argmax(1), reference.argmax(1)
    right, was_right = predicted == truth, expected == truth
    won, lost = int((right & ~was_right).sum()), int((was_right & ~right).sum())
    return Difference(
        paired_difference(right, was_right), won, lost, mcnemar(won, lost), accuracy(predicted == expected)
    )


def resampled(photos: int) -> Weights:
    """All photos once, then `RESAMPLES` times as many photos drawn with replacement, by a fixed seed."""
    random = np.random.default_rng(SEED)
    # Drawing with replacement, as counts: how often each photo counts in each resample.
    draws = random.multinomial(photos, np.full(photos, 1 / photos), RESAMPLES)
    return np.vstack([np.ones(photos), draws])


def bootstrap(measure: Callable[[Weights], Values], weights: Weights) -> Estimate:
    """A measure with the percentile bootstrap's 95 % interval (Efron 1979), widened where it misses the value itself.

    Args:
        measure: Function that computes the measure when each photo counts as often as the weights say.
        weights: Weights of the photos, as `resampled` makes them.
    """
    value, *values = measure(weights)
    low, high = np.percentile(values, (2.5, 97.5))
    return Estimate(float(value), float(min(value, low)), float(max(value, high)))


def _among_best(scores: Scores, truth: Truth, count: int) -> npt.NDArray[np.bool_]:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    among: npt.NDArray[np.bool_] = (best == truth[:, np.newaxis]).any(1)
    return among


def _macro_f1(weights: Weights, truth: Truth, predicted: Truth) -> Values:
    """F1 = 2 TP / (shown + predicted) of each class that a photo shows, and the mean over these classes."""
    total, classes = np.zeros(len(weights)), np.zeros(len(weights))
    for label in np.unique(truth):
        shown, taken = weights @ (truth == label), weights @ (predicted == label)
        right = weights @ ((truth == label) & (predicted == label))
        total += np.divide(2 * right, shown + taken, out=np.zeros_like(total), where=shown > 0)
        classes += shown > 0
    return total / classes


def _calibration_error(weights: Weights, best: Scores, right: npt.NDArray[np.bool_]) -> Values:
    """|score - accuracy| of each bin, its mean over the photos, with the bins of
    `edge_train.evaluation.metrics.reliability`."""
    place = np.clip(np.ceil(best * BINS).astype(int) - 1, 0, BINS - 1)
    # Within a bin the sum of score minus right is the bin's photos times the gap of its means.
    gap = best.astype(np.float64) - right
    total = np.zeros(len(weights))
    for number in np.unique(place):
        total += np.abs(weights @ (gap * (place == number)))
    error: Values = total / weights.sum(1)
    return error
