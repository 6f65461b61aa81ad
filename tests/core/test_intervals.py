from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.statistics import Z_95, Estimate, accuracy, mcnemar, paired_difference, photos_to_tell


def right(correct: int, count: int) -> npt.NDArray[np.bool_]:
    return np.arange(count) < correct


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_has_its_published_values(correct: int, count: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    estimate = accuracy(right(correct, count))
    assert estimate.value == correct / count
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)


def test_the_ends_of_wilsons_interval_solve_its_equation() -> None:
    for count, correct in [(10, 3), (736, 661), (1, 1), (50, 49)]:
        estimate = accuracy(right(correct, count))
        for end in (estimate.low, estimate.high):
            assert abs(estimate.value - end) == pytest.approx(Z_95 * (end * (1 - end) / count) ** 0.5, abs=1e-9)


@given(st.integers(1, 3000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_an_accuracy_lies_within_its_interval(counts: tuple[int, int]) -> None:
    estimate = accuracy(right(*counts))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.low < estimate.high


def test_more_photos_narrow_the_interval() -> None:
    widths = [estimate.high - estimate.low for estimate in (accuracy(right(9 * n, 10 * n)) for n in (1, 10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)


def test_a_paired_difference_counts_only_disagreements() -> None:
    model, reference = np.array([1, 1, 0, 0, 1, 1], bool), np.array([1, 0, 1, 0, 0, 1], bool)
    estimate = paired_difference(model, reference)
    assert estimate.value == pytest.approx(1 / 6)
    # By hand, with half a photo in each of the four cells: 2.5 and 1.5 disagreements of 8.
    half = Z_95 * ((4 / 8 - (1 / 8) ** 2) / 8) ** 0.5
    assert (estimate.low, estimate.high) == pytest.approx((1 / 8 - half, 1 / 8 + half))


def test_two_equal_models_differ_by_nothing_give_or_take_something() -> None:
    estimate = paired_difference(right(90, 100), right(90, 100))
    assert estimate.value == 0
    assert estimate.low == -estimate.high < 0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_a_difference_turns_its_sign_with_its_models(pairs: list[tuple[bool, bool]]) -> None:
    model, reference = np.array(pairs, bool).T
    one, other = paired_difference(model, reference), paired_difference(reference, model)
    assert -1 <= one.low <= one.value <= one.high <= 1
    assert (one.low, one.value, one.high) == pytest.approx((-other.high, -other.value, -other.low))


def test_the_interval_of_a_difference_covers_it_as_often_as_it_says() -> None:
    """Over all paired tables of 40 photos, weighted by their probability, 93 % or more for every truth tried."""
    count = 40
    factorial = np.cumprod([1.0, *range(1, count + 1)])
    for won, lost in [(0.05, 0.05), (0.1, 0.02), (0.2, 0.2)]:
        covered = 0.0
        for wins, losses in product(range(count + 1), repeat=2):
            ties = count - wins - losses
            if ties < 0:
                continue
            ways = factorial[count] / (factorial[wins] * factorial[losses] * factorial[ties])
            model, reference = np.zeros(count, bool), np.zeros(count, bool)
            model[:wins], reference[wins : wins + losses] = True, True
            estimate = paired_difference(model, reference)
            within = estimate.low <= won - lost <= estimate.high
            covered += within * ways * won**wins * lost**losses * (1 - won - lost) ** ties
        assert covered > 0.93


@pytest.mark.parametrize(
    ("won", "lost", "p"), [(1, 9, 22 / 1024), (9, 1, 22 / 1024), (0, 5, 2 / 32), (3, 3, 1.0), (0, 0, 1.0)]
)
def test_mcnemars_test_is_exact(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == pytest.approx(p, rel=1e-12)


def test_mcnemars_test_takes_thousands_of_photos() -> None:
    assert mcnemar(2000, 3000) == pytest.approx(0, abs=1e-40)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(40, 500), st.sampled_from([0.001, 0.005, 0.01, 0.1]))
def test_as_many_photos_as_it_takes_and_no_more(won: int, lost: int, photos: int, limit: float) -> None:
    enough = photos_to_tell(won, lost, photos, limit)

    def half(count: int) -> float:
        model, reference = np.zeros(count, bool), np.zeros(count, bool)
        model[: round(count * won / photos)] = True
        reference[count - round(count * lost / photos) :] = True
        estimate = paired_difference(model, reference)
        return (estimate.high - estimate.low) / 2

    assert half(enough) <= limit * 1.1 + 2 / enough
    assert enough == 1 or half(max(1, enough // 2)) > limit * 0.9


@pytest.mark.parametrize(("won", "lost", "photos"), [(0, 1, 40), (3, 0, 50), (20, 30, 4000), (5, 5, 99)])
def test_as_many_photos_as_there_are_reach_just_as_far_as_they_do(won: int, lost: int, photos: int) -> None:
    model, reference = right(won, photos), right(0, photos)
    reference[won : won + lost] = True
    estimate = paired_difference(model, reference)
    assert photos_to_tell(won, lost, photos, (estimate.high - estimate.low) / 2) == photos


def test_one_photo_is_enough_for_a_limit_that_none_could_miss() -> None:
    assert photos_to_tell(0, 0, 40, limit=0.7) == 1


def test_nothing_to_count_is_refused() -> None:
    none = np.array([], bool)
    with pytest.raises(ValueError, match="at least one"):
        accuracy(none)
    with pytest.raises(ValueError, match="at least one"):
        paired_difference(none, none)
    with pytest.raises(ValueError, match="same photos"):
        paired_difference(right(1, 3), right(1, 4))


def test_an_estimate_reads_as_percent() -> None:
    assert Estimate(0.921, 0.9034, 0.936).percent() == "92.1 % (90.3 to 93.6)"
