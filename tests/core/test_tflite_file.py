import hashlib
import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import flatbuffers.number_types
import flatbuffers.table
import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from edge_core import InputSpec, ModelCard, complete, read_card
from edge_core.artifact.container import has_entry, opened_archive, read_entry, without_archive
from edge_core.artifact.flatbuffer import MODEL_SUBGRAPHS, Flatbuffer
from edge_core.artifact.metadata import METADATA_NAME, attach, describe
from edge_core.errors import ModelFormatError

MODELS = Path(__file__).parents[1] / "models"
CARD = ModelCard(labels=("red", "grün", "blue", "dark"), input=InputSpec(32, 32), training={"epochs": 3})
BARE = {kind: (MODELS / f"tiny-{kind}.tflite").read_bytes() for kind in ("uint8", "float32")}
METADATA = describe("tiny", "Image classifier", "1")
COMPLETE = complete(BARE["uint8"], CARD, "tiny")

kinds = pytest.mark.parametrize("kind", BARE)


def outputs(model: bytes) -> list[npt.NDArray[np.generic]]:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]
    answers = []
    for seed in range(5):
        pixels = np.random.default_rng(seed).integers(0, 256, place["shape"]).astype(place["dtype"])
        interpreter.set_tensor(place["index"], pixels)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy())
    return answers


@kinds
def test_a_complete_model_answers_as_the_bare_one(kind: str) -> None:
    made = complete(BARE[kind], CARD, "tiny")
    for one, other in zip(outputs(BARE[kind]), outputs(made), strict=True):
        assert np.array_equal(one, other)


@kinds
@pytest.mark.parametrize("size", [*range(24), 255, 4096])
def test_metadata_of_any_size_leaves_a_model_that_loads(kind: str, size: int) -> None:
    """The interpreter verifies the flatbuffer, alignment included, when it loads one."""
    Interpreter(model_content=attach(BARE[kind], bytes(size)), num_threads=1).allocate_tensors()


@kinds
def test_attaching_adds_one_buffer_and_changes_nothing_else(kind: str) -> None:
    before = schema.ModelT.InitFromPackedBuf(BARE[kind])
    after = schema.ModelT.InitFromPackedBuf(attach(BARE[kind], METADATA))
    entry, buffer = after.metadata.pop(), after.buffers.pop()
    assert (entry.name, entry.buffer) == (METADATA_NAME, len(before.buffers))
    assert bytes(buffer.data) == METADATA
    assert (buffer.offset, buffer.size) == (0, 0)
    assert (after.version, after.description) == (before.version, before.description)
    for one, other in zip(before.buffers, after.buffers, strict=True):
        assert np.array_equal(one.data, other.data) if one.data is not None else other.data is None
    assert [(one.name, one.buffer) for one in after.metadata] == [(one.name, one.buffer) for one in before.metadata]
    assert [one.signatureKey for one in after.signatureDefs] == [one.signatureKey for one in before.signatureDefs]
    assert [len(one.operators) for one in after.subgraphs] == [len(one.operators) for one in before.subgraphs]


@kinds
def test_attached_metadata_is_aligned_and_replaces_what_was_attached(kind: str) -> None:
    once = attach(attach(BARE[kind], describe("old", "old", "0")), METADATA)
    model = schema.ModelT.InitFromPackedBuf(once)
    (entry,) = [one for one in model.metadata if one.name == METADATA_NAME]
    assert bytes(model.buffers[entry.buffer].data) == METADATA
    assert once.find(METADATA) % 16 == 0
    Interpreter(model_content=once, num_threads=1).allocate_tensors()
    assert once == attach(BARE[kind], METADATA), "nothing piles up in a file that is made anew again and again"


@kinds
@pytest.mark.parametrize("changed", [8, -1])
def test_a_front_that_does_not_fit_the_model_behind_it_stays(kind: str, changed: int) -> None:
    """A model that holds another one's bytes is no model with a front."""
    inner = bytearray(attach(BARE[kind], METADATA))
    start = inner.index(b"TFL3", 8) - 4
    inner[start : start + 4] = (int.from_bytes(inner[start : start + 4], "little") + changed).to_bytes(4, "little")
    again = attach(bytes(inner), METADATA)
    assert again.endswith(inner)


def packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@kinds
def test_a_model_that_holds_a_whole_one_in_a_buffer_stays_as_it_is(kind: str) -> None:
    model = schema.ModelT.InitFromPackedBuf(BARE[kind])
    model.buffers.append(schema.BufferT())
    for padding in range(16):  # until that one stands where an old model would, at a multiple of 16
        model.buffers[-1].data = [*bytes(padding), *BARE[kind]]
        whole = packed(model)
        if whole.index(BARE[kind]) % 16 == 0:
            break
    else:
        pytest.fail("no such place was found")
    assert attach(whole, METADATA).endswith(whole)


def test_metadata_that_another_tool_wrote_are_replaced() -> None:
    model = schema.ModelT.InitFromPackedBuf(attach(BARE["uint8"], describe("theirs", "theirs", "0")))
    once = attach(packed(model), METADATA)  # no front of ours
    after = schema.ModelT.InitFromPackedBuf(once)
    assert [one.name for one in after.metadata] == [one.name for one in model.metadata]
    assert bytes(after.buffers[after.metadata[-1].buffer].data) == METADATA
    Interpreter(model_content=once, num_threads=1).allocate_tensors()


@pytest.mark.parametrize("empty", [None, []])
def test_a_model_that_leaves_out_all_it_can_gets_metadata(empty: list[object] | None) -> None:
    model = schema.ModelT()
    model.subgraphs = [schema.SubGraphT()]
    model.buffers = model.metadata = empty
    after = schema.ModelT.InitFromPackedBuf(attach(packed(model), METADATA))
    assert (after.version, after.description, len(after.subgraphs)) == (0, None, 1)
    assert [(entry.name, entry.buffer) for entry in after.metadata] == [(METADATA_NAME, 0)]
    assert [bytes(buffer.data) for buffer in after.buffers] == [METADATA]
    model.subgraphs = None
    with pytest.raises(ModelFormatError, match="it holds no graph"):
        attach(packed(model), METADATA)


def test_positions_outside_a_model_are_refused() -> None:
    good = BARE["uint8"]
    flatbuffer = Flatbuffer(good)
    subgraphs = flatbuffer.field(flatbuffer.root, MODEL_SUBGRAPHS)
    for place, value in (
        (subgraphs, len(good) - subgraphs),  # a vector right behind the end
        (flatbuffer.root, flatbuffer.root + 100),  # a vtable before the beginning
        (flatbuffer.root, flatbuffer.root - 7),  # and one in the identifier
    ):
        with pytest.raises(ModelFormatError, match="cut off or damaged"):
            attach(good[:place] + value.to_bytes(4, "little") + good[place + 4 :], METADATA)


@pytest.mark.parametrize("back", [4, 12])
def test_a_vtable_in_the_identifier_or_before_the_file_is_refused_whatever_it_says(back: int) -> None:
    flatbuffer = Flatbuffer(b"\0\0\0\0TFL3" + back.to_bytes(4, "little") + b"\x10\0\x04\0")
    with pytest.raises(struct.error):
        flatbuffer.optional_field(8, 0)


def test_bytes_of_a_vector_may_end_with_the_file_and_not_behind_it() -> None:
    flatbuffer = Flatbuffer(bytes.fromhex("00000000 54464c33 04000000 04000000 01020304"))
    assert flatbuffer.data(8) == bytes([1, 2, 3, 4])
    with pytest.raises(struct.error):
        Flatbuffer(flatbuffer.to_bytes()[:-4]).data(8)
    with pytest.raises(struct.error):
        Flatbuffer(bytes.fromhex("00000000 54464c33 04000000 00000000")).tables(8)


def test_a_model_of_another_schema_is_refused_though_its_tables_are_sound() -> None:
    with pytest.raises(ModelFormatError, match="does not bear the identifier TFL3"):
        attach(BARE["uint8"].replace(b"TFL3", b"TFL2", 1), METADATA)


def test_a_model_of_any_length_is_padded_to_where_offsets_may_stand() -> None:
    for more, length in ((0, 8), (1, 12), (2, 12), (3, 12), (4, 12)):
        assert len(Flatbuffer(b"\0\0\0\0TFL3" + bytes(more)).to_bytes()) == length


