"""The `edge-convert` command."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from edge_core.run_folder import read_run
from edge_device.console import Debug, Json, command_line, extra_needed, one_line_errors, say, say_unusable, track

app = command_line("Convert a trained run to TFLite, and prove that it is as good.")
_NEEDS: Final = ("tensorflow", "tf_keras")


class Recipe(StrEnum):
    """By name, cheapest to run first; `edge_convert.recipes` says what each does."""

    int8 = "int8"
    dynamic = "dynamic"
    float16 = "float16"
    float32 = "float32"


@app.callback()
def _main() -> None:
    """Convert a trained run to TFLite, and prove that it is as good."""


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder that `edge-train fit` wrote.")],
    recipe: Annotated[Recipe, typer.Option(help="How to shrink it.")] = Recipe.int8,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: RUN-RECIPE.tflite.")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Photo folder to calibrate on. Default: a sample of the run's training photos.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Photo folder to prove it on; photos that the run was trained or validated on are left out. Default: the run's test photos."
        ),
    ] = None,
    max_drop: Annotated[float, typer.Option(help="Accuracy that may go, in percentage points.", min=0, max=100)] = 1.0,
    force: Annotated[bool, typer.Option("--force", help="Write the file whatever it lost.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a .tflite that carries its labels and its card, once it is proven on held-out photos.

    Example: [bold]edge-convert export runs/flowers --recipe int8 --out flowers-int8.tflite[/bold]
    """
    with one_line_errors(debug):
        opened = read_run(run)
        with extra_needed("convert", *_NEEDS):
            from edge_convert.export import export as export_run
        exported = export_run(
            opened,
            recipe.value,
            out or Path(f"{run.resolve().name}-{recipe.value}.tflite"),
            calibration=calibration,
            data=data,
            max_drop=max_drop,
            force=force,
            say=say,
            track=track,
        )
        if exported.left_out:
            say(f"{exported.left_out} photos left out: the run was trained or validated on them")
        if exported.calibrated_on:
            say(f"calibrated on {exported.calibrated_on} photos")
        say_unusable(exported.unusable)
        comparison = exported.comparison
        if as_json:
            print(
                json.dumps(
                    {
                        "file": str(exported.file),
                        "report": str(exported.report),
                        "size_bytes": exported.size_bytes,
                        "comparison": comparison.to_json(),
                    }
                )
            )
            return
        low, high = 100 * comparison.difference.low, 100 * comparison.difference.high
        print(f"{exported.file}  {exported.size_bytes / 1e3:.0f} kB")
        print(f"  full-size   {comparison.full_size.percent()} on {comparison.photos} held-out photos")
        print(f"  converted   {comparison.converted.percent()}")
        print(f"  difference  {0.0 - comparison.drop_points:+.1f} points ({low:+.1f} to {high:+.1f})")
        print(f"  agreement   {comparison.agreement.percent()}")
