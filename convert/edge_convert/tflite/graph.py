"""A picture of what is in a .tflite: tensors, operators, where they came from. Nothing is run.

The file may be anybody's. Every offset in a flatbuffer is the file's own word, so a damaged or hostile one can point
anywhere and claim any length: what is read is counted, and a file that makes the reader see more than it holds is
refused.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from edge_core.artifact.flatbuffer import is_tflite, not_tflite
from edge_core.errors import ModelFormatError, RuntimeMissingError

MAX_VALUES: Final = 64
"""Constants up to this many elements are read: axes, paddings, strides; weights are not."""

_LAYER_OPS: Final = ("Conv2D", "depthwise", "conv2d_transpose", "MatMul")
"""How TensorFlow names the operation at the heart of a layer that has weights."""
_MADE_BY_CONVERTER: Final = ("StatefulPartitionedCall", "PartitionedCall", "Identity", "tfl.")
_DAMAGED: Final = "its flatbuffer is cut off or damaged"


@dataclass(frozen=True)
class Quantization:
    """How integers stand for numbers: (integer - zero point) * scale.

    Attributes:
        scales: One, or one per channel.
        zero_points: One zero point for each scale.
        axis: Index of the channel dimension, where there is more than one scale.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int

    @property
    def per_channel(self) -> bool:
        return len(self.scales) > 1


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    Attributes:
        index: Index of the tensor in its subgraph.
        name: Name that the converter gave the tensor.
        dtype: Name of the data type in lower case, such as `uint8`.
        shape: Length of each dimension in elements; empty for a scalar and for an unknown shape.
        static: Whether no side may change.
        quantization: None if it is not quantized.
        size_bytes: Size of a constant's data in bytes; 0 for a computed tensor.
        values: Elements of a short constant int32 tensor, flattened; None for every other tensor.
        variable: Whether it keeps its values from one run to the next: the state of a recurrent layer.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    static: bool
    quantization: Quantization | None
    size_bytes: int
    values: tuple[int, ...] | None
    variable: bool = False

    @property
    def constant(self) -> bool:
        return self.size_bytes > 0


@dataclass(frozen=True)
class Operator:
    """A step of the graph.

    Attributes:
        index: Position in the order of execution.
        name: Name of the builtin operator (`CONV_2D`), or the custom operator's code.
        custom: Whether it is no builtin operator.
        version: The lowest that has what this use of it needs.
        inputs, outputs: Indices of tensors; -1 for an optional input that is left out.
        options: The scalars among its options, named as in the schema; an activation by its name.
        layer: The Keras layer that it came from, by the names of its tensors; empty if they do not tell.
    """

    index: int
    name: str
    custom: bool
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, object]
    layer: str


