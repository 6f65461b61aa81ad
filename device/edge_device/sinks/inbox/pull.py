"""Snapshots from another board: over HTTP from its live page, or over SSH from its folder."""

import hashlib
import json
import re
import shlex
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from edge_core.codec import JsonObject
from edge_core.errors import HostError, SettingsError
from edge_core.files import written_whole
from edge_core.progress import Track, silently

TIMEOUT_S: Final = 30.0
"""Seconds without an answer after which a board counts as unreachable."""

LARGEST: Final = 64 << 20
"""Bytes of a picture or a list that are taken from a board, at most."""

_KEY: Final = re.compile(r"[^/\0]{1,255}/\d{8}T\d{6}\.\d{6}Z(-[A-Za-z0-9_-]{1,32})?")
"""What names a snapshot: no path that leads elsewhere."""


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
    host: str, folder: Path, *, token: str | None = None, keep: bool = False, track: Track = silently
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
        track: Shows the progress.

    Raises:
        SettingsError: `host` is neither.
        HostError: The board cannot be reached, refuses, or has no snapshots.
        OutputError: The folder cannot be written.
    """
    parts = urlsplit(host if "//" in host else f"http://{host}")
    if parts.scheme in ("http", "https") and parts.hostname:
        root = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        return _over_http(_LivePage(root, token), folder, keep, track)
    if parts.scheme == "ssh" and parts.hostname and parts.path.strip("/"):
        return _over_ssh(parts.netloc, parts.path, folder, keep)
    raise SettingsError(f"{host!r} is neither http://HOST:PORT of a live page nor ssh://USER@HOST/FOLDER of snapshots")


class _NoRedirect(HTTPRedirectHandler):
    """Follows nothing: the token is for the address that was given."""

    def redirect_request(self, *_: object) -> None:
        return None


class _LivePage:
    """The routes of a board's live page."""

    def __init__(self, root: str, token: str | None) -> None:
        self._root, self._opener = root, build_opener(_NoRedirect)
        self._headers = {"X-Requested-By": "edge-run"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def list(self) -> list[JsonObject]:
        answer = self.ask("/api/snapshots")
        try:
            found = json.loads(answer or b"")["snapshots"]
            return [one for one in found if _KEY.fullmatch(one["id"])]
        except (ValueError, KeyError, TypeError) as error:
            raise HostError(f"{self._root} does not answer as a live page with snapshots does") from error

    def ask(self, path: str, method: str = "GET") -> bytes | None:
        """What is answered; None if it is not there.

        Raises:
            HostError: The board cannot be reached, or refuses.
        """
        request = Request(self._root + quote(path), method=method, headers=self._headers)
        try:
            return _read(self._opener, request)
        except HTTPError as error:
            with error:
                if error.code == 404 and path != "/api/snapshots":
                    return None
                raise HostError(f"{self._root}: {_refusal(error.code)}") from error
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise HostError(f"{self._root} cannot be reached: {reason}") from error


def _read(opener: OpenerDirector, request: Request) -> bytes:
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        data: bytes = answer.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it sends more than {LARGEST >> 20} MB for one file")
    return data


def _refusal(status: int) -> str:
    return {
        401: "it asks for a token: give --token-file, or set EDGE_RUN_TOKEN",
        404: "it keeps no snapshots; start edge-run live with --snapshots FOLDER and --web",
        429: "too many wrong tokens; try again in a minute",
    }.get(status, f"it answers with status {status}")


def _over_http(page: _LivePage, folder: Path, keep: bool, track: Track) -> Pulled:
    listed = page.list()
    pictures = left = 0
    for one in track(listed, "Fetching snapshots", len(listed)):
        key = one["id"]
        picture, told = page.ask(f"/api/snapshots/{key}.jpg"), page.ask(f"/api/snapshots/{key}.json")
        digest = one.get("sha256")
        if picture is None or told is None or (digest and hashlib.sha256(picture).hexdigest() != digest):
            left += 1
            continue
        _write(folder, key, picture, told)
        pictures += 1
        if not keep:
            page.ask(f"/api/snapshots/{key}/acknowledge", "POST")
    return Pulled(pictures, left)


def _write(folder: Path, key: str, picture: bytes, told: bytes) -> None:
    for suffix, data in ((".json", told), (".jpg", picture)):
        with written_whole(folder / (key + suffix), durable=True) as beside:
            beside.write_bytes(data)


def _over_ssh(host: str, path: str, folder: Path, keep: bool) -> Pulled:
    """With the user's own ssh, keys and configuration; the board needs nothing but a shell and tar."""
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
    _ssh(host, f"cd {there} && {files} | tar --null -T - -cf -", unpack)
    arrived = [key for key, one in found.items() if len(one) == 2]
    if not keep and arrived:
        names = "".join(f"{key}{suffix}\0" for key in arrived for suffix in (".jpg", ".json"))
        _ssh(host, f"cd {there} && xargs -0 rm -f --", lambda stream: None, names.encode())
    return Pulled(len(arrived), len(found) - len(arrived))


def _snapshots_in(stream: IO[bytes]) -> Iterator[tuple[str, str, bytes]]:
    """Key, suffix and content of each file of a snapshot in a tar archive; nothing else is taken from it."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                key, dot, suffix = member.name.removeprefix("./").rpartition(".")
                content = archive.extractfile(member) if member.isfile() and member.size <= LARGEST else None
                if content and dot and suffix in ("jpg", "json") and _KEY.fullmatch(key):
                    yield key, f".{suffix}", content.read()
    except tarfile.ReadError as error:
        if "empty file" not in str(error):
            raise HostError(f"what tar sends from the board is damaged: {error}") from error


def _ssh(host: str, command: str, take: Callable[[IO[bytes]], None], given: bytes = b"") -> None:
    """Runs a shell command on a host and hands its output over.

    Raises:
        HostError: Ssh is not installed, or the command fails.
    """
    user, _, address = host.rpartition("@")
    name, _, port = address.partition(":")
    words = ["ssh", *(["-p", port] if port else []), "--", f"{user}@{name}" if user else name, command]
    if name.startswith("-") or user.startswith("-"):
        raise SettingsError(f"{host!r} is not a host")
    try:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise HostError(f"ssh cannot be started: {error.strerror or error}; install openssh-client") from error
    with process:
        assert process.stdin and process.stdout and process.stderr
        try:
            process.stdin.write(given)
            process.stdin.close()
            take(process.stdout)
            process.stdout.read()
        except BrokenPipeError:
            pass
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read(4096).decode(errors="replace").strip().splitlines()
    if process.returncode:
        raise HostError(f"{host}: {said[-1] if said else f'ssh ended with status {process.returncode}'}")
