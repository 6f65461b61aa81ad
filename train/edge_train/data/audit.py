"""What is in a photo folder, before anything is trained on it: counts, sizes, copies, look-alikes, what cannot be
read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import (
    HEAD_BYTES,
    LITTER_REASON,
    Photo,
    Reading,
    Split,
    Unusable,
    by_content,
    label_counts,
    read_photos,
    without_copies,
)
from edge_core.errors import DatasetError, printable
from edge_core.images import is_cut
from edge_core.images.image_header import format_of
from edge_core.images.likeness import Sketch, sketch
from edge_core.preprocess import Frame
from edge_core.progress import Track, silently
from edge_train.data.class_balance import imbalance_warning
from edge_train.data.dataset import CUT_JPEGS, Found, PhotoSet, divide
from edge_train.data.deep import DeepPhotos, find_deep_photos
from edge_train.data.near_duplicates import look_alike_groups


@dataclass(frozen=True)
class NearDuplicates:
    """Photos that look alike though their contents differ; `splits[i]` is where `fit` would put `photos[i]`, or
    empty."""

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
        name: Name of the dataset.
        counts: Readable photos per class, copies included.
        split_counts: Photos per split and class as `fit` would have them; empty if it would refuse.
        refusal: Why it would.
        sizes: Least, middle and largest `width`, `height` in pixels.
        formats: Photos per file format.
        unusable: Files that cannot be read or decoded.
        passed_over: What else lies in the folder, and why it is not used.
        notes: What was decided about the folder, in whole sentences.
        deep: The photos with more than 8 bits a level.
        cut: Number of JPEGs that lack their end, and are decoded as far as they go.
        repeated: Groups of files with the same content, of which one is used.
        contradicted: Groups of files with the same content in two classes, of which none is used.
        near: Groups of photos that look alike, those across classes and splits first.
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
    passed_over: tuple[Unusable, ...] = ()
    notes: tuple[str, ...] = ()
    deep: DeepPhotos | None = None
    cut: int = 0

    @property
    def photos(self) -> int:
        return sum(self.counts.values())

    def warnings(self) -> list[str]:
        """What to look at before training, in words."""
        found = [f"fit would refuse it: {self.refusal}"] if self.refusal else []
        found += [self.deep.warning()] if self.deep and self.deep.warning() else []
        if unequal := imbalance_warning(self.counts):
            found.append(unequal)
        for count, what in (
            (len(self.unusable), "cannot be read"),
            (self.cut, f"are {CUT_JPEGS}"),
            (
                sum(item.reason != LITTER_REASON for item in self.passed_over),
                "are not pictures, or not in a class, and passed over",
            ),
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
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"unreadable: {item.path}: {item.reason}" for item in self.unusable]
        lines += [f"passed over: {item.path}: {item.reason}" for item in self.passed_over]
        listed = [("in several classes, left out", group) for group in self.contradicted]
        listed += [("there more than once, used once", group) for group in self.repeated]
        listed += [(near.describe(), list(near.photos)) for near in self.near]
        lines += [f"{what}: {', '.join(str(photo.path) for photo in group)}" for what, group in listed]
        return "\n".join(map(printable, [*lines, *(f"warning: {warning}" for warning in self.warnings())]))

    def to_json(self) -> JsonObject:
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
            "passed_over": [asdict(item) | {"path": str(item.path)} for item in self.passed_over],
            "notes": list(self.notes),
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


@dataclass(frozen=True)
class _Look:
    """What is kept of a photo that was read."""

    width: int
    height: int
    format: str
    sketch: Sketch
    cut: bool


def inspect(found: Found, *, seed: int = 1, track: Track = silently) -> Inspection:
    """Reads every photo of a dataset once; what is kept of each is four kilobytes.

    Args:
        found: The dataset, as `dataset.find_dataset` finds it.
        seed: Random seed of the split that is shown.
        track: Receives the progress of each step.

    Raises:
        DatasetError: Not a single photo can be read.
    """

    def visit(position: int, frame: Frame) -> _Look:
        data = found.files[position][0].read_bytes()
        return _Look(frame.shape[1], frame.shape[0], format_of(data[:HEAD_BYTES]), sketch(frame), is_cut(data))

    reading = read_photos(found.files, visit, levels="own", track=track, label="Inspecting photos")
    if not reading.photos:
        raise DatasetError(f"{found.folder}: none of its {len(found.files)} pictures can be read")
    photos, looks = list(reading.photos), reading.values
    sketches = {photo.sha256: seen.sketch for photo, seen in zip(photos, looks, strict=True)}
    splits, refusal = _divided(found, reading, sketches, seed, track)
    near = _near_duplicates(photos, sketches, splits.splits if splits else {}, track)
    distinct = without_copies(photos)
    labels = list(dict.fromkeys(label for _, label in found.files))
    return Inspection(
        name=found.name,
        counts=label_counts(photos, labels),
        split_counts=splits.counts if splits else {},
        refusal=refusal,
        sizes={"width": _spread([seen.width for seen in looks]), "height": _spread([seen.height for seen in looks])},
        formats=dict(Counter(seen.format for seen in looks).most_common()),
        unusable=reading.unusable,
        repeated=distinct.repeated,
        contradicted=distinct.contradicted,
        near=near,
        passed_over=found.passed_over,
        notes=found.notes,
        deep=find_deep_photos([photo.path for photo in photos]),
        cut=sum(seen.cut for seen in looks),
    )


def _divided(
    found: Found, reading: Reading[_Look], sketches: dict[str, Sketch], seed: int, track: Track
) -> tuple[PhotoSet | None, str]:
    """The split that training would make; None where it would refuse, and why."""
    try:
        photos, unusable = list(reading.photos), list(reading.unusable)
        return divide(found, photos, unusable, seed=seed, sketches=sketches, track=track), ""
    except DatasetError as error:
        return None, str(error)


def _near_duplicates(
    photos: Sequence[Photo], sketches: dict[str, Sketch], splits: Mapping[Split, Sequence[Photo]], track: Track
) -> list[NearDuplicates]:
    """Groups of photos that look alike, those that do harm first: across classes, then across splits."""
    split_of = {photo.path: split for split, members in splits.items() for photo in members}
    same = by_content(photos)
    alike = [[photo for content in group for photo in same[content]] for group in look_alike_groups(sketches, track)]
    near = [NearDuplicates(tuple(group), tuple(split_of.get(photo.path, "") for photo in group)) for group in alike]
    return sorted(near, key=lambda group: (not group.across_classes, not group.across_splits))


def _spread(sides: Sequence[int]) -> tuple[int, int, int]:
    """The least, the median and the most."""
    return min(sides), round(median(sides)), max(sides)


def spaced_per_class(photos: Sequence[tuple[Path, str]], count: int) -> list[tuple[Path, str]]:
    """About `count` files to look at: as many of each class, at even distances; of more classes one each of some."""
    by_label: dict[str, list[tuple[Path, str]]] = {}
    for path, label in photos:
        by_label.setdefault(label, []).append((path, label))
    shown: list[tuple[Path, str]] = []
    for members in list(by_label.values())[:: -(-len(by_label) // count)]:
        each = min(len(members), max(1, count // len(by_label)))
        shown += [members[index * len(members) // each] for index in range(each)]
    return shown


def _members(groups: Sequence[NearDuplicates], kind: str) -> int:
    return sum(len(group.photos) for group in groups if getattr(group, kind))
