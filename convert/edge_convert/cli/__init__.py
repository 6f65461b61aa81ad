"""The `edge-convert` command."""

import json
from enum import StrEnum
from math import inf
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Final

import typer

from edge_convert.cli import publish_command
from edge_core.artifact.seal import Signer
from edge_core.errors import CheckFailedError
from edge_core.files import require_writable
from edge_core.preprocess import ColorOrder, Crop
from edge_core.run_folder import read_run
from edge_device.command_line.console import (
    Debug,
    Json,
    command_line,
    extra_needed,
    one_line_errors,
    say,
    say_unusable,
    track,
    working,
)
from edge_device.command_line.next_step import say_next, say_next_live

app = command_line("Convert a trained run to TFLite, and prove that it is as good.")
app.command()(publish_command.publish)
_NEEDS: Final = ("tensorflow", "tf_keras", "matplotlib")

Sign = Annotated[
    Path | None,
    typer.Option(
        help="File of the private key to sign with, as `edge-convert keygen` makes it. Default: no signature."
    ),
]


class Recipe(StrEnum):
    """By name, cheapest to run first; `edge_convert.quantize.recipes` says what each does."""

    auto = "auto"
    int8 = "int8"
    int8_equalised = "int8-equalised"
    int8_mse = "int8-mse"
    int8_percentile = "int8-percentile"
    int8_selective = "int8-selective"
    int8_qat = "int8-qat"
    float16 = "float16"
    float32 = "float32"
    dynamic = "dynamic"
    int16x8 = "int16x8"


class WholeRecipe(StrEnum):
    """Recipes that quantise every layer."""

    int8 = "int8"
    int8_equalised = "int8-equalised"
    int8_mse = "int8-mse"
    int8_percentile = "int8-percentile"
    int8_qat = "int8-qat"


def _signer(key: Path | None) -> Signer | None:
    if key is None:
        return None
    with extra_needed("sign", "cryptography"):
        from edge_convert.keys import read_private_key
    return read_private_key(key)


@app.callback()
def _main() -> None:
    """Convert a trained run to TFLite, and prove that it is as good."""


def _known_names(names: list[str] | None, more: tuple[str, ...]) -> list[str] | None:
    from edge_convert.targets import target_names

    able = (*more, *target_names())
    for name in names or ():
        if name not in able:
            raise typer.BadParameter(f"no target is called {name!r}; there are {', '.join(able)}")
    return names


def _known_targets(names: list[str] | None) -> list[str] | None:
    return _known_names(names, ())


def _known_boards(names: list[str] | None) -> list[str] | None:
    return _known_names(names, ("pi", "any"))


