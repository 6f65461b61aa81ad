"""`edge-train explain adversarial`."""

import json
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_core.files import folder_written_whole, require_free
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


class AttackName(StrEnum):
    """How an adversarial picture is searched; `edge_train.training.attacks` has them."""

    fgsm = "fgsm"
    pgd = "pgd"


class NormName(StrEnum):
    """What bounds the change of an adversarial picture."""

    linf = "linf"
    l2 = "l2"


def adversarial(
    run: RunFolder,
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE", help="Picture files and folders. Default: photos that the run has never seen."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Class that the pictures show. Default: the label that the model gives each picture."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Label that the pictures shall be mistaken for. Default: any wrong label.")
    ] = None,
    attack: Annotated[
        AttackName, typer.Option(help="Attack to search with: fgsm takes one step, pgd many small ones.")
    ] = AttackName.pgd,
    epsilon: Annotated[
        float | None, typer.Option(help="Largest change in gray levels of 255. Default: 8 for linf, 512 for l2.", min=1)
    ] = None,
    norm: Annotated[
        NormName,
        typer.Option(
            help="What --epsilon bounds: the change of any channel of any pixel (linf), or the length of the whole "
            "change (l2)."
        ),
    ] = NormName.linf,
    steps: Annotated[int | None, typer.Option(help="Number of PGD steps. Default: 20.", min=1, max=10_000)] = None,
    restarts: Annotated[
        int, typer.Option(help="Number of random starts of pgd, of which the best result counts.", min=1, max=100)
    ] = 1,
    with_: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", metavar="FILE.tflite", help="A .tflite that is shown the same pictures. May be repeated."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Photo folder to take instead of the run's own test photos.")
    ] = None,
    photos: Annotated[int | None, typer.Option(help="Largest number of pictures to attack.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the starting points.", min=0, max=2**31 - 1)] = 0,
    out: Annotated[Path, typer.Option(help="Folder to write, with the pictures and adversarial.html.")] = Path(
        "adversarial"
    ),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make pictures that the network takes for something else, by changes that are hard to see.

    Each is saved as PNG and judged by what is read from that file. The folder also gets each picture side by side with
    its original and the amplified change, and adversarial.html.

    Example: edge-train explain adversarial runs/cats_dogs dog.jpg --target cat --epsilon 8

    Example: edge-train explain adversarial runs/cats_dogs --label dog --target cat --with
        cats_dogs-int8.tflite
    """
    with one_line_errors(debug):
        if attack is AttackName.fgsm and (steps or restarts > 1):
            raise typer.BadParameter("fgsm has one step from one start", param_hint="--steps, --restarts")
        if pictures and data:
            raise typer.BadParameter(
                "photos are those that are named, or those of --data, not both", param_hint="--data"
            )
        require_free(out)
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_train.explain.adversarial.adversarial_page import outcome_lines, write_outcome
            from edge_train.explain.adversarial.find import Wanted, make_adversarial
            from edge_train.training.attacks import STEPS, fgsm, pgd
        levels = epsilon or (8 if norm is NormName.linf else 512)
        chosen = (
            fgsm(levels, norm.value)
            if attack is AttackName.fgsm
            else pgd(levels, norm.value, steps=steps or STEPS, restarts=restarts)
        )
        opened = read_run(run)
        with folder_written_whole(out) as folder:
            outcome = make_adversarial(
                opened,
                chosen,
                folder,
                Wanted(pictures or (), label, target, data, photos),
                files=with_ or (),
                seed=seed,
                track=track,
            )
            write_outcome(outcome, opened, folder, track=track)
        say_unusable(outcome.unusable)
        if outcome.passed_over:
            say(
                f"{outcome.passed_over} pictures passed over: the model has them wrong, or takes them for the target "
                f"as they are"
            )
        say(f"written: {out / 'adversarial.html'}")
        print(json.dumps(outcome.to_json()) if as_json else outcome_lines(outcome), flush=True)
        if not as_json:
            say_next(f"edge-bench robustness {quote(str(run))} FILE.tflite")
