"""The test photos of a run, with what the run said of each, and where each lies now.

A photo that has been given another label since lies elsewhere; it is found by its name and known by its content.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_core.codec import JsonObject
from edge_core.errors import RunFolderError
from edge_core.run_folder import Run, read_run
from edge_core.statistics import Estimate
from edge_studio.photos.photo_index import IndexedPhoto
from edge_studio.project import Project
from edge_train.evaluation.metrics import Judged
from edge_train.evaluation.predictions import read_predictions
from edge_train.evaluation.run_report import EVALUATION_FILE


@dataclass(frozen=True)
class ReviewedPhoto:
    """A test photo of a run.

    Attributes:
        path: Where the photo lies now, below the folder of the photos; empty if it is gone.
        version: Version of the photo that lies there.
        label: Label that it had when the run was tested.
        label_now: Label that it has now; empty if it is gone.
        label_score: Score of the label that it had, 0..1.
        predicted: Label with the best score.
        predicted_score: The best score, 0..1.
        sha256: SHA-256 of its content.
    """

    path: str
    version: str
    label: str
    label_now: str
    label_score: float
    predicted: str
    predicted_score: float
    sha256: str

    @property
    def is_right(self) -> bool:
        return self.predicted == self.label

    def to_json(self) -> JsonObject:
        return asdict(self)


@dataclass(frozen=True)
class RunReview:
    """A finished run as a page shows it.

    Attributes:
        name: Name of the run.
        labels: Labels in the order of its outputs.
        evaluation: What `evaluation.json` holds: accuracy, confusion, classes.
        photos: The test photos, those with the lowest score for their own label first.
    """

    name: str
    labels: tuple[str, ...]
    evaluation: JsonObject
    photos: tuple[ReviewedPhoto, ...]

    def mistakes(self) -> list[ReviewedPhoto]:
        """The photos that were judged wrong, the most confident first."""
        return sorted((one for one in self.photos if not one.is_right), key=lambda one: -one.predicted_score)

    def weakest(self) -> str:
        """Which class is recognized least often, for who takes more photos; empty if none is mistaken."""
        found = [(one["recall"]["value"], one) for one in self.evaluation.get("classes", ()) if one.get("recall")]
        if not found or min(value for value, _ in found) == 1:
            return ""
        _, worst = min(found, key=lambda one: one[0])
        recall = Estimate(**worst["recall"]).percent()
        return f"Least often recognized is {worst['label']}, {recall} of its test photos: take photos of it first."

    def cell(self, label: str, predicted: str) -> list[ReviewedPhoto]:
        """The photos of a cell of the confusion matrix; an empty text stands for every label."""
        return [one for one in self.photos if label in ("", one.label) and predicted in ("", one.predicted)]


def review_run(project: Project, run: Path, photos: Sequence[IndexedPhoto]) -> RunReview:
    """Reads a run, and finds its test photos among those that the project has.

    Args:
        project: Project of the run.
        run: Folder of the run.
        photos: Photos of the project.

    Raises:
        RunFolderError: The run is not whole.
    """
    opened = read_run(run)
    places = PhotoPlaces(project, photos)
    contents = {photo.path: photo.sha256 for photo in opened.splits["test"]}
    judged = [_reviewed(one, contents.get(one.path, ""), places) for one in read_predictions(run)]
    return RunReview(run.name, opened.card.labels, _evaluation(opened), tuple(judged))


class PhotoPlaces:
    """Where photos lie that a run has seen."""

    def __init__(self, project: Project, photos: Sequence[IndexedPhoto]) -> None:
        self._folder = project.photos
        self._by_path: Mapping[str, IndexedPhoto] = {photo.path: photo for photo in photos}
        self._by_name: defaultdict[str, list[IndexedPhoto]] = defaultdict(list)
        for photo in photos:
            self._by_name[photo.path.rsplit("/", 1)[-1]].append(photo)

    def find(self, path: Path, sha256: str) -> IndexedPhoto | None:
        """The photo that lay at `path`; None if no photo of its name has its content."""
        if path.is_relative_to(self._folder):
            there = self._by_path.get(path.relative_to(self._folder).as_posix())
            if there is not None:
                return there
        if not sha256:  # of a file that cannot be read, `sha256_of` is empty as well
            return None
        # Only photos of its name are hashed, as a move to another class keeps the name unless it is taken there.
        return next((one for one in self._by_name[path.name] if sha256_of(self._folder / one.path) == sha256), None)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _reviewed(judged: Judged, sha256: str, places: PhotoPlaces) -> ReviewedPhoto:
    now = places.find(judged.path, sha256)
    return ReviewedPhoto(
        now.path if now else "",
        now.version if now else "",
        judged.label,
        now.label if now else "",
        judged.label_score,
        judged.predicted,
        judged.predicted_score,
        sha256,
    )


def _evaluation(run: Run) -> JsonObject:
    file = run.folder / EVALUATION_FILE
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise RunFolderError(f"{file} is damaged: it should be a JSON object")
    return value
