"""A classifier's graph, changed where need be so that it takes raw pixels: uint8 as they are, or float32 0..255.

What a model wants instead is put in front of it as operators, in the flatbuffer itself; scores in int8, which MediaPipe
does not take, become uint8 in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_core.artifact.metadata import is_tflite
from edge_core.errors import ModelFormatError

_ALIGNMENT = 16  # of buffer data, by the schema's force_align, which the generated code does not heed


@dataclass(frozen=True)
class RawPixelModel:
    """A bare model that takes raw pixels.

    Attributes:
        model: the flatbuffer; the very one that was given if nothing had to be changed.
        width, height: of its input.
        outputs: how many scores it gives.
        input_range: what a black and a white pixel are to it inside.
        notes: what was put in front and behind, in sentences; empty if nothing.
    """

    model: bytes
    width: int
    height: int
    outputs: int
    input_range: tuple[float, float]
    notes: tuple[str, ...]


def take_raw_pixels(model: bytes, input_range: tuple[float, float] | None) -> RawPixelModel:
    """Makes a classifier take raw pixels.

    Args:
        model: a flatbuffer with one input, shape (1, height, width, 3), of uint8, int8 or float32, and one output, shape
            (1, labels).
        input_range: what a black and a white pixel are to it; None if its quantisation says so.

    Raises:
        ModelFormatError: it is none of these, needs a range, or its quantisation says another one.
    """
    if not is_tflite(model):
        raise ModelFormatError("not a .tflite model")
    try:
        return _changed(model, input_range)
    except ModelFormatError:
        raise
    except Exception as error:  # the generated code trusts its bytes: struct.error, IndexError, TypeError ...
        raise ModelFormatError(f"damaged, it cannot be parsed ({type(error).__name__}: {error})") from error


def _changed(model: bytes, input_range: tuple[float, float] | None) -> RawPixelModel:
    parsed = schema.ModelT.InitFromPackedBuf(model)
    main = parsed.subgraphs[0]
    if (len(main.inputs), len(main.outputs)) != (1, 1):
        raise ModelFormatError(
            f"not an image classifier: it has {len(main.inputs)} inputs and {len(main.outputs)} outputs, not one each"
        )
    entry, result = main.tensors[main.inputs[0]], main.tensors[main.outputs[0]]
    shapes = [tuple(int(side) for side in tensor.shape) for tensor in (entry, result)]
    if [len(shape) for shape in shapes] != [4, 2] or shapes[0][::3] != (1, 3) or shapes[1][0] != 1:
        raise ModelFormatError(
            f"not an image classifier: its input and output have the shapes {shapes[0]} and {shapes[1]}, "
            "not (1, height, width, 3) and (1, labels)"
        )
    if entry.shapeSignature is not None and min(entry.shapeSignature[1:]) < 1:
        raise ModelFormatError("its input has no fixed size; convert it with one")
    _, height, width, _ = shapes[0]
    graph, notes = _Graph(parsed), []
    darkest = {schema.TensorType.UINT8: 0, schema.TensorType.INT8: -128}.get(entry.type)
    if darkest is not None:
        scale, zero_point = _quantisation(entry)
        found = (scale * (darkest - zero_point), scale * (darkest + 255 - zero_point))
        # A black pixel's level is a whole number, so either end may be off by one; another range is off by dozens.
        if input_range is not None and max(abs(np.subtract(found, input_range))) > 2 * scale:
            raise ModelFormatError(
                f"its quantisation says that it takes {found[0]:.3g}..{found[1]:.3g}, not "
                f"{input_range[0]:g}..{input_range[1]:g}; leave the input range out"
            )
        input_range = found
        if entry.type == schema.TensorType.INT8:
            graph.put_in_front([("QUANTIZE", None, None)], _as_uint8(entry, b"raw_pixels"))
            notes.append("QUANTIZE put in front: the model takes int8, and pixels are uint8")
    elif entry.type != schema.TensorType.FLOAT32:
        raise ModelFormatError("its input is neither uint8 nor int8 nor float32")
    elif input_range is None:
        raise ModelFormatError(
            "it takes floats, and does not say of which range; give the range that it was trained on, such as -1..1, 0..1 "
            "or 0..255"
        )
    else:
        low, high = input_range
        steps = [("MUL", (high - low) / 255, schema.MulOptionsT())] if high - low != 255 else []
        steps += [("ADD", low, schema.AddOptionsT())] if low else []
        if steps:
            graph.put_in_front(steps, schema.TensorT(entry.shape, entry.type, name=b"raw_pixels"))
            names = " and ".join(f"{name} {value:.6g}" for name, value, _ in steps)
            notes.append(f"{names} put in front: 0..255 becomes {low:g}..{high:g}")
    if result.type == schema.TensorType.INT8:
        graph.put_behind("QUANTIZE", _as_uint8(result, b"scores"))
        notes.append("QUANTIZE put behind: the model gives int8, and MediaPipe takes scores as uint8 or float32")
    return RawPixelModel(_packed(parsed) if notes else model, width, height, shapes[1][1], input_range, tuple(notes))


class _Graph:
    """The main graph of a parsed model, open for additions at its two ends."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._graph = model.subgraphs[0]

    def put_in_front(self, steps: Sequence[tuple[str, float | None, Any]], new_input: Any) -> None:
        """Puts operators (name, float32 constant or None, options) between a new input and the one that was."""
        old = last = int(self._graph.inputs[0])
        operators: list[Any] = []
        for position, (name, constant, options) in enumerate(reversed(steps)):
            first = position == len(steps) - 1
            before = self._tensor(new_input if first else schema.TensorT(shape=new_input.shape, type=new_input.type))
            inputs = [before]
            if constant is not None:
                shape = np.array([], np.int32)  # a scalar
                kind = schema.TensorType.FLOAT32
                inputs.append(self._tensor(schema.TensorT(shape=shape, type=kind), np.float32(constant).tobytes()))
            operators.insert(0, self._operator(name, inputs, last, options))
            last = before
        self._graph.operators[:0] = operators
        self._graph.inputs = np.array([last], np.int32)
        self._rename(old, last, "inputs")

    def put_behind(self, name: str, new_output: Any) -> None:
        """Puts an operator between the output that was and a new one."""
        old, new = int(self._graph.outputs[0]), self._tensor(new_output)
        self._graph.operators.append(self._operator(name, [old], new, None))
        self._graph.outputs = np.array([new], np.int32)
        self._rename(old, new, "outputs")

    def _tensor(self, tensor: Any, data: bytes | None = None) -> int:
        tensor.buffer, tensor.hasRank = len(self._model.buffers), True
        tensor.name = tensor.name or f"edge_mobilenet_{len(self._graph.tensors)}".encode()
        self._model.buffers.append(schema.BufferT(data=None if data is None else np.frombuffer(data, np.uint8)))
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _operator(self, name: str, inputs: list[int], output: int, options: Any) -> Any:
        code = getattr(schema.BuiltinOperator, name)
        self._model.operatorCodes.append(schema.OperatorCodeT(code, builtinCode=code, version=1))
        return schema.OperatorT(
            len(self._model.operatorCodes) - 1,
            np.array(inputs, np.int32),
            np.array([output], np.int32),
            builtinOptionsType=getattr(schema.BuiltinOptions, type(options).__name__[:-1]) if options else 0,
            builtinOptions=options,
        )

    def _rename(self, old: int, new: int, side: str) -> None:
        for definition in self._model.signatureDefs or []:
            for one in getattr(definition, side):
                if definition.subgraphIndex == 0 and one.tensorIndex == old:
                    one.tensorIndex = new


def _as_uint8(tensor: Any, name: bytes) -> Any:
    """A uint8 tensor whose levels stand for the same as those of an int8 one, 128 above them."""
    scale, zero_point = _quantisation(tensor)
    quantisation = schema.QuantizationParametersT(
        scale=np.array([scale], np.float32), zeroPoint=np.array([zero_point + 128], np.int64)
    )
    return schema.TensorT(tensor.shape, schema.TensorType.UINT8, name=name, quantization=quantisation)


def _quantisation(tensor: Any) -> tuple[float, int]:
    parameters = tensor.quantization
    if parameters is None or parameters.scale is None or len(parameters.scale) != 1:
        raise ModelFormatError("its input or output is of integers without a scale, so what they stand for is unknown")
    return float(parameters.scale[0]), int(parameters.zeroPoint[0]) if parameters.zeroPoint is not None else 0


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """Aligns vectors of bytes, which hold the weights, as an interpreter expects them."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        return super().StartVector(elemSize, numElems, _ALIGNMENT if elemSize == 1 else alignment)


def _packed(model: Any) -> bytes:
    builder = _AlignedBuilder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