Calibration = Annotated[
    Path | None, typer.Option(help="Photo folder to calibrate on. Default: a sample of the run's training photos.")
]


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder that `edge-train fit` wrote.")],
    recipe: Annotated[
        Recipe, typer.Option(help="Quantization recipe; auto finds the cheapest one that stays within all limits.")
    ] = Recipe.int8,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: RUN-RECIPE.tflite.")] = None,
    calibration: Calibration = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Photo folder, or CSV of path,label, to prove it on; photos that the run was trained or validated on are left out. Default: the run's test photos."
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
            help="Folder of other pictures that show none of the labels, to learn from what is foreign. Default: what lay in "
            "the folder _nothing beside the classes when the run was trained."
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
    force: Annotated[
        bool, typer.Option("--force", help="Write the file even if it misses a limit. Not allowed with --recipe auto.")
    ] = False,
    sign: Sign = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a .tflite that carries its labels and its card, once it is proven on held-out photos.

    Example: [bold]edge-convert export runs/flowers --recipe int8 --out flowers-int8.tflite[/bold]

    Or: [bold]edge-convert export runs/flowers --recipe auto --max-drop 0.5 --max-size-kb 3000 --target coral[/bold]
    """
    if force and recipe is Recipe.auto:
        raise typer.BadParameter("--recipe auto keeps to its limits; --force has no place there")
    if max_unknown is not None and unknown is None:
        raise typer.BadParameter("--max-unknown needs foreign pictures: give their folder with --unknown")
    with one_line_errors(debug):
        signer = _signer(sign)
        opened = read_run(run)
        file = out or Path(f"{run.resolve().name}-{recipe.value}.tflite")
        require_writable(file)  # before TensorFlow, which takes seconds to import
        with extra_needed("convert", *_NEEDS), working("Loading TensorFlow"):
            from edge_convert.export import export as export_run
            from edge_convert.foreign.measure import ForeignFolders
            from edge_convert.gate.limits import Limits, doubt_of, first_reason
            from edge_convert.report.console_tables import print_exported, print_tried
            from edge_convert.search import search
        limits = Limits(
            max_drop,
            max_size_kb or inf,
            max_latency_ms or inf,
            tuple(target or ()),
            strict,
            100.0 if max_unknown is None else max_unknown,
        )
        given: dict[str, Any] = {
            "calibration": calibration,
            "data": data,
            "foreign": ForeignFolders(unknown, negatives),
            "signer": signer,
            "say": say,
            "track": track,
        }
        tried: dict[str, Any] = {}
        if recipe is Recipe.auto:
            searched = search(opened, file, limits, **given)
            if not as_json:
                print_tried(searched.tried)
            if searched.exported is None:
                if as_json:
                    print(json.dumps(searched.to_json()))
                raise CheckFailedError(
                    f"none of {len(searched.tried)} recipes keeps to all limits; nothing was written. "
                    + ("" if opened.quantised_file else "To train it for 8 bits: edge-train fit ... --qat")
                )
            exported, tried = searched.exported, searched.to_json()
        else:
            if recipe is Recipe.int16x8:
                say("warning: CPUs have no fast kernels for int16x8: MobileNetV2 takes 84 ms where int8 takes 2.3 ms")
            exported = export_run(opened, recipe.value, file, limits=limits, force=force, **given)
        if exported.left_out:
            say(f"{exported.left_out} photos left out: the run was trained or validated on them")
        if exported.calibrated_on:
            say(f"calibrated on {exported.calibrated_on} photos")
        say_unusable(exported.unusable)
        for name, verdict in exported.candidate.verdicts.items():
            if not verdict.ok and exported.concerns(name):
                say(f"{name} does not take it: {first_reason(verdict)}")
        if exported.comparison.photos_to_tell(max_drop):
            say(doubt_of(exported.comparison, max_drop))
        if as_json:
            print(json.dumps(tried or exported.to_json()))
        else:
            print_exported(exported)
            say_next_live(exported.file)


@app.command("debug")
def debug_(
    run: Annotated[Path, typer.Argument(help="Run folder that `edge-train fit` wrote.")],
    recipe: Annotated[WholeRecipe, typer.Option(help="Recipe to analyze.")] = WholeRecipe.int8,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write, with layers.png and layers.json. Default: none.")
    ] = None,
    calibration: Calibration = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what 8 bits do to each layer: its signal-to-quantisation-noise ratio, the noisiest layer first.

    Example: [bold]edge-convert debug runs/flowers --out flowers-layers/[/bold]
    """
    with one_line_errors(debug):
        opened = read_run(run)
        if out is not None:
            require_writable(out / "layers.json")
        with extra_needed("convert", *_NEEDS), working("Loading TensorFlow"):
            from edge_convert.debug import layer_report, write_layer_report
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


