"""What one looks at on the page beside the chart: distributions, sizes, the board over time, corruption, confusion."""

from collections.abc import Sequence
from io import BytesIO
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from edge_bench.perturb.corruptions import SEVERITIES
from edge_bench.render.chart import FULL_SIZE, GRID, QUIET, TFLITE
from edge_bench.results.latency import QUANTILES
from edge_bench.results.report import Row, Turn
from edge_keras.plot_text import LABEL, plain

WIDTH: Final = 5.4
"""Inches: half a desk's page, and on a phone the letters of a plot this wide can still be read."""
DPI: Final = 160

MATRIX_LABELS: Final = 40
"""Labels of a confusion matrix at most: it has 18 x 18 inches then. One of a thousand would take 18 GB."""

COLORS: Final = (FULL_SIZE, TFLITE, "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00")
"""Of the color-blind-safe palette of Okabe and Ito (2008); the first row is black."""
STYLES: Final = ("-", "--", ":")
SENSED: Final = (("Temperature, °C", "temperature_c"), ("Clock, MHz", "clock_mhz"))
"""Titles, and fields of `edge_device.system.board.Readings`."""
PERCENT: Final = FuncFormatter(lambda share, _: f"{100 * share:g} %")


def distributions(rows: Sequence[Row]) -> bytes:
    """Total latency of each row, on a log scale: 5 to 95 % of the frames, the middle half, the median."""
    figure, axes = _rows_figure(rows)
    low, middle, high = (QUANTILES.index(percent) for percent in (5, 50, 95))
    quarter, three_quarters = QUANTILES.index(25), QUANTILES.index(75)
    for place, row in enumerate(rows):
        values = row.total_ms.quantiles
        color = FULL_SIZE if row.difference is None else TFLITE
        axes.hlines(place, values[low], values[high], color=color, lw=1.6, alpha=0.45)
        axes.hlines(place, values[quarter], values[three_quarters], color=color, lw=7, alpha=0.45)
        axes.scatter(values[middle], place, s=30, color=color, edgecolor="white", lw=0.8, zorder=3)
    axes.set_xscale("log")
    _millisecond_ticks(
        axes.xaxis, [value for row in rows for value in (row.total_ms.quantiles[low], row.total_ms.quantiles[high])]
    )
    figure.supxlabel("Latency per frame: 5 to 95 %, the middle half, the median", color=QUIET, fontsize=9)
    return png(figure)


def sizes(rows: Sequence[Row]) -> bytes:
    """Size of the model file and peak memory of each row."""
    figure, axes = _rows_figure(rows)
    places = np.arange(len(rows))
    axes.barh(places - 0.19, [row.file_bytes / 1e6 for row in rows], 0.34, color=TFLITE, label="file")
    axes.barh(places + 0.19, [row.peak_memory_mb for row in rows], 0.34, color=COLORS[2], label="peak memory")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} MB")
    axes.xaxis.set_minor_formatter("")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9, labelcolor=QUIET)
    return png(figure)


def over_time(named: Sequence[tuple[str, Sequence[Turn]]]) -> bytes:
    """Latency of each row's turns over time and, where the board tells, its temperature and clock."""
    turns = sorted((turn for _, some in named for turn in some), key=lambda turn: turn.time_s)
    shown = [
        (sensed, name) for sensed, name in SENSED if any(getattr(turn.readings, name) is not None for turn in turns)
    ]
    figure = Figure(figsize=(WIDTH, 3.4 + 1.5 * len(shown)), dpi=DPI, layout="constrained")
    latency, *others = np.atleast_1d(
        figure.subplots(1 + len(shown), 1, sharex=True, height_ratios=[2, *[1] * len(shown)])
    )
    for number, (name, some) in enumerate(named):
        latency.plot(
            [turn.time_s for turn in some],
            [turn.total_ms for turn in some],
            color=COLORS[number % len(COLORS)],
            ls=STYLES[number // len(COLORS) % len(STYLES)],
            lw=1.2,
            label=plain(name),
        )
    latency.set_yscale("log")
    _millisecond_ticks(latency.yaxis, [turn.total_ms for turn in turns])
    quiet(latency)
    for axes, (sensed, name) in zip(others, shown, strict=True):
        points = [(turn.time_s, value) for turn in turns if (value := getattr(turn.readings, name)) is not None]
        axes.plot(*zip(*points, strict=True), color=COLORS[2], lw=1.2)
        title(axes, sensed)
        quiet(axes)
    title(latency, "Median latency of each turn")
    (others or [latency])[-1].set_xlabel("Seconds since timing began", color=QUIET, fontsize=9)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8, labelcolor=QUIET)
    return png(figure)


