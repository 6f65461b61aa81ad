"""Models made by others, adopted: they say what they said, now of raw pixels."""

import errno
import json
import re
import shutil
import struct
import subprocess
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter as LiteRT
from hypothesis import given
from hypothesis import strategies as st

from edge_convert.adopt import Taking, adopt, parse_numbers, parse_range, read_labels
from edge_convert.tflite.equivalence import check_scores
from edge_convert.tflite.graph import read_graph
from edge_convert.tflite.graph_edit import EditableGraph, NewOperator, tensor
from edge_convert.tflite.input_rewrite import Levels, take_raw_pixels
from edge_core import InputSpec, ModelCard, complete, read_card
from edge_core.artifact.container import read_cpu_model
from edge_core.artifact.golden import FLOAT as GOLDEN_FLOAT
from edge_core.artifact.golden import read_golden
from edge_core.artifact.metadata import attach, describe
from edge_core.artifact.model_outputs import with_outputs
from edge_core.errors import (
    CardError,
    CheckFailedError,
    DatasetError,
    InputSpecError,
    ModelFormatError,
    OutputError,
    PictureError,
)
from edge_core.images import decode_picture
from edge_core.preprocess import Frame, preprocess
from edge_device import Classifier
from edge_device.inference.interpreter import Interpreter, Scores
from edge_device.inference.verify import verify
from edge_keras.tf import keras, tf

from ..further import slow_but

Command = Callable[..., subprocess.CompletedProcess[str]]
SHARED = Path(__file__).parents[3] / "shared" / "models"
TINY = Path(__file__).parents[1] / "models" / "tiny-uint8.tflite"
FLOAT = TINY.with_name("tiny-float32.tflite")
LABELS = ("blue", "green", "red")
SIDE = 32


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """As the converter makes them: a batch of any size, levels -1..1, no metadata; of floats, and of int8 at both
    ends."""
    levels = keras.Input((SIDE, SIDE, 3))
    dense = keras.layers.Dense(3, activation="softmax")
    model = keras.Model(levels, dense(keras.layers.GlobalAveragePooling2D()(levels)))
    dense.set_weights([5 * np.eye(3)[:, ::-1], np.zeros(3)])  # R, G, B to blue, green, red
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / "float32.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.full((1, SIDE, SIDE, 3), level, np.float32)] for level in (-1, 1))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter asks for statistics of its int8 inputs, and goes on without
        (folder / "int8.tflite").write_bytes(converter.convert())
    return {path.stem: path for path in folder.iterdir()}


def scores_of(file: Path, pixels: Frame) -> Scores:
    """What a foreign file says of pixels brought to its own range, by the interpreter alone."""
    interpreter = LiteRT(str(file))
    interpreter.allocate_tensors()
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    levels = pixels.astype(np.float32)
    levels = levels - 128 if entry["dtype"] == np.int8 else levels / np.float32(127.5) - 1
    interpreter.set_tensor(entry["index"], levels[None].astype(entry["dtype"]))
    interpreter.invoke()
    scale, zero_point = result["quantization"]
    scores: Scores = interpreter.get_tensor(result["index"])[0].astype(np.float32)
    return (scores - np.float32(zero_point)) * np.float32(scale or 1)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_an_adopted_model_says_of_raw_pixels_what_it_said_of_its_own_range(
    foreign: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    given_range = (-1.0, 1.0) if kind == "float32" else None
    adopted = adopt(foreign[kind], tmp_path / "a.tflite", Taking(foreign["labels"], Levels(given_range)))
    classifier = Classifier(adopted.file)
    assert classifier.card.labels == LABELS
    assert classifier.card.input == InputSpec(SIDE, SIDE)
    for seed in range(5):
        frame = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8) // np.uint8(seed + 1)
        pixels = preprocess(frame, classifier.card.input)
        before = scores_of(foreign[kind], pixels)
        assert classifier.pixel_scores(pixels) == pytest.approx(before, abs=1e-6 if kind == "float32" else 0)
    assert verify(adopted.file).passed
    assert adopted.notes


