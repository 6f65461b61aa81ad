"""The `edge-bench` command."""

import re
from pathlib import Path
from typing import Annotated

import typer

from edge_bench.benchmark import run_benchmark
from edge_bench.output import check_out, to_text, write_report
from edge_bench.report import Report
from edge_device.console import Debug, Json, command_line, one_line_errors, say, track
from edge_device.interpreter import RuntimeName

app = command_line(
    "Measure .tflite files against the full-size model they were made of.\n\n"
    "Example: edge-bench run runs/flowers flowers-float32.tflite flowers-int8.tflite"
)


@app.callback()
def _main() -> None:
    """Keeps `run` a command of its own."""


@app.command()
def run(
    run_folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder that edge-train wrote.", show_default=False)
    ],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE.tflite", help="What edge-convert made of it.", show_default=False)
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="PHOTOS", help="Test on this photo folder, less what the run was trained on."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for bench.json, bench.csv and bench.png.")] = Path("bench"),
    seconds: Annotated[float, typer.Option(min=0.25, help="How long each model is timed for.")] = 5.0,
    threads: Annotated[int | None, typer.Option(min=1, help="For one inference; all cores by default.")] = None,
    frame_size: Annotated[str, typer.Option(help="Of the camera frames that are timed.")] = "1280x720",
    runtime: Annotated[RuntimeName, typer.Option(help="Which interpreter runs the .tflite files.")] = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Accuracy, latency, size and memory of .tflite files beside the run's full-size model.

    Accuracy is on photos that the run has never seen. Every model runs in a process of its own, and they take turns.

    Example: edge-bench run runs/flowers flowers-int8.tflite --threads 1 --out bench/pi4
    """
    with one_line_errors(debug):
        size = _parse_size(frame_size)
        check_out(out)
        import edge_bench.chart  # noqa: F401 - or a missing matplotlib would be told of after all the work

        report = run_benchmark(
            run_folder,
            files,
            data=data,
            seconds=seconds,
            threads=threads,
            frame_size=size,
            runtime=runtime,
            track=track,
        )
        _say_what_was_left_out(report)
        write_report(report, out)
        if as_json:
            print(to_text(report), end="")
        else:
            from edge_bench.table import print_table  # late: rich is slow to import

            print_table(report)
        say(f"wrote bench.json, bench.csv and bench.png to {out}")


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if not match:
        raise typer.BadParameter(f"{text!r} is no size such as 1280x720", param_hint="--frame-size")
    return int(match[1]), int(match[2])


def _say_what_was_left_out(report: Report) -> None:
    if report.left_out:
        say(f"left out {report.left_out} photos that the run was trained or validated on")
    if report.unusable:
        named = "; ".join(f"{file.path}: {file.reason}" for file in report.unusable[:3])
        more = f"; and {len(report.unusable) - 3} more" if len(report.unusable) > 3 else ""
        say(f"warning: {len(report.unusable)} unusable files: {named}{more}")
    load, cores = report.environment.load, report.environment.cores
    if load > 0.3 * cores:
        say(f"warning: the load was {load:.1f} on {cores} cores before this began; the latencies may be too long")
