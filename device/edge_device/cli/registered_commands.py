"""`edge-run install-check` and `edge-run web`, which packages above this one have.

They stand here only to be found: boards over SSH are edge_bench's and pages for phones edge_convert's, which this
package must not import. Those register themselves as entry points.
"""

from importlib.metadata import entry_points
from typing import Annotated, Final

import typer

from edge_core.errors import RuntimeMissingError
from edge_device.command_line.console import one_line_errors

COMMANDS: Final = "edge_mobilenet.run_commands"
"""Group of entry points: commands of `edge-run` that packages above this one have, each a Typer application."""

Words = Annotated[list[str] | None, typer.Argument(hidden=True)]


def install_check(options: Words = None) -> None:
    """Make the checks on a board over SSH that every release passes on emulated ones.

    Example: edge-run install-check pi@raspberrypi.local flowers-int8.tflite --source 0
    """
    _run("install-check", options)


def web(options: Words = None) -> None:
    """Serve a page that classifies a phone's camera with FILE, in the browser.

    Example: edge-run web flowers-int8.tflite --listen 0.0.0.0:8443
    """
    _run("web", options)


def _run(name: str, options: list[str] | None) -> None:
    """Runs a registered command with the words that are its own to parse.

    Raises:
        RuntimeMissingError: The entry points are those of an older version.
    """
    with one_line_errors():
        found = entry_points(group=COMMANDS, name=name)
        if not found:
            raise RuntimeMissingError(
                f"this installation has no {name}: its entry points are of another version; install it again "
                "with pip install --force-reinstall --no-deps edge-mobilenet"
            )
        command = next(iter(found)).load()
    command([name, *(options or ["--help"])], prog_name="edge-run")
