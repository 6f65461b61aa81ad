"""Photo folders, and sets that have a name, as something to train on."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edge_core.artifact.card import check_labels
from edge_core.data.photo_folder import (
    SPLITS,
    Listing,
    Photo,
    Split,
    Unusable,
    identify_photos,
    label_counts,
    labels_of,
    read_photos,
    split_photos,
    without_copies,
)
from edge_core.data.photo_list import read_list
from edge_core.data.split_folders import find_split_photos
from edge_core.errors import CardError, DatasetError
from edge_core.images import is_cut
from edge_core.images.likeness import Sketch, sketch
from edge_core.preprocess import Frame
from edge_core.progress import Track, silently
from edge_core.statistics import effective_count
from edge_train.data import signs, tfds
from edge_train.data.archives import is_archive, unclear_names, unpack
from edge_train.data.catalog import NAMED_SETS, Say, obtain
from edge_train.data.groups import Grouped, group_photos, leaks, taken_at

SIGNS: Final = "signs"
"""Name of the built-in dataset."""

_SIGNS_PER_LABEL: Final[dict[Split, int]] = {"train": 120, "val": 30, "test": 120}
"""Rendered with a seed of their own each. Many to test on, since a change of a point has to be seen: with 1,560 photos
the difference between two models that disagree on 2 % of them is known to 0.7 points, with 250 to 1.8."""

_MORE_NOTHING: Final[dict[Split, int]] = {"train": 120, "val": 0, "test": 0}

_SIGNS_FOLDER: Final = f"signs-{signs.RENDERER_VERSION}-2"
"""Renamed when other numbers of photos are rendered: a folder of an earlier version may be there."""


@dataclass(frozen=True)
class PhotoSet:
    """Photos to train, validate and test on.

    Attributes:
        name: Name of the folder or the set.
        labels: Labels in natural order, which is the order of the model's outputs.
        splits: The photos of each split, no content twice.
        split_seed: That the split was drawn with.
        mirror: Whether a mirrored photo still shows its label; a road sign does not.
        unusable: Files that cannot be read.
        repeated: Groups of files with the same content, of which one is used.
        contradicted: Groups of files with the same content in two classes, of which none is used.
        passed_over: What else lies in the folder, and why it is not used.
        notes: What was decided about the folder, in whole sentences.
        grouped: Why which photos belong together, so that the split does not part them; a line each.
        cut: Number of JPEGs that lack their end, and are decoded as far as they go.
        negatives: Photos of none of the classes, less those that are a class's photo, too.
    """

    name: str
    labels: tuple[str, ...]
    splits: dict[Split, list[Photo]]
    split_seed: int
    mirror: bool
    unusable: list[Unusable]
    repeated: list[list[Photo]]
    contradicted: list[list[Photo]]
    passed_over: tuple[Unusable, ...] = ()
    notes: tuple[str, ...] = ()
    grouped: tuple[str, ...] = ()
    cut: int = 0
    negatives: tuple[Photo, ...] = ()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Photos per split and label."""
        return {split: label_counts(photos, self.labels) for split, photos in self.splits.items()}

    def warnings(self) -> list[str]:
        """What makes a test easier than the camera will be, and how little the test photos tell, in words."""
        found = [f"{self.cut} photos are {CUT_JPEGS}"] if self.cut else []
        for split in HELD_OUT:
            if leaked := leaks(self.splits, split):
                found.append(
                    f"{leaked} of {len(self.splits[split])} photos to {_PURPOSE[split]} on belong together with "
                    f"training photos "
                    "(copies, bursts, frames of a clip): accuracy will come out too high; photograph each class at "
                    "three times or places, and let fit draw the split"
                )
        tested = self.splits["test"]
        told = effective_count([photo.group for photo in tested])
        if told < INDEPENDENT * len(tested):
            found.append(
                f"{len(tested)} test photos tell as much as {told:.0f} that have nothing in common; intervals are as "
                f"wide"
            )
        return found


CUT_JPEGS: Final = "JPEGs that lack their end, and are used as far as they go"

HELD_OUT: Final[tuple[Split, ...]] = ("test", "val")

INDEPENDENT: Final = 0.9
"""Share of the test photos that groups of them must be worth, or it is said."""