class Table:
    """A flatbuffer's table, read by the numbers that the schema gives its fields."""

    def __init__(self, data: bytes, place: int) -> None:
        self._table = flatbuffers.table.Table(bytearray(data), place)

    def _place(self, field: int) -> int:
        return int(self._table.Offset(4 + 2 * field))

    def there(self) -> list[int]:
        return [field for field in range(12) if self._place(field)]

    def text(self, field: int) -> str:
        return bytes(self._table.String(self._table.Pos + self._place(field))).decode()

    def byte(self, field: int) -> int:
        return int(self._table.Get(flatbuffers.number_types.Uint8Flags, self._table.Pos + self._place(field)))

    def table(self, field: int) -> "Table":
        return Table(self._table.Bytes, self._table.Indirect(self._table.Pos + self._place(field)))

    def tables(self, field: int) -> list["Table"]:
        start, count = self._table.Vector(self._place(field)), self._table.VectorLen(self._place(field))
        return [Table(self._table.Bytes, self._table.Indirect(start + 4 * index)) for index in range(count)]

    def floats(self, field: int) -> list[float]:
        start, count = self._table.Vector(self._place(field)), self._table.VectorLen(self._place(field))
        kind = flatbuffers.number_types.Float32Flags
        return [float(self._table.Get(kind, start + 4 * index)) for index in range(count)]


