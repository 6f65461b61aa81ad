"""Labelled photo folders: found, hashed, decoded, split.

A folder of photos has one subfolder per class; the subfolder's name is the label. What a photo *is* is its content:
the SHA-256 of its file decides the split, finds duplicates, and keeps training photos out of a test.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Generic, Literal, TypeVar

from edge_core.errors import DatasetError, PictureError
from edge_core.images import EXTENSIONS, decode_picture
from edge_core.preprocess import Frame
from edge_core.progress import Track, silently

T = TypeVar("T")
Item = TypeVar("Item")

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")


@dataclass(frozen=True)
class Photo:
    """A photo that can be used.

    Attributes:
        path: of the file.
        label: name of its class.
        sha256: of the file's content, hexadecimal.
    """

    path: Path
    label: str
    sha256: str


@dataclass(frozen=True)
class Unusable:
    """A file that looks like a photo and is left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Reading(Generic[T]):
    """What became of the photos of a folder: `values[i]` is what was made of `photos[i]`."""

    photos: tuple[Photo, ...]
    values: tuple[T, ...]
    unusable: tuple[Unusable, ...]


def natural_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key that puts `class 2` before `class 10`; text without digits sorts as usual, case folded."""
    return tuple(
        (0, int(part)) if part.isdecimal() else (1, part.casefold()) for part in re.split(r"(\d+)", text) if part
    )


def pictures_below(folder: Path) -> list[Path]:
    """All files under a folder that look like pictures, in natural order; what is hidden is passed over."""
    found = (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in EXTENSIONS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    return sorted(found, key=lambda path: (natural_key(str(path.relative_to(folder))), path))


def find_photos(folder: Path) -> list[tuple[Path, str]]:
    """Lists (path, label) of all files under `folder`/LABEL/ that look like pictures, classes in natural order.

    Hidden files and folders are passed over; so is a class without pictures.

    Raises:
        DatasetError: no such folder, or none of its subfolders holds a picture.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder" if not folder.exists() else f"{folder} is not a folder")
    found = []
    for label_folder in sorted((child for child in folder.iterdir() if child.is_dir()), key=_by_name):
        if not label_folder.name.startswith("."):
            found += [(path, label_folder.name) for path in pictures_below(label_folder)]
    if not found:
        flat = "its pictures lie beside each other" if pictures_below(folder) else "it holds no pictures"
        raise DatasetError(f"{folder}: {flat}; put them into one subfolder per class, {folder}/CLASS/photo.jpg")
    return found


_SPLIT_FOLDERS: Final[dict[str, Split]] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


