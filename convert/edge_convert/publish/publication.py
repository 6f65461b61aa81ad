"""A repository of The Update Framework as a static folder: `metadata/` and `targets/`. Needs the extra `update`.

One Ed25519 key, that of `edge-convert keygen`, signs the model files and all four roles. Boards trust its public key.
Names have versions (consistent snapshots), and `timestamp.json` is written last: a board that reads while the folder is
copied to a server finds the old state or the new one, whole.

Roles and formats: https://theupdateframework.github.io/specification/latest/
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from edge_convert.keys import PrivateKey
from edge_core.artifact.rollout import Offer, read_offer
from edge_core.artifact.seal import Seal, check_seal
from edge_core.errors import CheckFailedError, OutputError, SettingsError
from edge_core.files import written_whole
from edge_device.inference.signature import is_by

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)

ROLES: Final = ("root", "timestamp", "snapshot", "targets")

ROOT_DAYS: Final = 3650
"""Days until the root metadata expires: a board that was off for years can still be reached."""

EXPIRES_DAYS: Final = 30
"""Days until the rest does, unless told otherwise. After it boards take a frozen copy of the folder for an attack."""


@dataclass(frozen=True)
class Publication:
    """A file that is published.

    Attributes:
        offer: The file, and whom it is for.
        site: The folder to serve.
        version: Version of the repository.
        expires: Time until which boards believe it; publish or refresh before.
    """

    offer: Offer
    site: Path
    version: int
    expires: datetime


def publish(
    file: Path, site: Path, key: PrivateKey, *, rollout: float = 100.0, group: str = "", days: int = EXPIRES_DAYS
) -> Publication:
    """Adds a model file to a repository, or changes whom a published one is for.

    Args:
        file: A .tflite that is signed by `key`.
        site: The folder; made if it is not there.
        key: Signs the metadata.
        rollout: Percentage of the boards that the file reaches, 0..100; 0 takes it back from those that poll later.
        group: Group of boards that it is for; empty for all.
        days: Days until the metadata expires.

    Raises:
        CheckFailedError: The file is not signed by `key`, or the folder is another key's.
        SettingsError: `rollout` or `group` is not a valid one.
        OutputError: The folder holds something else, or cannot be written.
    """
    digest = _signed_digest(file, key).digest
    repository = Repository(site, key)
    before = [one for one in repository.offers() if one.digest == digest and one.group == group]
    if before:
        offer = replace(before[0], rollout=rollout)
    else:
        sequence = 1 + max((one.sequence for one in repository.offers()), default=0)
        offer = Offer(f"{group or 'all'}/{file.stem}-{digest[:12]}.tflite", digest, sequence, rollout, group)
    repository.put(file, offer)
    expires = repository.write(days)
    return Publication(offer, site, repository.version, expires)


def refresh(site: Path, key: PrivateKey, *, days: int = EXPIRES_DAYS) -> datetime:
    """Signs the metadata of a repository anew, so that it expires later.

    Returns:
        When it expires.

    Raises:
        CheckFailedError: The folder is another key's.
        OutputError: There is no repository in it, or it cannot be written.
    """
    if not (site / "metadata").is_dir():
        raise OutputError(f"{site} holds no published models; edge-convert publish FILE --to {site} makes it")
    return Repository(site, key).write(days)


def rotate_key(site: Path, key: PrivateKey, new: PrivateKey, *, days: int = EXPIRES_DAYS) -> datetime:
    """Hands a repository over to another key: boards that trust the old one trust the new one from then on.

    Model files that the old key signed stay where they are for the boards that run them, but are offered to none:
    publish files that the new key has signed.

    Raises:
        CheckFailedError: The folder is not the old key's.
        OutputError: It cannot be written.
    """
    repository = Repository(site, key)
    repository.rotate(new)
    return repository.write(days)


class Repository:
    """The metadata in a folder, changed in memory until `write`."""

    def __init__(self, site: Path, key: PrivateKey) -> None:
        """Reads the folder, or begins a new repository.

        Raises:
            CheckFailedError: The folder is another key's.
            OutputError: What is there is no such metadata.
        """
        self._site, self._signers = site, [_signer(key)]
        self._rotated = False
        if (site / "metadata").is_dir():
            self._root = self._latest(Root)
            self._timestamp, self._snapshot, self._targets = (
                self._latest(Timestamp),
                self._latest(Snapshot),
                self._latest(Targets),
            )
            keys = self._root.signed.roles["root"].keyids
            if keys != [self._signers[0].public_key.keyid]:
                raise CheckFailedError(f"{site} was published with another key; give that one, or hand the folder over")
        else:
            # `_rotated` makes `write` write a root, the first one, too.
            self._root, self._rotated = Metadata(Root(consistent_snapshot=True)), True
            self._timestamp, self._snapshot, self._targets = (
                Metadata(Timestamp()),
                Metadata(Snapshot()),
                Metadata(Targets()),
            )
            # `write` counts up before it signs, and versions begin with 1.
            self._timestamp.signed.version = self._snapshot.signed.version = self._targets.signed.version = 0
            for role in ROLES:
                self._root.signed.add_key(self._signers[0].public_key, role)

    @property
    def version(self) -> int:
        """Version of the repository, which grows with each `write`."""
        return int(self._timestamp.signed.version)

    def offers(self) -> list[Offer]:
        """All files that are offered."""
        found = (read_offer(path, target.custom) for path, target in self._targets.signed.targets.items())
        return [one for one in found if one]

    def put(self, file: Path, offer: Offer) -> None:
        """Puts a file among the targets, under the name that its hash gives it."""
        target = TargetFile.from_file(offer.target, str(file), ["sha256"])
        target.unrecognized_fields["custom"] = offer.to_custom()
        folder, _, name = offer.target.rpartition("/")
        place = self._site / "targets" / folder / f"{target.hashes['sha256']}.{name}"
        # The name holds the digest, so a file that is there has this content already.
        if not place.exists():
            with written_whole(place, durable=True) as beside:
                shutil.copyfile(file, beside)
        self._targets.signed.targets[offer.target] = target

    def rotate(self, new: PrivateKey) -> None:
        """Gives all roles to another key; the next root is signed by both, see section 6.1 of the specification."""
        signer = _signer(new)
        root = self._root.signed
        for role in ROLES:
            for keyid in list(root.roles[role].keyids):
                root.revoke_key(keyid, role)
            root.add_key(signer.public_key, role)
        root.version += 1
        self._targets.signed.targets.clear()  # the old key signed them, and boards would refuse them
        self._signers, self._rotated = [*self._signers, signer], True

    def write(self, days: int) -> datetime:
        """Writes the next version: `timestamp.json`, which leads to all the rest, comes last.

        Returns:
            When it expires.
        """
        if days < 1:
            raise SettingsError(f"metadata expires after a day at least, not after {days}")
        now = datetime.now(UTC).replace(microsecond=0)
        expires = now + timedelta(days=days)
        targets, snapshot, timestamp = self._targets.signed, self._snapshot.signed, self._timestamp.signed
        for signed in (targets, snapshot, timestamp):
            signed.version += 1
            signed.expires = expires
        snapshot.meta["targets.json"] = MetaFile(targets.version)
        timestamp.snapshot_meta = MetaFile(snapshot.version)
        if self._rotated:
            self._root.signed.expires = now + timedelta(days=ROOT_DAYS)
            # The root comes first: a board has to know the new key before it meets what that key signed.
            self._sign(self._root, f"{self._root.signed.version}.root.json", self._signers)
        for metadata, name in (
            (self._targets, f"{targets.version}.targets.json"),
            (self._snapshot, f"{snapshot.version}.snapshot.json"),
            (self._timestamp, "timestamp.json"),
        ):
            self._sign(metadata, name, self._signers[-1:])
        return expires

    def _sign(self, metadata: Any, name: str, signers: Sequence[Signer]) -> None:
        metadata.signatures.clear()
        for signer in signers:
            metadata.sign(signer, append=True)
        with written_whole(self._site / "metadata" / name, durable=True) as beside:
            beside.write_bytes(metadata.to_bytes(JSONSerializer(compact=False)))

    def _latest(self, role: type[T]) -> Metadata[T]:
        """The newest metadata of a role."""
        name = role.type
        folder = self._site / "metadata"
        # The highest on the disk, not what timestamp.json leads to: after a write that broke off none is given twice.
        versions = [path for path in folder.glob(f"*.{name}.json") if path.name.partition(".")[0].isdecimal()]
        path = max(versions, key=lambda one: int(one.name.partition(".")[0]), default=folder / f"{name}.json")
        try:
            return Metadata.from_file(str(path))
        except (OSError, DeserializationError, RepositoryError, ValueError) as error:
            raise OutputError(f"{path} is not metadata of published models ({error}); choose another folder") from error


def _signed_digest(file: Path, key: PrivateKey) -> Seal:
    """The seal of a file.

    Raises:
        CheckFailedError: The file is not sealed, or not signed by `key`.
    """
    seal = check_seal(file)
    if seal is None:
        raise CheckFailedError(f"{file} has no seal; publish what edge-convert export has written")
    signature = seal.signature
    if signature is None or signature.public_key != key.public_key or not is_by(signature, key.public_key):
        whose = "it is signed by another key" if signature else "it is not signed"
        raise CheckFailedError(f"boards would refuse {file}: {whose}; export it with --sign KEY")
    return seal


def _signer(key: PrivateKey) -> CryptoSigner:
    return CryptoSigner(key.key)
