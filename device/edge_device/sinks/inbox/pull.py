"""Snapshots from another board: over HTTP from its live page, or over SSH from its folder."""

import hashlib
import os
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from edge_core.errors import HostError, SettingsError
from edge_core.files import written_whole
from edge_core.progress import Track, silently
from edge_device.sinks.inbox.live_page import LARGEST, SNAPSHOT_KEY, LivePage


@dataclass(frozen=True)
class Pulled:
    """How a fetch went.

    Attributes:
        pictures: Number of pictures that are here now.
        left: Number of snapshots that the board did not give: gone meanwhile, or damaged on the way.
    """

    pictures: int
    left: int


def pull_snapshots(
    host: str,
    folder: Path,
    *,
    token: str | None = None,
    keep: bool = False,
    ask: bool = True,
    track: Track = silently,
) -> Pulled:
    """Fetches the snapshots of a board as FOLDER/LABEL/TIME.jpg and .json; what has arrived is removed there.

    A picture is on this disk, and found to be what the board has, before it is removed there: what a broken connection
    or a power cut at either end leaves is fetched again.

    Args:
        host: Address of the live page, `http://porch:8080`, or of the folder, `ssh://pi@porch/var/lib/edge-run/unsure`;
            a path in the user's home is `ssh://pi@porch/~/unsure`.
        folder: Made if it is not there.
        token: Token of the live page.
        keep: Whether the board keeps its snapshots.
        ask: Whether ssh may ask for a password, or whether a host's key is right; a server has nobody to answer.
        track: Shows the progress.

    Raises:
        SettingsError: `host` is neither.
        HostError: The board cannot be reached, refuses, or has no snapshots.
        OutputError: The folder cannot be written.
    """
    parts = urlsplit(host if "//" in host else f"http://{host}")
    if parts.scheme in ("http", "https") and parts.hostname:
        root = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        return _over_http(LivePage(root, token), folder, keep, track)
    if parts.scheme == "ssh" and parts.hostname and parts.path.strip("/"):
        return _over_ssh(_Shell(parts.netloc, ask), parts.path, folder, keep)
    raise SettingsError(f"{host!r} is neither http://HOST:PORT of a live page nor ssh://USER@HOST/FOLDER of snapshots")


def _over_http(page: LivePage, folder: Path, keep: bool, track: Track) -> Pulled:
    listed = page.snapshots()
    pictures = left = 0
    for one in track(listed, "Fetching snapshots", len(listed)):
        key = one["id"]
        picture, told = page.ask(f"/api/snapshots/{key}.jpg"), page.ask(f"/api/snapshots/{key}.json")
        digest = one.get("sha256")
        if picture is None or told is None or (digest and hashlib.sha256(picture).hexdigest() != digest):
            left += 1
            continue
        # On the disk first, and only then taken off the board.
        _write(folder, key, picture, told)
        pictures += 1
        if not keep:
            page.ask(f"/api/snapshots/{key}/acknowledge", "POST")
    return Pulled(pictures, left)


def _write(folder: Path, key: str, picture: bytes, told: bytes) -> None:
    for suffix, data in ((".json", told), (".jpg", picture)):
        with written_whole(folder / (key + suffix), durable=True) as beside:
            beside.write_bytes(data)


def _over_ssh(shell: "_Shell", path: str, folder: Path, keep: bool) -> Pulled:
    """With the user's own ssh, keys and configuration; the board needs nothing but a shell and tar."""
    # The tilde stays outside of the quotes, where the far shell replaces it by the home.
    there = "~/" + shlex.quote(path[3:]) if path.startswith("/~/") else shlex.quote(path)
    found: dict[str, dict[str, bytes]] = {}

    def unpack(stream: IO[bytes]) -> None:
        for key, suffix, data in _snapshots_in(stream):
            one = found.setdefault(key, {})
            one[suffix] = data
            if len(one) == 2:
                _write(folder, key, one[".jpg"], one[".json"])
                one.update({".jpg": b"", ".json": b""})  # not all pictures in memory

    # Sorted, so that a picture and its .json come one after the other and no others wait in memory.
    files = "find . -path './*/*.j*' ! -name '.*' -type f -print0 | LC_ALL=C sort -z"
    shell.run(f"cd {there} && {files} | tar --null -T - -cf -", unpack)
    arrived = [key for key, one in found.items() if len(one) == 2]
    if not keep and arrived:
        names = "".join(f"{key}{suffix}\0" for key in arrived for suffix in (".jpg", ".json"))
        shell.run(f"cd {there} && xargs -0 rm -f --", lambda stream: None, names.encode())
    return Pulled(len(arrived), len(found) - len(arrived))


def _snapshots_in(stream: IO[bytes]) -> Iterator[tuple[str, str, bytes]]:
    """Key, suffix and content of each file of a snapshot in a tar archive; nothing else is taken from it."""
    try:
        # "r|" reads the archive as it comes, without seeking; nothing is extracted by the names in it.
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                key, dot, suffix = member.name.removeprefix("./").rpartition(".")
                content = archive.extractfile(member) if member.isfile() and member.size <= LARGEST else None
                if content and dot and suffix in ("jpg", "json") and SNAPSHOT_KEY.fullmatch(key):
                    yield key, f".{suffix}", content.read()
    except tarfile.ReadError as error:
        # Nothing came at all: whether that is an error, the status of the command tells.
        if "empty file" not in str(error):
            raise HostError(f"what tar sends from the board is damaged: {error}") from error


@dataclass(frozen=True)
class _Shell:
    """A shell on a host, by the user's own ssh.

    Attributes:
        host: Name of the host, with a user before it and a port behind it if need be.
        ask: Whether ssh may ask something.
    """

    host: str
    ask: bool

    def run(self, command: str, take: Callable[[IO[bytes]], None], given: bytes = b"") -> None:
        """Runs a command and hands its output over.

        Raises:
            SettingsError: That is not the name of a host.
            HostError: Ssh is not installed, or the command fails.
        """
        with tempfile.TemporaryFile() as errors:  # a pipe would fill up, and ssh wait, while its output is read
            try:
                process = subprocess.Popen(
                    self._words(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
                )
            except OSError as error:
                raise HostError(f"ssh cannot be started: {error.strerror or error}; install openssh-client") from error
            with process:
                _talk(process, take, given)
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - 4096))
            said = errors.read().decode(errors="replace").strip().splitlines()
        if process.returncode:
            raise HostError(f"{self.host}: {said[-1] if said else f'ssh ended with status {process.returncode}'}")

    def _words(self, command: str) -> list[str]:
        """The command line of ssh; `command` is for the shell on the host."""
        user, _, address = self.host.rpartition("@")
        name, _, port = address.partition(":")
        if name.startswith("-") or user.startswith("-"):  # ssh would take it for an option
            raise SettingsError(f"{self.host!r} is not a host")
        options = [
            *([] if self.ask else ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]),
            *(["-p", port] if port else []),
        ]
        return ["ssh", *options, "--", f"{user}@{name}" if user else name, command]


def _talk(process: "subprocess.Popen[bytes]", take: Callable[[IO[bytes]], None], given: bytes) -> None:
    """Gives a process its input and hands its output over; a process that ends before is told of by its status."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(given)
        process.stdin.close()
        take(process.stdout)
        # To its end, or the far side would wait to write what `take` has left.
        process.stdout.read()
    except BrokenPipeError:
        pass
    except BaseException:
        process.kill()
        raise
