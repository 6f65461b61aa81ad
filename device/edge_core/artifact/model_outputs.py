"""Further outputs of a TFLite flatbuffer, in memory: the file on disk stays the standard one.

Only the vector of the first subgraph's outputs is replaced, by one appended at the end, so it takes as long as a copy
of the bytes; the object API of the flatbuffers package takes 80 ms for the same.
"""

import struct
from collections.abc import Sequence

from edge_core.artifact.flatbuffer import GRAPH_OUTPUTS, GRAPH_TENSORS, Flatbuffer
from edge_core.errors import ModelFormatError


def with_outputs(model: bytes, tensors: Sequence[int]) -> bytes:
    """The model with more tensors of its first subgraph among its outputs, after those that it has.

    Args:
        model: A .tflite, complete or bare.
        tensors: Indices in the first subgraph.

    Raises:
        ModelFormatError: No TFLite flatbuffer, a damaged one, or one without such tensors.
    """
    flatbuffer = Flatbuffer(model)
    try:
        graph = flatbuffer.first_subgraph()
        field = flatbuffer.field(graph, GRAPH_OUTPUTS)
        count = flatbuffer.length(flatbuffer.field(graph, GRAPH_TENSORS))
        if any(not 0 <= tensor < count for tensor in tensors):
            raise ModelFormatError(f"the model has {count} tensors, none with the indices {list(tensors)}")
        flatbuffer.put_values(field, "i", [*flatbuffer.ints(field), *tensors])
    except struct.error as error:
        raise ModelFormatError("not a TFLite model: its flatbuffer is cut off or damaged") from error
    return flatbuffer.to_bytes()
