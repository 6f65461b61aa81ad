"""The frames of a lesson: pictures in a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from edge_core.artifact.container import read_card
from edge_core.data.photo_folder import find_photos, natural_key, nfc, pictures_below, read_photos
from edge_core.errors import DatasetError
from edge_core.images import Levels, read_picture
from edge_core.preprocess import Frame
from edge_core.progress import Track, silently

Examples = dict[str, Sequence[Frame]]
"""Frames by label, uint8, shape (height, width, 3), B, G, R."""


@dataclass(frozen=True, eq=False)
class PhotoFrames(Sequence[Frame]):
    """Pictures that are decoded when they are asked for: a hundred frames of 1280x720 would take 276 MB.

    Attributes:
        paths: Picture files.
        levels: Levels of pictures of more than 8 bits, as `InputSpec` has them.
    """

    paths: tuple[Path, ...]
    levels: Levels

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> "PhotoFrames": ...
    def __getitem__(self, index: int | slice) -> "Frame | PhotoFrames":
        if isinstance(index, slice):
            return PhotoFrames(self.paths[index], self.levels)
        return read_picture(self.paths[index], levels=self.levels)


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
    if label is not None:
        return _read(model, [(path, nfc(label)) for path in pictures_below(folder)], str(folder), track, warn)
    listing = find_photos(folder)
    for item in listing.dropped:
        warn(f"{item.path}: {item.reason}")
    return _read(model, listing.files, str(folder), track, warn)


def latest_examples(model: Path, folders: Sequence[Path], label: str, most: int, track: Track = silently) -> Examples:
    """Pictures of one label, the last ones of several folders together by their names, which begin with the time.

    Args:
        model: The file that is taught: its card says how pictures of more than 8 bits are read.
        folders: Folders of pictures of the label.
        label: What they all show.
        most: Number of pictures that are taken.
        track: Receives the progress.

    Raises:
        DatasetError: There are no pictures, or none can be decoded.
    """
    found = [path for folder in folders for path in pictures_below(folder)]
    paths = sorted(found, key=lambda path: natural_key(path.name))
    files = [(path, nfc(label)) for path in paths[-most:]]
    return _read(model, files, " and ".join(map(str, folders)), track, lambda line: None)


def _read(
    model: Path, files: Sequence[tuple[Path, str]], where: str, track: Track, warn: Callable[[str], None]
) -> Examples:
    """The files that can be decoded, by their label."""
    levels = read_card(model).input.levels
    reading = read_photos(
        files,
        lambda _, frame: None,  # whether it can be decoded
        levels=levels,
        track=track,
        label="Reading pictures",
    )
    for item in reading.unusable:
        warn(f"{item.path}: {item.reason}")
    found: dict[str, list[Path]] = {}
    for photo in reading.photos:
        found.setdefault(photo.label, []).append(photo.path)
    if not found:
        raise DatasetError(f"{where}: there are no pictures in it that can be decoded; give pictures of what is taught")
    return {name: PhotoFrames(tuple(paths), levels) for name, paths in found.items()}
