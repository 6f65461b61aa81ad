"""`edge-train studio`."""

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from edge_device.command_line.console import Debug, extra_needed, one_line_errors, say
from edge_device.sinks.web.address import read_token
from edge_device.system.user_folders import state_folder


def studio(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of the projects, which is made if it is not there.")
    ] = Path("studio"),
    host: Annotated[
        str, typer.Option(help="Name or IP address to listen on; 0.0.0.0 lets phones and other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 is any free one.", min=0, max=65535)] = 8090,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that the page asks for. Default: one of this account, made once."),
    ] = None,
    browser: Annotated[
        bool, typer.Option(help="Open the page in this machine's browser, where there is a screen.")
    ] = True,
    debug: Debug = False,
) -> None:
    """Open the studio, a page that takes photos to running cameras without further commands.

    Example: edge-train studio projects/
    """
    with one_line_errors(debug):
        with extra_needed("studio", "starlette", "uvicorn", "jinja2", "anyio"):
            from edge_studio.studio import Studio, StudioSettings
            from edge_studio.studio_server import serve
        if token_file is None:
            token_file = state_folder() / "studio-token"
            token_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(parents=True, exist_ok=True)
        token = read_token(token_file)

        def ready(address: str, first: str) -> None:
            say(f"studio: {address}")
            if browser and has_screen():
                webbrowser.open(first)

        serve(Studio(StudioSettings(folder.resolve(), host, port, token)), ready)


def has_screen() -> bool:
    """Whether a browser of this machine would be seen by who typed the command: not over ssh, nor without a desktop."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform != "linux" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
