"""Key pairs that sign artifacts; needs the extra `sign`."""

import os
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from edge_core.errors import OutputError
from edge_core.files import written_whole
from edge_device.inference.signature import PrivateKey, read_private_key

__all__ = ["PrivateKey", "read_private_key", "write_key_pair"]


def write_key_pair(path: Path) -> bytes:
    """Makes a key pair: the private key at `path`, for its owner alone, the public key at `path`.pub; both in PEM.

    Returns:
        The public key, 32 bytes.

    Raises:
        OutputError: One of the two is there already, or cannot be written.
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
