"""`edge-run install-check` and `edge-run web`, which packages above this one have.

They stand here only to be found: boards over SSH are edge_bench's and pages for phones edge_convert's, which this
package must not import. Those register themselves as entry points.
"""

from typing import Annotated, Final

import typer

from edge_device.command_line.registered import run_registered

COMMANDS: Final = "edge_mobilenet.run_commands"
"""Group of entry points: commands of `edge-run` that packages above this one have, each a Typer application."""

Words = Annotated[list[str] | None, typer.Argument(hidden=True)]


def install_check(options: Words = None) -> None:
    """Make the checks on a board over SSH that every release passes on emulated ones.

    Example: edge-run install-check pi@raspberrypi.local flowers-int8.tflite --source 0
    """
    run_registered(COMMANDS, "install-check", ["install-check", *(options or ["--help"])], "edge-run")


def web(options: Words = None) -> None:
    """Serve a page that classifies a phone's camera with FILE, in the browser.

    Example: edge-run web flowers-int8.tflite --listen 0.0.0.0:8443
    """
    run_registered(COMMANDS, "web", ["web", *(options or ["--help"])], "edge-run")
