"""Scores and familiarity in LiteRT.js are those of the device, and the self-test names the stage that differs."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_core import Frame, ModelCard, complete
from edge_core.artifact.golden import GoldenFrame, GoldenVectors, read_golden
from edge_core.artifact.seal import seal
from edge_core.codec import JsonObject
from edge_core.images import decode_picture
from edge_device.inference.classifier import Classifier

from ...conftest import LABELS, MODELS
from .known_models import SPEC, known_model, taught_detector
from .node_engine import ENGINE, NodeEngine


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    rng = np.random.default_rng(0)
    mixed = [(np.array(rng.dirichlet((0.4, 0.4, 0.4))) * 255).astype(np.uint8) for _ in range(24)]
    noise = rng.integers(0, 60, (24, 41, 57, 3), np.uint8)
    return [np.minimum(255, one + color.astype(int)).astype(np.uint8) for one, color in zip(noise, mixed, strict=True)]


def asked_of(frames: list[Frame], folder: Path) -> JsonObject:
    path = folder / "frames"
    path.write_bytes(b"".join(frame[:, :, ::-1].tobytes() for frame in frames))
    return {"frames": path, "cases": [{"width": one.shape[1], "height": one.shape[0]} for one in frames]}


@pytest.mark.parametrize(("kind", "most"), [("uint8", 0.0), ("float32", 1e-5)])
@pytest.mark.parametrize("files", [{}, {"familiarity/2.bin": "taught"}], ids=["", "taught"])
def test_scores_and_familiarity_are_those_of_the_device(
    running_engine: NodeEngine,
    frames: list[Frame],
    color_frames: dict[str, Frame],
    kind: str,
    most: float,
    files: Mapping[str, str],
    tmp_path: Path,
) -> None:
    content = {name: taught_detector(kind).to_bytes() for name in files}
    path = known_model(tmp_path / "known.tflite", color_frames, kind, files=content)
    classifier = Classifier(path)
    answers = running_engine.ask("scores", path=path, **asked_of(frames, tmp_path))
    familiarities = []
    for frame, answer in zip(frames, answers, strict=True):
        look, scores = classifier.look(frame, 3), classifier.scores(frame)[0]
        assert np.abs(np.array(answer["scores"], np.float32) - scores).max() <= most
        assert [one["label"] for one in answer["predictions"]] == [one.label for one in look.predictions]
        assert answer["familiarity"] == pytest.approx(look.familiarity, abs=max(1e-12, most))
        assert answer["known"] == look.known
        familiarities.append(answer["familiarity"])
    assert len(set(familiarities)) > len(frames) // 2  # it tells them apart


def decoded(golden: GoldenVectors, folder: Path) -> list[JsonObject]:
    """The golden frames, decoded here: node has no decoder of pictures."""
    told = []
    for index, one in enumerate(golden.frames):
        frame = decode_picture(one.jpeg)
        path = folder / f"{index}.rgb"
        path.write_bytes(frame[:, :, ::-1].tobytes())
        told.append({"path": path, "width": frame.shape[1], "height": frame.shape[0]})
    return told


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_the_self_test_passes_where_nothing_differs(
    running_engine: NodeEngine, color_frames: dict[str, Frame], kind: str, tmp_path: Path
) -> None:
    path = known_model(tmp_path / "known.tflite", color_frames, kind)
    found = running_engine.ask("selfTest", path=path, decoded=decoded(read_golden(path), tmp_path))
    assert (found["passed"], found["stage"], found["reason"], found["frames"]) == (True, None, "", len(color_frames))
    assert found["largestDifference"] <= 1e-5


def test_the_self_test_names_a_decoder_that_differs(
    running_engine: NodeEngine, color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    path = known_model(tmp_path / "known.tflite", color_frames)
    told = decoded(read_golden(path), tmp_path)
    pixels = bytearray(Path(told[2]["path"]).read_bytes())
    pixels[7] ^= 1
    Path(told[2]["path"]).write_bytes(pixels)
    found = running_engine.ask("selfTest", path=path, decoded=told)
    assert (found["passed"], found["stage"]) == (False, "decode")
    assert "golden/2.jpg" in found["reason"]


@pytest.mark.parametrize(
    ("code", "instead"), [("PAD_LEVEL = 127", "PAD_LEVEL = 126"), ("+ step] + 2) >> 2", "+ step] + 1) >> 2")]
)
def test_the_self_test_names_preprocessing_that_differs(
    running_engine: NodeEngine, color_frames: dict[str, Frame], code: str, instead: str, tmp_path: Path
) -> None:
    noisy = {
        name: np.clip(frame + np.random.default_rng(1).integers(-9, 9, frame.shape), 0, 255).astype(np.uint8)
        for name, frame in color_frames.items()
    }
    path = known_model(tmp_path / "known.tflite", noisy)
    shutil.copytree(ENGINE, tmp_path / "engine")
    module = tmp_path / "engine" / "preprocess.js"
    assert code in module.read_text()
    module.write_text(module.read_text().replace(code, instead))
    told = decoded(read_golden(path), tmp_path)
    found = running_engine.ask("selfTest", path=path, decoded=told, engine=tmp_path / "engine")
    assert (found["passed"], found["stage"]) == (False, "preprocess")


@pytest.mark.parametrize("scores", [(0.5, 0.1, 0.2, 0.2), (0.5, 0.5)], ids=["others", "fewer"])
def test_the_self_test_names_a_runtime_that_differs(
    running_engine: NodeEngine, color_frames: dict[str, Frame], scores: tuple[float, ...], tmp_path: Path
) -> None:
    golden = read_golden(known_model(tmp_path / "known.tflite", color_frames))
    changed: tuple[GoldenFrame, ...] = (replace(golden.frames[0], scores=scores), *golden.frames[1:])
    path = tmp_path / "changed.tflite"
    model = (MODELS / "tiny-uint8.tflite").read_bytes()
    path.write_bytes(seal(complete(model, ModelCard(LABELS, SPEC), "colors"), replace(golden, frames=changed)))
    found = running_engine.ask("selfTest", path=path, decoded=decoded(golden, tmp_path))
    assert (found["passed"], found["stage"]) == (False, "invoke")
    assert "golden/0.jpg" in found["reason"]


def test_the_self_test_notices_a_runtime_that_loses_the_last_bits(
    running_engine: NodeEngine, frames: list[Frame], tmp_path: Path
) -> None:
    path = known_model(tmp_path / "known.tflite", {str(index): frame for index, frame in enumerate(frames[:8])})
    shutil.copytree(ENGINE, tmp_path / "engine")
    module = tmp_path / "engine" / "classifier.js"  # where the runtime gets its pixels
    code = "Float32Array.from(pixels) : pixels;"
    assert code in module.read_text()
    module.write_text(
        module.read_text().replace(code, "Float32Array.from(pixels) : pixels.map((level) => level & 0xf8);")
    )
    told = decoded(read_golden(path), tmp_path)
    found = running_engine.ask("selfTest", path=path, decoded=told, engine=tmp_path / "engine")
    assert (found["passed"], found["stage"]) == (False, "invoke"), found
    assert 2 / 255 < found["largestDifference"] < 40 / 255, "what any other runtime would be forgiven"
