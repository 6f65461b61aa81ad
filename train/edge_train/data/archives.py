"""Photos in a .zip or .tar: unpacked once into the cache, whole or not at all."""

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, Final

from edge_core.errors import DatasetError
from edge_core.files import folder_written_whole

MAX_FILES: Final = 1_000_000
MAX_BYTES: Final = 64 << 30
MAX_RATIO: Final = 20
"""Bytes that an archive may unpack to for each of its own, beyond 1 GB: photos are compressed already, bombs are
not."""

_CHUNK: Final = 1 << 20


def is_archive(path: Path) -> bool:
    """Whether a file is a .zip, or a .tar in any of its compressions, by its content."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def unpack(path: Path, cache: Path) -> Path:
    """Unpacks an archive into a folder of the cache that its content names; only if it is not there yet.

    Links and devices in it are passed over. Nothing is written outside that folder.

    Raises:
        DatasetError: It is damaged, encrypted, names places outside itself, or unpacks to more than is allowed.
    """
    with path.open("rb") as file:
        folder = cache / "archives" / hashlib.file_digest(file, "sha256").hexdigest()[:16]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    left = min(MAX_BYTES, max(1 << 30, MAX_RATIO * path.stat().st_size))
    try:
        with ExitStack() as opened, folder_written_whole(folder) as beside:
            for count, (name, content) in enumerate(_members(path, opened)):
                if count >= MAX_FILES:
                    raise DatasetError(f"{path} holds more than {MAX_FILES} files")
                place = beside / _inside(path, name)
                place.parent.mkdir(parents=True, exist_ok=True)
                with content, place.open("wb") as out:
                    while chunk := content.read(_CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            raise DatasetError(
                                f"{path} unpacks to far more than photos do; unpack it yourself to use it"
                            )
                        out.write(chunk)
    except (zipfile.BadZipFile, tarfile.TarError, RuntimeError, NotImplementedError, EOFError) as error:
        raise DatasetError(f"{path} cannot be unpacked: {error}") from error
    return folder


def _members(path: Path, opened: ExitStack) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each regular file."""
    if zipfile.is_zipfile(path):
        archive = opened.enter_context(zipfile.ZipFile(path))
        for entry in archive.infolist():
            if not entry.is_dir() and entry.external_attr >> 16 & 0o170000 in (0, 0o100000):
                yield entry.filename, archive.open(entry)
        return
    tar = opened.enter_context(tarfile.open(path))  # noqa: SIM115 - `opened` closes it
    for member in tar:
        content = tar.extractfile(member) if member.isreg() else None
        if content is not None:
            yield member.name, content


def _inside(path: Path, name: str) -> Path:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0] or "\0" in name:
        raise DatasetError(f"{path} names a place outside itself, {name!r}, and is not unpacked")
    return Path(*parts)
