"""What conversion writes, proves and refuses."""

import json
import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT

from edge_convert import export as export_module
from edge_convert.export import ConversionOptions, ExportSession, export, read_calibration
from edge_convert.gate.candidate import Exported, pi_verdict
from edge_convert.gate.gate_comparison import Scored
from edge_convert.gate.limits import Limits
from edge_convert.quantize.recipes import RECIPES
from edge_core.artifact.container import read_card
from edge_core.errors import CheckFailedError, DatasetError, OutputError, RunFolderError
from edge_core.images import read_picture
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_core.run_folder import Run, read_held_out, read_run
from edge_device import Classifier
from edge_device.inference.verify import verify
from edge_device.teaching.lesson import Lesson, TeachSettings
from edge_device.teaching.teach import teach
from edge_device.teaching.write import write_taught
from edge_keras.kept_scores import pixels_name, write_scores
from edge_keras.tf import keras

from ..further import slow_but

SPEC = InputSpec(48, 48)


@pytest.fixture(
    scope="module",
    params=slow_but((name for name in RECIPES if name != "int8-qat"), {"int8", "int8-selective", "float16"}),
)
def exported(request: pytest.FixtureRequest, small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    out = tmp_path_factory.mktemp("exported") / f"colors-{request.param}.tflite"
    return export(small_run, request.param, out, limits=Limits(max_drop=100))


def test_an_artifact_takes_raw_pixels_one_picture_at_a_time(exported: Exported) -> None:
    interpreter = LiteRT(str(exported.file))
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert list(entry["shape"]) == list(entry["shape_signature"]) == [1, 48, 48, 3]
    if "int8-selective" in exported.file.name:
        assert entry["dtype"] == result["dtype"] == np.uint8
    elif "int8" in exported.file.name:
        assert entry["dtype"] == result["dtype"] == np.uint8
        scale, zero_point = entry["quantization"]
        assert scale == pytest.approx(2 / 255, rel=1e-3)
        assert zero_point in (127, 128)
        names = {operator["op_name"] for operator in interpreter._get_ops_details()}
        assert not names & {"DEQUANTIZE", "MUL", "SUB"}
        quantize = [operator for operator in interpreter._get_ops_details() if operator["op_name"] == "QUANTIZE"]
        assert len(quantize) == 2, "uint8 to int8 and back, which the converter adds; nothing else"
    else:
        assert entry["dtype"] == result["dtype"] == np.float32


def test_an_artifact_says_what_the_full_size_model_says(exported: Exported, small_run: Run) -> None:
    assert exported.comparison.photos == len(small_run.splits["test"])
    assert exported.comparison.agreement.value == 1.0
    classifier = Classifier(exported.file)
    photo = small_run.splits["test"][0]
    assert classifier.classify(read_picture(photo.path))[0].label == photo.label


def test_kept_scores_stand_for_the_full_size_model_as_far_as_it_confirms_them(
    small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read_run(shutil.copytree(small_run.folder, tmp_path / "run"))
    names = [pixels_name(pixels) for pixels in read_held_out(run, lambda _, frame: preprocess(frame, SPEC)).values]
    told = np.eye(3, dtype=np.float32)[[2 - ["blue", "green", "red"].index(one.label) for one in run.splits["test"]]]
    write_scores(run.folder, names, told)  # wrong of all but the green ones

    def agreement() -> float:
        session = ExportSession(run)
        return session.try_recipe("float32", Limits(max_drop=100)).comparison.agreement.value

    assert agreement() == 1.0  # the model was asked, and says something else
    monkeypatch.setattr("edge_keras.kept_scores.TOLERANCE", 2.0)
    assert agreement() < 1.0  # what was kept counts


def test_the_card_and_the_report_tell_what_was_done(exported: Exported, small_run: Run) -> None:
    card = read_card(exported.file)
    assert (card.labels, card.input, card.backbone) == (
        small_run.card.labels,
        small_run.card.input,
        small_run.card.backbone,
    )
    assert card.conversion["recipe"] in exported.file.name
    assert card.metrics["test_accuracy"] == exported.comparison.converted
    assert card.metrics["full_size_test_accuracy"] == exported.comparison.full_size
    report = json.loads(exported.report.read_text())
    assert report["size_bytes"] == exported.file.stat().st_size == exported.size_bytes
    assert report["comparison"]["difference"]["value"] == exported.comparison.difference.value
    assert exported.report.name == exported.file.stem + ".report.json"
    text = exported.page.read_text()
    assert "Photos whose label changed" in text
    opening = pi_verdict(exported.candidate, exported.limits)
    assert opening.startswith("Good to use on a Pi") and opening.endswith(".")
    first = re.search(r"<h2[^>]*>(.*?)</h2>\s*<p>(.*?)</p>", text, re.DOTALL)
    assert first is not None and (first[1], unescape(first[2])) == ("Is it good to use?", opening)
    refused = pi_verdict(replace(exported.candidate, missed={"accuracy": "it lost 3 points"}), exported.limits)
    assert refused == "Not good to use on a Pi: it lost 3 points."
    assert list(exported.file.parent.iterdir()) and len(list(exported.file.parent.iterdir())) == 3


def test_a_file_of_each_recipe_can_be_taught_another_label(exported: Exported) -> None:
    frames = [np.full((60, 60, 3), (230, 225, 220 - seed), np.uint8) for seed in range(4)]
    taught = teach(exported.file, Lesson({"white": frames}), TeachSettings(cuts=1, min_right=0, max_loss=100))
    out = exported.file.parent / "taught" / exported.file.name
    out.parent.mkdir()
    write_taught(taught, out)
    assert verify(out).passed
    assert read_card(out).labels == (*read_card(exported.file).labels, "white")
    assert Classifier(out).classify(frames[0])[0].label == "white"
    shutil.rmtree(out.parent)


def wrong_colors(pixels: Frame) -> Scored:
    return Scored(np.tile(np.array([[0.0, 0.0, 1.0]], np.float32), (len(pixels), 1)), 1.0)


def test_a_loss_is_refused_and_nothing_is_written(
    small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate's own view of the artifact is replaced by a constant answer; the rest is real."""
    monkeypatch.setattr(export_module, "artifact_scores", lambda classifier, pixels, track: wrong_colors(pixels))
    with pytest.raises(CheckFailedError, match="Nothing was written"):
        export(small_run, "float32", tmp_path / "lossy.tflite")
    assert list(tmp_path.iterdir()) == []
    forced = export(small_run, "float32", tmp_path / "lossy.tflite", force=True)
    assert read_card(forced.file).conversion["within_max_drop"] is False


def test_the_same_run_gives_the_same_bytes(exported: Exported, small_run: Run, tmp_path: Path) -> None:
    recipe = exported.candidate.recipe
    again = export(small_run, recipe, tmp_path / exported.file.name, limits=Limits(max_drop=100))
    assert again.file.read_bytes() == exported.file.read_bytes()


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(max_size_kb=1), "--max-size-kb is 1"),
        (Limits(max_latency_ms=1e-6), "--max-latency-ms is 1e-06"),
        (Limits(targets=("coral",)), "--recipe int8 gives a file that it takes"),
        (Limits(strict=True), "about [0-9]+ would tell"),
    ],
)
def test_a_limit_that_is_missed_is_said_and_nothing_is_written(
    small_run: Run, tmp_path: Path, limits: Limits, said: str
) -> None:
    with pytest.raises(CheckFailedError, match=said):
        export(small_run, "float16", tmp_path / "a.tflite", limits=limits)
    assert not list(tmp_path.iterdir())


