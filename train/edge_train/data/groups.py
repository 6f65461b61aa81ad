"""Photos that belong together: copies, bursts, the frames of a clip. A split must not part them.

A test photo that shows what a training photo shows, a fifth of a second later, is answered from memory. So photos are
linked by what they show (`look_alikes`), by name (numbered frames that follow each other and resemble each other), by
time (of the same class, within `BURST_S`), and by what the user says; whatever chains of links hold together is a
group.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edge_core.data.photo_folder import Photo, Split
from edge_core.errors import SettingsError
from edge_core.images.likeness import Sketch
from edge_core.progress import Track, silently
from edge_train.data.near_duplicates import look_alike_groups

Link = tuple[int, int]

BURST_S: Final = 2.0
"""Seconds between two photos of a class that are one burst: a phone's takes ten a second; who chooses another view
takes longer."""

SAME_SECOND: Final = 30
"""Photos of one second, from which on the clock is not believed: some cameras give all photos one date."""

RESEMBLANCE: Final = 0.7
"""Correlation of two sketches, their class's mean taken off, from which on numbered neighbors are frames of one clip.
Of random pairs of one class 0.003 to 0.063 % have as much (flowers, cats and dogs), of a slow pan's frames 98 %."""

SERIES_MEAN: Final = 0.3
SERIES_LEAST: Final = 0.1
FEWEST_FRAMES: Final = 4
"""A series of so many frames is one clip even if it moves faster: neighbors' correlation in the mean, and nine in ten
of them. Bursts of several subjects, which have one number after the other, too, fail the latter. Four random photos of
one class pass in 0.4 % of 8,000 draws, six in 0.05 %, ten in none (flowers, cats and dogs)."""

FOLDER: Final = "folder"
"""What `--group-by` takes besides a regular expression."""


@dataclass(frozen=True)
class Grouped:
    """Photos with the group that each belongs to.

    Attributes:
        photos: Photos in their original order, each with `Photo.group` set.
        reasons: Kinds of links in words, each with the number of groups that it holds together and the number of
            their photos.
    """

    photos: list[Photo]
    reasons: dict[str, tuple[int, int]]

    def describe(self) -> list[str]:
        """A line for each reason: `180 photos are 6 groups of ...`."""
        return [
            f"{photos} photos in {groups} group{'s' * (groups != 1)}: {why}"
            for why, (groups, photos) in self.reasons.items()
        ]


def group_photos(
    photos: Sequence[Photo],
    sketches: Mapping[str, Sketch],
    folder: Path,
    group_by: str = "",
    taken: Callable[[Path], float | None] = lambda path: None,
    track: Track = silently,
) -> Grouped:
    """Finds out which photos belong together.

    Args:
        photos: No content twice.
        sketches: Sketches by `Photo.sha256`; photos without one are linked by their names alone.
        folder: Folder of the set.
        group_by: `folder`: those in the same folder below that of their class; else a regular expression that is
            searched for in the path below `folder`: those for which it finds the same, its groups if it has any. Empty:
                neither.
        taken: When a photo was taken, in seconds; None if that is not known.
        track: Shows the progress of the comparison.

    Raises:
        SettingsError: `group_by` cannot be understood, or finds nothing.
    """
    numbers = {photo.sha256: number for number, photo in enumerate(photos)}
    alike = look_alike_groups({sha256: sketches[sha256] for sha256 in numbers if sha256 in sketches}, track)
    links: dict[str, list[Link]] = {
        "they look alike": [link for group in alike for link in pairwise(numbers[sha256] for sha256 in group)],
        "they are numbered frames of one clip": list(_clips(photos, sketches)),
        f"they were taken within {BURST_S:g} s": list(_bursts(photos, taken)),
    }
    if group_by:
        links[f"--group-by {group_by}"] = list(_chained(_keys(photos, folder, group_by)))
    group = _components(len(photos), [link for part in links.values() for link in part])
    sizes = Counter(group)
    named = [
        replace(photo, group=photos[one].sha256) if sizes[one] > 1 else photo
        for photo, one in zip(photos, group, strict=True)
    ]
    reasons = {}
    for why, part in links.items():
        held = {group[one] for one, _ in part}
        if held:
            reasons[why] = len(held), sum(sizes[one] for one in held)
    return Grouped(named, reasons)


def leaks(splits: Mapping[Split, Sequence[Photo]], split: Split) -> int:
    """How many photos of a split belong together with a training photo."""
    trained = {photo.group for photo in splits["train"] if photo.group}
    return sum(photo.group in trained for photo in splits[split])


def burst_groups(photos: Sequence[Photo]) -> list[list[Photo]]:
    """The photos of one class that were taken within `BURST_S` of each other, each burst by itself."""
    groups: dict[int, list[Photo]] = {}
    for photo, group in zip(photos, _components(len(photos), list(_bursts(photos, taken_at))), strict=True):
        groups.setdefault(group, []).append(photo)
    return [group for group in groups.values() if len(group) > 1]


def taken_at(path: Path) -> float | None:
    """When a photo was taken by its name (`IMG_20260131_120000`, as phones have it), else by its EXIF, in seconds.

    Only differences between these times mean something: neither name nor EXIF says of which time zone it is.
    """
    if found := _TIME.search(path.stem):
        return _seconds("".join(found.groups("")[:6]), "%Y%m%d%H%M%S", found[7] or "")
    if path.suffix.lower() not in _EXIF_SUFFIXES:
        return None
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            exif = picture.getexif().get_ifd(_EXIF_IFD)
        return _seconds(str(exif.get(_DATE_TIME_ORIGINAL, "")), "%Y:%m:%d %H:%M:%S", str(exif.get(_SUBSECONDS, "")))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