def test_an_adopted_model_keeps_its_signature_and_takes_one_picture(foreign: dict[str, Path], tmp_path: Path) -> None:
    out = adopt(foreign["float32"], tmp_path / "a.tflite", Taking(foreign["labels"], Levels((-1, 1)))).file
    interpreter = LiteRT(str(out))
    assert list(interpreter.get_input_details()[0]["shape_signature"]) == [1, SIDE, SIDE, 3]
    run = interpreter.get_signature_runner()
    (name,) = run.get_input_details()
    (scores,) = run(**{name: np.full((1, SIDE, SIDE, 3), (250, 5, 5), np.float32)}).values()
    assert LABELS[scores[0].argmax()] == "red"


@pytest.mark.parametrize(("input_range", "operators"), [((0, 255), []), ((0, 1), ["MUL"]), ((-128, 127), ["ADD"])])
def test_no_operator_is_spent_where_none_is_needed(
    foreign: dict[str, Path], input_range: tuple[float, float], operators: list[str]
) -> None:
    before = foreign["float32"].read_bytes()
    taking = take_raw_pixels(before, Levels(input_range))
    names = [operator["op_name"] for operator in LiteRT(model_content=taking.model)._get_ops_details()]
    assert [name for name in names if name in ("MUL", "ADD")] == operators
    assert [*LiteRT(model_content=taking.model).get_input_details()[0]["shape_signature"]] == [1, SIDE, SIDE, 3]


def test_a_model_of_uint8_is_left_as_it_is() -> None:
    taking = take_raw_pixels(TINY.read_bytes())
    assert taking.model == TINY.read_bytes()
    assert (taking.entry.width, taking.entry.height, taking.outputs, taking.notes) == (32, 32, 4, ())


def test_weights_stay_aligned(foreign: dict[str, Path]) -> None:
    """The interpreter only asks for four bytes; the schema asks for sixteen, and some kernels rely on it."""
    from ai_edge_litert import schema_py_generated as schema

    data = take_raw_pixels(foreign["int8"].read_bytes()).model
    model = schema.Model.GetRootAs(data)
    buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
    places = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if not buffer.DataIsNone()]
    assert len(places) >= 4  # kernels and biases of two layers
    assert [place % 16 for place in places] == [0] * len(places)


@pytest.mark.parametrize(
    ("kind", "input_range", "reason"),
    [
        ("float32", None, "does not say of which range"),
        ("int8", (0.0, 255.0), r"takes -0.996\.\.1, not 0\.\.255"),
        ("labels", None, "not a TFLite model"),
    ],
)
def test_a_range_that_is_missing_or_contradicted_is_refused(
    foreign: dict[str, Path], tmp_path: Path, kind: str, input_range: tuple[float, float] | None, reason: str
) -> None:
    with pytest.raises(ModelFormatError, match=reason) as caught:
        adopt(foreign[kind], tmp_path / "a.tflite", Taking(foreign["labels"], Levels(input_range)))
    assert str(foreign[kind]) in str(caught.value)
    assert not (tmp_path / "a.tflite").exists()


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ("a\nb\n", "2 labels, the model 3 outputs; .* put background"),
        ("background\na\nb\nc\n", "4 labels, the model 3 outputs; .* remove the first line"),
        ("background\na\n", "2 labels, the model 3 outputs; a label file has a line per output"),
        ("a\n\nb\n", "line 2 is empty"),
        ("", "0 labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_what_to_do(
    foreign: dict[str, Path], tmp_path: Path, labels: str, reason: str
) -> None:
    (tmp_path / "labels.txt").write_text(labels)
    with pytest.raises(CardError, match=reason):
        adopt(foreign["int8"], tmp_path / "a.tflite", Taking(tmp_path / "labels.txt"))


