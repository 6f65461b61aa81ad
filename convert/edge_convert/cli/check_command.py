"""`edge-convert check`."""

import json
from shlex import quote
from typing import Annotated

import typer

from edge_convert.cli.convert_parameters import TfliteFile, known_names
from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
)
from edge_device.command_line.next_step import say_next


def _known_targets(names: list[str] | None) -> list[str] | None:
    return known_names(names, ())


def check(
    file: TfliteFile,
    target: Annotated[
        list[str] | None,
        typer.Option(
            callback=_known_targets,
            help="Target that must accept the file: coral, mediapipe, android, or a runtime such as "
            "tflite-runtime-2.14 or litert-2.3 (litert-2.x for all of them). "
            "May be repeated. Default: all are shown, and none refuses the file.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell what targets will do with a file; the exit status is 1 if one that was named refuses it.

    Example: edge-convert check flowers-int8.tflite --target coral --target tflite-runtime-2.14
    """
    with one_line_errors(debug):
        from edge_convert.targets import check_file, target_names

        verdicts = check_file(file, target or [name for name in target_names() if not name.endswith(".x")])
        if as_json:
            print(json.dumps({"targets": {name: verdict.to_json() for name, verdict in verdicts.items()}}))
        else:
            from edge_convert.report.console_tables import print_verdicts

            print_verdicts(verdicts.values())
            say_next(f"edge-run verify {quote(str(file))}")
        if target and not all(verdict.ok for verdict in verdicts.values()):
            raise typer.Exit(1)
