"""The Edge TPU: which operators its compiler will map, which stay on the CPU, and why.

The rules are those of Coral's page "TensorFlow models on the Edge TPU", https://coral.ai/docs/edgetpu/models-intro, as
of compiler 16: its requirements of a model, its table of operators with their limits (`OPERATORS`, in its order), and
that the file is cut in two where the first operator cannot be mapped. What the page leaves open is said where it is
decided; `benchmarks/experiments/targets.py coral` holds the forecast against files that Google compiled.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Final

from edge_convert.targets.runtimes import releases
from edge_convert.targets.verdict import Placement, Verdict, count_names, where
from edge_convert.tflite.graph import Graph, Operator, Tensor

COMPILED: Final = "edgetpu-custom-op"
"""The one operator that the compiler makes of all that it maps."""
ON_CHIP_BYTES: Final = 8 << 20
"""Of weights: the Edge TPU's memory. What is beyond is sent again for every picture."""
MAX_SOFTMAX: Final = 16_000
MAX_RESIZED: Final = 512 << 10
"""Elements of a resized tensor. Coral says "depending on input/output size"; 128x128x32 was seen to map, 512x512x32 not
(google-coral/edgetpu issue 31)."""
MAX_GROWTH: Final = 8
"""Of a side when resized. Google's own DeepLab has 1 to 33, which its compiler did not map."""
WEIGHTED: Final = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
)
"""Where the work is: one of these on the CPU, and the Edge TPU is not what computes the model."""

_EIGHT_BITS: Final = ("uint8", "int8")
_OLDEST: Final = "tflite-runtime-2.7"
"""Compiler 16, the last, is of 2021: it knows no operator version that this runtime of November 2021 does not."""
_STRANDED: Final = "after an operator on the CPU; the compiler makes a single part for the Edge TPU"
_LEFT: Final = "left on the CPU by the compiler"

Limit = Callable[[Graph, Operator], str]
"""Says what keeps an operator from being mapped, or nothing."""


def _no_activation(graph: Graph, operator: Operator) -> str:
    activation = operator.options.get("fused_activation_function", "NONE")
    return "" if activation == "NONE" else f"a fused activation, {activation}"


def _same_dilation(graph: Graph, operator: Operator) -> str:
    width, height = (operator.options.get(f"dilation_{side}_factor", 1) for side in "wh")
    return "" if width == height else f"dilation {width} in x and {height} in y, which must be the same"


def _constant(place: int) -> Limit:
    def limit(graph: Graph, operator: Operator) -> str:
        tensor = graph.input_of(operator, place)
        return "" if tensor is None or tensor.constant else "weights that are computed, not constant"

    return limit


def _no_constant(graph: Graph, operator: Operator) -> str:
    """Coral allows one that is all zeros, with one other input: a padding, which no converter writes that way."""
    constant = any(graph.tensors[place].constant for place in operator.inputs if place >= 0)
    return "a constant among the inputs" if constant else ""


def _one_scale(graph: Graph, operator: Operator) -> str:
    """Not on Coral's page: converters gave dense layers a single scale until 2024 (tensorflow/tflite-micro pull
    2602)."""
    weights = graph.input_of(operator, 1)
    if weights is None or weights.quantization is None or not weights.quantization.per_channel:
        return ""
    return "a scale per channel; the Edge TPU wants a single one for the weights of a dense layer"


def _default_format(graph: Graph, operator: Operator) -> str:
    return "shuffled weights" if operator.options.get("weights_format", 0) else ""


def _one_dimension(place: str) -> Limit:
    def limit(graph: Graph, operator: Operator) -> str:
        tensor = graph.tensors[(operator.inputs if place == "input" else operator.outputs)[0]]
        return "" if prod(tensor.shape[:-1]) == 1 else f"an {place} of shape {list(tensor.shape)}, not one-dimensional"

    return limit