def test_label_files_of_several_kinds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    for text, labels, repeated in (
        ("\ufeffcat\r\ndog\r\n\r\n", ["cat", "dog"], []),
        ("0  background\n1  tench\n", ["background", "tench"], []),
        ("0: a\n2: b\n", ["0: a", "2: b"], []),
        ("id,name\n0,cat\n1,dog\n", ["cat", "dog"], []),
        ("crane\ncat\ncrane\ncrane\n", ["crane", "cat", "crane (2)", "crane (3)"], ["crane (2)", "crane (3)"]),
    ):
        path.write_text(text, "utf-8", newline="")
        assert read_labels(path) == (labels, repeated)
    path.write_text("café\r\n\u00fcber\r\n", "utf-16")
    assert read_labels(path) == (["café", "\u00fcber"], [])
    path.write_text("0 a\n2 c\n1 b\n")  # as 10 comes before 2 where file names are sorted
    with pytest.raises(CardError, match="sort it by the numbers"):
        read_labels(path)
    path.write_bytes(b"\xff\xfe\0")
    for unreadable in (path, tmp_path, tmp_path / "missing"):
        with pytest.raises(CardError, match=str(unreadable)):
            read_labels(unreadable)


@given(st.floats(-1000, 1000), st.floats(-1000, 1000))
def test_a_range_is_two_numbers_in_order(low: float, high: float) -> None:
    if low < high:
        assert parse_range(f"{low!r}..{high!r}") == (low, high)
    else:
        with pytest.raises(InputSpecError):
            parse_range(f"{low!r}..{high!r}")


@pytest.mark.parametrize("text", ["", "1", "..", "0..nan", "0..inf", "0..1..2", "a..b"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InputSpecError, match="two numbers"):
        parse_range(text)


@pytest.mark.parametrize("kind", ["int8", "float32"])
@given(data=st.data())
def test_a_damaged_model_is_taken_or_refused(foreign: dict[str, Path], kind: str, data: st.DataObject) -> None:
    model = bytearray(foreign[kind].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(model) - 1))
        model[place] = data.draw(st.integers(0, 255))
    try:
        take_raw_pixels(bytes(model), Levels(None if kind == "int8" else (-1, 1)))
    except ModelFormatError as error:
        assert str(error)


def test_the_metadata_and_files_of_others_are_replaced(foreign: dict[str, Path], tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.tflite"
    shutil.copy(foreign["int8"], theirs)
    with zipfile.ZipFile(theirs, "a") as archive:
        archive.writestr("labels.txt", "one\ntwo\nthree\n")
    out = adopt(theirs, tmp_path / "a.tflite", Taking(foreign["labels"])).file
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["labels.txt", "card.json", "golden.json", "golden/0.jpg"]
    assert read_card(out).labels == LABELS


def test_labels_and_normalization_of_tflite_metadata_are_taken(tmp_path: Path) -> None:
    """As Model Maker and MediaPipe Model Maker write them."""
    described = describe("theirs", "A classifier.", "1")
    for number in (0.0, 1.0):  # mean and standard deviation are vectors of one number
        described = described.replace(struct.pack("<If", 1, number), struct.pack("<If", 1, 127.5))
    theirs = tmp_path / "theirs.tflite"
    theirs.write_bytes(attach(FLOAT.read_bytes(), described))
    with zipfile.ZipFile(theirs, "a") as archive:
        archive.writestr("labels.txt", "one\ntwo\nthree\nfour\n")
    adopted = adopt(theirs, tmp_path / "a.tflite")
    assert adopted.card.labels == ("one", "two", "three", "four")
    by_hand = adopt(
        theirs, tmp_path / "b.tflite", Taking(levels=Levels((0.0, 255.0), mean=(127.5,), std=(127.5,)), crop="pad")
    )
    assert by_hand.card.input.crop == "pad"
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    scores = Classifier(adopted.file).pixel_scores(pixels)
    assert (scores == Classifier(by_hand.file).pixel_scores(pixels)).all()
    assert (scores != Classifier(adopt(FLOAT, tmp_path / "c.tflite", four(tmp_path)).file).pixel_scores(pixels)).all()
    with pytest.raises(InputSpecError, match="has a model card"):
        adopt(adopted.file, tmp_path / "d.tflite", Taking(crop="pad"))


def test_an_older_file_of_ours_is_sealed_with_the_card_that_it_has(tmp_path: Path) -> None:
    card = ModelCard(("a", "b", "c", "d"), InputSpec(32, 32, crop="pad"), training={"epochs": 3})
    older = tmp_path / "older.tflite"
    older.write_bytes(complete(TINY.read_bytes(), card, "older"))
    out = adopt(older, tmp_path / "sealed.tflite").file
    assert read_card(out) == card
    assert verify(out).passed
    again = adopt(out, tmp_path / "again.tflite").file
    assert read_golden(again) == read_golden(out)
    with pytest.raises(ModelFormatError, match="no model card"):
        adopt(TINY, tmp_path / "b.tflite")


def test_deep_pictures_are_seen_by_the_levels_given_and_what_else_lies_there_is_told(
    foreign: dict[str, Path], tmp_path: Path
) -> None:
    ramp = np.tile(np.linspace(7300, 8300, 64).astype(np.uint16), (48, 1))
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "thermal.png"), ramp)
    (folder / "notes.txt").write_text("of the pictures")
    taking = Taking(foreign["labels"], picture_levels=(7300, 8300))
    adopted = adopt(foreign["int8"], tmp_path / "a.tflite", taking, golden=folder)
    assert adopted.card.input.levels == (7300, 8300)
    (frame,) = read_golden(adopted.file).frames
    assert np.ptp(decode_picture(frame.jpeg)) > 240
    assert [item.path.name for item in adopted.passed_over] == ["notes.txt"]


