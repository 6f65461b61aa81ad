"""The public TFLite Metadata convention, written: what MediaPipe, Android Studio and Netron read of a model.

Two flatbuffers are made here. `describe` builds the small one that tells what goes in and comes out, after
`metadata_schema.fbs` of TensorFlow Lite (file identifier M001). `attach` puts it into a model, after `schema.fbs`
(TFL3): flatbuffer offsets point forwards only, so a new root table is put in *front*, and the converter's bytes stay
as they are behind it, aligned as they were.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

import flatbuffers

from edge_core.artifact.flatbuffer import Flatbuffer
from edge_core.errors import ModelFormatError

METADATA_NAME: Final = b"TFLITE_METADATA"
LABELS_FILE: Final = "labels.txt"

_RGB = 1  # ColorSpaceType
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2  # ContentProperties
_NORMALIZATION_OPTIONS = 1  # ProcessUnitOptions
_TENSOR_AXIS_LABELS = 2  # AssociatedFileType

_MODEL_FIELDS = 8  # version, operator_codes, subgraphs, description, buffers, metadata_buffer, metadata, signature_defs
_VERSION, _SUBGRAPHS, _BUFFERS, _METADATA = 0, 2, 4, 6
_IDENTIFIER = b"TFL3"  # behind the offset of the root table
_ALIGNMENT = 16  # of buffer data, by the schema's force_align
# Vtables: their own size, the size of the table, then the place of each field in it.
_ENTRY_VTABLE = struct.pack("<4H", 8, 12, 4, 8)  # of a Metadata: name, buffer
_BUFFER_VTABLE = struct.pack("<3H", 6, 8, 4)  # of a Buffer: data; its next field would be a 64-bit offset
# A string has its length in front of it and a zero byte behind it.
_NAME_STRING = struct.pack("<I", len(METADATA_NAME)) + METADATA_NAME + b"\0"


def describe(name: str, description: str, version: str) -> bytes:
    """The metadata flatbuffer of an image classifier that takes raw RGB pixels and gives a score per label.

    Normalization is (pixel - 0) / 1: whatever the network wants beyond that is inside the file already.
    """
    builder = flatbuffers.Builder()

    def table(*fields: tuple[str, Any] | None) -> int:
        builder.StartObject(len(fields))
        for slot, field in enumerate(fields):
            if field is None:
                continue
            kind, value = field
            prepend = builder.PrependUOffsetTRelative if kind == "offset" else builder.PrependUint8
            prepend(value)
            builder.Slot(slot)
        return int(builder.EndObject())

    def text(value: str) -> tuple[str, Any]:
        return "offset", builder.CreateString(value)

    def tables(*offsets: int) -> tuple[str, Any]:
        builder.StartVector(4, len(offsets), 4)
        # A flatbuffer is built from its end, so the last element goes in first.
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return "offset", builder.EndVector()

    def floats(value: float) -> tuple[str, Any]:
        builder.StartVector(4, 1, 4)
        builder.PrependFloat32(value)
        return "offset", builder.EndVector()

    def content(kind: int, properties: int) -> tuple[str, Any]:
        return "offset", table(("byte", kind), ("offset", properties))

    # Children before their parents: a table cannot be begun within another.
    image = content(_IMAGE_PROPERTIES, table(("byte", _RGB)))
    raw_pixels = table(("byte", _NORMALIZATION_OPTIONS), ("offset", table(floats(0.0), floats(1.0))))
    levels = table(floats(255.0), floats(0.0))  # Stats: max, min
    pixels = table(
        text("image"), text("Raw pixels, RGB."), None, image, tables(raw_pixels), ("offset", levels)
    )  # fmt: skip
    labels = table(text(LABELS_FILE), text("A label per line."), ("byte", _TENSOR_AXIS_LABELS))
    feature = content(_FEATURE_PROPERTIES, table())
    probabilities = table(floats(1.0), floats(0.0))
    scores = table(
        text("scores"), text("A probability per label."), None, feature, None, ("offset", probabilities), tables(labels)
    )
    subgraph = table(None, None, tables(pixels), tables(scores))
    root = table(
        text(name), text(description), text(version), tables(subgraph), None, None, None, text("1.0.0")
    )  # fmt: skip
    builder.Finish(root, file_identifier=b"M001")
    return bytes(builder.Output())


def attach(model: bytes, metadata: bytes) -> bytes:
    """The model with `metadata` as its buffer named TFLITE_METADATA; one that was there is replaced.

    Raises:
        ModelFormatError: `model` is no TFLite flatbuffer.
    """
    model, old = _without_front(model)
    # The front: everything new, children behind their parents, the old model's bytes last.
    front = _Front()
    vtable = front.take(4 + 2 * _MODEL_FIELDS)
    table = front.take(4 + 4 * _MODEL_FIELDS)
    buffers = front.take(4 + 4 * (len(old.buffers) + 1))
    entries = front.take(4 + 4 * (len(old.entries) + 1))
    # A vtable stands in front of the tables that use it: a table has the signed distance back to its own.
    entry_vtable, buffer_vtable = front.add(_ENTRY_VTABLE), front.add(_BUFFER_VTABLE)
    entry = front.take(4 + 4 * 2)
    buffer = front.take(4 + 4 * 1)
    name = front.add(_NAME_STRING)
    data = front.add(struct.pack("<I", len(metadata)) + metadata, align_content_at=4)
    # The old bytes move by a multiple of the alignment, so that the weights in them stay aligned.
    start = front.end()

    front.put(0, "<I4s", table, _IDENTIFIER)
    # A vtable has its own size, the table's size, and where in the table each field lies: 0 for one that is not there.
    goals = {slot: start + target for slot, target in old.targets.items()} | {_BUFFERS: buffers, _METADATA: entries}
    slots = [4 + 4 * slot if slot == _VERSION or slot in goals else 0 for slot in range(_MODEL_FIELDS)]
    front.put(vtable, f"<HH{_MODEL_FIELDS}H", 4 + 2 * _MODEL_FIELDS, 4 + 4 * _MODEL_FIELDS, *slots)
    front.put(table, "<iI", table - vtable, old.version)
    for slot, goal in goals.items():
        front.point(table + slots[slot], goal)
    for vector, places, new in ((buffers, old.buffers, buffer), (entries, old.entries, entry)):
        front.put(vector, "<I", len(places) + 1)
        for index, goal in enumerate([*(start + place for place in places), new]):
            front.point(vector + 4 + 4 * index, goal)
    front.put(entry, "<i", entry - entry_vtable)
    front.point(entry + 4, name)
    front.put(entry + 8, "<I", len(old.buffers))  # the new buffer's number: it comes after the old ones
    front.put(buffer, "<i", buffer - buffer_vtable)
    front.point(buffer + 4, data)
    return bytes(front.bytes) + model


@dataclass(frozen=True)
class _Root:
    """The root table of a model, as it is read.

    Attributes:
        version: Version of the schema.
        targets: Position that each other field points to, by the field's number.
        buffers: Positions of the tables of its buffers.
        entries: Positions of its metadata entries, without the one that is to be replaced.
    """

    version: int
    targets: dict[int, int]
    buffers: list[int]
    entries: list[int]


def _without_front(model: bytes) -> tuple[bytes, _Root]:
    """A model without the front that `attach` put before it, so that none piles up; and what a new root takes over.

    Raises:
        ModelFormatError: It is no TFLite flatbuffer.
    """
    whole = _read_root(model)
    start = model.find(_IDENTIFIER, _ALIGNMENT) - 4
    if start % _ALIGNMENT:  # -5, too, where there is none
        return model, whole
    try:
        inner = _read_root(model[start:])
    except ModelFormatError:
        return model, whole  # the identifier's bytes are weights by chance
    same = (
        whole.version == inner.version
        and _moved(inner.targets, start) == _moved(whole.targets, 0)
        and [start + place for place in inner.buffers] == whole.buffers[:-1]
        and [start + place for place in inner.entries] == whole.entries
    )
    return (model[start:], inner) if same else (model, whole)


def _moved(targets: dict[int, int], by: int) -> dict[int, int]:
    """Positions of the fields that `attach` does not make anew."""
    return {slot: by + target for slot, target in targets.items() if slot not in (_BUFFERS, _METADATA)}


def _read_root(model: bytes) -> _Root:
    """Reads what a new root takes over.

    Raises:
        ModelFormatError: It is no TFLite flatbuffer.
    """
    flatbuffer = Flatbuffer(model)
    try:
        root = flatbuffer.root
        places = {slot: flatbuffer.optional_field(root, slot) for slot in range(_MODEL_FIELDS)}
        version = places.pop(_VERSION)
        entries = _tables(flatbuffer, places[_METADATA])
        found = _Root(
            flatbuffer.uint(version) if version is not None else 0,
            {slot: flatbuffer.target(place) for slot, place in places.items() if place is not None},
            _tables(flatbuffer, places[_BUFFERS]),
            [entry for entry in entries if _entry_name(flatbuffer, entry) != METADATA_NAME],
        )
    except struct.error as error:
        raise ModelFormatError("not a TFLite model: its flatbuffer is cut off or damaged") from error
    if _SUBGRAPHS not in found.targets:
        raise ModelFormatError("not a TFLite model: it holds no graph")
    return found


def _tables(flatbuffer: Flatbuffer, field: int | None) -> list[int]:
    """Positions of the tables in a vector of tables that may be empty or not there."""
    return flatbuffer.tables(field) if field is not None and flatbuffer.length(field) else []


def _entry_name(flatbuffer: Flatbuffer, entry: int) -> bytes:
    field = flatbuffer.optional_field(entry, 0)
    return b"" if field is None else flatbuffer.data(field)


class _Front:
    """A growing block of bytes with places handed out in order."""

    def __init__(self) -> None:
        self.bytes = bytearray(8)  # offset of the root table, file identifier

    def take(self, size: int) -> int:
        """A place for zero bytes, to be overwritten."""
        return self.add(bytes(size))

    def add(self, content: bytes, align_content_at: int | None = None) -> int:
        """A place for content, which is aligned from one of its bytes on."""
        self._pad_to(4)
        if align_content_at is not None:
            self.bytes += bytes(-(len(self.bytes) + align_content_at) % _ALIGNMENT)
        place = len(self.bytes)
        self.bytes += content
        return place

    def end(self) -> int:
        self._pad_to(_ALIGNMENT)
        return len(self.bytes)

    def put(self, place: int, layout: str, *values: object) -> None:
        struct.pack_into(layout, self.bytes, place, *values)

    def point(self, place: int, goal: int) -> None:
        self.put(place, "<I", goal - place)

    def _pad_to(self, alignment: int) -> None:
        self.bytes += bytes(-len(self.bytes) % alignment)
