"""`edge-convert compile`."""

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_convert.cli.convert_parameters import TfliteFile
from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
)
from edge_device.command_line.next_step import say_next


def compile_(
    file: TfliteFile,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: FILE_edgetpu.tflite, beside it.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compile a file for a Coral Edge TPU with Google's edgetpu_compiler, and compare its log with the forecast.

    Example: edge-convert compile flowers-int8.tflite
    """
    with one_line_errors(debug):
        from edge_convert.targets.edgetpu_compiler import compile_for_edgetpu

        compiled = compile_for_edgetpu(file, out or file.with_name(f"{file.stem}_edgetpu.tflite"))
        if as_json:
            print(json.dumps(compiled.to_json()))
        else:
            from edge_convert.report.console_tables import print_compiled

            print_compiled(compiled)
            say_next(f"edge-run verify {quote(str(compiled.file))} --device coral")