_TIME: Final = re.compile(
    r"(?<!\d)((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?([0-3]\d)[ _T-]?([0-2]\d)[-.:]?([0-5]\d)[-.:]?([0-5]\d)(\d{3})?(?!\d)"
)
_EXIF_SUFFIXES: Final = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".tif", ".tiff", ".webp", ".png")
_EXIF_IFD: Final = 0x8769
_DATE_TIME_ORIGINAL: Final = 0x9003
_SUBSECONDS: Final = 0x9291


def _seconds(text: str, form: str, fraction: str) -> float | None:
    try:
        whole = datetime.strptime(text.strip("\0 "), form).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return whole + (float(f"0.{fraction}") if fraction.isdecimal() else 0.0)


def _clips(photos: Sequence[Photo], sketches: Mapping[str, Sketch]) -> Iterator[Link]:
    """Links numbered neighbors that resemble each other, and all of a series whose neighbors do a little throughout.

    A number alone says nothing: a camera numbers all its photos. The mean of the class is taken off first, so that
    neither a fixed camera's background nor what all of a class have in common makes two of its photos resemble each
    other.
    """
    sums: dict[str, npt.NDArray[np.float64]] = {}
    counts: Counter[str] = Counter()
    for photo in photos:
        if photo.sha256 in sketches:
            sums[photo.label] = sums.get(photo.label, 0.0) + sketches[photo.sha256].astype(np.float64)
            counts[photo.label] += 1
    for series in _series(photos):
        shown = [number for number in series if photos[number].sha256 in sketches]
        if len(shown) < 2:
            continue
        mean = sums[photos[shown[0]].label] / counts[photos[shown[0]].label]
        details = [_normalized(sketches[photos[number].sha256] - mean) for number in shown]
        alike = np.array([(one * other).sum() for one, other in pairwise(details)])
        if len(shown) >= FEWEST_FRAMES and alike.mean() >= SERIES_MEAN and np.quantile(alike, 0.1) >= SERIES_LEAST:
            yield from pairwise(shown)
        else:
            yield from (link for link, value in zip(pairwise(shown), alike, strict=True) if value >= RESEMBLANCE)


def _series(photos: Sequence[Photo]) -> list[list[int]]:
    """Photos of one folder and class whose names differ in the number at their end alone, by that number."""
    found: dict[tuple[Path, str, str, str], list[tuple[int, int]]] = {}
    for position, photo in enumerate(photos):
        if parts := re.fullmatch(r"(.*?)(\d{1,18})", photo.path.stem, re.DOTALL):
            key = photo.path.parent, photo.label, parts[1], photo.path.suffix
            found.setdefault(key, []).append((int(parts[2]), position))
    return [[position for _, position in sorted(members)] for members in found.values() if len(members) > 1]


def _normalized(picture: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """With mean 0 in each channel and norm 1, so that the product of two is the correlation of their shapes."""
    centered = picture - picture.mean(axis=(0, 1))
    return np.asarray(centered / (np.linalg.norm(centered) or 1.0))


def _bursts(photos: Sequence[Photo], taken: Callable[[Path], float | None]) -> Iterator[Link]:
    times = [(time, position) for position, photo in enumerate(photos) if (time := taken(photo.path)) is not None]
    crowded = {second for second, count in Counter(int(time) for time, _ in times).items() if count > SAME_SECOND}
    by_label: dict[str, list[tuple[float, int]]] = {}
    for time, position in times:
        if int(time) not in crowded:
            by_label.setdefault(photos[position].label, []).append((time, position))
    for members in by_label.values():
        for (before, one), (after, other) in pairwise(sorted(members)):
            if after - before <= BURST_S:
                yield one, other


def _keys(photos: Sequence[Photo], folder: Path, group_by: str) -> list[object]:
    """What photos have in common, None for those that have nothing in common with any other."""
    if group_by == FOLDER:
        inside = [photo.path.parent if photo.path.parent.name != photo.label else None for photo in photos]
        if not any(inside):
            raise SettingsError(
                f"--group-by folder: the classes of {folder} have no folders inside; see --group-by REGEX"
            )
        return list(inside)
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise SettingsError(f"--group-by {group_by!r} is not a regular expression: {error}") from error
    paths = [_below(photo.path, folder) for photo in photos]
    matches = [pattern.search(path) for path in paths]
    if not any(matches):
        raise SettingsError(
            f"--group-by {group_by!r} is found in no path, {paths[0]!r}, say; it is searched for, not matched"
        )
    return [(found.groups() or found[0]) if found else None for found in matches]


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def _chained(keys: Iterable[object]) -> Iterator[Link]:
    """Links of each to the one before with the same key."""
    last: dict[object, int] = {}
    for number, key in enumerate(keys):
        if key is not None:
            if key in last:
                yield last[key], number
            last[key] = number


def _components(count: int, links: Sequence[Link]) -> list[int]:
    """For each of `count` items the first one that chains of links lead to."""
    ends = np.array(links, np.intp).reshape(-1, 2).T
    graph = coo_array((np.ones(ends.shape[1], bool), (ends[0], ends[1])), (count, count))
    _, first, group = np.unique(connected_components(graph, directed=False)[1], return_index=True, return_inverse=True)
    return [int(one) for one in first[group]]