@dataclass(frozen=True)
class Graph:
    """What a .tflite computes; of several subgraphs, the first.

    Attributes:
        description: Who made it, in the maker's words.
        subgraphs: How many there are.
        tensors, operators: Tensors by index, and operators in the order of execution.
        inputs, outputs: Tensor indices of the model's inputs and outputs.
        opcodes: Every (operator, version) that a runtime must know to open the file, of all subgraphs.
        custom_opcodes: The names among them that are no builtin operators.
        metadata: Named buffers, `TFLITE_METADATA` among them.
    """

    description: str
    subgraphs: int
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    opcodes: tuple[tuple[str, int], ...]
    custom_opcodes: frozenset[str]
    metadata: Mapping[str, bytes]

    def input_of(self, operator: Operator, place: int) -> Tensor | None:
        """The tensor at a place among an operator's inputs, or None if there is none."""
        index = operator.inputs[place] if place < len(operator.inputs) else -1
        return None if index < 0 else self.tensors[index]

    def tensors_of(self, operator: Operator) -> Iterator[Tensor]:
        """Its inputs and outputs."""
        return (self.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Around the reading of a .tflite: says which file it was that cannot be read, or is none.

    Raises:
        ModelFormatError: Instead of the OSError or the ModelFormatError that was raised within.
    """
    try:
        yield
    except OSError as error:
        raise ModelFormatError(f"{path}: {error.strerror or error}") from error
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from error


def read_graph(model: bytes) -> Graph:
    """Reads a .tflite, complete or bare.

    Raises:
        ModelFormatError: It is no TFLite model, or a damaged one.
    """
    if not is_tflite(model):
        raise ModelFormatError(not_tflite(model))
    try:
        return _Reader(model).graph()
    except (struct.error, IndexError, KeyError, AttributeError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, ModelFormatError):
            raise
        raise ModelFormatError(f"not a TFLite model: {_DAMAGED}") from error


@cache
def _schema() -> Any:
    """The generated classes of TensorFlow Lite's schema.fbs."""
    for module in ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated"):
        with suppress(ModuleNotFoundError):
            return import_module(module)
    raise RuntimeMissingError("to look into a .tflite takes ai-edge-litert or TensorFlow; pip install ai-edge-litert")


@cache
def _names(enum: str) -> Mapping[int, str]:
    """An enumeration of the schema, by value."""
    return MappingProxyType({code: name for name, code in vars(getattr(_schema(), enum)).items() if type(code) is int})


@cache
def _scalars(options: str) -> Mapping[str, str]:
    """Getters of an options table by field name: what has a default is a scalar, what has none a vector."""
    fields = vars(getattr(_schema(), f"{options}T")())
    return {
        # camelCase of the generated objects to the schema's snake_case; the getter is the former with a capital.
        re.sub("(?<!^)([A-Z])", r"_\1", name).lower(): name[0].upper() + name[1:]
        for name, default in fields.items()
        if default is not None
    }


class _Reader:
    def __init__(self, model: bytes) -> None:
        self._bytes = model
        self._model = _schema().Model.GetRootAs(model, 0)
        # Parts may be shared in a flatbuffer, but a sound one does not come near to visiting its every byte twice.
        self._left = 2 * len(model) + 4096

    def graph(self) -> Graph:
        model, graph = self._model, self._model.Subgraphs(0) if self._model.SubgraphsLength() else None
        if graph is None:
            raise ModelFormatError("not a TFLite model: it holds no graph")
        codes = [self._code(model.OperatorCodes(place)) for place in self._each(model.OperatorCodesLength())]
        tensors = tuple(self._tensor(place, graph.Tensors(place)) for place in self._each(graph.TensorsLength()))
        operators: list[Operator] = []
        layers: dict[int, str] = {}
        for place in self._each(graph.OperatorsLength()):
            operators.append(self._operator(place, graph.Operators(place), codes, tensors, layers))
        inputs, outputs = (
            tuple(tensors[index] for index in self._indices(length, getter, len(tensors)))
            for length, getter in ((graph.InputsLength(), graph.Inputs), (graph.OutputsLength(), graph.Outputs))
        )
        return Graph(
            description=self._text(model.Description()),
            subgraphs=model.SubgraphsLength(),
            tensors=tensors,
            operators=tuple(operators),
            inputs=inputs,
            outputs=outputs,
            opcodes=tuple(dict.fromkeys((name, version) for name, _, version in codes)),
            custom_opcodes=frozenset(name for name, custom, _ in codes if custom),
            metadata=MappingProxyType(dict(self._metadata())),
        )

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ModelFormatError(f"not a TFLite model: {_DAMAGED}")

    def _each(self, count: int) -> range:
        # Four bytes are the least that an entry of these vectors takes in a file.
        self._spend(4 * count)
        return range(count)

    def _text(self, value: bytes | None) -> str:
        self._spend(len(value or b""))
        return (value or b"").decode("utf-8", "replace")

    def _indices(self, count: int, getter: Callable[[int], int], limit: int) -> tuple[int, ...]:
        indices = tuple(int(getter(place)) for place in self._each(count))
        if any(not -1 <= index < limit for index in indices):
            raise IndexError
        return indices

    def _code(self, code: Any) -> tuple[str, bool, int]:
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # the old field is a byte, and full
        if number == _schema().BuiltinOperator.CUSTOM:
            return self._text(code.CustomCode()) or "CUSTOM", True, code.Version()
        return _names("BuiltinOperator").get(number, f"OPERATOR_{number}"), False, code.Version()

    def _data(self, buffer: int) -> tuple[int, int]:
        """Where the data of a buffer lies, and how long it is."""
        if buffer >= self._model.BuffersLength():
            raise IndexError
        entry = self._model.Buffers(buffer)
        # By the schema an offset counts only above 1.
        if entry.Offset() > 1:  # behind the flatbuffer, in files above 2 GB
            start, size = entry.Offset(), entry.Size()
        elif (size := entry.DataLength()) > 0:
            # 4 is the place of a table's first field in its vtable: `data`.
            start = entry._tab.Vector(entry._tab.Offset(4))
        else:
            return 0, 0
        if start + size > len(self._bytes):
            raise IndexError
        return start, size

    def _metadata(self) -> Iterator[tuple[str, bytes]]:
        for place in self._each(self._model.MetadataLength()):
            entry = self._model.Metadata(place)
            start, size = self._data(entry.Buffer())
            self._spend(size)
            yield self._text(entry.Name()), self._bytes[start : start + size]

    def _tensor(self, index: int, tensor: Any) -> Tensor:
        shape = tuple(int(tensor.Shape(place)) for place in self._each(tensor.ShapeLength()))
        signature = [tensor.ShapeSignature(place) for place in self._each(tensor.ShapeSignatureLength())]
        buffer = tensor.Buffer()
        start, size = self._data(buffer) if buffer else (0, 0)
        dtype = _names("TensorType").get(tensor.Type(), f"type {tensor.Type()}").lower()
        few = dtype == "int32" and 0 < size <= 4 * MAX_VALUES
        return Tensor(
            index=index,
            name=self._text(tensor.Name()),
            dtype=dtype,
            shape=shape,
            static=all(side >= 0 for side in (*shape, *signature)),
            quantization=self._quantization(tensor.Quantization()),
            size_bytes=size,
            values=struct.unpack_from(f"<{size // 4}i", self._bytes, start) if few else None,
            variable=bool(tensor.IsVariable()),
        )

    def _quantization(self, parameters: Any) -> Quantization | None:
        if parameters is None or not (count := parameters.ScaleLength()):
            return None
        self._spend(4 * count + 8 * (zero_points := parameters.ZeroPointLength()))
        return Quantization(
            tuple(parameters.ScaleAsNumpy().tolist()),
            tuple(parameters.ZeroPointAsNumpy().tolist()) if zero_points else (0,) * count,
            parameters.QuantizedDimension(),
        )

    def _operator(
        self,
        index: int,
        operator: Any,
        codes: Sequence[tuple[str, bool, int]],
        tensors: Sequence[Tensor],
        layers: dict[int, str],
    ) -> Operator:
        name, custom, version = codes[operator.OpcodeIndex()]
        inputs = self._indices(operator.InputsLength(), operator.Inputs, len(tensors))
        outputs = self._indices(operator.OutputsLength(), operator.Outputs, len(tensors))
        # Weights are an operator's second input; the layer is best told by their name, then by the result's.
        layer = _layer([tensors[place].name for place in (*inputs[1:2], *outputs[:1]) if place >= 0])
        # An operator without such names, a reshape or a softmax, say, belongs to the layer that feeds it.
        layer = layer or next((layers[place] for place in inputs if place in layers), "")
        layers.update(dict.fromkeys(outputs, layer))
        return Operator(index, name, custom, version, inputs, outputs, self._options(operator), layer)

    def _options(self, operator: Any) -> Mapping[str, object]:
        table, kind = operator.BuiltinOptions(), _names("BuiltinOptions").get(operator.BuiltinOptionsType(), "NONE")
        if table is None or kind == "NONE":
            return MappingProxyType({})
        options = getattr(_schema(), kind)()
        options.Init(table.Bytes, table.Pos)
        values = {name: getattr(options, getter)() for name, getter in _scalars(kind).items()}
        activation = values.get("fused_activation_function")
        if activation is not None:
            values["fused_activation_function"] = _names("ActivationFunctionType").get(activation, str(activation))
        return MappingProxyType(values)


def _layer(names: Sequence[str]) -> str:
    """The Keras layer in tensor names such as
    `model/Conv1_relu/Relu6;model/bn_Conv1/FusedBatchNormV3;model/Conv1/Conv2D`.

    The converter joins the names of all that it fused, of the constants that it shares, too; the layer is the one with
    weights, best told by their name, which comes first.
    """
    paths = [part.split("/") for name in names for part in name.split(";") if part]
    hearts = [path for path in paths if len(path) > 1 and path[-1] in _LAYER_OPS]
    for path in hearts or [names[-1].split(";")[0].split("/")] if names else []:
        if path[0] == "StatefulPartitionedCall" and len(path) > 2:
            path = path[1:]
        if path[0].startswith(_MADE_BY_CONVERTER):
            continue
        return "/".join(path[:-1][1:] or path[:-1] or path)
    return ""
