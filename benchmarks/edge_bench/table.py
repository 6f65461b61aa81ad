"""The table that a person sees."""

import sys
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge_bench.report import Latency, Report
from edge_core.intervals import Estimate

WIDTH: Final = 110
"""Columns where standard output is no terminal, so that a log gets the table unbroken."""

COLUMNS: Final = (
    "top-1\n%", "change\npoints", "same\n%", "prep.\nms", "invoke\nms", "total\nms", "fps\n", "file\nkB", "memory\nMB"
)  # fmt: skip

LEGEND: Final = """\
Below an accuracy its 95 % interval, below a median time the 95th percentile;
change: to the full-size model, photo by photo; same: photos that get its label."""


def print_table(report: Report) -> None:
    """Prints a report to standard output."""
    where = report.environment
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    table = Table(box=None, padding=(0, 1 if console.width < 92 else 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold", min_width=9)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in report.rows:
        table.add_row(
            escape(row.name),
            _percent(row.top1),
            _percent(row.difference, sign="+"),
            f"{100 * row.agreement.value:.1f}" if row.agreement else "",
            *(_milliseconds(latency) for latency in (row.preprocess_ms, row.invoke_ms, row.total_ms)),
            _three_digits(row.frames_per_second),
            f"{row.file_bytes / 1e3:.0f}",
            f"{row.peak_memory_mb:.0f}",
        )
    threads = f"{where.threads} thread{'s' * (where.threads > 1)}"
    runtimes = ", ".join(dict.fromkeys(row.runtime for row in report.rows))
    console.print(f"[bold]{escape(report.run)}[/bold] on {report.photos} held-out photos")
    console.print(
        f"{where.machine}, {threads}, {where.frame_size[0]}x{where.frame_size[1]} frames; {runtimes}\n", markup=False
    )
    console.print(table)
    console.print(f"\n[dim]{LEGEND}[/dim]")


def _percent(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None:
        return ""
    value, low, high = (f"{100 * part:{sign}.1f}" for part in (estimate.value, estimate.low, estimate.high))
    return f"{value}\n[dim]{low}…{high}[/dim]"


def _milliseconds(latency: Latency) -> str:
    return f"{_three_digits(latency.median)}\n[dim]{_three_digits(latency.p95)}[/dim]"


def _three_digits(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"
