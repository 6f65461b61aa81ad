"""Labeled photo folders: found, hashed, decoded, split.

A folder of photos has one subfolder per class; the subfolder's name is the label. What a photo *is* is its content:
the SHA-256 of its file decides the split, finds duplicates, and keeps training photos out of a test.
"""

import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Final, Generic, Literal, TypeVar

from edge_core.errors import DatasetError, PictureError
from edge_core.images import Levels, Own, decode_picture
from edge_core.images.image_header import format_of
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
        path: Path of the file.
        label: Name of its class.
        sha256: SHA-256 of the file's content, hexadecimal.
        group: What it has in common with photos that show the same, frames of one clip, say, so that no split may part
            them; empty for a photo by itself.
    """

    path: Path
    label: str
    sha256: str
    group: str = field(default="", compare=False)


@dataclass(frozen=True)
class Unusable:
    """A file or folder that is left out, and why."""

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
        # The tags put numbers before text, and keep Python from comparing one with the other, which is a TypeError.
        # Of more than 4,300 digits `int` makes no number.
        (0, int(part)) if part.isdecimal() else (1, part.casefold())
        for part in re.split(r"(\d{1,4000})", text)
        if part
    )


LITTER: Final = frozenset(
    name.casefold()
    for name in (
        *("@eaDir", "@SynoResource", "@SynoEAStream", "@tmp", "@sharebin", "@appstore"),  # Synology
        *("@Recycle", "@Recently-Snapshot", "@Transcode"),  # QNAP
        *("#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "RECYCLER", "$Extend", "FOUND.000"),
        *("Thumbs.db", "ehthumbs.db", "desktop.ini", "Picasa.ini", "ZbThumbnail.info", "__MACOSX", "lost+found"),
        *("Icon\r", "Network Trash Folder", "Temporary Items", "TheVolumeSettingsFolder", "SYNOFILE_THUMB"),
        *("__pycache__", "node_modules"),
    )
)
"""What network storage, operating systems and programs leave in folders, case folded; names with a dot in front are
too."""

LITTER_REASON: Final = "litter of an operating system or of network storage"
HEAD_BYTES: Final = 64

LARGEST_FILE: Final = 1 << 31
"""Bytes of the largest file that counts as a photo: the most pixels that are decoded, of four numbers of 32 bits. One
map of 30 GB in a folder would take all memory."""


NEGATIVES_FOLDER: Final = "_nothing"
"""Folder of photos that show none of the classes; `edge-run live --snapshots` fills it with frames that are foreign to
the model."""


@dataclass(frozen=True)
class Walk:
    """What lies below a folder.

    Attributes:
        pictures: Files whose content is a picture's, in natural order, whatever their name is.
        dropped: Every other file, folders that cannot be looked into, and links that lead nowhere; each folder of
            litter counts once.
    """

    pictures: tuple[Path, ...]
    dropped: tuple[Unusable, ...]


def walk(folder: Path) -> Walk:
    """Looks at every file below a folder, once; links are followed, but not in circles."""
    entries = list(_entries(folder, _above(folder)))
    pictures = [entry for entry in entries if isinstance(entry, Path)]
    return Walk(
        tuple(sorted(pictures, key=lambda path: (natural_key(str(path.relative_to(folder))), path))),
        tuple(entry for entry in entries if isinstance(entry, Unusable)),
    )


def holds_pictures(folder: Path) -> bool:
    """Whether `walk` finds a picture; it looks no further than the first."""
    return any(isinstance(entry, Path) for entry in _entries(folder, _above(folder)))


def pictures_below(folder: Path) -> list[Path]:
    """The pictures of `walk`."""
    return list(walk(folder).pictures)


def is_litter(name: str) -> bool:
    """Whether a file or folder of that name is not the user's: hidden, or left by a program."""
    # Lightroom keeps its previews in `NAME Previews.lrdata`.
    return name.startswith(".") or name.casefold() in LITTER or name.casefold().endswith(".lrdata")


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False where nobody may look, or a link is too long, which `Path.is_dir` raises of."""
    return os.path.isdir(path)


def why_no_picture(path: Path) -> str:
    """Why a file is no picture, by its content; empty if it is one."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return "neither a file nor a folder"
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        return "a link that leads nowhere" if path.is_symlink() else "no such file"
    except OSError as error:
        return error.strerror or str(error)
    except ValueError:
        return "no such file: its name has a zero byte"
    if status.st_size > LARGEST_FILE:
        return f"{status.st_size / 1e9:.1f} GB, which is more than a photo has"
    return _why_no_format(head)


