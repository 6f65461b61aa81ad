"""Precision, recall, F1 and calibration against values worked out by hand."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from edge_core.artifact.card import Dataset, ModelCard
from edge_core.data.photo_folder import Photo
from edge_core.preprocess import InputSpec
from edge_core.statistics import mean_share
from edge_train.data.class_balance import headline, imbalance_warning
from edge_train.evaluation.metrics import class_scores, evaluate_scores, reliability
from edge_train.evaluation.training_plots import classes, confusion


def test_precision_recall_and_f1_are_those_of_the_confusion_matrix() -> None:
    first, second, third = class_scores(np.array([[8, 2, 0], [1, 4, 0], [0, 0, 0]]), ["a", "b", "c"])
    assert (first.photos, first.predicted) == (10, 9)
    assert first.precision and first.recall and first.f1
    assert first.precision.value == pytest.approx(8 / 9)
    assert first.recall.value == pytest.approx(8 / 10)
    assert first.f1.value == pytest.approx(2 * 8 / (2 * 8 + 1 + 2))
    assert second.f1 and second.f1.value == pytest.approx(8 / 11)
    assert (third.precision, third.recall, third.f1) == (None, None, None)


def test_the_interval_of_f1_holds_the_truth_about_95_times_in_100() -> None:
    """2,000 draws of a test set of 150 photos; the true F1 follows from the probabilities."""
    rng = np.random.default_rng(0)
    cells = np.array([0.35, 0.10, 0.05, 0.50])  # right, missed, wrongly taken for it, neither
    truth = 2 * cells[0] / (2 * cells[0] + cells[1] + cells[2])
    held = 0
    for right, missed, wrong, neither in rng.multinomial(150, cells, size=2000):
        f1 = class_scores(np.array([[right, missed], [wrong, neither]]), ["a", "b"])[0].f1
        assert f1
        held += f1.low <= truth <= f1.high
    assert 0.93 < held / 2000 < 0.97


def test_a_plot_of_many_classes_has_as_few_parts_as_one_of_three() -> None:
    labels = [f"class {number}" for number in range(400)]
    scores = class_scores(np.eye(400, dtype=int), labels)
    evaluation = Mock(classes=lambda: scores, confusion=np.eye(400, dtype=int), labels=labels)
    evaluation.accuracy.percent.return_value = "100 %"
    evaluation.judged = scores
    for plot in (classes, confusion):
        (axes,) = plot(evaluation).axes
        assert len(axes.collections) < 10
        assert 100 < len(axes.get_yticklabels()) <= 150


def test_calibration_error_is_the_mean_distance_of_score_and_accuracy() -> None:
    scores = np.array([0.9, 0.9, 0.9, 0.9, 0.55, 0.55])
    correct = np.array([True, True, True, False, True, False])
    bins, error = reliability(scores, correct, bins=10)
    assert [(one.photos, one.accuracy.value) for one in bins] == [(2, 0.5), (4, 0.75)]
    assert error == pytest.approx((4 * 0.15 + 2 * 0.05) / 6)


def test_bins_reach_from_above_their_lower_bound_to_their_upper_one() -> None:
    bins, _ = reliability(np.array([0.0, 0.5, 0.5001, 1.0]), np.ones(4, bool), bins=2)
    assert [one.photos for one in bins] == [2, 2]
    assert [(one.low, one.high) for one in bins] == [(0.0, 0.5), (0.5, 1.0)]


def test_a_model_that_always_says_the_large_class_is_seen_through() -> None:
    photos = [
        Photo(Path(f"{number}.jpg"), "a" if number < 90 else "b" if number < 98 else "c", "") for number in range(100)
    ]
    always = evaluate_scores(np.tile(np.array([[0.8, 0.1, 0.1]], np.float32), (100, 1)), photos, ["a", "b", "c"])
    assert always.accuracy.value == 0.9
    assert always.majority == ("a", 0.9)
    assert always.balanced_accuracy.value == pytest.approx(1 / 3)
    assert always.balanced_accuracy.high > 0.5  # two photos of c, all wrong, do not prove much
    counts = {"train": {"a": 700, "b": 60, "c": 4}, "test": {"a": 90, "b": 8, "c": 2}}
    metrics = {"test_accuracy": always.accuracy, "test_balanced_accuracy": always.balanced_accuracy}
    card = ModelCard(("a", "b", "c"), InputSpec(8, 8), None, Dataset("", counts, "", 1), metrics)
    told = headline(card)
    assert "test accuracy 90.0 %" in told
    assert "each class counting the same 33.3 %" in told
    assert "always saying 'a' would be right in 90.0 %" in told


def test_classes_of_equal_size_need_no_warning() -> None:
    assert imbalance_warning({"a": 299, "b": 100}) == ""
    assert imbalance_warning({"a": 300, "b": 500, "c": 100}).startswith("'b' has 500 photos, 'c' 100: ")


def test_the_interval_of_balanced_accuracy_holds_the_truth_about_95_times_in_100() -> None:
    """2,000 draws of test sets with 60, 20 and 5 photos of three classes."""
    rng = np.random.default_rng(0)
    counts, recalls = (60, 20, 5), (0.95, 0.8, 0.6)
    held = 0
    for right in zip(
        *(rng.binomial(count, recall, 2000) for count, recall in zip(counts, recalls, strict=True)), strict=True
    ):
        confusion = np.zeros((3, 3), np.int64)
        for number, count in enumerate(counts):
            confusion[number, number], confusion[number, number - 1] = right[number], count - right[number]
        found = mean_share([one.recall for one in class_scores(confusion, "abc") if one.recall])
        held += found.low <= sum(recalls) / 3 <= found.high
    assert 0.93 < held / 2000 < 0.985
