"""The board's side of The Update Framework: what is published, fetched and checked. Needs the extra `update`."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, build_opener

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from edge_core.artifact.rollout import Offer, read_offer
from edge_core.errors import HostError, OutputError, SettingsError, UpdateError
from edge_core.files import written_whole

TIMEOUT_S: Final = 30.0
"""Seconds without a byte after which a server counts as unreachable."""

FILE_S: Final = 1800.0
"""Seconds that one file may take: 5 MB by a line of 23 kbit/s. A server that sends a byte now and then is not waited
for."""

LARGEST_MODEL: Final = 500 << 20
"""Bytes of a model that a board fetches, at most, whatever the metadata says."""

ROOT_BYTES: Final = 512_000

_CHUNK: Final = 1 << 16

_MEANINGS: Final = (
    (exceptions.ExpiredMetadataError, "its metadata has expired: a frozen copy, or one that was not refreshed in time"),
    (exceptions.BadVersionNumberError, "it offers older metadata than before: a rollback"),
    (exceptions.UnsignedMetadataError, "its metadata is not signed by the keys that are trusted"),
    (exceptions.LengthOrHashMismatchError, "a file is not the one that its metadata names"),
    (exceptions.DownloadLengthMismatchError, "a file has more bytes than its metadata allows"),
    (exceptions.SlowRetrievalError, "it sends too slowly"),
    (exceptions.RepositoryError, "its metadata is damaged or mixed"),
)
"""What refusals mean, for people; the first that fits."""


@dataclass(frozen=True)
class PublishedOffers:
    """What a repository offers, checked.

    Attributes:
        offers: All files that it offers.
        keys: Public keys that may have signed them, 32 bytes each.
    """

    offers: tuple[Offer, ...]
    keys: tuple[bytes, ...]


class UpdateClient:
    """A board's view of one repository.

    The first `1.root.json` is believed if the vendor's public key has signed it and is the only one that may; from then
    on the board believes what The Update Framework's chain of roots leads to, kept in `folder`.
    """

    def __init__(self, url: str, folder: Path, key: bytes) -> None:
        """Names the repository.

        Args:
            url: Address of the folder that `edge-convert publish` wrote, http or https.
            folder: Folder that holds the trusted metadata.
            key: Public key of the vendor, 32 bytes.

        Raises:
            SettingsError: `url` is not such an address.
        """
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise SettingsError(f"--update-from {url!r} is not the http:// or https:// address of a folder")
        self._url, self._folder, self._key = url.rstrip("/"), folder, key
        self._fetcher = _Fetcher()

    def published(self) -> PublishedOffers:
        """What the repository offers now.

        Raises:
            UpdateError: It is not what the vendor published: signed by others, older than before, expired, mixed, or
                endless.
            HostError: It cannot be reached.
        """
        with _one_line(self._url):
            updater = self._updater()
            updater.refresh()
            # The public interface finds a target by its name alone, and here all of them are wanted.
            trusted = updater._trusted_set
            targets = trusted.targets.targets
            offers = tuple(offer for path, one in targets.items() if (offer := read_offer(path, one.custom)))
            return PublishedOffers(offers, _keys_of(trusted.root, "targets"))

    def fetch(self, offer: Offer, path: Path) -> None:
        """Writes an offered file to a path, whole or not at all.

        Raises:
            UpdateError: What comes is not what was published.
            HostError: The server cannot be reached.
            OutputError: The file cannot be written.
        """
        with _one_line(self._url):
            updater = self._updater()
            target = updater.get_targetinfo(offer.target)
            if target is None or target.length > LARGEST_MODEL:
                raise UpdateError(f"{self._url} does not offer {offer.target} any more, or it is larger than 500 MB")
            with written_whole(path, durable=True) as beside:
                updater.download_target(target, str(beside))

    def _updater(self) -> Updater:
        self._folder.mkdir(parents=True, exist_ok=True)
        # python-tuf renames its metadata into place without waiting for the disk: a power cut may leave it empty.
        _remove_damaged(self._folder)
        first = self._folder / "first_root.json"
        if not first.exists():
            data = self._fetcher.download_bytes(f"{self._url}/metadata/1.root.json", ROOT_BYTES)
            self._check_first(data)
            with written_whole(first, durable=True) as beside:
                beside.write_bytes(data)
        return Updater(
            str(self._folder),
            f"{self._url}/metadata/",
            target_base_url=f"{self._url}/targets/",
            fetcher=self._fetcher,
            config=UpdaterConfig(root_max_length=ROOT_BYTES),
            bootstrap=first.read_bytes(),
        )

    def _check_first(self, data: bytes) -> None:
        """Checks that the vendor's key alone speaks for a first root, and has signed it."""
        metadata = Metadata[Root].from_bytes(data)
        root = metadata.signed
        # The first root is believed for the vendor's key alone: trust on first use would believe any server.
        if _keys_of(root, "root") != (self._key,) or root.roles["root"].threshold != 1:
            raise UpdateError(f"{self._url} was not published with the key that --key names")
        root.verify_delegate("root", metadata.signed_bytes, metadata.signatures)


def _keys_of(root: Root, role: str) -> tuple[bytes, ...]:
    """The Ed25519 keys of a role, 32 bytes each."""
    keys = [root.get_key(keyid) for keyid in root.roles[role].keyids]
    return tuple(bytes.fromhex(key.keyval["public"]) for key in keys if key.keytype == "ed25519")


class _Fetcher(FetcherInterface):  # type: ignore[misc]
    """Fetches with the standard library, as many bytes as are allowed and no more."""

    def __init__(self) -> None:
        self._opener = build_opener()
        self._answer: Any = None

    def _fetch(self, url: str) -> Iterator[bytes]:
        request = Request(quote(url, safe=":/?&=%@[]"), headers={"User-Agent": "edge-run"})
        try:
            answer = self._opener.open(request, timeout=TIMEOUT_S)
        except HTTPError as error:
            error.close()
            raise exceptions.DownloadHTTPError(f"status {error.code}", error.code) from error
        self._answer = answer
        return self._chunks(answer)

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """As the library's, and the connection is closed at once where it has had enough."""
        try:
            with super().download_file(url, max_length) as file:
                yield file
        finally:
            if self._answer is not None:
                self._answer.close()

    def _chunks(self, answer: Any) -> Iterator[bytes]:
        end_s = time.monotonic() + FILE_S
        with answer:
            while data := answer.read1(_CHUNK):
                if time.monotonic() > end_s:
                    raise exceptions.SlowRetrievalError(f"a file takes longer than {FILE_S:.0f} s")
                yield data


def _remove_damaged(folder: Path) -> None:
    """Removes metadata that a power cut left torn: it is fetched again. What is whole stays, and holds against
    rollbacks."""
    for path in folder.rglob("*.json"):
        try:
            json.loads(path.read_bytes())
        except (OSError, ValueError):
            with suppress(OSError):
                path.unlink()


@contextmanager
def _one_line(url: str) -> Iterator[None]:
    """Turns what the library raises into one of our errors.

    Raises:
        UpdateError: What is there is refused.
        HostError: There is nothing to be had.
    """
    try:
        yield
    except (UpdateError, OutputError):
        raise
    except tuple(kind for kind, _ in _MEANINGS) as error:
        meaning = next(text for kind, text in _MEANINGS if isinstance(error, kind))
        raise UpdateError(f"{url} is refused: {meaning} ({error})") from error
    except exceptions.DownloadError as error:
        raise HostError(f"{url} cannot be reached: {error.__cause__ or error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UpdateError(f"{url} is refused: what it sends cannot be understood ({error})") from error