def _why_no_format(head: bytes) -> str:
    """Why a file that begins with `head` is no picture; empty if it is one."""
    if not head:
        return "the file is empty"
    kind = format_of(head)
    return "a video" if kind == "video" else "" if kind else "not a picture"


_FolderId = tuple[int, int]
"""Device and number of a folder: the same for every path that leads to it."""


def _id_of(folder: Path) -> _FolderId:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _above(folder: Path) -> tuple[_FolderId, ...]:
    """The folders that a folder lies in: a link to one of them, `..` say, would bring in all that lies beside it."""
    found = []
    for parent in folder.absolute().parents:
        with suppress(OSError):
            found.append(_id_of(parent))
    return tuple(found)


def _entries(folder: Path, above: tuple[_FolderId, ...]) -> Iterator[Path | Unusable]:
    """What `walk` finds: paths of pictures, and what is dropped. `above`: the folders that it lies in."""
    try:
        here = _id_of(folder)
        children = sorted(folder.iterdir())
    except OSError as error:
        yield Unusable(folder, error.strerror or str(error))
        return
    if here in above:  # it would be followed for ever
        yield Unusable(folder, "a link to a folder that it lies in")
        return
    for child in children:
        if is_litter(child.name):
            yield Unusable(child, LITTER_REASON)
        elif is_folder(child):
            yield from _entries(child, (*above, here))
        elif reason := why_no_picture(child):
            yield Unusable(child, reason)
        else:
            yield child


def nfc(name: str) -> str:
    """A name as labels have it: accents in one character each, as NFC has them; a Mac's disk may have them in two."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class Listing:
    """The photos of a dataset, not yet read.

    Attributes:
        files: (path, label) of each, classes in natural order.
        dropped: What was passed over, and why.
        notes: What else was decided, in whole sentences.
        negatives: Pictures in a folder `NEGATIVES_FOLDER` among the classes.
    """

    files: tuple[tuple[Path, str], ...]
    dropped: tuple[Unusable, ...] = ()
    notes: tuple[str, ...] = ()
    negatives: tuple[Path, ...] = ()

    def __add__(self, other: "Listing") -> "Listing":
        return Listing(
            self.files + other.files,
            self.dropped + other.dropped,
            self.notes + other.notes,
            self.negatives + other.negatives,
        )


def find_photos(folder: Path) -> Listing:
    """Lists all pictures under `folder`/LABEL/, and what is passed over.

    Photos in deeper folders belong to the class that the first folder names. A folder that holds nothing but one folder
    with the classes is looked into.

    Raises:
        DatasetError: No such folder, or none of its subfolders holds a picture.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder" if not folder.exists() else f"{folder} is not a folder")
    notes: list[str] = []
    inner = innermost(folder)
    dropped = beside(folder, inner)
    if inner != folder:
        notes.append(f"the classes are the folders in {inner}: nothing else in {folder} holds pictures.")
        folder = inner
    classes = _ClassFolders(folder)
    classes.dropped += dropped
    for child in sorted(_children(folder), key=_by_name):
        classes.add(child)
    if not classes.files:
        raise DatasetError(_no_classes(folder, classes.dropped))
    return Listing(
        tuple((path, label) for label, paths in classes.files.items() for path in paths),
        tuple(classes.dropped),
        (*notes, *classes.notes()),
        tuple(classes.negatives),
    )