def _small_enough(graph: Graph, operator: Operator) -> str:
    size = prod(graph.tensors[operator.inputs[0]].shape)
    return "" if size <= MAX_SOFTMAX else f"{size} elements, more than {MAX_SOFTMAX}"


def _axes(operator: Operator, graph: Graph, place: int) -> tuple[int, ...] | None:
    axes, data = graph.input_of(operator, place), graph.input_of(operator, 0)
    if axes is None or axes.values is None or data is None:
        return None
    # Negative axes count from the last one.
    return tuple(axis % max(1, len(data.shape)) for axis in axes.values)


def _not_over_batch(graph: Graph, operator: Operator) -> str:
    axes = _axes(operator, graph, 1)
    if axes is None:
        return "axes that are computed, not constant"
    return "reduces the batch dimension" if 0 in axes else ""


def _depth_by_four(graph: Graph, operator: Operator) -> str:
    shape, axes = graph.tensors[operator.inputs[0]].shape, _axes(operator, graph, 1) or ()
    deep = len(shape) - 1 in axes and shape[-1] % 4
    return f"reduces a depth of {shape[-1]}, no multiple of 4" if deep else ""


def _not_tiled_in_batch(graph: Graph, operator: Operator) -> str:
    times = graph.input_of(operator, 1)
    if times is None or times.values is None:
        return "repetitions that are computed, not constant"
    # Of fewer than four sides none is the batch.
    return "repeats the batch dimension" if len(times.values) > 3 and times.values[0] != 1 else ""


def _batch_kept(graph: Graph, operator: Operator) -> str:
    padding = graph.input_of(operator, 1)
    if padding is None or padding.values is None:
        return "a padding that is computed, not constant"
    # A pair of numbers per side, before and behind; the first pair is the batch's.
    return "pads the batch dimension" if any(padding.values[:2]) else ""


def _not_packed_in_batch(graph: Graph, operator: Operator) -> str:
    # Axis 0, or none given, is the batch.
    return "" if operator.options.get("axis") else "packs along the batch dimension"


def _not_split_in_batch(graph: Graph, operator: Operator) -> str:
    axis = graph.input_of(operator, 0)
    return "splits along the batch dimension" if axis is None or axis.values is None or not any(axis.values) else ""


def _shared_slope(graph: Graph, operator: Operator) -> str:
    slope = graph.input_of(operator, 1)
    return (
        ""
        if slope is None or prod(slope.shape[:-1]) == 1
        else f"a slope of shape {list(slope.shape)}, not one per channel"
    )


def _stride_one(graph: Graph, operator: Operator) -> str:
    strides = graph.input_of(operator, 3)
    if strides is None or strides.values is None or any(stride != 1 for stride in strides.values):
        return "a stride other than 1"
    masks = operator.options.get("ellipsis_mask"), operator.options.get("new_axis_mask")
    return "an ellipsis or a new axis" if any(masks) else ""


def _gentle_resize(graph: Graph, operator: Operator) -> str:
    before, after = graph.tensors[operator.inputs[0]].shape, graph.tensors[operator.outputs[0]].shape
    growth = max((new / old for old, new in zip(before[1:3], after[1:3], strict=False) if old), default=1.0)
    if growth <= MAX_GROWTH and prod(after) <= MAX_RESIZED:
        return ""
    return f"resizes {list(before)} to {list(after)}, which the compiler keeps off for its precision or its size"


