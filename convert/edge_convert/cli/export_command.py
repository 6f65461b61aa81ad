"""`edge-convert export`."""

import json
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_convert.cli.convert_parameters import NEEDS, Calibration, Sign, known_names
from edge_core.codec import JsonObject
from edge_core.errors import CheckFailedError
from edge_core.files import require_writable
from edge_core.run_folder import Run, read_run
from edge_device.command_line.console import (
    Debug,
    Json,
    extra_needed,
    one_line_errors,
    say,
    say_unusable,
    track,
    working,
)
from edge_device.command_line.next_step import say_next_live
from edge_device.inference.signing_key import read_signer

if TYPE_CHECKING:
    from edge_convert.export.search import Searched
    from edge_convert.gate.candidate import Exported


class Recipe(StrEnum):
    """By name, cheapest to run first; `edge_convert.quantize.recipes` says what each does."""

    auto = "auto"
    int8 = "int8"
    int8_equalized = "int8-equalised"
    int8_mse = "int8-mse"
    int8_percentile = "int8-percentile"
    int8_selective = "int8-selective"
    int8_qat = "int8-qat"
    float16 = "float16"
    float32 = "float32"
    dynamic = "dynamic"
    int16x8 = "int16x8"


def _known_boards(names: list[str] | None) -> list[str] | None:
    return known_names(names, ("pi", "any"))


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `edge-train fit` wrote.")],
    recipe: Annotated[
        Recipe, typer.Option(help="Quantization recipe; auto finds the cheapest one that stays within all limits.")
    ] = Recipe.int8,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: RUN-RECIPE.tflite.")] = None,
    calibration: Calibration = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Photo folder, or CSV of path,label, to prove it on; photos that the run was trained or validated on "
            "are left out. Default: the run's test photos."
        ),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(help="Largest loss of accuracy that is accepted, in percentage points.", min=0, max=100)
    ] = 1.0,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Also refuse the file if there are too few photos to prove that it stays within --max-drop.",
        ),
    ] = False,
    max_size_kb: Annotated[
        float | None, typer.Option(help="Largest file size, in units of 1,000 bytes.", min=1)
    ] = None,
    unknown: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures that show none of the labels, to tell how many of them count as known."),
    ] = None,
    negatives: Annotated[
        Path | None,
        typer.Option(
            help="Folder of other pictures that show none of the labels, to learn from what is foreign. Default: what "
            "lay in the folder _nothing beside the classes when the run was trained."
        ),
    ] = None,
    max_unknown: Annotated[
        float | None,
        typer.Option(help="Share of the pictures of --unknown that may count as known, in percent.", min=0, max=100),
    ] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(help="Largest median time of one inference on this machine, in milliseconds.", min=0.001),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            callback=_known_boards,
            help="Target that must accept the file: pi, coral, any, or a name that `check` knows. May be repeated.",
        ),
    ] = None,
    teach: Annotated[
        bool,
        typer.Option(
            "--teach/--no-teach",
            help="Keep exemplars of the photos, at most 300 kB, so that `edge-run teach` can add labels.",
        ),
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Write the file even if it misses a limit. Not allowed with --recipe auto.")
    ] = False,
    sign: Sign = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a .tflite that carries its labels and its card, once it is proven on held-out photos.

    Example: edge-convert export runs/flowers --recipe int8 --out flowers-int8.tflite

    Or: edge-convert export runs/flowers --recipe auto --max-drop 0.5 --max-size-kb 3000 --target coral
    """
    if force and recipe is Recipe.auto:
        raise typer.BadParameter("--recipe auto keeps to its limits; --force has no place there")
    if max_unknown is not None and unknown is None:
        raise typer.BadParameter("--max-unknown needs foreign pictures: give their folder with --unknown")
    with one_line_errors(debug):
        signer = read_signer(sign)
        opened = read_run(run)
        file = out or Path(f"{run.resolve().name}-{recipe.value}.tflite")
        require_writable(file)  # before TensorFlow, which takes seconds to import
        with extra_needed("convert", *NEEDS), working("Loading TensorFlow"):
            from edge_convert.export import ConversionOptions
            from edge_convert.export import export as export_run
            from edge_convert.export.search import search
            from edge_convert.foreign.measure import ForeignFolders
            from edge_convert.gate.limits import Limits
            from edge_convert.report.console_tables import print_exported
        limits = Limits(
            max_drop,
            max_size_kb or inf,
            max_latency_ms or inf,
            tuple(target or ()),
            strict,
            100.0 if max_unknown is None else max_unknown,
        )
        options = ConversionOptions(calibration, data, ForeignFolders(unknown, negatives, teach), signer, say, track)
        tried: JsonObject = {}
        if recipe is Recipe.auto:
            searched = search(opened, file, limits, options)
            exported, tried = _found(searched, opened, as_json), searched.to_json()
        else:
            if recipe is Recipe.int16x8:
                say("warning: CPUs have no fast kernels for int16x8: MobileNetV2 takes 84 ms where int8 takes 2.3 ms")
            exported = export_run(opened, recipe.value, file, limits=limits, force=force, options=options)
        _say_what_is_notable(exported)
        if as_json:
            print(json.dumps(tried or exported.to_json()))
        else:
            print_exported(exported)
            say_next_live(exported.file)


def _found(searched: "Searched", run: Run, as_json: bool) -> "Exported":
    """What a search has written, after the recipes that it tried are printed.

    Raises:
        CheckFailedError: It has written nothing.
    """
    from edge_convert.report.console_tables import print_tried

    if not as_json:
        print_tried(searched.tried)
    if searched.exported is None:
        if as_json:
            print(json.dumps(searched.to_json()))
        raise CheckFailedError(
            f"none of {len(searched.tried)} recipes keeps to all limits; nothing was written. "
            + ("" if run.quantized_file else "To train it for 8 bits: edge-train fit ... --qat")
        )
    return searched.exported


def _say_what_is_notable(exported: "Exported") -> None:
    from edge_convert.gate.limits import doubt_of, first_reason

    if exported.left_out:
        photos = "photo" if exported.left_out == 1 else "photos"
        say(f"{exported.left_out} {photos} left out: the run was trained or validated on them")
    if exported.calibrated_on:
        say(f"calibrated on {exported.calibrated_on} photos")
    say_unusable(exported.unusable)
    for name, verdict in exported.candidate.verdicts.items():
        if not verdict.ok and exported.concerns(name):
            say(f"{name} does not take it: {first_reason(verdict)}")
    max_drop = exported.limits.max_drop
    if exported.comparison.photos_to_tell(max_drop):
        say(doubt_of(exported.comparison, max_drop))
