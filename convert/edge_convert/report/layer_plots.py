"""The layer report as a picture."""

from collections.abc import Sequence
from io import BytesIO
from typing import Final

from matplotlib.figure import Figure

from edge_convert.quantize.sqnr import LayerNoise
from edge_keras.plot_text import plain

INK: Final = "#262626"
QUIET: Final = "#6a6a6a"
GRID: Final = "#e6e6e6"
COMMON: Final = "#0072b2"  # of the color-blind-safe palette of Okabe and Ito (2008)
EACH: Final = "#d55e00"


def draw_layers(layers: Sequence[LayerNoise], shown: int) -> bytes:
    """A PNG of the signal-to-quantization-noise ratios of the `shown` worst layers."""
    layers = layers[:shown]
    figure = Figure(figsize=(5.4, 0.25 * len(layers) + 1.3), dpi=160, layout="constrained")
    axes = figure.subplots()
    places = range(len(layers))
    axes.hlines(
        places, [one.channel_sqnr_db for one in layers], [one.sqnr_db for one in layers], color=QUIET, lw=1, alpha=0.4
    )
    for name, color, marker, values in (
        ("each channel alike", EACH, "o", [one.channel_sqnr_db for one in layers]),
        ("all values", COMMON, "s", [one.sqnr_db for one in layers]),
    ):
        axes.scatter(values, places, s=22, color=color, marker=marker, edgecolor="white", lw=0.6, zorder=3, label=name)
    axes.set_yticks(places, [plain(one.layer, 40) for one in layers], fontsize=8.5)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_xlim(left=min(0, *(one.channel_sqnr_db for one in layers)))
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(length=0, labelcolor=QUIET)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_xlabel("Signal to quantization noise, dB: six are one bit", color=QUIET, fontsize=9)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9, labelcolor=QUIET)
    data = BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()
