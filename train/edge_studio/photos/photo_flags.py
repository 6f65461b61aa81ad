"""What is odd about single photos, as `edge-train inspect` and a run's neighbors say, and kept with the photo's
version."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from edge_core.codec import JsonObject, from_fields
from edge_core.files import written_whole
from edge_studio.photos.photo_index import IndexedPhoto

FlagKind = Literal["unreadable", "contradiction", "copy", "near", "burst", "suspect"]
KINDS: Final[tuple[FlagKind, ...]] = get_args(FlagKind)


@dataclass(frozen=True)
class PhotoFlag:
    """Something odd about a photo.

    Attributes:
        kind: One of `KINDS`.
        detail: Why, in words; for a suspect the label that its neighbors have.
        group: Number that photos which belong together share; photos are shown in its order.
    """

    kind: str
    detail: str
    group: int


@dataclass(frozen=True)
class FlagSet:
    """The flags of a project's photos.

    Attributes:
        versions: Version that each photo had when it was looked at, by its path.
        flags: Flags of photos that have any, by path. They hold as long as the photo has that version.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, tuple[PhotoFlag, ...]] = field(default_factory=dict)

    def of(self, photo: IndexedPhoto) -> list[JsonObject]:
        """The flags of a photo, as JSON."""
        return [asdict(one) for one in self._held(photo)]

    def counts(self, photos: Sequence[IndexedPhoto]) -> dict[str, int]:
        """How many photos have each kind of flag, and under "unchecked" how many have not been looked at."""
        found = dict.fromkeys((*KINDS, "unchecked"), 0)
        for photo in photos:
            for kind in {one.kind for one in self._held(photo)}:
                found[kind] += 1
            found["unchecked"] += self.versions.get(photo.path) != photo.version
        return found

    def sorted_by(self, photos: Sequence[IndexedPhoto], kind: str) -> list[IndexedPhoto]:
        """The photos that have a kind of flag, those that belong together side by side."""
        found = [(one.group, photo) for photo in photos for one in self._held(photo) if one.kind == kind]
        return [photo for _, photo in sorted(found, key=lambda pair: pair[0])]

    def write(self, file: Path) -> None:
        """Keeps the flags in a file of the cache.

        Raises:
            OutputError: The file cannot be written.
        """
        with written_whole(file) as beside:
            beside.write_text(json.dumps(asdict(self)), "utf-8")

    def _held(self, photo: IndexedPhoto) -> tuple[PhotoFlag, ...]:
        return self.flags.get(photo.path, ()) if self.versions.get(photo.path) == photo.version else ()


def read_flags(file: Path) -> FlagSet:
    """The flags that were kept; none where the file is not there or is not one."""
    try:
        return from_fields(FlagSet, json.loads(file.read_text("utf-8")))
    except (OSError, ValueError):
        return FlagSet()