@dataclass(frozen=True)
class Found:
    """The files of a dataset, not yet read.

    Attributes:
        name: Name of the folder or the set.
        folder: Where they lie.
        files: (path, label) of each.
        split_of: The split of each file, where the dataset has split folders; else empty.
        mirror: Whether a mirrored photo still shows its label.
        passed_over: What else lies in the folder, and why it is not used.
        notes: What was decided about the folder, in whole sentences.
        drawn: Whether each picture was drawn by itself, so that none belongs together with another.
        negatives: Pictures of none of the classes.
    """

    name: str
    folder: Path
    files: list[tuple[Path, str]]
    split_of: dict[Path, Split]
    mirror: bool
    passed_over: tuple[Unusable, ...] = ()
    notes: tuple[str, ...] = ()
    drawn: bool = False
    negatives: tuple[Path, ...] = ()


def find_dataset(
    data: str,
    *,
    cache: Path,
    data_dir: Path | None = None,
    track: Track = silently,
    say: Say = lambda line: None,
) -> Found:
    """Finds the photos of a folder or of a set that has a name.

    Args:
        data: A folder with one subfolder per class, or a .zip or .tar of one; a CSV file, see `read_list`; a folder
            with `train/`, `val/` and `test/` of that form; or, unless a folder has that name, `signs`, a name of
            `NAMED_SETS`, or `tfds:NAME`.
        cache: Where sets with a name are kept.
        data_dir: Has the sets of `NAMED_SETS` already, see `named.obtain`.
        track: Receives the progress of each step.
        say: Function that is given the license of a set.

    Raises:
        DatasetError: No such folder, no photos, or a set that cannot be had.
        RuntimeMissingError: `tfds:NAME` without tensorflow-datasets.
    """
    folder, name, unclear = Path(data), "", ""
    if not folder.is_dir():
        name = data
        if data == SIGNS:
            folder = cache / _SIGNS_FOLDER
            for number, (split, per_label) in enumerate(_SIGNS_PER_LABEL.items()):
                more = _MORE_NOTHING[split]
                signs.write_photos(folder / split, per_label, number, more_nothing=more, track=track)
        elif data in NAMED_SETS:
            folder = obtain(NAMED_SETS[data], cache, data_dir, track=track, say=say)
        elif data.startswith(tfds.PREFIX):
            folder, name = tfds.export(data.removeprefix(tfds.PREFIX), cache, track=track), data.replace(":", "-")
        elif is_archive(folder):
            unpacked, unclear = unpack(folder, cache), unclear_names(folder)
            name, folder = folder.name.split(".")[0] or folder.name, unpacked
        elif folder.is_file():
            listing = read_list(folder)
            return Found(
                folder.stem,
                folder.parent.absolute(),
                [(path.absolute(), label) for path, label in listing.files],
                {},
                True,
                listing.dropped,
                listing.notes,
            )
        elif not folder.exists():
            raise DatasetError(f"{data}: no such folder, nor one of the sets {', '.join((SIGNS, *NAMED_SETS))}")
    folder = folder.absolute()  # the run's list of photos must hold wherever it is read
    listing, split_of = _listed(folder, data)
    return Found(
        name or folder.resolve().name,
        folder,
        list(listing.files),
        split_of,
        mirror=name != SIGNS,
        drawn=name == SIGNS,
        passed_over=() if name == SIGNS else listing.dropped,  # beside drawn photos lie only our own manifests
        notes=(*listing.notes, *([unclear] if unclear else [])),
        negatives=listing.negatives,
    )


def _listed(folder: Path, data: str) -> tuple[Listing, dict[Path, Split]]:
    """The photos in a folder, and their splits. What is said of an unpacked archive has the archive's own name."""
    shown = data if Path(data).is_file() else str(folder)
    try:
        listing, split_of = find_split_photos(folder)
    except DatasetError as error:
        raise DatasetError(str(error).replace(str(folder), shown)) from error
    return replace(listing, notes=tuple(note.replace(str(folder), shown) for note in listing.notes)), split_of


