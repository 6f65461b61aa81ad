"""A bigger trained run as a teacher: what it says of every training photo, in every view."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_core.data.photo_folder import Photo
from edge_core.errors import RunFolderError
from edge_core.progress import Track
from edge_core.run_folder import Run
from edge_train.data.augment import ViewMaker
from edge_train.evaluation.evaluate import open_model
from edge_train.training.feature_cache import FeatureCache
from edge_train.training.features import Maps, extract_maps


def check_teacher(teacher: Run, labels: Sequence[str], test: Sequence[Photo]) -> None:
    """Checks that a run can teach another.

    Raises:
        RunFolderError: It has other labels, or was trained on photos that the student will be tested on.
    """
    if teacher.card.labels != tuple(labels):
        raise RunFolderError(f"{teacher.folder} has other labels than these photos: it cannot teach them")
    tested = {photo.sha256 for photo in test}
    seen = sum(photo.sha256 in tested for photo in teacher.splits["train"] + teacher.splits["val"])
    if seen:
        raise RunFolderError(
            f"{teacher.folder} was trained on {seen} of the photos that this run would be tested on; train both with "
            "the same --seed"
        )


def teacher_sha256(teacher: Run) -> str:
    """Of the model's file, hexadecimal."""
    return hashlib.sha256(teacher.model_file.read_bytes()).hexdigest()


def taught_scores(
    teacher: Run, photos: Sequence[Photo], maker: ViewMaker, folder: Path, track: Track
) -> tuple[FeatureCache, Maps]:
    """The teacher's scores of all views of the photos, kept on disk like maps.

    The teacher sees each view through its own input: the same window of the photo under the same light.

    Returns:
        The cache, to be closed, and the scores: `Maps.read` gives float16 of shape (photos, labels).
    """
    key = {"teacher": teacher_sha256(teacher)}
    cache = FeatureCache(folder, key, (len(teacher.card.labels),))
    own = replace(maker, spec=teacher.card.input)
    name = f"what {teacher.card.backbone.name if teacher.card.backbone else 'the teacher'} says of the training photos"
    return cache, extract_maps(open_model(teacher), photos, teacher.card.labels, own, cache, name, track)
