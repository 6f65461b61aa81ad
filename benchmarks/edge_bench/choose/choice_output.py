"""What `choose` found, as a table, as JSON and as a plot."""

from dataclasses import asdict
from pathlib import Path
from typing import Final

from edge_bench.choose.choosing import Chosen, Tried
from edge_core.codec import JsonObject
from edge_core.files import written_whole
from edge_device.command_line.console import extra_needed
from edge_device.command_line.tables import Column, print_table, terminal

_COLUMNS: Final = (
    Column("network", number=False),
    Column("head\n%"),
    Column("behind the best\npoints", keep=3),
    Column("ms"),
    Column("", number=False, keep=4),
)


def print_choice(chosen: Chosen) -> None:
    """Prints a table, the fastest network first, and what is recommended."""
    console = terminal()
    print_table(console, _COLUMNS, [_cells(one, chosen) for one in chosen.tried])
    console.print(
        f"\nhead: accuracy of the last layer alone, cross-validated on {chosen.photos} photos; fine-tuning adds to it. "
        f"ms: a frame of 1280x720, {chosen.timing}.",
        style="dim",
        markup=False,
        soft_wrap=True,
    )
    for network, reason in chosen.left_out:
        console.print(f"{network.name}: left out: {reason}", markup=False, soft_wrap=True)
    console.print(chosen.sentence(), markup=False, soft_wrap=True)


def _cells(one: Tried, chosen: Chosen) -> list[str]:
    low, high = one.milliseconds.low, one.milliseconds.high
    notes = ["front"] * one.on_front + ["recommended"] * (one == chosen.recommended)
    return [
        one.network.name,
        one.accuracy.percent().replace(" %", ""),
        f"{100 * one.behind.value:.1f} ({100 * one.behind.low:.1f} to {100 * one.behind.high:.1f})",
        f"{one.milliseconds.value:.2f}" + (f" ({low:.2f} to {high:.2f})" if high > low else ""),
        ", ".join(notes),
    ]


def choice_json(chosen: Chosen) -> JsonObject:
    """The object that `edge-train choose --json` prints."""

    def row(one: Tried) -> JsonObject:
        fields = asdict(one)
        return {"name": one.network.name, "options": one.network.options, **fields.pop("network"), **fields}

    return {
        "networks": [row(one) for one in chosen.tried],
        "recommended": chosen.recommended and chosen.recommended.network.name,
        "left_out": {network.name: reason for network, reason in chosen.left_out},
        "photos": chosen.photos,
        "timing": chosen.timing,
        "max_ms": chosen.max_ms,
    }


def write_plot(chosen: Chosen, path: Path) -> None:
    """Writes accuracy against time as PNG; the line joins what nothing is both faster and more accurate than."""
    with extra_needed("bench", "matplotlib"):
        from matplotlib.figure import Figure

        from edge_bench.render.chart import FRONT, FULL_SIZE, QUIET, TFLITE
    figure = Figure(figsize=(8, 4.8), dpi=200, layout="constrained")
    axes = figure.add_subplot(
        xscale="log", xlabel=f"ms a frame, log scale; {chosen.timing}", ylabel="accuracy of the last layer alone, %"
    )
    times = [one.milliseconds.value for one in chosen.tried] + [chosen.max_ms or chosen.tried[0].milliseconds.value]
    axes.set_xlim(min(times) / 1.3, max(times) * 2)  # not by what is drawn: one point has no extent, and names go right
    for one in chosen.tried:
        time, share = one.milliseconds.value, one.accuracy
        color = FRONT if one == chosen.recommended else TFLITE if one.on_front else QUIET
        axes.vlines(time, 100 * share.low, 100 * share.high, color=color, linewidth=1.4, alpha=0.45)
        axes.scatter(time, 100 * share.value, color=color, s=50, zorder=3)
        axes.annotate(
            one.network.name, (time, 100 * share.value), (5, 4), textcoords="offset points", fontsize=8, color=color
        )
    front = [one for one in chosen.tried if one.on_front]
    axes.plot(
        [one.milliseconds.value for one in front],
        [100 * one.accuracy.value for one in front],
        drawstyle="steps-post",
        color=TFLITE,
        linewidth=1,
    )
    if chosen.max_ms is not None:
        axes.axvline(chosen.max_ms, color=FULL_SIZE, linestyle=(0, (4, 4)), linewidth=1)
    axes.xaxis.label.set_fontsize(8)
    axes.set_title(chosen.sentence(), fontsize=9)
    axes.margins(y=0.12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.spines[["top", "right"]].set_visible(False)
    with written_whole(path) as beside:
        figure.savefig(beside, format="png")
