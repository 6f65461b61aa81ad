"""`edge-train explain heatmap`."""

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_core.files import require_free, written_whole
from edge_core.run_folder import read_run
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
from edge_device.command_line.next_step import say_next
from edge_train.cli.train_parameters import NEEDS, RunFolder


def heatmap(
    run: RunFolder,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE", help="Picture files to look at. Without any, --photos takes some of the run's own."
        ),
    ] = None,
    photos: Annotated[
        int | None, typer.Option(help="Number of photos to look at, of those that the run has never seen.", min=1)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Photo folder from which --photos takes them. Default: the run's own test photos."),
    ] = None,
    with_: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="FILE.tflite",
            help="A .tflite of the run, whose maps are drawn beside it. May be repeated.",
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Label to explain. Default: the label that the full-size model gives.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer whose maps Grad-CAM uses. Default: the last convolution.")
    ] = None,
    cells: Annotated[
        int, typer.Option(help="Number of occlusion map cells across the picture's shorter side.", min=2)
    ] = 10,
    patch: Annotated[int, typer.Option(help="Side of the part that is hidden at a time, in cells.", min=1)] = 4,
    out: Annotated[
        Path | None,
        typer.Option(help="PNG file to write. Default: IMAGE-heatmap.png or RUN-heatmap.png in this folder."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw where the network looks: Grad-CAM, and how much less sure it is when a part of the picture is hidden.

    The second map needs no gradients, so it is drawn for a .tflite, too. The command prints how far the maps agree, and
    with --photos also how far maps of different pictures agree, which should be less.

    Example: edge-train explain heatmap runs/flowers rose.jpg --with flowers-int8.tflite

    Example: edge-train explain heatmap runs/flowers --photos 200 --with flowers-int8.tflite
    """
    if bool(images) == bool(photos):
        raise typer.BadParameter("name pictures, or how many of the run's own with --photos")
    if images and data:
        raise typer.BadParameter("photos are those that are named, or those of --data, not both", param_hint="--data")
    with one_line_errors(debug):
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_train.explain.explain_plots import heat_rows
            from edge_train.explain.heatmap.grad_cam import LookingFor, explain_held_out, explain_pictures
            from edge_train.explain.heatmap.occlusion import Patches
        out = out or Path(f"{images[0].stem if images else run.resolve().name}-heatmap.png")
        require_free(out, folder=False)
        opened, looking = read_run(run), LookingFor(label, layer, Patches(cells, patch))
        if images:
            found = explain_pictures(opened, images, with_ or (), looking=looking, track=track)
        else:
            found = explain_held_out(opened, photos or 0, with_ or (), data=data, looking=looking, track=track)
        say_unusable(found.unusable)
        with written_whole(out) as beside:
            beside.write_bytes(heat_rows(found))
        say(f"written: {out}")
        print(json.dumps({"run": str(run), **found.to_json(), "out": str(out)}) if as_json else found.to_text())
        if not as_json:
            say_next(f"edge-train explain embed {quote(str(run))}")
