"""The gate: how a converted file is compared with the full-size model, and what it is held to."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pytest

from edge_convert.foreign.measure import ForeignTest
from edge_convert.gate import gate_comparison as gate
from edge_convert.gate.gate_comparison import Comparison, artifact_scores, compare, full_size_scores
from edge_convert.gate.limits import Limits, doubt_of, first_reason
from edge_convert.targets import Verdict
from edge_core.data.photo_folder import Photo
from edge_core.statistics import Estimate, photos_to_tell

T = TypeVar("T")

LABELS = ["a", "b", "c"]
SCORES = {"a": (0.7, 0.2, 0.1), "b": (0.1, 0.8, 0.1), "c": (0.05, 0.05, 0.9)}


def said(labels: str) -> np.ndarray:
    """Scores of shape (photos, 3) whose best label is each of `labels`."""
    return np.array([SCORES[label] for label in labels], np.float32)


def compared(truth: str, full_size: str, converted: str) -> Comparison:
    photos = [Photo(Path(f"{row}.jpg"), label, "") for row, label in enumerate(truth)]
    return compare(said(full_size), said(converted), photos, LABELS)


def lost(photos: int, wrong: int) -> Comparison:
    """The converted file is wrong about `wrong` of the photos, the full-size model about none."""
    return compared("a" * photos, "a" * photos, "b" * wrong + "a" * (photos - wrong))


def with_difference(value: float, low: float, high: float) -> Comparison:
    return replace(lost(1000, 7), difference=Estimate(value, low, high))


def test_comparison_counts_pairs() -> None:
    result = compared("ab" * 50, "ab" * 50, "ba" * 5 + "ab" * 45)
    assert (result.photos, result.full_size.value, result.converted.value) == (100, 1.0, 0.9)
    assert result.agreement.value == 0.9
    assert result.drop_points == pytest.approx(10)
    assert result.difference.low < -0.1 < result.difference.high < 0
    assert [item.path.stem for item in result.changed] == ["1", "3", "5", "7", "9", "0", "2", "4", "6", "8"]
    assert (result.won, result.lost, result.p_value) == (0, 10, 2 / 1024)
    assert result.worst_class.photos == 50
    assert result.worst_class.difference.value == pytest.approx(-0.1)


def test_what_is_won_is_told_from_what_is_lost() -> None:
    """Of six photos the converted file wins one (c for b), loses two, and both are wrong about the last."""
    result = compared("abbccc", "abccca", "abbcab")
    assert (result.won, result.lost) == (1, 1)
    result = compared("abbccc", "abcccc", "abbaab")
    assert (result.photos, result.won, result.lost) == (6, 1, 3)
    assert (result.full_size.value, result.converted.value) == (5 / 6, 3 / 6)
    assert result.agreement.value == 2 / 6
    assert result.difference.value == pytest.approx(-2 / 6)
    assert result.drop_points == pytest.approx(100 * 2 / 6)
    assert (result.worst_class.label, result.worst_class.photos) == ("c", 3)
    assert result.worst_class.difference.value == pytest.approx(-1)


def test_changed_photos_come_with_what_each_said_the_surest_first() -> None:
    changed = compared("abcc", "abca", "bbab").changed
    assert [item.path.stem for item in changed] == ["2", "0", "3"]
    assert [(item.label, item.full_size, item.converted) for item in changed] == [
        ("c", "c", "a"),
        ("a", "a", "b"),
        ("c", "a", "b"),
    ]
    assert [item.full_size_score for item in changed] == pytest.approx([0.9, 0.7, 0.7])
    assert [item.converted_score for item in changed] == pytest.approx([0.7, 0.8, 0.8])


def test_the_score_difference_is_the_mean_over_photos_and_labels() -> None:
    photos = [Photo(Path("0.jpg"), "a", ""), Photo(Path("1.jpg"), "b", "")]
    full, converted = said("ab"), said("ab")
    converted[0] += np.array([-0.3, 0.2, 0.1], np.float32)
    assert compare(full, converted, photos, LABELS).score_difference == pytest.approx(0.6 / 6)


def test_a_loss_is_judged_by_both_ends_of_its_interval() -> None:
    for low, high, verdict in (
        (-0.05, -0.02, "over the limit"),
        (-0.05, -0.01, "too few photos to tell"),  # it may be one point
        (-0.05, 0.0, "too few photos to tell"),
        (-0.0101, 0.0, "too few photos to tell"),
        (-0.01, 0.0, "within the limit"),
        (-0.001, 0.01, "within the limit"),
    ):
        assert with_difference((low + high) / 2, low, high).judge(1.0) == verdict, (low, high)


def test_a_loss_that_is_shown_never_passes_and_where_photos_cannot_tell_the_found_one_decides() -> None:
    assert not with_difference(-0.005, -0.05, -0.02).passes(1.0)  # whatever was found
    assert with_difference(-0.005, -0.05, 0.0).passes(1.0)
    assert not with_difference(-0.015, -0.05, 0.0).passes(1.0)
    assert lost(1000, 7).passes(0.7)  # though 7 of 1,000 are not 0.7 points in binary
    assert not lost(1000, 8).passes(0.7)
    assert lost(1000, 8).passes(0.8 - 1e-9)  # as far as that goes
    assert with_difference(0.02, 0.01, 0.03).drop_points == pytest.approx(-2)


def test_too_few_photos_are_said_to_be_too_few() -> None:
    few = lost(photos=40, wrong=1)
    enough = few.photos_to_tell(max_drop=1.0)
    assert enough is not None and enough > 400
    assert (few.judge(1.0), few.passes(1.0), few.passes(3.0)) == ("too few photos to tell", False, True)
    many = lost(photos=4000, wrong=100)
    assert (many.photos_to_tell(1.0), many.judge(1.0), many.passes(1.0)) == (None, "over the limit", False)
    assert (lost(photos=4000, wrong=8).judge(1.0), lost(photos=4000, wrong=8).passes(1.0)) == ("within the limit", True)


def test_how_many_photos_would_tell_depends_on_the_limit() -> None:
    few = lost(photos=40, wrong=1)
    at_one, at_two = few.photos_to_tell(1.0), few.photos_to_tell(2.0)
    assert at_one is not None and at_two is not None and 3 < at_one / at_two < 5  # as the square
    assert few.photos_to_tell(0.0) == few.photos_to_tell(0.1) == photos_to_tell(0, 1, 40, limit=0.001)
    assert at_one == photos_to_tell(0, 1, 40, limit=0.01)
    assert replace(few, won=2).photos_to_tell(1.0) == photos_to_tell(2, 1, 40, limit=0.01) != at_one
    again = lost(photos=at_one, wrong=round(at_one / 40)).difference
    assert 100 * (again.high - again.low) / 2 == pytest.approx(1.0, rel=0.1)
    assert with_difference(0.0, -0.02, 0.02).photos_to_tell(1.9) == 1001  # more than there are, at least


def test_a_comparison_and_its_judgement_read_as_json() -> None:
    result = compared("abcc", "abca", "bbab")
    fields = result.to_json()
    assert (fields["photos"], fields["won"], fields["lost"], fields["mcnemar_p"]) == (4, 0, 2, 0.5)
    assert fields["full_size"] == vars(result.full_size) != fields["converted"] == vars(result.converted)
    assert fields["difference"] == vars(result.difference) != fields["agreement"] == vars(result.agreement)
    assert fields["mean_score_difference"] == result.score_difference
    assert fields["worst_class"]["label"] == "a" and fields["worst_class"]["difference"]["value"] == -1
    assert [one["path"] for one in fields["changed"]] == ["2.jpg", "0.jpg", "3.jpg"]
    few = lost(photos=40, wrong=1)
    assert few.judgement_to_json(1.0) == {
        "max_drop_points": 1.0,
        "verdict": "too few photos to tell",
        "photos_to_tell": few.photos_to_tell(1.0),
    }


def test_a_file_is_scored_photo_by_photo_and_its_median_time_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 10.001, 20.0, 20.002, 30.0, 30.009])  # 1, 2 and 9 ms
    monkeypatch.setattr(gate.time, "perf_counter", lambda: next(now))  # type: ignore[attr-defined]
    shown: list[tuple[str, int | None]] = []

    def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        shown.append((label, total))
        return iter(items)

    familiarities = iter([0.25, 0.5, 0.75])
    classifier: Any = SimpleNamespace(
        pixel_scores=lambda photo: np.array([photo.max(), photo.min()], np.float32),
        familiarity=lambda: next(familiarities),
    )
    pixels = np.stack([np.full((2, 2, 3), level, np.uint8) for level in (3, 1, 2)])
    pixels[:, 0, 0, 0] = 9
    result = artifact_scores(classifier, pixels, track)
    assert result.scores.tolist() == [[9, 3], [9, 1], [9, 2]]
    assert result.latency_ms == pytest.approx(2.0)
    assert result.familiarities is not None and result.familiarities.tolist() == [0.25, 0.5, 0.75]
    assert shown == [("Scoring with the converted file", 3)]


def test_the_full_size_model_sees_every_photo_once_and_in_order() -> None:
    batches: list[tuple[int, str]] = []
    shown: list[int | None] = []

    def predict(pixels: np.ndarray) -> np.ndarray:
        batches.append((len(pixels), str(pixels.dtype)))
        return pixels.reshape(len(pixels), -1)[:, :2]

    def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        shown.append(total)
        return iter(items)

    pixels = (np.arange(150, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 1, 1, 3), np.uint8)).astype(np.uint8)
    scores = full_size_scores(SimpleNamespace(predict_on_batch=predict), pixels, track)
    assert scores[:, 0].tolist() == list(range(150))
    assert batches == [(64, "float32"), (64, "float32"), (22, "float32")]
    assert shown == [3]


@pytest.mark.parametrize("drop", [-0.01, 100.01, nan])
def test_a_drop_beyond_0_to_100_points_is_refused(drop: float) -> None:
    assert (Limits(max_drop=0).max_drop, Limits(max_drop=100).max_drop) == (0, 100)
    with pytest.raises(ValueError, match="0 to 100 points"):
        Limits(max_drop=drop)


@pytest.mark.parametrize("limit", [0.0, -1.0, nan])
def test_a_limit_of_nothing_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Limits(max_size_kb=limit)
    with pytest.raises(ValueError, match="more than 0"):
        Limits(max_latency_ms=limit)
    assert Limits(max_size_kb=0.5, max_latency_ms=0.5) != Limits()


def test_by_default_one_point_may_go_and_nothing_else_is_limited() -> None:
    limits = Limits()
    assert (limits.max_drop, limits.max_size_kb, limits.max_latency_ms) == (1.0, inf, inf)
    assert (limits.targets, limits.strict, limits.max_unknown) == ((), False, 100.0)
    assert limits.missed(lost(100, 1), 10**9, 1e9, {}) == {}


def test_boards_stand_for_their_targets_each_once() -> None:
    assert Limits(targets=("pi", "coral", "litert-2.x")).checks() == ("litert-2.x", "coral")
    assert Limits(targets=("any",)).checks() == ()


def test_strict_limits_want_photos_that_tell() -> None:
    doubtful = lost(100, 1)
    assert doubtful.judge(1.0) == "too few photos to tell"
    assert Limits().keeps_drop(doubtful) and not Limits(strict=True).keeps_drop(doubtful)
    assert Limits(strict=True).keeps_drop(lost(4000, 8))
    assert not Limits(strict=True).keeps_drop(lost(4000, 100))


def test_every_limit_that_is_missed_is_told_with_both_numbers() -> None:
    refused, taken = Verdict("coral", False, ("a float operator", "another")), Verdict("litert-2.x", True, ())
    limits = Limits(max_drop=1.0, max_size_kb=2, max_latency_ms=5, targets=("coral", "pi"))
    verdicts = {"coral": refused, "litert-2.x": taken}
    kept = Limits(max_drop=1.0, max_size_kb=2, max_latency_ms=5, targets=("pi",))
    assert kept.missed(lost(4000, 8), 2000, 5.0, verdicts) == {}
    missed = limits.missed(lost(4000, 100), 2001, 5.1, verdicts)
    assert list(missed) == ["max_drop", "max_size_kb", "max_latency_ms", "coral"]
    assert missed["max_drop"] == "loses 2.5 points on 4000 held-out photos, where --max-drop is 1"
    assert missed["max_size_kb"] == "has 2 kB, where --max-size-kb is 2"
    assert missed["max_latency_ms"] == "takes 5.1 ms on this machine, where --max-latency-ms is 5"
    assert missed["coral"] == "coral does not take it: a float operator (and 1 more)"
    doubtful = lost(40, 1)
    assert Limits().missed(doubtful, 1, 1, {})["max_drop"].endswith(f"; {doubt_of(doubtful, 1.0)}")


def test_foreign_pictures_that_a_file_takes_for_known_are_limited() -> None:
    def measured(let_in: float | None) -> ForeignTest:
        share = None if let_in is None else Estimate(let_in, 0.0, 1.0)
        return ForeignTest(Estimate(0.95, 0.9, 0.98), 50, share, share, share, ())

    limits, kept = Limits(max_unknown=5), lost(4000, 8)
    assert limits.missed(kept, 1, 1, {}, measured(0.05)) == {}
    told = "of foreign pictures for something it knows, where --max-unknown is 5"
    for foreign, share in ((measured(0.06), "6.0"), (measured(None), "100.0"), (None, "100.0")):
        assert limits.missed(kept, 1, 1, {}, foreign) == {"max_unknown": f"takes {share} % {told}"}


def test_doubt_is_told_in_numbers() -> None:
    doubtful = lost(40, 1)
    low, high = 100 * doubtful.difference.low, 100 * doubtful.difference.high
    assert f"40 photos are too few to be sure ({low:+.1f} to {high:+.1f} points): " in doubt_of(doubtful, 1.0)
    assert f"about {doubtful.photos_to_tell(1.0)} would tell whether it loses more than 1" in doubt_of(doubtful, 1.0)
    assert -20 < low < -2 < high < 10
    assert "(-40.0 to +50.0 points)" in doubt_of(with_difference(0.0, -0.4, 0.5), 1.0)


def test_the_first_reason_of_a_verdict_stands_for_all() -> None:
    reasons = (
        ((), "no reason given"),
        (("x",), "x"),
        (("x", "y"), "x (and 1 more)"),
        (("x", "y", "z"), "x (and 2 more)"),
    )
    for given, text in reasons:
        assert first_reason(Verdict("coral", False, given)) == text
