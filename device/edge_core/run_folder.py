"""The run folder: what `edge-train fit` leaves behind, and the other commands read."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from edge_core.artifact.card import ModelCard
from edge_core.data.photo_folder import (
    SPLITS,
    Photo,
    Reading,
    Split,
    Unusable,
    identify_photos,
    nfc,
    read_photos,
    without_copies,
)
from edge_core.data.photo_list import find_all_photos
from edge_core.errors import CardError, RunFolderError, SettingsError
from edge_core.preprocess import Frame
from edge_core.progress import Track, silently

T = TypeVar("T")

MODEL_FILE: Final = "model.keras"
QUANTIZED_FILE: Final = "quantised.keras"  # spelled as in the runs that exist
CARD_FILE: Final = "card.json"
PHOTOS_FILE: Final = "photos.csv"
_NEGATIVES: Final = "none"
"""In the column of the split: a photo of none of the labels."""
_COLUMNS: Final = ("split", "label", "sha256", "path", "group")


@dataclass(frozen=True)
class Run:
    """A trained run.

    Attributes:
        folder: Where it lies.
        card: Its model card.
        splits: The photos that it was trained, validated and tested on.
        negatives: Photos of none of the labels, from which an export learns what is foreign.
    """

    folder: Path
    card: ModelCard
    splits: dict[Split, list[Photo]]
    negatives: tuple[Photo, ...] = ()

    @property
    def model_file(self) -> Path:
        """The full-size Keras model: takes float32 of shape (batch, height, width, 3), raw pixels 0..255."""
        return self.folder / MODEL_FILE

    def label_number(self, label: str) -> int:
        """The position of a label among the scores.

        Raises:
            SettingsError: There is no such label.
        """
        if label not in self.card.labels:
            raise SettingsError(f"{self.folder} knows no label {label!r}; it knows {', '.join(self.card.labels)}")
        return self.card.labels.index(label)

    @property
    def quantized_file(self) -> Path | None:
        """The same with weights that were trained to be rounded to 8 bits, if the run has any."""
        path = self.folder / QUANTIZED_FILE
        return path if path.is_file() else None


def read_run(folder: Path) -> Run:
    """Reads a run folder, all but the model itself.

    Raises:
        RunFolderError: It is not there, not whole, or not understood.
    """
    if not folder.is_dir():
        raise RunFolderError(f"{folder}: no such run folder; edge-train fit PHOTOS --out {folder} makes one")
    for name in (MODEL_FILE, CARD_FILE, PHOTOS_FILE):
        if not (folder / name).is_file():
            raise RunFolderError(f"{folder} is not a run folder: it has no {name}; edge-train fit makes one")
    try:
        card = ModelCard.from_text((folder / CARD_FILE).read_text("utf-8"))
        splits: dict[Split, list[Photo]] = {name: [] for name in SPLITS}
        negatives: list[Photo] = []
        # The bytes of a path that is not UTF-8 come back as `write_photos` found them.
        with (folder / PHOTOS_FILE).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            for row in csv.DictReader(file):
                group = row.get("group") or ""  # runs of older versions have none
                photo = Photo(
                    Path(row["path"]), nfc(row["label"]), row["sha256"], group
                )  # older runs: as a disk had it
                (negatives if row["split"] == _NEGATIVES else splits[row["split"]]).append(photo)  # type: ignore[index]
    except (CardError, OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{folder}: {error}") from error
    except (KeyError, TypeError, csv.Error) as error:
        raise RunFolderError(f"{folder / PHOTOS_FILE} is damaged: {error}") from error
    return Run(folder, card, splits, tuple(negatives))


def load_model(run: Run, load: Callable[..., Any], file: Path | None = None) -> Any:
    """The full-size model of a run.

    Args:
        run: Run whose full-size model is loaded.
        load: `tf_keras.models.load_model`, which this package does not import; its safe mode runs no code from the
            file.
        file: `run.quantized_file`, say; `run.model_file` unless told otherwise.

    Raises:
        RunFolderError: The file is damaged, or contradicts the card.
    """
    file = file or run.model_file
    try:
        model = load(file, compile=False)
        shapes = model.input_shape[1:], model.output_shape[1:]
    except Exception as error:  # Keras raises what its parts raise: OSError, KeyError, BadZipFile ...
        reason = str(error).strip().split("\n")[0]
        raise RunFolderError(f"{file} cannot be loaded: {reason}") from error
    # A model that was put there from another run would load, and give other labels' scores.
    if shapes != (run.card.input.shape, (len(run.card.labels),)):
        raise RunFolderError(
            f"{run.folder} contradicts itself: its {file.name} has the shapes {shapes}, its card others"
        )
    return model


def write_photos(folder: Path, splits: dict[Split, list[Photo]], negatives: Sequence[Photo] = ()) -> None:
    """Writes `photos.csv`: which photo went into which split, and which show none of the labels."""
    with (folder / PHOTOS_FILE).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for split in SPLITS:
            writer.writerows((split, photo.label, photo.sha256, photo.path, photo.group) for photo in splits[split])
        writer.writerows((_NEGATIVES, "", photo.sha256, photo.path, "") for photo in negatives)


@dataclass(frozen=True)
class HeldOut(Reading[T]):
    """Photos that the run has never seen; `left_out` counts those that were passed over because it has."""

    left_out: int


def own_photos(run: Run, splits: Sequence[Split], *, track: Track = silently) -> tuple[list[Photo], list[Unusable]]:
    """The photos of a run that are still what they were, and those that are not there or have changed."""
    listed = [photo for split in splits for photo in run.splits[split]]
    known = {photo.sha256: photo.group for photo in listed}
    photos, unusable = identify_photos([(photo.path, photo.label) for photo in listed], track=track)
    unusable += [Unusable(photo.path, "changed since the training") for photo in photos if photo.sha256 not in known]
    return [replace(photo, group=known[photo.sha256]) for photo in photos if photo.sha256 in known], unusable


def read_held_out(
    run: Run, visit: Callable[[int, Frame], T], data: Path | None = None, *, track: Track = silently
) -> HeldOut[T]:
    """Reads photos to test a model on, none of which it was trained or validated on.

    Args:
        run: Run whose test photos to take, or whose other photos to avoid.
        visit: Function that gets each photo, as in `read_photos`.
        data: A photo folder to test on instead of the run's own test photos. Photos of it that the run was trained or
            validated on, by their content, are left out, so the dataset folder itself will do.
        track: Receives the progress of each step.

    Raises:
        DatasetError: `data` is no photo folder.
        RunFolderError: Nothing is left to test on, or the photos have a label that the run does not know.
    """
    if data is None:
        photos, unusable = own_photos(run, ["test"], track=track)
        left_out = 0
        advice = "its test photos are no longer where they were; say where the photos are with --data PHOTOS"
    else:
        photos, unusable, left_out = _unseen_photos(run, data, track)
        advice = f"the run was trained or validated on every usable photo of {data}"
    files = [(photo.path, photo.label) for photo in photos]
    reading = read_photos(files, visit, track=track, levels=run.card.input.levels, label="Reading test photos")
    if not reading.photos:
        raise RunFolderError(f"{run.folder}: {advice}")
    groups = {photo.sha256: photo.group for members in run.splits.values() for photo in members}
    read_ones = tuple(replace(photo, group=groups.get(photo.sha256, "")) for photo in reading.photos)
    return HeldOut(read_ones, reading.values, (*unusable, *reading.unusable), left_out)


def _unseen_photos(run: Run, data: Path, track: Track) -> tuple[list[Photo], list[Unusable], int]:
    """Photos of a folder that the run has not seen, files that cannot be used, and how many it has seen."""
    listing = find_all_photos(data)
    unknown = sorted({label for _, label in listing.files} - set(run.card.labels))
    if unknown:
        raise RunFolderError(f"{data} has the class {unknown[0]!r}, which {run.folder} was not trained on")
    read, unusable = identify_photos(listing.files, track=track)
    unusable += listing.dropped
    distinct = without_copies(read)
    unusable += [
        Unusable(photo.path, "the same photo is in another class") for group in distinct.contradicted for photo in group
    ]
    # Test photos are not among them: testing on them again is what they are for.
    seen = {photo.sha256 for split in ("train", "val") for photo in run.splits[split]}
    photos = [photo for photo in distinct.photos if photo.sha256 not in seen]
    return photos, unusable, len(distinct.photos) - len(photos)


def read_training_photos(
    run: Run, visit: Callable[[int, Frame], T], count: int, *, track: Track = silently
) -> Reading[T]:
    """Reads about `count` of the photos that the run was trained on and that are still there, class by class.

    Raises:
        RunFolderError: They are no longer where they were.
    """
    found = evenly_spaced([(photo.path, photo.label) for photo in run.splits["train"] if photo.path.is_file()], count)
    known = {photo.sha256 for photo in run.splits["train"]}
    reading = read_photos(
        found,
        visit,
        wanted=known.__contains__,
        levels=run.card.input.levels,
        track=track,
        label="Reading calibration photos",
    )
    if not reading.photos:
        raise RunFolderError(
            f"{run.folder}: its training photos are no longer where they were; give photos with --calibration PHOTOS"
        )
    return reading


def evenly_spaced(found: Sequence[T], count: int) -> list[T]:
    """`count` items at even distances; photos lie class by class, so each class keeps its share."""
    if len(found) <= count:
        return list(found)
    return [found[index * len(found) // count] for index in range(count)]
