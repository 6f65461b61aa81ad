"""`edge-train studio`."""

from importlib.metadata import entry_points
from typing import Annotated, Final

import typer

from edge_core.errors import RuntimeMissingError
from edge_device.command_line.console import one_line_errors

COMMANDS: Final = "edge_mobilenet.train_commands"
"""Group of entry points: commands of `edge-train` that packages above this one have, each a Typer application."""


def studio(options: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Open the page on which photos become a running camera without a command.

    Example: edge-train studio projects/
    """
    # Here only to be found: the studio is edge_studio's, which this package must not import; it registers itself.
    with one_line_errors():
        found = entry_points(group=COMMANDS, name="studio")
        if not found:
            raise RuntimeMissingError(
                "this installation has no studio: its entry points are of another version; install it again with "
                "pip install --force-reinstall --no-deps edge-mobilenet"
            )
        command = next(iter(found)).load()
    command([*(options or [])], prog_name="edge-train studio")
