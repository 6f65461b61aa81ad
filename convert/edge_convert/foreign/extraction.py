"""Runs an artifact over a run's photos for the features that its detector is fitted on."""

from collections.abc import Callable, Container, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_convert.foreign.fitting import FEWEST_TRAINING, FEWEST_VALIDATION, FeatureSet, fit_detector
from edge_convert.foreign.layers import feature_layers
from edge_convert.tflite.graph import read_graph
from edge_core.artifact.container import EXEMPLARS_FILE, FAMILIARITY_FILE
from edge_core.artifact.exemplars import Exemplars, keep_exemplars
from edge_core.artifact.familiarity import Detector
from edge_core.artifact.last_layer import read_last_layer
from edge_core.data.photo_folder import Split, identify_photos, pictures_below, read_photos
from edge_core.errors import DatasetError, ModelFormatError
from edge_core.preprocess import preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, evenly_spaced
from edge_device.inference.interpreter import Interpreter

MOST_PHOTOS: Final = 1000
"""Of the training photos, and of the validation photos."""

Pixels = npt.NDArray[np.uint8]

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class LabeledPixels:
    """Preprocessed pictures with the numbers of their labels.

    Attributes:
        pixels: uint8, each of the model's input shape.
        labels: Number of each picture's label, shape (pictures,); zeros for pictures of none of the labels.
    """

    pixels: Sequence[Pixels] = ()
    labels: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, eq=False)
class KnownPictures:
    """Pictures that a model's detector and exemplars are made of.

    Attributes:
        train: Pictures that the detector is fitted on.
        validation: Pictures that its familiarity is calibrated on.
        negatives: Pictures of none of the labels.
        labels: How many labels the model has.
        trained_on: Whether the model was trained on `train`; nobody knows of one that is adopted.
    """

    train: LabeledPixels
    validation: LabeledPixels
    negatives: LabeledPixels
    labels: int
    trained_on: bool = True

    @property
    def too_few(self) -> str:
        """Why there are too few of them to learn what is foreign; empty if there are enough."""
        train, validation = len(self.train.pixels), len(self.validation.pixels)
        if train >= FEWEST_TRAINING and validation >= FEWEST_VALIDATION:
            return ""
        return (
            f"{train} training and {validation} validation photos are there, too few to learn what is foreign, "
            f"which takes {FEWEST_TRAINING} and {FEWEST_VALIDATION}: the file will call everything one of its labels"
        )


@dataclass(frozen=True, eq=False)
class FittedDetector:
    """What a file knows of the features of its own photos.

    Attributes:
        detector: Tells what is foreign; None where there can be none.
        exemplars: Keep what the file knows when it is taught another label; None where there can be none.
    """

    detector: Detector | None = None
    exemplars: Exemplars | None = None

    def to_files(self, teachable: bool = True) -> dict[str, bytes]:
        """Content by name in the archive of the .tflite.

        Args:
            teachable: Whether exemplars are among it.
        """
        files = {FAMILIARITY_FILE: self.detector, EXEMPLARS_FILE: self.exemplars if teachable else None}
        return {name: one.to_bytes() for name, one in files.items() if one}


class DetectorFitter:
    """Fits detectors for any number of files of one run; its photos are read once."""

    def __init__(self, run: Run, say: Say, track: Track = silently, negatives: Path | None = None) -> None:
        """Prepares; photos are read when the first detector is fitted.

        Args:
            run: Run whose training and validation photos are known, and whose negatives are not.
            say: Is told why there can be no detector.
            track: Receives the progress of each step.
            negatives: Folder of more photos of none of the labels.

        Raises:
            DatasetError: There is no picture in the folder.
        """
        self._run, self._say, self._track = run, say, track
        self._said: set[str] = set()
        photos = list(run.negatives)
        if negatives:
            found = identify_photos([(path, "") for path in pictures_below(negatives)], track=track)[0]
            if not found:
                raise DatasetError(f"{negatives}: none of its files is a picture; give pictures of none of the labels")
            photos += found
        known = {photo.sha256 for split in run.splits.values() for photo in split}
        self.negatives = {photo.sha256: photo for photo in photos if photo.sha256 not in known}
        """Photos of none of the labels by content, less those that the run knows as one of its labels."""

    @cached_property
    def _pictures(self) -> KnownPictures:
        strangers = LabeledPixels()
        if self.negatives:
            chosen = [(photo.path, "") for photo in self.negatives.values() if photo.path.is_file()]
            strangers = self._read(chosen, self.negatives, "Reading negatives")
        return KnownPictures(
            self._known("train", "Reading training photos"),
            self._known("val", "Reading validation photos"),
            strangers,
            len(self._run.card.labels),
        )

    def fit(self, model: bytes, scratch: Path) -> FittedDetector:
        """The detector and the exemplars for a bare .tflite; it is said why, where there can be none.

        Args:
            model: Bytes of the flatbuffer.
            scratch: An empty folder.
        """
        return fit_on_pictures(model, self._pictures, scratch, self._say_once, self._track)

    def _say_once(self, line: str) -> None:
        """What is true of one file of a run is true of the next."""
        if line not in self._said:
            self._said.add(line)
            self._say(line)

    def _known(self, split: Split, title: str) -> LabeledPixels:
        photos = [photo for photo in self._run.splits[split] if photo.label in self._run.card.labels]
        known = {photo.sha256 for photo in photos}
        return self._read([(photo.path, photo.label) for photo in photos if photo.path.is_file()], known, title)

    def _read(self, found: Sequence[tuple[Path, str]], wanted: Container[str], title: str) -> LabeledPixels:
        run = self._run
        reading = read_photos(
            evenly_spaced(found, MOST_PHOTOS),
            lambda _, frame: preprocess(frame, run.card.input),
            wanted=wanted.__contains__,
            levels=run.card.input.levels,
            track=self._track,
            label=title,
        )
        labels = [run.label_number(photo.label) if photo.label else 0 for photo in reading.photos]
        return LabeledPixels(reading.values, np.array(labels, np.int64))