def split_folders(folder: Path) -> dict[Split, Path]:
    """The split folders that lie in `folder`, if `train/` is one of them and nothing else is there; else none.

    Raises:
        DatasetError: two folders for the same split, `val/` and `valid/`, say.
    """
    if not folder.is_dir():
        return {}
    names = [child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
    if "train" not in names or not set(names) <= set(_SPLIT_FOLDERS):
        return {}
    found: dict[Split, Path] = {}
    for name in names:
        if _SPLIT_FOLDERS[name] in found:
            raise DatasetError(f"{folder} has both {found[_SPLIT_FOLDERS[name]].name}/ and {name}/; keep one")
        found[_SPLIT_FOLDERS[name]] = folder / name
    return found


def find_all_photos(folder: Path) -> list[tuple[Path, str]]:
    """What `find_photos` lists, of a folder or of all the split folders in it."""
    return [item for part in split_folders(folder).values() or [folder] for item in find_photos(part)]


def labels_of(found: Sequence[tuple[Path, str]]) -> tuple[str, ...]:
    """The labels of what `find_photos` found, in natural order.

    Raises:
        DatasetError: fewer than two.
    """
    labels = tuple(sorted({label for _, label in found}, key=lambda label: (natural_key(label), label)))
    if len(labels) < 2:
        raise DatasetError(f"the only class is {labels[0]!r}; a classifier needs two or more, one subfolder each")
    return labels


def identify_photos(
    found: Sequence[tuple[Path, str]], *, track: Track = silently, label: str = "Hashing photos"
) -> tuple[list[Photo], list[Unusable]]:
    """Hashes files on all cores; those that cannot be read come back as unusable."""

    def identify(path: Path, label: str) -> Photo | Unusable:
        try:
            with path.open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    return Unusable(path, "the file is empty")  # or all empty files would be copies of each other
                return Photo(path, label, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            return Unusable(path, error.strerror or str(error))

    results = list(track(_on_all_cores(lambda item: identify(*item), found), label, len(found)))
    return (
        [result for result in results if isinstance(result, Photo)],
        [result for result in results if isinstance(result, Unusable)],
    )


def read_photos(
    found: Sequence[tuple[Path, str]],
    visit: Callable[[int, Frame], T],
    *,
    wanted: Callable[[str], bool] = lambda sha256: True,
    track: Track = silently,
    label: str = "Reading photos",
) -> Reading[T]:
    """Hashes and decodes photos on all cores and hands each frame to `visit`.

    Args:
        found: (path, label) pairs.
        visit: called from several threads with the photo's position in `found` and its frame.
        wanted: asked with the SHA-256 before decoding; photos it turns down appear nowhere in the result.
        track: shows progress.
        label: of the progress.
    """

    def read(position: int, path: Path, label: str) -> tuple[Photo, T] | Unusable | None:
        try:
            data = path.read_bytes()
            sha256 = hashlib.sha256(data).hexdigest()
            return (Photo(path, label, sha256), visit(position, decode_picture(data))) if wanted(sha256) else None
        except PictureError as error:
            return Unusable(path, str(error))
        except OSError as error:
            return Unusable(path, error.strerror or str(error))

    good: list[tuple[Photo, T]] = []
    unusable: list[Unusable] = []
    for result in track(_on_all_cores(lambda item: read(item[0], *item[1]), enumerate(found)), label, len(found)):
        if isinstance(result, Unusable):
            unusable.append(result)
        elif result is not None:
            good.append(result)
    return Reading(tuple(photo for photo, _ in good), tuple(value for _, value in good), tuple(unusable))


def split_photos(
    photos: Sequence[Photo], seed: int, val_share: float = 0.15, test_share: float = 0.15
) -> dict[Split, list[Photo]]:
    """Splits photos by a number drawn from each one's content hash and the seed, class by class.

    A photo keeps its split whatever else is added or removed. Only a class too small to have a photo in every split
    by chance is ranked by that number instead, so that none comes out empty.

    Raises:
        DatasetError: a class with fewer than three photos.
    """
    by_label: defaultdict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        by_label[photo.label].append(photo)
    splits: dict[Split, list[Photo]] = {name: [] for name in SPLITS}
    for label, members in by_label.items():
        if len(members) < 3:
            raise DatasetError(
                f"class {label!r} has {len(members)} usable photo{'s' * (len(members) > 1)}; it takes three, "
                "one each to train, to validate and to test on, and better a hundred"
            )
        members.sort(key=lambda photo: _draw(photo, seed))
        test = sum(_draw(photo, seed) < test_share for photo in members)
        val = sum(_draw(photo, seed) < test_share + val_share for photo in members) - test
        test = min(max(test, 1), len(members) - 2)
        val = min(max(val, 1), len(members) - test - 1)
        splits["test"] += members[:test]
        splits["val"] += members[test : test + val]
        splits["train"] += members[test + val :]
    return splits


@dataclass(frozen=True)
class Distinct:
    """Photos of which no two have the same content.

    Attributes:
        photos: one of each content.
        repeated: groups of files with the same content, of which one is among `photos`.
        contradicted: groups of files with the same content in two classes, of which none is.
    """

    photos: list[Photo]
    repeated: list[list[Photo]]
    contradicted: list[list[Photo]]


def without_copies(photos: Sequence[Photo], rank: Callable[[Photo], int] = lambda photo: 0) -> Distinct:
    """Keeps of each content the photo of the highest rank, the first of equals; of one in two classes none."""
    groups: defaultdict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[photo.sha256].append(photo)
    several = [group for group in groups.values() if len(group) > 1]
    contradicted = [group for group in several if len({photo.label for photo in group}) > 1]
    repeated = [group for group in several if len({photo.label for photo in group}) == 1]
    out = {photo.path for group in contradicted for photo in group}
    for group in repeated:
        kept = max(group, key=rank)
        out |= {photo.path for photo in group if photo is not kept}
    return Distinct([photo for photo in photos if photo.path not in out], repeated, contradicted)


def label_counts(photos: Sequence[Photo], labels: Sequence[str]) -> dict[str, int]:
    """How many photos there are of each label, in the order of `labels`."""
    return {label: sum(photo.label == label for photo in photos) for label in labels}


def fingerprint(photos: Sequence[Photo]) -> str:
    """SHA-256, hexadecimal, that two photo sets share only when they hold the same contents under the same labels."""
    lines = sorted(f"{photo.sha256} {photo.label}\n" for photo in photos)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _draw(photo: Photo, seed: int) -> float:
    """A number from 0 to 1 that depends on the photo's content and the seed alone."""
    digest = hashlib.sha256(f"{seed}:{photo.sha256}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _on_all_cores(work: Callable[[Item], T], items: Iterable[Item]) -> Iterator[T]:
    """`map` over a thread pool, in order, with a bounded number of items under way. OpenCV and hashlib free the GIL."""
    waiting = iter(items)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := list(islice(waiting, 256)):
            yield from pool.map(work, batch)


def _by_name(path: Path) -> tuple[object, str]:
    return natural_key(path.name), path.name