class _ClassFolders:
    """What lies in a folder of classes, told apart entry by entry."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, list[Path]] = {}
        self.dropped: list[Unusable] = []
        self.negatives: list[Path] = []
        self._folder, self._deeper = folder, 0
        self._names: dict[str, set[str]] = {}
        self._notes: list[str] = []

    def add(self, child: Path) -> None:
        if is_litter(child.name):
            self.dropped.append(Unusable(child, LITTER_REASON))
        elif is_folder(child):
            found = walk(child)
            self.dropped += found.dropped
            if child.name == NEGATIVES_FOLDER:
                self._notes.append(
                    f"{len(found.pictures)} photos in {child} show none of the classes: they are no class, but "
                    "`edge-convert export` learns from them what is foreign."
                )
                self.negatives += found.pictures
            elif found.pictures:
                self._add_class(child, found.pictures)
            else:
                self.dropped.append(Unusable(child, "no picture in this class folder"))
        else:
            reason = why_no_picture(child)
            self.dropped.append(Unusable(child, reason or "a picture beside the class folders, not in one"))

    def _add_class(self, child: Path, pictures: Sequence[Path]) -> None:
        # macOS writes accents decomposed, Linux composed: two folders of one name, copied from both, are one class.
        self.files.setdefault(nfc(child.name), []).extend(pictures)
        self._names.setdefault(nfc(child.name), set()).add(child.name)
        self._deeper += sum(path.parent != child for path in pictures)

    def notes(self) -> list[str]:
        """What a user would not expect of this folder, a sentence each."""
        notes = [
            f"{label!r} is there as {len(several)} folders whose names differ only in how accents are encoded; they "
            f"are one class."
            for label, several in self._names.items()
            if len(several) > 1
        ]
        alike: dict[str, list[str]] = {}
        for label in self.files:
            alike.setdefault(" ".join(label.casefold().split()), []).append(label)
        notes += [
            f"the classes {' and '.join(map(repr, several))} differ only in capitals or spaces; put their photos "
            "together if they are one."
            for several in alike.values()
            if len(several) > 1
        ]
        if self._deeper:
            notes.append(
                f"{self._deeper} photos lie in deeper folders; each one's class is the folder directly in "
                f"{self._folder}."
            )
        return self._notes + notes


def _no_classes(folder: Path, dropped: Sequence[Unusable]) -> str:
    """Why there are no class folders in a folder, and what to do."""
    why = "its pictures lie beside each other"
    if not pictures_below(folder):
        why = "it holds no pictures"
        first = next((item for item in dropped if item.path.is_file() and not is_litter(item.path.name)), None)
        if first:
            why += f" ({first.path.name}: {first.reason})"
    return f"{folder}: {why}; put them into one subfolder per class, {folder}/CLASS/photo.jpg"


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder}: {error.strerror or error}") from error


def folders_in(folder: Path) -> list[Path]:
    """The folders directly in a folder that are the user's, in natural order.

    Raises:
        DatasetError: Nobody may look into it.
    """
    found = [child for child in _children(folder) if is_folder(child) and not is_litter(child.name)]
    return sorted(found, key=_by_name)


def files_in(folder: Path) -> list[Path]:
    """What else lies directly in a folder, litter included.

    Raises:
        DatasetError: Nobody may look into it.
    """
    return sorted(set(_children(folder)) - set(folders_in(folder)))


def innermost(folder: Path) -> Path:
    """The folder with several folders of pictures that `folder` holds, in as many others as may be; else `folder`."""
    inner = folder
    while not any(is_picture(path) for path in files_in(inner)):
        below = [child for child in folders_in(inner) if holds_pictures(child)]
        if len(below) != 1:
            return inner if below else folder
        inner = below[0]
    return folder


def beside(folder: Path, inner: Path) -> list[Unusable]:
    """What lies between a folder and its `innermost`, and is passed over."""
    between = [parent for parent in (inner, *inner.parents) if parent.is_relative_to(folder) and parent != inner]
    others = [child for parent in between for child in _children(parent) if not inner.is_relative_to(child)]
    return [Unusable(child, why_not_used(child)) for child in sorted(others)]


def why_not_used(path: Path) -> str:
    """Why something beside the folders of pictures is passed over."""
    if is_litter(path.name):
        return LITTER_REASON
    return "no picture in this folder" if is_folder(path) else why_no_picture(path) or "a picture beside the folders"


def is_picture(path: Path) -> bool:
    """Whether a file is the user's picture."""
    return not is_litter(path.name) and not why_no_picture(path)


def labels_of(found: Sequence[tuple[Path, str]]) -> tuple[str, ...]:
    """The labels of what `find_photos` found, in natural order.

    Raises:
        DatasetError: Fewer than two.
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

    if not found:
        return [], []  # no bar for nothing to do
    results = list(track(_on_all_cores(lambda item: identify(*item), found), label, len(found)))
    return (
        [result for result in results if isinstance(result, Photo)],
        [result for result in results if isinstance(result, Unusable)],
    )


def read_photos(
    found: Sequence[tuple[Path, str]],
    visit: Callable[[int, Frame], T],
    *,
    levels: Levels | Own,
    wanted: Callable[[str], bool] = lambda sha256: True,
    track: Track = silently,
    label: str = "Reading photos",
) -> Reading[T]:
    """Hashes and decodes photos on all cores and hands each frame to `visit`.

    Args:
        found: (path, label) pairs.
        visit: Called from several threads with the photo's position in `found` and its frame.
        levels: Levels as `images.decode_picture` takes them: those of the model's `InputSpec`, wherever it will see
            them.
        wanted: Function that gets the SHA-256 before decoding; photos it turns down appear nowhere in the result.
        track: Receives the progress of each step.
        label: Label of the progress bar.
    """

    def read(position: int, path: Path, label: str) -> tuple[Photo, T] | Unusable | None:
        try:
            # Read once: what is hashed is what is decoded, even if the file is replaced meanwhile.
            data = path.read_bytes()
            sha256 = hashlib.sha256(data).hexdigest()
            return (
                (Photo(path, label, sha256), visit(position, decode_picture(data, levels=levels)))
                if wanted(sha256)
                else None
            )
        except PictureError as error:
            return Unusable(path, str(error))
        except OSError as error:
            return Unusable(path, error.strerror or str(error))

    # In the order of `found`: the pool hands results back in the order in which it was given the work.
    good: list[tuple[Photo, T]] = []
    unusable: list[Unusable] = []
    for result in track(_on_all_cores(lambda item: read(item[0], *item[1]), enumerate(found)), label, len(found)):
        if isinstance(result, Unusable):
            unusable.append(result)
        elif result is not None:
            good.append(result)
    return Reading(tuple(photo for photo, _ in good), tuple(value for _, value in good), tuple(unusable))


LARGEST_HELD_OUT: Final = 0.3
"""Share of a class's photos beyond which a group is trained on rather than held out, where there is a choice."""


