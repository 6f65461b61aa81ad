"""Which layers of a .tflite the detector looks at."""

from itertools import pairwise
from typing import Final

from edge_convert.tflite.graph import Graph, Operator, Tensor
from edge_core.artifact.familiarity import Layer

_LAST: Final = ("FULLY_CONNECTED", "CONV_2D")

Maps = list[tuple[Operator, Tensor]]
"""Operators with what they give, in order of execution."""


def feature_layers(graph: Graph) -> tuple[Layer, ...]:
    """The features that the last layer sees, and the ends of the last two resolutions before them.

    The last layer is fully connected, or a convolution of a map of one place, as Google's own models have it.

    The earlier of these is as training found it, where fine-tuning begins behind it: what the network knew of the whole
    world and has not given up for a few classes. How much of that the later layers keep differs from one set of classes
    to another: of a flowers model the features alone let in 11 % of foreign pictures, of a cats and dogs model 38 %.

    Returns:
        Nothing of a network without such a layer.
    """
    given = [graph.input_of(operator, 0) for operator in graph.operators if operator.name in _LAST]
    features = next((tensor for tensor in reversed(given) if tensor and _is_vector(tensor)), None)
    if features is None or not _is_number(features):
        return ()
    found = {features.index: features.shape[-1]}
    found |= {tensor.index: tensor.shape[3] for tensor in (*_end_of_stage(graph, 1), *_end_of_stage(graph, 2))}
    return tuple(Layer(index, width) for index, width in found.items())


def _is_vector(tensor: Tensor) -> bool:
    """Whether it has one value a channel: shape (1, width) or (1, 1, 1, width)."""
    return len(tensor.shape) in (2, 4) and all(side == 1 for side in tensor.shape[:-1])


def _end_of_stage(graph: Graph, place: int) -> list[Tensor]:
    """The last sum of the last resolution, or of the one before; without residual connections its last map."""
    maps = _maps(graph)
    heights = [tensor.shape[1] for _, tensor in maps if tensor.shape[1] > 1]
    # A stage ends where the next map is smaller; the 1 stands for the pooling behind the last.
    ends = [before for before, after in pairwise([*heights, 1]) if before > after]
    if len(ends) < place:
        return []
    return _sums(maps, ends[-place])[-1:] or [tensor for _, tensor in maps if tensor.shape[1] == ends[-place]][-1:]


def _sums(maps: Maps, height: int) -> list[Tensor]:
    return [tensor for operator, tensor in maps if operator.name == "ADD" and tensor.shape[1] == height]


def _maps(graph: Graph) -> Maps:
    return [(operator, tensor) for operator in graph.operators for tensor in _maps_of(graph, operator)]


def _maps_of(graph: Graph, operator: Operator) -> list[Tensor]:
    tensors = [graph.tensors[index] for index in operator.outputs if index >= 0]
    return [tensor for tensor in tensors if len(tensor.shape) == 4 and tensor.shape[0] == 1 and _is_number(tensor)]


def _is_number(tensor: Tensor) -> bool:
    per_channel = tensor.quantization is not None and tensor.quantization.per_channel
    return tensor.dtype in ("int8", "uint8", "int16", "float32") and not per_channel
