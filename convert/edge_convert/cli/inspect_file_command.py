"""`edge-convert inspect`."""

import json
from shlex import quote

from edge_convert.cli.convert_parameters import TfliteFile
from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
    say,
)
from edge_device.command_line.next_step import say_next


def inspect(file: TfliteFile, as_json: Json = False, debug: Debug = False) -> None:
    """Show what is in a file: inputs, outputs, quantization, operators with versions, metadata, card, seal.

    Example: edge-convert inspect flowers-int8.tflite
    """
    with one_line_errors(debug):
        from edge_convert.tflite.inspection import inspect as inspect_file

        found = inspect_file(file)
        for problem in found.problems:
            say(f"warning: {problem}")
        if as_json:
            print(json.dumps(found.to_json(), ensure_ascii=False))
        else:
            from edge_convert.report.console_tables import print_inspection

            print_inspection(found)
            say_next(f"edge-convert check {quote(str(file))}")
