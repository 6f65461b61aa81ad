"""Commands that a package above has: listed where people look for them, found by entry point, never imported."""

from collections.abc import Sequence
from importlib.metadata import entry_points

from edge_core.errors import RuntimeMissingError
from edge_device.command_line.console import one_line_errors


def run_registered(group: str, name: str, arguments: Sequence[str], prog_name: str) -> None:
    """Runs a command that another package of this product has registered.

    Args:
        group: Group of entry points, each of which is a Typer application.
        name: Name of the entry point.
        arguments: Words that the application gets.
        prog_name: What the application calls itself in its help.

    Raises:
        SystemExit: Always, with the exit status.
    """
    with one_line_errors():
        found = entry_points(group=group, name=name)
        if not found:
            raise RuntimeMissingError(
                f"this installation has no {name}: its entry points are of another version; install it again "
                "with pip install --force-reinstall --no-deps edge-mobilenet"
            )
        command = next(iter(found)).load()
    # Outside of the block: the application has its own, and a second one would tell an error twice.
    command(list(arguments), prog_name=prog_name)
