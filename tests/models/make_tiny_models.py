"""Makes the tiny models that the tests run, `python tests/models/make_tiny_models.py`; needs TensorFlow.

They classify a picture by its color: pooled pixels, a dense layer with weights set by hand, softmax. So what they have
to answer is known without training, and a swapped channel order or a wrong scale shows as a wrong label.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import numpy.typing as npt

SIDE = 32
LABELS = ("red", "green", "blue", "dark")


def color_model() -> Any:
    """Raw pixels, shape (1, 32, 32, 3), to probabilities of `LABELS`: the strongest channel wins, if it is not weak."""
    import tf_keras

    weights = np.concatenate([np.eye(3), np.zeros((3, 1))], axis=1) * 10
    bias = np.array([0.0, 0.0, 0.0, 2.0])  # dark: no channel reaches a fifth of full scale
    pixels = tf_keras.Input((SIDE, SIDE, 3), batch_size=1, name="image")
    levels = tf_keras.layers.GlobalAveragePooling2D()(pixels)
    dense = tf_keras.layers.Dense(4, activation="softmax", name="scores")
    model = tf_keras.Model(pixels, dense(levels))
    dense.set_weights([weights / 255, bias])
    return model


def solid_pictures() -> Iterator[list[npt.NDArray[np.float32]]]:
    """Calibration: the eight corners of the color cube, so the input's scale comes out as 1 and its zero point as 0."""
    for color in np.ndindex(2, 2, 2):
        yield [np.full((1, SIDE, SIDE, 3), 255, np.float32) * np.array(color, np.float32)]


def main() -> None:
    import tensorflow as tf

    folder = Path(__file__).parent
    converter = tf.lite.TFLiteConverter.from_keras_model(color_model())
    (folder / "tiny-float32.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = solid_pictures
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    quantized = converter.convert()
    (folder / "tiny-uint8.tflite").write_bytes(quantized)
    (folder.parents[1] / "device/edge_device/doctor/tiny.tflite").write_bytes(quantized)


if __name__ == "__main__":
    main()
