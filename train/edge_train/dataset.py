"""Photo folders, and the built-in set, as something to train on."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.errors import DatasetError
from edge_core.photos import (
    SPLITS,
    Photo,
    Split,
    Unusable,
    duplicates,
    find_photos,
    identify_photos,
    labels_of,
    split_photos,
)
from edge_core.progress import Track, silently
from edge_train import signs

SIGNS: Final = "signs"
"""Name of the built-in dataset."""

_SIGNS_PER_LABEL: Final[dict[Split, int]] = {"train": 120, "val": 30, "test": 120}
"""Rendered with a seed of their own each. Many to test on, since a change of a point has to be seen: with 1,560 photos
the difference between two models that disagree on 2 % of them is known to 0.7 points, with 250 to 1.8."""

_SPLIT_FOLDERS: Final[dict[str, Split]] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


@dataclass(frozen=True)
class PhotoSet:
    """Photos to train, validate and test on.

    Attributes:
        name: of the folder or the built-in set.
        labels: in natural order, which is the order of the model's outputs.
        splits: the photos of each split, no content twice.
        split_seed: that the split was drawn with.
        mirror: whether a mirrored photo still shows its label; a road sign does not.
        unusable: files that cannot be read.
        repeated: groups of files with the same content, of which one is used.
        contradicted: groups of files with the same content in two classes, of which none is used.
    """

    name: str
    labels: tuple[str, ...]
    splits: dict[Split, list[Photo]]
    split_seed: int
    mirror: bool
    unusable: list[Unusable]
    repeated: list[list[Photo]]
    contradicted: list[list[Photo]]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Photos per split and label."""
        return {
            split: {label: sum(photo.label == label for photo in photos) for label in self.labels}
            for split, photos in self.splits.items()
        }


def open_photos(
    data: str, *, seed: int = 1, mirror: bool | None = None, cache: Path, track: Track = silently
) -> PhotoSet:
    """Finds, hashes and splits the photos to train on.

    Args:
        data: a folder with one subfolder per class; a folder with `train/`, `val/` and `test/` of that form (what is
            not there is split off `train/`); or `signs`, the built-in set, unless a folder has that name.
        seed: of the split.
        mirror: whether mirrored photos may be trained on; by default they may, but for `signs`.
        cache: where the built-in set is rendered.
        track: shows progress.

    Raises:
        DatasetError: no such folder, no photos, a single class, or a class with fewer than three photos.
    """
    folder = Path(data)
    built_in = data == SIGNS and not folder.is_dir()
    if built_in:
        folder = cache / f"signs-{signs.RENDERER_VERSION}"
        for number, (split, per_label) in enumerate(_SIGNS_PER_LABEL.items()):
            signs.write_photos(folder / split, per_label, number, track=track)
    given = _split_folders(folder)
    found: list[tuple[Path, str]] = []
    split_of: dict[Path, Split] = {}
    for split, part in given.items():
        part_found = find_photos(part)
        found += part_found
        split_of.update((path, split) for path, _ in part_found)
    if not given:
        found = find_photos(folder)
    labels_of(found)
    photos, unusable = identify_photos(found, track=track)
    groups = duplicates(photos)
    contradicted = [group for group in groups if len({photo.label for photo in group}) > 1]
    repeated = [group for group in groups if len({photo.label for photo in group}) == 1]
    out = {photo.path for group in contradicted for photo in group}
    for group in repeated:  # of a photo in two splits, the held-out copy stays: no training photo may be tested on
        kept = max(group, key=lambda photo: SPLITS.index(split_of.get(photo.path, "train")))
        out |= {photo.path for photo in group if photo is not kept}
    photos = [photo for photo in photos if photo.path not in out]
    labels = labels_of([(photo.path, photo.label) for photo in photos])
    splits = _complete_splits(photos, split_of, seed) if given else split_photos(photos, seed)
    for split, members in splits.items():
        missing = set(labels) - {photo.label for photo in members}
        if missing:
            raise DatasetError(f"{folder}: the class {min(missing)!r} has no photo to {_PURPOSE[split]} on")
    return PhotoSet(
        name=SIGNS if built_in else folder.resolve().name,
        labels=labels,
        splits=splits,
        split_seed=seed,
        mirror=not built_in if mirror is None else mirror,
        unusable=unusable,
        repeated=repeated,
        contradicted=contradicted,
    )


_PURPOSE: Final = {"train": "train", "val": "validate", "test": "test"}


def _split_folders(folder: Path) -> dict[Split, Path]:
    """The split folders that lie in `folder`, if `train/` is one of them and nothing else is there."""
    if not folder.is_dir():
        return {}
    children = [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
    if not any(child.name == "train" for child in children) or not {child.name for child in children} <= {
        *_SPLIT_FOLDERS
    }:
        return {}
    return {_SPLIT_FOLDERS[child.name]: child for child in children}


def _complete_splits(photos: list[Photo], split_of: dict[Path, Split], seed: int) -> dict[Split, list[Photo]]:
    """Puts photos into the splits that their folders say; a split without a folder is drawn from the training photos."""
    splits: dict[Split, list[Photo]] = defaultdict(list)
    for photo in photos:
        splits[split_of[photo.path]].append(photo)
    missing = [split for split in SPLITS if split not in splits]
    if missing:
        drawn = split_photos(splits["train"], seed)
        for split in SPLITS:
            if split not in missing and split != "train":
                drawn["train"] += drawn.pop(split)
        splits.update(drawn)
    return {split: splits[split] for split in SPLITS}
