"""Occlusion sensitivity: by how much a network is less sure of a label when a part of the picture is hidden.

Zeiler and Fergus (ECCV 2014). It asks for scores alone, no gradients, so it says the same of a .tflite as of the
full-size model.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.errors import SettingsError
from edge_core.preprocess import Frame
from edge_train.explain.heatmap.logits import Network, log_odds

Map = npt.NDArray[np.float32]

HIDDEN_LEVEL: Final = 127
"""Mid-gray. Rank correlation with Grad-CAM, 24 photos of cats and dogs, patches of 3 cells, each +- 0.13: gray 0.48,
the photo's mean color 0.46, the photo blurred 0.39."""

CELLS: Final = 10
"""101 pictures to ask about: 0.1 s for a MobileNetV2 at 160 in 8 bits, at 1.1 ms each."""

PATCH: Final = 4
"""The larger, the more it hides of what tells, and the coarser the map. The same correlation, for patches of 2, 3, 4
and 5 cells: 0.38, 0.48, 0.64, 0.68."""

MOST_CELLS: Final = 40
"""All pictures with something hidden are in memory at once: 240 MB at a side of 224."""


@dataclass(frozen=True)
class Patches:
    """What is hidden, one after the other.

    Attributes:
        cells: Across the shorter side of the picture: at the middle of each is one patch.
        patch: Side of a patch, in cells.
    """

    cells: int = CELLS
    patch: int = PATCH

    def __post_init__(self) -> None:
        if not (2 <= self.cells <= MOST_CELLS and 1 <= self.patch < self.cells):
            raise SettingsError(
                f"patches lie on 2 to {MOST_CELLS} cells and cover fewer, not {self.patch} on {self.cells}"
            )

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches on a picture; no cell is smaller than a pixel."""
        cell = max(1.0, min(height, width) / self.cells)
        return max(1, round(height / cell)), max(1, round(width / cell))


def hidden(pixels: Frame, patches: Patches) -> Frame:
    """The picture with one patch after the other made gray: uint8, shape (rows * columns, height, width, 3)."""
    height, width = pixels.shape[:2]
    rows, columns = patches.grid(height, width)
    copies = np.repeat(pixels[None], rows * columns, axis=0)
    places = ((row, column) for row in _spans(height, rows, patches) for column in _spans(width, columns, patches))
    for copy, (row, column) in zip(copies, places, strict=True):
        copy[row, column] = HIDDEN_LEVEL
    return copies


def _spans(length: int, count: int, patches: Patches) -> Iterator[slice]:
    cell = length / count
    more = (patches.patch - 1) / 2
    for number in range(count):
        first, last = ((number - more) * cell, (number + 1 + more) * cell)
        yield slice(max(0, floor(first + 0.5)), max(1, floor(last + 0.5)))  # `round` would leave gaps at halves


def occlusion_map(network: Network, pixels: Frame, label: int, patches: Patches = Patches()) -> Map:
    """How much surer a network is of a label for what lies at each place, in log-odds.

    Args:
        network: Network that is queried once for the picture and once for each patch.
        pixels: uint8, shape (height, width, 3), as `preprocess` makes them.
        label: Number of the label.
        patches: Patches to hide.

    Returns:
        Float32, shape `patches.grid(height, width)`; negative where something speaks against the label.
    """
    whole, *others = log_odds(network.logits(np.concatenate([pixels[None], hidden(pixels, patches)])), label)
    drops: Map = (whole - np.array(others, np.float32)).reshape(patches.grid(*pixels.shape[:2]))
    return drops
