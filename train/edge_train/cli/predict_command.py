"""`edge-train predict`."""

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_core.errors import PictureError, printable
from edge_core.run_folder import read_run
from edge_device.command_line.console import (
    Debug,
    Json,
    extra_needed,
    one_line_errors,
    say,
    working,
)
from edge_device.command_line.next_step import say_next
from edge_train.cli.train_parameters import NEEDS, RunFolder


def predict(
    run: RunFolder,
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE", help="Picture files to classify.")],
    top: Annotated[int, typer.Option(help="Number of labels to print, best first.", min=1)] = 3,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what the full-size model makes of pictures.

    Example: edge-train predict runs/flowers rose.jpg
    """
    with one_line_errors(debug):
        with extra_needed("train", *NEEDS):
            with working("Loading TensorFlow"):
                from edge_train.evaluation.evaluate import open_model
            from edge_train.evaluation.evaluate import predict as predict_picture
        opened = read_run(run)
        model = open_model(opened)
        failed = False
        for picture in pictures:
            try:
                best = predict_picture(opened, picture, model, top)
            except PictureError as error:
                say(f"error: {error}")
                failed = True
                continue
            if as_json:
                print(
                    json.dumps({"source": str(picture), "top": [vars(prediction) for prediction in best]}), flush=True
                )
            else:
                said = [f"{prediction.label} {100 * prediction.score:.1f} %" for prediction in best]
                print(printable("  ".join([str(picture), *said])), flush=True)
        if failed:
            raise SystemExit(PictureError.exit_status)
        if not as_json:
            say_next(f"edge-convert export {quote(str(run))}")
