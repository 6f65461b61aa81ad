import numpy as np
import pytest

from edge_bench.results.accuracy import bootstrap, compare, measure_accuracy, resampled
from edge_train.evaluation.metrics import reliability

LABELS = ("a", "b", "c", "d", "e", "f")


def random_scores(photos: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    scores = np.random.default_rng(seed).dirichlet(np.full(len(LABELS), 0.5), photos)
    return scores.astype(np.float32)


def test_every_figure_is_that_of_brute_force() -> None:
    truth = np.random.default_rng(1).integers(0, 5, 200)  # no photo shows f
    scores = random_scores(200, 0)
    found = measure_accuracy(scores, truth, LABELS)
    predicted = scores.argmax(1)
    assert found.predicted == tuple(predicted) and found.top1.value == np.mean(predicted == truth)
    assert found.top5 is not None
    assert found.top5.value == np.mean(
        [label in np.argsort(row)[-5:] for row, label in zip(scores, truth, strict=True)]
    )
    f1 = []
    for label in range(5):
        hits = np.sum((truth == label) & (predicted == label))
        f1.append(2 * hits / (np.sum(truth == label) + np.sum(predicted == label)))
    assert found.macro_f1.value == pytest.approx(np.mean(f1))
    error = reliability(scores.max(1).astype(np.float64), predicted == truth)[1]
    assert found.calibration_error.value == pytest.approx(error, abs=1e-6)
    assert sum(sum(row) for row in found.confusion) == 200
    assert [one.photos for one in found.classes] == [int(np.sum(truth == label)) for label in range(6)]
    for estimate in (found.top1, found.top5, found.macro_f1, found.calibration_error):
        assert estimate.low < estimate.value < estimate.high or estimate.low <= estimate.value <= estimate.high


def test_five_labels_have_no_top_5() -> None:
    assert measure_accuracy(np.eye(5, dtype=np.float32), np.arange(5), LABELS[:5]).top5 is None


def test_a_perfect_model_is_perfect_without_a_warning() -> None:
    found = measure_accuracy(np.eye(6, dtype=np.float32), np.arange(6), LABELS)
    assert (found.macro_f1.value, found.macro_f1.low, found.calibration_error.value) == (1, 1, 0)


def test_the_bootstrap_is_the_same_every_time_and_about_as_wide_as_theory_says() -> None:
    right = np.random.default_rng(0).random(400) < 0.8
    first, second = (bootstrap(lambda weights: weights @ right / weights.sum(1), resampled(400)) for _ in range(2))
    assert first == second and first.value == right.mean()
    assert first.high - first.low == pytest.approx(2 * 1.96 * np.sqrt(0.16 / 400), rel=0.15)


def test_a_difference_counts_what_was_won_and_lost() -> None:
    truth = np.array([0, 1, 2, 3])
    expected = np.eye(6, dtype=np.float32)[[0, 1, 0, 0]]
    scores = np.eye(6, dtype=np.float32)[[0, 5, 2, 3]]
    found = compare(scores, expected, truth)
    assert (found.won, found.lost, found.top1.value, found.agreement.value) == (2, 1, 0.25, 0.25)
    assert found.mcnemar_p == 1
