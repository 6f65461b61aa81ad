"""What a .tflite says of itself: TFLite Metadata, and the files zipped behind it. `edge_core.artifact.metadata` writes
it.

Slot numbers and enumerations are those of TensorFlow Lite's `metadata_schema.fbs`.
"""

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from flatbuffers import number_types
from flatbuffers.table import Table

from edge_core.artifact.container import read_entry
from edge_core.errors import ModelFormatError

METADATA: Final = "TFLITE_METADATA"
"""Name of the buffer that holds it."""

LABELS: Final = "TENSOR_AXIS_LABELS"

_CONTENTS: Final = ("", "feature", "image", "bounding box", "audio")  # ContentProperties
_COLOR_SPACES: Final = ("unknown", "RGB", "grayscale")
_NORMALIZATION: Final = 1  # ProcessUnitOptions
_FILE_TYPES: Final = (
    "UNKNOWN",
    "DESCRIPTIONS",
    LABELS,
    "TENSOR_VALUE_LABELS",
    "TENSOR_AXIS_SCORE_CALIBRATION",
    "VOCABULARY",
    "SCANN_INDEX_FILE",
)
_DAMAGED: Final = "its TFLite Metadata is damaged"


@dataclass(frozen=True)
class TensorDescription:
    """What is said of an input or an output.

    Attributes:
        name, description: Name and description as people read them.
        content: `image`, `feature`, `bounding box`, `audio`, or empty.
        color_space: Color space of an image, `RGB`, `grayscale` or `unknown`; empty for a tensor that is no image.
        normalization: (means, standard deviations), one or one per channel, to apply to pixels; None if not said.
        files: What belongs to it, by type: `{"TENSOR_AXIS_LABELS": "labels.txt"}`.
    """

    name: str
    description: str
    content: str
    color_space: str
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None
    files: dict[str, str]


@dataclass(frozen=True)
class Description:
    """TFLite Metadata, read.

    Attributes:
        name, description, version, author, license: What the metadata says about the model; empty where it says
            nothing.
        inputs, outputs: Descriptions in the order of the tensors.
    """

    name: str
    description: str
    version: str
    author: str
    license: str
    inputs: tuple[TensorDescription, ...]
    outputs: tuple[TensorDescription, ...]


def read_description(metadata: bytes) -> Description:
    """Reads the buffer named TFLITE_METADATA.

    Raises:
        ModelFormatError: It is no TFLite Metadata, or damaged.
    """
    if metadata[4:8] != b"M001":
        raise ModelFormatError(_DAMAGED)
    try:
        root = _Table.root(metadata)
        graph = next(iter(root.tables(3)), None)
        inputs, outputs = (tuple(map(_tensor, graph.tables(slot))) if graph else () for slot in (2, 3))
        name, description, version, author, license = (root.text(slot) for slot in (0, 1, 2, 4, 5))
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise ModelFormatError(_DAMAGED) from error
    return Description(name, description, version, author, license, inputs, outputs)


def file_sizes(model: bytes) -> dict[str, int]:
    """The files zipped behind a model: names, and sizes in bytes; empty if there is no archive.

    Raises:
        ModelFormatError: There is an archive and it is damaged.
    """
    if not zipfile.is_zipfile(io.BytesIO(model)):
        return {}
    with _archive(model) as archive:
        return {entry.filename: entry.file_size for entry in archive.infolist()}


def read_text(model: bytes, name: str) -> str:
    """A text file zipped behind a model.

    Raises:
        ModelFormatError: It is not there, damaged, compressed, too large, or no text.
    """
    if name not in file_sizes(model):
        raise ModelFormatError("there is no such file behind the model")
    with _archive(model) as archive:
        return read_entry(archive, name).decode("utf-8")


@contextmanager
def _archive(model: bytes) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            yield archive
    except (
        zipfile.BadZipFile,
        ValueError,
        NotImplementedError,
        EOFError,
        RuntimeError,
        OSError,
        struct.error,
    ) as error:
        raise ModelFormatError(f"the files behind the model are damaged: {error}") from error


def _tensor(table: "_Table") -> TensorDescription:
    content = table.table(3)
    kind = _name(_CONTENTS, content.byte(0)) if content else ""
    properties = content.table(1) if content else None
    normalization = None
    for unit in table.tables(4):
        options = unit.table(1)
        if options is not None and unit.byte(0) == _NORMALIZATION:
            normalization = options.floats(0), options.floats(1)
    return TensorDescription(
        name=table.text(0),
        description=table.text(1),
        content=kind,
        color_space=_name(_COLOR_SPACES, properties.byte(0)) if properties and kind == "image" else "",
        normalization=normalization,
        files={
            _name(_FILE_TYPES, file.byte(2)): file.text(0) for file in reversed(table.tables(6))
        },  # the first counts
    )


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)


class _Budget:
    """What may still be read: parts may be shared in a flatbuffer, and a hostile one shares them without end."""

    def __init__(self, count: int) -> None:
        self._left = count

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise IndexError


class _Table:
    """A table of a flatbuffer that need not be sound: lengths are held against what is left of it."""

    def __init__(self, data: bytes, place: int, budget: _Budget) -> None:
        if place >= len(data):
            raise IndexError
        self._data, self._table, self._budget = data, Table(data, place), budget

    @classmethod
    def root(cls, data: bytes) -> "_Table":
        # A sound one does not come near to reading its every byte twice.
        return cls(data, struct.unpack_from("<I", data)[0], _Budget(2 * len(data) + 4096))

    def _place(self, slot: int) -> int:
        # A vtable begins with two uint16, its own length and the table's; then comes one for each slot.
        offset: int = self._table.Offset(4 + 2 * slot)
        return self._table.Pos + offset if offset else 0

    def byte(self, slot: int) -> int:
        place = self._place(slot)
        return int(self._data[place]) if place else 0

    def text(self, slot: int) -> str:
        place = self._place(slot)
        text = bytes(self._table.String(place)) if place else b""
        self._budget.spend(len(text))
        return text.decode("utf-8", "replace")

    def table(self, slot: int) -> "_Table | None":
        place = self._place(slot)
        return _Table(self._data, self._table.Indirect(place), self._budget) if place else None

    def tables(self, slot: int) -> "tuple[_Table, ...]":
        start, count = self._vector(slot)
        places = (self._table.Indirect(start + 4 * index) for index in range(count))
        return tuple(_Table(self._data, place, self._budget) for place in places)

    def floats(self, slot: int) -> tuple[float, ...]:
        start, count = self._vector(slot)
        values: tuple[Any, ...] = struct.unpack_from(f"<{count}f", self._data, start) if count else ()
        return values

    def _vector(self, slot: int) -> tuple[int, int]:
        place = self._place(slot)
        if not place:
            return 0, 0
        place += self._table.Get(number_types.UOffsetTFlags, place)
        count = self._table.Get(number_types.UOffsetTFlags, place)
        if place + 4 + 4 * count > len(self._data):
            raise IndexError
        self._budget.spend(4 * count)
        return place + 4, count
