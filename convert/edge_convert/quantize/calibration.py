"""Between the float graph and the 8-bit one: what range each tensor has, and what of the graph is to be quantized.

TensorFlow's converter does it all in one go; here its steps are taken one by one, so that ranges can be chosen and
layers spared without converting anew: to quantize a calibrated MobileNetV2 takes 0.2 s, to convert it 4 s.
"""

import struct
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edge_core.native_stderr import silenced
from edge_core.preprocess import Frame
from edge_keras.tf import keras, tf

Floats = npt.NDArray[np.float32]
Range = tuple[float, float]

HISTOGRAM_PHOTOS: Final = 16
BINS: Final = 2048
PERCENTILE: Final = 99.99


def converter_of(model: "keras.Model") -> "tf.lite.TFLiteConverter":
    """The converter of a model, with a batch of 1 and its weights frozen into the graph.

    Without the detour of a SavedModel, by which the converter goes unless told not to, MobileNetV2 takes 4 s to int8
    instead of 16; the file computes the same.
    """
    call = tf.function(lambda pixels: model(pixels, training=False))
    concrete = call.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    converter.experimental_lower_to_saved_model = False
    return converter


def converted(converter: "tf.lite.TFLiteConverter") -> bytes:
    """What a converter makes, in silence."""
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")  # of input statistics, which the representative dataset gives
        return bytes(converter.convert())


def without_rescaling(model: "keras.Model") -> tuple["keras.Model", float, float]:
    """A model without its first layer, and that layer's scale and offset.

    The input tensor's scale and zero point say the same. An offset for each channel (ResNet50, VGG) is more than one
    zero point can say: such a layer stays.
    """
    first = next((layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling)), None)
    if first is None or np.ndim(first.scale) or np.ndim(first.offset):
        return keras.Model(model.input, model.output, name="model"), 1.0, 0.0
    return keras.Model(first.output, model.output, name="model"), first.scale, first.offset


def model_input(model: "keras.Model", photos: Frame) -> Floats:
    """What the first layer of `calibrate`'s graph is given for photos."""
    _, scale, offset = without_rescaling(model)
    return photos.astype(np.float32) * np.float32(scale) + np.float32(offset)


def representative(photos: Frame, scale: float, offset: float) -> Callable[[], Iterator[list[tf.Tensor]]]:
    """The representative dataset of the converter: one photo at a time.

    One black and one white pixel give the input tensor the whole range of a camera: scale 2/255, zero point 127.
    """
    photos = photos.copy()
    # The first two pixels of the first photo.
    photos[0, 0, 0], photos[0, 0, 1] = 0, 255

    def each() -> Iterator[list[tf.Tensor]]:
        for photo in photos:
            yield [photo[None].astype(np.float32) * scale + offset]

    return each


def calibrate(model: "keras.Model", photos: Frame) -> bytes:
    """The float graph of a model as a flatbuffer in which every tensor has the range that it took on photos.

    Args:
        model: Takes raw pixels; its scalar `Rescaling` is cut off.
        photos: uint8, shape (photos, height, width, 3).
    """
    core, scale, offset = without_rescaling(model)
    converter = converter_of(core)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative(photos, scale, offset)
    converter._experimental_calibrate_only = True
    return converted(converter)


def quantize(calibrated: bytes, spared: Collection[str] = (), *, verify: bool = False) -> bytes:
    """The 8-bit graph of a calibrated one, uint8 in and out.

    Args:
        calibrated: What `calibrate` returned.
        spared: Names of tensors; the operators that compute them stay in floats.
        verify: Adds to each operator one of floats that computes the same of the same input, `NumericVerify`.
    """
    from tensorflow.lite.python.convert import mlir_quantize

    with silenced():
        return bytes(
            mlir_quantize(
                calibrated,
                input_data_type=tf.float32 if verify else tf.uint8,
                output_data_type=tf.float32 if verify else tf.uint8,
                enable_numeric_verify=verify,
                denylisted_nodes=list(spared),
                # The Edge TPU wants it so; accuracy and scores are the same on flowers.
                disable_per_channel_for_dense_layers=True,
            )
        )


