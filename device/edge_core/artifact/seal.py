"""The seal: one digest over every byte of an artifact but itself, signed or not.

It is the comment of the ZIP archive, and so the end of the file, in one of two forms and no other:

    edge-mobilenet seal 1 sha256:DIGEST
    edge-mobilenet seal 1 ed25519:KEY SIGNATURE sha256:DIGEST

DIGEST is of all bytes before it, the signature included: a changed bit anywhere shows even where signatures cannot be
checked. SIGNATURE is Ed25519 (RFC 8032) by KEY over `edge-mobilenet seal 1`, a zero byte, and the SHA-256 of all bytes
before the comment. All three are in lower-case hexadecimal.
"""

import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from edge_core.artifact.container import DAMAGED_ARCHIVE, INCOMPLETE, is_cut_short, unreadable_model
from edge_core.artifact.golden import GOLDEN_FILE, GoldenVectors
from edge_core.errors import SealError

_NAME: Final = b"edge-mobilenet seal "
_FORM: Final = re.compile(rb"edge-mobilenet seal 1 (?:ed25519:([0-9a-f]{64}) ([0-9a-f]{128}) )?sha256:([0-9a-f]{64})")
_LONGEST: Final = 512
"""More bytes than a seal has, in this form or a later one."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the ZIP format's first moment: the same input gives the same bytes


class Signer(Protocol):
    """A private key: `edge_convert.keys.PrivateKey`."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True)
class Signature:
    """A signature, not checked yet: that takes `edge_device.inference.signature.is_by`.

    Attributes:
        public_key: Ed25519, 32 bytes; anybody's.
        value: The signature, 64 bytes.
        message: What it should be of.
    """

    public_key: bytes
    value: bytes
    message: bytes


@dataclass(frozen=True)
class Seal:
    """A seal that fits its file.

    Attributes:
        digest: SHA-256 of the file up to the digest, hexadecimal; names this very artifact.
        signature: None if the file is not signed.
    """

    digest: str
    signature: Signature | None


def seal(artifact: bytes, golden: GoldenVectors, signer: Signer | None = None) -> bytes:
    """A complete .tflite with golden vectors in its archive and a seal at its end.

    Args:
        artifact: What `complete` returned.
        golden: What its model has to give, see `edge_device.inference.verify.record`.
        signer: Private key that signs the file; without one the file is sealed but not signed.
    """
    file = io.BytesIO(artifact)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for name, content in golden.to_files().items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
        # Its length stands before the comment, and so belongs to what is signed.
        archive.comment = _before_digest(bytes(32), bytes(64)) if signer else _before_digest()
        archive.comment += bytes(64)
    # The comment was so long only so that its length is right; what it says is known now that all before it is fixed.
    content = file.getvalue()[: -len(archive.comment)]
    content += _before_digest(signer.public_key, signer.sign(_message(content))) if signer else _before_digest()
    return content + hashlib.sha256(content).hexdigest().encode()


def read_seal(data: bytes) -> Seal | None:
    """The seal of a file's bytes; None if there is none.

    Raises:
        SealError: The bytes are not those that were sealed, or the seal has a form that this version does not know.
    """
    # The last one: what lies in the archive may hold the same words.
    start = data.rfind(_NAME, max(0, len(data) - _LONGEST))
    if start < 0:
        return None
    form = _FORM.fullmatch(data, start)
    if form is None:
        raise SealError("its seal is damaged, or of a newer edge-mobilenet; copy the file again, or upgrade")
    key, signature, digest = form.groups()
    found = hashlib.sha256(data[: form.start(3)]).hexdigest()
    if found != digest.decode():
        raise SealError(
            f"damaged or changed: its bytes have the SHA-256 {found[:16]}..., not the sealed "
            f"{digest[:16].decode()}...; "
            "copy the file again"
        )
    if key is None:
        return Seal(found, None)
    return Seal(
        found, Signature(bytes.fromhex(key.decode()), bytes.fromhex(signature.decode()), _message(data[:start]))
    )


def check_seal(path: Path) -> Seal | None:
    """The seal of a file, after every byte was held against it; None if the file never had one.

    Raises:
        ModelFormatError: The file cannot be read.
        SealError: It is not what was sealed.
    """
    try:
        data = path.read_bytes()
        found = read_seal(data)
    except OSError as error:
        raise unreadable_model(path, error) from error
    except SealError as error:
        raise SealError(f"{path}: {error}") from None
    if found is None and is_cut_short(data):
        raise SealError(f"{path}: it {INCOMPLETE}")
    # Golden vectors are written together with the seal, never without one.
    if found is None and _holds_golden_vectors(data):
        raise SealError(f"{path}: its seal is missing, so its end is damaged; copy the file again")
    return found


def _before_digest(*signature: bytes) -> bytes:
    signed = "ed25519:{} {} ".format(*(part.hex() for part in signature)) if signature else ""
    return _NAME + f"1 {signed}sha256:".encode()


def _message(content: bytes) -> bytes:
    return _NAME + b"1\0" + hashlib.sha256(content).digest()


def _holds_golden_vectors(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return GOLDEN_FILE in archive.namelist()
    except DAMAGED_ARCHIVE:
        return False  # no archive, or so damaged that it has no card either
