"""`edge-convert debug`."""

import json
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_convert.cli.convert_parameters import NEEDS, Calibration
from edge_core.files import require_writable
from edge_core.run_folder import read_run
from edge_device.command_line.console import (
    Debug,
    Json,
    extra_needed,
    one_line_errors,
    say_unusable,
    track,
    working,
)
from edge_device.command_line.next_step import say_next


class WholeRecipe(StrEnum):
    """Recipes that quantize every layer."""

    int8 = "int8"
    int8_equalized = "int8-equalised"
    int8_mse = "int8-mse"
    int8_percentile = "int8-percentile"
    int8_qat = "int8-qat"


def debug_(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `edge-train fit` wrote.")],
    recipe: Annotated[WholeRecipe, typer.Option(help="Recipe to analyze.")] = WholeRecipe.int8,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write, with layers.png and layers.json. Default: none.")
    ] = None,
    calibration: Calibration = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what 8 bits do to each layer: its signal-to-quantization-noise ratio, the noisiest layer first.

    Example: edge-convert debug runs/flowers --out flowers-layers/
    """
    with one_line_errors(debug):
        opened = read_run(run)
        if out is not None:
            require_writable(out / "layers.json")
        with extra_needed("convert", *NEEDS), working("Loading TensorFlow"):
            from edge_convert.export.debug import layer_report, write_layer_report
            from edge_convert.report.console_tables import print_layers
        report = layer_report(opened, recipe.value, calibration, track)
        say_unusable(report.unusable)
        if out is not None:
            write_layer_report(report, out)
        if as_json:
            print(json.dumps(report.to_json()))
            return
        print_layers(report.layers)
        print(f"int8-selective would leave in floats: {', '.join(report.spared)}")
        say_next(f"edge-convert export {quote(str(run))} --recipe int8-selective")
