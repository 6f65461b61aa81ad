"""Feature maps on disk, kept between runs: what a frozen backbone made of a view of a photo never changes.

A folder per backbone, weights and input; in it `maps.f16`, rows of equal size, and `index`, the 32-byte name of each
row in the same order. A name is written only once its row is on the disk, so a process may be killed at any moment:
what lies behind the last name is overwritten. Rows are read with `pread`, not mapped, so that memory does not grow with
them.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from edge_core.errors import OutputError
from edge_core.files import write_all

NAME_BYTES: Final = 32
SYNC_ROWS: Final = 1024
"""Rows between two moments at which the disk is told to keep them; what a power cut may cost."""

LIMIT_BYTES: Final = 20 << 30
"""Of all folders together that no process has open; those unused for longest go first."""

Maps = npt.NDArray[np.float16]


def row_name(sha256: str, view: str) -> bytes:
    """The name of a row: of a photo's content and of what was done with it."""
    return hashlib.sha256(f"{sha256} {view}".encode()).digest()


class FeatureCache:
    """Rows of float16, shape `shape` each, found by name. One process at a time writes to a folder.

    Attributes:
        shape: Shape of one row.
    """

    def __init__(self, folder: Path, key: Mapping[str, object], shape: tuple[int, ...]) -> None:
        """Opens or makes the cache of `key` in `folder`.

        If another process has it open, a folder of this process' own is used and removed in the end.

        Args:
            folder: Folder that holds all caches.
            key: All that the maps depend on besides photo and view; JSON.
            shape: Shape of one row.

        Raises:
            OutputError: It cannot be written.
        """
        self.shape = shape
        # Two bytes for each float16.
        self._row_bytes = 2 * int(np.prod(shape))
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
        self._own: Path | None = None
        try:
            self._open(folder / digest)
        except BlockingIOError:
            self._own = folder / f"{digest}-{os.getpid()}"
            self._open(self._own)
        _remove_leftovers(folder)
        self._make_room(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for descriptor in (self._maps, self._index, self._lock):
            os.close(descriptor)
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)

    def find(self, names: Sequence[bytes]) -> npt.NDArray[np.int64]:
        """Row numbers of names, -1 for those that are not there."""
        return np.array([self._rows.get(name, -1) for name in names], np.int64)

    def append(self, names: Sequence[bytes], maps: Maps) -> None:
        """Adds rows, shape (len(names), *shape)."""
        try:
            start = self._count * self._row_bytes
            data = memoryview(np.ascontiguousarray(maps, np.float16).tobytes())
            # pwrite may take less than it is given.
            while data:
                written = os.pwrite(self._maps, data, start)
                start, data = start + written, data[written:]
        except OSError as error:
            raise self._not_written(error) from error
        self._rows.update(zip(names, range(self._count, self._count + len(names)), strict=True))
        self._count += len(names)
        self._unsynced += names
        if len(self._unsynced) >= SYNC_ROWS:
            self.sync()

    def sync(self) -> None:
        """Makes what was added outlast this process.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            # Rows before names: a name without its row would stand for bytes that were never written.
            os.fsync(self._maps)
            size = os.fstat(self._index).st_size
            try:
                write_all(self._index, b"".join(self._unsynced))
            except OSError:
                os.ftruncate(self._index, size)  # a part of the names would be written again, and half a name shift all
                raise
        except OSError as error:
            raise self._not_written(error) from error
        self._unsynced.clear()

    def read(self, rows: npt.NDArray[np.int64]) -> Maps:
        """The maps of row numbers: float16, shape (len(rows), *shape)."""
        maps = np.empty((len(rows), *self.shape), np.float16)
        for number, row in enumerate(rows.tolist()):
            if os.preadv(self._maps, [maps[number]], row * self._row_bytes) != self._row_bytes:
                raise OutputError(f"{self._folder} is damaged; remove it")
        return maps

    def _not_written(self, error: OSError) -> OutputError:
        return OutputError(f"{self._folder} cannot be written: {error.strerror}; XDG_CACHE_HOME moves it")

    def _open(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                raise
            self._maps = os.open(folder / "maps.f16", os.O_RDWR | os.O_CREAT)
            self._index = os.open(folder / "index", os.O_RDWR | os.O_CREAT | os.O_APPEND)
            names = (folder / "index").read_bytes()
            # What has both a whole name and a whole row; a process that was killed may have left more of either.
            whole = min(len(names) // NAME_BYTES, os.fstat(self._maps).st_size // self._row_bytes)
            os.ftruncate(self._index, whole * NAME_BYTES)
            # The time by which `_make_room` tells which cache was unused for longest.
            os.utime(folder / "index")
        except BlockingIOError:
            raise
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {error.strerror}; XDG_CACHE_HOME moves it") from error
        self._folder = folder
        starts = range(0, whole * NAME_BYTES, NAME_BYTES)
        self._rows = {names[start : start + NAME_BYTES]: number for number, start in enumerate(starts)}
        self._count = whole
        self._unsynced: list[bytes] = []

    def _make_room(self, folder: Path) -> None:
        caches: list[tuple[float, int, Path]] = []
        for child in folder.iterdir():
            with suppress(OSError):  # no cache, or one that another process is removing
                caches.append(((child / "index").stat().st_mtime, (child / "maps.f16").stat().st_size, child))
        others = sorted(cache for cache in caches if not _in_use(cache[2]))
        total = sum(size for _, size, _ in others)
        for _, size, child in others:
            if total <= LIMIT_BYTES:
                return
            total -= size
            shutil.rmtree(child, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Removes what processes that had a folder of their own have left there when they were killed."""
    for child in folder.glob("*-*"):
        process = child.name.rpartition("-")[2]
        if not process.isdecimal() or Path("/proc", process).exists():
            continue
        # Of this machine there is no such process; one of another that shares the disk holds the lock.
        if not _in_use(child):
            shutil.rmtree(child, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    """Whether a cache is open, in this process or in another."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    except OSError:  # removed meanwhile, or not to be written
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
