"""The folder that snapshots are kept in, as an index: what is there and why, what goes when it is full, what was
fetched."""

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

from edge_core.codec import JsonObject
from edge_core.errors import OutputError
from edge_core.files import remove_unfinished, written_whole
from edge_device.results import camera_to_json
from edge_device.sinks.inbox.folder_names import folder_name

Kind = Literal["uncertain", "unknown", "changed", "asked"]
"""Why a picture is kept: the model was unsure, it does not know such frames, a decision changed, or a person asked for
it."""

SHARES: Final[Mapping[Kind, float]] = {"uncertain": 0.4, "unknown": 0.3, "changed": 0.15, "asked": 0.15}
"""Part of the room that each kind may fill at the expense of the others; what one leaves free, the others may have."""


@dataclass(frozen=True)
class Snapshot:
    """A picture that is kept.

    Attributes:
        key: Path in the folder without suffix: `LABEL/20260301T101500.123456Z-door`.
        kind: Why it is kept.
        reason: The same for people.
        taken: When it was taken, as ISO 8601 has it, UTC.
        size: Size of the picture and its .json, in bytes.
        sha256: Digest of the picture, hexadecimal; empty of one that an older version kept.
        camera: Name of the camera that took it; empty where it has none.
    """

    key: str
    kind: Kind
    reason: str
    taken: str
    size: int
    sha256: str = ""
    camera: str = ""

    @property
    def name(self) -> str:
        """The last part of the key, by which snapshots are in the order of time."""
        return self.key.rpartition("/")[2]

    def to_json(self) -> JsonObject:
        """The object that `GET /api/snapshots` lists."""
        label = self.key.rpartition("/")[0]
        return {
            "id": self.key,
            **camera_to_json(self.camera),
            "label": label,
            "kind": self.kind,
            "reason": self.reason,
            "taken": self.taken,
            "bytes": self.size,
            "sha256": self.sha256,
        }


