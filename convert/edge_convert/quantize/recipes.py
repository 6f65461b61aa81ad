"""Recipes: each makes a bare .tflite flatbuffer of a full-size model.

A full-size model takes raw pixels, 0..255, and brings them to its own range in its first layer. The float recipes keep
that layer. The 8-bit recipes cut it off: the input tensor's own scale and zero point say the same, so raw uint8 pixels
go in and no operator is spent on them. Only a layer with an offset for each channel (ResNet50, VGG) stays.

Every recipe has a batch of 1 and static shapes, which the Edge TPU and some delegates demand, and gives the same bytes
for the same model and photos.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from edge_convert.quantize.calibration import (
    calibrate,
    choose_ranges,
    converted,
    converter_of,
    least_error,
    model_input,
    percentile,
    quantize,
    representative,
)
from edge_convert.quantize.equalization import correct_biases, equalize
from edge_convert.quantize.sqnr import LayerNoise, layer_noise, layers_of, tensors_of
from edge_core.preprocess import Frame
from edge_keras.tf import keras, tf

Pixels = Frame
"""Preprocessed calibration photos: uint8, shape (photos, height, width, 3)."""

SPARED: Final = 4
"""Layers that int8-selective leaves in floats unless told otherwise."""


def float32(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """Nothing quantized: the yardstick for the others. Of a pruned network zeros are left out, see `_without_zeros`."""
    del calibration
    return _without_zeros(model, [], [])


def float16(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """Weights in half precision, computed in single: half the size, no loss worth the name."""
    del calibration
    return _without_zeros(model, [tf.lite.Optimize.DEFAULT], [tf.float16])


def dynamic(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """8-bit weights; activations are quantized as they come, so no calibration, but slower than int8."""
    del calibration
    converter = converter_of(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converted(converter)


def int16x8(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """8-bit weights, 16-bit activations, floats in and out: close to floats, but CPUs have no fast kernels for it.

    MobileNetV2 at 160 takes 84 ms on the machine on which int8 takes 2.3 ms.
    """
    photos = _given(calibration)
    converter = converter_of(correct_biases(model, photos))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative(photos, 1.0, 0.0)
    converter.target_spec.supported_ops = [
        # Operators without such a kernel stay in floats instead of failing the conversion.
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]
    return converted(converter)


def int8(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """8-bit weights and activations, uint8 in and out: small, fast, and what an Edge TPU takes.

    Activations get the range that they took on the calibration photos; biases make up for rounded weights, which takes
    agreement on flowers from 99.1 to 99.6 %.

    Raises:
        ValueError: No calibration photos.
    """
    return quantize(ranges_of_extremes(model, _given(calibration)))


def int8_qat(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """int8 of weights that were trained to be rounded, which therefore stay as they are.

    Raises:
        ValueError: No calibration photos.
    """
    return quantize(calibrate(model, _given(calibration)))


def int8_equalized(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """int8 after `weights.equalize`: repairs channels that are far larger or smaller than their neighbors.

    Raises:
        ValueError: No calibration photos.
    """
    return quantize(ranges_equalized(model, _given(calibration)))


def int8_percentile(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """int8 whose activations leave out the 0.01 % that reach highest.

    Raises:
        ValueError: No calibration photos.
    """
    return quantize(ranges_by_percentile(model, _given(calibration)))


def int8_mse(model: "keras.Model", calibration: Pixels | None = None) -> bytes:
    """int8 whose activations have the ranges of least mean squared error.

    Raises:
        ValueError: No calibration photos.
    """
    return quantize(ranges_of_least_error(model, _given(calibration)))


def int8_selective(model: "keras.Model", calibration: Pixels | None = None, spared: int = SPARED) -> bytes:
    """int8 whose layers with the most noise, and those that read them, stay in floats.

    Raises:
        ValueError: No calibration photos.
    """
    photos = _given(calibration)
    level = equalize(model, photos)
    # Noise is measured on the equalized network, which is the one that will be quantized.
    noise = noise_of(ranges_of_extremes(level, photos), model, photos)[:spared]
    kept = correct_biases(
        level, photos, spared=layers_of(noise)
    )  # a kernel that is not rounded has nothing to make up for
    return quantize(calibrate(kept, photos), tensors_of(noise))


def ranges_of_extremes(model: "keras.Model", photos: Pixels) -> bytes:
    """The calibrated graph of `int8`."""
    return calibrate(correct_biases(model, photos), photos)


def ranges_equalized(model: "keras.Model", photos: Pixels) -> bytes:
    """The calibrated graph of `int8_equalized`."""
    return ranges_of_extremes(equalize(model, photos), photos)


def ranges_by_percentile(model: "keras.Model", photos: Pixels) -> bytes:
    """The calibrated graph of `int8_percentile`."""
    return choose_ranges(ranges_of_extremes(model, photos), model_input(model, photos), percentile)


def ranges_of_least_error(model: "keras.Model", photos: Pixels) -> bytes:
    """The calibrated graph of `int8_mse`."""
    return choose_ranges(ranges_of_extremes(model, photos), model_input(model, photos), least_error)


def noise_of(calibrated: bytes, model: "keras.Model", photos: Pixels) -> tuple[LayerNoise, ...]:
    """What 8 bits do to each layer of a calibrated graph that was made of `model`, the worst first."""
    return layer_noise(calibrated, model_input(model, photos))


RECIPES: Final[dict[str, Callable[["keras.Model", Pixels | None], bytes]]] = {
    "int8": int8,
    "int8-equalised": int8_equalized,
    "int8-percentile": int8_percentile,
    "int8-mse": int8_mse,
    "int8-selective": int8_selective,
    "int8-qat": int8_qat,
    "dynamic": dynamic,
    "float16": float16,
    "float32": float32,
    "int16x8": int16x8,
}

CALIBRATED_GRAPHS: Final[dict[str, Callable[["keras.Model", Pixels], bytes]]] = {
    "int8": ranges_of_extremes,
    "int8-equalised": ranges_equalized,
    "int8-percentile": ranges_by_percentile,
    "int8-mse": ranges_of_least_error,
    "int8-qat": calibrate,
}
"""What a recipe quantizes, for those that quantize all of it."""

CALIBRATED: Final = frozenset(name for name in RECIPES if name.startswith("int"))
"""Recipes that need calibration photos."""

ON_QUANTIZED: Final = frozenset(name for name in RECIPES if name.startswith("int8"))
"""Recipes that start from weights that were trained to be rounded, if the run has any."""


def _without_zeros(model: "keras.Model", optimizations: list[tf.lite.Optimize], types: list[tf.DType]) -> bytes:
    """Converts to floats; where it makes the file smaller, zeros in kernels are not stored.

    A MobileNetV2 half of whose weights are zero shrinks from 8.9 to 6.4 MB in float32, from 4.5 to 4.1 MB in float16,
    and runs as fast and gives the same scores. The 8-bit recipes have no such form; nor have clustered weights in any:
    there DEFLATE is all that gains (float16 3.4 for 4.1 MB, int8 1.8 for 2.2 MB), and the report says how much.
    """

    def convert(*more: object) -> bytes:
        converter = converter_of(model)
        converter.optimizations = [*optimizations, *more]
        converter.target_spec.supported_types = types
        return converted(converter)

    dense = convert()
    if not _pruned(model):
        return dense
    return min(convert(tf.lite.Optimize.EXPERIMENTAL_SPARSITY), dense, key=len)


def _pruned(model: "keras.Model") -> bool:
    """Whether a third or more of what its kernels hold is zero; below that, places take more than they save."""
    kernels = [weight.numpy() for weight in model.weights if weight.shape.rank and weight.shape.rank > 1]
    held = sum(kernel.size for kernel in kernels)
    return bool(3 * sum(np.count_nonzero(kernel) for kernel in kernels) < 2 * held)


def _given(calibration: Pixels | None) -> Pixels:
    if calibration is None or not len(calibration):
        raise ValueError("an 8-bit recipe needs calibration photos")
    return calibration
