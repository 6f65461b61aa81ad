"""A classifier's graph, changed where need be so that it takes raw pixels and gives a probability per label.

It takes uint8 as they are, or float32 0..255, in rows of R, G, B (or B, G, R) pixels. What a model wants instead -
another range, a mean and a standard deviation per channel, gray, planes of channels - is put in front of it as
operators, in the flatbuffer itself; a softmax that is missing, one score for two labels, a shape other than (1, labels)
and scores in int8, which MediaPipe does not take, are mended behind it in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge_convert.tflite.graph_edit import Constant, EditableGraph, NewOperator, quantization, tensor
from edge_core.artifact.flatbuffer import is_tflite, not_tflite
from edge_core.errors import InputSpecError, ModelFormatError
from edge_core.preprocess import ColorOrder, Frame

InputRange = tuple[float, float]
"""What a black and a white pixel are to a model."""

GRAY: Final = (0.299, 0.587, 0.114)
"""Shares of R, G and B in gray by ITU-R BT.601, as OpenCV, Pillow and TensorFlow have them."""

GRAY_EIGHT_BIT: Final = (58, 114, 22)
"""The same in 194ths: of the sums that fit 8 bits, one that comes within 0.0006 of each share, 0.15 of a level."""

PROBABILITIES: Final = frozenset({"SOFTMAX", "LOGISTIC"})
"""Operators whose results are probabilities."""

_MOVED: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE", "CAST"})
"""Operators that leave values what they are."""

_TYPES: Final[dict[int, np.dtype[Any]]] = {
    schema.TensorType.FLOAT32: np.dtype(np.float32),
    schema.TensorType.UINT8: np.dtype(np.uint8),
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.INT16: np.dtype(np.int16),
}


_TYPE_NAMES: Final = {code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")}


@dataclass(frozen=True)
class Levels:
    """What a pixel's level, 0..255, is to a model: ((low..high) - mean) / std.

    Attributes:
        input_range: Low and high; None if the quantization of the model says so, or mean and std do.
        mean, std: One for all channels, or one per channel in the model's order; empty for none.

    Raises:
        InputSpecError: Mean and std are not one or three numbers each, or a std is not above 0.
    """

    input_range: InputRange | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if any(len(numbers) not in (0, 1, 3) for numbers in (self.mean, self.std)):
            raise InputSpecError("a mean and a standard deviation are one number, or three, one per channel")
        if not np.isfinite([*self.mean, *self.std]).all() or any(value <= 0 for value in self.std):
            raise InputSpecError("a mean is a finite number, and a standard deviation is one above 0")

    @property
    def normalized(self) -> bool:
        return bool(self.mean or self.std)

    @property
    def range(self) -> InputRange:
        """Low and high; by mean and std where they are not given: up to 1 they are of levels 0..1, else of 0..255."""
        if self.input_range is not None:
            return self.input_range
        return (0.0, 1.0) if max(map(abs, (*self.mean, *self.std)), default=0.0) <= 1 else (0.0, 255.0)

    def gain_and_offset(self, channels: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """What a level is multiplied with, and what is added, each of shape (channels,)."""
        low, high = self.range
        mean, std = np.array(self.mean or (0.0,)), np.array(self.std or (1.0,))
        if channels == 1 and max(len(mean), len(std)) > 1:
            raise InputSpecError("the model takes gray pictures: give one mean and one standard deviation")
        gain, offset = (high - low) / 255 / std, (low - mean) / std
        return np.broadcast_to(gain, channels), np.broadcast_to(offset, channels)


@dataclass(frozen=True)
class Entry:
    """How a model takes a picture by itself.

    Attributes:
        width, height: Size of the input in pixels.
        channels: 3, or 1 for gray.
        planes: Whether it takes planes of channels, shape (1, channels, height, width), not pixels.
        gray: Shares of the three channels in gray.
        gain, offset: What a level is multiplied with, and what is added, per channel; as the model's numbers, so of an
            8-bit model that takes raw pixels nothing is changed but the sign.
        dtype: Data type of the input tensor.
        scale, zero_point: Parameters of a quantized input that receives `gain * level + offset`; None where the
            input takes plain numbers.
    """

    width: int
    height: int
    channels: int
    planes: bool
    gray: tuple[float, ...]
    gain: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    dtype: np.dtype[Any]
    scale: float | None = None
    zero_point: int = 0

    def given(self, pixels: Frame) -> npt.NDArray[np.generic]:
        """What the model by itself is given for raw pixels, uint8 of shape (height, width, 3)."""
        levels = pixels.astype(np.float64)
        if self.channels == 1:
            levels = (levels @ np.array(self.gray))[..., None]
        levels = levels * self.gain + self.offset
        if self.scale is not None:
            levels = levels / self.scale + self.zero_point
        if self.planes:
            levels = levels.transpose(2, 0, 1)
        if self.dtype.kind != "f":
            limits = np.iinfo(self.dtype)
            levels = np.clip(np.round(levels), limits.min, limits.max)
        return levels[None].astype(self.dtype)


@dataclass(frozen=True)
class RawPixelModel:
    """A bare model that takes raw pixels.

    Attributes:
        model: The flatbuffer; the very one that was given if nothing had to be changed.
        compiled: The one for an Edge TPU, changed alike; None if there was none.
        entry: How the model takes a picture without what was put in front.
        outputs: How many scores it gives.
        output: Which of the original's outputs these are.
        input_range: What a black and a white pixel are to it inside, before a mean is taken off.
        last_operator: Name of the operator that computes its scores, what was put behind left out.
        one_score: Whether it gave one score, and now gives two.
        notes: What was put in front and behind, in sentences; empty if nothing.
    """

    model: bytes
    compiled: bytes | None
    entry: Entry
    outputs: int
    output: int
    input_range: InputRange
    last_operator: str
    one_score: bool
    notes: tuple[str, ...]

    @property
    def gives_probabilities(self) -> bool:
        """Whether its last operator says so; if not, it may still do."""
        return self.last_operator in PROBABILITIES


@dataclass(frozen=True)
class _Additions:
    """What goes in front of a graph, with its new input, and what goes behind; and what is told of it."""

    input: "schema.TensorT | None" = None
    front: tuple[NewOperator, ...] = ()
    behind: tuple[NewOperator, ...] = ()
    notes: tuple[str, ...] = ()


def take_raw_pixels(
    model: bytes,
    levels: Levels = Levels(),
    color_order: ColorOrder = "RGB",
    *,
    labels: int = 0,
    softmax: bool = False,
    compiled: bytes | None = None,
) -> RawPixelModel:
    """Makes a classifier take raw pixels, and give scores of shape (1, labels).

    Args:
        model: A flatbuffer with one input of shape (1, height, width, channels) or (1, channels, height, width), of
            uint8, int8, int16 or float32 and of three channels or one, and an output with one side longer than 1, or
            for two labels of one score.
        levels: What pixels are to it; nothing need be given if its quantization says so.
        color_order: Order of the channels that the model takes.
        labels: How many there are, which tells the scores among several outputs; 0 if that is not known.
        softmax: Whether to put one behind.
        compiled: What Google's compiler made of `model`, to be changed alike.

    Raises:
        ModelFormatError: It is none of these, needs a range, its quantization says another one, or `compiled` is not of
            it.
        InputSpecError: A mean per channel for a model that takes gray.
    """
    for content in (model, compiled):
        if content is not None and not is_tflite(content):
            raise ModelFormatError(not_tflite(content))
    try:
        return _changed(model, levels, color_order, labels, softmax, compiled)
    except (ModelFormatError, InputSpecError):
        raise
    except Exception as error:  # the generated code trusts its bytes: struct.error, IndexError, TypeError ...
        raise ModelFormatError(f"damaged, it cannot be parsed ({type(error).__name__}: {error})") from error


def _changed(
    model: bytes, levels: Levels, color_order: ColorOrder, labels: int, softmax: bool, compiled: bytes | None
) -> RawPixelModel:
    graph, twin, output, notes = _opened(model, compiled, labels)
    entry, input_range = _entry(graph.entry, levels, color_order)
    last = graph.last_operator(_MOVED)
    outputs = _outputs(graph.result, labels, last)
    one_score = _length(graph.result) == 1
    additions = [_in_front(graph.entry, entry), _behind(graph.result, outputs, last, softmax)]
    notes += [note for added in additions for note in added.notes]
    if graph.fix_batch():
        notes.append("a batch of any size became one picture")
    for one in (graph, twin):
        if one is not None:
            one.fix_batch()
            if additions[0].front:
                one.put_in_front(additions[0].input, additions[0].front)
            one.put_behind(additions[1].behind)
    if not notes:
        return RawPixelModel(model, compiled, entry, outputs, output, input_range, last, False, ())
    packed = twin.packed() if twin else None
    return RawPixelModel(graph.packed(), packed, entry, outputs, output, input_range, last, one_score, tuple(notes))


def _opened(
    model: bytes, compiled: bytes | None, labels: int
) -> tuple[EditableGraph, EditableGraph | None, int, list[str]]:
    """A model and its compiled twin with the one output that has the scores, which output that is, and notes."""
    graph, twin = EditableGraph(model), None
    output, notes = _chosen_output(graph, labels)
    if len(graph.results) > 1:
        graph.keep_output(output)
    if operators := graph.tensorflow_operators():
        raise ModelFormatError(
            f"{', '.join(operators)} are operators that TensorFlow itself computes, and no runtime on a board; convert "
            "it without SELECT_TF_OPS"
        )
    if compiled is not None:
        twin = EditableGraph(compiled)
        if output < len(twin.results):
            twin.keep_output(output)
        _check_twin(graph, twin)
    for one in (graph, twin):
        if one is not None and one.entry.type == schema.TensorType.UINT8 and not _has_scale(one.entry):
            # A CAST in the graph makes floats of them: they are pixels as they are.
            one.entry.quantization = quantization(1.0, 0)
    return graph, twin, output, notes


def _chosen_output(graph: EditableGraph, labels: int) -> tuple[int, list[str]]:
    """Which output has a score for each label, of several the only one, or the only one of probabilities.

    Raises:
        ModelFormatError: None of several has, or there is more than one such.
    """
    if len(graph.results) == 1:
        return 0, []
    fitting = [
        place
        for place, result in enumerate(graph.results)
        if result.type in _TYPES and labels > 1 and _length(result) == labels
    ]
    if len(fitting) > 1:
        fitting = [place for place in fitting if graph.last_operator(_MOVED, place) in PROBABILITIES]
    shown = "; ".join(_kind(result) for result in graph.results)
    if len(fitting) != 1:
        raise ModelFormatError(
            f"not one of its {len(graph.results)} outputs alone has scores of {labels} labels: {shown}; give as many "
            "labels as there are scores, or convert it with the scores alone"
        )
    return fitting[0], [f"of its outputs only that with a score per label is kept, {_kind(graph.results[fitting[0]])}"]


def _picture_shape(given: "schema.TensorT") -> tuple[tuple[int, ...], bool]:
    """The shape of an input tensor, and whether it takes planes of channels (NCHW).

    Raises:
        ModelFormatError: It does not take one picture of a fixed size and a known type.
    """
    shape = tuple(int(side) for side in given.shape)
    planes = len(shape) == 4 and shape[3] not in (1, 3) and shape[1] in (1, 3)
    if len(shape) != 4 or shape[0] != 1 or not (planes or shape[3] in (1, 3)):
        raise ModelFormatError(
            f"not an image classifier: its input has the shape {shape}, not (1, height, width, 3): one picture at a "
            "time, of colors or gray, as pixels or as planes"
        )
    if given.shapeSignature is not None and len(given.shapeSignature) and min(given.shapeSignature[1:]) < 1:
        raise ModelFormatError("its input has no fixed size; convert it with one")
    if given.type not in _TYPES:
        raise ModelFormatError("its input is neither uint8 nor int8 nor int16 nor float32")
    return shape, planes


def _entry(given: "schema.TensorT", levels: Levels, color_order: ColorOrder) -> tuple[Entry, InputRange]:
    """How a model takes a picture, by its input tensor, and the range of it."""
    shape, planes = _picture_shape(given)
    dtype = _TYPES[given.type]
    channels, height, width = shape[1:] if planes else (shape[3], *shape[1:3])
    gray: tuple[float, ...] = GRAY if color_order == "RGB" else GRAY[::-1]
    scale, zero_point = (None, 0) if dtype.kind == "f" else _quantization(given)
    if scale is not None and dtype.itemsize == 1 and not levels.normalized:
        darkest = int(np.iinfo(dtype).min)
        found = (scale * (darkest - zero_point), scale * (darkest + 255 - zero_point))
        # A black pixel's level is a whole number, so either end may be off by one; another range is off by dozens.
        if levels.input_range is not None and max(abs(np.subtract(found, levels.input_range))) > 2 * scale:
            raise ModelFormatError(
                f"its quantization says that it takes {found[0]:.3g}..{found[1]:.3g}, not "
                f"{levels.input_range[0]:g}..{levels.input_range[1]:g}; leave the input range out"
            )
        shares = tuple(share / sum(GRAY_EIGHT_BIT) for share in GRAY_EIGHT_BIT)
        gray = shares if color_order == "RGB" else shares[::-1]
        one = np.ones(channels)
        return Entry(width, height, channels, planes, gray, one, darkest * one, dtype), found
    if levels.input_range is None and not levels.normalized:
        raise ModelFormatError(
            f"it takes {'floats' if scale is None else dtype}, and does not say of which range; give what it was "
            "trained on: --input-range -1..1, 0..1 or 0..255, or --mean and --std"
        )
    gain, offset = levels.gain_and_offset(channels)
    # Calibration finds no range twice as wide as there is.
    if scale is not None and dtype.itemsize == 1 and 255 * gain.max() < 255 * scale / 2:
        raise ModelFormatError(
            f"its input spans {255 * scale:.3g}, and with this mean and standard deviation pixels would span "
            f"{255 * gain.max():.3g}; leave them out"
        )
    return Entry(width, height, channels, planes, gray, gain, offset, dtype, scale, zero_point), levels.range


def _length(result: "schema.TensorT") -> int:
    """How many scores an output tensor holds; 0 if they do not lie along one side of it."""
    shape = [] if result.shape is None else [int(side) for side in result.shape]
    count = max(shape, default=1)
    return count if int(np.prod(shape)) == count else 0


def _outputs(result: "schema.TensorT", labels: int, last_operator: str) -> int:
    """How many scores the changed model gives."""
    count = _length(result)
    if count == 1 and labels == 2:
        if last_operator == "SOFTMAX":
            raise ModelFormatError("its one score is a softmax's, so it is always 1; train it with a sigmoid")
        count = 2
    if count < 2:
        shape = () if result.shape is None else tuple(int(side) for side in result.shape)
        advice = "; for one score give two labels, first that of 0, then that of 1" if count else ""
        raise ModelFormatError(
            f"not an image classifier: its output has the shape {shape}, not one score per label, (1, labels){advice}"
        )
    if result.type not in _TYPES:
        raise ModelFormatError("its output is neither uint8 nor int8 nor int16 nor float32")
    return count


def _in_front(given: "schema.TensorT", entry: Entry) -> _Additions:
    if entry.scale is None and entry.dtype.kind != "f":
        return _integers_in_front(given, entry)
    return _floats_in_front(given, entry)


def _integers_in_front(given: "schema.TensorT", entry: Entry) -> _Additions:
    """For an 8-bit model that takes raw pixels but for their layout, their sign, or their colors."""
    scale, zero_point = _quantization(given)
    signed = given.type == schema.TensorType.INT8
    # The same levels in the other sign: int8 is uint8 less 128, and so is its zero point.
    zeros = {
        schema.TensorType.INT8: zero_point - 128 * (not signed),
        schema.TensorType.UINT8: zero_point + 128 * signed,
    }
    size = (entry.height, entry.width)

    def eight_bit(kind: int, *shape: int, name: str = "") -> "schema.TensorT":
        return tensor((1, *shape), kind, name, scale, zeros[kind])

    kind, shape = schema.TensorType.UINT8, (*size, 3)
    steps: list[NewOperator] = []
    notes: list[str] = []
    if entry.channels == 1:
        steps.append(NewOperator("QUANTIZE", eight_bit(schema.TensorType.INT8, *shape)))
        shares = np.array([[[[round(share * sum(GRAY_EIGHT_BIT)) for share in entry.gray]]]], np.int8)
        weight = 1 / sum(GRAY_EIGHT_BIT)
        kind, shape = schema.TensorType.INT8, (*size, 1)
        # By TensorFlow Lite's specification of quantization a bias has the scale of input times weights.
        constants = (Constant(shares, weight), Constant(np.zeros(1, np.int32), scale * weight))
        steps.append(NewOperator("CONV_2D", eight_bit(kind, *shape), constants, _one_by_one(), version=3))
        notes.append("a CONV_2D put in front makes gray of colors: the model takes one channel")
    if entry.planes:
        if signed and kind == schema.TensorType.UINT8:
            kind = schema.TensorType.INT8
            steps.append(NewOperator("QUANTIZE", eight_bit(kind, *shape)))
        steps.append(_to_planes(eight_bit(kind, shape[2], *size), 2))
        notes.append(_PLANES)
    if kind != given.type:
        steps.append(NewOperator("QUANTIZE"))
    if signed:
        notes.append("QUANTIZE put in front: the model takes int8, and pixels are uint8")
    return _Additions(eight_bit(schema.TensorType.UINT8, *size, 3, name="raw_pixels"), tuple(steps), notes=tuple(notes))


_PLANES: Final = "TRANSPOSE put in front: the model takes planes of channels, and pictures are rows of pixels"


def _floats_in_front(given: "schema.TensorT", entry: Entry) -> _Additions:
    """For a model of other numbers: they are computed as floats, and quantized if it wants integers."""
    kind, size = schema.TensorType.FLOAT32, (entry.height, entry.width)
    steps: list[NewOperator] = []
    notes: list[str] = []
    if entry.channels == 1:
        shares = (np.array(entry.gray) * entry.gain).astype(np.float32).reshape(1, 1, 1, 3)
        constants = (Constant(shares), Constant(entry.offset.astype(np.float32)))
        steps.append(NewOperator("CONV_2D", tensor((1, *size, 1), kind), constants, _one_by_one()))
        notes.append(
            f"a CONV_2D put in front makes gray of colors, and of 0..255 {_spans(entry)}: the model takes one channel"
        )
    else:
        names = []
        for name, values, idle, options in (
            ("MUL", entry.gain, 1.0, schema.MulOptionsT()),
            ("ADD", entry.offset, 0.0, schema.AddOptionsT()),
        ):
            if not (values == idle).all():
                alike = len(set(values.tolist())) == 1
                constant = Constant(np.array(values[0] if alike else values, np.float32))
                steps.append(NewOperator(name, tensor((1, *size, 3), kind), (constant,), options))
                names.append(f"{name} {', '.join(f'{value:.6g}' for value in values[: 1 if alike else None])}")
        if names:
            notes.append(f"{' and '.join(names)} put in front: 0..255 becomes {_spans(entry)}")
    if entry.planes:
        steps.append(_to_planes(tensor((1, entry.channels, *size), kind), 1))
        notes.append(_PLANES)
    if entry.scale is not None:
        steps.append(NewOperator("QUANTIZE", version=2 if entry.dtype.itemsize == 2 else 1))
        notes.append(f"QUANTIZE put in front: the model takes {entry.dtype}")
    return _Additions(tensor((1, *size, 3), kind, "raw_pixels"), tuple(steps), notes=tuple(notes))


def _behind(given: "schema.TensorT", outputs: int, last_operator: str, softmax: bool) -> _Additions:
    kind, count = given.type, _length(given)
    quantized = _TYPES[kind].kind != "f"
    scale, zero_point = _quantization(given) if quantized else (None, 0)
    steps: list[NewOperator] = []
    notes: list[str] = []
    given_shape = () if given.shape is None else tuple(int(side) for side in given.shape)
    if len(given_shape) != 2 or given_shape[0] != 1:
        shape = np.array([1, count], np.int32)
        result = tensor((1, count), kind, "", scale, zero_point)
        steps.append(NewOperator("RESHAPE", result, (Constant(shape),), schema.ReshapeOptionsT(newShape=shape)))
        notes.append(f"RESHAPE put behind: the model gives scores of shape {given_shape}")
    if quantized and (softmax or count < outputs or kind == schema.TensorType.INT16):
        # The lowest version of the operator that takes the type.
        version = {schema.TensorType.UINT8: 1, schema.TensorType.INT8: 2}.get(kind, 3)
        steps.append(
            NewOperator("DEQUANTIZE", tensor((1, count), schema.TensorType.FLOAT32, "scores"), version=version)
        )
        notes.append("DEQUANTIZE put behind: the scores are floats now")
    elif kind == schema.TensorType.INT8:
        as_uint8 = tensor((1, outputs), schema.TensorType.UINT8, "scores", scale, zero_point + 128)
        steps.append(NewOperator("QUANTIZE", as_uint8))
        notes.append("QUANTIZE put behind: the model gives int8, and MediaPipe takes scores as uint8 or float32")
    if count < outputs:
        sigmoid = last_operator == "LOGISTIC"
        # (1 - p, p) of a probability; (0, x) of a logit, of which a softmax makes (1 - sigmoid(x), sigmoid(x)).
        for name, values, options in (
            ("MUL", (-1 if sigmoid else 0, 1), schema.MulOptionsT()),
            ("ADD", (1, 0), schema.AddOptionsT()),
        ):
            if name == "MUL" or sigmoid:
                result = tensor((1, outputs), schema.TensorType.FLOAT32, f"both_{name.lower()}")
                steps.append(NewOperator(name, result, (Constant(np.array(values, np.float32)),), options))
        one = "probability" if sigmoid else "logit"
        notes.append(f"two scores made of one: the model gives the {one} of the second label")
    if softmax:
        result = tensor((1, outputs), schema.TensorType.FLOAT32, "probabilities")
        steps.append(NewOperator("SOFTMAX", result, options=schema.SoftmaxOptionsT(beta=1.0)))
        notes.append("SOFTMAX put behind: the model ends in logits, and scores are probabilities")
    return _Additions(behind=tuple(steps), notes=tuple(notes))


def _spans(entry: Entry) -> str:
    """What 0..255 becomes, "-1..1" or one of it per channel."""
    low, high = entry.offset, entry.offset + 255 * entry.gain
    spans = [f"{a:.4g}..{b:.4g}" for a, b in zip(low, high, strict=True)]
    return spans[0] if len(set(spans)) == 1 else ", ".join(spans)


def _to_planes(result: "schema.TensorT", version: int) -> NewOperator:
    # From (batch, height, width, channels) to (batch, channels, height, width).
    order = np.array([0, 3, 1, 2], np.int32)
    return NewOperator("TRANSPOSE", result, (Constant(order),), schema.TransposeOptionsT(), version)


def _one_by_one() -> Any:
    options = schema.Conv2DOptionsT()
    options.padding, options.strideW, options.strideH = schema.Padding.VALID, 1, 1
    options.dilationWFactor = options.dilationHFactor = 1
    return options


def _check_twin(graph: EditableGraph, compiled: EditableGraph) -> None:
    for what, ours, theirs in (
        ("input", graph.entry, compiled.entry),
        ("output", graph.result, compiled.result),
    ):
        if _kind(ours) != _kind(theirs):
            raise ModelFormatError(
                f"it was not compiled from the file for the CPU: its {what} is {_kind(theirs)}, that one's "
                f"{_kind(ours)}"
            )


def _kind(one: Any) -> str:
    """Name, type, shape and quantization of a tensor in words."""
    name = (one.name or b"").decode("utf-8", "replace")
    shape = "x".join(str(int(side)) for side in one.shape)
    words = f"{name!r}, {_TYPE_NAMES.get(one.type, f'type {one.type}')} {shape or 'scalar'}"
    parameters: Sequence[Any] = (
        ()
        if one.quantization is None or one.quantization.scale is None
        else (*one.quantization.scale, *(one.quantization.zeroPoint if one.quantization.zeroPoint is not None else ()))
    )
    return words + "".join(f" {float(value):.6g}" for value in parameters)


def _has_scale(given: "schema.TensorT") -> bool:
    scale = given.quantization and given.quantization.scale
    return scale is not None and len(scale) > 0


def _quantization(given: "schema.TensorT") -> tuple[float, int]:
    parameters = given.quantization
    if parameters is None or parameters.scale is None or len(parameters.scale) != 1:
        raise ModelFormatError("its input or output is of integers without a scale, so what they stand for is unknown")
    return float(parameters.scale[0]), int(parameters.zeroPoint[0]) if parameters.zeroPoint is not None else 0
