"""Would more photos help? Accuracy of the solved head against the number of photos that it is solved on.

The head sees frozen features, which are there already, so a curve takes seconds. It is judged on the validation photos;
the test photos have no part in it.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from edge_core.progress import Track, silently
from edge_core.statistics import Estimate, accuracy
from edge_train.evaluation.learning_curve import CurvePoint, LearningCurve
from edge_train.training.solved_head.head import Array, one_blas_thread, solve_head

SIZES: Final = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Photos a class."""

DRAWS: Final = 5
"""Of each size; of all photos there is one."""

FOLDS: Final = 5

FEW_TESTED: Final = 100
"""Test photos below which the head is cross-validated, too: one photo more or less would be over a point."""

FITTED: Final = 4
"""Largest sizes that the extrapolation is fitted to: none of its laws holds from the first photo on."""

RESAMPLED: Final = 500

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """Features of photos.

    Attributes:
        values: Shape (photos, features).
        targets: Label numbers, shape (photos,).
        groups: `Photo.group` of each.
    """

    values: Array
    targets: Numbers
    groups: tuple[str, ...]

    def take(self, rows: Numbers) -> "Features":
        """Some of them, by position."""
        return Features(self.values[rows], self.targets[rows], tuple(self.groups[row] for row in rows.tolist()))

    def joined(self, others: "Features") -> "Features":
        """These and others behind them."""
        return Features(
            np.concatenate([self.values, others.values]),
            np.concatenate([self.targets, others.targets]),
            (*self.groups, *others.groups),
        )


