"""The frames of a lesson: pictures in a folder."""

from collections.abc import Callable
from pathlib import Path

from edge_core.artifact.container import read_card
from edge_core.data.photo_folder import find_photos, nfc, pictures_below, read_photos
from edge_core.errors import DatasetError
from edge_core.preprocess import Frame
from edge_core.progress import Track, silently

Examples = dict[str, list[Frame]]
"""Frames by label, uint8, shape (height, width, 3), B, G, R."""


def photo_examples(
    model: Path,
    folder: Path,
    label: str | None,
    track: Track = silently,
    warn: Callable[[str], None] = lambda line: None,
    most: int | None = None,
) -> Examples:
    """Pictures of one label below a folder, or those in a folder for each label where `label` is None.

    Args:
        model: The file that is taught: its card says how pictures of more than 8 bits are read.
        folder: Folder of pictures.
        label: What they all show.
        track: Receives the progress.
        warn: Gets a line for each file that is passed over.
        most: Number of pictures of `label` that are taken, the last ones by their names; None takes all.

    Raises:
        DatasetError: There are no pictures, or none can be decoded.
    """
    if label is None:
        listing = find_photos(folder)
        files = list(listing.files)
        for item in listing.dropped:
            warn(f"{item.path}: {item.reason}")
    else:
        files = [(path, nfc(label)) for path in pictures_below(folder)[-(most or 0) :]]
    reading = read_photos(
        files,
        lambda _, frame: frame,
        levels=read_card(model).input.levels,
        track=track,
        label="Reading pictures",
    )
    for item in reading.unusable:
        warn(f"{item.path}: {item.reason}")
    found: Examples = {}
    for photo, frame in zip(reading.photos, reading.values, strict=True):
        found.setdefault(photo.label, []).append(frame)
    if not found:
        raise DatasetError(
            f"{folder}: there are no pictures in it that can be decoded; give pictures of what is taught"
        )
    return found