def test_int8_qat_needs_weights_trained_for_it(small_run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="--qat"):
        export(small_run, "int8-qat", tmp_path / "a.tflite")


def test_weights_trained_to_be_rounded_are_converted_and_the_full_size_model_is_the_measure(
    small_run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(small_run.folder, folder)
    model = keras.models.load_model(folder / "model.keras")
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel[:, [1, 2, 0]], bias])  # so that it is known by its mistakes
    model.save(folder / "quantised.keras")
    done = export(read_run(folder), "int8", tmp_path / "a.tflite", limits=Limits(max_drop=100))
    assert read_card(done.file).conversion["recipe"] == "int8-qat"
    assert (done.comparison.full_size.value, done.comparison.converted.value) == (1.0, 0.0)
    assert export(read_run(folder), "float16", tmp_path / "b.tflite").comparison.agreement.value == 1.0


def test_other_calibration_photos_are_taken(small_run: Run, color_photos: Path, tmp_path: Path) -> None:
    done = export(
        small_run,
        "int8",
        tmp_path / "a.tflite",
        limits=Limits(max_drop=100),
        options=ConversionOptions(calibration=color_photos),
    )
    assert read_card(done.file).conversion["calibration"] == color_photos.name
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(DatasetError):
        export(small_run, "int8", tmp_path / "b.tflite", options=ConversionOptions(calibration=tmp_path / "empty"))
    assert not (tmp_path / "b.tflite").exists()


