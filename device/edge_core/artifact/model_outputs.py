"""Further outputs of a TFLite flatbuffer, in memory: the file on disk stays the standard one.

Only the vector of the first subgraph's outputs is replaced, by one appended at the end, so it takes as long as a copy of
the bytes; the object API of the flatbuffers package takes 80 ms for the same.
"""

import struct
from collections.abc import Sequence
from typing import Final

from edge_core.artifact.metadata import is_tflite
from edge_core.errors import ModelFormatError

_SUBGRAPHS: Final = 2  # fields of schema.fbs, by their position in the table
_TENSORS, _OUTPUTS = 0, 2


def with_outputs(model: bytes, tensors: Sequence[int]) -> bytes:
    """The model with more tensors of its first subgraph among its outputs, after those that it has.

    Args:
        model: a .tflite, complete or bare.
        tensors: indices in the first subgraph.

    Raises:
        ModelFormatError: no TFLite flatbuffer, a damaged one, or one without such tensors.
    """
    if not is_tflite(model):
        raise ModelFormatError("not a TFLite model: it does not bear the identifier TFL3")
    try:
        graph = _first_subgraph(model)
        field = _field(model, graph, _OUTPUTS)
        outputs = [*_vector(model, field), *tensors]
        count = _uint(model, _target(model, _field(model, graph, _TENSORS)))
    except struct.error as error:
        raise ModelFormatError("not a TFLite model: its flatbuffer is cut off or damaged") from error
    if any(not 0 <= tensor < count for tensor in tensors):
        raise ModelFormatError(f"the model has {count} tensors, none with the indices {list(tensors)}")
    longer = bytearray(model) + bytes(-len(model) % 4)
    struct.pack_into("<I", longer, field, len(longer) - field)
    return bytes(longer + struct.pack(f"<I{len(outputs)}i", len(outputs), *outputs))


def _first_subgraph(model: bytes) -> int:
    """Position of the first subgraph's table."""
    graphs = _target(model, _field(model, _uint(model, 0), _SUBGRAPHS))
    if not _uint(model, graphs):
        raise struct.error
    return _target(model, graphs + 4)


def _field(model: bytes, table: int, number: int) -> int:
    """Position of a field of a table."""
    vtable = table - struct.unpack_from("<i", model, table)[0]
    if vtable < 0 or struct.unpack_from("<H", model, vtable)[0] <= 4 + 2 * number:
        raise struct.error
    offset: int = struct.unpack_from("<H", model, vtable + 4 + 2 * number)[0]
    if not offset:
        raise struct.error
    return table + offset


def _vector(model: bytes, field: int) -> tuple[int, ...]:
    start = _target(model, field)
    count = _uint(model, start)
    if 4 * count > len(model):
        raise struct.error
    return struct.unpack_from(f"<{count}i", model, start + 4)


def _target(model: bytes, position: int) -> int:
    """What an offset at a position points to."""
    return position + _uint(model, position)


def _uint(model: bytes, position: int) -> int:
    value: int = struct.unpack_from("<I", model, position)[0]
    return value
