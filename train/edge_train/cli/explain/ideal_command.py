"""`edge-train explain ideal`."""

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_core.files import folder_written_whole, require_free, written_whole
from edge_core.run_folder import read_run
from edge_device.command_line.console import (
    Debug,
    Json,
    extra_needed,
    one_line_errors,
    say,
    track,
    working,
)
from edge_device.command_line.next_step import say_next
from edge_train.cli.train_parameters import NEEDS, RunFolder


def ideal(
    run: RunFolder,
    label: Annotated[str, typer.Option(help="Label of the run to draw an ideal picture of.")],
    seeds: Annotated[
        int, typer.Option(help="Number of pictures to draw, each from its own random start.", min=1, max=16)
    ] = 4,
    seed: Annotated[
        int,
        typer.Option(help="Random seed of the first picture; the next ones count up from it.", min=0, max=2**31 - 1),
    ] = 0,
    steps: Annotated[int, typer.Option(help="Number of gradient ascent steps.", min=1, max=100_000)] = 200,
    with_: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", metavar="FILE.tflite", help="A .tflite that is shown the pictures, too. May be repeated."
        ),
    ] = None,
    gif: Annotated[
        Path | None,
        typer.Option(help="File to write with an animation of how the best picture came about, ending in .gif."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write, with the pictures. Default: LABEL-ideal.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw the picture that the network is surest of: what it wants to see of a label.

    Each is saved as PNG at the size of the model's input and judged by what is read from that file. The folder also
    gets ideal.png with all of them side by side, and ideal.json.

    Example: edge-train explain ideal runs/cats_dogs --label cat --with cats_dogs-int8.tflite
    """
    with one_line_errors(debug):
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_train.explain.explain_plots import ideal_gif, ideal_sheet
            from edge_train.explain.feature_visualization import GOOD, AscentSettings, explain_ideal
        out = out or Path(f"{label.replace('/', '_')}-ideal")
        require_free(out)
        if gif:
            require_free(gif, folder=False)
        with folder_written_whole(out) as folder:
            found = explain_ideal(
                read_run(run),
                label,
                folder,
                with_ or (),
                seeds=range(seed, seed + seeds),
                search=AscentSettings(steps=steps),
                track=track,
            )
            (folder / "ideal.png").write_bytes(ideal_sheet(found, run.resolve().name))
            (folder / "ideal.json").write_text(json.dumps(found.to_json()))
        if gif is not None:
            with written_whole(gif) as beside:
                beside.write_bytes(ideal_gif(found))
        if (best := max(one.score for one in found.pictures)) < GOOD:
            say(f"the network is sure of none, its best score is {100 * best:.1f} %: try more --steps or --seeds")
        if as_json:
            print(json.dumps({"run": str(run), **found.to_json(), "out": str(out)}))
            return
        for one in found.pictures:
            print(
                f"{out / one.file.name}: {label} {100 * one.score:.1f} %, "
                f"{100 * one.moved[0]:.1f} % or more when shifted by up to 8 pixels",
                *(f"{name} {100 * score:.1f} %" for name, score in one.others.items()),
                sep=", ",
            )
        say_next(f"edge-train explain heatmap {quote(str(run))} --photos 20")
