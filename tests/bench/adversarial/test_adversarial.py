"""Rows under attack: the same pictures for all, squares that keep to their budget, and figures that mean what they
say."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_bench.adversarial.attack_output import FILES, check_out, print_report, write_report
from edge_bench.adversarial.attack_plot import curves_png
from edge_bench.adversarial.attack_report import COARSE, AdversarialReport, AttackSettings, curve, mean_gain
from edge_bench.adversarial.attack_rows import attack_models, sign_noise
from edge_bench.cli import app
from edge_bench.perturb.square_attack import in_steps, queries_to_fool, square_attack
from edge_bench.results.accuracy import Scores
from edge_core.errors import OutputError, RunFolderError
from edge_core.preprocess import Frame
from edge_core.statistics import accuracy, paired_difference

from ..conftest import SPLITS, Tiny

LARGE, SMALL = 120, 8
"""In a photo of the tiny run the right channel is 100 levels ahead: too many for 8 levels, few enough for 120."""


@pytest.fixture(scope="module")
def attacked(tiny: Tiny) -> AdversarialReport:
    settings = AttackSettings(("pgd", "square"), (SMALL, LARGE), photos=99, steps=5, square_photos=3, queries=200)
    return attack_models([tiny.run, tiny.same, tiny.swapped], settings=settings)


def values(report: AdversarialReport, row: int, attack: str) -> list[float]:
    return [point.accuracy.value for point in report.rows[row].curves[attack].points]


@pytest.mark.slow
def test_what_a_small_budget_leaves_a_large_one_takes_and_noise_of_its_size_does_not(
    attacked: AdversarialReport,
) -> None:
    clean = values(attacked, 0, "pgd")[0]
    assert 0 < clean < 1  # some photos are mislabeled
    assert values(attacked, 0, "pgd")[:2] == [clean, clean]
    assert values(attacked, 0, "pgd")[2] < 0.5
    assert values(attacked, 0, "noise") == [clean, clean, clean]


@pytest.mark.slow
def test_a_file_that_computes_the_same_is_fooled_by_the_same(attacked: AdversarialReport) -> None:
    names = [row.name for row in attacked.rows]
    assert names == ["run (Keras)", f"run (Keras){COARSE}", "tiny-same", "tiny-swapped"]
    for attack in ("noise", "pgd"):
        assert values(attacked, 2, attack) == values(attacked, 0, attack)
        assert (
            (change := attacked.rows[2].curves[attack].difference)
            and change.value == 0
            and change.low < 0 < change.high
        )
    assert attacked.rows[0].curves["pgd"].difference is None


@pytest.mark.slow
def test_a_row_is_judged_by_what_it_says_itself(attacked: AdversarialReport) -> None:
    """Red and green are swapped: of the photos only blue ones are right, and those that are labeled wrong."""
    right, clean = values(attacked, 3, "pgd")[0], values(attacked, 0, "pgd")[0]
    assert right < clean
    assert attacked.rows[2].curves["pgd"].verdict.startswith("no difference shown: +0.0 points")


@pytest.mark.slow
def test_squares_fool_what_has_a_large_budget_and_the_coarse_row_has_no_other_curve(
    attacked: AdversarialReport,
) -> None:
    assert attacked.rows[1].curves.keys() == {"square"}
    for row in (0, 1, 2):
        found = attacked.rows[row].curves["square"]
        assert found.photos == 3
        assert found.points[1].accuracy == found.points[0].accuracy  # 8 levels are too few
        assert found.queries[0] is None
    assert values(attacked, 0, "square")[2] < values(attacked, 0, "square")[0]


@pytest.mark.slow
def test_photos_that_the_run_tests_on_are_those_attacked(attacked: AdversarialReport) -> None:
    assert attacked.rows[0].curves["pgd"].photos == 3 * len(SPLITS["test"])
    assert attacked.left_out == 0 and attacked.made_against == "run"


@pytest.mark.slow
def test_files_and_json_tell_the_same(
    attacked: AdversarialReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    write_report(attacked, out)
    write_report(attacked, out)  # an earlier one gives way
    assert {path.name for path in out.iterdir()} == FILES
    written = json.loads((out / "robustness.json").read_text("utf-8"))
    assert [row["name"] for row in written["rows"]] == [row.name for row in attacked.rows]
    assert str(tmp_path.parent) not in json.dumps(written)
    rows = (out / "robustness.csv").read_text("utf-8").splitlines()
    assert len(rows) == 1 + 3 * (3 * 3) + 3  # three rows under noise, PGD and squares, and the coarse one
    page = (out / "robustness.html").read_text("utf-8")
    assert "tiny-swapped" in page and "no difference shown" in page and "<script" not in page
    print_report(attacked)
    told = capsys.readouterr().out
    assert "PGD, 5 steps, made against run and shown to all rows; 21 photos" in told
    assert "tiny-same: no difference shown: +0.0 points" in told


@pytest.mark.slow
def test_the_plot_is_one_without_attacks_too(attacked: AdversarialReport) -> None:
    assert cv2.imdecode(np.frombuffer(curves_png(attacked), np.uint8), cv2.IMREAD_COLOR) is not None


def test_somebody_elses_folder_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text("{}", "utf-8")
    with pytest.raises(OutputError, match=r"holds bench\.json"):
        check_out(tmp_path)


def test_a_file_alone_has_no_gradients(tiny: Tiny) -> None:
    with pytest.raises(RunFolderError, match="--surrogate RUN"):
        attack_models([tiny.same])


def test_a_run_without_weights_for_8_bits_cannot_be_attacked_by_them(tiny: Tiny) -> None:
    with pytest.raises(RunFolderError, match="edge-train fit --qat"):
        attack_models([tiny.run, tiny.same], quantized=True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--attack", "pgd,laser"], "no attack is called 'laser'"),
        (["--epsilon", "1,,2"], "no number of gray levels"),
        (["--epsilon", "0"], "no number of gray levels"),
        (["--epsilon", "256"], "no number of gray levels"),
    ],
)
def test_options_that_make_no_sense_are_refused(tiny: Tiny, tmp_path: Path, arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(app, ["robustness", str(tiny.run), "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == 2 and reason in result.stderr
    assert not (tmp_path / "out").exists()


# --- figures


def test_a_mean_of_few_photos_that_agree_is_not_certain() -> None:
    found = curve(np.zeros((8, 3), np.bool_), None, (1, 2))
    assert (found.mean.low, found.mean.high) == (found.points[1].accuracy.low, found.points[1].accuracy.high)
    assert found.mean.high > 0.3


def test_of_one_epsilon_the_mean_gain_is_the_paired_difference() -> None:
    random = np.random.default_rng(0)
    for count in (3, 50):
        right, first = random.random((2, count)) < 0.7
        gained, paired = mean_gain(right.astype(float) - first), paired_difference(right, first)
        assert (gained.value, gained.low, gained.high) == pytest.approx((paired.value, paired.low, paired.high))


def test_a_curve_is_made_of_intervals_photo_by_photo() -> None:
    first = np.array([[True, True, False], [True, False, False], [False, False, False], [True, True, True]])
    right = np.array([[True, True, True], [True, True, False], [False, False, False], [True, True, True]])
    found = curve(right, first, (1, 4))
    assert [point.epsilon for point in found.points] == [0, 1, 4]
    assert found.points[1].accuracy == accuracy(right[:, 1])
    assert found.points[2].difference == paired_difference(right[:, 2], first[:, 2])
    assert found.mean.value == pytest.approx(5 / 8)
    assert found.mean.low < found.mean.value < found.mean.high
    assert found.difference and found.difference.value == pytest.approx(2 / 8)


def test_noise_goes_to_the_edge_of_the_budget_and_stays_a_picture() -> None:
    pixels = np.full((2, 16, 16, 3), 100, np.uint8)
    pixels[1] = 3
    noisy = sign_noise(pixels, 8, seed=1).astype(int)
    assert set(np.unique(noisy[0])) == {92, 108} and set(np.unique(noisy[1])) == {0, 11}
    assert 0.3 < (noisy[0] == 108).mean() < 0.7
    assert np.array_equal(noisy, sign_noise(pixels, 8, seed=1))


# --- Square Attack


def brightness(pixels: Frame) -> Scores:
    """Light or dark, by the mean level, sure of itself within a few levels."""
    light = 1 / (1 + np.exp(-(float(pixels.mean()) - 128) / 2))
    return np.array([light, 1 - light], np.float32)


@given(epsilon=st.integers(1, 255), queries=st.integers(1, 8), seed=st.integers(0, 99))
@example(epsilon=5, queries=1, seed=49)  # ends in a tie of the scores
def test_squares_keep_to_the_budget(epsilon: int, queries: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (random.integers(1, 9), random.integers(1, 9), 3), np.uint8)
    label = int(brightness(pixels).argmax())
    found = square_attack(brightness, pixels, label, epsilon, queries, random)
    assert found.pixels.dtype == np.uint8 and found.pixels.shape == pixels.shape
    assert np.abs(found.pixels.astype(int) - pixels).max() <= epsilon
    assert 1 <= found.queries <= queries
    assert found.fooled == (brightness(found.pixels).argmax() != label)


def test_a_query_is_a_query() -> None:
    asked: list[Frame] = []

    def counting(pixels: Frame) -> Scores:
        asked.append(pixels)
        return brightness(pixels)

    pixels = np.full((12, 12, 3), 160, np.uint8)
    found = square_attack(counting, pixels, 0, 8, 25, np.random.default_rng(0))
    assert not found.fooled and found.queries == len(asked) == 25


def test_squares_find_what_a_linear_model_fears_and_more_so_with_more_queries() -> None:
    pixels = np.full((12, 12, 3), 131, np.uint8)
    found = square_attack(brightness, pixels, 0, 8, 400, np.random.default_rng(0))
    assert found.fooled and found.queries < 400
    assert found.pixels.mean() < 128


def test_a_search_walks_on_where_the_scores_do_not_change() -> None:
    """Of scores of 1 and 0 nothing is to be seen before it is done: who keeps only what is better, stays where he
    began."""

    def blunt(pixels: Frame) -> Scores:
        return np.round(brightness(pixels))

    pixels = np.full((8, 8, 3), 129, np.uint8)
    found = [square_attack(blunt, pixels, 0, 8, 200, np.random.default_rng(seed)) for seed in range(20)]
    assert sum(search.fooled for search in found) >= 14  # who stays gets to 10


def test_what_withstands_a_large_budget_is_not_asked_again_within_a_smaller_one() -> None:
    asked: list[Frame] = []

    def counting(pixels: Frame) -> Scores:
        asked.append(pixels)
        return brightness(pixels)

    pixels = np.full((12, 12, 3), 131, np.uint8)
    found = queries_to_fool(counting, pixels, 0, (1, 2, 16), 50, (0, 1))
    assert found[:2] == [None, None] and found[2] is not None
    assert len(asked) == found[2] + 50
    assert found == queries_to_fool(brightness, pixels, 0, (1, 2, 16), 50, (0, 1))


def test_coarse_scores_are_those_of_8_bits() -> None:
    scores = np.array([0.9999, 0.0001, 0.3], np.float32)
    assert in_steps(lambda _: scores, 256)(np.zeros((1, 1, 3), np.uint8)).tolist() == [255 / 256, 0, 77 / 256]
