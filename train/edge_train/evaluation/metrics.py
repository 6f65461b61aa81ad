"""What scores for photos with known labels tell: accuracy, each class by itself, whether the scores can be believed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Photo, Unusable
from edge_core.errors import RunFolderError
from edge_core.statistics import Estimate, accuracy, effective_count, mean_share, proportion
from edge_train.evaluation.subject_sizes import SubjectSize

BINS: Final = 15
"""Of equal width, as in Guo et al., On Calibration of Modern Neural Networks, ICML 2017."""


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others; None where there is nothing to count.

    Attributes:
        label: Label of the class.
        photos: That show it.
        predicted: Photos that were taken for it.
        precision: Share of those taken for it that show it.
        recall: Share of those that show it that were taken for it.
        f1: Harmonic mean of the two.
    """

    label: str
    photos: int
    predicted: int
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None


@dataclass(frozen=True)
class Bin:
    """The photos whose best score lies above `low` and up to `high`.

    Attributes:
        low, high: Bounds of the score.
        photos: Number of photos in the bin.
        score: Their mean best score.
        accuracy: The share that is right; a model whose scores can be believed has both the same.
    """

    low: float
    high: float
    photos: int
    score: float
    accuracy: Estimate


@dataclass(frozen=True)
class Judged:
    """A photo, its label, what the model said of it, and `Photo.group`."""

    path: Path
    label: str
    label_score: float
    predicted: str
    predicted_score: float
    group: str = ""


@dataclass(frozen=True)
class Evaluation:
    """Predictions for photos whose labels are known.

    Attributes:
        labels: Labels in the order of the model's outputs.
        judged: One entry a photo.
        accuracy: top-1, 95 % interval.
        unusable: Photos that could not be decoded.
        left_out: Number of photos that are not counted because the run was trained or validated on any of them.
        subject_sizes: Accuracy on frames in which the photos are small, by their size; empty where that was not tried.
    """

    labels: tuple[str, ...]
    judged: tuple[Judged, ...]
    accuracy: Estimate
    unusable: tuple[Unusable, ...] = ()
    left_out: int = 0
    subject_sizes: tuple[SubjectSize, ...] = ()

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Counts, shape (true label, predicted label)."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        counts = np.zeros((len(self.labels), len(self.labels)), np.int64)
        for item in self.judged:
            counts[numbers[item.label], numbers[item.predicted]] += 1
        return counts

    def classes(self) -> list[ClassScore]:
        """Precision, recall and F1 of each class."""
        weights = []
        for label in self.labels:
            groups = [item.group for item in self.judged if item.label == label]
            weights.append(effective_count(groups) / len(groups) if groups else 1.0)
        return class_scores(self.confusion, self.labels, weights)

    def recall(self) -> dict[str, Estimate]:
        """Accuracy within each class that has photos."""
        return {one.label: one.recall for one in self.classes() if one.recall}

    @property
    def balanced_accuracy(self) -> Estimate:
        """Mean of the classes' recalls, so that a rare class counts as much as a large one (Brodersen et al., 2010)."""
        return mean_share(list(self.recall().values()))

    @property
    def majority(self) -> tuple[str, float]:
        """The label with the most photos and its share of them: what a model that always says it would score."""
        label, count = Counter(item.label for item in self.judged).most_common(1)[0]
        return label, count / len(self.judged)

    def reliability(self) -> tuple[list[Bin], float]:
        """Score against accuracy, bin by bin, and the expected calibration error."""
        return reliability(
            np.array([item.predicted_score for item in self.judged], np.float64),
            np.array([item.predicted == item.label for item in self.judged]),
        )

    def worst_first(self) -> list[Judged]:
        """The photos, those with the lowest score for their own label first."""
        return sorted(self.judged, key=lambda item: item.label_score)

    def mistakes(self) -> list[Judged]:
        """The photos that were judged wrong, the most confident first."""
        wrong = [item for item in self.judged if item.predicted != item.label]
        return sorted(wrong, key=lambda item: -item.predicted_score)

    def to_json(self) -> JsonObject:
        bins, error = self.reliability()
        return {
            "photos": len(self.judged),
            "accuracy": vars(self.accuracy),
            "balanced_accuracy": vars(self.balanced_accuracy),
            "majority": dict(zip(("label", "share"), self.majority, strict=True)),
            "recall": {label: vars(share) for label, share in self.recall().items()},
            "classes": [asdict(one) for one in self.classes()],
            "expected_calibration_error": error,
            "reliability": [asdict(one) for one in bins],
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
            "subject_sizes": [asdict(one) for one in self.subject_sizes],
            "left_out_seen_in_training": self.left_out,
            "unusable": [{"path": str(item.path), "reason": item.reason} for item in self.unusable],
        }


