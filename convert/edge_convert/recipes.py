"""Recipes: each makes a bare .tflite flatbuffer of a full-size model.

A full-size model takes raw pixels, 0..255, and brings them to its own range in its first layer. The float recipes keep
that layer. The 8-bit recipe cuts it off: the input tensor's own scale and zero point say the same, so raw uint8 pixels
go in and no operator is spent on them. Only a layer with an offset for each channel (ResNet50, VGG) stays.

Every recipe has a batch of 1 and static shapes, which the Edge TPU and some delegates demand.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from edge_convert.tf import keras, tf
from edge_core.preprocess import Frame
from edge_device.quiet import silenced

Pixels = Frame
"""Preprocessed calibration photos: uint8, shape (photos, height, width, 3)."""


def float32(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """Nothing quantised: the yardstick for the others."""
    del calibration
    return _convert(_converter(model))


def float16(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """Weights in half precision, computed in single: half the size, no loss worth the name."""
    del calibration
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _convert(converter)


def dynamic(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """8-bit weights; activations are quantised as they come, so no calibration, but slower than int8."""
    del calibration
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return _convert(converter)


def int8(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """8-bit weights and activations, uint8 in and out: small, fast, and what an Edge TPU takes.

    Raises:
        ValueError: no calibration photos.
    """
    if calibration is None or not len(calibration):
        raise ValueError("int8 needs calibration photos")
    rescaling = next((layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling)), None)
    if rescaling is not None and np.ndim(rescaling.scale) == np.ndim(rescaling.offset) == 0:
        model = keras.Model(rescaling.output, model.output)
        scale, offset = rescaling.scale, rescaling.offset
    else:  # an offset for each channel is more than one zero point can say: the layer stays
        scale, offset = 1.0, 0.0

    # One black and one white pixel give the input tensor the whole range of a camera: scale 2/255, zero point 127.
    photos = calibration.copy()
    photos[0, 0, 0], photos[0, 0, 1] = 0, 255

    def representative() -> Iterator[list[Any]]:
        for photo in photos:
            yield [photo[None].astype(np.float32) * scale + offset]

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return _convert(converter)


RECIPES: Final[dict[str, Callable[["keras.Model", Pixels | None], bytes]]] = {
    "float32": float32,
    "float16": float16,
    "dynamic": dynamic,
    "int8": int8,
}

CALIBRATED: Final = frozenset({"int8"})
"""Recipes that need calibration photos."""


def _converter(model: "keras.Model") -> Any:
    call = tf.function(lambda pixels: model(pixels, training=False))
    concrete = call.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]), tf.float32))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)


def _convert(converter: Any) -> bytes:
    with silenced():
        return bytes(converter.convert())
