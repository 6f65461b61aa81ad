"""The pictures and the page of a run."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_core.artifact.card import Dataset, ModelCard
from edge_core.data.photo_folder import Photo
from edge_core.preprocess import InputSpec, preprocess
from edge_core.run_folder import Run, read_held_out
from edge_keras.kept_scores import TOLERANCE, find_scores, pixels_name
from edge_train.evaluation.evaluate import open_model, scores_of
from edge_train.evaluation.history import Epoch
from edge_train.evaluation.metrics import evaluate_scores
from edge_train.evaluation.run_report import write_run_report

HOSTILE = ("<script>alert(1)</script>", 'a"b & $x_1$', "日本 $", "😀", "x" * 200, "tab\there")


def test_a_run_has_its_report(color_run: Run) -> None:
    text = (color_run.folder / "report.html").read_text("utf-8")
    assert color_run.card.metrics["test_accuracy"].percent() in text
    figures = json.loads((color_run.folder / "evaluation.json").read_text("utf-8"))
    assert figures["photos"] == len(color_run.splits["test"])
    assert 0 <= figures["expected_calibration_error"] <= 1
    assert [one["label"] for one in figures["classes"]] == list(color_run.card.labels)
    assert [one["height"] for one in figures["subject_sizes"]] == [0.6, 0.4, 0.3, 0.2]
    assert "Small in the frame" in text


def test_a_run_keeps_what_its_model_says_of_the_test_photos(color_run: Run) -> None:
    pixels = read_held_out(color_run, lambda _, frame: preprocess(frame, color_run.card.input)).values
    kept = find_scores(color_run.folder, [pixels_name(photo) for photo in pixels])
    assert kept is not None
    np.testing.assert_allclose(scores_of(open_model(color_run), np.stack(pixels)), kept, atol=TOLERANCE)


@pytest.mark.parametrize("right", [True, False])
def test_any_label_and_any_result_can_be_shown(tmp_path: Path, right: bool) -> None:
    """Labels that are markup or formulas, a class without photos, no mistakes or nothing but mistakes."""
    photos = [Photo(tmp_path / f"{number}'<b>.png", HOSTILE[number % 2], "") for number in range(4)]
    for photo in photos:
        cv2.imwrite(str(photo.path), np.full((20, 30, 3), 99, np.uint8))
    photos[3] = replace(photos[3], path=Path("gone\udc80.png"))
    own = np.array([[0.8, 0.1, 0.1, 0, 0, 0], [0.1, 0.8, 0.1, 0, 0, 0]] * 2, np.float32)
    evaluation = evaluate_scores(own if right else own[:, [1, 0, 2, 3, 4, 5]], photos, HOSTILE)
    dataset = Dataset("<i>", {split: dict.fromkeys(HOSTILE, 1) for split in ("train", "val", "test")}, "", 1)
    card = ModelCard(labels=HOSTILE, input=InputSpec(16, 16), dataset=dataset, training={"label_smoothing": 0.1})
    history = [Epoch("head", 0, 1.0, float("nan"), 0.5, 0.5, True)]
    write_run_report(tmp_path, card, history, evaluation, [np.zeros((16, 16, 3), np.uint8)] * 6, HOSTILE)
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    for name in ("curves", "classes", "confusion", "reliability", "samples"):
        assert cv2.imread(str(tmp_path / f"{name}.png")) is not None
    assert (tmp_path / "mistakes.png").is_file() != right
