"""`edge-convert keygen`."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_device.command_line.console import (
    Debug,
    extra_needed,
    one_line_errors,
)
from edge_device.command_line.next_step import say_next


def keygen(
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="File to write with the private key; the public key is written to OUT.pub."),
    ],
    debug: Debug = False,
) -> None:
    """Make an Ed25519 key pair: the private key signs files, the public key lets a device check them.

    Then export with --sign vendor, and edge-run verify with --key vendor.pub.

    Example: edge-convert keygen vendor
    """
    with one_line_errors(debug):
        with extra_needed("sign", "cryptography"):
            from edge_convert.keys import write_key_pair
        public_key = write_key_pair(out)
        print(f"{out}  private: keep it to yourself")
        print(f"{out}.pub  ed25519:{public_key.hex()}")
        say_next(f"edge-convert export runs/NAME --sign {quote(str(out))}")
