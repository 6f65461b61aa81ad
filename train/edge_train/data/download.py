"""An archive from the network to a folder: resumed where it broke off, checked against its hash, unpacked with care."""

import fcntl
import hashlib
import http.client
import stat
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from edge_core.errors import DatasetError, EdgeError, OutputError
from edge_core.progress import Track, silently

MIB: Final = 1 << 20
_PATIENCE_S: Final = 30  # without a byte
_ATTEMPTS: Final = 5  # in a row that bring nothing new

MAX_UNPACKED_BYTES: Final = 4 << 30
MAX_UNPACKED_FILES: Final = 100_000
"""Bounds far above the sets that are known by name (0.8 GB, 25,000 files), far below what fills a disk."""

Place = Callable[[str], str | None]
"""From a member's name in the archive to its path in the folder, or None for what is not wanted."""


def fetch(url: str, path: Path, sha256: str, *, track: Track = silently) -> None:
    """Downloads a file; what an earlier attempt brought, in `path` with `.part` behind it, is not asked for again.

    Args:
        url: Address of the file.
        path: Path of the file to write; it is there whole and with the right content, or not at all.
        sha256: Expected SHA-256 of the content, hexadecimal.
        track: Shows progress, in MiB.

    Raises:
        DatasetError: The server cannot be reached, does not have it, or gave something else.
        OutputError: The file cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DatasetError(f"{part} is being downloaded by another process; wait for it") from None
            failures = 0
            while failures < _ATTEMPTS:
                had = file.tell()
                try:
                    if _continue(url, file, path.name, track):
                        break
                    reason = "the connection was closed early"
                except urllib.error.HTTPError as error:
                    raise DatasetError(f"the server answered {error.code} {error.reason}") from error
                except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                    reason = str(getattr(error, "reason", "") or error) or type(error).__name__
                # Attempts in a row: one that brings bytes starts the count anew.
                failures = 0 if file.tell() > had else failures + 1
            else:
                raise DatasetError(reason)
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            part.unlink()
            raise DatasetError(f"what came has the SHA-256 {found}, not {sha256}; it was thrown away")
        part.replace(path)
    except EdgeError:
        raise
    except OSError as error:
        raise OutputError(f"{part} cannot be written: {error.strerror or error}") from error


def _continue(url: str, file: IO[bytes], name: str, track: Track) -> bool:
    """Appends to `file` what it still lacks; whether that is all. A server that cannot resume starts it anew."""
    had = file.tell()
    request = urllib.request.Request(url, headers={"Range": f"bytes={had}-"} if had else {})
    try:
        response = urllib.request.urlopen(request, timeout=_PATIENCE_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing behind what is here
            return True
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            had = 0
            file.truncate(0)
            file.seek(0)
        elif not str(response.headers["Content-Range"]).startswith(f"bytes {had}-"):
            raise http.client.HTTPException("the server resumes in another place than it was asked to")
        length = response.headers["Content-Length"]
        missing = int(length) if length and length.isdecimal() else None

        def chunks() -> Iterator[None]:
            while chunk := response.read(MIB):
                file.write(chunk)
                yield

        for _ in track(chunks(), f"Downloading {name}, MiB", missing and -(-missing // MIB)):
            pass
        file.flush()
        return missing is None or file.tell() == had + missing


def unpack(archive: Path, folder: Path, place: Place, *, label: str, track: Track = silently) -> None:
    """Writes the wanted files of a .zip or .tar(.gz) under a folder.

    Args:
        archive: Path of the archive.
        folder: Where to, an existing folder.
        place: Which members, and what they are called there.
        label: Label of the progress bar.
        track: Receives the progress of each step.

    Raises:
        DatasetError: It is damaged or truncated, has a name that leads out of the folder, has a link or a device where
            a file should be, is larger than `MAX_UNPACKED_BYTES`, or holds nothing that is wanted.
    """
    left, count = MAX_UNPACKED_BYTES, 0
    try:
        for name, regular, content in track(_members(archive), label):
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise DatasetError(f"{archive.name} is not to be trusted: {name!r} leads out of its folder")
            wanted = place(name)
            if wanted is None:
                continue
            if not regular:
                raise DatasetError(f"{archive.name} is not to be trusted: {name!r} is a link, not a file")
            target = folder / wanted
            target.parent.mkdir(parents=True, exist_ok=True)
            with content() as source, target.open("xb") as file:
                # One byte more than there is room for, to notice that there are more.
                while chunk := source.read(min(MIB, left + 1)):
                    left -= file.write(chunk)
                    if left < 0:
                        raise DatasetError(f"{archive.name} unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB")
            count += 1
            if count > MAX_UNPACKED_FILES:
                raise DatasetError(f"{archive.name} unpacks to more than {MAX_UNPACKED_FILES} files")
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DatasetError(f"{archive.name} is damaged or truncated: {error}") from error
    except FileExistsError as error:
        raise DatasetError(f"{archive.name} holds {Path(error.filename).name!r} twice") from error
    if not count:
        raise DatasetError(f"{archive.name} holds nothing that is wanted of it")


def _members(archive: Path) -> Iterator[tuple[str, bool, Callable[[], IO[bytes]]]]:
    """(name, whether it is a regular file, how to open it) of what is in an archive; folders are passed over."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if not entry.is_dir():
                    yield entry.filename, kind in (0, stat.S_IFREG), lambda entry=entry: packed.open(entry)  # type: ignore[misc]
        return
    # As a stream, from front to back once: the content of a member is read before the next one is asked for.
    with tarfile.open(archive, "r|*") as stream:
        for member in stream:
            if not member.isdir():
                yield member.name, member.isreg(), lambda member=member: stream.extractfile(member)  # type: ignore[misc]
