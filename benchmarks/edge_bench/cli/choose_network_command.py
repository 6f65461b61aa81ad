"""`edge-train choose`; also `edge-bench choose`."""

import json
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_core.files import require_writable
from edge_device.command_line.console import Debug, Json, extra_needed, one_line_errors, say, track, working
from edge_device.command_line.next_step import say_next
from edge_device.system.user_folders import cache_folder


class TargetName(StrEnum):
    """What the times are of."""

    here = "here"
    pi4 = "pi4"
    pi5 = "pi5"


def choose(
    data: Annotated[
        str,
        typer.Argument(metavar="PHOTOS", help="Photos as `edge-train fit` takes them: a folder, or a set by its name."),
    ],
    target: Annotated[
        TargetName,
        typer.Option(
            help="What the times are of: this machine, or a Raspberry Pi whose core is emulated and whose times are "
            "estimated from counted instructions."
        ),
    ] = TargetName.here,
    host: Annotated[
        str, typer.Option(metavar="[USER@]BOARD[:PORT]", help="Measure the times on this board over SSH.")
    ] = "",
    max_ms: Annotated[
        float | None,
        typer.Option(help="Longest time for a frame in milliseconds. Default: any.", min=0.01, show_default=False),
    ] = None,
    backbone: Annotated[
        list[str] | None, typer.Option(help="Backbone to try. May be repeated. Default: several.")
    ] = None,
    alpha: Annotated[
        list[float] | None, typer.Option(help="Width multiplier to try. May be repeated. Default: several.")
    ] = None,
    image_size: Annotated[
        list[int] | None,
        typer.Option(help="Side of the input to try. May be repeated. Default: several.", min=32, max=1024),
    ] = None,
    threads: Annotated[
        int, typer.Option(help="Threads of an inference, here or on the board; 0 for all cores.", min=0, max=256)
    ] = 0,
    seed: Annotated[int, typer.Option(help="Random seed of the split.", min=0, max=2**32 - 1)] = 1,
    data_dir: Annotated[
        Path | None,
        typer.Option(envvar="EDGE_DATA_DIR", help="Folder in which the named sets lie, as NAME/CLASS/photo.jpg."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write with the plot, ending in .png. Default: none.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say which network to train for these photos: accuracy of a quickly solved last layer against time for a frame.

    Nothing is fine-tuned: a last layer is solved on the features of each network whose ImageNet weights can be had, and
    an untrained network of the same layers is timed in 8 bits.

    Example: edge-train choose photos/ --target pi4 --max-ms 20
    """
    with one_line_errors(debug):
        if out is not None:
            require_writable(out)
        with extra_needed("train", "tensorflow", "tf_keras", "scipy"), working("Loading TensorFlow"):
            from edge_bench.choose.choice_output import choice_json, print_choice, write_plot
            from edge_bench.choose.choosing import choose as choose_network
            from edge_bench.choose.networks import planned
            from edge_train.data.dataset import open_photos
        networks = planned(backbone or (), alpha or (), image_size or ())
        photos = open_photos(data, seed=seed, cache=cache_folder(), data_dir=data_dir, track=track, say=say)
        chosen = choose_network(
            photos,
            networks,
            cache=cache_folder(),
            target=target.value,
            host=host,
            threads=threads,
            max_ms=max_ms,
            track=track,
        )
        if out is not None:
            write_plot(chosen, out)
        if as_json:
            print(json.dumps(choice_json(chosen), indent=2))
            return
        print_choice(chosen)
        if chosen.recommended is not None:
            say_next(f"edge-train fit {quote(data)} {chosen.recommended.network.options}")