@pytest.mark.parametrize("damage", ["truncated", "replaced"])
def test_a_damaged_model_is_one_clear_error(small_run: Run, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("card.json", "photos.csv"):
        (copy / name).write_bytes((small_run.folder / name).read_bytes())
    data = small_run.model_file.read_bytes()
    (copy / "model.keras").write_bytes(data[: len(data) // 2] if damage == "truncated" else b"no model at all")
    with pytest.raises(RunFolderError, match="cannot be loaded"):
        export(read_run(copy), "float32", tmp_path / "a.tflite")


def test_the_output_must_be_a_tflite(small_run: Run, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"ends in \.tflite"):
        export(small_run, "int8", tmp_path)


@pytest.mark.parametrize("max_drop", [float("nan"), -1.0, 101.0])
def test_a_limit_that_is_none_is_refused(small_run: Run, tmp_path: Path, max_drop: float) -> None:
    with pytest.raises(ValueError, match="0 to 100 points"):
        export(small_run, "float32", tmp_path / "a.tflite", limits=Limits(max_drop=max_drop))


def test_test_photos_are_not_calibrated_on(small_run: Run, color_photos: Path) -> None:
    calibrated_on = {photo.sha256 for photo in read_calibration(small_run, color_photos).photos}
    assert calibrated_on
    assert not calibrated_on & {photo.sha256 for photo in small_run.splits["test"]}


def test_photos_that_are_gone_are_listed(small_run: Run, tmp_path: Path) -> None:
    gone = replace(small_run.splits["test"][0], path=tmp_path / "gone.jpg")
    changed = replace(small_run.splits["test"][1], path=small_run.splits["train"][0].path)
    run = replace(small_run, splits=small_run.splits | {"test": [gone, changed, *small_run.splits["test"][2:]]})
    done = export(run, "float32", tmp_path / "a.tflite")
    assert {item.path for item in done.unusable} == {gone.path, changed.path}
    assert done.comparison.photos == len(small_run.splits["test"]) - 2


def test_a_copy_in_the_test_data_counts_once_and_a_contradiction_not_at_all(
    small_run: Run, color_photos: Path, tmp_path: Path
) -> None:
    data = tmp_path / "photos"
    shutil.copytree(color_photos, data)
    one, other = small_run.splits["test"][:2]
    shutil.copy(one.path, data / one.label / "copy.png")
    wrong = next(label for label in small_run.card.labels if label != other.label)
    shutil.copy(other.path, data / wrong / "contradiction.png")
    held_out = read_held_out(small_run, lambda _, frame: None, data)
    assert len(held_out.photos) == len(small_run.splits["test"]) - 1
    assert other.sha256 not in {photo.sha256 for photo in held_out.photos}


def test_no_report_is_written_without_its_file(small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk."""

    write_bytes = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.is_relative_to(tmp_path):
            raise OSError(28, "No space left on device")
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space"):
        export(small_run, "float32", tmp_path / "out" / "a.tflite")
    assert not list(tmp_path.glob("out/*"))