@app.command()
def adopt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite image classifier.", show_default=False)],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Text file with one label per line, in the order of the outputs. Not needed for a file that has a model card."
        ),
    ] = None,
    cpu: Annotated[
        Path | None,
        typer.Option(metavar="FILE.tflite", help="The uncompiled .tflite from which an Edge TPU FILE was made."),
    ] = None,
    input_range: Annotated[
        str | None,
        typer.Option(
            metavar="LOW..HIGH",
            help="Values of black and white pixels in the model's floating-point input: 0..255, 0..1 or -1..1.",
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="MEAN",
            help="Mean that the model expects to be subtracted from each channel: 127.5, or 0.485,0.456,0.406. Up to 1 it is of "
            "levels 0..1, else of 0..255, unless --input-range says so.",
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(metavar="STD", help="Standard deviation that each channel is then divided by: 0.229,0.224,0.225."),
    ] = None,
    crop: Annotated[Crop | None, typer.Option(help="How a frame is fitted to the input. Default: center.")] = None,
    color_order: Annotated[
        ColorOrder | None, typer.Option(help="Order of the channels that the model takes. Default: RGB.")
    ] = None,
    golden: Annotated[
        Path | None,
        typer.Option(
            help="Picture, or folder of pictures, that `edge-run verify` replays on the device. Default: a drawn one."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: FILE-adopted.tflite in this folder.")
    ] = None,
    sign: Sign = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Turn a classifier that others have trained into a complete file: raw pixels in, with labels, card, golden vectors and seal.

    What the model needs before it goes into its graph: a range, a mean and a standard deviation, gray, planes of
    channels (NCHW); so does a softmax that is missing. The new scores are compared with the original's before it is written.

    Example: [bold]edge-convert adopt mobilenet.tflite --labels imagenet.txt --input-range -1..1 --golden pets/[/bold]

    Compiled for a Coral: [bold]edge-convert adopt net_edgetpu.tflite --cpu net.tflite --labels imagenet.txt[/bold]
    """
    with one_line_errors(debug):
        from edge_convert.adopt import Taking, parse_numbers, parse_range
        from edge_convert.adopt import adopt as adopt_file
        from edge_convert.tflite.input_rewrite import Levels

        if labels is None and any((input_range, mean, std, crop, color_order)):
            raise typer.BadParameter("what a model takes is told of a file without a card, which needs --labels, too")
        levels = Levels(
            None if input_range is None else parse_range(input_range),
            () if mean is None else parse_numbers(mean),
            () if std is None else parse_numbers(std),
        )
        adopted = adopt_file(
            file,
            out or Path(f"{file.stem}-adopted.tflite"),
            None if labels is None else Taking(labels, levels, crop or "center", color_order or "RGB"),
            cpu=cpu,
            golden=golden,
            signer=_signer(sign),
        )
        for note in adopted.notes:
            say(note)
        if as_json:
            shown = {"file": str(adopted.file), "size_bytes": adopted.size_bytes, "notes": adopted.notes}
            print(json.dumps(shown | {"largest_difference": adopted.largest_difference}))
            return
        given = adopted.card.input
        print(f"{adopted.file}  {adopted.size_bytes / 1e3:.0f} kB")
        print(
            f"  {len(adopted.card.labels)} labels, {given.width}x{given.height} {given.color_order}, crop {given.crop}"
        )
        if adopted.largest_difference is not None:
            print(f"  scores differ from the original's by {adopted.largest_difference:.2g} at most")
        say_next_live(adopted.file)


@app.command()
def keygen(
    out: Annotated[
        Path, typer.Argument(help="File to write with the private key; the public key is written to OUT.pub.")
    ],
    debug: Debug = False,
) -> None:
    """Make an Ed25519 key pair: the private key signs files, the public key lets a device check them.

    Example: [bold]edge-convert keygen vendor[/bold], then export with --sign vendor and edge-run verify with --key vendor.pub
    """
    with one_line_errors(debug):
        with extra_needed("sign", "cryptography"):
            from edge_convert.keys import write_key_pair
        public_key = write_key_pair(out)
        print(f"{out}  private: keep it to yourself")
        print(f"{out}.pub  ed25519:{public_key.hex()}")
        say_next(f"edge-convert export runs/NAME --sign {quote(str(out))}")


TfliteFile = Annotated[Path, typer.Argument(metavar="FILE", help="Any .tflite file.", show_default=False)]


@app.command()
def check(
    file: TfliteFile,
    target: Annotated[
        list[str] | None,
        typer.Option(
            callback=_known_targets,
            help="Target that must accept the file: coral, mediapipe, android, or a runtime such as tflite-runtime-2.14 or litert-2.3 (litert-2.x for all of them). "
            "May be repeated. Default: all are shown, and none refuses the file.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell what targets will do with a file; the exit status is 1 if one that was named refuses it.

    Example: [bold]edge-convert check flowers-int8.tflite --target coral --target tflite-runtime-2.14[/bold]
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


@app.command("compile")
def compile_(
    file: TfliteFile,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: FILE_edgetpu.tflite, beside it.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compile a file for a Coral Edge TPU with Google's edgetpu_compiler, and compare its log with the forecast.

    Example: [bold]edge-convert compile flowers-int8.tflite[/bold]
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


@app.command()
def inspect(file: TfliteFile, as_json: Json = False, debug: Debug = False) -> None:
    """Show what is in a file: inputs, outputs, quantisation, operators with versions, metadata, card, seal.

    Example: [bold]edge-convert inspect flowers-int8.tflite[/bold]
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
