"""Photos in a .zip or .tar: unpacked once into the cache, whole or not at all."""

import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from edge_core.errors import DatasetError
from edge_core.files import folder_written_whole


@dataclass(frozen=True)
class UnpackLimits:
    """What an archive may unpack to.

    Attributes:
        files: Number of files.
        bytes: Bytes of all files together.
        ratio: Bytes for each byte of the archive, beyond `floor`: photos are compressed already, bombs are not.
        floor: Bytes that any archive may unpack to.
    """

    files: int = 1_000_000
    bytes: int = 64 << 30
    ratio: int = 20
    floor: int = 1 << 30


OWN_ARCHIVE: Final = UnpackLimits()
"""For an archive that its owner names on the command line."""

_CHUNK: Final = 1 << 20

_DAMAGED: Final = (
    *(zipfile.BadZipFile, tarfile.TarError, RuntimeError, NotImplementedError, EOFError),
    *(zlib.error, lzma.LZMAError),  # of the content itself, which zipfile and tarfile pass on
)


def is_archive(path: Path) -> bool:
    """Whether a file is a .zip, or a .tar in any of its compressions, by its content."""
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))
    except EOFError:  # of a compressed file that ends within its first block, which `unpack` tells of
        return True


def unpack(path: Path, cache: Path, limits: UnpackLimits = OWN_ARCHIVE) -> Path:
    """Unpacks an archive into a folder of the cache that its content names; only if it is not there yet.

    Links and devices in it are passed over. Nothing is written outside that folder.

    Args:
        path: A .zip, or a .tar in any of its compressions.
        cache: Folder of the cache.
        limits: What the archive may unpack to.

    Raises:
        DatasetError: It is damaged, encrypted, names places outside itself, or unpacks to more than is allowed.
    """
    with path.open("rb") as file:
        folder = cache / "archives" / hashlib.file_digest(file, "sha256").hexdigest()[:16]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    left = min(limits.bytes, max(limits.floor, limits.ratio * path.stat().st_size))
    with ExitStack() as opened, folder_written_whole(folder) as beside, _damage_told(path):
        for count, (name, content) in enumerate(_members(path, opened)):
            with content:
                if count >= limits.files:
                    raise DatasetError(f"{path} holds more than {limits.files} files")
                left = _write(path, content, beside / _inside(path, name), left)
    return folder


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Makes one line of what is raised for an archive that is damaged."""
    try:
        yield
    except (*_DAMAGED, OSError) as error:
        # bz2 and gzip tell of damage by an OSError without a number; the system's, as of a full disk, has one.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason, *others = str(error).splitlines() or [""]
        text = "it is no .zip or .tar" if others else reason  # tarfile has a line for each compression
        raise DatasetError(f"{path} cannot be unpacked: {text}") from error


def _write(path: Path, content: IO[bytes], place: Path, left: int) -> int:
    """Writes one file of an archive; returns how many of the bytes that are left others may still take."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as out:
        while chunk := content.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise DatasetError(f"{path} unpacks to far more than photos do; unpack it yourself to use it")
            out.write(chunk)
    return left


def _members(path: Path, opened: ExitStack) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each regular file."""
    if zipfile.is_zipfile(path):
        archive = opened.enter_context(zipfile.ZipFile(path))
        for entry in archive.infolist():
            # The upper half is the Unix mode: the type of a regular file, or none where another system wrote the
            # archive.
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
