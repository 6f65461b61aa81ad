"""Whether more photos would help: the curve, its extrapolation, and what a run and the command say of it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_core.run_folder import Run
from edge_core.statistics import Estimate
from edge_train.evaluation.learning_curve import CurvePoint, LearningCurve
from edge_train.evaluation.training_plots import learning_curve as plotted
from edge_train.training.solved_head.head_curve import DRAWS, FOLDS, Features, error_at, learning_curve


def features(count: int, seed: int, distance: float = 1.0, group: int = 1) -> Features:
    """Two classes whose means are `distance` apart in each of 20 directions, `count` photos each, in groups of
    `group`."""
    rng = np.random.default_rng(seed)
    targets = np.repeat([0, 1], count).astype(np.int64)
    values = (rng.normal(size=(2 * count, 20)) + distance * targets[:, None]).astype(np.float32)
    groups = tuple(f"{seed} {row // group}" if group > 1 else "" for row in range(2 * count))
    return Features(values, targets, groups)


def test_more_photos_make_a_better_head_until_all_are_taken() -> None:
    curve = learning_curve(features(120, 0, 0.4), features(400, 1, 0.4), 2, seed=1)
    assert [point.photos for point in curve.points] == [5, 10, 20, 50, 100, 120]
    assert [len(point.draws) for point in curve.points] == [DRAWS] * 5 + [1]
    assert curve.points[0].accuracy.value < curve.points[2].accuracy.value < curve.points[4].accuracy.value
    assert all(point.accuracy.low <= point.accuracy.value <= point.accuracy.high for point in curve.points)
    assert curve.judged == 800
    assert curve.gain is not None
    assert 0 <= curve.gain.value < 0.05


def test_what_twice_the_photos_bring_is_predicted() -> None:
    """Of 60 photos a class the curve says what 120 bring; heads on 120 say what is true."""
    known, judged = features(120, 0, 0.4), features(2000, 1, 0.4)
    half = known.take(np.flatnonzero(np.arange(240) % 120 < 60))
    few, many = (learning_curve(some, judged, 2, seed=1) for some in (half, known))
    assert few.gain is not None
    predicted = few.points[-1].accuracy.value + few.gain.value
    assert predicted == pytest.approx(many.points[-1].accuracy.value, abs=0.02)


def test_each_law_is_found_again() -> None:
    photos = [10, 20, 50, 100]
    for number, (end, factor, power) in enumerate([(0.1, 0.5, 1.0), (0.1, 0.5, 0.5), (0.0, 0.5, 0.4)]):
        *errors, wanted = (end + factor * count**-power for count in (*photos, 400))
        assert error_at(photos, errors, 400)[number] == pytest.approx(wanted)
    rising = [0.1, 0.1, 0.1, 0.2]
    assert error_at(photos, rising, 400) == pytest.approx(error_at(photos, rising, 100))


def test_a_class_with_fewer_photos_gives_all_that_it_has() -> None:
    known = features(40, 0)
    known = known.take(np.array([*range(40), 40, 41, 42]))
    curve = learning_curve(known, features(50, 1), 2, seed=1)
    assert [point.photos for point in curve.points] == [(5 + 3) / 2, (10 + 3) / 2, (20 + 3) / 2, (40 + 3) / 2]


def test_no_heads_are_solved_on_nearly_all_photos_for_the_sake_of_the_largest_class() -> None:
    known = features(240, 0).take(np.arange(360))
    curve = learning_curve(known, features(10, 1), 2, seed=1)
    assert [point.photos for point in curve.points] == [5, 10, 20, 50, 100, (240 + 120) / 2]


def test_too_few_photos_tell_nothing_of_more() -> None:
    curve = learning_curve(features(4, 0), features(4, 1), 2, seed=1, cross_validate=True)
    assert len(curve.points) == 1
    assert curve.gain is None
    assert "no telling" in curve.sentence()


def test_the_sentence_says_what_more_photos_bring() -> None:
    point = CurvePoint(400.2, Estimate(0.9, 0.88, 0.92), (0.9,))
    told = LearningCurve((point,), 100, Estimate(0.012, 0.008, 0.016)).sentence()
    assert told.startswith("Twice as many photos (about 800 a class): about +1.2 points (+0.8 to +1.6)")
    assert "hardly" not in told
    assert "hardly help" in LearningCurve((point,), 100, Estimate(0.001, 0.0, 0.003)).sentence()


def test_cross_validation_judges_every_photo_by_a_head_that_has_not_seen_its_group() -> None:
    """Features that tell the group and not the class: whoever has seen one of a group knows the others."""
    rng = np.random.default_rng(0)
    names = np.repeat(np.arange(40), 5)
    values = rng.normal(size=(40, 60))[names] + 0.01 * rng.normal(size=(200, 60))
    targets = (names % 2).astype(np.int64)
    clips = Features(values.astype(np.float32), targets, tuple(map(str, names)))
    loose = replace(clips, groups=("",) * 200)
    half = np.arange(200) < 100
    found = {}
    for name, all_photos in (("clips", clips), ("loose", loose)):
        parts = all_photos.take(np.flatnonzero(half)), all_photos.take(np.flatnonzero(~half))
        found[name] = learning_curve(*parts, 2, seed=1, cross_validate=True).cross_validated
    assert found["loose"] and found["loose"].value > 0.95
    assert found["clips"] and found["clips"].value < 0.75
    assert found["clips"].high - found["clips"].low > 2 * (found["loose"].high - found["loose"].low)
    assert FOLDS == 5


def test_a_curve_comes_back_from_its_file_and_can_be_drawn(tmp_path: Path) -> None:
    for cross_validate in (False, True):
        curve = learning_curve(features(30, 0), features(20, 1), 2, seed=1, cross_validate=cross_validate)
        assert LearningCurve.from_json(json.loads(json.dumps(curve.to_json()))) == curve
        plotted(curve).savefig(tmp_path / "curve.png")
        assert cv2.imread(str(tmp_path / "curve.png")) is not None


def test_a_run_says_whether_more_photos_would_help(color_run: Run) -> None:
    curve = LearningCurve.from_json(json.loads((color_run.folder / "learning_curve.json").read_text("utf-8")))
    assert curve.judged == len(color_run.splits["val"])
    assert curve.cross_validated is not None, "there are fewer than a hundred test photos"
    page = (color_run.folder / "report.html").read_text("utf-8")
    assert curve.sentence().split(" (")[0] in page
    assert curve.cross_validated.percent() in page
    assert cv2.imread(str(color_run.folder / "learning_curve.png")) is not None


def test_the_command_prints_the_curve(
    color_run: Run, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    out = tmp_path / "curve.png"
    done = command("edge_train.cli", "curve", color_run.folder, "--out", out)
    assert done.returncode == 0, done.stderr
    curve = LearningCurve.from_json(json.loads((color_run.folder / "learning_curve.json").read_text("utf-8")))
    *rows, sentence, validated = done.stdout.splitlines()
    assert sentence == curve.sentence()
    assert "cross-validated" in validated
    assert len(rows) == len(curve.points)
    assert cv2.imread(str(out)) is not None
    older = tmp_path / "older"
    shutil.copytree(color_run.folder, older)
    (older / "learning_curve.json").unlink()
    done = command("edge_train.cli", "curve", older)
    assert done.returncode == 2
    assert "began with random weights" in done.stderr
