"""Accuracy over epsilon, a panel for each attack."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_bench.adversarial.attack_report import NOISE, SQUARE, AdversarialReport, EpsilonPoint
from edge_bench.render.bench_plots import COLORS, DPI, PERCENT, STYLES, png, quiet, title
from edge_bench.render.chart import QUIET
from edge_device.command_line.console import extra_needed
from edge_keras.plot_text import plain

with extra_needed("bench", "matplotlib"):
    from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves_png(report: AdversarialReport) -> bytes:
    """The curves of all rows with their 95 % intervals, and beneath them noise on the first row, as a PNG."""
    attacks = [attack for attack in report.attacks if attack != NOISE] or [NOISE]
    figure = Figure(figsize=(4.4 * len(attacks) + 0.4, 4.4), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(attacks), sharey=True, squeeze=False)[0]
    epsilons = (0, *report.settings.epsilons)
    width = 0.05  # between rows, or their intervals would lie upon each other
    for axes, attack in zip(panels, attacks, strict=True):
        noise = [point.accuracy.value for point in report.rows[0].curves[NOISE].points]
        axes.plot(range(len(epsilons)), noise, color=QUIET, lw=1, ls=":", label="random noise, first row")
        for number, row in enumerate(report.rows):
            if attack in row.curves:
                shift = width * (number - (len(report.rows) - 1) / 2)
                _draw_curve(axes, row.curves[attack].points, number, shift, plain(row.name))
        axes.set_xticks(range(len(epsilons)), [str(epsilon) for epsilon in epsilons])
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_xlabel("Epsilon, gray levels; 0 is the photo as it is", color=QUIET, fontsize=9)
        title(axes, _panel_title(attack, plain(report.made_against)))
        quiet(axes)
    named = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(named.values()),
        list(named),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
        labelcolor=QUIET,
    )
    return png(figure)


def _panel_title(attack: str, made_against: str) -> str:
    if attack == SQUARE:  # it needs no gradient, so each row is attacked by itself
        return "Square Attack, asked itself"
    return f"{attack.upper()}, made against {made_against}"


def _draw_curve(axes: "Axes", points: Sequence[EpsilonPoint], number: int, shift: float, name: str) -> None:
    """The curve of row `number`, `shift` to the right of the whole epsilons, with a line for each interval."""
    places = [place + shift for place in range(len(points))]
    color = COLORS[number % len(COLORS)]
    for place, point in zip(places, points, strict=True):
        axes.vlines(place, point.accuracy.low, point.accuracy.high, color=color, lw=1.6, alpha=0.45)
    axes.plot(
        places,
        [point.accuracy.value for point in points],
        color=color,
        ls=STYLES[number // len(COLORS) % len(STYLES)],  # once the colors are used up, another dash
        marker="o",
        ms=4.5,
        lw=1.4,
        label=name,
    )
