"""What is in a photo folder, before anything is trained on it: counts, sizes, copies, look-alikes, what cannot be read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edge_core.errors import DatasetError
from edge_core.photos import Photo, Unusable, read_photos, without_copies
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_core.progress import Track, silently
from edge_train.dataset import Found, divide

HASH_BITS: Final = 128
MAX_DISTANCE: Final = 14
"""Of 128 bits. Of flowers' 4.3 million pairs 8 are that close, and all 8 show one picture: a copy in grey or in other
colours, a burst, a crop. At 15 bits comes the first pair that does not, at 17 most do not. Of the million pairs of cats
and dogs one is that close, rightly; the next has 26. Copies made to measure it are found in this share: saved again at
JPEG quality 40, 99 %; halved, brighter by a fifth, or grey, 99 to 100 %; 2 % cut off, 100 %; 5 % cut off, 80 to 92 %."""

FLAT_LEVELS: Final = 4.0
"""Standard deviation of the grey levels below which a picture has no shape that could be compared: fog, a covered lens."""

IMBALANCE: Final = 3.0
"""Photos of the largest class for one of the smallest, from which on it is worth a word."""

_CHUNK: Final = 64  # photos compared with all others at once: 5 MB for 20,000
_MANY_LINKS: Final = 1_000_000


@dataclass(frozen=True)
class NearDuplicates:
    """Photos that look alike though their contents differ; `splits[i]` is where `fit` would put `photos[i]`, or empty."""

    photos: tuple[Photo, ...]
    splits: tuple[str, ...]

    @property
    def across_classes(self) -> bool:
        return len({photo.label for photo in self.photos}) > 1

    @property
    def across_splits(self) -> bool:
        return len(set(self.splits) - {""}) > 1

    def describe(self) -> str:
        """What is worth a look: `alike, in several splits`."""
        places = [name for name, is_it in (("classes", self.across_classes), ("splits", self.across_splits)) if is_it]
        return f"alike, in several {' and '.join(places)}" if places else "alike"


@dataclass(frozen=True)
class Inspection:
    """What was found in a dataset.

    Attributes:
        name: of the dataset.
        counts: readable photos per class, copies included.
        split_counts: photos per split and class as `fit` would have them; empty if it would refuse.
        refusal: why it would.
        sizes: least, middle and largest `width`, `height` in pixels.
        formats: photos per file format.
        unusable: files that cannot be read or decoded.
        repeated: groups of files with the same content, of which one is used.
        contradicted: groups of files with the same content in two classes, of which none is used.
        near: groups of photos that look alike, those across classes and splits first.
    """

    name: str
    counts: dict[str, int]
    split_counts: dict[str, dict[str, int]]
    refusal: str
    sizes: dict[str, tuple[int, int, int]]
    formats: dict[str, int]
    unusable: tuple[Unusable, ...]
    repeated: list[list[Photo]]
    contradicted: list[list[Photo]]
    near: list[NearDuplicates]

    @property
    def photos(self) -> int:
        return sum(self.counts.values())

    def warnings(self) -> list[str]:
        """What to look at before training, in words."""
        found = [f"fit would refuse it: {self.refusal}"] if self.refusal else []
        least, most = (choose(self.counts, key=lambda label: self.counts[label]) for choose in (min, max))
        if self.counts[most] >= IMBALANCE * self.counts[least]:
            found.append(
                f"{most!r} has {self.counts[most]} photos, {least!r} {self.counts[least]}: the rare class will be "
                "recognised less well than the accuracy over all suggests"
            )
        for count, what in (
            (len(self.unusable), "cannot be read"),
            (sum(map(len, self.contradicted)), "are in several classes with the same content, and left out"),
            (sum(map(len, self.repeated)), "share their content with another of their class, and are used once"),
            (_members(self.near, "across_classes"), "look like one of another class"),
            (_members(self.near, "across_splits"), "look like one of another split: accuracy may come out too high"),
        ):
            if count:
                found.append(f"{count} files {what}")
        return found

    def to_text(self) -> str:
        """For people at a terminal."""
        width = max(map(len, self.counts))
        lines = [f"{self.name}: {self.photos} photos, {len(self.counts)} classes"]
        for label, count in self.counts.items():
            parts = [f"{by_label[label]} {split}" for split, by_label in self.split_counts.items()]
            lines.append(f"  {label:{width}}  {count:6}  {', '.join(parts)}".rstrip())
        lines += [f"{name} {low} to {high}, median {middle}" for name, (low, middle, high) in self.sizes.items()]
        lines.append(", ".join(f"{count} {kind}" for kind, count in self.formats.items()))
        lines += [f"unreadable: {item.path}: {item.reason}" for item in self.unusable]
        listed = [("in several classes, left out", group) for group in self.contradicted]
        listed += [("there more than once, used once", group) for group in self.repeated]
        listed += [(near.describe(), list(near.photos)) for near in self.near]
        lines += [f"{what}: {', '.join(str(photo.path) for photo in group)}" for what, group in listed]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings())])

    def to_json(self) -> dict[str, Any]:
        def listed(photos: Sequence[Photo]) -> list[dict[str, str]]:
            return [{"path": str(photo.path), "label": photo.label, "sha256": photo.sha256} for photo in photos]

        return {
            "name": self.name,
            "photos": self.photos,
            "counts": self.counts,
            "splits": self.split_counts,
            "warnings": self.warnings(),
            "sizes": {
                name: dict(zip(("min", "median", "max"), size, strict=True)) for name, size in self.sizes.items()
            },
            "formats": self.formats,
            "unusable": [asdict(item) | {"path": str(item.path)} for item in self.unusable],
            "repeated": [listed(group) for group in self.repeated],
            "contradicted": [listed(group) for group in self.contradicted],
            "near_duplicates": [
                {
                    "across_classes": group.across_classes,
                    "across_splits": group.across_splits,
                    "photos": [
                        photo | {"split": split}
                        for photo, split in zip(listed(group.photos), group.splits, strict=True)
                    ],
                }
                for group in self.near
            ],
        }


def inspect(found: Found, *, seed: int = 1, track: Track = silently) -> Inspection:
    """Reads every photo of a dataset once; what is kept of each is less than a kilobyte.

    Args:
        found: the dataset, as `dataset.find_dataset` finds it.
        seed: of the split that is shown.
        track: shows progress.

    Raises:
        DatasetError: not a single photo can be read.
    """

    def visit(position: int, frame: Frame) -> tuple[int, int, str, bytes]:
        return frame.shape[1], frame.shape[0], _format(found.files[position][0]), dhash(frame)

    reading = read_photos(found.files, visit, track=track, label="Inspecting photos")
    if not reading.photos:
        raise DatasetError(f"{found.folder}: none of its {len(found.files)} pictures can be read")
    photos = list(reading.photos)
    split_of: dict[Path, str] = {}
    split_counts: dict[str, dict[str, int]] = {}
    refusal = ""
    try:
        photo_set = divide(found, photos, list(reading.unusable), seed=seed)
        split_of = {photo.path: split for split, members in photo_set.splits.items() for photo in members}
        split_counts = photo_set.counts
    except DatasetError as error:
        refusal = str(error)
    by_content: dict[str, list[Photo]] = {}
    for photo in photos:
        by_content.setdefault(photo.sha256, []).append(photo)
    distinct = without_copies(photos)
    hashes = {photo.sha256: value[3] for photo, value in zip(photos, reading.values, strict=True)}
    alike = [
        [photo for content in group for photo in by_content[content]] for group in near_groups(hashes, MAX_DISTANCE)
    ]
    near = [NearDuplicates(tuple(group), tuple(split_of.get(photo.path, "") for photo in group)) for group in alike]
    labels = dict.fromkeys(label for _, label in found.files)
    return Inspection(
        name=found.name,
        counts={label: sum(photo.label == label for photo in photos) for label in labels},
        split_counts=split_counts,
        refusal=refusal,
        sizes={
            name: (min(sides), round(median(sides)), max(sides))
            for name, sides in (
                ("width", [value[0] for value in reading.values]),
                ("height", [value[1] for value in reading.values]),
            )
        },
        formats=dict(Counter(value[2] for value in reading.values).most_common()),
        unusable=reading.unusable,
        repeated=distinct.repeated,
        contradicted=distinct.contradicted,
        near=sorted(near, key=lambda group: (not group.across_classes, not group.across_splits)),
    )


def spread(photos: Sequence[tuple[Path, str]], count: int) -> list[tuple[Path, str]]:
    """About `count` files to look at: as many of each class, at even distances."""
    by_label: dict[str, list[tuple[Path, str]]] = {}
    for path, label in photos:
        by_label.setdefault(label, []).append((path, label))
    shown: list[tuple[Path, str]] = []
    for members in by_label.values():
        each = min(len(members), max(1, count // len(by_label)))
        shown += [members[index * len(members) // each] for index in range(each)]
    return shown


def dhash(frame: Frame) -> bytes:
    """Difference hash of a picture: whether it gets brighter, to the right and downwards, between 9 x 9 means of grey.

    The picture goes through `preprocess` at eight times that size, so that what its halvings cut off the edges is at
    most a hundredth; straight to 9 x 9 it would be a twentieth, and a copy at 70 % of the size would not be found.

    Args:
        frame: uint8, shape (height, width, 3).

    Returns:
        `HASH_BITS` bits, packed; empty for a picture without shapes.
    """
    grey = cv2.cvtColor(preprocess(frame, _HASHED), cv2.COLOR_RGB2GRAY)
    means = cv2.resize(grey, (9, 9), interpolation=cv2.INTER_AREA).astype(np.int16)
    if means.std() < FLAT_LEVELS:
        return b""
    bits = np.concatenate([(means[:8, 1:] > means[:8, :8]).ravel(), (means[1:, :8] > means[:8, :8]).ravel()])
    return np.packbits(bits).tobytes()


_HASHED: Final = InputSpec(72, 72, "stretch")


def near_groups(hashes: Mapping[str, bytes], most: int) -> list[list[str]]:
    """Groups of two or more whose hashes are linked by steps of at most `most` differing bits.

    With bits as -1 and 1 the number that differ is (bits - dot product) / 2: all pairs are one matrix product, taken in
    chunks. Links are thinned out to one a photo whenever there are many, so memory grows with the photos, not with the
    pairs, even if all look alike.

    Args:
        hashes: from `dhash`, by content.
        most: bits.
    """
    contents = [content for content, value in hashes.items() if value]
    bits = np.frombuffer(b"".join(hashes.values()), np.uint8).reshape(len(contents), HASH_BITS // 8)
    signs = np.unpackbits(bits, axis=1).astype(np.float32) * 2 - 1
    links = np.empty((2, 0), np.intp)
    for start in range(0, len(signs), _CHUNK):
        alike = signs[start : start + _CHUNK] @ signs[start:].T >= HASH_BITS - 2 * most
        links = np.concatenate([links, np.array(alike.nonzero()) + start], axis=1)
        if links.shape[1] > _MANY_LINKS:
            links = np.array([np.arange(len(signs)), _first_linked(len(signs), links)])
    first = _first_linked(len(signs), links)
    return [
        [contents[index] for index in np.flatnonzero(first == one)]
        for one in np.flatnonzero(np.bincount(first, minlength=1) > 1)
    ]


def _first_linked(count: int, links: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """For each of `count` photos the first one that chains of links lead to; `links` has the shape (2, links)."""
    graph = coo_array((np.ones(links.shape[1], bool), (links[0], links[1])), (count, count))
    _, first, group = np.unique(connected_components(graph, directed=False)[1], return_index=True, return_inverse=True)
    return np.asarray(first[group], np.intp)


def _members(groups: Sequence[NearDuplicates], kind: str) -> int:
    return sum(len(group.photos) for group in groups if getattr(group, kind))


_SIGNATURES: Final = (
    (0, b"\xff\xd8", "JPEG"),
    (0, b"\x89PNG", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
    (8, b"avif", "AVIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"P", "PNM"),
)


def _format(path: Path) -> str:
    """The format by the file's first bytes; its name need not tell the truth."""
    with path.open("rb") as file:
        start = file.read(12)
    return next((kind for at, bytes_, kind in _SIGNATURES if start[at:].startswith(bytes_)), path.suffix[1:].lower())
