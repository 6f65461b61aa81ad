"""The signs on paper, to be held before a camera."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from edge_core.files import written_whole
from edge_train.data.signs.artwork import SIGNS, drawing_of

WIDTH_MM: Final = 210.0  # A4
HEIGHT_MM: Final = 297.0
SIGN_RADIUS_MM: Final = 45.0  # leaves the margin of 7 mm that home printers need
PER_PAGE: Final = 4


def write_sheet(path: Path) -> None:
    """Writes an A4 PDF with four signs a page as vectors, 90 mm wide, each with its name and between cut lines.

    Raises:
        OutputError: The file cannot be written.
    """
    pages = [SIGNS[first : first + PER_PAGE] for first in range(0, len(SIGNS), PER_PAGE)]
    metadata = {"Title": "Road signs", "CreationDate": None}  # without a date, the same signs give the same bytes
    with written_whole(path) as beside, PdfPages(beside, metadata=metadata) as pdf:
        for number, labels in enumerate(pages, start=1):
            pdf.savefig(_page(labels, f"page {number} of {len(pages)}"))


def _page(labels: Sequence[str], footer: str) -> Figure:
    figure = Figure(figsize=(WIDTH_MM / 25.4, HEIGHT_MM / 25.4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH_MM)
    axes.set_ylim(HEIGHT_MM, 0)  # y down, as in the drawings
    axes.set_axis_off()
    for xs, ys in (([WIDTH_MM / 2] * 2, [0, HEIGHT_MM]), ([0, WIDTH_MM], [HEIGHT_MM / 2] * 2)):
        axes.plot(xs, ys, color="0.6", linewidth=0.5, linestyle=(0, (6, 4)))
    for place, label in enumerate(labels):
        row, column = divmod(place, 2)
        x, y = WIDTH_MM * (column + 0.5) / 2, HEIGHT_MM * (row + 0.5) / 2 - 8
        _place(axes, label, x, y)
        axes.text(
            x, y + SIGN_RADIUS_MM + 15, label.replace("_", " "), ha="center", va="center", fontsize=15, color="0.2"
        )
    hint = "print at full size, cut along the dashed lines"
    axes.text(WIDTH_MM - 8, HEIGHT_MM - 7, f"{hint} · {footer}", ha="right", fontsize=6, color="0.5")
    return figure


def _place(axes: Axes, label: str, x: float, y: float) -> None:
    for layer in drawing_of(label):
        color = tuple(channel / 255 for channel in layer.color)
        for polygon in layer.polygons:
            axes.add_patch(Polygon(polygon * SIGN_RADIUS_MM + [x, y], facecolor=color, linewidth=0))
