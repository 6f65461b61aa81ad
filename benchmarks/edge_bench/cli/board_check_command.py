"""`edge-bench install-check`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_bench.cli.bench_parameters import ask_password_of
from edge_core.errors import CheckFailedError
from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
    say,
    track,
)
from edge_device.command_line.next_step import say_next_live


def install_check(
    host: Annotated[
        str,
        typer.Argument(
            metavar="[USER@]BOARD[:PORT]",
            help="Address of a board to reach over SSH, or the word here for this machine.",
            show_default=False,
        ),
    ],
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE.tflite",
            help="Complete .tflite files to verify there; the first one also classifies.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Camera of the board to try: 0, /dev/video0 or picamera. Default: none.")
    ] = None,
    ask_password: Annotated[bool, typer.Option("--ask-password", help="Ask for the board's SSH password.")] = False,
    wheel: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.whl", help="Wheel of edge-mobilenet to install. Default: the version that is installed here."
        ),
    ] = None,
    wheels: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder with all wheels that a board without internet installs."),
    ] = None,
    keep_env: Annotated[
        bool, typer.Option("--keep-env", help="Leave the installed packages on the board for the next time.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the checks on a board that every release passes on emulated ones; exit status 1 if one fails.

    Installs edge-mobilenet into a folder of its own there, and removes it. The report is what to attach to an issue.

    Example: edge-run install-check pi@raspberrypi.local flowers-int8.tflite --source 0
    """
    with one_line_errors(debug):
        from edge_device.doctor.install_check import check_installation, report_text

        if host == "here":
            report = check_installation(models or [], source, lambda name: say(f"checking {name}"))
        else:
            from edge_bench.remote import Setup
            from edge_bench.remote.check_board import check_board

            password = ask_password_of(host) if ask_password else None
            setup = Setup(wheel, wheels, keep_env)
            report = check_board(host, models or [], source, setup=setup, password=password, track=track)
        print(json.dumps(report.to_json(), indent=2) if as_json else report_text(report), end="", flush=True)
        if report.failed:
            raise CheckFailedError(f"failed on {host}: {', '.join(report.failed)}")
        if not as_json and models:
            say_next_live(models[0])
