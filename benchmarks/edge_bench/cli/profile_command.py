"""`edge-bench profile`."""

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
)
from edge_device.command_line.next_step import say_next


def profile(
    file: Annotated[Path, typer.Argument(metavar="FILE.tflite", help="A .tflite file to profile.", show_default=False)],
    threads: Annotated[int, typer.Option(min=1, help="Number of threads for one inference.")] = 1,
    xnnpack: Annotated[bool, typer.Option(help="Whether XNNPACK computes the operators that it can.")] = True,
    runs: Annotated[int, typer.Option(min=4, help="Number of inferences to profile.")] = 50,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show where a model's time goes, operator by operator, and which operators fell out of the delegate.

    Example: edge-bench profile flowers-int8.tflite --threads 1
    """
    with one_line_errors(debug):
        from edge_bench.profiling.profile import profile as profile_file

        profiled = profile_file(file, threads=threads, xnnpack=xnnpack, runs=runs)
        if as_json:
            print(json.dumps(profiled.to_json(), indent=2, ensure_ascii=False))
        else:
            from edge_bench.render.profile_table import print_profile

            print_profile(profiled)
            say_next(f"edge-bench run {quote(str(file))} --data PHOTOS")