OPERATORS: Final[dict[str, tuple[Limit, ...]]] = {
    "ADD": (),
    "AVERAGE_POOL_2D": (_no_activation,),
    "CONCATENATION": (_no_activation, _no_constant),
    "CONV_2D": (_same_dilation, _constant(1)),
    "DEPTHWISE_CONV_2D": (_same_dilation, _constant(1)),
    "EXPAND_DIMS": (),
    "FULLY_CONNECTED": (_default_format, _one_dimension("output"), _constant(1), _one_scale),
    "L2_NORMALIZATION": (),
    "LOGISTIC": (),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (),
    "MAXIMUM": (),
    "MAX_POOL_2D": (_no_activation,),
    "MEAN": (_not_over_batch, _depth_by_four),
    "MINIMUM": (),
    "MUL": (),
    "PACK": (_not_packed_in_batch,),
    "PAD": (_batch_kept,),
    "PRELU": (_shared_slope,),
    "QUANTIZE": (),
    "REDUCE_MAX": (_not_over_batch,),
    "REDUCE_MIN": (_not_over_batch,),
    "RELU": (),
    "RELU6": (),
    "RELU_N1_TO_1": (),
    "RESHAPE": (),
    "RESIZE_BILINEAR": (_gentle_resize,),
    "RESIZE_NEAREST_NEIGHBOR": (_gentle_resize,),
    "RSQRT": (),
    "SLICE": (),
    "SOFTMAX": (_one_dimension("input"), _small_enough),
    "SPACE_TO_DEPTH": (),
    "SPLIT": (_not_split_in_batch,),
    "SQUEEZE": (),
    "STRIDED_SLICE": (_stride_one,),
    "SUB": (),
    "SUM": (_not_over_batch,),
    "SQUARED_DIFFERENCE": (),
    "TANH": (),
    "TILE": (_not_tiled_in_batch,),
    "TRANSPOSE": (),
    "TRANSPOSE_CONV": (_constant(1),),
}
"""Coral's table: the operators that can be mapped, each with its limits; and TILE, which the table lacks and the
compiler maps: Google's DeepLab on MobileNet-EdgeTPU spreads its pooled features with it."""


def _computed(tensor: Tensor) -> str:
    """The requirements of every tensor that is computed: 8-bit, one scale, static, three dimensions.

    The state of a recurrent layer, which it keeps from one step to the next, is part of the operator: an 8-bit LSTM's
    cell has 16 bits by TensorFlow Lite's specification of quantization, and the compiler maps Google's LSTM whole.
    """
    if tensor.variable:
        return (
            "" if tensor.dtype in (*_EIGHT_BITS, "int16") else f"a state in {tensor.dtype}; the Edge TPU wants integers"
        )
    if tensor.dtype not in _EIGHT_BITS or tensor.quantization is None:
        return f"computed in {tensor.dtype}; the Edge TPU computes with quantized 8-bit integers"
    if not tensor.static:
        return "a shape that is not fixed"
    if prod(tensor.shape[:-3]) != 1:
        return f"a tensor of shape {list(tensor.shape)}: only the three innermost sides may be more than 1"
    return ""


def _held_constant(tensor: Tensor) -> str:
    """Weights in 8 bits; biases, axes and shapes are int32."""
    return "" if tensor.dtype in (*_EIGHT_BITS, "int32") else f"{tensor.dtype} weights; the Edge TPU wants 8 bits"


def _unsuited(tensor: Tensor) -> str:
    """Why the Edge TPU cannot have a tensor; empty if it can."""
    return _held_constant(tensor) if tensor.constant else _computed(tensor)


def obstacle(graph: Graph, operator: Operator) -> str:
    """What keeps an operator, taken alone, from being mapped; empty if nothing does."""
    if operator.custom:
        return "a custom operator"
    if not operator.inputs or not operator.outputs or operator.inputs[0] < 0 or operator.outputs[0] < 0:
        return "no input or no output"
    if operator.name not in OPERATORS:
        return "not among the operators that the Edge TPU supports"
    if why := next(filter(None, map(_unsuited, graph.tensors_of(operator))), ""):
        return why
    if operator.version not in releases()[_OLDEST][1].get(operator.name, ()):
        return f"version {operator.version}, which is newer than the compiler"
    return next((why for limit in OPERATORS[operator.name] if (why := limit(graph, operator))), "")