def test_golden_vectors_are_made_of_the_pictures_given(foreign: dict[str, Path], tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(9):
        cv2.imwrite(str(pictures / f"{number}.png"), np.full((40, 60, 3), 20 * number, np.uint8))
    for golden, count in ((pictures, 4), (pictures / "3.png", 1), (None, 1)):
        out = adopt(foreign["int8"], tmp_path / "a.tflite", Taking(foreign["labels"]), golden=golden).file
        assert len(read_golden(out).frames) == count
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no pictures"):
        adopt(foreign["int8"], out, Taking(foreign["labels"]), golden=tmp_path / "empty")
    with pytest.raises(PictureError):
        adopt(foreign["int8"], out, Taking(foreign["labels"]), golden=foreign["labels"])


def test_the_file_itself_is_not_overwritten(foreign: dict[str, Path], tmp_path: Path) -> None:
    for out in (foreign["int8"], tmp_path, tmp_path / "model.bin"):
        with pytest.raises(OutputError):
            adopt(foreign["int8"], out, Taking(foreign["labels"]))


def exported(folder: Path, model: Any, kind: str) -> Path:
    """A model as somebody else's converter leaves it, of floats or of int8 at both ends, calibrated on -2.5..2.5."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind == "int8":
        shape = (1, *model.input_shape[1:])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [np.random.default_rng(seed).uniform(-2.5, 2.5, shape).astype(np.float32)] for seed in range(4)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    path = folder / f"{kind}.tflite"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path.write_bytes(converter.convert())
    return path


def network(channels: int = 3, planes: bool = False, one_by_one: bool = False, logits: bool = False) -> Any:
    """Four scores of a picture of 20x24, or of planes of its channels."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    given = keras.Input((channels, 20, 24) if planes else (20, 24, channels), batch_size=1)
    pixels = layers.Permute((2, 3, 1))(given) if planes else given
    pooled = layers.GlobalAveragePooling2D(keepdims=one_by_one)(layers.Conv2D(6, 3, activation="relu")(pixels))
    scores = layers.Conv2D(4, 1)(pooled) if one_by_one else layers.Dense(4)(pooled)
    return keras.Model(given, scores if logits else layers.Softmax()(scores))


TORCH = Levels(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
ABOUT_ZERO = Levels((-2.5, 2.5))


@pytest.mark.parametrize("kind", slow_but(("float32", "int8"), {"int8"}))
@pytest.mark.parametrize(
    ("shape", "levels", "told"),
    [
        ({"channels": 1}, ABOUT_ZERO, "gray of colors"),
        ({"planes": True}, ABOUT_ZERO, "planes of channels"),
        ({"channels": 1, "planes": True}, Levels((-2.5, 2.5)), "planes of channels"),
        ({"one_by_one": True}, ABOUT_ZERO, r"shape \(1, 1, 1, 4\)"),
        ({"logits": True}, ABOUT_ZERO, "ends in logits"),
        ({"planes": True, "logits": True}, TORCH, r"-2\.118\.\.2\.249, -2\.036\.\.2\.429, -1\.804\.\.2\.64"),
        ({"channels": 1}, Levels(mean=(120.0,), std=(60.0,)), r"of levels 0\.\.255"),
    ],
    ids=["gray", "planes", "gray planes", "1x1x1x4", "logits", "mean and std per channel", "gray mean and std"],
)
def test_what_others_export_says_of_raw_pixels_what_it_said(
    tmp_path: Path, kind: str, shape: dict[str, bool], levels: Levels, told: str
) -> None:
    original = exported(tmp_path, network(**shape), kind)
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    given = Levels() if kind == "int8" and not levels.normalized else levels
    adopted = adopt(original, tmp_path / "out.tflite", Taking(tmp_path / "labels.txt", given))
    assert any(re.search(told, note) for note in adopted.notes), adopted.notes
    assert verify(adopted.file).passed
    interpreter = LiteRT(str(original))
    interpreter.allocate_tensors()
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    classifier = Classifier(adopted.file)
    assert classifier.card.input == InputSpec(24, 20)
    answers = []
    for seed in range(4):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8) // np.uint8(seed + 1)
        numbers = pixels @ np.array([0.299, 0.587, 0.114]) if shape.get("channels") == 1 else pixels.astype(np.float64)
        numbers = numbers.reshape(20, 24, -1) / 255
        if levels is TORCH:
            numbers = (numbers - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        elif levels.normalized:
            numbers = (255 * numbers - 120) / 60
        else:
            numbers = 5 * numbers - 2.5
        scale, zero_point = entry["quantization"]
        if scale:
            numbers = np.clip(np.round(numbers / scale + zero_point), -128, 127)
        numbers = numbers.transpose(2, 0, 1) if shape.get("planes") else numbers
        interpreter.set_tensor(entry["index"], numbers[None].astype(entry["dtype"]))
        interpreter.invoke()
        scores = interpreter.get_tensor(result["index"]).reshape(-1).astype(np.float64)
        scale, zero_point = result["quantization"]
        scores = (scores - zero_point) * (scale or 1)
        if shape.get("logits"):
            scores = np.exp(scores) / np.exp(scores).sum()
        answers.append(classifier.pixel_scores(pixels))
        assert answers[-1] == pytest.approx(scores, abs=0.01 if kind == "int8" else 1e-5)
    assert np.ptp(answers, axis=0).max() > 0.02  # scores that do not change would agree, too


def four(folder: Path) -> Taking:
    (folder / "four.txt").write_text("a\nb\nc\nd\n")
    return Taking(folder / "four.txt", Levels((0, 255)))


def test_pixels_that_the_graph_itself_makes_floats_of_are_taken_as_they_are(tmp_path: Path) -> None:
    graph = EditableGraph(FLOAT.read_bytes())
    options = schema.CastOptionsT(schema.TensorType.UINT8, schema.TensorType.FLOAT32)
    graph.put_in_front(tensor((1, 32, 32, 3), schema.TensorType.UINT8), [NewOperator("CAST", options=options)])
    (tmp_path / "cast.tflite").write_bytes(graph.packed())
    taking = four(tmp_path)
    adopted = adopt(tmp_path / "cast.tflite", tmp_path / "a.tflite", Taking(taking.labels))
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    expected = Classifier(adopt(FLOAT, tmp_path / "b.tflite", taking).file).pixel_scores(pixels)
    assert Classifier(adopted.file).pixel_scores(pixels) == pytest.approx(expected)
    assert read_golden(adopted.file).tolerance == GOLDEN_FLOAT, "its arithmetic is in floats"
    for twice in (Levels((-1, 1)), Levels(mean=(127.5,), std=(127.5,))):
        with pytest.raises(ModelFormatError, match=r"leave .* out"):
            adopt(tmp_path / "cast.tflite", tmp_path / "c.tflite", Taking(taking.labels, twice))


def test_of_several_outputs_the_one_with_a_score_per_label_is_kept(tmp_path: Path) -> None:
    logits, probabilities = read_graph(FLOAT.read_bytes()).operators[-1].inputs[0], "StatefulPartitionedCall:0"
    (tmp_path / "two.tflite").write_bytes(with_outputs(FLOAT.read_bytes(), [logits, 4]))
    taking = four(tmp_path)
    adopted = adopt(tmp_path / "two.tflite", tmp_path / "a.tflite", taking)
    assert any(probabilities in note for note in adopted.notes)
    alone = adopt(FLOAT, tmp_path / "b.tflite", taking)
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    assert (Classifier(adopted.file).pixel_scores(pixels) == Classifier(alone.file).pixel_scores(pixels)).all()
    assert list(LiteRT(str(adopted.file)).get_signature_runner().get_output_details()) == ["scores"]
    (tmp_path / "five.txt").write_text("a\nb\nc\nd\ne\n")
    with pytest.raises(ModelFormatError, match="not one of its 3 outputs alone has scores of 5 labels"):
        adopt(tmp_path / "two.tflite", tmp_path / "c.tflite", Taking(tmp_path / "five.txt", Levels((0, 255))))


@pytest.mark.parametrize(("kind", "activation"), [("float32", "sigmoid"), ("float32", None), ("int8", "sigmoid")])
def test_one_score_becomes_those_of_two_labels(tmp_path: Path, kind: str, activation: str | None) -> None:
    given = keras.Input((8, 8, 3), batch_size=1)
    dense = keras.layers.Dense(1, activation=activation)
    model = keras.Model(given, dense(keras.layers.GlobalAveragePooling2D()(given)))
    dense.set_weights([np.array([[3.0], [-2.0], [1.0]]), np.array([0.5])])
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    taking = Taking(tmp_path / "labels.txt", Levels((-1, 1)) if kind == "float32" else Levels())
    original = exported(tmp_path, model, kind)
    adopted = adopt(original, tmp_path / "a.tflite", taking)
    assert verify(adopted.file).passed
    dogs: list[float] = []
    for level in (0, 127, 255):
        pixels = np.full((8, 8, 3), (level, 255 - level, 100), np.uint8)
        (score,) = scores_of(original, pixels)
        dog = score if activation else 1 / (1 + np.exp(-score))
        scores = Classifier(adopted.file).pixel_scores(pixels)
        assert scores == pytest.approx([1 - dog, dog], abs=1e-6)
        dogs.append(dog)
    assert dogs[0] < dogs[1] - 0.01 < dogs[2] - 0.02  # scores that do not change would agree, too
    with pytest.raises(ModelFormatError, match="give two labels"):
        adopt(tmp_path / f"{kind}.tflite", tmp_path / "b.tflite", Taking(four(tmp_path).labels, taking.levels))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [(((1.0, 2.0), ()), "one number, or three"), (((), (0.0,)), "above 0"), (((float("nan"),), ()), "finite")],
)
def test_a_mean_that_is_none_is_refused(numbers: tuple[tuple[float, ...], tuple[float, ...]], message: str) -> None:
    with pytest.raises(InputSpecError, match=message):
        Levels(None, *numbers)
    with pytest.raises(InputSpecError, match="one number or three"):
        parse_numbers("0.5;0.5")


def test_a_softmax_that_the_graph_does_not_name_is_found_by_its_scores(tmp_path: Path) -> None:
    levels = keras.Input((8, 8, 3), batch_size=1)
    scores = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(levels))
    apart = keras.layers.Lambda(lambda logits: tf.exp(logits) / tf.reduce_sum(tf.exp(logits), 1, keepdims=True))
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    path = exported(tmp_path, keras.Model(levels, apart(scores)), "float32")
    adopted = adopt(path, tmp_path / "a.tflite", Taking(tmp_path / "labels.txt", Levels((-1, 1))))
    assert not any("SOFTMAX" in note for note in adopted.notes)