def open_photos(
    data: str,
    *,
    seed: int = 1,
    mirror: bool | None = None,
    cache: Path,
    data_dir: Path | None = None,
    group_by: str = "",
    track: Track = silently,
    say: Say = lambda line: None,
) -> PhotoSet:
    """Finds, hashes, groups and splits the photos to train on.

    Args:
        data, cache, data_dir, say: The arguments of `find_dataset`; a split that the folder does not have is drawn
            from `train/`.
        seed: Random seed of the split.
        mirror: Whether mirrored photos may be trained on; by default they may, but for `signs`.
        group_by: Which photos belong together, besides those that are found to; see `groups.group_photos`.
        track: Receives the progress of each step.

    Raises:
        DatasetError: See `find_dataset`; a single class, or a class with fewer than three photos.
        SettingsError: `group_by` cannot be understood, or finds nothing.
        RuntimeMissingError: See `find_dataset`.
    """
    found = find_dataset(data, cache=cache, data_dir=data_dir, track=track, say=say)
    try:
        check_labels(labels_of(found.files))
    except CardError as error:  # a folder name with a line break, say
        raise DatasetError(f"{found.folder}: {error}") from error
    if found.drawn:
        photos, unusable = identify_photos(found.files, track=track)
        return divide(found, photos, unusable, seed=seed, sketches={}, mirror=mirror, group_by=group_by)

    def visit(position: int, frame: Frame) -> tuple[Sketch, bool]:
        return sketch(frame), is_cut(found.files[position][0].read_bytes())

    # What deep photos lose without levels, which are not known yet, is the same in all of them.
    seen = read_photos(found.files, visit, levels="own", track=track, label="Looking for photos that belong together")
    sketches = {photo.sha256: value[0] for photo, value in zip(seen.photos, seen.values, strict=True)}
    photo_set = divide(
        found,
        list(seen.photos),
        list(seen.unusable),
        seed=seed,
        sketches=sketches,
        mirror=mirror,
        group_by=group_by,
        track=track,
    )
    strangers, broken = identify_photos([(path, "") for path in found.negatives], track=track)
    members = {photo.sha256 for photo in seen.photos}
    return replace(
        photo_set,
        cut=sum(value[1] for value in seen.values),
        unusable=[*photo_set.unusable, *broken],
        negatives=tuple({photo.sha256: photo for photo in strangers if photo.sha256 not in members}.values()),
    )


def divide(
    found: Found,
    photos: list[Photo],
    unusable: list[Unusable],
    *,
    seed: int,
    sketches: Mapping[str, Sketch],
    mirror: bool | None = None,
    group_by: str = "",
    track: Track = silently,
) -> PhotoSet:
    """Splits photos that have been read; see `open_photos`. `sketches` are those of the photos, by content.

    Raises:
        DatasetError: A single class, a class with fewer than three photos, or one that is missing from a split.
    """
    # Of a photo in two splits, the held-out copy stays: no training photo may be tested on.
    distinct = without_copies(photos, lambda photo: SPLITS.index(found.split_of.get(photo.path, "train")))
    lost = {label for _, label in found.files} - {photo.label for photo in distinct.photos}
    if lost:
        raise DatasetError(
            f"{found.folder}: the class {min(lost)!r} has no photo that can be used: none can be read, or all are in "
            "another class, too"
        )
    grouped = Grouped(distinct.photos, {})
    if not found.drawn:
        grouped = group_photos(distinct.photos, sketches, found.folder, group_by, taken_at, track)
    photos = grouped.photos
    labels = labels_of([(photo.path, photo.label) for photo in photos])
    splits = _complete_splits(photos, found.split_of, seed) if found.split_of else split_photos(photos, seed)
    for split, members in splits.items():
        missing = set(labels) - {photo.label for photo in members}
        if missing:
            raise DatasetError(f"{found.folder}: the class {min(missing)!r} has no photo to {_PURPOSE[split]} on")
    return PhotoSet(
        name=found.name,
        labels=labels,
        splits=splits,
        split_seed=seed,
        mirror=found.mirror if mirror is None else mirror,
        unusable=unusable,
        repeated=distinct.repeated,
        contradicted=distinct.contradicted,
        passed_over=found.passed_over,
        notes=found.notes,
        grouped=tuple(grouped.describe()),
    )


_PURPOSE: Final = {"train": "train", "val": "validate", "test": "test"}


def _complete_splits(photos: list[Photo], split_of: dict[Path, Split], seed: int) -> dict[Split, list[Photo]]:
    """Puts photos into the splits that their folders say; a split without a folder is drawn from the training
    photos."""
    splits: dict[Split, list[Photo]] = defaultdict(list)
    for photo in photos:
        splits[split_of[photo.path]].append(photo)
    missing = [split for split in SPLITS if split not in splits]
    if missing:
        drawn = split_photos(splits["train"], seed)
        # Drawn as if no split had a folder; what was meant for one that has is trained on.
        for split in SPLITS:
            if split not in missing and split != "train":
                drawn["train"] += drawn.pop(split)
        splits.update(drawn)
    return {split: splits[split] for split in SPLITS}
