"""`edge-train inspect`."""

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_core.files import require_free
from edge_device.command_line.console import (
    Debug,
    Json,
    extra_needed,
    one_line_errors,
    say,
    track,
)
from edge_device.command_line.next_step import say_next
from edge_device.system.user_folders import cache_folder
from edge_train.cli.train_parameters import NEEDS, Data, DataDir


def inspect(
    data: Data,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write, with report.html, inspection.json and samples.png. Default: none."),
    ] = None,
    data_dir: DataDir = None,
    seed: Annotated[int, typer.Option(help="Random seed of the split.", min=0)] = 1,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what is in a photo folder: counts, sizes, copies, near-duplicates, what cannot be read.

    Example: edge-train inspect photos/ --out inspected/
    """
    with one_line_errors(debug):
        with extra_needed("train", *NEEDS):
            from edge_train.data.audit import inspect as inspect_photos
            from edge_train.data.dataset import find_dataset
            from edge_train.evaluation.run_report import write_inspection
        if out is not None:
            require_free(out)
        found = find_dataset(data, cache=cache_folder(), data_dir=data_dir, track=track, say=say)
        inspection = inspect_photos(found, seed=seed, track=track)
        if out is not None:
            write_inspection(inspection, found, out)
            say(f"written: {out / 'report.html'}")
        if as_json:
            print(json.dumps(inspection.to_json()))
        else:
            print(inspection.to_text())
            say_next(f"edge-train fit {quote(data)}")
