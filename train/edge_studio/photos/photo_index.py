"""Which photos a project has, known without looking at all of them again.

A class folder is looked through when it, or a folder below it, has changed, from one start to the next, too; a file's
content is looked at only if its size or its time has. What is a picture, and what is litter, is decided by what
`edge_core.data.photo_folder` says.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_core.data.photo_folder import Unusable, is_litter, natural_key, nfc, why_no_picture
from edge_core.files import written_whole

SETTLED_NS: Final = 2_000_000_000
"""A folder that changed less than this before it was looked through may have changed again within one tick of the
disk's clock, and is looked through again."""


@dataclass(frozen=True, slots=True)
class IndexedPhoto:
    """A photo of a project.

    Attributes:
        path: Path below the folder of the photos, with `/` between its parts.
        label: Name of its class.
        size: Bytes of the file.
        time_ns: When the file changed last, in nanoseconds of the disk's clock.
    """

    path: str
    label: str
    size: int
    time_ns: int

    @property
    def version(self) -> str:
        """Text that is another one as soon as the file's content is."""
        return f"{self.time_ns:x}-{self.size:x}"


@dataclass(frozen=True)
class ClassFolder:
    """What a class folder held when it was looked through.

    Attributes:
        photos: The pictures below it, in natural order.
        dropped: Every other file that is not litter, and why it is not used.
        folders: The folder itself and those below it, each with its time in nanoseconds.
        looked_ns: When it was looked through, by the system's clock.
    """

    photos: tuple[IndexedPhoto, ...] = ()
    dropped: tuple[Unusable, ...] = ()
    folders: Mapping[Path, int] = field(default_factory=dict)
    looked_ns: int = 0

    def is_current(self) -> bool:
        """Whether nothing can have come, gone or been renamed since."""
        try:
            return bool(self.folders) and all(
                folder.stat().st_mtime_ns == time_ns < self.looked_ns - SETTLED_NS
                for folder, time_ns in self.folders.items()
            )
        except OSError:
            return False


class PhotoIndex:
    """The photos of a folder with one subfolder a class. One thread at a time.

    Attributes:
        photos: All photos, classes and names in natural order.
        counts: Number of photos of each class, empty ones included, in natural order.
        dropped: Files that are not used, and why.
        version: Number that grows whenever any of these has changed.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        """Describes the index; `refresh` fills it.

        Args:
            folder: Folder of the photos.
            cache: File that keeps what is known of them from one start to the next.
        """
        self.photos: tuple[IndexedPhoto, ...] = ()
        self.counts: dict[str, int] = {}
        self.dropped: tuple[Unusable, ...] = ()
        self.version = 0
        self._folder, self._cache = folder, cache
        self._by_path: dict[str, IndexedPhoto] = {}
        self._classes = self._read_kept()
        if self._classes:
            self._assemble({name: nfc(name) for name in self._classes})

    def refresh(self) -> None:
        """Brings the index up to date with the disk."""
        found = self._class_names()
        stale = [name for name in found if not self._classes.get(name, ClassFolder()).is_current()]
        # None is stale, so all found are known; as many known as found means that none has gone.
        if not stale and len(found) == len(self._classes):
            return
        looked = {name: self._look(name, found[name]) for name in stale}
        before, self._classes = self._classes, {name: looked.get(name) or self._classes[name] for name in found}
        if _contents(before) != _contents(self._classes):
            self._assemble(found)

    def find(self, path: str) -> IndexedPhoto | None:
        """The photo of that path; None if there is none, whatever else may lie there."""
        return self._by_path.get(path)

    def keep(self) -> None:
        """Writes what is known to the cache, so that the next start looks through no folder that has not changed.

        Raises:
            OutputError: The cache cannot be written.
        """
        known = {
            name: {
                "photos": [[photo.path, photo.size, photo.time_ns] for photo in one.photos],
                "dropped": [[str(item.path), item.reason] for item in one.dropped],
                "folders": {str(folder): time_ns for folder, time_ns in one.folders.items()},
                "looked_ns": one.looked_ns,
            }
            for name, one in self._classes.items()
        }
        with written_whole(self._cache) as beside:
            beside.write_text(json.dumps(known), "utf-8")

    def _read_kept(self) -> dict[str, ClassFolder]:
        try:
            known = json.loads(self._cache.read_text("utf-8"))
            return {
                name: ClassFolder(
                    tuple(IndexedPhoto(path, nfc(name), size, time_ns) for path, size, time_ns in one["photos"]),
                    tuple(Unusable(Path(path), reason) for path, reason in one["dropped"]),
                    {Path(folder): time_ns for folder, time_ns in one["folders"].items()},
                    one["looked_ns"],
                )
                for name, one in known.items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}  # a cache: without it, files are looked into again

    def _class_names(self) -> dict[str, str]:
        """The label of each class folder, by the folder's name."""
        with os.scandir(self._folder) as entries:
            return {one.name: nfc(one.name) for one in entries if one.is_dir() and not is_litter(one.name)}

    def _assemble(self, found: Mapping[str, str]) -> None:
        names = sorted(found, key=lambda name: (natural_key(name), name))
        self.photos = tuple(photo for name in names for photo in self._classes[name].photos)
        self.dropped = tuple(item for name in names for item in self._classes[name].dropped)
        self.counts = dict.fromkeys((found[name] for name in names), 0)
        for name in names:
            self.counts[found[name]] += len(self._classes[name].photos)
        self._by_path = {photo.path: photo for photo in self.photos}
        self.version += 1

    def _look(self, name: str, label: str) -> ClassFolder:
        looked_ns = time.time_ns()
        folders: dict[Path, int] = {}
        photos: list[IndexedPhoto] = []
        dropped: list[Unusable] = []
        for path, entry in _files(self._folder / name, name, folders):
            try:
                status = entry.stat()
            except FileNotFoundError:  # it went after its folder was listed, which changed the folder's time
                continue
            known = self._by_path.get(path)
            same = known is not None and (known.size, known.time_ns) == (status.st_size, status.st_mtime_ns)
            reason = "" if same else why_no_picture(Path(entry.path))
            if reason:
                dropped.append(Unusable(Path(entry.path), reason))
            else:
                photos.append(IndexedPhoto(path, label, status.st_size, status.st_mtime_ns))
        photos.sort(key=lambda photo: (natural_key(photo.path), photo.path))
        return ClassFolder(tuple(photos), tuple(dropped), folders, looked_ns)


def _contents(classes: Mapping[str, ClassFolder]) -> dict[str, tuple[object, object]]:
    return {name: (one.photos, one.dropped) for name, one in classes.items()}


def _files(
    folder: Path, path: str, folders: dict[Path, int], above: tuple[tuple[int, int], ...] = ()
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """The files below a folder that are not litter, by their paths; notes each folder with its time.

    Links are followed, but not in circles, as `photo_folder.walk` does: what is shown is what is trained on.
    """
    try:
        status = folder.stat()
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:  # it has gone, or may not be read
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    folders[folder] = status.st_mtime_ns
    for entry in entries:
        if is_litter(entry.name):
            continue
        inside = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _files(folder / entry.name, inside, folders, (*above, here))
        elif entry.is_file():
            yield inside, entry
