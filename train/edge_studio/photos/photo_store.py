"""The photos of a project, and everything that changes them. May be called from any thread."""

import hashlib
import os
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.data.photo_folder import Unusable
from edge_core.errors import EdgeError, PictureError, SettingsError
from edge_core.files import remove_unfinished, written_whole
from edge_core.progress import Track, silently
from edge_studio.photos.archive_layout import find_classes, flat_label
from edge_studio.photos.move_journal import Move, MoveJournal, Operation
from edge_studio.photos.photo_flags import FlagSet, read_flags
from edge_studio.photos.photo_index import IndexedPhoto, PhotoIndex
from edge_studio.photos.thumbnails import Thumbnails
from edge_studio.photos.uploads import ARCHIVE_LIMITS, PICTURE_BYTES, check_picture, safe_name
from edge_studio.project import Project, check_class
from edge_train.data.archives import is_archive, unpack

INCOMING: Final = "incoming"
"""Folder in the bin for what has not come whole."""


@dataclass(frozen=True)
class Added:
    """What became of a picture that was to be added.

    Attributes:
        path: Path of the photo below the folder of the photos.
        is_new: False if the class had a photo of the same content, which is then the one that `path` names.
        also_in: Another class that has a photo of the same content; empty if none has.
    """

    path: str
    is_new: bool = True
    also_in: str = ""


@dataclass(frozen=True)
class ArchiveImport:
    """What became of an archive.

    Attributes:
        added: Number of photos that were added, by class.
        already: Number of photos whose content their class had.
        refused: What was not taken, and why.
    """

    added: dict[str, int]
    already: int
    refused: tuple[Unusable, ...]


@dataclass
class ArrivedPicture:
    """A picture of an archive that is to be moved to its class.

    Attributes:
        place: Where it waits.
        label: Class that it shows.
        name: Name that it is to have.
        size: Bytes of the file.
        sha256: SHA-256 of its content, hexadecimal.
    """

    place: Path
    label: str
    name: str
    size: int
    sha256: str