def test_a_model_whose_scores_are_no_numbers_is_not_written(tmp_path: Path) -> None:
    levels = keras.Input((8, 8, 3), batch_size=1)
    model = keras.Model(levels, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(levels)))
    model.set_weights([np.full((3, 3), np.nan), np.zeros(3)])
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    with pytest.raises(CheckFailedError, match="differ by nan"):
        adopt(
            exported(tmp_path, model, "float32"),
            tmp_path / "a.tflite",
            Taking(tmp_path / "labels.txt", Levels((-1, 1))),
        )
    assert not (tmp_path / "a.tflite").exists()


def test_rounding_is_judged_alike_whichever_picture_comes_last(tmp_path: Path) -> None:
    levels = keras.Input((8, 8, 3), batch_size=1)
    dense = keras.layers.Dense(3, use_bias=False)
    model = keras.Model(levels, dense(keras.layers.GlobalAveragePooling2D()(levels)))

    def of(weight: float) -> bytes:
        dense.set_weights([weight * np.eye(3)])
        return exported(tmp_path, model, "float32").read_bytes()

    taking = take_raw_pixels(of(1), Levels((0, 255)))
    taking = replace(taking, model=take_raw_pixels(of(1 + 2e-5), Levels((0, 255))).model)
    dark, bright = (np.full((8, 8, 3), level, np.uint8) for level in (0, 250))
    for pictures in ([dark, bright], [bright, dark]):
        assert check_scores(of(1), taking, False, pictures) == pytest.approx(250 * 2e-5, rel=0.1)


