"""The gate: a converted file against the full-size model, photo by photo, by the very code that runs on the device."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Photo
from edge_core.progress import Track, silently
from edge_core.statistics import Estimate, accuracy, mcnemar, paired_difference, photos_to_tell
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import Scores

if TYPE_CHECKING:
    from edge_keras.tf import keras

Judgement = Literal["within the limit", "over the limit", "too few photos to tell"]


@dataclass(frozen=True)
class Changed:
    """A photo of which the converted file says something else than the full-size model.

    Attributes:
        path, label: Path and true label of the photo.
        full_size, converted: What each says.
        full_size_score, converted_score: How sure it is of that, 0..1.
    """

    path: Path
    label: str
    full_size: str
    converted: str
    full_size_score: float
    converted_score: float


@dataclass(frozen=True)
class ClassDrop:
    """What one class lost.

    Attributes:
        label: Label of the class.
        photos: That show it.
        difference: Change of the class's recall, converted minus full-size, paired by photo, with a 95 % interval.
    """

    label: str
    photos: int
    difference: Estimate


@dataclass(frozen=True)
class Comparison:
    """A converted file against the full-size model on the same held-out photos.

    Attributes:
        photos: Number of held-out photos that both models classified.
        full_size, converted: top-1 accuracy of each, 95 % interval.
        difference: Converted minus full-size, paired, 95 % interval; negative is a loss.
        won, lost: Photos that only the converted file, and only the full-size model, is right about.
        agreement: Share of photos with the same top-1, 95 % interval.
        score_difference: Mean absolute difference of the scores, over photos and labels.
        worst_class: The one that lost most.
        changed: Photos with another top-1, those of which the full-size model was surest first.
    """

    photos: int
    full_size: Estimate
    converted: Estimate
    difference: Estimate
    won: int
    lost: int
    agreement: Estimate
    score_difference: float
    worst_class: ClassDrop
    changed: tuple[Changed, ...]

    @property
    def drop_points(self) -> float:
        """Accuracy lost, in percentage points; negative if some was won."""
        # Not a bare minus, which makes -0.0 of 0.0.
        return 0.0 - 100 * self.difference.value

    @cached_property
    def p_value(self) -> float:
        """Of McNemar's exact test, that neither is better."""
        return mcnemar(self.won, self.lost)

    def judge(self, max_drop: float) -> Judgement:
        """Whether more than `max_drop` points of accuracy were lost, by the 95 % interval of the difference."""
        if 100 * self.difference.high < -max_drop:
            return "over the limit"
        return "within the limit" if 100 * self.difference.low >= -max_drop else "too few photos to tell"

    def passes(self, max_drop: float) -> bool:
        """Whether a loss of `max_drop` points is kept to, as far as these photos tell.

        A loss that is shown to be larger never passes. Where the photos cannot tell, what was found on them decides: 40
        photos, one of which is 2.5 points, could show no limit to be kept to.
        """
        # 7 of 1,000 are 0.7 points, though not in binary
        return self.judge(max_drop) != "over the limit" and self.drop_points <= max_drop + 1e-9

    def photos_to_tell(self, max_drop: float) -> int | None:
        """How many photos it would take to tell whether more than `max_drop` points are lost; None if these do.

        As many as narrow the interval to `max_drop` on either side, at the share of photos that changed here.
        """
        if self.judge(max_drop) != "too few photos to tell":
            return None
        # a tenth of a point takes tens of thousands already, and none at all would take infinitely many
        enough = photos_to_tell(self.won, self.lost, self.photos, max(max_drop, 0.1) / 100)
        return max(enough, self.photos + 1)

    def to_json(self) -> JsonObject:
        estimates = {name: vars(getattr(self, name)) for name in ("full_size", "converted", "difference", "agreement")}
        return {
            "photos": self.photos,
            **estimates,
            "won": self.won,
            "lost": self.lost,
            "mcnemar_p": self.p_value,
            "mean_score_difference": self.score_difference,
            "worst_class": asdict(self.worst_class),
            "changed": [{**vars(item), "path": str(item.path)} for item in self.changed],
        }

    def judgement_to_json(self, max_drop: float) -> JsonObject:
        """What `judge` says, for a script."""
        return {
            "max_drop_points": max_drop,
            "verdict": self.judge(max_drop),
            "photos_to_tell": self.photos_to_tell(max_drop),
        }


@dataclass(frozen=True)
class Scored:
    """What a file said of photos.

    Attributes:
        scores: Shape (photos, labels).
        latency_ms: Median time of one inference on this machine, from preprocessed pixels to scores.
        familiarities: Familiarity of each photo; None if the file has no detector.
    """

    scores: Scores
    latency_ms: float
    familiarities: npt.NDArray[np.float64] | None = None


def artifact_scores(classifier: Classifier, pixels: npt.NDArray[np.uint8], track: Track = silently) -> Scored:
    """What a converted file says of preprocessed pixels of shape (photos, height, width, 3)."""
    scores, seconds, familiarities = [], [], []
    for photo in track(pixels, "Scoring with the converted file", len(pixels)):
        start = time.perf_counter()
        scores.append(classifier.pixel_scores(photo))
        seconds.append(time.perf_counter() - start)
        familiarities.append(classifier.familiarity())
    known = None if None in familiarities else np.array(familiarities, np.float64)
    return Scored(np.stack(scores), 1e3 * float(np.median(seconds)), known)


def full_size_scores(model: "keras.Model", pixels: npt.NDArray[np.uint8], track: Track = silently) -> Scores:
    """Scores of the Keras model for the same pixels."""
    parts = range(0, len(pixels), 64)
    return np.concatenate(
        [
            model.predict_on_batch(pixels[first : first + 64].astype(np.float32))
            for first in track(parts, "Scoring with the full-size model", len(parts))
        ]
    )


def compare(full_size: Scores, converted: Scores, photos: Sequence[Photo], labels: Sequence[str]) -> Comparison:
    """Compares scores of shape (photos, labels), row i of both being of `photos[i]`."""
    truth = np.array([labels.index(photo.label) for photo in photos])
    said_full, said_converted = full_size.argmax(axis=1), converted.argmax(axis=1)
    right_full, right_converted = said_full == truth, said_converted == truth
    drops = [
        ClassDrop(labels[label], int(shown.sum()), paired_difference(right_converted[shown], right_full[shown]))
        for label in np.unique(truth).tolist()
        for shown in [truth == label]
    ]
    rows = np.flatnonzero(said_full != said_converted)
    surest_first = rows[np.argsort(-full_size[rows, said_full[rows]], kind="stable")].tolist()
    return Comparison(
        photos=len(photos),
        full_size=accuracy(right_full),
        converted=accuracy(right_converted),
        difference=paired_difference(right_converted, right_full),
        won=int((right_converted & ~right_full).sum()),
        lost=int((right_full & ~right_converted).sum()),
        agreement=accuracy(said_full == said_converted),
        score_difference=float(np.abs(converted - full_size).mean()),
        worst_class=min(drops, key=lambda drop: drop.difference.value),
        changed=tuple(
            Changed(
                photos[row].path,
                photos[row].label,
                labels[said_full[row]],
                labels[said_converted[row]],
                float(full_size[row, said_full[row]]),
                float(converted[row, said_converted[row]]),
            )
            for row in surest_first
        ),
    )