def evaluate_scores(scores: npt.NDArray[np.float32], photos: Sequence[Photo], labels: Sequence[str]) -> Evaluation:
    """Judges scores of shape (photos, labels).

    Raises:
        RunFolderError: There are no photos.
    """
    if not len(photos):
        raise RunFolderError("there is no photo to test on")
    numbers = {label: number for number, label in enumerate(labels)}
    judged = [
        Judged(
            photo.path,
            photo.label,
            float(row[numbers[photo.label]]),
            labels[int(row.argmax())],
            float(row.max()),
            photo.group,
        )
        for photo, row in zip(photos, scores, strict=True)
    ]
    correct = np.array([item.predicted == item.label for item in judged])
    return Evaluation(tuple(labels), tuple(judged), accuracy(correct, [item.group for item in judged]))


def class_scores(
    confusion: npt.NDArray[np.int64], labels: Sequence[str], weights: Sequence[float] | None = None
) -> list[ClassScore]:
    """Precision, recall and F1 of each class with 95 % intervals.

    Args:
        confusion: Counts, shape (true label, predicted label).
        labels: Labels in the order of the result.
        weights: One weight for each label: what one of its photos tells as a share of what an independent photo
            tells, see `statistics.effective_count`; 1 by default.
    """
    scores = []
    for number, label in enumerate(labels):
        right, weight = int(confusion[number, number]), weights[number] if weights else 1.0
        photos, predicted = int(confusion[number].sum()), int(confusion[:, number].sum())
        scores.append(
            ClassScore(
                label,
                photos,
                predicted,
                _share(right, predicted, weight),
                _share(right, photos, weight),
                _f1(_share(right, photos + predicted - right, weight)),
            )
        )
    return scores


def reliability(
    scores: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_], bins: int = BINS
) -> tuple[list[Bin], float]:
    """The bins that hold photos, and the expected calibration error: |score - accuracy|, its mean over the photos.

    Args:
        scores: The best score of each photo, 0..1, shape (photos,).
        correct: Whether the label with that score was right, shape (photos,), at least one.
        bins: Number of bins of equal width.
    """
    # Bins are (low, high]: a score on a bound belongs to the lower one, and 0 to the first.
    place = np.clip(np.ceil(scores * bins).astype(int) - 1, 0, bins - 1)
    filled = [
        Bin(
            number / bins,
            (number + 1) / bins,
            int((place == number).sum()),
            float(scores[place == number].mean()),
            accuracy(correct[place == number]),
        )
        for number in np.unique(place).tolist()
    ]
    return filled, sum(one.photos * abs(one.score - one.accuracy.value) for one in filled) / len(scores)


def _share(count: int, total: int, weight: float) -> Estimate | None:
    return proportion(count / total, weight * total) if total else None


def _f1(overlap: Estimate | None) -> Estimate | None:
    """F1 from the share of photos that are both shown and predicted among those that are either.

    That share, Jaccard's, is a proportion with Wilson's interval, and F1 = 2 J / (1 + J) grows with it, so the bounds
    carry over.
    """
    if overlap is None:
        return None
    return Estimate(*(2 * share / (1 + share) for share in (overlap.value, overlap.low, overlap.high)))