class PhotoStore:
    """Lists the photos of a project, takes new ones in, moves them, deletes them to the bin, and undoes that.

    Attributes:
        project: Project whose photos they are.
        thumbnails: The photos made small.
    """

    def __init__(self, project: Project, cache: Path) -> None:
        """Opens the photos of a project, and completes what a crash has left half done.

        Args:
            project: Project whose photos they are.
            cache: Folder for what can be made again.

        Raises:
            OutputError: What was begun cannot be completed.
        """
        self.project = project
        # By the whole path: projects of one name in two folders have caches of their own.
        own = cache / hashlib.sha256(str(project.photos).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self.thumbnails = Thumbnails(project.photos, own / "thumbnails")
        self._unpacked = own / "unpacked"
        self._flags_file = own / "flags.json"
        self._flags = read_flags(self._flags_file)
        # Reentrant: `rename_class` moves, and `find` asks for the index, while they hold it.
        self._lock = threading.RLock()
        self._journal = MoveJournal(project.root, project.bin)
        self._index = PhotoIndex(project.photos, own / "photos.json")
        self._kept = 0
        self._sizes: tuple[int, dict[int, list[str]]] = (-1, {})
        self._clean()

    def index(self) -> PhotoIndex:
        """What there is now; a snapshot, whose fields are replaced and never changed."""
        with self._lock:
            self._index.refresh()
            if self._index.version != self._kept:
                self._index.keep()
                self._kept = self._index.version
            return self._index

    def flags(self) -> FlagSet:
        """What was found to be odd about single photos, the last time that they were looked over."""
        return self._flags

    def set_flags(self, flags: FlagSet) -> None:
        """Keeps what was found.

        Raises:
            OutputError: The cache cannot be written.
        """
        self._flags = flags
        flags.write(self._flags_file)

    def find(self, path: str) -> IndexedPhoto:
        """The photo of that path below the folder of the photos.

        Raises:
            PictureError: There is none.
        """
        with self._lock:
            found = self._index.find(path) or self.index().find(path)
        if found is None:
            raise PictureError(f"there is no photo {path!r} any more; load the page again")
        return found

    def last(self) -> Operation | None:
        """What `undo` would take back; None if there is nothing."""
        with self._lock:
            return self._journal.last()

    def incoming(self) -> Path:
        """A name that nothing has, for a file on its way in; what lies there is removed when the project is opened."""
        folder = self.project.bin / INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        return folder / secrets.token_hex(8)

    def add(self, data: bytes, name: str, label: str) -> Added:
        """Takes a picture in; it is on the disk, whole, when this returns.

        Args:
            data: Content of the file.
            name: Name that it had, of which what any disk takes is kept.
            label: Class that it shows, which is made if it is not there.

        Raises:
            PictureError: It is not a picture, is damaged, or too large.
            SettingsError: The label cannot be a class's.
            OutputError: It cannot be written.
        """
        label = check_class(label)
        if len(data) > PICTURE_BYTES:
            raise PictureError(f"{len(data) >> 20} MB are more than the {PICTURE_BYTES >> 20} that a picture may have")
        kind, _ = check_picture(data)
        with self._lock:
            same = self.same_content(data)
            for path in same:
                if path.split("/")[0] == label:
                    return Added(path, is_new=False)
            place = self._free(label, safe_name(name, kind), set())
            with written_whole(self.project.photos / place, durable=True) as beside:
                beside.write_bytes(data)
            self._paths_by_size().setdefault(len(data), []).append(place)
        return Added(place, also_in=same[0].split("/")[0] if same else "")

    def add_archive(self, file: Path, name: str, label: str = "", track: Track = silently) -> ArchiveImport:
        """Takes the pictures of a .zip or .tar in, all as one operation that can be undone.

        Args:
            file: The archive.
            name: Name that it had.
            label: Class of pictures that lie in no folder of it; empty: its name is the class's.
            track: Receives the progress.

        Raises:
            DatasetError: It is damaged, encrypted, names places outside itself, or unpacks to too much.
            PictureError: It is no archive, or has no picture that can be used.
            OutputError: Something cannot be written.
        """
        if not is_archive(file):
            raise PictureError(f"{name} is not a .zip or .tar")
        folder = unpack(file, self._unpacked, ARCHIVE_LIMITS)
        try:
            return self._add_unpacked(folder, name, label, track)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def move(self, paths: Sequence[str], label: str) -> Operation:
        """Moves photos to a class, which is made if it is not there.

        Raises:
            PictureError: One of them is not there.
            SettingsError: The label cannot be a class's.
            OutputError: The disk refuses.
        """
        label = check_class(label)
        with self._lock:
            taken: set[str] = set()
            moves = [
                Move(self._below_root(photo.path), self._below_root(self._free(label, _name(photo.path), taken)))
                for photo in map(self.find, dict.fromkeys(paths))
                if photo.label != label
            ]
            return self._journal.move(f"{_photos(len(moves))} moved to {label}", moves)

    def delete(self, paths: Sequence[str]) -> Operation:
        """Moves photos to the bin.

        Raises:
            PictureError: One of them is not there.
            OutputError: The disk refuses.
        """
        with self._lock:
            number = self._journal.next_number
            moves = [
                Move(self._below_root(photo.path), f"{self.project.bin.name}/{number}/{photo.path}")
                for photo in map(self.find, dict.fromkeys(paths))
            ]
            return self._journal.move(f"{_photos(len(moves))} deleted", moves)

    def make_class(self, label: str) -> str:
        """Makes an empty class; returns its name.

        Raises:
            SettingsError: It cannot be the name of a class, or there is one.
        """
        label = check_class(label)
        try:
            (self.project.photos / label).mkdir()
        except FileExistsError:
            raise SettingsError(f"there is a class {label!r} already") from None
        return label

    def rename_class(self, label: str, name: str) -> Operation:
        """Gives a class another name; if there is a class of that name, its photos are moved there.

        Raises:
            SettingsError: There is no such class, or it cannot have that name.
            OutputError: The disk refuses.
        """
        name = check_class(name)
        with self._lock:
            folder = self._class_folder(label)
            if name == label:
                raise SettingsError(f"the class is called {label!r} already")
            if (self.project.photos / name).exists():
                moved = self.move([photo.path for photo in self.index().photos if photo.label == label], name)
                with suppress(OSError):  # something that is not a photo lies there, and stays
                    (self.project.photos / folder).rmdir()
                return moved
            return self._journal.move(
                f"class {label} renamed to {name}", [Move(self._below_root(folder), self._below_root(name))]
            )

    def delete_class(self, label: str) -> Operation:
        """Moves a class with all of its photos to the bin.

        Raises:
            SettingsError: There is no such class.
            OutputError: The disk refuses.
        """
        with self._lock:
            folder = self._class_folder(label)
            target = f"{self.project.bin.name}/{self._journal.next_number}/{folder}"
            return self._journal.move(f"class {label} deleted", [Move(self._below_root(folder), target)])

    def undo(self) -> Operation:
        """Takes the last operation back.

        Raises:
            OutputError: There is nothing to undo, or it cannot be undone any more.
        """
        with self._lock:
            return self._journal.undo()

    def empty_bin(self) -> None:
        """Removes for good what was deleted, and forgets what could be undone; what is on its way in stays."""
        with self._lock, suppress(FileNotFoundError):
            self._journal.forget()
            for entry in self.project.bin.iterdir():
                if entry.name != INCOMING:
                    shutil.rmtree(entry, ignore_errors=True)

    def _add_unpacked(self, folder: Path, name: str, label: str, track: Track) -> ArchiveImport:
        """Decodes all pictures first, which takes minutes, and holds others up only while it moves them."""
        found, dropped = find_classes(folder, label or flat_label(name))
        refused = [Unusable(item.path.relative_to(folder), item.reason) for item in dropped]
        staged = self.incoming()
        arrived: dict[tuple[str, str], ArrivedPicture] = {}
        for number, (path, raw_label) in enumerate(track(found, f"Taking {name} in", len(found))):
            try:
                picture = _arrived(path, check_class(raw_label))
                if arrived.setdefault((picture.label, picture.sha256), picture) is picture:
                    picture.place = staged / picture.label / f"{number}-{picture.name}"
                    picture.place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.move(path, picture.place)
            except (EdgeError, OSError) as error:
                refused.append(Unusable(path.relative_to(folder), str(error)))
        if not arrived:
            first = f": {refused[0].path}: {refused[0].reason}" if refused else ""
            raise PictureError(f"{name} holds no picture that can be used{first}")
        with self._lock:
            new = [one for one in arrived.values() if not self._has(one)]
            self._move_in(new, staged, f"{_photos(len(new))} of {name} added")
        shutil.rmtree(staged, ignore_errors=True)
        already = len(found) + len(dropped) - len(refused) - len(new)
        return ArchiveImport(dict(Counter(one.label for one in new)), already, tuple(refused))

    def same_content(self, data: bytes) -> list[str]:
        """Paths of photos with that content; only those of its size are read."""
        with self._lock:
            return [
                path
                for path in self._paths_by_size().get(len(data), ())
                if (self.project.photos / path).is_file() and (self.project.photos / path).read_bytes() == data
            ]

    def _move_in(self, pictures: Sequence["ArrivedPicture"], staged: Path, title: str) -> None:
        """Moves pictures from where they wait to their classes, as one operation.

        They wait below the operation's number in the bin, where taking it back puts them: nothing empties that but a
        person.
        """
        kept = self.project.bin / str(self._journal.next_number) / staged.name
        taken: set[str] = set()
        moves = []
        for one in pictures:
            place = kept / one.place.relative_to(staged)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.rename(one.place, place)
            target = self._below_root(self._free(one.label, one.name, taken))
            moves.append(Move(place.relative_to(self.project.root).as_posix(), target))
        self._journal.move(title, moves)

    def _has(self, picture: "ArrivedPicture") -> bool:
        """Whether a photo of the picture's class has its content."""
        paths = self._paths_by_size().get(picture.size, ())
        same_class = [path for path in paths if path.split("/")[0] == picture.label]
        return bool(same_class) and any(path in same_class for path in self.same_content(picture.place.read_bytes()))

    def _paths_by_size(self) -> dict[int, list[str]]:
        """Paths of photos by the size of their files, as they were when the index was last asked for, and since."""
        if self._sizes[0] != self._index.version or not self._index.version:
            by_size: dict[int, list[str]] = {}
            for photo in self.index().photos:
                by_size.setdefault(photo.size, []).append(photo.path)
            self._sizes = self._index.version, by_size
        return self._sizes[1]

    def _free(self, label: str, name: str, taken: set[str]) -> str:
        """A path in a class that no file has, nor one of `taken`, to which it is added."""
        stem, dot, suffix = name.rpartition(".")
        number, path = 1, f"{label}/{name}"
        # Casefolded, since on some disks `A.jpg` and `a.jpg` are one file.
        while path.casefold() in taken or (self.project.photos / path).exists():
            number += 1
            path = f"{label}/{stem}-{number}{dot}{suffix}"
        taken.add(path.casefold())
        return path

    def _class_folder(self, label: str) -> str:
        """The folder of a class, which may have its accents in another form."""
        found = [photo.path.split("/")[0] for photo in self.index().photos if photo.label == label]
        # The label is in NFC; the folder's name may have its accents as marks of their own.
        name = found[0] if found else label
        if label not in self._index.counts or not (self.project.photos / name).is_dir():
            raise SettingsError(f"there is no class {label!r}; load the page again")
        return name

    def _below_root(self, path: str) -> str:
        return f"{self.project.name}/{path}"

    def _clean(self) -> None:
        """Removes what was on its way in when the server was killed; nobody was told that it had come."""
        shutil.rmtree(self.project.bin / INCOMING, ignore_errors=True)
        if self.project.photos.is_dir():
            for folder in self.project.photos.iterdir():
                if folder.is_dir() and (begun := list(folder.glob(".*"))):
                    remove_unfinished(folder)
                    if not any(one.exists() for one in begun):
                        with suppress(OSError):  # a class is kept that has a photo; the first one of this did not come
                            folder.rmdir()


def _arrived(path: Path, label: str) -> ArrivedPicture:
    """A picture of an archive, once it has been decoded.

    Raises:
        PictureError: It is not a picture, is damaged, or too large.
        OSError: It cannot be read.
    """
    data = path.read_bytes()
    kind, _ = check_picture(data)
    return ArrivedPicture(path, label, safe_name(path.name, kind), len(data), hashlib.sha256(data).hexdigest())


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _photos(count: int) -> str:
    return f"{count} photo{'s' * (count != 1)}"
