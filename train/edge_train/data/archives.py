"""Photos in a .zip or .tar: unpacked once into the cache, whole or not at all."""

import errno
import hashlib
import lzma
import os
import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
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
_UTF8_FLAG: Final = 0x800
_UNICODE_PATH: Final = 0x7075
_LONGEST_PATH: Final = 4096

_DAMAGED: Final = (
    *(zipfile.BadZipFile, tarfile.TarError, RuntimeError, NotImplementedError, EOFError),
    *(zlib.error, lzma.LZMAError),  # of the content itself, which zipfile and tarfile pass on
)


_HEADS: Final = (b"PK\3\4", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")
"""How .zip, .gz, .bz2, .xz, .7z, .rar and .zst begin, damaged or not; `unpack` tells of those that it cannot read."""

_NAMES_AT_FAULT: Final = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ)


def is_archive(path: Path) -> bool:
    """Whether a file is a .zip, or a .tar in any of its compressions, by its content; or another archive."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(8)
        return head.startswith(_HEADS) or zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except EOFError:  # of a compressed file that ends within its first block, which `unpack` tells of
        return True
    except OSError:
        return False


def unpack(path: Path, cache: Path, limits: UnpackLimits = OWN_ARCHIVE) -> Path:
    """Unpacks an archive into a folder of the cache that its content names; only if it is not there yet.

    A link to another file of the archive becomes a second name of that file, any other link one that leads nowhere.
    Devices are passed over. Nothing is written outside that folder.

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
        links: list[tuple[Path, str]] = []
        for count, member in enumerate(_members(path, opened)):
            with member.content or nullcontext() as content:
                if count >= limits.files:
                    raise DatasetError(f"{path} holds more than {limits.files} files")
                place = beside / _inside(path, member.name)
                if content is None:
                    links.append((place, member.target))
                else:
                    left = _write(path, content, place, left)
        for place, target in links:  # last, so that nothing is written through one
            _link(place, beside, target)
    return folder


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Makes one line of what is raised for an archive that is damaged."""
    try:
        yield
    except (*_DAMAGED, OSError) as error:
        # bz2 and gzip tell of damage by an OSError without a number; the system's, as of a full disk, has one.
        if isinstance(error, OSError) and error.errno is not None and error.errno not in _NAMES_AT_FAULT:
            raise
        raise DatasetError(f"{path} cannot be unpacked: {_why_damaged(error)}") from error


def _why_damaged(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror}: {Path(str(error.filename)).name}"
    reason, *others = str(error).splitlines() or [""]
    if "encrypted" in reason:
        return "it is encrypted; unpack it yourself to use it"
    return "it is no .zip or .tar; unpack it yourself to use it" if others else reason  # a line for each compression


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


@dataclass(frozen=True)
class _Member:
    """A file or a link of an archive.

    Attributes:
        name: Its path, as the archive has it.
        content: What is in a file; None of a link.
        target: Path of the file that a link means, from the top of the archive; outside of it or not, as it may be.
    """

    name: str
    content: IO[bytes] | None
    target: str = ""


def _link(place: Path, beside: Path, target: str) -> None:
    """Gives the file at `target` a second name; of what is no file of the archive, it leaves a link that leads
    nowhere, so that whoever walks over the folder tells of it."""
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    inside = posixpath.normpath(target)
    if not inside.startswith(("/", "..")) and (beside / inside).is_file():
        os.link(beside / inside, place)
    else:
        place.symlink_to("not-in-the-archive")


def _members(path: Path, opened: ExitStack) -> Iterator[_Member]:
    """The regular files and links."""
    if zipfile.is_zipfile(path):
        yield from _zip_members(opened.enter_context(zipfile.ZipFile(path)))
        return
    with path.open("rb") as file:
        if file.read(4) == b"PK\3\4":
            raise zipfile.BadZipFile("its end is missing; copy it again")
    tar = opened.enter_context(tarfile.open(path))  # noqa: SIM115 - `opened` closes it
    for member in tar:
        if member.isreg():
            yield _Member(member.name, tar.extractfile(member))
        elif member.islnk():
            yield _Member(member.name, None, member.linkname)
        elif member.issym():
            yield _Member(member.name, None, posixpath.join(posixpath.dirname(member.name), member.linkname))
    # A .tar ends with blocks of zeros, of which tarfile has read the first; one cut between two files ends without.
    if tar.fileobj is not None and tar.fileobj.tell() - tar.offset < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing; copy it again")


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for entry in archive.infolist():
        # The upper half is the Unix mode: the type of a file, or none where another system wrote the archive.
        kind, name = stat.S_IFMT(entry.external_attr >> 16), _zip_name(entry)
        if entry.is_dir() or kind not in (0, stat.S_IFREG, stat.S_IFLNK):
            continue
        if kind == stat.S_IFLNK:
            target = archive.read(entry).decode(errors="replace") if entry.file_size <= _LONGEST_PATH else "/"
            yield _Member(name, None, posixpath.join(posixpath.dirname(name), target))
        else:
            yield _Member(name, archive.open(entry))


def unclear_names(path: Path) -> str:
    """What to say of a .zip with names in an encoding that it does not state, in a sentence; else empty.

    Windows writes names as its language does: in GBK, Shift JIS or code page 866, say.
    """
    if not zipfile.is_zipfile(path):
        return ""
    with zipfile.ZipFile(path) as archive:
        names = (_zip_name(entry) for entry in archive.infolist() if not _stated_name(entry))
        unclear = next((name for name in names if not name.isascii()), "")
    if not unclear:
        return ""
    return (
        f"{path.name} does not state the encoding of names such as {unclear!r}; if that is not what they are, unpack "
        "it yourself."
    )


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """The name of a file; where nothing states its encoding, zipfile has taken it for code page 437."""
    return _stated_name(entry) or entry.filename


def _stated_name(entry: zipfile.ZipInfo) -> str:
    """The name of a file where it is known what it is: a flag or a field says so, or it is UTF-8, as macOS writes it
    without either; else empty."""
    if entry.flag_bits & _UTF8_FLAG:
        return entry.filename
    try:
        raw = entry.orig_filename.encode("cp437")
        return _unicode_path(entry.extra, raw) or raw.decode()
    except UnicodeError:
        return ""


def _unicode_path(extra: bytes, name: bytes) -> str:
    """The name in Info-ZIP's Unicode Path field (APPNOTE 4.6.9), which 7-Zip and WinRAR write; empty if there is
    none, or it is that of a name before the file was renamed."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and field[1:5] == struct.pack("<I", zlib.crc32(name)):
            return field[5:].decode()
    return ""


def _inside(path: Path, name: str) -> Path:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0] or "\0" in name:
        raise DatasetError(f"{path} names a place outside itself, {name!r}, and is not unpacked")
    return Path(*parts)
