"""The last fully connected layer of a .tflite: its weights read, and put back in another size, without TensorFlow.

The numbers of fields, operators and types are those of TensorFlow Lite's schema.fbs.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.artifact.flatbuffer import (
    GRAPH_OPERATORS,
    GRAPH_OUTPUTS,
    GRAPH_TENSORS,
    MODEL_BUFFERS,
    MODEL_CODES,
    Flatbuffer,
)
from edge_core.errors import ModelFormatError

_SHAPE, _TYPE, _BUFFER, _QUANTIZATION, _SIGNATURE = 0, 1, 2, 4, 7  # fields of Tensor
_SCALE, _ZERO_POINT = 2, 3  # of QuantizationParameters
_CODE, _INPUTS, _OUTPUTS, _OPTIONS = 0, 1, 2, 4  # of Operator
_OLD_CODE, _NEW_CODE = 0, 3  # of OperatorCode: the old field is a byte, and full

_DEQUANTIZE, _FULLY_CONNECTED, _SOFTMAX, _QUANTIZE = 6, 9, 25, 114
_FLOAT32, _FLOAT16, _INT32, _INT64, _INT16, _INT8 = 0, 1, 2, 4, 7, 9
_TYPES: Final = {_FLOAT32: "<f4", _FLOAT16: "<f2", _INT32: "<i4", _INT64: "<i8", _INT8: "<i1"}
_LEVELS: Final = {_INT8: (-128, 127), _INT16: (-32767, 32767)}
_SMALLEST_ROW: Final = 1e-3
"""Of the largest weight: what a row of zeros is taken for, so that its bias fits into integers of the row's unit."""

_DAMAGED: Final = (struct.error, IndexError, ValueError, KeyError)
"""What reading raises where offsets point anywhere."""

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LastLayer:
    """A softmax classifier on features: scores = softmax(features @ weights.T + bias).

    Attributes:
        features: Index, in the first subgraph, of the tensor that the layer takes in.
        scale: What one step of that tensor's integers is worth; 1 where the tensor holds floats.
        weights: Shape (labels, width).
        bias: Constants that are added, shape (labels,).
        logits: Lowest and highest value that the layer's output can hold; None where it holds floats.
    """

    features: int
    scale: float
    weights: Weights
    bias: Weights
    logits: tuple[float, float] | None


def read_last_layer(model: bytes) -> LastLayer:
    """Reads the last layer of a .tflite, complete or bare.

    Raises:
        ModelFormatError: The model does not end in a fully connected layer and a softmax, or is damaged.
    """
    return _Editor(model).read()


def with_last_layer(model: bytes, weights: Weights, bias: Weights, logits: tuple[float, float]) -> bytes:
    """The model with other weights, for any number of labels, in the types that its own have.

    Args:
        model: A bare .tflite flatbuffer.
        weights: Shape (labels, width).
        bias: Constants that are added, shape (labels,).
        logits: Lowest and highest logit to expect: the range of the layer's output where that is in 8 bits.

    Raises:
        ModelFormatError: As for `read_last_layer`.
    """
    return _Editor(model).write(weights, bias, logits)


@dataclass(frozen=True)
class _Operator:
    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    table: int


