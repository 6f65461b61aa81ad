import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_core import Frame, InputSpec, ModelCard, complete, decode_picture, read_card
from edge_core.artifact.container import without_archive
from edge_core.artifact.golden import (
    ACCELERATED,
    FLOAT,
    MAX_JPEG_BYTES,
    QUANTIZED,
    GoldenFrame,
    GoldenVectors,
    Tolerance,
    read_golden,
    to_jpeg,
)
from edge_core.artifact.seal import check_seal, read_seal, seal
from edge_core.errors import ModelFormatError, SealError

MODELS = Path(__file__).parents[1] / "models"
MODEL = (MODELS / "tiny-uint8.tflite").read_bytes()
CARD = ModelCard(labels=("red", "green", "blue", "dark"), input=InputSpec(32, 32))
JPEG = to_jpeg(np.full((48, 64, 3), 90, np.uint8), CARD.input)
GOLDEN = GoldenVectors(
    (GoldenFrame(JPEG, "ab" * 32, "cd" * 32, (0.1, 0.2, 1 / 3, float(np.float32(0.7)))),),
    FLOAT,
    {"runtime": "none 1.0"},
)
COMPLETE = complete(MODEL, CARD, "tiny")


class FakeSigner:
    """Signs with a digest: the form of a signature without cryptography."""

    public_key = bytes(range(32))

    def sign(self, message: bytes) -> bytes:
        return message[-32:] * 2


SEALED = {"unsigned": seal(COMPLETE, GOLDEN), "signed": seal(COMPLETE, GOLDEN, FakeSigner())}
kinds = pytest.mark.parametrize("kind", SEALED)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    path = tmp_path_factory.mktemp("sealed") / "model.tflite"

    def write(data: bytes) -> Path:
        path.write_bytes(data)
        return path

    return write


@kinds
def test_a_sealed_file_is_still_a_complete_model_and_a_zip_archive(written: Callable[[bytes], Path], kind: str) -> None:
    path = written(SEALED[kind])
    assert read_card(path) == CARD
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["labels.txt", "card.json", "golden.json", "golden/0.jpg"]
        assert archive.comment.startswith(b"edge-mobilenet seal 1 ")
        assert SEALED[kind].endswith(archive.comment)
        said = SEALED[kind][-len(archive.comment) - 2 :][:2]
        assert int.from_bytes(said, "little") == len(archive.comment)  # zipfile reads a shorter one without a word


def test_the_same_input_gives_the_same_bytes() -> None:
    assert seal(COMPLETE, GOLDEN) == SEALED["unsigned"]
    assert seal(COMPLETE, GOLDEN, FakeSigner()) == SEALED["signed"]


def test_a_seal_tells_its_digest_and_its_signature(written: Callable[[bytes], Path]) -> None:
    unsigned, signed = (check_seal(written(data)) for data in SEALED.values())
    assert unsigned is not None
    assert signed is not None
    assert unsigned.signature is None
    assert SEALED["unsigned"].endswith(unsigned.digest.encode())
    assert signed.signature is not None
    assert signed.signature.public_key == FakeSigner.public_key
    assert signed.signature.value == FakeSigner().sign(signed.signature.message)
    assert signed.signature.message.startswith(b"edge-mobilenet seal 1\0")


def test_a_file_without_a_seal_has_none(written: Callable[[bytes], Path]) -> None:
    for data in (b"a shopping list", MODEL, COMPLETE):
        assert check_seal(written(data)) is None


@kinds
def test_a_changed_bit_in_any_byte_of_the_seal_or_of_the_directory_before_it_is_noticed(
    written: Callable[[bytes], Path], kind: str
) -> None:
    """Where a flip could hide the seal itself; `tests/device/inference/test_verify.py` flips bits anywhere."""
    data = bytearray(SEALED[kind])
    assert len(data) > 380
    for place in range(len(data) - 380, len(data)):
        bit = place % 8
        data[place] ^= 1 << bit
        with pytest.raises(ModelFormatError):
            check_seal(written(bytes(data)))
            read_card(written(bytes(data)))
        data[place] ^= 1 << bit


@kinds
@given(data=st.data())
def test_cut_or_longer_or_spliced_files_are_not_those_that_were_sealed(kind: str, data: st.DataObject) -> None:
    whole = SEALED[kind]
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    inserted = data.draw(st.binary(max_size=20))
    spliced = whole[:first] + inserted + whole[last:]
    if spliced == whole:
        return
    try:
        assert read_seal(spliced) is None
    except SealError as error:
        assert str(error)


