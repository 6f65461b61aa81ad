"""`edge-run images`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_core.artifact.familiarity import FAMILIAR
from edge_core.errors import PictureError, printable
from edge_device.cli.parameters import Device, Model, Runtime, Threads
from edge_device.command_line.console import Debug, Json, one_line_errors, say
from edge_device.command_line.next_step import say_next_live
from edge_device.inference.accelerator import open_classifier, parse_device
from edge_device.inference.classifier import SOFTMAX_ONLY
from edge_device.inference.streaming import classify_stream
from edge_device.results import FrameResult
from edge_device.sinks.terminal import said
from edge_device.sources import Pictures

Top = Annotated[int, typer.Option(min=1, help="Number of labels to show, best first.")]
Familiar = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Familiarity below which a frame is unknown: 0.05 turns away one in twenty of those that the model "
        "knows, 0 turns none away.",
    ),
]


def images(
    model: Model,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE", help="Picture files, or folders of pictures.", show_default=False)
    ],
    top: Top = 3,
    as_json: Json = False,
    runtime: Runtime = "auto",
    threads: Threads = None,
    device: Device = "cpu",
    familiar: Familiar = FAMILIAR,
    focus: Annotated[
        str,
        typer.Option(
            metavar="whole|tiles|DETECTOR.tflite",
            help="What is classified: the whole picture, the most confident of overlapping squares, or what an object "
            "detector finds.",
        ),
    ] = "whole",
    detect: Annotated[
        str, typer.Option(metavar="CLASSES", help="Classes that a detector is to look for: bird,cat. Default: all.")
    ] = "",
    debug: Debug = False,
) -> None:
    """Classify picture files.

    The exit status is 2 if a picture that was named cannot be read; one found in a folder is only warned of.

    Example: edge-run images flowers-int8.tflite tulip.jpg holiday/ --top 1

    A thing that is small in its picture: edge-run images flowers-int8.tflite meadow.jpg --focus tiles
    """
    with one_line_errors(debug):
        classifier = open_classifier(model, parse_device(device), runtime=runtime, threads=threads, familiar=familiar)
        if classifier.softmax_only:
            say(f"{model}: {SOFTMAX_ONLY}")
        unusable = False
        shown = False

        def skipped(path: Path, error: PictureError) -> None:
            nonlocal unusable
            # What a folder holds besides is nobody's fault; a file that was named is.
            named = path in pictures
            unusable |= named
            say(f"{'error' if named else 'warning'}: {error}")

        source = Pictures(pictures, skipped, classifier.card.input.levels)
        if focus == "whole" and not detect:
            results = classify_stream(classifier, source, top)
        else:
            # Late: what looks for things in a frame takes a while to import, and few ask for it.
            from edge_device.live.make_focus import classify_focused, picture_focus

            results = classify_focused(classifier, source, picture_focus(focus, detect, runtime), top)
        for result in results:
            shown = True
            print(_json(result) if as_json else printable(f"{result.frame.source}  {said(result)}"), flush=True)
        if unusable or not shown:
            raise typer.Exit(2)
        if not as_json:
            say_next_live(model)


def _json(result: FrameResult) -> str:
    return json.dumps(result.to_json(), ensure_ascii=False)