@dataclass
class _Unit:
    """Photos that stay together, and the number that is drawn for them: that of the first of their contents."""

    photos: list[Photo]
    draw: float
    split: Split = "train"

    @property
    def labels(self) -> set[str]:
        return {photo.label for photo in self.photos}


def split_photos(
    photos: Sequence[Photo], seed: int, val_share: float = 0.15, test_share: float = 0.15
) -> dict[Split, list[Photo]]:
    """Splits photos by a number drawn from each one's content hash and the seed; those of a group stay together.

    A photo keeps its split whatever else is added or removed. Only where a class would lack a split, because it is
    small or its groups are large, another photo or group is moved there. A class that is a single group, or two, cannot
    be split without parting one: it is cut where it is ordered by name, so that frames far apart in time are held out.

    Raises:
        DatasetError: A class with fewer than three photos.
    """
    counts = Counter(photo.label for photo in photos)
    for label, count in counts.items():
        if count < 3:
            raise DatasetError(
                f"class {label!r} has {count} usable photo{'s' * (count > 1)}; it takes three, "
                "one each to train, to validate and to test on, and better a hundred"
            )
    units = _units(photos, seed)
    # Ends: each round takes a unit apart, and three units of one photo each can fill the three splits.
    while lacking := _place(units, counts, test_share, val_share):
        units = _cut(units, lacking, seed)
    by_label: dict[str, list[tuple[Split, Photo]]] = {label: [] for label in counts}
    for unit in sorted(units, key=lambda unit: unit.draw):
        for photo in unit.photos:
            by_label[photo.label].append((unit.split, photo))
    splits: dict[Split, list[Photo]] = {name: [] for name in SPLITS}
    for split, photo in chain.from_iterable(by_label.values()):
        splits[split].append(photo)
    return splits


def _units(photos: Sequence[Photo], seed: int) -> list[_Unit]:
    groups: defaultdict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[photo.group or photo.sha256].append(photo)
    return [_unit(members, seed) for members in groups.values()]


def _unit(members: list[Photo], seed: int) -> _Unit:
    return _Unit(members, _draw(min(members, key=lambda photo: photo.sha256), seed))


def _place(units: Sequence[_Unit], counts: Mapping[str, int], test_share: float, val_share: float) -> str:
    """Gives each unit its split; returns a label that cannot be in all three, or empty."""
    by_label: defaultdict[str, list[_Unit]] = defaultdict(list)
    large = set()  # ids, since a unit is mutable and so not hashable
    for unit in units:
        for label, count in Counter(photo.label for photo in unit.photos).items():
            by_label[label].append(unit)
            if len(unit.photos) > 1 and count > LARGEST_HELD_OUT * counts[label]:
                large.add(id(unit))
        held_out = "test" if unit.draw < test_share else "val" if unit.draw < test_share + val_share else "train"
        unit.split = "train" if id(unit) in large else held_out  # type: ignore[assignment]
    return next((label for label in by_label if not _in_all_splits(label, by_label, large)), "")


def _in_all_splits(label: str, by_label: Mapping[str, Sequence[_Unit]], large: set[int]) -> bool:
    """Moves units of a label until each split has one, if that can be."""
    splits: tuple[Split, ...] = ("test", "val", "train")
    for split in splits:
        if any(unit.split == split for unit in by_label[label]):
            continue
        movable = [unit for unit in by_label[label] if _is_spare(unit, by_label)]
        if not movable:
            return False
        # From the training photos the one whose draw is the least, else from the test photos the one whose is the
        # most.
        chosen = min(movable, key=lambda unit: (id(unit) in large, _distance(unit, split)))
        if split == "train":
            # The one with the most photos, for training is what needs them.
            chosen = max(movable, key=lambda unit: (len(unit.photos), unit.draw))
        chosen.split = split
    return True


