"""Pictures of what a network looks at."""

from collections.abc import Sequence
from io import BytesIO
from typing import Final

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from edge_core.preprocess import Frame
from edge_core.run_folder import evenly_spaced
from edge_device.results import Prediction
from edge_keras.plot_text import plain
from edge_train.evaluation.training_plots import DPI, INK, QUIET
from edge_train.explain.activation_maps import ActivationMaps
from edge_train.explain.feature_visualization import Ideal
from edge_train.explain.heatmap.grad_cam import Heat, Heatmaps, Looked
from edge_train.explain.heatmap.occlusion import Map

MAP_COLORS: Final = "viridis"
"""From low to high as bright to the color-blind as to anyone else, and in print."""
HEAT_COLORS: Final = "inferno"
MARGIN: Final = 0.12
GAP: Final = 0.06


class Sheet:
    """A figure on which parts lie where they are put, in inches from the top left: a grid of maps needs no layout
    engine."""

    def __init__(self, width: float, height: float) -> None:
        self._width, self._height = width, height
        self._figure = Figure(figsize=(width, height), dpi=DPI)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """An empty place without scales."""
        place = (left / self._width, 1 - (top + height) / self._height, width / self._width, height / self._height)
        axes = self._figure.add_axes(place)
        axes.axis("off")
        return axes

    def words(self, left: float, top: float, heading: str, lines: Sequence[str] = (), size: float = 10.5) -> None:
        """A bold line and quiet ones beneath it."""
        x, y = left / self._width, 1 - top / self._height
        self._figure.text(x, y, plain(heading), fontsize=size, weight="bold", color=INK, va="top")
        below = 1 - (top + 1.6 * size / 72) / self._height
        text = "\n".join(plain(line) for line in lines)
        self._figure.text(x, below, text, fontsize=size - 1.5, color=QUIET, va="top", linespacing=1.4)

    def png(self) -> bytes:
        data = BytesIO()
        self._figure.savefig(data, format="png")
        return data.getvalue()


def feature_grid(features: ActivationMaps) -> bytes:
    """The photo, then a row of maps for each layer, as a PNG."""
    photo, names, cell, number = 1.5, 1.65, 0.98, 0.17
    columns = max(len(layer.channels) for layer in features.layers)
    head = 2 * MARGIN + photo + 0.1
    row = cell + number + GAP
    width = max(7.6, 2 * MARGIN + names + columns * (cell + GAP))
    sheet = Sheet(width, head + row * len(features.layers) + MARGIN)
    sheet.axes(MARGIN, MARGIN, photo, photo).imshow(features.pixels)
    sheet.words(
        MARGIN + names,
        0.4,
        _cut(features.source.name, 50),
        [
            said(features.top),
            "What the channels of some layers respond to, early layers first:",
            f"the {columns} of most contrast, each from its least (dark) to its most (bright).",
        ],
    )
    for place, layer in enumerate(features.layers):
        top = head + place * row
        sheet.words(MARGIN, top + 0.4, _cut(layer.layer.name, 21), [layer.layer.kind, layer.layer.shape], size=8.5)
        for column, channel in enumerate(layer.channels):
            left = MARGIN + names + column * (cell + GAP)
            axes = sheet.axes(left, top + number, cell, cell)
            axes.imshow(channel.map, cmap=MAP_COLORS, interpolation="nearest", aspect="auto")
            axes.set_title(f"{channel.number}", fontsize=7, color=QUIET, pad=2)
    return sheet.png()


