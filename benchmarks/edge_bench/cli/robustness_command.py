"""`edge-bench robustness`."""

import re
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
    say,
    track,
)
from edge_device.command_line.next_step import say_next


def robustness(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|FILE.tflite",
            help="A run folder, whose full-size model is meant, and what is compared with it: .tflite files, other "
            "runs.",
            show_default=False,
        ),
    ],
    attack: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Attacks to try. pgd and fgsm make pictures against RUN and show them to all rows; square asks each "
            "row for its scores.",
        ),
    ] = "pgd,square",
    epsilon: Annotated[
        str,
        typer.Option(metavar="N[,N...]", help="Largest changes of any channel of any pixel, in gray levels of 255."),
    ] = "1,2,4,8",
    photos: Annotated[int, typer.Option(min=1, help="Largest number of held-out photos to attack.")] = 200,
    steps: Annotated[int, typer.Option(min=1, max=10_000, help="Number of PGD steps.")] = 10,
    square_photos: Annotated[int, typer.Option(min=1, help="Largest number of these photos that square attacks.")] = 50,
    queries: Annotated[
        int, typer.Option(min=1, max=100_000, help="Number of Square Attack queries for each photo and epsilon.")
    ] = 500,
    surrogate: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run against which the pictures are made instead of RUN, so that no row is at a disadvantage.",
        ),
    ] = None,
    quantized: Annotated[
        bool,
        typer.Option(
            "--quantized",
            "--quantised",  # what it was called first
            help="Make the pictures against the run's weights for 8 bits, which fit --qat has trained.",
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PHOTOS",
            help="Photo folder to attack; photos that the runs were trained on are left out. Default: the runs' test "
            "photos.",
        ),
    ] = None,
    held_out_by: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Another run whose training photos are left out, too. Its model is not attacked. May be repeated.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Random seed of the starting points, the squares and the noise.")
    ] = 0,
    out: Annotated[
        Path,
        typer.Option(help="Folder to write, with robustness.json, robustness.csv, robustness.png and robustness.html."),
    ] = Path("robustness"),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure accuracy on adversarial pictures: is the quantized model easier to fool than the full-size one?

    Pictures hold whole gray levels, are saved as PNG and read again. Random noise of the same size is shown, too, which
    tells what an attack has to beat. 200 photos of 160 pixels take about ten minutes on two cores.

    Example: edge-bench robustness runs/flowers flowers-float16.tflite flowers-int8.tflite --out robustness
    """
    with one_line_errors(debug):
        from edge_bench.adversarial.attack_report import ATTACKS, AttackSettings

        attacks = tuple(dict.fromkeys(attack.split(",")))
        if unknown := [name for name in attacks if name not in ATTACKS]:
            raise typer.BadParameter(
                f"no attack is called {unknown[0]!r}; there are {', '.join(ATTACKS)}", param_hint="--attack"
            )
        settings = AttackSettings(attacks, parse_epsilons(epsilon), photos, steps, square_photos, queries, seed)
        from edge_bench.adversarial.attack_output import check_out, print_report, to_json
        from edge_bench.adversarial.attack_output import write_report as write_attacked

        check_out(out)
        import edge_bench.adversarial.attack_plot  # noqa: F401 - or a missing matplotlib would be told of after all the work
        from edge_bench.adversarial.attack_rows import attack_models

        report = attack_models(
            models,
            settings=settings,
            surrogate=surrogate,
            quantized=quantized,
            data=data,
            held_out_by=held_out_by or (),
            track=track,
        )
        write_attacked(report, out)
        if report.left_out:
            say(f"left out {report.left_out} photos that a run was trained or validated on")
        if report.unknown:
            say(f"warning: nobody knows which photos {', '.join(report.unknown)} was trained on")
        say(f"look at {out / 'robustness.html'}")
        if as_json:
            print(to_json(report))
        else:
            print_report(report)
            say_next(f"edge-train explain adversarial {quote(str(models[0]))}")


def parse_epsilons(text: str) -> tuple[int, ...]:
    """`1,2,4,8`, ascending.

    Raises:
        typer.BadParameter: Something else than whole numbers from 1 to 255.
    """
    if not re.fullmatch(r"[1-9]\d{0,2}(,[1-9]\d{0,2})*", text, re.ASCII) or max(map(int, text.split(","))) > 255:
        raise typer.BadParameter(
            f"{text!r} is no number of gray levels, nor several such as 1,2,4,8", param_hint="--epsilon"
        )
    return tuple(sorted({int(one) for one in text.split(",")}))