def test_a_file_whose_seal_was_cut_off_is_refused(written: Callable[[bytes], Path]) -> None:
    """Its archive holds golden vectors, which only a sealed file has."""
    archive = io.BytesIO(SEALED["unsigned"])
    with zipfile.ZipFile(archive, "a") as opened:
        opened.comment = b""
    with pytest.raises(SealError, match="seal is missing"):
        check_seal(written(archive.getvalue()))


def test_a_seal_of_a_later_form_is_told_from_none() -> None:
    with pytest.raises(SealError, match="upgrade"):
        read_seal(COMPLETE + b"edge-mobilenet seal 2 blake3:00")
    with pytest.raises(SealError, match="upgrade"):
        read_seal(b"edge-mobilenet seal 2 blake3:00")  # at the very start, too


def test_a_seal_is_looked_for_at_the_end_alone() -> None:
    assert read_seal(b"a label may be called: edge-mobilenet seal 1 " + bytes(1000)) is None


@pytest.mark.parametrize("name", ["missing.tflite", "."])
def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFormatError, match=str(tmp_path)):
        check_seal(tmp_path / name)


@kinds
@given(cut=st.integers(1, len(SEALED["signed"])))
@example(cut=1)
@example(cut=300)
def test_a_half_copied_file_is_told_as_such_wherever_it_was_cut(
    written: Callable[[bytes], Path], kind: str, cut: int
) -> None:
    whole = SEALED[kind]
    path = written(whole[: max(0, len(whole) - cut)])
    with pytest.raises(SealError, match=r"incomplete|damaged"):
        check_seal(path)
    with pytest.raises(ModelFormatError, match=r"incomplete"):
        read_card(path)


def test_the_flatbuffer_of_a_complete_file_alone_is_incomplete_and_a_foreign_one_is_without_a_card(
    written: Callable[[bytes], Path],
) -> None:
    with pytest.raises(SealError, match="incomplete"):
        check_seal(written(without_archive(COMPLETE)))
    for foreign in ("uint8", "float32"):
        path = written((MODELS / f"tiny-{foreign}.tflite").read_bytes())
        assert check_seal(path) is None
        with pytest.raises(ModelFormatError, match="no model card"):
            read_card(path)


def test_golden_vectors_are_read_back_to_the_last_bit(written: Callable[[bytes], Path]) -> None:
    read = read_golden(written(SEALED["unsigned"]))
    (ours,), (theirs,) = GOLDEN.frames, read.frames
    assert np.array_equal(np.array(ours.scores, np.float32), np.array(theirs.scores, np.float32))
    assert replace(theirs, scores=ours.scores) == ours
    assert (read.tolerance, read.made_with) == (GOLDEN.tolerance, GOLDEN.made_with)


def test_a_file_without_golden_vectors_is_told_so(written: Callable[[bytes], Path]) -> None:
    with pytest.raises(ModelFormatError, match=r"no golden vectors.*edge-convert"):
        read_golden(written(COMPLETE))


TABLE = json.loads(GOLDEN.to_files()["golden.json"])


@pytest.mark.parametrize(
    "table",
    [
        [],
        {},
        None,
        "[" * 100_000,
        {**TABLE, "schema": "2.0"},
        {**TABLE, "frames": []},
        {**TABLE, "frames": 3},
        {**TABLE, "frames": [{}]},
        {**TABLE, "frames": TABLE["frames"] * 2},
        {**TABLE, "frames": [{**TABLE["frames"][0], "scores": ["high"]}]},
        {**TABLE, "tolerance": {"same_runtime": "none"}},
        {**TABLE, "made_with": "x"},
    ],
)
def test_golden_vectors_that_make_no_sense_are_refused(written: Callable[[bytes], Path], table: Any) -> None:
    archive = io.BytesIO(COMPLETE)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("golden.json", table if isinstance(table, str) else json.dumps(table))
        opened.writestr("golden/0.jpg", JPEG)
    with pytest.raises(ModelFormatError, match="golden vectors that cannot be read"):
        read_golden(written(archive.getvalue()))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (48, 64), (480, 640), (1080, 1920), (3, 4000)])