@contextmanager
def all_tensors(model: bytes) -> Iterator[Any]:
    """An interpreter that keeps what every tensor held."""
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")  # of the memory that it takes
        interpreter = Interpreter(model_content=model, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    yield interpreter


def choose_ranges(calibrated: bytes, inputs: Floats, choose: Callable[[npt.NDArray[np.int64], Range], Range]) -> bytes:
    """A calibrated graph with other ranges than lowest and highest value.

    Args:
        calibrated: What `calibrate` returned.
        inputs: What `model_input` gave, shape (photos, height, width, 3).
        choose: Function that turns a histogram of `BINS` equal bins and the range that it covers into another
            range.
    """
    changed = bytearray(calibrated)
    graph = schema.Model.GetRootAs(changed, 0).Subgraphs(0)
    ranges = _calibrated_ranges(graph)
    counts = {index: np.zeros(BINS, np.int64) for index in ranges}
    with all_tensors(calibrated) as interpreter:
        for photo in inputs[:: max(1, len(inputs) // HISTOGRAM_PHOTOS)][:HISTOGRAM_PHOTOS]:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], photo[None])
            interpreter.invoke()
            for index, (low, high) in ranges.items():
                # Which of the `BINS` bins of the tensor's range each value falls into.
                places = (interpreter.get_tensor(index).ravel() - low) * (BINS / (high - low))
                counts[index] += np.bincount(places.astype(np.int32).clip(0, BINS - 1), minlength=BINS)
    for index, found in ranges.items():
        quantization = graph.Tensors(index).Quantization()
        for slot, value in zip((4, 6), choose(counts[index], found), strict=True):  # min and max of the schema
            place = quantization._tab.Vector(quantization._tab.Offset(slot))
            struct.pack_into("<f", changed, place, value)
    return bytes(changed)


def _calibrated_ranges(graph: "schema.SubGraph") -> dict[int, Range]:
    """Lowest and highest value of each tensor that was calibrated, by its index.

    The pixels' range is given and stays; a tensor of one value, or one that was not seen, has none to narrow.
    """
    entries = {graph.Inputs(place) for place in range(graph.InputsLength())}
    ranges = {}
    for index in range(graph.TensorsLength()):
        quantization = graph.Tensors(index).Quantization()
        if index not in entries and quantization is not None and quantization.MinLength() == 1:
            low, high = float(quantization.Min(0)), float(quantization.Max(0))
            if high > low:
                ranges[index] = low, high
    return ranges


def percentile(counts: npt.NDArray[np.int64], found: Range) -> Range:
    """The range without the 0.01 % of values that reach highest and, if some are negative, lowest."""
    low, high = found
    share = counts.cumsum() / counts.sum()
    edges = np.linspace(low, high, BINS + 1)
    outside = 1 - PERCENTILE / 100
    top = edges[1 + int(np.searchsorted(share, 1 - outside))]
    bottom = edges[int(np.searchsorted(share, outside, side="right"))] if low < 0 else low
    # Zero stays within the range: padding and ReLU need it exactly.
    return min(float(bottom), 0.0), max(float(top), 0.0)


def least_error(counts: npt.NDArray[np.int64], found: Range) -> Range:
    """The part of the range at which 255 steps have the least mean squared error, clipped values among them."""
    low, high = found
    values = (np.linspace(low, high, BINS, endpoint=False) + (high - low) / (2 * BINS))[:, None]
    # From a fifth of the range to all of it, in steps of 1 %.
    shares = np.linspace(0.2, 1, 81)
    step = (high - low) * shares / 255
    clipped = values - values.clip(low * shares, high * shares)
    # Rounding to steps has a mean squared error of step**2 / 12; a clipped value errs by as far as it lies outside.
    error = (counts[:, None] * (clipped**2 + (clipped == 0) * step**2 / 12)).sum(axis=0)
    best = float(shares[int(error.argmin())])
    return low * best, high * best
