"""How good a trained run is on photos that it has never seen, and what it makes of single pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.images import read_picture
from edge_core.preprocess import preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, load_model, read_held_out
from edge_device.inference.classifier import top
from edge_device.results import Prediction
from edge_keras.frozen_graph import load_keras
from edge_keras.tf import keras
from edge_train.evaluation.metrics import Evaluation, evaluate_scores

BATCH: Final = 64


def open_model(run: Run) -> "keras.Model":
    """The full-size model of a run; raises what `edge_core.run_folder.load_model` raises."""
    return load_model(run, load_keras)


def evaluate(run: Run, data: Path | None = None, *, track: Track = silently) -> Evaluation:
    """Tests a run on photos that it was neither trained nor validated on; see `read_held_out`."""
    model = open_model(run)
    held_out = read_held_out(run, lambda _, frame: preprocess(frame, run.card.input), data, track=track)
    pixels = np.stack(held_out.values)
    judged = evaluate_scores(scores_of(model, pixels, track), held_out.photos, run.card.labels)
    return replace(judged, unusable=held_out.unusable, left_out=held_out.left_out)


def scores_of(model: "keras.Model", pixels: npt.NDArray[np.uint8], track: Track = silently) -> npt.NDArray[np.float32]:
    """Scores of pictures that `preprocess` made, uint8, shape (pictures, height, width, 3): shape (pictures,
    labels)."""
    starts = range(0, len(pixels), BATCH)
    scores = [
        model.predict_on_batch(pixels[first : first + BATCH].astype(np.float32))
        for first in track(starts, "Scoring", len(starts))
    ]
    return np.concatenate(scores)


def predict(run: Run, picture: Path, model: "keras.Model", count: int = 3) -> list[Prediction]:
    """The full-size model's best labels for a picture file.

    Raises:
        PictureError: It cannot be decoded.
    """
    pixels = preprocess(read_picture(picture, levels=run.card.input.levels), run.card.input)
    return top(model.predict_on_batch(pixels[None].astype(np.float32))[0], run.card.labels, count)
