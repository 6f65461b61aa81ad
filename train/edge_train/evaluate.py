"""How good a trained run is on photos that it has never seen, and what it makes of single pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_core.errors import RunFolderError
from edge_core.intervals import Estimate, accuracy
from edge_core.photos import Photo, Unusable
from edge_core.pictures import read_picture
from edge_core.preprocess import preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, read_held_out
from edge_device.classifier import Prediction, top
from edge_train.tf import keras


@dataclass(frozen=True)
class Judged:
    """A photo, its label, and what the model said of it."""

    path: Path
    label: str
    label_score: float
    predicted: str
    predicted_score: float


@dataclass(frozen=True)
class Evaluation:
    """Predictions for photos whose labels are known.

    Attributes:
        labels: in the order of the model's outputs.
        judged: one entry a photo.
        accuracy: top-1, 95 % interval.
        unusable: photos that could not be decoded.
        left_out: photos passed over because the run was trained or validated on them.
    """

    labels: tuple[str, ...]
    judged: tuple[Judged, ...]
    accuracy: Estimate
    unusable: tuple[Unusable, ...] = ()
    left_out: int = 0

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Counts, shape (true label, predicted label)."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        counts = np.zeros((len(self.labels), len(self.labels)), np.int64)
        for item in self.judged:
            counts[numbers[item.label], numbers[item.predicted]] += 1
        return counts

    def recall(self) -> dict[str, Estimate]:
        """Accuracy within each class that has photos."""
        by_label: dict[str, list[bool]] = {label: [] for label in self.labels}
        for item in self.judged:
            by_label[item.label].append(item.predicted == item.label)
        return {label: accuracy(np.array(correct)) for label, correct in by_label.items() if correct}

    def worst_first(self) -> list[Judged]:
        """The photos, those with the lowest score for their own label first."""
        return sorted(self.judged, key=lambda item: item.label_score)

    def to_json(self) -> dict[str, Any]:
        return {
            "photos": len(self.judged),
            "accuracy": vars(self.accuracy),
            "recall": {label: vars(share) for label, share in self.recall().items()},
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
            "left_out_seen_in_training": self.left_out,
            "unusable": [{"path": str(item.path), "reason": item.reason} for item in self.unusable],
        }


def evaluate_scores(scores: npt.NDArray[np.float32], photos: Sequence[Photo], labels: Sequence[str]) -> Evaluation:
    """Judges scores of shape (photos, labels).

    Raises:
        RunFolderError: there are no photos.
    """
    if not len(photos):
        raise RunFolderError("there is no photo to test on")
    numbers = {label: number for number, label in enumerate(labels)}
    judged = [
        Judged(photo.path, photo.label, float(row[numbers[photo.label]]), labels[int(row.argmax())], float(row.max()))
        for photo, row in zip(photos, scores, strict=True)
    ]
    return Evaluation(
        tuple(labels), tuple(judged), accuracy(np.array([item.predicted == item.label for item in judged]))
    )


def load_model(run: Run) -> "keras.Model":
    """The full-size model of a run.

    Raises:
        RunFolderError: its file is damaged, or contradicts the card.
    """
    try:
        model = keras.models.load_model(run.model_file, compile=False)  # safe mode: no code inside is run
        shapes = model.input_shape[1:], model.output_shape[1:]
    except Exception as error:  # Keras raises what its parts raise: OSError, ValueError, KeyError, BadZipFile ...
        reason = str(error).strip().split("\n")[0]
        raise RunFolderError(f"{run.model_file} cannot be loaded: {reason}") from error
    if shapes != (run.card.input.shape, (len(run.card.labels),)):
        raise RunFolderError(f"{run.folder} contradicts itself: its model has the shapes {shapes}, its card others")
    return model


def evaluate(run: Run, data: Path | None = None, *, track: Track = silently) -> Evaluation:
    """Tests a run on photos that it was neither trained nor validated on; see `read_held_out`."""
    model = load_model(run)
    held_out = read_held_out(run, lambda _, frame: preprocess(frame, run.card.input), data, track=track)
    pixels = np.stack(held_out.values)
    starts = range(0, len(pixels), 64)
    scores = [
        model.predict_on_batch(pixels[first : first + 64].astype(np.float32))
        for first in track(starts, "Scoring", len(starts))
    ]
    judged = evaluate_scores(np.concatenate(scores), held_out.photos, run.card.labels)
    return Evaluation(judged.labels, judged.judged, judged.accuracy, held_out.unusable, held_out.left_out)


def predict(run: Run, picture: Path, model: "keras.Model", count: int = 3) -> list[Prediction]:
    """The full-size model's best labels for a picture file.

    Raises:
        PictureError: it cannot be decoded.
    """
    pixels = preprocess(read_picture(picture), run.card.input)
    return top(model.predict_on_batch(pixels[None].astype(np.float32))[0], run.card.labels, count)
