"""`edge-train explain features`."""

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
    working,
)
from edge_device.command_line.next_step import say_next
from edge_train.cli.train_parameters import NEEDS, RunFolder


def features(
    run: RunFolder,
    image: Annotated[Path | None, typer.Argument(metavar="IMAGE", help="Picture file to look at.")] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Layer to show. May be repeated. Default: the last layer of each resolution."),
    ] = None,
    channels: Annotated[
        int,
        typer.Option(help="Number of maps to show for each layer; those with most contrast are shown.", min=1, max=64),
    ] = 8,
    out: Annotated[
        Path | None, typer.Option(help="PNG file to write. Default: IMAGE-features.png in this folder.")
    ] = None,
    list_layers: Annotated[
        bool, typer.Option("--list", help="List the layers instead, with a star at those that are shown by default.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw what the channels of some layers respond to in a picture: activation maps.

    Example: edge-train explain features runs/flowers rose.jpg
    """
    if image is None and not list_layers:
        raise typer.BadParameter("name a picture, or ask for --list")
    with one_line_errors(debug):
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_train.explain.activation_maps import explain_features
            from edge_train.explain.activation_maps import list_layers as layers_of_run
            from edge_train.explain.explain_plots import feature_grid
        opened = read_run(run)
        if image is None or list_layers:
            layers = layers_of_run(opened)
            if as_json:
                print(json.dumps([{**vars(one), "default": shown} for one, shown in layers]))
                return
            width = max(len(one.name) for one, _ in layers)
            for one, shown in layers:
                print(f"{'*' if shown else ' '} {one.name:{width}}  {one.shape:>16}  {one.kind}")
            say_next(f"edge-train explain features {quote(str(run))} PICTURE --layer {layers[-1][0].name}")
            return
        out = out or Path(f"{image.stem}-features.png")
        require_free(out, folder=False)
        found = explain_features(opened, image, layer or (), channels)
        with written_whole(out) as beside:
            beside.write_bytes(feature_grid(found))
        if as_json:
            print(json.dumps({"run": str(run), **found.to_json(), "out": str(out)}))
        else:
            print(out, flush=True)
            say_next(f"edge-train explain heatmap {quote(str(run))} {quote(str(image))}")