class SnapshotStore:
    """Pictures as FOLDER/LABEL/TIME.jpg with what is known of each beside it, TIME.json; the files are all there is.

    Each picture and its .json are on the disk, whole, when `add` returns; the index is made of the files at the start.
    A picture that a person has moved, or whose .json is gone, is theirs, and never removed. Any thread may call.

    What goes when it is full: of the kind that is furthest beyond its share, of the camera that has most of those, of
    the day that has most, of its hour that has most, a picture by lot. The lot is drawn from the name, so that those
    that stay of an hour are a fair sample of all that came in it, over restarts, too. Of what a person asked for, the
    oldest goes.

    Attributes:
        folder: The pictures are in its folders.
    """

    def __init__(self, folder: Path, *, max_files: int = 1000, max_bytes: int = 500_000_000) -> None:
        """Names the folder; `open` looks at it.

        Args:
            folder: Made by `open` if it is not there.
            max_files: Number of pictures at most.
            max_bytes: Size of the pictures and their .json at most, in bytes.
        """
        self.folder, self._max_files, self._max_bytes = folder, max_files, max_bytes
        self._kept: dict[str, Snapshot] = {}
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        # A lock of its own: a camera that opens the store waits for another's look at the disk, and nobody else does.
        self._opening, self._opened = threading.Lock(), False

    def open(self) -> None:
        """Makes the index of the files, once, and removes what a power cut left unfinished.

        Raises:
            OutputError: The folder cannot be made or written.
        """
        with self._opening:  # several cameras may keep their snapshots here
            if not self._opened:
                self._look()
            self._opened = True

    def _look(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for child in self.folder.iterdir():
                if child.is_dir():
                    remove_unfinished(child)
            found = sorted(_ours(self.folder), key=lambda one: one.name)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written: {error.strerror or error}") from error
        if not os.access(self.folder, os.W_OK):
            raise OutputError(f"{self.folder} cannot be written: it is not permitted")
        with self._lock:
            self._kept = {one.key: one for one in found}
            self._drop(self._leaving())

    def snapshots(self) -> list[Snapshot]:
        """All that are there, the oldest first."""
        with self._lock:
            return sorted(self._kept.values(), key=lambda one: one.name)

    def read(self, key: str, suffix: Literal[".jpg", ".json"]) -> bytes | None:
        """A picture, or what is known of it; None if there is no such snapshot (any more)."""
        with self._lock:
            if key not in self._kept:
                return None
        try:
            return self._file(key, suffix).read_bytes()
        except OSError:  # a person has moved it meanwhile, and it is theirs
            with self._lock:
                self._kept.pop(key, None)
            return None

    def acknowledge(self, key: str) -> bool:
        """Removes a snapshot that has arrived elsewhere; returns whether it was there."""
        with self._lock:
            # Out of the index first, so that of two who acknowledge it one alone removes the files.
            there = self._kept.pop(key, None)
        if there:
            self._remove(there)
        return there is not None

    def ask(self, camera: str = "") -> None:
        """Has the next frame of a camera kept, whatever the model makes of it."""
        self._asked.add(camera)

    def take_asked(self, camera: str = "") -> bool:
        """Whether a person has asked for a frame of a camera since the last call."""
        asked = camera in self._asked
        self._asked.discard(camera)
        return asked

    def add(
        self,
        picture: bytes,
        label: str,
        told: Mapping[str, object],
        why: tuple[Kind, str],
        shows: str = "",
        taken: datetime | None = None,
    ) -> bool:
        """Keeps a picture, unless it would be the first to go; returns whether it was kept.

        Args:
            picture: Bytes of a JPEG.
            label: Names its folder.
            told: What is known of it, for its .json.
            why: Its kind, and the same for people.
            shows: Name of the zone that it shows, after that of the camera; empty where there are no such names.
            taken: When it was taken; now if None.

        Raises:
            OutputError: It cannot be written.
        """
        taken = taken or datetime.now(UTC)
        name = f"{taken:%Y%m%dT%H%M%S.%f}Z{f'-{shows}' if shows else ''}"
        folder = folder_name(label)
        digest = hashlib.sha256(picture).hexdigest()
        kind, reason = why
        fields = {"folder": folder, "kind": kind, "reason": reason, "taken": taken.isoformat(), "sha256": digest}
        text = (json.dumps({**fields, **told}, ensure_ascii=False, indent=2) + "\n").encode(errors="backslashreplace")
        size, camera = len(picture) + len(text), str(told.get("camera", ""))
        new = Snapshot(f"{folder}/{name}", kind, reason, taken.isoformat(), size, digest, camera)
        with self._lock:
            self._forget_moved(new)
            leaving = self._leaving(new)
            if new in leaving:
                return False
            # The .json first: without it a picture would count as somebody's own, and stay for ever.
            for suffix, data in ((".json", text), (".jpg", picture)):
                with written_whole(self._file(new.key, suffix), durable=True) as beside:
                    beside.write_bytes(data)
            self._kept[new.key] = new
            self._drop(leaving)
        return True

    def _forget_moved(self, new: Snapshot) -> None:
        """Before one has to go for a new one, those that a person has moved meanwhile give up the room they took."""
        if len(self._kept) < self._max_files and self._size() + new.size <= self._max_bytes:
            return  # nothing goes: a look at every file is spared
        self._kept = {key: one for key, one in self._kept.items() if self._file(key, ".jpg").exists()}

    def _size(self) -> int:
        return sum(one.size for one in self._kept.values())

    def _leaving(self, new: Snapshot | None = None) -> list[Snapshot]:
        """What must go, for a new one to have room, which may be itself."""
        kept = [*self._kept.values(), *([new] if new else [])]
        count, size = len(kept), sum(one.size for one in kept)
        leaving = []
        while kept and (count > self._max_files or size > self._max_bytes):
            one = self._first_to_go(kept, new)
            kept.remove(one)
            leaving.append(one)
            count, size = count - 1, size - one.size
        return leaving

    def _first_to_go(self, kept: Sequence[Snapshot], new: Snapshot | None) -> Snapshot:
        """Which of the pictures has to make room; see the class."""
        kinds = Counter(one.kind for one in kept)
        # The kind that is furthest beyond its share, counted in pictures.
        kind = max(kinds, key=lambda kind: kinds[kind] - SHARES[kind] * self._max_files)
        left = [one for one in kept if one.kind == kind]
        if kind == "asked":
            return min(left, key=lambda one: (one is new, one.name))
        left = _fullest(left, lambda one: one.camera)
        left = _fullest(left, lambda one: one.name[:8])  # 20260301
        left = _fullest(left, lambda one: one.name[:11])  # 20260301T10
        # A lot that falls the same way at every look, and in no order of time.
        return max(left, key=lambda one: hashlib.sha256(one.name.encode()).digest())

    def _drop(self, leaving: Sequence[Snapshot]) -> None:
        for one in leaving:
            del self._kept[one.key]
            self._remove(one)

    def _remove(self, one: Snapshot) -> None:
        for suffix in (".jpg", ".json"):  # in this order: the other way round, the picture would count as a person's
            with suppress(OSError):
                self._file(one.key, suffix).unlink()

    def _file(self, key: str, suffix: str) -> Path:
        return self.folder / (key + suffix)


def _fullest(kept: Sequence[Snapshot], bucket: Callable[[Snapshot], str]) -> list[Snapshot]:
    """Those in the bucket that has most; of several that have as many, in the oldest."""
    sizes = Counter(bucket(one) for one in kept)
    fullest = min(sizes, key=lambda name: (-sizes[name], name))
    return [one for one in kept if bucket(one) == fullest]


def _ours(folder: Path) -> list[Snapshot]:
    """The pictures with a .json beside them that says that they are where we put them; what is left of others goes."""
    found = []
    for path in folder.glob("*/*.json"):
        picture = path.with_name(path.name.removesuffix(".json") + ".jpg")
        with suppress(OSError, ValueError, AttributeError):
            told = json.loads(path.read_bytes())
            if told.get("folder") != path.parent.name:
                continue
            if not picture.exists():
                path.unlink()
                continue
            key = f"{path.parent.name}/{path.name.removesuffix('.json')}"
            size = path.stat().st_size + picture.stat().st_size
            taken, digest = str(told.get("taken", "")), str(told.get("sha256", ""))
            camera = str(told.get("camera", ""))
            found.append(Snapshot(key, _kind(told), str(told.get("reason", "")), taken, size, digest, camera))
    return found


def _kind(told: Mapping[str, object]) -> Kind:
    """Why a picture was kept; version 0.1 wrote the reason for people alone."""
    for kind in get_args(Kind):
        if told.get("kind") == kind:
            return kind  # type: ignore[no-any-return]
    old: Mapping[str, Kind] = {"foreign to the model": "unknown", "decision changed": "changed"}
    return old.get(str(told.get("reason")), "uncertain")
