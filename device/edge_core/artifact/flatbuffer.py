"""As much of the flatbuffers format as it takes to change a .tflite in memory, on a board without the schema's classes.

A table is found by its position, a field of it by its number in TensorFlow Lite's schema.fbs. A vector that grows is
put at the end, and the one offset that pointed to the old one points there: offsets point forwards, so nothing else
moves.
"""

import struct
from collections.abc import Sequence
from typing import Final

from edge_core.errors import ModelFormatError

MODEL_CODES: Final = 1
MODEL_SUBGRAPHS: Final = 2
MODEL_BUFFERS: Final = 4
GRAPH_TENSORS: Final = 0
GRAPH_OUTPUTS: Final = 2
GRAPH_OPERATORS: Final = 3

_DATA_ALIGNMENT: Final = 16  # of a buffer's data, by the schema's force_align

TAIL_MARK: Final = b"edge-mobilenet\0\x01"
"""Sixteen bytes in front of what `begin_tail` separates: no table, so nothing points to it."""


_OTHERS: Final = (
    (b"<", ", but a web page: download the file itself"),
    (b"version https://git-lfs", ", but what Git LFS puts in its place: git lfs pull fetches the file"),
    (b"pk\3\4", ", but a ZIP archive: unpack it, or if it is a Keras model, convert it"),
    (b"\x1f\x8b", ", but compressed by gzip: unpack it"),
    (b"\x89hdf", ", but HDF5, a Keras model: convert it with TensorFlow's TFLiteConverter"),
)
"""How other files begin, in lower case, that are taken for a .tflite, and what is said of them."""


def is_tflite(data: bytes) -> bool:
    """Whether the bytes start like a TFLite flatbuffer."""
    return data[4:8] == b"TFL3"


def not_tflite(data: bytes) -> str:
    """What is said of bytes that are no .tflite, with what they are and what to do where their beginning tells it."""
    start = data[:64].lstrip().lower()
    found = next((told for beginning, told in _OTHERS if start.startswith(beginning)), "")
    return f"not a TFLite model{found or ': it does not bear the identifier TFL3'}"


