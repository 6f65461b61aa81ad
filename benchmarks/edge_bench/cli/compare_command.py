"""`edge-bench compare`."""

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_bench.cli.bench_parameters import parse_share, read_report
from edge_bench.results.comparison import compare_reports
from edge_core.errors import CheckFailedError
from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
)
from edge_device.command_line.next_step import say_next


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD.json", help="The earlier bench.json.", show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW.json", help="The later bench.json.", show_default=False)],
    max_slowdown: Annotated[str, typer.Option(metavar="SHARE", help="Largest slowdown of a row that passes.")] = "5%",
    max_drop: Annotated[
        float, typer.Option(min=0, help="Largest loss of accuracy of a row that passes, in percentage points.")
    ] = 0.5,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell whether a row has become slower or worse; exit status 1 if one has.

    On the same machine milliseconds decide, elsewhere and for unstable rows the ratio to the first row. A row is slower
    only if its whole interval is beyond the limit; an interval that contains the limit is reported, and passes.

    Example: edge-bench compare bench/main.json bench/branch.json --max-slowdown 10% --max-drop 0.5
    """
    with one_line_errors(debug):
        comparison = compare_reports(
            read_report(old), read_report(new), parse_share(max_slowdown, "--max-slowdown"), max_drop
        )
        if as_json:
            print(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False))
        else:
            for change in comparison.changes:
                print(f"{change.verdict:8}  {change.row}: {change.figure}: {change.why}")
        if comparison.broken:
            rows = ", ".join(dict.fromkeys(change.row for change in comparison.broken))
            raise CheckFailedError(f"worse than {old}: {rows}")
        if not as_json:
            say_next(f"edge-bench reference --with {quote(str(new))}")
