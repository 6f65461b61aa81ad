"""`edge-train choose`."""

from typing import Annotated

import typer

from edge_device.command_line.registered import run_registered
from edge_train.cli.train_parameters import TRAIN_COMMANDS


def choose(options: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Say which network to train for these photos, a board and a time for a frame.

    Example: edge-train choose photos/ --target pi4 --max-ms 20
    """
    # Here only to be found: it converts and measures, which packages do that this one must not import.
    run_registered(TRAIN_COMMANDS, "choose", ["choose", *(options or ["--help"])], "edge-train")
