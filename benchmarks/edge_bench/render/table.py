"""The table that a person sees."""

from typing import Final

from rich.markup import escape

from edge_bench.results.report import BenchReport, Row
from edge_core.statistics import Estimate
from edge_device.command_line.tables import Column, print_table, terminal

COLUMNS: Final = (
    Column("model", number=False),
    Column("top-1\n%"),
    Column("change\npoints", keep=7),
    Column("same\n%", keep=4),
    Column("ratio", keep=3),
    Column("total\nms", keep=8),
    Column("invoke\nms", keep=1),
    Column("fps", keep=2),
    Column("file\nkB", keep=6),
    Column("memory\nMB", keep=5),
)

LEGEND: Final = """\
Below an accuracy, a ratio and a median its 95 % interval.
change, same: to the first row, photo by photo. fps: from the median total.
ratio: of the total to the first row's in the same round; it repeats where ms do not."""


def print_report(report: BenchReport) -> None:
    """Prints a report to standard output."""
    where = report.environment
    console = terminal()
    console.print(
        f"{where.machine}, {report.photos} held-out photos, "
        f"{report.settings.frame_size[0]}x{report.settings.frame_size[1]} frames; "
        f"{', '.join(dict.fromkeys(row.runtime for row in report.rows))}; "
        f"{', '.join(dict.fromkeys(threads_of(row) for row in report.rows))}\n",
        markup=False,
    )
    print_table(console, COLUMNS, [_cells(row) for row in report.rows], "bench.html has all")
    for told in report.foreign:
        console.print(
            f"{told.file}: knows {told.kept.percent()} of the held-out photos, takes {told.let_in.percent()} of "
            f"{told.foreign} foreign pictures for something it knows; FPR at 95 % {told.fpr95.percent()}, AUROC "
            f"{told.auroc.value:.3f} ({told.auroc.low:.3f} to {told.auroc.high:.3f})",
            markup=False,
            soft_wrap=True,
        )
    for scene in report.scenes:
        console.print(
            f"{scene.file}, {scene.focus}: right about {scene.right.percent()} of {scene.scenes} scenes whose subject "
            f"has {scene.height:.0%} of the frame's height",
            markup=False,
            soft_wrap=True,
        )
    for failed in report.failed:
        console.print(f"{failed.name}: not measured: {failed.reason}", markup=False, soft_wrap=True)
    for row in report.rows:
        for reason in (*row.unstable, *(row.sustained.unstable if row.sustained else ())):
            console.print(f"{row.name}: unstable: {reason}", markup=False, soft_wrap=True)
    console.print(f"\n[dim]{LEGEND}[/dim]", soft_wrap=True)


def threads_of(row: Row) -> str:
    """`2 threads`."""
    return "threads of its own" if row.threads is None else f"{row.threads} thread{'s' * (row.threads > 1)}"


def _cells(row: Row) -> list[str]:
    difference = row.difference
    return [
        escape(row.name) + ("\nunstable" if row.unstable else ""),
        _percent(row.accuracy.top1),
        _percent(difference.top1, sign="+") if difference else "",
        f"{100 * difference.agreement.value:.1f}" if difference else "",
        _interval(row.ratio) if difference else "1",
        _interval(row.total_ms.median),
        _interval(row.invoke_ms.median),
        three_digits(row.frames_per_second),
        f"{row.file_bytes / 1e3:.0f}",
        f"{row.peak_memory_mb:.0f}",
    ]


def _percent(estimate: Estimate, sign: str = "") -> str:
    value, low, high = (f"{100 * part:{sign}.1f}" for part in (estimate.value, estimate.low, estimate.high))
    return f"{value}\n[dim]{low}…{high}[/dim]"


def _interval(estimate: Estimate) -> str:
    value, low, high = (three_digits(part) for part in (estimate.value, estimate.low, estimate.high))
    return f"{value}\n[dim]{low}…{high}[/dim]"


def three_digits(value: float) -> str:
    """As many digits as tell something: `0.31`, `12.3`, `512`."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"