def heat_rows(heatmaps: Heatmaps, most: int = 8) -> bytes:
    """A row for each picture, for `most` of them at even distances: the photo, and the maps laid over it, as a PNG."""
    side, row = 1.55, 1.55 + 0.52
    shown = evenly_spaced(heatmaps.looked, most)
    heats = shown[0].heats
    top = 0.62
    sheet = Sheet(2 * MARGIN + (1 + len(heats)) * (side + GAP) - GAP, top + row * len(shown) + 0.25)
    heads = [("Photo", "as the models see it"), *((heat.method, heat.network) for heat in heats)]
    for column, (method, network) in enumerate(heads):
        sheet.words(MARGIN + column * (side + GAP), MARGIN, method, [_cut(network, 24)], size=9.5)
    for place, looked in enumerate(shown):
        line = top + place * row
        sheet.axes(MARGIN, line, side, side).imshow(looked.pixels)
        sheet.words(MARGIN, line + side + 0.04, f"for {_cut(looked.label, 16)}", [_cut(looked.source.name, 24)], size=8)
        for column, heat in enumerate(looked.heats, start=1):
            left = MARGIN + column * (side + GAP)
            sheet.axes(left, line, side, side).imshow(laid_over(looked.pixels, heat.map))
            sheet.words(left, line + side + 0.04, said([heat.said], 13), [_agrees(looked, heat)], size=8)
    return sheet.png()


def laid_over(pixels: Frame, heat: Map) -> Frame:
    """A map over the gray photo, both uint8 RGB of one shape: the brighter, the more; what is below zero has no
    color."""
    height, width = pixels.shape[:2]
    smooth = cv2.resize(heat.clip(0), (width, height), interpolation=cv2.INTER_CUBIC).clip(0)
    share = smooth / max(float(smooth.max()), 1e-9)
    gray = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colored = 255 * colormaps[HEAT_COLORS](share)[..., :3]
    opacity = 0.75 * np.sqrt(share)[..., None]
    mixed: Frame = np.rint((1 - opacity) * gray + opacity * colored).astype(np.uint8)
    return mixed


def _agrees(looked: Looked, heat: Heat) -> str:
    """What a map is compared with, and how far they agree."""
    short = {looked.heats[0].name: "Grad-CAM", looked.heats[1].name: "full-size"}
    found = [
        f"{short[first]} {'–' if value is None else f'{value:+.2f}'}"
        for (first, second), value in looked.pairs().items()
        if second == heat.name and first in short
    ]
    return ", ".join(found)


def ideal_sheet(ideal: Ideal, model: str) -> bytes:
    """All pictures beside each other with what the networks say of them, as a PNG."""
    side, columns = 2.3, min(4, len(ideal.pictures))
    below = 0.62 + 0.17 * max(1, len(ideal.pictures[0].others))
    rows = -(-len(ideal.pictures) // columns)
    width = max(3.4, 2 * MARGIN + columns * (side + 2 * GAP))
    sheet = Sheet(width, 0.5 + rows * (side + below) + MARGIN)
    sheet.words(MARGIN, MARGIN, f"What {_cut(model, 24)} wants to see of: {_cut(ideal.label, 24)}")
    for place, one in enumerate(ideal.pictures):
        left, top = MARGIN + place % columns * (side + 2 * GAP), 0.5 + place // columns * (side + below)
        sheet.axes(left, top, side, side).imshow(one.pixels, interpolation="bicubic")
        lines = [
            f"shifted by up to 8 pixels: {100 * one.moved[0]:.1f} % or more",
            *(f"{_cut(name, 28)}: {100 * score:.1f} %" for name, score in one.others.items()),
        ]
        sheet.words(left, top + side + 0.05, f"{ideal.label} {100 * one.score:.1f} %, seed {one.seed}", lines, size=9)
    return sheet.png()


def ideal_gif(ideal: Ideal) -> bytes:
    """How the first picture came about, twice enlarged, as an animated GIF that rests for two seconds at the end."""
    frames = [Image.fromarray(frame.repeat(2, axis=0).repeat(2, axis=1)) for frame in ideal.frames]
    data = BytesIO()
    durations = [80] * (len(frames) - 1) + [2000]  # milliseconds
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return data.getvalue()


def said(predictions: Sequence[Prediction], length: int = 24) -> str:
    """`cat 99.8 %, dog 0.2 %`, with labels cut to a length."""
    return ", ".join(f"{_cut(one.label, length)} {100 * one.score:.1f} %" for one in predictions)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length // 2 - 1]}…{text[-(length // 2) :]}"
