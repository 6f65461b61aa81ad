"""Digest of the graph that every recipe makes of one network, to compare two versions of this repository.

    PYTHONPATH=device:train:convert python benchmarks/experiments/recipe_bytes.py

Run in a checkout of each version, by one environment, it prints the same lines where the recipes are the same to the
byte. The network, its weights and the calibration photos are drawn from a seed; what a seal adds to a file afterwards,
such as a measured tolerance, is not part of the graph.
"""

import hashlib
from typing import Any

import numpy as np

try:
    from edge_convert.quantize.recipes import RECIPES
    from edge_keras.tf import keras
except ImportError:  # where they were in earlier versions
    from edge_convert.recipes import RECIPES  # type: ignore[import-not-found, no-redef]
    from edge_convert.tf import keras  # type: ignore[import-not-found]


def network() -> Any:
    """Three convolutions with batch normalization, and a softmax of four labels."""
    rng, layers = np.random.default_rng(0), keras.layers
    pixels = keras.Input((32, 32, 3))
    maps = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    maps = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="first")(maps)
    maps = layers.ReLU(6.0, name="first_relu")(layers.BatchNormalization(name="first_norm")(maps))
    maps = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name="depthwise")(maps)
    maps = layers.ReLU(6.0, name="depthwise_relu")(layers.BatchNormalization(name="depthwise_norm")(maps))
    maps = layers.Conv2D(32, 1, use_bias=False, name="project")(maps)
    pooled = layers.GlobalAveragePooling2D(name="pool")(layers.ReLU(6.0, name="project_relu")(maps))
    model = keras.Model(pixels, layers.Dense(4, activation="softmax", name="scores")(pooled))
    model.set_weights(
        [
            rng.uniform(0.2, 0.6, one.shape) * rng.choice([-1, 1], one.shape)
            if one.ndim > 1
            else rng.uniform(0.5, 1.5, one.shape)
            for one in model.get_weights()
        ]
    )
    return model


def main() -> None:
    photos = np.random.default_rng(1).integers(0, 256, (24, 32, 32, 3)).astype(np.uint8)
    for name, recipe in RECIPES.items():
        keras.backend.clear_session()
        graph = recipe(network(), photos)
        print(f"{name:16} {len(graph):7} bytes  {hashlib.sha256(graph).hexdigest()[:32]}")


if __name__ == "__main__":
    main()
