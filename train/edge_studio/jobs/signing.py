"""The key pair by which a studio signs its files, made when it is first needed. Needs the extra `sign`."""

from pathlib import Path
from typing import Final

KEY_FILE: Final = "signing.key"


def signing_key(state: Path) -> Path:
    """The private key of a studio, for its owner alone; the public key is beside it, `signing.key.pub`.

    Args:
        state: Folder of what the studio has to remember.

    Raises:
        OutputError: It cannot be made.
    """
    from edge_convert.keys import write_key_pair

    path = state / KEY_FILE
    if not path.exists():
        path.with_name(f"{KEY_FILE}.pub").unlink(missing_ok=True)  # of a pair that a power cut left half made
        state.mkdir(parents=True, exist_ok=True)
        write_key_pair(path)
    return path


def public_key(state: Path) -> Path:
    """The public key of a studio, which boards check files by; made with the private one."""
    key = signing_key(state)
    return key.with_name(f"{KEY_FILE}.pub")
