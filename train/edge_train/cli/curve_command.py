"""`edge-train curve`."""

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_core.files import require_free
from edge_core.run_folder import read_run
from edge_device.command_line.console import (
    Debug,
    Json,
    extra_needed,
    one_line_errors,
    track,
    working,
)
from edge_device.command_line.next_step import say_next
from edge_device.system.user_folders import cache_folder
from edge_train.cli.train_parameters import NEEDS, RunFolder


def curve(
    run: RunFolder,
    out: Annotated[
        Path | None, typer.Option(help="File to write with the plot, ending in .png. Default: none.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say whether more photos would help, by the accuracy of the solved head for 5, 10, 20, 50 and more photos a class.

    Example: edge-train curve runs/flowers --out curve.png
    """
    with one_line_errors(debug):
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_train.training.solved_head.run_curve import curve_of, write_plot
        if out is not None:
            require_free(out)
        found = curve_of(read_run(run), cache_folder(), track=track)
        if out is not None:
            write_plot(found, out)
        if as_json:
            print(json.dumps(found.to_json()))
            return
        for point in found.points:
            print(f"{point.photos:6.0f} photos a class: {point.accuracy.percent()}")
        print(found.sentence())
        if found.cross_validated is not None:
            print(found.validation_sentence())
        say_next(f"edge-convert export {quote(str(run))}")
