import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_core import Frame, InputSpec, preprocess
from edge_core.artifact.container import complete, read_card
from edge_core.errors import ModelFormatError, RuntimeMissingError
from edge_device.inference.classifier import Classifier, top
from edge_device.inference.interpreter import Interpreter
from edge_device.results import Prediction

MODELS = Path(__file__).parents[2] / "models"
TinyModel = Callable[..., Path]
kinds = pytest.mark.parametrize("kind", ["uint8", "float32"])


@kinds
def test_a_frame_gets_the_label_of_its_color(tiny_model: TinyModel, color_frames: dict[str, Frame], kind: str) -> None:
    """Right labels mean that the channels are in order, the levels in scale and the scores dequantized."""
    classifier = Classifier(tiny_model(kind))
    assert classifier.digest is None  # it was never sealed
    for label, frame in color_frames.items():
        best = classifier.classify(frame, 4)
        assert best[0].label == label
        assert best[0].score > (0.6 if label == "dark" else 0.99)
        assert sum(one.score for one in best) == pytest.approx(1, abs=0.01)


@kinds
def test_a_model_that_takes_bgr_gets_bgr(tiny_model: TinyModel, color_frames: dict[str, Frame], kind: str) -> None:
    """The tiny model takes RGB; told the opposite, it must mistake red for blue."""
    classifier = Classifier(tiny_model(kind, spec=InputSpec(32, 32, color_order="BGR")))
    assert classifier.classify(color_frames["red"])[0].label == "blue"


@kinds
def test_scores_are_the_same_from_a_frame_and_from_its_pixels(tiny_model: TinyModel, kind: str) -> None:
    path = tiny_model(kind)
    classifier, interpreter = Classifier(path), Interpreter(path)
    for seed in range(3):
        frame = np.random.default_rng(seed).integers(0, 256, (48 + seed, 64, 3), np.uint8)
        scores, timing = classifier.scores(frame)
        pixels = preprocess(frame, classifier.card.input)
        assert scores.dtype == np.float32
        assert scores.shape == (4,)
        assert np.array_equal(scores, interpreter.scores(pixels))
        assert timing.preprocess_ms > 0
        assert timing.invoke_ms > 0