def test_a_model_that_would_say_something_else_is_not_written(
    foreign: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_convert.tflite import input_rewrite

    real = input_rewrite._floats_in_front
    monkeypatch.setattr(
        input_rewrite, "_floats_in_front", lambda *given: replace(real(*given), front=real(*given).front[1:])
    )
    with pytest.raises(CheckFailedError, match="scores differ by"):
        adopt(foreign["float32"], tmp_path / "a.tflite", Taking(foreign["labels"], Levels((-1, 1))))
    assert not (tmp_path / "a.tflite").exists()


@pytest.mark.parametrize(
    ("operator", "reason"),
    [(None, "a.tflite: it cannot be loaded by .*version"), (b"FlexErf", "without SELECT_TF_OPS")],
)
def test_operators_that_no_runtime_has_are_told(tmp_path: Path, operator: bytes | None, reason: str) -> None:
    model = schema.ModelT.InitFromPackedBuf(FLOAT.read_bytes())
    code = model.operatorCodes[0]
    if operator is None:
        code.version = 99
    else:
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = operator
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "a.tflite").write_bytes(bytes(builder.Output()))
    with pytest.raises(ModelFormatError, match=reason):
        adopt(tmp_path / "a.tflite", tmp_path / "b.tflite", four(tmp_path))


