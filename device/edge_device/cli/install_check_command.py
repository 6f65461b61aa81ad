"""`edge-run install-check`."""

from importlib.metadata import entry_points
from typing import Annotated, Final

import typer

from edge_core.errors import RuntimeMissingError
from edge_device.command_line.console import one_line_errors

COMMANDS: Final = "edge_mobilenet.run_commands"
"""Group of entry points: commands of `edge-run` that packages above this one have, each a Typer application."""


def install_check(options: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Make the checks on a board over SSH that every release passes on emulated ones.

    Example: edge-run install-check pi@raspberrypi.local flowers-int8.tflite --source 0
    """
    # Here only to be found: boards over SSH are edge_bench's, which this package must not import; it registers itself.
    with one_line_errors():
        found = entry_points(group=COMMANDS, name="install-check")
        if not found:
            raise RuntimeMissingError(
                "this installation has no install-check: its entry points are of another version; install it again "
                "with pip install --force-reinstall --no-deps edge-mobilenet"
            )
        command = next(iter(found)).load()
    command(["install-check", *(options or ["--help"])], prog_name="edge-run")
