"""Files and folders that are there whole or not at all: written beside, then renamed into place."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_core.errors import EdgeError, OutputError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write a file at; on leaving without an error it replaces `path`.

    Raises:
        OutputError: the folder or the file cannot be written.
    """
    beside = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise _as_output_error(path, error) from error
    finally:
        with suppress(OSError):
            beside.unlink()


@contextmanager
def folder_written_whole(path: Path, replace: bool = False) -> Iterator[Path]:
    """Gives a new folder beside `path` to fill; on leaving without an error it is renamed to `path`.

    Args:
        path: must not exist or be an empty folder, or any folder if `replace`.
        replace: whether an existing folder gives way to the new one once that is whole.

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
        OutputError: something other than an empty folder is there, or its place is not to be written.
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

    It is tried, with a file that has no name: rights do not tell of a read-only or full disk, nor what the kernel allows in
    /proc.

    Raises:
        OutputError: nothing can be written there, or a folder is in the place of the file.
    """
    if path.is_dir() and not folder:
        raise OutputError(f"{path} is a folder; name the file to write")
    above = next(
        parent for parent in path.absolute().parents if parent.exists()
    )  # what is there is replaced, not changed
    try:
        with tempfile.TemporaryFile(dir=above) as file:
            file.write(b"\0")
    except OSError as error:
        reason = "it is no folder" if isinstance(error, NotADirectoryError) else error.strerror or error
        raise OutputError(f"{path} cannot be written: {above}: {reason}; choose another place") from error


def _beside(path: Path) -> Path:
    """A name that no other process uses, with the suffix kept for writers that look at it."""
    return path.with_name(f".{path.stem}-{secrets.token_hex(4)}.tmp{path.suffix}")


def _as_output_error(path: Path, error: OSError) -> OSError:
    """The same error if it is one of ours or about another file, else one that names what was to be written."""
    return (
        error if isinstance(error, EdgeError) else OutputError(f"{path} cannot be written: {error.strerror or error}")
    )