class Flatbuffer:
    """A .tflite that is being changed.

    Positions that the file itself gives may point anywhere: what lies outside raises `struct.error`, which the caller
    turns into an error with a name to it.
    """

    def __init__(self, model: bytes) -> None:
        """Copies a model.

        Raises:
            ModelFormatError: It is no TFLite flatbuffer.
        """
        if not is_tflite(model):
            raise ModelFormatError(not_tflite(model))
        # Padded, so that what is appended is aligned as offsets have to be.
        self._bytes = bytearray(model) + bytes(-len(model) % 4)
        # Fields that lead into the tail, the only offsets that change when an earlier tail is cut out.
        self._pointed: set[int] = set()
        self._tail: int  # where `begin_tail` was called

    def to_bytes(self) -> bytes:
        """The model as it is now."""
        return bytes(self._bytes)

    @property
    def root(self) -> int:
        """Position of the model's table."""
        return self.uint(0)

    def first_subgraph(self) -> int:
        """Position of the first subgraph's table."""
        return self.tables(self.field(self.root, MODEL_SUBGRAPHS))[0]

    def field(self, table: int, number: int) -> int:
        """Position of a field of a table; `struct.error` if the table does not have it."""
        found = self.optional_field(table, number)
        if found is None:
            raise struct.error
        return found

    def optional_field(self, table: int, number: int) -> int | None:
        """Position of a field of a table; None if the field has its default value, which is not written."""
        # A table begins with the signed distance back to its vtable, which has its own size, the table's size, and then
        # two bytes a field: where the field lies in the table.
        vtable = table - self._int(table)
        # The file's first eight bytes are no vtable; Python would count a negative position from the end.
        if vtable < 8:
            raise struct.error
        # A vtable ends with the last field that was written: every later one has its default.
        if struct.unpack_from("<H", self._bytes, vtable)[0] <= 4 + 2 * number:
            return None
        offset: int = struct.unpack_from("<H", self._bytes, vtable + 4 + 2 * number)[0]
        return table + offset if offset else None

    def uint(self, position: int) -> int:
        """The unsigned 32-bit number at a position."""
        value: int = struct.unpack_from("<I", self._bytes, position)[0]
        return value

    def byte(self, position: int | None) -> int:
        """The byte at a position; 0 where the field is not written."""
        return 0 if position is None else int(struct.unpack_from("<b", self._bytes, position)[0])

    def target(self, position: int) -> int:
        """Where the offset at a position points to; `struct.error` if that is outside."""
        goal = position + self.uint(position)
        if goal >= len(self._bytes):
            raise struct.error
        return goal

    def length(self, field: int) -> int:
        """Number of elements of the vector that a field points to."""
        return self.uint(self.target(field))

    def tables(self, field: int) -> list[int]:
        """Positions of the tables in a vector of tables; `struct.error` if it is empty."""
        start = self.target(field)
        count = self.uint(start)
        # One that a damaged count leads beyond the end raises it, too.
        if not count:
            raise struct.error
        return [self.target(start + 4 + 4 * number) for number in range(count)]

    def values(self, field: int, kind: str) -> tuple[int, ...] | tuple[float, ...]:
        """Elements of a vector of numbers, `kind` in the letters of `struct`."""
        start = self.target(field)
        count = self.uint(start)
        if struct.calcsize(f"<{kind}") * count > len(self._bytes):  # or a damaged count would ask for gigabytes
            raise struct.error
        return struct.unpack_from(f"<{count}{kind}", self._bytes, start + 4)

    def ints(self, field: int) -> tuple[int, ...]:
        """Elements of a vector of signed 32-bit integers: a shape, or tensor indices."""
        return tuple(int(value) for value in self.values(field, "i"))

    def data(self, field: int) -> bytes:
        """Elements of a vector of bytes: the data of a buffer."""
        start = self.target(field)
        count = self.uint(start)
        if start + 4 + count > len(self._bytes):
            raise struct.error
        return bytes(self._bytes[start + 4 : start + 4 + count])

    def put_values(self, field: int, kind: str, values: Sequence[int] | Sequence[float]) -> None:
        """Lets a field point to a new vector of numbers, `kind` in the letters of `struct`."""
        # The elements of a vector lie at a multiple of their size, and its length in the four bytes before them.
        self._align(max(4, struct.calcsize(f"<{kind}")))
        self._point(field)
        self._bytes += struct.pack(f"<I{len(values)}{kind}", len(values), *values)
        self._align(0)

    def put_data(self, field: int, content: bytes) -> None:
        """Lets the data field of a buffer point to new content."""
        self._align(_DATA_ALIGNMENT)
        self._point(field)
        self._bytes += struct.pack("<I", len(content)) + content
        self._align(0)

    def put_in_place(self, field: int, kind: str, value: float) -> None:
        """Overwrites the only element of a vector of numbers."""
        if self.length(field) != 1:
            raise struct.error
        struct.pack_into(f"<{kind}", self._bytes, self.target(field) + 4, value)

    def begin_tail(self) -> None:
        """Marks where what is put from now on begins."""
        self._bytes += bytes(-len(self._bytes) % _DATA_ALIGNMENT)
        self._tail = len(self._bytes)
        self._bytes += TAIL_MARK

    def drop_earlier_tail(self) -> None:
        """Removes what an earlier edit has put behind its mark, all of which was put anew behind this one's."""
        earlier = self._bytes.find(TAIL_MARK)
        # The same bytes at another alignment are weights by chance: a mark is always put at a multiple of it.
        if not 0 <= earlier < self._tail or earlier % _DATA_ALIGNMENT:
            return
        for field in self._pointed:
            struct.pack_into("<I", self._bytes, field, self.uint(field) - (self._tail - earlier))
        # Only this edit's tail moves by it, and nothing but the fields above leads there.
        del self._bytes[earlier : self._tail]

    def _point(self, field: int) -> None:
        self._pointed.add(field)
        struct.pack_into("<I", self._bytes, field, len(self._bytes) - field)

    def _align(self, elements: int) -> None:
        """Pads so that what comes four bytes from here is aligned; 0: so that the next thing is, to four bytes."""
        self._bytes += bytes(-(len(self._bytes) + 4) % elements if elements else -len(self._bytes) % 4)

    def _int(self, position: int) -> int:
        value: int = struct.unpack_from("<i", self._bytes, position)[0]
        return value
