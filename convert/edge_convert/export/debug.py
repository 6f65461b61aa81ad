"""The layer report of a run, without the proof."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_convert.export import read_calibration, recipe_for
from edge_convert.quantize.recipes import CALIBRATED_GRAPHS, ON_QUANTIZED, SPARED, noise_of
from edge_convert.quantize.sqnr import LayerNoise, layers_of
from edge_convert.report.layer_plots import draw_layers
from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Unusable
from edge_core.files import written_whole
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, load_model
from edge_keras.frozen_graph import load_keras

MOST: Final = 110
"""Layers in the picture: as many as can still be read."""


@dataclass(frozen=True)
class LayerReport:
    """What 8 bits do to a run, layer by layer.

    Attributes:
        recipe: Name of the recipe that chose the ranges.
        layers: The noisiest first.
        spared: Keras layers that int8-selective would leave in floats: the noisiest, and those that read them.
        unusable: Photos to calibrate on that could not be used.
    """

    recipe: str
    layers: tuple[LayerNoise, ...]
    spared: tuple[str, ...]
    unusable: tuple[Unusable, ...]

    def to_json(self) -> JsonObject:
        return {
            "recipe": self.recipe,
            "layers": [one.to_json() for one in self.layers],
            "would_spare": list(self.spared),
        }


def layer_report(
    run: Run, recipe: str = "int8", calibration: Path | None = None, track: Track = silently
) -> LayerReport:
    """Compares each 8-bit layer with what floats make of the same input.

    Args:
        run: The trained run.
        recipe: One of `CALIBRATED_GRAPHS`.
        calibration: Photo folder to calibrate on and to look at instead of the run's training photos.
        track: Receives the progress of each step.

    Raises:
        DatasetError, RunFolderError: There are no photos to calibrate on, or no weights trained for int8-qat.
    """
    recipe = recipe_for(run, recipe)
    file = run.quantized_file if recipe in ON_QUANTIZED else None
    reading = read_calibration(run, calibration, track)
    pixels = np.stack(reading.values)
    model = load_model(run, load_keras, file)
    layers = noise_of(CALIBRATED_GRAPHS[recipe](model, pixels), model, pixels)
    return LayerReport(recipe, layers, layers_of(layers[:SPARED]), reading.unusable)


def write_layer_report(report: LayerReport, out: Path) -> None:
    """Writes `layers.json` and `layers.png` into a folder.

    Raises:
        OutputError: A file cannot be written.
    """
    drawn = draw_layers(report.layers, MOST)
    with written_whole(out / "layers.json") as text, written_whole(out / "layers.png") as picture:
        text.write_text(json.dumps(report.to_json(), indent=2) + "\n", "utf-8")
        picture.write_bytes(drawn)