def forecast(graph: Graph) -> tuple[Placement, ...]:
    """Where each operator will run.

    Operators are taken in parts as TensorFlow Lite's `graph_info.cc` does it for a delegate: in order of execution, and
    each part is all of one kind that waits for nothing of the other. Of the parts that can be mapped, the compiler
    takes the first.
    """
    why = {operator.index: obstacle(graph, operator) for operator in graph.operators}
    taken = _in_first_part(graph, why)
    return tuple(
        Placement(operator, why[operator.index] or ("" if operator.index in taken else _STRANDED))
        for operator in graph.operators
    )


def _in_first_part(graph: Graph, why: Mapping[int, str]) -> set[int]:
    """Indices of the operators in the first part that can be mapped, and of those before it.

    Args:
        graph: Graph of the model.
        why: What keeps each operator from being mapped, by its index.
    """
    pending = {tensor for operator in graph.operators for tensor in operator.outputs}
    taken: set[int] = set()
    # A graph whose first operator cannot be mapped begins with a part for the CPU.
    for mapped in (True,) if not why.get(0) else (False, True):
        for operator in graph.operators:
            if (not why[operator.index]) == mapped and pending.isdisjoint(operator.inputs):
                pending.difference_update(operator.outputs)
                taken.add(operator.index)
    return taken


def compiled_placements(graph: Graph, compiled: Graph) -> tuple[Placement, ...]:
    """Where the compiler put the operators of a file: on the CPU what the compiled file still computes by itself."""
    kept = {compiled.tensors[place].name for one in compiled.operators if one.name != COMPILED for place in one.outputs}
    return tuple(
        Placement(operator, _LEFT if kept & {graph.tensors[place].name for place in operator.outputs} else "")
        for operator in graph.operators
    )


def check_coral(graph: Graph) -> Verdict:
    """Whether the Edge TPU will compute the model.

    It is `ok` if every operator with weights is mapped. The rest may stay on the CPU: a softmax, a change of type or a
    decoder at the end costs little, and Google's own files have them there.
    """
    refusal = _refusal(graph)
    if refusal:
        placements = tuple(Placement(operator, refusal) for operator in graph.operators)
        return Verdict("coral", False, (refusal,), placements)
    if any(operator.name == COMPILED for operator in graph.operators):
        placements = tuple(
            Placement(operator, "" if operator.name == COMPILED else _LEFT) for operator in graph.operators
        )
    else:
        placements = forecast(graph)
    on_cpu = {one.operator.name for one in placements if not one.mapped}
    ok = not on_cpu & WEIGHTED and any(one.mapped for one in placements)
    return Verdict("coral", ok, (*_reasons(placements), *_notes(graph)), placements)


def _refusal(graph: Graph) -> str:
    """Why the compiler takes nothing of the file; empty if it does."""
    if not all(tensor.static for tensor in graph.tensors):
        return "shapes that are not fixed, for which the compiler refuses the file: convert with a batch of 1"
    computed = {tensor.dtype for tensor in graph.tensors if not tensor.constant}
    if not computed & set(_EIGHT_BITS):
        return "nothing is computed in 8-bit integers, and the compiler refuses the file: export with --recipe int8"
    if graph.subgraphs > 1:
        return f"{graph.subgraphs} subgraphs; the compiler takes a file with one"
    return ""


def _reasons(placements: Sequence[Placement]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Operator]] = defaultdict(list)
    for one in placements:
        if not one.mapped:
            groups["" if one.why == _STRANDED else one.operator.name, one.why].append(one.operator)
    for (_, why), operators in groups.items():
        counted = ", ".join(f"{count} {name}" for name, count in count_names(operators).items())
        yield f"{counted}{where(operators)}: {why}"


def _notes(graph: Graph) -> Iterator[str]:
    weights = sum(tensor.size_bytes for tensor in graph.tensors)
    if weights > ON_CHIP_BYTES:
        yield f"{weights / 1e6:.1f} MB of weights: what exceeds the 8 MB on the chip is sent for every picture"