def test_the_metadata_say_raw_rgb_pixels_in_and_a_score_per_label_out() -> None:
    """Field numbers and enumerations of metadata_schema.fbs, tensorflow/lite-support."""
    data = describe("tiny", "Colors", "7")
    assert data[4:8] == b"M001"
    model = Table(data, int.from_bytes(data[:4], "little"))
    assert model.there() == [0, 1, 2, 3, 7]
    assert [model.text(field) for field in (0, 1, 2, 7)] == ["tiny", "Colors", "7", "1.0.0"]
    (graph,) = model.tables(3)
    assert graph.there() == [2, 3]
    ((pixels,), (scores,)) = graph.tables(2), graph.tables(3)

    assert pixels.there() == [0, 1, 3, 4, 5]
    assert pixels.text(0) == "image"
    assert pixels.table(3).byte(0) == 2  # ImageProperties
    assert pixels.table(3).table(1).byte(0) == 1  # ColorSpaceType RGB
    (unit,) = pixels.tables(4)
    assert unit.byte(0) == 1  # NormalizationOptions
    assert (unit.table(1).floats(0), unit.table(1).floats(1)) == ([0.0], [1.0])  # mean, std: raw pixels
    assert (pixels.table(5).floats(0), pixels.table(5).floats(1)) == ([255.0], [0.0])  # max, min

    assert scores.there() == [0, 1, 3, 5, 6]
    assert scores.text(0) == "scores"
    assert scores.table(3).byte(0) == 1  # FeatureProperties
    assert scores.table(3).table(1).there() == []
    assert (scores.table(5).floats(0), scores.table(5).floats(1)) == ([1.0], [0.0])
    (labels,) = scores.tables(6)
    assert (labels.text(0), labels.byte(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


@kinds
def test_a_complete_model_carries_its_metadata_and_names_what_it_tells_apart(kind: str) -> None:
    made = complete(BARE[kind], CARD, "tiny")
    model = schema.ModelT.InitFromPackedBuf(made)
    (entry,) = [one for one in model.metadata if one.name == METADATA_NAME]
    data = bytes(model.buffers[entry.buffer].data)
    assert data == describe("tiny", "Image classifier: red, grün, blue, dark", "1")


@kinds
def test_the_same_metadata_are_attached_by_the_same_bytes_in_every_version(kind: str) -> None:
    """Not a byte more than its tables need, or the digests of all artifacts would change."""
    made = attach(BARE[kind], bytes(range(100)))
    front = len(made) - len(BARE[kind])
    assert (front, hashlib.sha256(made[:front]).hexdigest()[:16]) == FRONTS[kind]


def test_the_same_description_has_the_same_bytes_in_every_version() -> None:
    assert (len(METADATA), hashlib.sha256(METADATA).hexdigest()[:16]) == (568, "1cf1aa735f271da0")


FRONTS = {"uint8": (320, "f0b69f392a0c5a22"), "float32": (304, "0d66088e3a85c196")}


def test_the_front_is_laid_out_as_flatbuffers_ask() -> None:
    """Every table of the front stands at a multiple of 4, the metadata and the old model at one of 16."""
    for size in range(1, 20):
        made = attach(BARE["uint8"], bytes([255] * size))
        start = len(made) - len(BARE["uint8"])
        assert made[start:] == BARE["uint8"] and start % 16 == 0
        assert made.find(b"\xff" * size) % 16 == 0
        assert start < 1024  # small beside any model
        root = int.from_bytes(made[:4], "little")
        vtable = root - int.from_bytes(made[root : root + 4], "little", signed=True)
        assert root % 4 == vtable % 4 == 0 and 8 <= vtable < root < start
        assert made[4:8] == b"TFL3"


@pytest.mark.parametrize("buffers", range(4))
def test_nothing_in_the_front_is_longer_than_it_has_to_be(buffers: int) -> None:
    """Each further buffer moves what comes after it by 4 bytes, so that one of four leaves no room to be aligned."""
    model = schema.ModelT()
    model.subgraphs, model.buffers = [schema.SubGraphT()], [schema.BufferT()] * buffers
    bare = packed(model)
    for size in range(1, 20):
        made = attach(bare, b"\xff" * size)
        name, data = made.find(METADATA_NAME), made.find(b"\xff" * size)
        assert data == -(-(name + len(METADATA_NAME) + 1 + 4) // 16) * 16
        assert len(made) - len(bare) == -(-(data + size) // 16) * 16


def test_a_complete_model_is_a_zip_archive_of_its_labels_and_its_card() -> None:
    with zipfile.ZipFile(io.BytesIO(COMPLETE)) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode() == "red\ngrün\nblue\ndark\n"
        assert ModelCard.from_text(archive.read("card.json").decode()) == CARD


def test_the_same_model_and_card_give_the_same_bytes() -> None:
    assert complete(BARE["uint8"], CARD, "tiny") == COMPLETE


def test_what_lies_in_the_archive_is_told_from_what_does_not(tmp_path: Path) -> None:
    path = tmp_path / "tiny.tflite"
    for content, there in ((COMPLETE, True), (BARE["uint8"], False)):
        path.write_bytes(content)
        assert has_entry(path, "card.json") == there
        assert not has_entry(path, "golden.json")
    bare = without_archive(COMPLETE)
    assert bare == COMPLETE[: COMPLETE.index(b"PK\3\4")] and without_archive(bare) == bare
    with zipfile.ZipFile(empty := io.BytesIO(), "w"):
        pass
    assert without_archive(bare + empty.getvalue()) == bare + empty.getvalue()


def test_what_a_reader_says_of_an_entry_is_said_in_its_words(tmp_path: Path) -> None:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(COMPLETE)
    with pytest.raises(ModelFormatError, match=r"^so said the reader$"), opened_archive(path, "no entry"):
        raise ModelFormatError("so said the reader")


def test_all_that_a_file_may_carry_is_in_its_archive_as_it_was_given() -> None:
    files = {"exemplars.bin": b"exemplars", "familiarity/4.bin": b"taught"}
    whole = complete(BARE["uint8"], CARD, "tiny", cpu_model=b"cpu", detector=b"detector", files=files)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.namelist() == ["labels.txt", "card.json", "cpu.tflite", "familiarity.bin", *files]
        given = files | {"cpu.tflite": b"cpu", "familiarity.bin": b"detector"}
        assert {name: archive.read(name) for name in given} == given


def test_of_a_thousand_labels_the_first_are_described() -> None:
    labels = tuple(f"label {number}" for number in range(1000))
    described = f"Image classifier: {', '.join(labels)}"[:1000]
    assert describe("tiny", described, "1") in complete(BARE["uint8"], ModelCard(labels, CARD.input), "tiny")


def test_an_entry_has_as_many_bytes_as_it_may() -> None:
    with zipfile.ZipFile(io.BytesIO(COMPLETE)) as archive:
        content = archive.read("labels.txt")
        assert read_entry(archive, "labels.txt", len(content)) == content
        with pytest.raises(ValueError, match="larger than"):
            read_entry(archive, "labels.txt", len(content) - 1)


def test_the_card_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(COMPLETE)
    assert read_card(path) == CARD


@pytest.mark.parametrize("data", [b"", b"hello", b"\0\0\0\0TFL3", b"PK\3\4", b"\x1c\0\0\0TFL2" + bytes(99)])
def test_what_is_no_model_is_not_completed(data: bytes) -> None:
    with pytest.raises(ModelFormatError):
        complete(data, CARD, "tiny")


@given(st.integers(0, len(BARE["uint8"]) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_model_is_completed_or_refused(place: int, damage: bytes) -> None:
    data = BARE["uint8"]
    try:
        complete(data[:place] + damage + data[place + len(damage) :], CARD, "tiny")
    except ModelFormatError as error:
        assert str(error)


def test_a_model_with_any_wrong_offset_is_completed_or_refused() -> None:
    data = BARE["float32"]
    for place in range(len(data) - 4):
        for offset in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4)):
            try:
                attach(data[:place] + offset + data[place + 4 :], METADATA)
            except ModelFormatError as error:
                assert str(error)


@given(st.integers(0, len(BARE["uint8"]) - 1))
def test_a_cut_model_is_completed_or_refused(length: int) -> None:
    try:
        complete(BARE["uint8"][:length], CARD, "tiny")
    except ModelFormatError as error:
        assert str(error)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    path = tmp_path_factory.mktemp("written") / "model.tflite"

    def write(data: bytes) -> Path:
        path.write_bytes(data)
        return path

    return write


def test_any_cut_of_a_complete_model_is_refused(written: Callable[[bytes], Path]) -> None:
    for length in (*range(0, len(BARE["uint8"]), 50), *range(len(BARE["uint8"]), len(COMPLETE))):
        with pytest.raises(ModelFormatError):
            read_card(written(COMPLETE[:length]))


@given(st.integers(0, len(COMPLETE) - len(BARE["uint8"]) + 400), st.binary(min_size=1, max_size=6))
def test_a_damaged_archive_is_read_or_refused(written: Callable[[bytes], Path], from_end: int, damage: bytes) -> None:
    place = len(COMPLETE) - 1 - from_end
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of entries with the same name
        try:
            read_card(written(COMPLETE[:place] + damage + COMPLETE[place + len(damage) :]))
        except ModelFormatError as error:
            assert "model.tflite" in str(error)


def with_archive(*files: tuple[str, str | bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    archive = io.BytesIO(BARE["uint8"])
    with zipfile.ZipFile(archive, "a", compression) as opened:
        for name, content in files:
            opened.writestr(name, content)
    return archive.getvalue()


def zipped() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("model.tflite", BARE["uint8"])
    return archive.getvalue()


GOOD = ("card.json", CARD.to_text())
LABELS = ("labels.txt", "red\ngrün\nblue\ndark\n")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"model\.tflite is incomplete"),
        (b"a text file, longer than eight bytes", "not a TFLite model"),
        (b"<!DOCTYPE html><title>Not found</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (zipped(), "a ZIP archive"),
        (BARE["uint8"], "no model card"),
        (BARE["uint8"][:-200], "incomplete"),
        (with_archive(LABELS), "no model card"),
        (with_archive(GOOD), "no model card"),
        (with_archive(GOOD, ("labels.txt", "red\nblue\n")), "contradicts itself"),
        (with_archive(("card.json", "{}"), LABELS), "schema"),
        (with_archive(("card.json", b"\xff\xfe"), LABELS), "damaged"),
        (with_archive(("card.json", " " * (5 << 20)), LABELS), "larger"),
        (with_archive(GOOD, LABELS, compression=zipfile.ZIP_DEFLATED), "compressed"),
    ],
    ids=[
        "empty",
        "text",
        "web page",
        "Git LFS pointer",
        "ZIP archive",
        "bare",
        "cut",
        "no card",
        "no labels",
        "other labels",
        "no schema",
        "no text",
        "too large",
        "compressed",
    ],
)
def test_an_incomplete_model_is_refused_with_the_reason(
    written: Callable[[bytes], Path], data: bytes, reason: str
) -> None:
    with pytest.raises(ModelFormatError, match=reason):
        read_card(written(data))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.tflite", tmp_path):
        with pytest.raises(ModelFormatError, match=str(path)):
            read_card(path)
