"""JSON lines to a file that is rotated by size."""

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

from edge_core.artifact.card import ModelCard
from edge_core.errors import OutputError
from edge_core.files import cut_half_line, make_folders, sync, write_all
from edge_device.notices import Notice
from edge_device.results import Event, FrameResult, Status
from edge_device.sinks.sink import Sink
from edge_device.sinks.terminal import json_line

_OURS = (b'{"source"', b'{"type"')
"""How each of our lines begins; the end of no other file is cut."""


class JsonLines(Sink):
    """Appends what `edge-run live --json` prints to a file.

    At `max_bytes` the file becomes FILE.1, what was FILE.1 becomes FILE.2, and so on up to FILE.`keep`. A file that
    was deleted, or renamed by logrotate, is begun anew. A line is there whole or not at all, also where the disk is
    full or the power fails; an event is on the disk, not in its cache, before it counts as delivered.
    """

    name = "jsonl"

    def __init__(self, path: Path, max_bytes: int = 10_000_000, keep: int = 5) -> None:
        """Names the file.

        Args:
            path: Appended to; its folder is made.
            max_bytes: Size of a file at most, but for a single line that is longer.
            keep: Files beside the current one.
        """
        self._file = _LineFile(path.resolve(), max_bytes, keep)  # where a link leads: rotation must not rename the link
        self._opened = False

    def join(self, other: "JsonLines") -> None:
        """Appends to the file of another camera's sink; to be called before `open`."""
        self._file = other._file

    def open(self, card: ModelCard) -> None:
        if not self._opened:
            self._file.open()
            self._opened = True

    def frame(self, result: FrameResult) -> None:
        self._file.append(json_line(result))

    def event(self, event: Event) -> None:
        self._file.append(json_line(event), to_disk=True)

    def notice(self, notice: Notice) -> None:
        self._file.append(json_line(notice))

    def status(self, status: Status) -> None:
        self._file.append(json_line(status))

    def close(self) -> None:
        if self._opened:
            self._opened = False
            self._file.close()


class _LineFile:
    """A file that grows by lines and is rotated; the sinks of several cameras may append to it."""

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self._path, self._max_bytes, self._keep = path, max_bytes, keep
        self._file: int | None = None
        self._users = 0
        self._lock = threading.Lock()

    def open(self) -> None:
        """Opens it for one sink more.

        Raises:
            OutputError: It cannot be written.
        """
        with self._lock:
            if self._file is None:
                try:
                    self._open()
                except OSError as error:
                    if isinstance(error, OutputError):
                        raise
                    raise OutputError(f"{self._path} cannot be written: {error.strerror or error}") from error
            self._users += 1

    def append(self, line: str, to_disk: bool = False) -> None:
        with self._lock:
            self._append(line, to_disk)

    def close(self) -> None:
        """One sink less; the last one closes it."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        """Opens the file for appending and removes half a line at its end, which a power cut leaves.

        Raises:
            OutputError: It is a device or a pipe, or holds something else.
        """
        for folder in make_folders(self._path.parent):
            sync(folder)
        # Also read from: the end of the file is looked at before anything is appended.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe would wait for its reader
        new = not self._path.exists()
        file = os.open(self._path, flags, 0o644)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise OutputError(f"{self._path} is no file; --json prints the same to standard output")
            if status.st_size:
                if not _is_ours(os.pread(file, 16, 0)):
                    raise OutputError(f"{self._path} holds something else than results; choose another name")
                cut_half_line(file)
            if new:  # its name, and those of the files that were renamed for it, or an event might be in no file
                sync(self._path.parent)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return file

    def _append(self, line: str, to_disk: bool) -> None:
        data = line.encode(errors="backslashreplace")
        file = self._current()
        size = os.fstat(file).st_size
        # A line that is longer than a file may be gets one of its own.
        if size and size + len(data) > self._max_bytes:
            self._rotate()
            file, size = self._open(), 0
        try:
            write_all(file, data)
            if to_disk:
                os.fsync(file)
        except OSError:
            with suppress(OSError):
                # A full disk has taken a part of the line; lines are there whole or not at all.
                os.ftruncate(file, size)
            raise

    def _current(self) -> int:
        """The file that is at the path now."""
        if self._file is not None:
            ours = os.fstat(self._file)
            with suppress(FileNotFoundError):
                there = os.stat(self._path)
                # logrotate has renamed it, or somebody has deleted it, where these differ.
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                    return self._file
            self._close()
        return self._open()

    def _rotate(self) -> None:
        self._close()
        # From the oldest on, so that none is written over before it has moved.
        for number in range(self._keep, 0, -1):
            with suppress(FileNotFoundError):
                os.replace(self._numbered(number - 1), self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


def _is_ours(head: bytes) -> bool:
    """Whether the first bytes of a file are those of one of our lines, or what a power cut left of it: a part, or
    zeros."""
    return head.startswith(_OURS) or any(line.startswith(head.rstrip(b"\0")) for line in _OURS)