def _is_spare(unit: _Unit, by_label: Mapping[str, Sequence[_Unit]]) -> bool:
    """Whether none of its classes would be without a photo in its split if it were moved."""
    return all(sum(other.split == unit.split for other in by_label[label]) > 1 for label in unit.labels)


def _distance(unit: _Unit, split: Split) -> float:
    """How far a draw is from those that belong to a split."""
    return 1 - unit.draw if split == "val" and unit.split == "test" else unit.draw


def _cut(units: Sequence[_Unit], label: str, seed: int) -> list[_Unit]:
    """Cuts the unit with the most photos of a label into most of them, a sixth and a sixth, by name, and its others."""

    def photos_of(unit: _Unit) -> tuple[bool, int]:
        count = sum(photo.label == label for photo in unit.photos)
        return bool(count) and len(unit.labels) > 1, count  # what ties classes together first

    # What ties classes together goes first: it can be moved for one of them only if it can for all.
    largest = max(units, key=photos_of)
    mine = sorted(
        (photo for photo in largest.photos if photo.label == label), key=lambda photo: natural_key(str(photo.path))
    )
    others = [photo for photo in largest.photos if photo.label != label]
    held = max(1, len(mine) // 6)
    first = max(1, len(mine) - 2 * held)
    pieces = [piece for piece in (mine[:first], mine[first : first + held], mine[first + held :], others) if piece]
    return [*(unit for unit in units if unit is not largest), *(_unit(piece, seed) for piece in pieces)]


@dataclass(frozen=True)
class Distinct:
    """Photos of which no two have the same content.

    Attributes:
        photos: One of each content.
        repeated: Groups of files with the same content, of which one is among `photos`.
        contradicted: Groups of files with the same content in two classes, of which none is.
    """

    photos: list[Photo]
    repeated: list[list[Photo]]
    contradicted: list[list[Photo]]


def by_content(photos: Iterable[Photo]) -> dict[str, list[Photo]]:
    """Photos with the same content, under its SHA-256."""
    groups: defaultdict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[photo.sha256].append(photo)
    return dict(groups)


def without_copies(photos: Sequence[Photo], rank: Callable[[Photo], int] = lambda photo: 0) -> Distinct:
    """Keeps of each content the photo of the highest rank, the first of equals; of one in two classes none."""
    contradicted: list[list[Photo]] = []
    repeated: list[list[Photo]] = []
    for group in by_content(photos).values():
        if len(group) > 1:
            (contradicted if len({photo.label for photo in group}) > 1 else repeated).append(group)
    out = {photo.path for group in contradicted for photo in group}
    for group in repeated:
        kept = max(group, key=rank)
        out |= {photo.path for photo in group if photo is not kept}
    return Distinct([photo for photo in photos if photo.path not in out], repeated, contradicted)


def label_counts(photos: Sequence[Photo], labels: Sequence[str]) -> dict[str, int]:
    """How many photos there are of each label, in the order of `labels`."""
    counts = Counter(photo.label for photo in photos)
    return {label: counts[label] for label in labels}


def fingerprint(photos: Sequence[Photo]) -> str:
    """SHA-256, hexadecimal, that two photo sets share only when they hold the same contents under the same labels."""
    lines = sorted(f"{photo.sha256} {photo.label}\n" for photo in photos)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _draw(photo: Photo, seed: int) -> float:
    """A number from 0 to 1 that depends on the photo's content and the seed alone."""
    digest = hashlib.sha256(f"{seed}:{photo.sha256}".encode()).digest()
    # The first 64 bits of the digest, uniform in 0..1.
    return int.from_bytes(digest[:8]) / 2**64


def _on_all_cores(work: Callable[[Item], T], items: Iterable[Item]) -> Iterator[T]:
    """`map` over a thread pool, in order, with a bounded number of items under way. OpenCV and hashlib free the GIL."""
    # Late: logging and queue come with it, and every command imports this module.
    from concurrent.futures import ThreadPoolExecutor

    waiting = iter(items)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # `map` would submit all items at once, and keep every result until it is taken: all photos, decoded, in memory.
        while batch := list(islice(waiting, 256)):
            yield from pool.map(work, batch)


def _by_name(path: Path) -> tuple[object, str]:
    return natural_key(path.name), path.name
