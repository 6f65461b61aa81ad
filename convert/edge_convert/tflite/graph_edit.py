"""Additions at the two ends of a .tflite's main graph, made in the flatbuffer itself."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge_core.errors import ModelFormatError

_ALIGNMENT: Final = 16
"""Of buffer data, by the schema's force_align, which the generated code does not heed."""

_TYPES: Final = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
}


@dataclass(frozen=True)
class NewOperator:
    """An operator to be added.

    Attributes:
        name: Name of the builtin operator.
        result: Tensor that it writes, of the generated schema; left out for the last step in front, which writes the
            input that was.
        constants: Its inputs after the first one.
        options: Options object of the generated schema; None for an operator that has none.
        version: Operator version that this use needs.
    """

    name: str
    result: "schema.TensorT | None" = None
    constants: tuple["Constant", ...] = ()
    options: object = None
    version: int = 1


@dataclass(frozen=True)
class Constant:
    """A constant input.

    Attributes:
        values: Array of dtype float32, int32 or int8.
        scale: Quantization scale of an int8 constant; None for a constant that is not quantized.
    """

    values: npt.NDArray[np.generic]
    scale: float | None = None


class EditableGraph:
    """The main graph of a model, open for additions at its two ends.

    Attributes:
        entry, result: The tensors of its one input and of its first output, of the generated schema.
        results: The tensors of all outputs.
    """

    def __init__(self, model: bytes) -> None:
        """Parses a flatbuffer.

        Raises:
            ModelFormatError: It has not one input, or no output.
        """
        self._model: Any = schema.ModelT.InitFromPackedBuf(model)
        self._graph = self._model.subgraphs[0]
        inputs, outputs = len(self._graph.inputs), len(self._graph.outputs)
        if inputs != 1 or not outputs:
            raise ModelFormatError(
                f"not an image classifier: it has {inputs} inputs and {outputs} outputs, not one input and scores"
            )

    @property
    def entry(self) -> "schema.TensorT":
        return self._graph.tensors[int(self._graph.inputs[0])]

    @property
    def result(self) -> "schema.TensorT":
        return self.results[0]

    @property
    def results(self) -> "list[schema.TensorT]":
        return [self._graph.tensors[int(index)] for index in self._graph.outputs]

    def last_operator(self, passed_over: frozenset[str], output: int = 0) -> str:
        """Name of the operator that computes an output, those in `passed_over` left out; empty if there is none."""
        wanted = int(self._graph.outputs[output])
        for operator in reversed(self._graph.operators):
            if wanted in operator.outputs:
                name = self._name(operator)
                if name not in passed_over:
                    return name
                # Values pass through the operators in `passed_over` by their first input.
                wanted = int(operator.inputs[0])
        return ""

    def tensorflow_operators(self) -> list[str]:
        """Names of its operators that TensorFlow itself has to compute."""
        used = {operator.opcodeIndex for operator in self._graph.operators}
        names = (self._model.operatorCodes[index].customCode for index in sorted(used))
        return [name.decode("utf-8", "replace") for name in names if name and name.startswith(b"Flex")]

    def fix_batch(self) -> bool:
        """Makes a batch of any size one picture; returns whether it was of any size."""
        entry = self.entry
        if entry.shapeSignature is None or entry.shapeSignature[0] != -1 or entry.shape[0] != 1:
            return False
        for tensor in self._graph.tensors:
            signature, shape = tensor.shapeSignature, tensor.shape
            if signature is not None and len(signature) and signature[0] == -1 and len(shape) == len(signature):
                tensor.shapeSignature = np.array([shape[0], *signature[1:]], np.int32)
        return True

    def keep_output(self, output: int) -> None:
        """Leaves out all outputs but one, and the operators that only the others need."""
        kept = int(self._graph.outputs[output])
        needed, operators = {kept}, []
        for operator in reversed(self._graph.operators):
            given = set() if operator.outputs is None else set(map(int, operator.outputs))
            # What gives nothing has an effect: it fills a table or a variable.
            if not given or given & needed:
                needed |= set() if operator.inputs is None else set(map(int, operator.inputs))
                operators.append(operator)
        self._graph.operators = operators[::-1]
        self._graph.outputs = np.array([kept], np.int32)
        for definition in self._model.signatureDefs or []:
            if definition.subgraphIndex == 0:
                definition.outputs = [one for one in definition.outputs if one.tensorIndex == kept]

    def put_in_front(self, entry: "schema.TensorT", steps: Sequence[NewOperator]) -> None:
        """Puts operators between a new input and the one that was."""
        old = int(self._graph.inputs[0])
        new = last = self._tensor(entry)
        operators = []
        for position, step in enumerate(steps):
            goal = old if position == len(steps) - 1 else self._tensor(step.result)
            operators.append(self._operator(step, last, goal))
            last = goal
        self._graph.operators[:0] = operators
        self._graph.inputs = np.array([new], np.int32)
        # A signature names the ends by their tensors, too; who calls the model by its signature looks there.
        self._rename(old, new, "inputs")

    def put_behind(self, steps: Sequence[NewOperator]) -> None:
        """Puts operators between the output that was and a new one."""
        old = last = int(self._graph.outputs[0])
        for step in steps:
            goal = self._tensor(step.result)
            self._graph.operators.append(self._operator(step, last, goal))
            last = goal
        self._graph.outputs = np.array([last], np.int32)
        self._rename(old, last, "outputs")

    def packed(self) -> bytes:
        """The flatbuffer."""
        builder = _AlignedBuilder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _name(self, operator: "schema.OperatorT") -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        return str(names.get(number, number))

    def _tensor(self, tensor: "schema.TensorT", data: bytes | None = None) -> int:
        tensor = copy(tensor)  # the same step may go into two graphs
        # Without hasRank the schema takes an empty shape for an unknown one.
        tensor.buffer, tensor.hasRank = len(self._model.buffers), True
        tensor.name = tensor.name or f"edge_mobilenet_{len(self._graph.tensors)}".encode()
        self._model.buffers.append(schema.BufferT(data=None if data is None else np.frombuffer(data, np.uint8)))
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _constant(self, constant: Constant) -> int:
        values = constant.values
        tensor = schema.TensorT(shape=np.array(values.shape, np.int32), type=_TYPES[values.dtype])
        if constant.scale is not None:
            tensor.quantization = quantization(constant.scale, 0)
        return self._tensor(tensor, np.ascontiguousarray(values).tobytes())

    def _operator(self, step: NewOperator, source: int, goal: int) -> "schema.OperatorT":
        code = getattr(schema.BuiltinOperator, step.name)
        # The old field is a byte: by the schema 127 in it refers a reader to the new one.
        self._model.operatorCodes.append(schema.OperatorCodeT(min(code, 127), builtinCode=code, version=step.version))
        options = step.options
        return schema.OperatorT(
            len(self._model.operatorCodes) - 1,
            np.array([source, *map(self._constant, step.constants)], np.int32),
            np.array([goal], np.int32),
            # The objects of the generated code are called after their tables, with a T behind: MulOptionsT.
            builtinOptionsType=getattr(schema.BuiltinOptions, type(options).__name__[:-1]) if options else 0,
            builtinOptions=options,
        )

    def _rename(self, old: int, new: int, side: str) -> None:
        for definition in self._model.signatureDefs or []:
            for one in getattr(definition, side):
                if definition.subgraphIndex == 0 and one.tensorIndex == old:
                    one.tensorIndex = new


def tensor(
    shape: Sequence[int], kind: int, name: str = "", scale: float | None = None, zero_point: int = 0
) -> "schema.TensorT":
    """A tensor of the generated schema, quantized if it has a scale."""
    parameters = None if scale is None else quantization(scale, zero_point)
    return schema.TensorT(np.array(shape, np.int32), kind, name=name.encode() or None, quantization=parameters)


def quantization(scale: float, zero_point: int) -> "schema.QuantizationParametersT":
    """Parameters of a tensor with one scale, of the generated schema."""
    return schema.QuantizationParametersT(
        scale=np.array([scale], np.float32), zeroPoint=np.array([zero_point], np.int64)
    )


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """Aligns vectors of bytes, which hold the weights, as an interpreter expects them."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        return super().StartVector(elemSize, numElems, _ALIGNMENT if elemSize == 1 else alignment)
