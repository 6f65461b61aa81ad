"""`edge-run doctor`."""

from typing import Annotated

import typer

from edge_device.doctor.command import main as examine_board


def doctor(options: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Find out what keeps this board from classifying, and how to mend it.

    Example: edge-run doctor --model flowers-int8.tflite
    """
    # Here only to be listed by --help: edge_device.__main__ begins it before anything is imported that may be broken.
    raise typer.Exit(examine_board(options or []))
