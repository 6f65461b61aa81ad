"""The gate: a converted file against the full-size model, photo by photo, by the very code that runs on the device."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_core.intervals import Estimate, accuracy, paired_difference
from edge_core.photos import Photo
from edge_core.progress import Track, silently
from edge_device.classifier import Classifier
from edge_device.interpreter import Scores


@dataclass(frozen=True)
class Changed:
    """A photo of which the converted file says something else than the full-size model."""

    path: Path
    label: str
    full_size: str
    converted: str


@dataclass(frozen=True)
class Comparison:
    """A converted file against the full-size model on the same held-out photos.

    Attributes:
        photos: how many.
        full_size, converted: top-1 accuracy of each, 95 % interval.
        difference: converted minus full-size, paired, 95 % interval; negative is a loss.
        agreement: share of photos with the same top-1, 95 % interval.
        changed: the other photos.
    """

    photos: int
    full_size: Estimate
    converted: Estimate
    difference: Estimate
    agreement: Estimate
    changed: tuple[Changed, ...]

    @property
    def drop_points(self) -> float:
        """Accuracy lost, in percentage points; negative if some was won."""
        return 0.0 - 100 * self.difference.value

    def photos_to_tell(self, max_drop: float) -> int | None:
        """How many photos it would take to tell whether more than `max_drop` points are lost; None if these do.

        As many as narrow the interval to `max_drop` on either side, at the share of photos that changed here.
        """
        if 100 * self.difference.high > -max_drop:
            half = 50 * (self.difference.high - self.difference.low)
            return ceil(self.photos * (half / max(max_drop, 0.1)) ** 2)
        return None

    def to_json(self) -> dict[str, Any]:
        return {
            "photos": self.photos,
            **{name: vars(getattr(self, name)) for name in ("full_size", "converted", "difference", "agreement")},
            "changed": [{**vars(item), "path": str(item.path)} for item in self.changed],
        }


def artifact_scores(classifier: Classifier, pixels: npt.NDArray[np.uint8], track: Track = silently) -> Scores:
    """Scores of a converted file for preprocessed pixels of shape (photos, height, width, 3): (photos, labels)."""
    label = f"Verifying with {classifier.runtime}"
    return np.stack([classifier.pixel_scores(picture) for picture in track(pixels, label, len(pixels))])


def full_size_scores(model: Any, pixels: npt.NDArray[np.uint8], track: Track = silently) -> Scores:
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
    return Comparison(
        len(photos),
        accuracy(right_full),
        accuracy(right_converted),
        paired_difference(right_converted, right_full),
        accuracy(said_full == said_converted),
        tuple(
            Changed(photos[row].path, photos[row].label, labels[said_full[row]], labels[said_converted[row]])
            for row in np.flatnonzero(said_full != said_converted).tolist()
        ),
    )
