"""`edge-bench reference`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_bench.cli.bench_parameters import read_report
from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
)
from edge_device.command_line.next_step import say_next


def reference(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD", help="Words that a figure must contain to be shown: pi 4, v2, coral."),
    ] = None,
    with_: Annotated[
        Path | None,
        typer.Option(
            "--with", metavar="bench.json", help="The bench.json whose rows are shown beside the published ones."
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show published figures of MobileNets on boards, with their sources, beside your own.

    Example: edge-bench reference "raspberry pi" --with bench/bench.json
    """
    with one_line_errors(debug):
        from edge_bench.results.reference import matching, own, published, to_json

        figures = matching(published(), words or ())
        rows = own(read_report(with_)) if with_ else ()
        if as_json:
            print(json.dumps(to_json(figures, rows), indent=2, ensure_ascii=False))
        else:
            from edge_bench.render.reference_table import print_reference

            print_reference(figures, rows)
            say_next(
                "edge-bench run RUN FILE.tflite"
                if not with_
                else "edge-bench run RUN FILE.tflite --host pi@raspberrypi.local"
            )
