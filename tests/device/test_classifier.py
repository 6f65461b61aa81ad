from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_core import Frame, InputSpec, preprocess
from edge_core.artifact.container import complete, read_card
from edge_core.errors import ModelFormatError, RuntimeMissingError
from edge_device.inference.classifier import Classifier, top
from edge_device.inference.interpreter import Interpreter
from edge_device.results import Prediction

MODELS = Path(__file__).parents[1] / "models"
TinyModel = Callable[..., Path]
kinds = pytest.mark.parametrize("kind", ["uint8", "float32"])


@kinds
def test_a_frame_gets_the_label_of_its_colour(
    tiny_model: TinyModel, colour_frames: dict[str, Frame], kind: str
) -> None:
    """Right labels mean that the channels are in order, the levels in scale and the scores dequantised."""
    classifier = Classifier(tiny_model(kind))
    for label, frame in colour_frames.items():
        best = classifier.classify(frame, 4)
        assert best[0].label == label
        assert best[0].score > (0.6 if label == "dark" else 0.99)
        assert sum(one.score for one in best) == pytest.approx(1, abs=0.01)


@kinds
def test_a_model_that_takes_bgr_gets_bgr(tiny_model: TinyModel, colour_frames: dict[str, Frame], kind: str) -> None:
    """The tiny model takes RGB; told the opposite, it must mistake red for blue."""
    classifier = Classifier(tiny_model(kind, spec=InputSpec(32, 32, color_order="BGR")))
    assert classifier.classify(colour_frames["red"])[0].label == "blue"


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


def test_the_two_tiny_models_agree(tiny_model: TinyModel) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    quantised, full = (Classifier(tiny_model(kind)).scores(frame)[0] for kind in ("uint8", "float32"))
    assert quantised == pytest.approx(full, abs=0.05)


def test_results_do_not_change_with_later_frames(tiny_model: TinyModel, colour_frames: dict[str, Frame]) -> None:
    classifier = Classifier(tiny_model())
    first, _ = classifier.scores(colour_frames["red"])
    kept = first.copy()
    classifier.scores(colour_frames["blue"])
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
    with pytest.raises(ModelFormatError, match=r"cannot be loaded by ai-edge-litert"):
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


def test_a_runtime_that_is_not_there_is_named_with_how_to_get_it(tiny_model: TinyModel) -> None:
    with pytest.raises(RuntimeMissingError, match="pip install tflite-runtime"):
        Classifier(tiny_model(), runtime="tflite-runtime")
    with pytest.raises(RuntimeMissingError, match="'onnx'"):
        Classifier(tiny_model(), runtime="onnx")  # type: ignore[arg-type]