class _Editor:
    """The tables of a model around its last layer."""

    def __init__(self, model: bytes) -> None:
        self._model = Flatbuffer(model)
        try:
            self._find()
        except _DAMAGED as error:
            raise _told(error) from error

    def _find(self) -> None:
        model = self._model
        graph = model.first_subgraph()
        self._tensors = model.tables(model.field(graph, GRAPH_TENSORS))
        self._buffers = model.tables(model.field(model.root, MODEL_BUFFERS))
        operators = list(self._operators(graph))
        last = max((at for at, one in enumerate(operators) if one.code == _FULLY_CONNECTED), default=None)
        if last is None:
            raise ModelFormatError("it has no fully connected layer, so it has no last layer to teach")
        layer, self._after = operators[last], operators[last + 1 :]
        self._check(layer, model.ints(model.field(graph, GRAPH_OUTPUTS))[0])
        makers = {output: one for one in operators for output in one.outputs}
        self._input, self._output = layer.inputs[0], layer.outputs[0]
        self._weights = self._chain(layer.inputs[1], makers)
        self._bias = self._chain(layer.inputs[2], makers)

    def _operators(self, graph: int) -> Iterator[_Operator]:
        model = self._model
        codes = [
            # By schema.fbs the code is the greater of the two fields: files of older converters have but the old one.
            max(
                model.byte(model.optional_field(code, _OLD_CODE)),
                model.uint(new) if (new := model.optional_field(code, _NEW_CODE)) else 0,
            )
            for code in model.tables(model.field(model.root, MODEL_CODES))
        ]
        for table in model.tables(model.field(graph, GRAPH_OPERATORS)):
            place = model.optional_field(table, _CODE)
            yield _Operator(
                # Index 0 is the default, which a flatbuffer does not write.
                codes[model.uint(place) if place else 0],
                model.ints(model.field(table, _INPUTS)),
                model.ints(model.field(table, _OUTPUTS)),
                table,
            )

    def _check(self, layer: _Operator, output: int) -> None:
        """Refuses what cannot be given another number of labels.

        Raises:
            ModelFormatError: With the reason.
        """
        # -1 stands for an optional input that is left out.
        if len(layer.inputs) < 3 or layer.inputs[2] < 0:
            raise ModelFormatError("its last layer has no bias, so it cannot be taught")
        # Field 0 of FullyConnectedOptions is the fused activation, of which 0 is none.
        options = self._model.optional_field(layer.table, _OPTIONS)
        if options and self._model.byte(self._model.optional_field(self._model.target(options), 0)):
            raise ModelFormatError("an activation is fused into its last layer, so it cannot be taught")
        # Each operator behind the layer must take in what the one before it gives, up to the graph's output.
        passed = layer.outputs[0]
        for one in self._after:
            if one.code not in (_SOFTMAX, _QUANTIZE, _DEQUANTIZE) or one.inputs[0] != passed:
                raise ModelFormatError("more than a softmax follows its last layer, so it cannot be taught")
            passed = one.outputs[0]
        if passed != output or _SOFTMAX not in [one.code for one in self._after]:
            raise ModelFormatError("its last layer and a softmax do not lead to its output, so it cannot be taught")

    def _chain(self, tensor: int, makers: dict[int, _Operator]) -> list[int]:
        """A constant, and what it is dequantized into where the file holds it in fewer bits than it computes in."""
        maker = makers.get(tensor)
        return [maker.inputs[0], tensor] if maker and maker.code == _DEQUANTIZE else [tensor]

    def read(self) -> LastLayer:
        try:
            width = self._shape(self._weights[0])[1]
            weights = self._constant(self._weights[0]).reshape(-1, width)
            bias = self._constant(self._bias[0])
            if len(bias) != len(weights) or self._shape(self._input)[-1] != width:
                raise ModelFormatError("its last layer contradicts itself: weights, bias and features differ in size")
            scales, _ = self._quantization(self._input)
            return LastLayer(self._input, float(scales[0]) if scales else 1.0, weights, bias, self._range())
        except _DAMAGED as error:
            raise _told(error) from error

    def write(self, weights: Weights, bias: Weights, logits: tuple[float, float]) -> bytes:
        try:
            self._model.begin_tail()
            steps = self._put_weights(weights)
            self._put_bias(bias, steps)
            if self._type(self._output) in _LEVELS:
                self._put_range(*logits)
            elif self._type(self._output) != _FLOAT32:
                raise ModelFormatError(
                    "its last layer gives neither signed integers nor floats, so it cannot be taught"
                )
            count = len(bias)
            for tensor in (self._output, *(output for one in self._after for output in one.outputs)):
                self._put_shape(tensor, [*self._shape(tensor)[:-1], count])
            self._model.drop_earlier_tail()  # every vector of an earlier lesson was put anew
        except _DAMAGED as error:
            raise _told(error) from error
        return self._model.to_bytes()

    def _put_weights(self, weights: Weights) -> Weights | None:
        """Writes the weights; returns what a step of their integers is worth, one per label, None of floats."""
        tensor = self._weights[0]
        for one in self._weights:
            self._put_shape(one, weights.shape)
        if self._type(tensor) != _INT8:
            self._put_constant(tensor, weights.astype(_TYPES[self._type(tensor)]))
            return None
        scales, _ = self._quantization(tensor)
        largest = np.abs(weights).max(axis=1)
        largest = np.maximum(largest, max(_SMALLEST_ROW * float(largest.max()), 1e-9))
        # Symmetric, in -127..127, as TensorFlow Lite's quantization specification asks of weights.
        steps = (largest if len(scales) > 1 else np.full(len(weights), largest.max())) / np.float32(127)
        self._put_constant(tensor, np.rint(weights / steps[:, None]).clip(-127, 127).astype(np.int8))
        table = self._model.target(self._model.field(self._tensors[tensor], _QUANTIZATION))
        if len(scales) > 1:
            self._model.put_values(self._model.field(table, _SCALE), "f", steps.tolist())
            self._model.put_values(self._model.field(table, _ZERO_POINT), "q", [0] * len(steps))
        else:
            self._model.put_in_place(self._model.field(table, _SCALE), "f", float(steps[0]))
        rounded: Weights = steps.astype(np.float32)
        return rounded

    def _put_bias(self, bias: Weights, steps: Weights | None) -> None:
        tensor = self._bias[0]
        for one in self._bias:
            self._put_shape(one, bias.shape)
        if self._type(tensor) not in (_INT32, _INT64):
            self._put_constant(tensor, bias.astype(_TYPES[self._type(tensor)]))
            return
        if steps is None:
            raise ModelFormatError("its last layer has an integer bias and float weights, so it cannot be taught")
        scales, _ = self._quantization(self._input)
        # TensorFlow Lite's quantization specification: a bias has the scale of the input times that of the weights.
        units = float(scales[0]) * steps.astype(np.float64)
        self._put_constant(tensor, np.rint(bias / units).clip(-(2**31), 2**31 - 1).astype(_TYPES[self._type(tensor)]))
        field = self._model.field(self._model.target(self._model.field(self._tensors[tensor], _QUANTIZATION)), _SCALE)
        if self._model.length(field) > 1:
            self._model.put_values(field, "f", units.tolist())
            table = self._model.target(self._model.field(self._tensors[tensor], _QUANTIZATION))
            self._model.put_values(self._model.field(table, _ZERO_POINT), "q", [0] * len(units))
        else:
            self._model.put_in_place(field, "f", float(units[0]))

    def _put_range(self, low: float, high: float) -> None:
        """Lets the integers of the output span a range of logits, zero among them."""
        least, most = _LEVELS[self._type(self._output)]
        # The range must not be empty, or the step would be 0.
        low, high = min(low, 0.0), max(high, 0.0, low + 1e-3)
        if least == -most:  # 16 bits are symmetric, by TensorFlow Lite's quantization specification
            low, high = min(low, -high), max(high, -low)
        step = (high - low) / (most - least)
        table = self._model.target(self._model.field(self._tensors[self._output], _QUANTIZATION))
        self._model.put_in_place(self._model.field(table, _SCALE), "f", step)
        # real = step * (integer - zero point), so that `low` falls on the least integer.
        self._model.put_in_place(self._model.field(table, _ZERO_POINT), "q", round(least - low / step))

    def _range(self) -> tuple[float, float] | None:
        scales, zero_points = self._quantization(self._output)
        levels = _LEVELS.get(self._type(self._output))
        if not scales or levels is None:
            return None
        zero_point = zero_points[0] if zero_points else 0
        return scales[0] * (levels[0] - zero_point), scales[0] * (levels[1] - zero_point)

    def _constant(self, tensor: int) -> Weights:
        """A constant as floats, in its shape."""
        dtype = self._type(tensor)
        if dtype not in _TYPES:
            raise ModelFormatError("its last layer has weights of a type that cannot be taught")
        data = self._model.data(self._model.field(self._buffers[self._buffer(tensor)], 0))
        values = np.frombuffer(data, _TYPES[dtype]).astype(np.float32).reshape(self._shape(tensor))
        scales, _ = self._quantization(tensor)
        if not scales:
            return values
        # One scale per label, or one for all.
        return (values.T * np.array(scales, np.float32)).T

    def _put_constant(self, tensor: int, values: npt.NDArray[np.generic]) -> None:
        buffer = self._buffer(tensor)
        if sum(self._buffer(one) == buffer for one in range(len(self._tensors))) > 1:
            raise ModelFormatError("its last layer shares its weights with another, so it cannot be taught")
        self._model.put_data(self._model.field(self._buffers[buffer], 0), values.tobytes())

    def _buffer(self, tensor: int) -> int:
        field = self._model.optional_field(self._tensors[tensor], _BUFFER)
        # By the schema's convention buffer 0, the default, is empty.
        return self._model.uint(field) if field else 0

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return self._model.ints(self._model.field(self._tensors[tensor], _SHAPE))

    def _put_shape(self, tensor: int, shape: Sequence[int]) -> None:
        self._model.put_values(self._model.field(self._tensors[tensor], _SHAPE), "i", list(shape))
        signature = self._model.optional_field(self._tensors[tensor], _SIGNATURE)
        if signature and self._model.length(signature) == len(shape):
            # The side that may change, the batch, stays free.
            free = self._model.ints(signature)[:-1]
            self._model.put_values(
                signature, "i", [*(free or shape[:-1]), shape[-1]] if len(shape) > 1 else list(shape)
            )

    def _type(self, tensor: int) -> int:
        return self._model.byte(self._model.optional_field(self._tensors[tensor], _TYPE))

    def _quantization(self, tensor: int) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Scales and zero points of a tensor; empty of one that is not quantized."""
        field = self._model.optional_field(self._tensors[tensor], _QUANTIZATION)
        if field is None:
            return (), ()
        table = self._model.target(field)
        scales, zero_points = (self._model.optional_field(table, number) for number in (_SCALE, _ZERO_POINT))
        return (
            tuple(float(value) for value in self._model.values(scales, "f")) if scales else (),
            tuple(int(value) for value in self._model.values(zero_points, "q")) if zero_points else (),
        )


def _told(error: Exception) -> ModelFormatError:
    """The error itself where it has a reason to tell."""
    return error if isinstance(error, ModelFormatError) else ModelFormatError("its flatbuffer is cut off or damaged")