def learning_curve(
    known: Features, judged: Features, labels: int, seed: int, *, cross_validate: bool = False, track: Track = silently
) -> LearningCurve:
    """Solves heads on more and more photos.

    Args:
        known: Features and labels to solve heads on.
        judged: Features and labels that judge the heads; none of their photos belongs together with one of `known`.
        labels: How many there are.
        seed: Random seed for the draws.
        cross_validate: Whether the head is cross-validated on both together, too.
        track: Receives the progress of each step.
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(known.targets, minlength=labels)
    # Not up to the largest class: heads on nearly all photos are the slowest to solve and say nothing new.
    plan = [size for size in SIZES if size < counts.mean()]
    draws = [(size, number) for size in plan for number in range(DRAWS)] + [(int(counts.max()), 0)]
    drawn = [(size, _drawn(known, size, rng)) for size, _ in draws]
    means = {size: len(rows) / labels for size, rows in drawn}
    found: dict[int, list[float]] = {}
    shares = _shares_right(known, [rows for _, rows in drawn], judged, labels, track)
    for (size, _), share in zip(drawn, shares, strict=True):
        found.setdefault(size, []).append(share)
    points = [CurvePoint(means[size], _over_draws(right, judged), tuple(right)) for size, right in found.items()]
    validated = None
    if cross_validate:
        both = known.joined(judged)
        right = cross_validated(both, labels, rng)
        validated = None if right is None else accuracy(right, both.groups)
    return LearningCurve(tuple(points), len(judged.targets), _gain(points, rng), validated)


def _shares_right(
    known: Features, drawn: Sequence[Numbers], judged: Features, labels: int, track: Track
) -> Iterator[float]:
    """The share that a head gets right which is solved on each of these draws, a head a core."""

    def share(rows: Numbers) -> float:
        return float(_right(known.take(rows), judged, labels).mean())

    with one_blas_thread(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            yield from track(pool.map(share, drawn), "Would more photos help?", len(drawn))
        finally:
            pool.shutdown(cancel_futures=True)  # an interruption need not wait for what is still queued


def error_at(photos: Sequence[float], errors: Sequence[float], wanted: float) -> tuple[float, float, float]:
    """The errors that three laws through errors at numbers of photos have at another number, by least squares.

    a + b / n, which soon has an end; a + b / sqrt(n); and b * n^-c, which has none (Hestness et al., "Deep Learning
    Scaling is Predictable", 2017). An error of zero counts as the least that could be told.

    Solved heads on flowers, two draws of half of the photos, judged on 909: from 50 to 202 photos a class the three say
    that 404 bring 0.8, 1.5 and 1.9 points, of the other draw 0.5, 0.9 and 1.3. They brought none and 1.4, since 202 had
    89.2 and 87.8 %: which photos there are matters as much as how many. From 10 to 100 of the first draw they say that
    186 bring 0.5, 1.3 and 2.0; they brought 2.2.
    """
    at = np.asarray(photos, float)

    def with_an_end(power: float) -> float:
        slope, end = np.polyfit(at**-power, errors, 1)
        # Errors that do not fall promise nothing: then their mean stands for every number.
        return float(end + slope * wanted**-power) if slope > 0 else float(np.mean(errors))

    slope, offset = np.polyfit(np.log(at), np.log(np.maximum(errors, 1e-4)), 1)
    endless = float(np.exp(offset + min(slope, 0.0) * np.log(wanted)))
    return with_an_end(1.0), with_an_end(0.5), endless


def _gain(points: Sequence[CurvePoint], rng: np.random.Generator) -> Estimate | None:
    """What twice the photos add by the middle law; the interval spans all three, with the draws of each point drawn
    again."""
    last = points[-FITTED:]
    if len(last) < 3:
        return None
    photos = [point.photos for point in last]

    def gained(shares: Sequence[float]) -> list[float]:
        errors = [1 - share for share in shares]
        now, then = (error_at(photos, errors, count) for count in (photos[-1], 2 * photos[-1]))
        return [before - after for before, after in zip(now, then, strict=True)]

    again = [
        gained([float(rng.choice(point.draws, len(point.draws)).mean()) for point in last]) for _ in range(RESAMPLED)
    ]
    _, value, _ = gained([point.accuracy.value for point in last])
    low, high = np.quantile(np.array(again), (0.025, 0.975))
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def _drawn(known: Features, size: int, rng: np.random.Generator) -> Numbers:
    """Positions of `size` photos of each class, or all of it; whole groups one after the other, as one would get
    more."""
    order: dict[str, float] = {}
    # One random number for a whole group keeps its photos together in the order.
    keys = [order.setdefault(group, rng.random()) if group else rng.random() for group in known.groups]
    ranked = np.argsort(keys, kind="stable")
    chosen = [ranked[known.targets[ranked] == label][:size] for label in np.unique(known.targets)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _right(known: Features, judged: Features, labels: int) -> npt.NDArray[np.bool_]:
    """Whether a head solved on `known` is right about each of `judged`."""
    kernel, bias = solve_head(known.values, known.targets, labels)
    return np.asarray((judged.values @ kernel + bias).argmax(axis=1) == judged.targets)


def _over_draws(shares: Sequence[float], judged: Features) -> Estimate:
    if len(shares) == 1:
        # The interval depends on how many are right, not on which.
        return accuracy(np.arange(len(judged.targets)) < round(shares[0] * len(judged.targets)), judged.groups)
    mean, spread = float(np.mean(shares)), float(np.std(shares, ddof=1))
    # Student's t, as the deviation is estimated from so few draws. All of scipy.stats would take 0.7 s to import.
    half = float(stdtrit(len(shares) - 1, 0.975)) * spread / len(shares) ** 0.5
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half))


def cross_validated(
    both: Features, labels: int, rng: np.random.Generator, track: Track = silently
) -> npt.NDArray[np.bool_] | None:
    """Whether a head is right about each photo that was solved on the other folds, of `FOLDS` that part no group.

    Args:
        both: Features and labels of all photos.
        labels: How many labels there are.
        rng: Random generator that deals the groups out to the folds.
        track: Receives the progress of each fold.

    Returns:
        Shape (photos,); None if a class is in a single fold.
    """
    names = [group or f"alone {row}" for row, group in enumerate(both.groups)]
    # From the end, so that of all rows with a name the first one stays.
    first = {name: row for row, name in reversed(list(enumerate(names)))}
    fold_of: dict[str, int] = {}
    for label in range(labels):  # class by class, so that each is in every fold, if it has as many groups
        mine = [name for name, row in first.items() if both.targets[row] == label]
        for place, number in enumerate(rng.permutation(len(mine)).tolist()):
            fold_of[mine[number]] = place % FOLDS
    folds = np.array([fold_of[name] for name in names])
    right = np.zeros(len(folds), bool)
    for fold in track(range(FOLDS), "Solving heads", FOLDS):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if set(both.targets[inside].tolist()) - set(both.targets[outside].tolist()):
            return None
        if len(inside):
            right[inside] = _right(both.take(outside), both.take(inside), labels)
    return right
