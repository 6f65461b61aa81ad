"""`edge-train evaluate`."""

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

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


def evaluate(
    run: RunFolder,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Photo folder, or CSV of path,label, to test on; photos that the run was trained or validated on are "
            "left out. Default: the run's own test photos."
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Test a run on photos that it has never seen.

    Example: edge-train evaluate runs/flowers --data photos/
    """
    with one_line_errors(debug):
        with extra_needed("train", *NEEDS):
            with working("Loading TensorFlow"):
                from edge_train.evaluation.evaluate import evaluate as evaluate_run
            from edge_train.evaluation.run_verdict import verdict
        result = evaluate_run(read_run(run), data, track=track)
        say_unusable(result.unusable)
        if result.left_out:
            photos = "photo" if result.left_out == 1 else "photos"
            say(f"{result.left_out} {photos} left out: the run was trained or validated on them")
        if as_json:
            print(json.dumps(result.to_json()))
            return
        print(f"{len(result.judged)} photos, accuracy {result.accuracy.percent()}")
        majority, part = result.majority
        print(
            f"each class counting the same: {result.balanced_accuracy.percent()}; always saying {majority!r} would be "
            f"right in {100 * part:.1f} %"
        )
        width = max(map(len, result.labels))
        for label, share in result.recall().items():
            print(f"  {label:{width}}  {share.percent()}")
        print(f"expected calibration error {100 * result.reliability()[1]:.1f} %")
        print(verdict(result))
        say_next(f"edge-convert export {quote(str(run))}")
