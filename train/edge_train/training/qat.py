"""Quantization-aware training: the network computes as its 8-bit file will, and learns to live with it.

tensorflow-model-optimization inserts the rounding of activations. That of kernels is ours: its own default rounds a
depthwise kernel with one scale for all channels, the converter with one for each, and before batch normalization is
folded; the accuracy of MobileNetV2 fell from 95.7 to 83 % on flowers by that alone.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge_core.codec import JsonObject
from edge_keras.bn_folding import CONVOLUTIONS, fold
from edge_keras.models.backbone import NORMALIZE
from edge_keras.tf import keras, tf
from edge_keras.tfmot import QuantizeLayer, tfmot
from edge_train.training.fine_tune import Student

if TYPE_CHECKING:
    from edge_core.preprocess import Frame

_API: Final = tfmot.quantization.keras
Quantizer: Any = _API.quantizers.Quantizer
QuantizeConfig: Any = _API.QuantizeConfig


class Kernel(Quantizer):  # type: ignore[misc]
    """Symmetric, 8 bits: what the converter does with kernels. Its scale is always that of the weights as they are."""

    def __init__(self, axis: int | None) -> None:
        """`axis` is of the output channels, each of which has a scale of its own; None if there is one for all."""
        self.axis = axis

    def build(self, tensor_shape: tf.TensorShape, name: str, layer: keras.layers.Layer) -> JsonObject:
        return {}

    def __call__(self, inputs: tf.Tensor, training: bool, weights: tf.Tensor, **kwargs: object) -> tf.Tensor:
        others = [axis for axis in range(len(inputs.shape)) if axis != self.axis]
        # The small number keeps a channel of zeros from dividing by zero.
        scale = tf.reduce_max(tf.abs(inputs), others, keepdims=True) / 127 + 1e-12
        # The gradient passes as if nothing had been rounded (Bengio et al., 2013).
        return inputs + tf.stop_gradient(tf.round(inputs / scale) * scale - inputs)

    def get_config(self) -> JsonObject:
        return {"axis": self.axis}


class Weighted(QuantizeConfig):  # type: ignore[misc]
    """A convolution with its ReLU, or the last layer, which is rounded before its softmax."""

    def get_weights_and_quantizers(self, layer: keras.layers.Layer) -> list[tuple[tf.Variable, Kernel]]:
        # The axis of the output channels; a dense layer has one scale for all, as the converter makes it.
        axis = {keras.layers.DepthwiseConv2D: 2, keras.layers.Conv2D: 3}.get(type(layer))
        return [(getattr(layer, _kernel(layer)), Kernel(axis))]

    def get_activations_and_quantizers(self, layer: keras.layers.Layer) -> list[tuple[object, object]]:
        return [(layer.activation, _activation())] if isinstance(layer, keras.layers.Dense) else []

    def set_quantize_weights(self, layer: keras.layers.Layer, quantize_weights: list[tf.Variable]) -> None:
        setattr(layer, _kernel(layer), quantize_weights[0])

    def set_quantize_activations(self, layer: keras.layers.Layer, quantize_activations: list[object]) -> None:
        if quantize_activations:
            layer.activation = quantize_activations[0]

    def get_output_quantizers(self, layer: keras.layers.Layer) -> list[object]:
        return [] if isinstance(layer, keras.layers.Dense) else [_activation()]

    def get_config(self) -> JsonObject:
        return {}


def _activation() -> object:
    return _API.quantizers.MovingAverageQuantizer(8, per_axis=False, symmetric=False, narrow_range=False)


class Rounding:
    """A model, and the same model rounding as its 8-bit file will.

    Attributes:
        plain: The model with batch normalization folded in; takes raw pixels.
        lower: Frozen part from raw pixels to rounded maps at the split layer.
        upper: Trained part from those maps to scores.
    """

    def __init__(self, model: "keras.Model", seam: str, batches: Iterable["Frame"]) -> None:
        """Folds, rounds and calibrates.

        Args:
            model: That `backbone.build` made; stays as it is.
            seam: Its layer at whose output training begins.
            batches: Photos to calibrate on: uint8, shape (photos, height, width, 3).
        """
        self.plain = fold(model)
        normalize = self.plain.get_layer(NORMALIZE)
        # Both may be a number for each channel, as in MobileNetV4; the input tensor has one range for all.
        scale, offset = np.asarray(normalize.scale), np.asarray(normalize.offset)
        low, high = offset.min(), (255 * scale + offset).max()
        self._body = fold(model, without=NORMALIZE)  # it would be quantized, too
        self._model = quantize(self._body, float(low), float(high))
        calibrate(self._model, self._body, (normalize(tf.cast(batch, tf.float32)) for batch in batches))
        layer = model.get_layer(seam)
        folded = {layer.name for layer in self.plain.layers}
        while layer.name not in folded:  # its ReLU or its batch normalization: both are part of the convolution now
            layer = layer.inbound_nodes[0].inbound_layers
        cut = self._model.get_layer(f"quant_{layer.name}").output
        self.lower = keras.Model(self.plain.input, keras.Model(self._model.input, cut)(normalize.output))
        self.upper = keras.Model(cut, self._model.output)

    def digest(self) -> str:
        """Of all that the maps depend on besides the backbone's weights: the ranges. SHA-256, hexadecimal."""
        # Ranges are the only scalars; what changes them changes the maps.
        numbers = [variable.numpy() for variable in self.lower.non_trainable_variables if variable.shape.rank == 0]
        return hashlib.sha256(np.array(numbers, np.float32).tobytes()).hexdigest()

    def student(self, keep_zeros: bool) -> Student:
        """`upper`, whose ranges stay as they were calibrated."""
        return Student(self.upper, lambda maps, seeds: (self.upper(maps, training=False), None), keep_zeros=keep_zeros)

    def finish(self) -> None:
        """Moves what was learned into `plain`."""
        for wrapped, weight in _pairs(self._model, self.plain):
            weight.assign(wrapped)


