"""The learning curve of a run that is there already."""

import json
from pathlib import Path

import numpy as np

from edge_core.errors import RunFolderError
from edge_core.files import written_whole
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, own_photos
from edge_keras.models.architectures import ARCHITECTURES
from edge_keras.models.backbone import build, cut
from edge_keras.models.pretrained import find_weights
from edge_keras.tf import tf
from edge_train.data.augment import ViewMaker
from edge_train.evaluation import training_plots
from edge_train.evaluation.learning_curve import CURVE_FILE, LearningCurve
from edge_train.training.features import Extractor, Maps, backbone_key, compiled, map_scores
from edge_train.training.solved_head.head_curve import FEW_TESTED, Features, learning_curve


def curve_of(run: Run, cache: Path, *, track: Track = silently) -> LearningCurve:
    """The curve that training left in the run folder; measured now if a run of an older version has none.

    Raises:
        RunFolderError: The curve is damaged; the run began with random weights, which are gone; its photos are not
            where they were.
        WeightsError: The weights that it began with cannot be had.
    """
    file = run.folder / CURVE_FILE
    if not file.is_file():
        return _measured(run, cache, track)
    try:
        return LearningCurve.from_json(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{file} is damaged: {error}; remove it, and the curve is measured again") from error


def write_plot(curve: LearningCurve, out: Path) -> None:
    """Writes the curve as PNG."""
    with written_whole(out) as beside:
        training_plots.learning_curve(curve).savefig(beside, format="png")


def _measured(run: Run, cache: Path, track: Track) -> LearningCurve:
    backbone = run.card.backbone
    if backbone is None or not backbone.weights_sha256:
        raise RunFolderError(
            f"{run.folder} began with random weights, so there are no frozen features to solve heads on"
        )
    if backbone.name not in ARCHITECTURES:
        raise RunFolderError(f"{run.folder} began with a network of your own; train it again to have its curve")
    architecture = ARCHITECTURES[backbone.name]
    size = run.card.input.width
    weights = find_weights(
        "imagenet", alpha=backbone.alpha, size=size, cache=cache, architecture=architecture, has_option=False
    )
    if weights.sha256 != backbone.weights_sha256:
        raise RunFolderError(f"{run.folder} began with other weights ({backbone.weights}) than are to be had now")
    parts = cut(build(run.card.input, len(run.card.labels), backbone.alpha, weights, architecture), architecture)
    maker = ViewMaker(run.card.input, (0,), mirror=True, seed=1)
    key = backbone_key(architecture, backbone.alpha, weights.sha256, run.card.input)
    pooled = compiled(parts.pooled, tf.float16)
    with Extractor(cache / "features", key, run.card.labels, maker, track) as extractor:
        through = extractor.through(parts.lower)
        known = _features(through("the training photos", own_photos(run, ["train"])[0], (0,)), pooled)
        judged = _features(through("the validation photos", own_photos(run, ["val"])[0], (0,)), pooled)
    few = len(run.splits["test"]) < FEW_TESTED
    return learning_curve(known, judged, len(run.card.labels), 1, cross_validate=few, track=track)


def _features(maps: Maps, pooled: object) -> Features:
    if not maps.photos:
        raise RunFolderError("the photos of this run are no longer where they were")
    return Features(np.asarray(map_scores(pooled, maps)), maps.targets, tuple(photo.group for photo in maps.photos))
