"""`edge-bench instructions`."""

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_bench.cli.bench_parameters import parse_share
from edge_core.errors import CheckFailedError, ReportError
from edge_core.files import require_writable, written_whole
from edge_device.command_line.arguments import parse_size
from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
    track,
)
from edge_device.command_line.next_step import say_next


def instructions(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.tflite", help="Complete .tflite files whose instructions are counted.", show_default=False
        ),
    ],
    cpu: Annotated[
        list[str] | None,
        typer.Option(
            help="Core to emulate: cortex-a72 (Raspberry Pi 4) or cortex-a76 (Raspberry Pi 5). May be repeated. "
            "Default: both."
        ),
    ] = None,
    frame_size: Annotated[
        str, typer.Option(metavar="WxH", help="Width and height of the frames that are preprocessed.")
    ] = "1280x720",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="File to write with the table, ending in .csv. Default: none."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Table that an earlier --out wrote; the exit status is 1 if a cost has risen since.",
        ),
    ] = None,
    max_increase: Annotated[str, typer.Option(metavar="SHARE", help="Largest increase of a cost that passes.")] = "2%",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Count what a frame costs on Arm, without a board: instructions of an emulated core, not time.

    The counts are the same at every run and under any load. Needs qemu-user, gcc and apt; 0.2 GB are
    downloaded once.

    Example: edge-bench instructions flowers-int8.tflite flowers-float32.tflite --out costs.csv

    Example: edge-bench instructions flowers-*.tflite --against costs.csv --max-increase 2%
    """
    with one_line_errors(debug):
        from edge_bench.arm.instructions import (
            changes,
            count_instructions,
            from_csv,
            parse_cpus,
            risen,
            to_csv,
            to_json,
        )
        from edge_bench.render.instructions_table import instruction_lines

        size, limit = parse_size(frame_size, "--frame-size"), parse_share(max_increase, "--max-increase")
        if out is not None:
            require_writable(out)
        try:
            before = from_csv(_text(against)) if against else []
        except ReportError as error:
            raise ReportError(f"{against}: {error}") from error
        costs = count_instructions(files, parse_cpus(cpu), size, track)
        changed = changes(before, costs)
        print(json.dumps(to_json(costs, changed), indent=2) if as_json else instruction_lines(costs, changed))
        if out:  # last: what took minutes is at least shown if it cannot be written
            with written_whole(out) as path:
                path.write_text(to_csv(costs), "utf-8")
        if dearer := risen(changed, limit):
            raise CheckFailedError(f"dearer than in {against}: {', '.join(map(str, dearer))}")
        if not as_json:
            table = f" --against {quote(str(out))}" if out else " --out costs.csv"
            say_next(f"edge-bench instructions {' '.join(quote(str(file)) for file in files)}{table}")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from error
