"""The `edge-convert` command."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from edge_core.preprocess import ColorOrder, Crop
from edge_core.run_folder import read_run
from edge_core.seal import Signer
from edge_device.console import Debug, Json, command_line, extra_needed, one_line_errors, say, say_unusable, track

app = command_line("Convert a trained run to TFLite, and prove that it is as good.")
_NEEDS: Final = ("tensorflow", "tf_keras")

Sign = Annotated[
    Path | None, typer.Option(help="Private key to sign the file with, as `edge-convert keygen` makes one.")
]


class Recipe(StrEnum):
    """By name, cheapest to run first; `edge_convert.recipes` says what each does."""

    int8 = "int8"
    dynamic = "dynamic"
    float16 = "float16"
    float32 = "float32"


def _signer(key: Path | None) -> Signer | None:
    if key is None:
        return None
    with extra_needed("sign", "cryptography"):
        from edge_convert.keys import read_private_key
    return read_private_key(key)


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
    sign: Sign = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a .tflite that carries its labels and its card, once it is proven on held-out photos.

    Example: [bold]edge-convert export runs/flowers --recipe int8 --out flowers-int8.tflite[/bold]
    """
    with one_line_errors(debug):
        signer = _signer(sign)
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
            signer=signer,
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


@app.command()
def adopt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite image classifier.", show_default=False)],
    labels: Annotated[
        Path | None,
        typer.Option(help="Text file, a label per line in the order of the outputs. A file with a card has them."),
    ] = None,
    input_range: Annotated[
        str | None,
        typer.Option(
            metavar="LOW..HIGH", help="What black and white are to a model that takes floats: 0..255, 0..1, -1..1."
        ),
    ] = None,
    crop: Annotated[Crop | None, typer.Option(help="How a frame is fitted to the input. Default: center.")] = None,
    color_order: Annotated[ColorOrder | None, typer.Option(help="What the model takes. Default: RGB.")] = None,
    golden: Annotated[
        Path | None, typer.Option(help="Picture, or folder of pictures, to replay on the device. Default: a drawn one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: FILE-adopted.tflite, here.")] = None,
    sign: Sign = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a classifier that others have trained complete: labels, card, raw pixels in, golden vectors, seal.

    A model of floats gets its range as operators in front; a quantised one takes raw pixels as it is.

    Example: [bold]edge-convert adopt mobilenet.tflite --labels imagenet.txt --input-range -1..1 --golden pets/[/bold]
    """
    with one_line_errors(debug):
        from edge_convert.adopt import adopt as adopt_file
        from edge_convert.adopt import parse_range

        adopted = adopt_file(
            file,
            out or Path(f"{file.stem}-adopted.tflite"),
            labels=labels,
            input_range=None if input_range is None else parse_range(input_range),
            crop=crop,
            color_order=color_order,
            golden=golden,
            signer=_signer(sign),
        )
        for note in adopted.notes:
            say(note)
        if as_json:
            print(json.dumps({"file": str(adopted.file), "size_bytes": adopted.size_bytes, "notes": adopted.notes}))
            return
        given = adopted.card.input
        print(f"{adopted.file}  {adopted.size_bytes / 1e3:.0f} kB")
        print(
            f"  {len(adopted.card.labels)} labels, {given.width}x{given.height} {given.color_order}, crop {given.crop}"
        )


@app.command()
def keygen(
    out: Annotated[Path, typer.Argument(help="File for the private key; the public key goes to OUT.pub.")],
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


TfliteFile = Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite, anybody's.", show_default=False)]


def _known_targets(names: list[str] | None) -> list[str] | None:
    from edge_convert.targets import target_names

    for name in names or ():
        if name not in target_names():
            raise typer.BadParameter(f"no target is called {name!r}; there are {', '.join(target_names())}")
    return names


@app.command()
def check(
    file: TfliteFile,
    target: Annotated[
        list[str] | None,
        typer.Option(
            callback=_known_targets,
            help="coral, mediapipe, android, or a runtime: tflite-runtime-2.14, litert-2.3; litert-2.x is all of them. "
            "May be given more than once. Default: shows all, and refuses nothing.",
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
            from edge_convert.tables import print_verdicts

            print_verdicts(verdicts.values())
        if target and not all(verdict.ok for verdict in verdicts.values()):
            raise typer.Exit(1)


@app.command("compile")
def compile_(
    file: TfliteFile,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: FILE_edgetpu.tflite, beside it.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compile a file for a Coral Edge TPU with Google's edgetpu_compiler, and hold its log against the forecast.

    Example: [bold]edge-convert compile flowers-int8.tflite[/bold]
    """
    with one_line_errors(debug):
        from edge_convert.edgetpu_compiler import compile_for_edgetpu

        compiled = compile_for_edgetpu(file, out or file.with_name(f"{file.stem}_edgetpu.tflite"))
        if as_json:
            print(json.dumps(compiled.to_json()))
        else:
            from edge_convert.tables import print_compiled

            print_compiled(compiled)


@app.command()
def inspect(file: TfliteFile, as_json: Json = False, debug: Debug = False) -> None:
    """Show what is in a file: inputs, outputs, quantisation, operators with versions, metadata, card, seal.

    Example: [bold]edge-convert inspect flowers-int8.tflite[/bold]
    """
    with one_line_errors(debug):
        from edge_convert.inspection import inspect as inspect_file

        found = inspect_file(file)
        for problem in found.problems:
            say(f"warning: {problem}")
        if as_json:
            print(json.dumps(found.to_json(), ensure_ascii=False))
        else:
            from edge_convert.tables import print_inspection

            print_inspection(found)
