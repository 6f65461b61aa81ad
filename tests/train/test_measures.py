"""Precision, recall, F1 and calibration against values worked out by hand."""

import numpy as np
import pytest

from edge_train.evaluation.metrics import class_scores, reliability


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