def test_what_a_frame_took_is_told_in_milliseconds(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, clock = Classifier(tiny_model()), iter([1.0, 1.25, 2.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    _, timing = classifier.scores(np.zeros((48, 64, 3), np.uint8))
    assert (timing.preprocess_ms, timing.invoke_ms) == (250, 750)


def test_the_two_tiny_models_agree(tiny_model: TinyModel) -> None:
    """On frames whose scores lie far apart: a mean of two colors on gray, so that no label is certain."""
    quantized, full = (Classifier(tiny_model(kind)) for kind in ("uint8", "float32"))
    spread = []
    for color in ((110, 110, 150), (110, 150, 120), (150, 120, 130)):
        frame = np.full((64, 64, 3), color, np.uint8)
        scores = full.scores(frame)[0]
        spread.append(float(scores.max() - scores.min()))
        assert quantized.scores(frame)[0] == pytest.approx(scores, abs=0.05)
    assert min(spread) > 0.5


def test_results_do_not_change_with_later_frames(tiny_model: TinyModel, color_frames: dict[str, Frame]) -> None:
    classifier = Classifier(tiny_model())
    first, _ = classifier.scores(color_frames["red"])
    kept = first.copy()
    classifier.scores(color_frames["blue"])
    assert np.array_equal(first, kept)


def test_the_best_labels_come_first_and_equal_ones_in_label_order() -> None:
    scores = np.array([0.1, 0.4, 0.1, 0.4], np.float32)
    assert [one.label for one in top(scores, "abcd", 3)] == ["b", "d", "a"]
    assert top(scores, "abcd", 99)[-1] == Prediction("c", float(np.float32(0.1)))


def test_a_classifier_knows_its_card_and_its_runtime(tiny_model: TinyModel) -> None:
    path = tiny_model()
    classifier = Classifier(str(path), runtime="ai-edge-litert", threads=1)
    assert classifier.card == read_card(path)
    assert classifier.runtime.startswith("ai-edge-litert ")


def test_a_model_without_a_card_is_refused_with_advice() -> None:
    with pytest.raises(ModelFormatError, match=r"no model card.*edge-convert"):
        Classifier(MODELS / "tiny-uint8.tflite")


def test_more_or_fewer_labels_than_outputs_are_refused(tiny_model: TinyModel) -> None:
    with pytest.raises(ModelFormatError, match="3 labels, 4 outputs"):
        Classifier(tiny_model(labels=("red", "green", "blue")))


def test_an_input_unlike_the_cards_is_refused(tiny_model: TinyModel) -> None:
    with pytest.raises(ModelFormatError, match=r"\(32, 64, 3\).*\(32, 32, 3\)"):
        Classifier(tiny_model(spec=InputSpec(width=64, height=32)))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.tflite").write_text("a shopping list\n" * 9)
    for path in (tmp_path / "notes.tflite", tmp_path / "missing.tflite", tmp_path):
        with pytest.raises(ModelFormatError, match=str(path)):
            Classifier(path)
        with pytest.raises(ModelFormatError, match=str(path)):
            Interpreter(path)


def test_a_damaged_graph_under_a_sound_card_is_refused(tiny_model: TinyModel) -> None:
    path = tiny_model()
    data = bytearray(path.read_bytes())
    root = int.from_bytes(data[:4], "little")
    data[root : root + 4] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match=re.escape(f"{path} is not a TFLite model: its flatbuffer is cut off")):
        Classifier(path)


def test_a_model_that_does_not_take_pixels_is_refused_with_what_it_takes(tiny_model: TinyModel) -> None:
    import flatbuffers

    path = tiny_model()
    model = schema.ModelT.InitFromPackedBuf((MODELS / "tiny-uint8.tflite").read_bytes())
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].type = schema.TensorType.INT8
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(complete(bytes(builder.Output()), read_card(path), "tiny"))
    with pytest.raises(ModelFormatError, match=r"int8 \(1, 32, 32, 3\)"):
        Classifier(path)


class FakeRuntime:
    """An interpreter's module whose one model has inputs and outputs as given; pixels come back as scores."""

    def __init__(self, inputs: list[tuple[int, ...]], outputs: list[tuple[int, ...]], **details: Any) -> None:
        self.inputs, self.outputs, self.details = inputs, outputs, details
        self.asked: dict[str, Any] = {}

    def Interpreter(self, **asked: Any) -> "FakeRuntime":
        self.asked = asked
        return self

    def allocate_tensors(self) -> None:
        self.pixels = np.zeros(self.inputs[0], self.details.get("dtype", np.uint8))

    def _described(self, shapes: list[tuple[int, ...]], first: int) -> list[dict[str, Any]]:
        dtype, quantization = self.details.get("dtype", np.uint8), self.details.get("quantization", (0.0, 0))
        return [
            {"shape": np.array(shape), "dtype": dtype, "index": first + number, "quantization": quantization}
            for number, shape in enumerate(shapes)
        ]

    def get_input_details(self) -> list[dict[str, Any]]:
        return self._described(self.inputs, 0)

    def get_output_details(self) -> list[dict[str, Any]]:
        return self._described(self.outputs, 10)

    def get_tensor_details(self) -> list[dict[str, Any]]:
        given = self.details.get("tensors", [np.float32])
        scales = {"scales": np.ones(1, np.float32)}
        return [
            {"dtype": dtype, "index": 20 + number, "quantization_parameters": scales}
            for number, dtype in enumerate(given)
        ]

    def tensor(self, index: int) -> Callable[[], np.ndarray]:
        assert index == 0
        return lambda: self.pixels

    def invoke(self) -> None:
        pass

    def get_tensor(self, index: int) -> np.ndarray:
        assert index == 10
        return self.pixels[:, 0, 0, :]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Interpreter, FakeRuntime]]:
    def opened(
        *shapes: Any, threads: int | None = None, wanted: tuple[int, ...] | None = None, **details: Any
    ) -> tuple[Interpreter, FakeRuntime]:
        runtime = FakeRuntime(*shapes, **details)
        monkeypatch.setattr("edge_device.inference.interpreter.load_runtime", lambda name: ("fake 1", runtime))
        path = tmp_path / "fake.tflite"
        path.write_bytes((MODELS / "tiny-uint8.tflite").read_bytes())
        return Interpreter(path, threads=threads, tensors=wanted), runtime

    return opened


@pytest.mark.parametrize(
    ("inputs", "outputs", "dtype"),
    [
        ([(2, 8, 9, 3)], [(1, 3)], np.uint8),
        ([(1, 8, 9, 4)], [(1, 3)], np.uint8),
        ([(1, 8, 9)], [(1, 3)], np.uint8),
        ([(1, 8, 9, 3)], [(2, 3)], np.uint8),
        ([(1, 8, 9, 3)], [(1, 1, 3)], np.uint8),
        ([(1, 8, 9, 3)], [(1, 3), (1, 3)], np.uint8),
        ([(1, 8, 9, 3), (1, 3)], [(1, 3)], np.uint8),
        ([(1, 8, 9, 3)], [(1, 3)], np.int8),
        ([(1, 8, 9, 3)], [(1, 3)], np.float16),
    ],
)
def test_anything_but_one_picture_in_and_one_row_of_scores_out_is_refused(
    opened: Callable[..., tuple[Interpreter, FakeRuntime]], inputs: Any, outputs: Any, dtype: Any
) -> None:
    with pytest.raises(ModelFormatError, match=r"not an image classifier .* are .*\(1, 3\)|\(2, 3\)|\(1, 1, 3\)"):
        opened(inputs, outputs, dtype=dtype)