def quantize(folded: "keras.Model", low: float, high: float) -> "keras.Model":
    """A network that rounds as the 8-bit file of `folded` will; layers are called `quant_NAME`.

    Args:
        folded: Network as `bn_folding.fold` returns it.
        low, high: Range of its input.
    """

    def annotate(layer: keras.layers.Layer) -> keras.layers.Layer:
        weighted = isinstance(layer, (*CONVOLUTIONS, keras.layers.Dense))
        return _API.quantize_annotate_layer(layer, Weighted() if weighted else None)

    with keras.utils.custom_object_scope({"Weighted": Weighted, "Kernel": Kernel}):
        model = _API.quantize_apply(keras.models.clone_model(folded, clone_function=annotate))
    for layer in model.layers:
        if isinstance(layer, QuantizeLayer):
            for variable in layer.variables:
                if "_min" in variable.name or "_max" in variable.name:
                    variable.assign(low if "_min" in variable.name else high)
    for wrapped, weight in _pairs(model, folded):
        wrapped.assign(weight)
    return model


def calibrate(model: "keras.Model", folded: "keras.Model", batches: Iterable[tf.Tensor]) -> None:
    """Sets the ranges of all activations to what `folded` reaches on some photos, as the converter does.

    Args:
        model: What `quantize` made of `folded`.
        folded: The network that does not round.
        batches: Its inputs, float32.
    """
    ranges = {layer: _range(layer) for layer in model.layers if _range(layer)}
    sources = [folded.get_layer(layer.layer.name) for layer in ranges]
    probe = keras.Model(folded.input, [_before_softmax(source) for source in sources])
    extremes = tf.function(lambda batch: [(tf.reduce_min(x), tf.reduce_max(x)) for x in probe(batch, training=False)])
    found = np.array([extremes(batch) for batch in batches])  # (batches, layers, 2)
    for (low, high), least, most in zip(
        ranges.values(), found[..., 0].min(axis=0), found[..., 1].max(axis=0), strict=True
    ):
        # As the converter does it, zero is within every range.
        low.assign(min(least, 0.0))
        high.assign(max(most, 0.0))


def _range(layer: keras.layers.Layer) -> list[tf.Variable]:
    """Lowest and highest value that the result of a layer can have once it is rounded."""
    kinds = ("output_", "pre_activation_", "post_activation_")
    found = {v.name.split("/")[-1]: v for v in layer.variables if v.name.split("/")[-1].startswith(kinds)}
    return [variable for end in ("_min:0", "_max:0") for name, variable in found.items() if name.endswith(end)]


def _before_softmax(layer: keras.layers.Layer) -> tf.Tensor:
    if isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.softmax:
        return layer.input @ layer.kernel + layer.bias
    return layer.output


def _kernel(layer: keras.layers.Layer) -> str:
    return "depthwise_kernel" if isinstance(layer, keras.layers.DepthwiseConv2D) else "kernel"


def _pairs(model: "keras.Model", folded: "keras.Model") -> Iterator[tuple[tf.Variable, tf.Variable]]:
    """The same kernel or bias in a network that `quantize` made and in the one that it was made of."""
    wrapped = {variable.name: variable for variable in model.variables}
    return ((wrapped[weight.name], weight) for weight in folded.weights)
