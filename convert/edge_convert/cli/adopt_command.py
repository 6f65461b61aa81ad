"""`edge-convert adopt`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_convert.cli.convert_parameters import Sign
from edge_core.preprocess import ColorOrder, Crop, parse_levels
from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
    say,
    say_passed_over,
    track,
)
from edge_device.command_line.next_step import say_next_live
from edge_device.inference.signing_key import read_signer


def adopt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite image classifier.", show_default=False)],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Text file with one label per line, in the order of the outputs. Not needed for a file that has a "
            "model card, or labels in TFLite Metadata."
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
            help="Mean that the model expects to be subtracted from each channel: 127.5, or 0.485,0.456,0.406. Up to "
            "1 it is of "
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
    picture_levels: Annotated[
        str | None,
        typer.Option(
            "--levels",
            metavar="LOW..HIGH",
            help="Levels of 16-bit pictures that the model has seen as black and white: 7300..8300.",
        ),
    ] = None,
    golden: Annotated[
        Path | None,
        typer.Option(
            help="Picture, or folder of pictures, that `edge-run verify` replays on the device. Default: photos of "
            "--known, else a drawn one."
        ),
    ] = None,
    known: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of photos of what the model knows, 57 or more, best in a folder for each label: from them the "
            "file learns to tell what is foreign to it, and can be taught further labels. Default: what FILE has of "
            "this.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: FILE-adopted.tflite in this folder.")
    ] = None,
    sign: Sign = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Turn a classifier that others have trained into a complete file: raw pixels in, with labels, card, golden vectors
    and seal.

    What the model expects of its input becomes part of its graph: a range, a mean and a standard deviation, gray,
    planes of channels (NCHW). A missing softmax is added. The new scores are compared with the original's before the
    file is written.

    Example: edge-convert adopt mobilenet.tflite --labels imagenet.txt --input-range -1..1 --golden pets/

    With what tells the foreign: edge-convert adopt net.tflite --labels labels.txt --known photos/

    Compiled for a Coral: edge-convert adopt net_edgetpu.tflite --cpu net.tflite --labels imagenet.txt
    """
    with one_line_errors(debug):
        from edge_convert.adopt import Taking, parse_numbers, parse_range
        from edge_convert.adopt import adopt as adopt_file
        from edge_convert.tflite.input_rewrite import Levels

        told = any((labels, input_range, mean, std, crop, color_order, picture_levels))
        levels = Levels(
            None if input_range is None else parse_range(input_range),
            () if mean is None else parse_numbers(mean),
            () if std is None else parse_numbers(std),
        )
        deep = None if picture_levels is None else parse_levels(picture_levels)
        adopted = adopt_file(
            file,
            out or Path(f"{file.stem}-adopted.tflite"),
            Taking(labels, levels, crop or "center", color_order or "RGB", deep) if told else None,
            cpu=cpu,
            golden=golden,
            known=known,
            signer=read_signer(sign),
            track=track,
        )
        for note in adopted.notes:
            say(note)
        say_passed_over(adopted.passed_over)
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