def test_a_full_folder_for_temporary_files_is_not_told_of_the_model(
    foreign: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("edge_convert.tflite.equivalence._scores", full)
    with pytest.raises(OSError, match="No space left") as caught:
        adopt(foreign["float32"], tmp_path / "a.tflite", Taking(foreign["labels"], Levels((-1, 1))))
    assert not isinstance(caught.value, ModelFormatError) and caught.value.errno == errno.ENOSPC


def compiled_of(model: Path, out: Path) -> Path:
    """What Google's compiler makes of a model that it maps whole: one operator of its own, between the same ends."""
    parsed = schema.ModelT.InitFromPackedBuf(model.read_bytes())
    graph = parsed.subgraphs[0]
    number = schema.BuiltinOperator.CUSTOM
    parsed.operatorCodes = [schema.OperatorCodeT(number, b"edgetpu-custom-op", 1, number)]
    graph.operators = [schema.OperatorT(0, graph.inputs, graph.outputs)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(parsed.Pack(builder), b"TFL3")
    out.write_bytes(bytes(builder.Output()))
    return out


def test_a_compiled_file_becomes_complete_with_its_twin(foreign: dict[str, Path], tmp_path: Path) -> None:
    """Both take raw pixels then, by the same operators in front: the one for the Edge TPU and the one inside for the
    CPU."""
    compiled = compiled_of(foreign["int8"], tmp_path / "net_edgetpu.tflite")
    done = adopt(compiled, tmp_path / "a.tflite", Taking(foreign["labels"]), cpu=foreign["int8"])
    assert verify(done.file).passed
    plain = adopt(foreign["int8"], tmp_path / "b.tflite", Taking(foreign["labels"]))
    assert read_cpu_model(done.file) == take_raw_pixels(foreign["int8"].read_bytes()).model
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    assert (Classifier(done.file).pixel_scores(pixels) == Classifier(plain.file).pixel_scores(pixels)).all()
    names = [operator.name for operator in read_graph(done.file.read_bytes()).operators]
    assert names == ["QUANTIZE", "edgetpu-custom-op", "QUANTIZE"]
    again = adopt(done.file, tmp_path / "again.tflite")
    assert read_cpu_model(again.file) == read_cpu_model(done.file)


def test_a_compiled_file_without_its_twin_or_with_another_is_refused(
    foreign: dict[str, Path], tmp_path: Path, command: Command
) -> None:
    compiled = compiled_of(foreign["int8"], tmp_path / "net_edgetpu.tflite")
    taking = Taking(foreign["labels"])
    for cpu, reason in (
        (None, f"--cpu {tmp_path}/net.tflite --labels"),
        (foreign["float32"], "not compiled from the file for the CPU"),
        (compiled, "compiled for an Edge TPU, too"),
    ):
        with pytest.raises(ModelFormatError, match=reason):
            adopt(compiled, tmp_path / "a.tflite", taking, cpu=cpu)
    with pytest.raises(ModelFormatError, match="not compiled for an Edge TPU, so --cpu"):
        adopt(foreign["int8"], tmp_path / "a.tflite", taking, cpu=foreign["int8"])
    with pytest.raises(ModelFormatError, match="edge-convert adopt"):
        Interpreter(compiled)


def test_the_command_adopts_and_the_runner_runs(
    command: Command, foreign: dict[str, Path], tmp_path: Path, color_photos: Path
) -> None:
    out = tmp_path / "a.tflite"
    options = ("--labels", foreign["labels"], "--input-range", "-1..1", "--golden", color_photos, "--out", out)
    done = command("edge_convert.cli", "adopt", foreign["float32"], *options, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["file"] == str(out)
    shown = command("edge_device.cli", "images", out, color_photos / "green" / "0.png", "--json")
    assert json.loads(shown.stdout)["top"][0]["label"] == "green"
    refused = command("edge_convert.cli", "adopt", foreign["float32"], "--labels", foreign["labels"], "--out", out)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="Google's models are not beside the checkout")
@pytest.mark.parametrize("name", ["mobilenet_v2_1.0_224_quant", "tf2_mobilenet_v2_1.0_224_ptq"])
def test_googles_models_know_a_cat(tmp_path: Path, name: str) -> None:
    labels, cat = SHARED / "imagenet_labels.txt", SHARED / "cat.png"
    adopted = adopt(SHARED / f"{name}.tflite", tmp_path / "a.tflite", Taking(labels), golden=cat)
    frame: Frame = cv2.imread(str(cat))  # type: ignore[assignment]
    assert Classifier(adopted.file).classify(frame)[0].label == "Egyptian cat"
    assert verify(adopted.file).passed
    assert adopted.notes == ("labels that were there before got a number: crane (2)",)
