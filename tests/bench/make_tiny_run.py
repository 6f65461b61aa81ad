"""Makes what the benchmark's tests measure, `python tests/bench/make_tiny_run.py FOLDER`; needs TensorFlow.

A run whose model names the brightest color channel, with weights set by hand; the same model as a bare .tflite; and
one more with two labels swapped.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import numpy.typing as npt

SIDE = 32


def color_model(weights: npt.NDArray[np.float64]) -> Any:
    """Raw pixels, shape (batch, 32, 32, 3), R, G, B, to probabilities; `weights` are the dense layer's, shape (3,
    3)."""
    import tf_keras

    pixels = tf_keras.Input((SIDE, SIDE, 3))
    levels = tf_keras.layers.GlobalAveragePooling2D()(tf_keras.layers.Rescaling(1 / 255)(pixels))
    dense = tf_keras.layers.Dense(3, activation="softmax")
    model = tf_keras.Model(pixels, dense(levels))
    dense.set_weights([weights, np.zeros(3)])
    return model


def to_tflite(model: Any) -> bytes:
    import tensorflow as tf

    graph = tf.function(lambda pixels: model(pixels, training=False))
    signature = graph.get_concrete_function(tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([signature], model)
    converter.experimental_lower_to_saved_model = False
    converted: bytes = converter.convert()
    return converted


def main(folder: Path) -> None:
    right = 10 * np.eye(3)
    (folder / "run").mkdir(parents=True)
    color_model(right).save(folder / "run" / "model.keras")
    (folder / "same.bare").write_bytes(to_tflite(color_model(right)))
    (folder / "swapped.bare").write_bytes(to_tflite(color_model(right[:, [1, 0, 2]])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
