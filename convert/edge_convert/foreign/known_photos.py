"""Photos of what a model knows that was not trained here: a folder for each label, or just photos."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_convert.foreign.extraction import MOST_PHOTOS, KnownPictures, LabeledPixels, Pixels
from edge_core.artifact.card import ModelCard
from edge_core.data.photo_folder import Listing, Unusable, find_photos, read_photos, walk, without_copies
from edge_core.errors import DatasetError
from edge_core.preprocess import preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import evenly_spaced

VALIDATION_SHARE: Final = 1 / 3
"""Of the photos of each label, the last by name: frames of one clip have names that follow each other, and what the
familiarity is calibrated on should not look like what the detector is fitted on."""


@dataclass(frozen=True, eq=False)
class KnownPhotos:
    """A folder of photos that a model knows, read.

    Attributes:
        pictures: What a detector is made of.
        paths: The files that were read, label by label.
        notes: What was decided, in whole sentences.
        unusable: Files that were passed over.
    """

    pictures: KnownPictures
    paths: tuple[Path, ...]
    notes: tuple[str, ...]
    unusable: tuple[Unusable, ...]


def read_known_photos(
    folder: Path, card: ModelCard, named: Callable[[Pixels], int], track: Track = silently
) -> KnownPhotos:
    """Reads photos, a third of each label's for the calibration.

    Folders that are called after labels say what their photos show. Where none is, each photo counts as what the model
    itself says of it: that is what the model should go on saying. A folder `_nothing` holds negatives.

    Args:
        folder: Folder of photos of what the model knows.
        card: The model's labels and input.
        named: Function that gives the number of the model's best label for preprocessed pixels.
        track: Receives the progress of each step.

    Raises:
        DatasetError: There are no photos, or some lie in a folder that is called after none of the labels.
    """
    listing, labeled = _listing(folder, card.labels)
    reading = read_photos(
        evenly_spaced(listing.files, round(MOST_PHOTOS / (1 - VALIDATION_SHARE))),
        lambda _, frame: preprocess(frame, card.input),
        levels=card.input.levels,
        track=track,
        label="Reading known photos",
    )
    distinct = {photo.path for photo in without_copies(reading.photos).photos}
    found = [
        (photo, pixels) for photo, pixels in zip(reading.photos, reading.values, strict=True) if photo.path in distinct
    ]
    if not found:
        raise DatasetError(f"{folder}: none of its files is a picture; give photos of what the model knows")
    strangers = read_photos(
        [(path, "") for path in evenly_spaced(listing.negatives, MOST_PHOTOS)],
        lambda _, frame: preprocess(frame, card.input),
        levels=card.input.levels,
        track=track,
        label="Reading negatives",
    ).values
    labels = np.array([card.labels.index(photo.label) if labeled else named(pixels) for photo, pixels in found])
    pixels, last = [pixels for _, pixels in found], _last_of_each(labels)
    return KnownPhotos(
        KnownPictures(
            _chosen(pixels, labels, ~last),
            _chosen(pixels, labels, last),
            LabeledPixels(strangers, np.zeros(len(strangers), np.int64)),
            len(card.labels),
            trained_on=False,
        ),
        tuple(photo.path for photo, _ in found),
        listing.notes,
        reading.unusable,
    )


def _listing(folder: Path, labels: tuple[str, ...]) -> tuple[Listing, bool]:
    """The photos, and whether their folders say what they show."""
    try:
        listing = find_photos(folder)
    except DatasetError:
        if not folder.is_dir():
            raise
        listing = Listing(())
    named = {label for _, label in listing.files}
    if strange := sorted(named - set(labels)):
        if len(strange) < len(named):
            raise DatasetError(
                f"{folder}: there are folders of the labels, but {', '.join(map(repr, strange[:5]))} is none of them; "
                "call each folder after a label, or put all photos into one folder"
            )
    elif named:
        return listing, True
    negatives = set(listing.negatives)
    found = walk(folder)
    files = tuple((path, "") for path in found.pictures if path not in negatives)
    note = f"no folder in {folder} is called after a label: each photo counts as what the model says of it."
    return Listing(files, found.dropped, (note,), listing.negatives), False


def _last_of_each(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether a photo is among the last of its label."""
    last = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        # Not own[-count:], which for a count of 0 would be all of them.
        last[own[len(own) - round(VALIDATION_SHARE * len(own)) :]] = True
    return last


def _chosen(pixels: list[Pixels], labels: npt.NDArray[np.int64], which: npt.NDArray[np.bool_]) -> LabeledPixels:
    return LabeledPixels([pixels[number] for number in np.flatnonzero(which)], labels[which])