def test_an_interpreter_knows_its_shapes_and_undoes_the_quantization_of_scores(
    opened: Callable[..., tuple[Interpreter, FakeRuntime]],
) -> None:
    interpreter, runtime = opened([(1, 8, 9, 3)], [(1, 3)], quantization=(0.5, 3), threads=7)
    assert (interpreter.input_shape, interpreter.outputs, interpreter.runtime) == ((8, 9, 3), 3, "fake 1")
    assert runtime.asked["num_threads"] == 7
    pixels = np.zeros((8, 9, 3), np.uint8)
    pixels[0, 0] = (3, 13, 255)
    assert interpreter.scores(pixels).tolist() == [0.0, 5.0, 126.0]
    unquantized, runtime = opened([(1, 8, 9, 3)], [(1, 3)], dtype=np.float32)
    assert unquantized.scores(pixels).tolist() == [3.0, 13.0, 255.0]


@pytest.mark.parametrize(
    ("shapes", "tensors", "told"),
    [
        ([(1, 3), (1, 4, 4, 5), (1, 6)], (1, 2), None),
        ([(1, 3), (1, 6), (2, 6)], (1, 2), "not an image classifier"),
        ([(1, 3), (2, 6)], (1,), "not an image classifier"),
        ([(1, 3), (1, 6)], (1, 2), "not an image classifier"),
    ],
)
def test_further_outputs_are_features_if_they_are_those_that_were_asked_for(
    opened: Callable[..., tuple[Interpreter, FakeRuntime]],
    shapes: list[tuple[int, ...]],
    tensors: tuple[int, ...],
    told: str | None,
) -> None:
    if told:
        with pytest.raises(ModelFormatError, match=told):
            opened([(1, 8, 9, 3)], shapes, wanted=tensors)
    else:
        assert opened([(1, 8, 9, 3)], shapes, wanted=tensors)[0].outputs == 3


def test_what_a_runtime_cannot_load_is_refused_in_its_words(
    opened: Callable[..., tuple[Interpreter, FakeRuntime]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(runtime: FakeRuntime) -> None:
        raise ValueError("Didn't find op for builtin opcode 'SPARSE'")

    monkeypatch.setattr(FakeRuntime, "allocate_tensors", refuse)
    with pytest.raises(ModelFormatError, match=r"fake\.tflite cannot be loaded by fake 1: Didn't find op"):
        opened([(1, 8, 9, 3)], [(1, 3)])


def test_what_a_runtime_says_is_not_shown_but_for_an_accelerators(
    opened: Callable[..., tuple[Interpreter, FakeRuntime]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    allocate = FakeRuntime.allocate_tensors

    def greet(runtime: FakeRuntime) -> None:
        os.write(2, b"INFO: a delegate for the CPU")  # a runtime does so once in a process
        allocate(runtime)

    monkeypatch.setattr(FakeRuntime, "allocate_tensors", greet)
    opened([(1, 8, 9, 3)], [(1, 3)])
    assert capfd.readouterr() == ("", "")
    Interpreter(tmp_path / "fake.tflite", delegate=lambda module: object())
    assert capfd.readouterr().err.startswith("INFO")


@pytest.mark.parametrize(
    ("tensors", "quantized"),
    [([np.float32], False), ([np.float32, np.int32], False)]
    + [([np.float32, dtype], True) for dtype in (np.int8, np.uint8, np.int16)],
)
def test_any_tensor_in_8_or_16_bits_makes_a_model_quantized(
    opened: Callable[..., tuple[Interpreter, FakeRuntime]], tensors: Any, quantized: bool
) -> None:
    assert opened([(1, 8, 9, 3)], [(1, 3)], tensors=tensors)[0].quantized is quantized


def test_a_runner_that_contradicts_the_card_is_closed(tiny_model: TinyModel) -> None:
    closed: list[bool] = []

    class Runner(Interpreter):
        def close(self) -> None:
            closed.append(True)

    with pytest.raises(ModelFormatError, match="3 labels, 4 outputs"):
        Classifier(tiny_model(labels=("red", "green", "blue")), runner=Runner)
    assert closed == [True]
    assert Classifier(tiny_model(), runner=Runner).quantized
    assert not Classifier(tiny_model("float32"), runner=Runner).quantized
    assert closed == [True]


def test_threads_are_all_cores_unless_told_otherwise(
    tiny_model: TinyModel,
    opened: Callable[..., tuple[Interpreter, FakeRuntime]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Classifier(tiny_model(), threads=3).threads == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(2 if process == 0 else 5))  # of this one
    assert Classifier(tiny_model()).threads == 2
    assert opened([(1, 8, 9, 3)], [(1, 3)])[1].asked["num_threads"] == 2


def test_a_runtime_that_is_not_there_is_named_with_how_to_get_it(tiny_model: TinyModel) -> None:
    with pytest.raises(RuntimeMissingError, match="pip install tflite-runtime"):
        Classifier(tiny_model(), runtime="tflite-runtime")
    with pytest.raises(RuntimeMissingError, match="'onnx'"):
        Classifier(tiny_model(), runtime="onnx")  # type: ignore[arg-type]
