"""Key pairs that sign artifacts; needs the extra `sign`."""

import os
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edge_core.errors import KeyFileError, OutputError
from edge_core.files import written_whole


class PrivateKey:
    """An Ed25519 private key; the `Signer` of `edge_core.artifact.seal`."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """64 bytes, the same for the same message."""
        return bytes(self._key.sign(message))


def write_key_pair(path: Path) -> bytes:
    """Makes a key pair: the private key at `path`, for its owner alone, the public key at `path`.pub; both in PEM.

    Returns:
        The public key, 32 bytes.

    Raises:
        OutputError: one of the two is there already, or cannot be written.
    """
    public_path = path.with_name(f"{path.name}.pub")
    for taken in (path, public_path):
        if os.path.lexists(taken):
            raise OutputError(f"{taken} is there already and a key is never overwritten; choose another name")
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with written_whole(public_path) as beside:
        beside.write_bytes(public)
        try:
            # Exclusive, so that no other process' key is lost; secret from its first byte.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.write(private)
            except BaseException:
                with suppress(OSError):
                    path.unlink()
                raise
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    return bytes(key.public_key().public_bytes_raw())


def read_private_key(path: Path) -> PrivateKey:
    """Reads what `write_key_pair` wrote.

    Raises:
        KeyFileError: the file cannot be read, or holds no Ed25519 private key without a password.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it takes a password
        raise KeyFileError(
            f"{path} holds no private key in PEM without a password; edge-convert keygen makes one"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} is a key of another kind than Ed25519; edge-convert keygen makes one")
    return PrivateKey(key)
