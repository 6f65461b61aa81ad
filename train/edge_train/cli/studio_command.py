"""`edge-train studio`."""

from typing import Annotated

import typer

from edge_device.command_line.registered import run_registered
from edge_train.cli.train_parameters import TRAIN_COMMANDS


def studio(options: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Open the studio, a page that takes photos to running cameras without further commands.

    Example: edge-train studio projects/
    """
    # Here only to be found: the studio is edge_studio's, which this package must not import; it registers itself.
    run_registered(TRAIN_COMMANDS, "studio", options or (), "edge-train studio")
