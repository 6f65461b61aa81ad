"""Three convolutions, for tests of what training does with any network: MobileNetV2 costs ten times as much."""

from typing import Any

from edge_keras.models.architectures import Architecture
from edge_keras.tf import keras


def _trunk(pixels: Any, alpha: float) -> "keras.Model":
    layers = keras.layers
    first = layers.Conv2D(int(32 * alpha), 3, strides=2, padding="same", use_bias=False)(pixels)
    seam = layers.ReLU(6.0, name="seam")(layers.BatchNormalization()(first))
    depthwise = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(seam)
    pointwise = layers.Conv2D(int(128 * alpha), 1, use_bias=False, name="pointwise")(layers.ReLU(6.0)(depthwise))
    activated = layers.ReLU(6.0, name="activated")(layers.BatchNormalization()(pointwise))
    return keras.Model(keras.utils.get_source_inputs(pixels), layers.GlobalAveragePooling2D()(activated))


SMALL_NETWORK = Architecture("small", _trunk, seam="seam", size=32)