def test_a_golden_frame_is_small_even_of_noise(height: int, width: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    jpeg = to_jpeg(noise, InputSpec(160, 160))
    assert len(jpeg) <= MAX_JPEG_BYTES
    assert decode_picture(jpeg).shape[2] == 3


def test_a_golden_frame_is_compressed_more_then_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, int, int]] = []

    def encode(frame: Frame, quality: int) -> bytes:
        tried.append((*frame.shape[:2], quality))
        return bytes(MAX_JPEG_BYTES if len(tried) == 7 else MAX_JPEG_BYTES + 1)

    monkeypatch.setattr("edge_core.artifact.golden.encode_jpeg", encode)
    assert len(to_jpeg(np.zeros((100, 200, 3), np.uint8), InputSpec(20, 40))) == MAX_JPEG_BYTES
    assert tried == [
        *((90, 180, 85), (90, 180, 70), (90, 180, 50), (90, 180, 30)),  # 2.25 times the longer side of the input
        *((72, 144, 85), (72, 144, 70), (72, 144, 50)),
    ]
    tried[:] = [(0, 0, 0)] * 6
    to_jpeg(np.zeros((50, 60, 3), np.uint8), InputSpec(40, 20))  # smaller than that: as it is
    assert tried[6:] == [(50, 60, 85)]


def test_a_golden_frame_is_never_without_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []

    def encode(frame: Frame, quality: int) -> bytes:
        sizes.append(frame.shape[:2])
        return bytes(MAX_JPEG_BYTES + (len(sizes) < 60))

    monkeypatch.setattr("edge_core.artifact.golden.encode_jpeg", encode)
    to_jpeg(np.zeros((2, 9, 3), np.uint8), InputSpec(20, 40))
    assert sizes[-1] == (1, 1)


def test_the_tolerance_is_that_of_the_runtime(written: Callable[[bytes], Path]) -> None:
    golden = replace(GOLDEN, tolerance=Tolerance(0.1, 0.2))
    assert (golden.tolerance_on("none 1.0"), golden.tolerance_on("none 1.1")) == (0.1, 0.2)
    assert read_golden(written(seal(COMPLETE, golden))).tolerance == Tolerance(0.1, 0.2)
    assert replace(golden, made_with={}).tolerance_on("none 1.0") == 0.2
    accelerated = f"none 1.1 {ACCELERATED}"
    assert golden.tolerance_on(accelerated) == QUANTIZED.other_runtime
    assert replace(golden, tolerance=FLOAT).tolerance_on(accelerated) == FLOAT.other_runtime


def test_golden_vectors_of_a_later_minor_schema_are_read(written: Callable[[bytes], Path]) -> None:
    archive = io.BytesIO(COMPLETE)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("golden.json", json.dumps({**TABLE, "schema": "1.7", "new": 3}))
        opened.writestr("golden/0.jpg", JPEG)
    assert len(read_golden(written(archive.getvalue())).frames) == 1


def test_frames_come_back_each_with_its_own_picture(written: Callable[[bytes], Path]) -> None:
    frames = tuple(replace(GOLDEN.frames[0], jpeg=bytes([255, 216, number]), scores=(number,)) for number in range(3))
    read = read_golden(written(seal(COMPLETE, replace(GOLDEN, frames=frames)))).frames
    assert [(frame.jpeg[2], frame.scores) for frame in read] == [(0, (0.0,)), (1, (1.0,)), (2, (2.0,))]


def test_a_golden_frame_keeps_what_preprocess_has_to_do() -> None:
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8), (1200, 800))
    assert decode_picture(to_jpeg(smooth, InputSpec(160, 160))).shape == (360, 540, 3)  # type: ignore[arg-type]


def test_nothing_but_pixels_of_a_photo_gets_into_an_artifact() -> None:
    """A phone writes the place into the EXIF segment of a JPEG."""
    plain = cv2.imencode(".jpg", np.full((64, 64, 3), 128, np.uint8))[1].tobytes()
    place = b"Exif\0\0" + b"GPS 52.5163 N 13.3777 E"
    photo = plain[:2] + b"\xff\xe1" + (len(place) + 2).to_bytes(2) + place + plain[2:]
    jpeg = to_jpeg(decode_picture(photo), CARD.input)
    assert b"GPS" in photo
    assert b"Exif" not in jpeg
    assert b"GPS" not in jpeg
