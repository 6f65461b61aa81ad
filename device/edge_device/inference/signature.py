"""Ed25519 signatures, made and checked; needs the extra `sign`, which a device without signed files does without."""

from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from edge_core.artifact.seal import Signature
from edge_core.errors import KeyFileError


def is_by(signature: Signature, public_key: bytes) -> bool:
    """Whether a signature was made with the private key to `public_key`, 32 bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature.value, signature.message)
    except (InvalidSignature, ValueError):  # ValueError: the key is no point on the curve
        return False
    return True


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of a public key in a PEM file.

    Raises:
        KeyFileError: The file cannot be read, or holds no Ed25519 public key.
    """
    try:
        data = path.read_bytes()
        # The words of the PEM label: a private key must not be copied to boards by mistake.
        if b"PRIVATE KEY" in data:
            raise KeyFileError(f"{path} is the private key, which should not leave its machine; give {path.name}.pub")
        key = load_pem_public_key(data)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if isinstance(error, KeyFileError):
            raise
        raise KeyFileError(f"{path} holds no public key in PEM; edge-convert keygen makes one") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path} is a key of another kind than Ed25519; edge-convert keygen makes one")
    return bytes(key.public_bytes_raw())


class PrivateKey:
    """An Ed25519 private key; the `Signer` of `edge_core.artifact.seal`."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self.key = key
        self.public_key = key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """64 bytes, the same for the same message."""
        return bytes(self.key.sign(message))


def read_private_key(path: Path) -> PrivateKey:
    """Reads a private key that `edge-convert keygen` made.

    Raises:
        KeyFileError: The file cannot be read, or holds no Ed25519 private key without a password.
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
