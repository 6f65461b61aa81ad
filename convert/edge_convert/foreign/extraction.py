"""Runs an artifact over a run's photos for the features that its detector is fitted on."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_convert.foreign.fitting import FEWEST_TRAINING, FEWEST_VALIDATION, FeatureSet, fit_detector
from edge_convert.foreign.layers import feature_layers
from edge_convert.tflite.graph import read_graph
from edge_core.artifact.familiarity import Detector
from edge_core.data.photo_folder import Split, read_photos
from edge_core.preprocess import preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, spread
from edge_device.inference.interpreter import Interpreter

MOST_PHOTOS: Final = 1000
"""Of the training photos, and of the validation photos."""

Pixels = npt.NDArray[np.uint8]


class DetectorFitter:
    """Fits detectors for any number of files of one run; its photos are read once."""

    def __init__(self, run: Run, say: Callable[[str], None], track: Track = silently) -> None:
        self._run, self._say, self._track = run, say, track

    @cached_property
    def _train(self) -> tuple[list[Pixels], npt.NDArray[np.int64]]:
        return self._pixels("train")

    @cached_property
    def _validation(self) -> tuple[list[Pixels], npt.NDArray[np.int64]]:
        return self._pixels("val")

    @cached_property
    def _too_few(self) -> bool:
        train, validation = len(self._train[0]), len(self._validation[0])
        few = train < FEWEST_TRAINING or validation < FEWEST_VALIDATION
        if few:
            self._say(
                f"{train} training and {validation} validation photos are there, too few to learn what is foreign, which "
                f"takes {FEWEST_TRAINING} and {FEWEST_VALIDATION}: the file will call everything one of its labels"
            )
        return few

    def fit(self, model: bytes, scratch: Path) -> Detector | None:
        """The detector for a bare .tflite; None, and it is said why, where there can be none.

        Args:
            model: the flatbuffer.
            scratch: an empty folder.
        """
        layers = feature_layers(read_graph(model))
        if not layers:
            self._say(
                "the model has no fully connected layer to take features from: it cannot tell what is foreign to it"
            )
            return None
        if self._too_few:
            return None
        file = scratch / "features.tflite"
        file.write_bytes(model)
        interpreter = Interpreter(file, tensors=[layer.tensor for layer in layers])
        train = self._features(interpreter, *self._train, "Features of training photos")
        detector = fit_detector(
            layers, train, self._features(interpreter, *self._validation, "Features of validation photos")
        )
        if detector is None:
            self._say("the features of most validation photos are all zero: the file cannot tell what is foreign to it")
        return detector

    def _pixels(self, split: Split) -> tuple[list[Pixels], npt.NDArray[np.int64]]:
        run = self._run
        photos = [photo for photo in run.splits[split] if photo.label in run.card.labels]
        known = {photo.sha256 for photo in photos}
        reading = read_photos(
            spread([(photo.path, photo.label) for photo in photos if photo.path.is_file()], MOST_PHOTOS),
            lambda _, frame: preprocess(frame, run.card.input),
            wanted=known.__contains__,
            track=self._track,
            label=f"Reading {'training' if split == 'train' else 'validation'} photos",
        )
        labels = [run.label_number(photo.label) for photo in reading.photos]
        return list(reading.values), np.array(labels, np.int64)

    def _features(
        self, interpreter: Interpreter, pixels: Sequence[Pixels], labels: npt.NDArray[np.int64], title: str
    ) -> FeatureSet:
        rows = []
        for picture in self._track(pixels, title, len(pixels)):
            interpreter.scores(picture)
            rows.append(interpreter.read_features())
        return FeatureSet(tuple(np.stack(layer) for layer in zip(*rows, strict=True)), labels)