def corrupted(rows: Sequence[Row]) -> bytes:
    """Accuracy of each row over the severity of the corruption, mean over the kinds; 0 is no corruption."""
    figure = Figure(figsize=(WIDTH, 4.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for number, row in enumerate(rows):
        if row.robustness:
            means = np.mean(list(row.robustness.accuracy.values()), axis=0)
            axes.plot(
                (0, *SEVERITIES),
                (row.robustness.clean.value, *means),
                color=COLORS[number % len(COLORS)],
                ls=STYLES[number // len(COLORS) % len(STYLES)],
                marker="o",
                ms=4.5,
                lw=1.4,
                label=plain(row.name),
            )
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("Severity; 0 is the photo as it is", color=QUIET, fontsize=9)
    title(axes, "Accuracy under corruption, mean of 15 kinds")
    quiet(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8, labelcolor=QUIET)
    return png(figure)


def confusion_change(row: Row, first: Row, labels: Sequence[str]) -> bytes:
    """Photos by true and predicted label, less the first row's: what moved, and where to; of more than `MATRIX_LABELS`
    labels of those that have most of it."""
    change = np.array(row.accuracy.confusion) - np.array(first.accuracy.confusion)
    moved = np.abs(change).sum(axis=0) + np.abs(change).sum(axis=1)
    shown = np.sort(np.argsort(-moved, kind="stable")[:MATRIX_LABELS])
    change, labels = change[np.ix_(shown, shown)], [labels[number] for number in shown]
    side = max(3.4, 0.42 * len(labels) + 1.5)
    figure = Figure(figsize=(side, side), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    most = max(3, int(np.abs(change).max()))  # one photo is not to look like a disaster
    axes.imshow(change, cmap="PuOr_r", vmin=-most, vmax=most)
    names = [plain(label, LABEL) for label in labels]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("taken for", color=QUIET, fontsize=9)
    axes.set_ylabel("shows", color=QUIET, fontsize=9)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=FULL_SIZE, labelsize=9)
    for (true, taken), count in np.ndenumerate(change):
        if count:
            color = "white" if abs(count) > 0.6 * most else FULL_SIZE
            axes.text(taken, true, f"{count:+d}", ha="center", va="center", fontsize=9, color=color)
    return png(figure)


def _rows_figure(rows: Sequence[Row]) -> tuple[Figure, Axes]:
    """A figure with a line per row, their names at its left."""
    figure = Figure(figsize=(WIDTH, 0.34 * len(rows) + 1.4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    quiet(axes)
    axes.tick_params(axis="y", labelcolor=FULL_SIZE, labelsize=8.5)
    return figure, axes


def _short(name: str, longest: int = 34) -> str:
    return plain(name, longest)


def _millisecond_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Ticks at 1, 2, 5, 10 … over the range, and no others."""
    low, high = 0.8 * min(values), 1.25 * max(values)
    ticks = [digit * 10.0**power for power in range(-4, 7) for digit in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(inside[:: 1 + len(inside) // 8])
    axis.set_ticks([], minor=True)
    axis.set_view_interval(low, high, ignore=True)
    axis.set_major_formatter(lambda value, _: f"{value:g} ms")


def title(axes: Axes, text: str) -> None:
    """What a plot shows, above it at the left."""
    axes.set_title(text, fontsize=10.5, weight="bold", color=FULL_SIZE, loc="left")


def quiet(axes: Axes) -> None:
    """Grid and scale step back behind what is drawn."""
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(which="both", length=0, labelcolor=QUIET, labelsize=9)


def png(figure: Figure) -> bytes:
    """The bytes of a PNG file."""
    data = BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()
