"""The private key that a command signs with, if it was given one."""

from pathlib import Path

from edge_core.artifact.seal import Signer
from edge_device.command_line.console import extra_needed


def read_signer(key: Path | None) -> Signer | None:
    """Reads a private key.

    Args:
        key: File that `edge-convert keygen` made; None for no signature.

    Raises:
        KeyFileError: The file is no such key.
        RuntimeMissingError: The extra `sign` is not installed.
    """
    if key is None:
        return None
    with extra_needed("sign", "cryptography"):
        from edge_device.inference.signature import read_private_key
    return read_private_key(key)
