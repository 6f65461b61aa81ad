"""Where the frames of a lesson come from: a camera, whose frames are kept as pictures, or pictures that are there."""

from collections.abc import Callable
from pathlib import Path

from edge_core.artifact.card import UNTAUGHT
from edge_core.artifact.container import read_card
from edge_core.data.photo_folder import find_photos, nfc, pictures_below, read_photos
from edge_core.errors import DatasetError, SourceError
from edge_core.preprocess import Frame
from edge_core.progress import Track, silently
from edge_device.live.collecting import CollectSettings, collect
from edge_device.notices import Notifier, ignore

Examples = dict[str, list[Frame]]
"""Frames by label, uint8, shape (height, width, 3), B, G, R."""


def photo_examples(
    model: Path,
    folder: Path,
    label: str | None,
    track: Track = silently,
    warn: Callable[[str], None] = lambda line: None,
) -> Examples:
    """Pictures of one label below a folder, or those in a folder for each label where `label` is None.

    Args:
        model: The file that is taught: its card says how pictures of more than 8 bits are read.
        folder: Folder of pictures.
        label: What they all show.
        track: Receives the progress.
        warn: Gets a line for each file that is passed over.

    Raises:
        DatasetError: There are no pictures, or none can be decoded.
    """
    if label is None:
        listing = find_photos(folder)
        files = list(listing.files)
        for item in listing.dropped:
            warn(f"{item.path}: {item.reason}")
    else:
        files = [(path, nfc(label)) for path in pictures_below(folder)]
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


def taken_examples(
    model: Path,
    source: CollectSettings,
    folder: Path,
    track: Track = silently,
    notify: Notifier = ignore,
) -> Examples:
    """Takes frames of a camera into a photo folder, and gives all pictures of the label there, earlier ones, too.

    Args:
        model: Model that `photo_examples` takes.
        source: What is collected.
        folder: The photo folder; `edge-train fit` takes it as it is.
        track: Receives the progress.
        notify: Gets that the camera is lost, and that it is back.

    Raises:
        SourceError: The source cannot be opened, or gives too few different frames.
        OutputError: The folder cannot be written.
    """
    taken = collect(source, folder, track=track, notify=notify)
    if taken.ended == "interrupted":
        raise KeyboardInterrupt
    if not taken.taken and not taken.folder.is_dir():
        raise SourceError(f"{source.source} gave no frame that could be kept")
    if read_card(model).conversion.get(UNTAUGHT):
        return photo_examples(model, folder, None, track)  # all that it is to know, from its first lesson on
    return photo_examples(model, taken.folder, source.label, track)
