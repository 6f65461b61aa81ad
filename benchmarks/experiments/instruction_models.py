"""Makes the models whose cost `reference/instructions.csv` has: real networks with random weights, which cost the same.

    make verify-instructions    # makes them, counts, and ends with exit status 1 if one has become dearer by over 2 %
    edge-bench instructions $(python benchmarks/experiments/instruction_models.py models/) \\
        --out benchmarks/reference/instructions.csv

They go through this project's architectures and recipes, so the comparison tells when one of these, TensorFlow's
converter, the runtime or preprocessing makes a frame dearer.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from edge_convert.quantize.recipes import CALIBRATED, RECIPES
from edge_core import InputSpec, ModelCard, complete
from edge_core.files import written_whole
from edge_device.command_line.console import one_line_errors, track
from edge_keras.models.architectures import ARCHITECTURES
from edge_keras.models.backbone import build
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras

MODELS: Final = (
    ("mobilenet_v2", 1.0, 160, ("int8", "float32", "float16", "dynamic")),
    ("mobilenet_v2", 1.0, 96, ("int8",)),
    ("mobilenet_v2", 1.0, 224, ("int8",)),
    ("mobilenet_v2", 0.35, 160, ("int8",)),
    ("mobilenet_v1", 0.5, 160, ("int8",)),
    ("mobilenet_v3_small_minimalistic", 1.0, 224, ("int8",)),
    ("efficientnet_lite0", 1.0, 224, ("int8", "float32")),
)
"""Architecture, width multiplier, side of the input, recipes."""

LABELS: Final = ("no", "yes")


def make(folder: Path, architecture: str, alpha: float, side: int, recipes: tuple[str, ...]) -> Iterator[Path]:
    """Writes a complete .tflite, without a seal, for each recipe of a network; their paths."""
    keras.utils.set_random_seed(0)
    spec = InputSpec(side, side)
    model = build(spec, len(LABELS), alpha, Weights("none (random)"), ARCHITECTURES[architecture])
    noise = np.random.default_rng(0).integers(0, 256, (4, *spec.shape), np.uint8)
    for recipe in recipes:
        bare = RECIPES[recipe](model, noise if recipe in CALIBRATED else None)
        name = f"{architecture}_{alpha:g}_{side}_{recipe}"
        file = folder / f"{name}.tflite"
        with written_whole(file) as path:
            path.write_bytes(complete(bare, ModelCard(LABELS, spec), name))
        yield file


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="to write them to; their paths are printed")
    folder = parser.parse_args().folder
    with one_line_errors():
        folder.mkdir(parents=True, exist_ok=True)
        for network in track(MODELS, "Making models", len(MODELS)):
            for file in make(folder, *network):
                print(file)
