"""The chart: accuracy against latency, a labeled point per row, and the front that none of them is beyond."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from edge_bench.results.report import BenchReport, Row
from edge_device.command_line.console import extra_needed

with extra_needed("bench", "matplotlib"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
    from matplotlib.transforms import Bbox

    from edge_keras.plot_text import plain

FULL_SIZE: Final = "#262626"
TFLITE: Final = "#0072b2"  # Okabe and Ito's blue; labels and shapes tell the rows apart, color need not
FRONT: Final = "#d55e00"
QUIET: Final = "#6a6a6a"
GRID: Final = "#e6e6e6"
LABEL_SIZE: Final = 10.5  # points


def draw_chart(report: BenchReport, path: Path) -> None:
    """Draws a report as a PNG file of 1600 by 960 pixels."""
    path.write_bytes(chart_png(report))


def chart_png(report: BenchReport) -> bytes:
    """The chart as the bytes of a PNG file."""
    figure = Figure(figsize=(8, 4.8), dpi=200)
    axes = figure.add_axes((0.085, 0.14, 0.895, 0.64))
    _set_up(axes, report.rows)
    figure.text(0.02, 0.935, "Accuracy against latency", fontsize=15, weight="bold", color=FULL_SIZE)
    subtitle = (
        f"Top-1 on {report.photos} held-out photos with its 95 % interval; no row is beyond the orange line\n"
        f"{_where(report)}"
    )
    figure.text(0.02, 0.91, subtitle, fontsize=10, color=QUIET, va="top", linespacing=1.4)
    for row in report.rows:
        x, low, high = row.total_ms.median.value, 100 * row.accuracy.top1.low, 100 * row.accuracy.top1.high
        axes.vlines(x, low, high, color=_color(row), linewidth=1.6, alpha=0.45, zorder=2)
        shape: dict[str, Any] = {"marker": "s" if row.difference is None else "o", "edgecolor": "white"}
        axes.scatter(x, 100 * row.accuracy.top1.value, s=72, color=_color(row), linewidth=1.2, zorder=3, **shape)
    front = pareto_front(report.rows)
    places = [(row.total_ms.median.value, 100 * row.accuracy.top1.value) for row in front]
    axes.plot(*zip(*places, strict=True), drawstyle="steps-post", color=FRONT, linewidth=1.4, zorder=1.5)
    _label(axes, report.rows)
    data = BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other is both as fast and as accurate as, and better in one of the two; the fastest first."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.total_ms.median.value, -row.accuracy.top1.value)):
        if not front or row.accuracy.top1.value > front[-1].accuracy.top1.value:
            front.append(row)
    return front


def _where(report: BenchReport) -> str:
    counts = list(dict.fromkeys(row.threads for row in report.rows if row.threads))
    threads = f", {counts[0]} thread{'s' * (counts[0] > 1)}" if len(counts) == 1 else ""
    width, height = report.settings.frame_size
    return f"{report.environment.machine}{threads}, {width}×{height} frames"


def _color(row: Row) -> str:
    return FULL_SIZE if row.difference is None else TFLITE


def _set_up(axes: Axes, rows: tuple[Row, ...]) -> None:
    times = [row.total_ms.median.value for row in rows]
    left, right = min(times) / 1.9, max(times) * 1.9  # at least 3.6 apart, so that one step of 1, 2, 5 is between
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    steps = [digit * 10.0**power for power in range(-4, 7) for digit in (1, 2, 5)]
    axes.xaxis.set_major_locator(FixedLocator([step for step in steps if left <= step <= right]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} ms")
    axes.set_xlabel("Latency per frame, preprocess and invoke: median, log scale", color=QUIET, fontsize=10)

    low, high = min(row.accuracy.top1.low for row in rows), max(row.accuracy.top1.high for row in rows)
    margin = 0.25 * (high - low)
    axes.set_ylim(100 * (low - margin), 100 * (high + margin))
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %" if 0 <= value <= 100 else "")
    axes.axhline(
        100 * rows[0].accuracy.top1.value, color=FULL_SIZE, linewidth=1, linestyle=(0, (4, 4)), alpha=0.5, zorder=1
    )

    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(length=0, labelcolor=QUIET, labelsize=10, pad=6)


def _label(axes: Axes, rows: tuple[Row, ...]) -> None:
    """Writes each row's name above or below its interval, where it covers nothing.

    Those on the front come first; among a dozen rows, a name for which there is no room is left to the table.
    """
    inside = axes.get_window_extent()
    full_size = axes.transData.transform((1, 100 * rows[0].accuracy.top1.value))[1]
    # The first row's line at full width, two pixels to either side.
    taken = [Bbox.from_extents(inside.x0, full_size - 2, inside.x1, full_size + 2)]
    taken += [box for row in rows for box in _covered(axes, row)]
    front = pareto_front(rows)
    for row in sorted(rows, key=lambda row: (row not in front, row is not rows[0], row.total_ms.median.value)):
        label: Annotation | None = None
        for share, points, align in _places(row):
            if label:
                label.remove()  # it did not fit
            label = axes.annotate(
                plain(row.name, 40),
                (row.total_ms.median.value, 100 * share),
                (0, points),
                textcoords="offset points",
                ha=align,
                va="center",
                color=_color(row),
                fontsize=LABEL_SIZE,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # keeps the grid out of the letters
            )
            box = label.get_window_extent()
            if all(inside.contains(*corner) for corner in box.corners()) and not box.count_overlaps(taken):
                taken.append(box)
                break
        else:
            if label:
                label.remove()


def _covered(axes: Axes, row: Row) -> list[Bbox]:
    """What a row's interval and point cover, in pixels."""
    x = row.total_ms.median.value
    low, middle, high = axes.transData.transform(
        [(x, 100 * share) for share in (row.accuracy.top1.low, row.accuracy.top1.value, row.accuracy.top1.high)]
    )
    return [Bbox([low, high]).padded(5), Bbox([middle, middle]).padded(16)]


def _places(row: Row) -> Iterator[tuple[float, float, str]]:
    """Where a name may go, the best place first: accuracy to start from, points above it, and alignment."""
    for line in range(5):
        away = LABEL_SIZE * (0.9 + 1.3 * line)
        for align in ("center", "left", "right"):
            yield from ((row.accuracy.top1.high, away, align), (row.accuracy.top1.low, -away, align))