def fit_on_pictures(
    model: bytes, pictures: KnownPictures, scratch: Path, say: Say, track: Track = silently
) -> FittedDetector:
    """The detector and the exemplars of a bare .tflite; it is said why, where there can be none.

    Args:
        model: Bytes of the flatbuffer.
        pictures: What they are made of.
        scratch: An empty folder.
        say: Is told why there can be no detector.
        track: Receives the progress of each step.
    """
    layers = feature_layers(read_graph(model))
    if not layers:
        say("the model has no last layer on pooled features: it cannot tell what is foreign to it")
        return FittedDetector()
    file = scratch / "features.tflite"
    file.write_bytes(model)
    with closing(Interpreter(file, tensors=[layer.tensor for layer in layers])) as interpreter:
        train = _features(interpreter, pictures.train, track, "Features of training photos")
        validation = _features(interpreter, pictures.validation, track, "Features of validation photos")
        strangers = None
        if pictures.negatives.pixels:
            strangers = _features(interpreter, pictures.negatives, track, "Features of negatives")
    try:
        exemplars = _exemplars(model, train, validation, pictures)
    except ModelFormatError as error:
        say(f"the file cannot be taught another label: {error}")
        exemplars = None
    # Exemplars must hold every label, as teaching solves the last layer anew on them and would forget the rest.
    if exemplars and (without := exemplars.header.counts.count(0)):
        say(
            f"there is no photo, or no room, for exemplars of {without} of {pictures.labels} labels: the file cannot "
            "be taught another label, as it would forget those"
        )
        exemplars = None
    if pictures.too_few:
        say(pictures.too_few)
        return FittedDetector(exemplars=exemplars)
    detector = fit_detector(layers, train, validation, strangers)
    if detector is None:
        say("the features of most validation photos are all zero: the file cannot tell what is foreign to it")
    return FittedDetector(detector, exemplars)


def _exemplars(model: bytes, train: FeatureSet, validation: FeatureSet, pictures: KnownPictures) -> Exemplars | None:
    """Validation and training photos in turn.

    A tulip taught with 20 photos to a model of four flowers, mean of 4 draws, accuracy on old and on new test
    photos: validation photos alone 94.4 and 69.2 %, training photos alone 93.8 and 75.7, in turn 94.6 and 74.5.

    Raises:
        ModelFormatError: The model has no last layer that can be taught.
    """
    scale = read_last_layer(model).scale
    sets = [one for one in (validation, train) if len(one)]
    if not sets:
        return None
    features = np.concatenate([one.layers[0] for one in sets]) * scale
    targets = np.concatenate([one.labels for one in sets])
    unseen = np.repeat([one is validation for one in sets], [len(one) for one in sets])
    places = np.concatenate([_place_in_label(one.labels) for one in sets])
    # The first of each label in each set, then the second: where there is no room for all, both sets have their share.
    order = np.argsort(places, kind="stable")
    told = unseen[order] if pictures.trained_on else None
    return keep_exemplars(features[order].astype(np.float32), targets[order], pictures.labels, told)


def _features(interpreter: Interpreter, pictures: LabeledPixels, track: Track, title: str) -> FeatureSet:
    rows = []
    for picture in track(pictures.pixels, title, len(pictures.pixels)):
        interpreter.scores(picture)
        rows.append(interpreter.read_features())
    # From rows of layers to layers of rows; without a picture there is one layer without features.
    layers = tuple(np.stack(layer) for layer in zip(*rows, strict=True)) or (np.empty((0, 0)),)
    return FeatureSet(layers, pictures.labels)


def _place_in_label(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each photo how many of its label come before it."""
    places = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        own = labels == label
        places[own] = np.arange(own.sum())
    return places
