"""Files and folders that are there whole or not at all: written beside, then renamed into place."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edge_core.errors import EdgeError, OutputError

_TAIL: Final = 1 << 20
"""Bytes at the end of a file in which its last line break is looked for."""


@contextmanager
def written_whole(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Gives a path beside `path` to write a file at; on leaving without an error it replaces `path`.

    Args:
        path: Name of the file; folders above it are made.
        durable: Whether the file and its name are on the disk, not in its cache alone, when this returns: a power cut
            at any moment leaves the old file or the new one, and after this the new one.

    Raises:
        OutputError: The folder or the file cannot be written, or a device or pipe is there.
    """
    _require_file(path)
    beside = _beside(path)
    try:
        made = make_folders(path.parent)
        yield beside
        if durable:
            sync(beside)  # first: a file system may bring the name to the disk before the content
        os.replace(beside, path)
        if durable:
            # A name lasts once the folder that has it is on the disk: the file's, and those of folders made for it.
            for folder in (path.parent, *made):
                sync(folder)
    except OSError as error:
        raise _as_output_error(path, error) from error
    finally:
        with suppress(OSError):
            # After the rename nothing is there any more; after an error it is what was half-written.
            beside.unlink()


def sync(path: Path) -> None:
    """Waits until a file's content, or the names in a folder, are on the disk."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def append_line(path: Path, line: str) -> None:
    """Appends a line to a file of lines, on the disk when this returns; half a line that a power cut left goes first.

    Args:
        path: Name of the file, which is made if it is not there; its folder is there.
        line: Text without a line break.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        new = not path.exists()
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            cut_half_line(file)
            size = os.fstat(file).st_size
            try:
                write_all(file, line.encode(errors="backslashreplace") + b"\n")
                os.fsync(file)
            except OSError:
                # A disk that is full may have taken a part of the line.
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)
        if new:
            sync(path.parent)
    except OSError as error:
        raise _as_output_error(path, error) from error


def write_all(file: int, data: bytes) -> None:
    """Writes all bytes to a descriptor; a disk that is nearly full takes what still fits, and fails at the rest."""
    while data:
        data = data[os.write(file, data) :]


def cut_half_line(file: int) -> None:
    """Removes what is behind the last line break of a file, which a power cut leaves; `file` is open for both."""
    size = os.fstat(file).st_size
    start = max(0, size - _TAIL)
    tail = os.pread(file, _TAIL, start)
    if tail and not tail.endswith(b"\n"):
        # Without a line break `rfind` is -1, and all that was looked at goes.
        os.ftruncate(file, start + tail.rfind(b"\n") + 1)


@contextmanager
def folder_written_whole(path: Path, replace: bool = False) -> Iterator[Path]:
    """Gives a new folder beside `path` to fill; on leaving without an error it is renamed to `path`.

    Args:
        path: Must not exist or be an empty folder, or any folder if `replace`.
        replace: Whether an existing folder gives way to the new one once that is whole.

    Raises:
        OutputError: `path` is taken, or cannot be written.
    """
    path = path.resolve()  # a link to a folder stays a link
    if not (replace and path.is_dir()):
        require_free(path)
    beside = _beside(path)
    try:
        beside.mkdir(parents=True)
        yield beside
        # rename(2) replaces an empty folder alone, so one with content is moved aside first.
        if path.exists():
            _exchange(beside, path)
        else:
            os.replace(beside, path)
    except OSError as error:
        raise _as_output_error(path, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _exchange(new: Path, path: Path) -> None:
    """Puts `new` in the place of `path`, which is removed; if that fails, `path` is as it was."""
    old = _beside(path)
    # Two renames: in between, nothing is at `path`.
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old)


def require_free(path: Path, *, folder: bool = True) -> None:
    """Checks, before the work is done, that a folder, or else a file, can be written at `path`.

    Raises:
        OutputError: Something other than an empty folder is there, or its place is not to be written.
    """
    if path.exists() and not (folder and path.is_dir() and not any(path.iterdir())):
        raise OutputError(f"{path} is there already; choose another name or remove it")
    require_writable(path, folder=folder)


def names_of(files: Sequence[Path]) -> list[str]:
    """What to call files beside each other: by their names, or by their paths where two have the same name."""
    names = [file.name for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def require_writable(path: Path, *, folder: bool = False) -> None:
    """Checks, before the work is done, that a file, or else a folder, can be put at `path`, folders above it included.

    It is tried, with a file that has no name: rights do not tell of a read-only or full disk, nor what the kernel
    allows in /proc.

    Raises:
        OutputError: Nothing can be written there, or a folder, a device or a pipe is in the place of the file.
    """
    if not folder:
        _require_file(path)
    above = next(
        parent for parent in path.absolute().parents if parent.exists()
    )  # what is there is replaced, not changed
    try:
        with suppress(FileNotFoundError):
            path.stat()  # of a name that is too long, or a link that leads in a circle, it fails
        with tempfile.TemporaryFile(dir=above) as file:
            file.write(b"\0")
    except OSError as error:
        reason = "it is no folder" if isinstance(error, NotADirectoryError) else error.strerror or error
        raise OutputError(f"{path} cannot be written: {above}: {reason}; choose another place") from error


def _require_file(path: Path) -> None:
    """Checks that a file may be put at `path`: for root, the rename would put one in the place of /dev/null.

    Raises:
        OutputError: A folder, a device or a pipe is there.
    """
    if os.path.isdir(path):  # as below: of a folder that nobody may look into, `Path` raises
        raise OutputError(f"{path} is a folder; name the file to write")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(f"{path} is a device or a pipe, which stays as it is; name a file to write")


def make_folders(folder: Path) -> list[Path]:
    """Makes a folder and those above it; returns the folders that have got a new entry by that."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [one.parent for one in missing]


def remove_unfinished(folder: Path) -> None:
    """Removes what `written_whole` was writing in a folder when the power failed; nobody may be writing there now."""
    # The names that `_beside` makes, whichever process made them.
    for path in folder.glob(".*-????????.tmp*"):
        with suppress(OSError):
            path.unlink()


def require_tflite(out: Path) -> None:
    """Checks, before the work is done, that a file and its reports can be written at `out`.

    Raises:
        OutputError: It does not end in .tflite, is a folder, or cannot be written.
    """
    if out.is_dir() or out.suffix != ".tflite":
        raise OutputError(f"{out}: the file to write ends in .tflite")
    require_writable(out)


def _beside(path: Path) -> Path:
    """A name that no other process uses, with the suffix kept for writers that look at it."""
    # File systems take 255 bytes for a name, which this one must not have more of than `path` may have.
    stem = os.fsdecode(os.fsencode(path.stem)[:200])
    beside = path.with_name(f".{stem}-{secrets.token_hex(4)}.tmp{path.suffix}")
    _note_unfinished(beside)
    return beside


def note_unfinished(call: Callable[[Path], None]) -> None:
    """From now on `call` is told each name at which something lies until it is finished, before there is anything."""
    global _note_unfinished
    _note_unfinished = call


_note_unfinished: Callable[[Path], None] = lambda path: None


def _as_output_error(path: Path, error: OSError) -> OSError:
    """The same error if it is one of ours or about another file, else one that names what was to be written."""
    if isinstance(error, EdgeError):
        return error
    # Of its number: HDF5's own text of a full disk has lines of addresses.
    return OutputError(f"{path} cannot be written: {os.strerror(error.errno) if error.errno else error}")
