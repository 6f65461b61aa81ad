import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_bench.results.latency import latency, median_interval, narrow_enough, ratio, relative_iqr
from edge_core.statistics import Estimate

MILLISECONDS = st.floats(0.01, 1e4)


@pytest.mark.parametrize(("count", "cut"), [(5, 0), (6, 0), (8, 0), (9, 1), (10, 1), (20, 5), (100, 39)])
def test_the_interval_of_a_median_lies_between_the_published_order_statistics(count: int, cut: int) -> None:
    values = np.arange(count, dtype=np.float64)
    assert median_interval(values[::-1]) == Estimate((count - 1) / 2, cut, count - 1 - cut)


def test_the_interval_of_a_median_holds_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    for count in (9, 20, 40):
        intervals = [median_interval(random.lognormal(0, 1, count)) for _ in range(2000)]
        held = np.mean([one.low <= 1 <= one.high for one in intervals])
        assert 0.945 <= held <= 0.99


@given(st.lists(MILLISECONDS, min_size=1, max_size=60))
def test_the_interval_of_a_median_holds_the_median(values: list[float]) -> None:
    found = median_interval(np.array(values))
    assert found.low <= found.value <= found.high


def test_what_slows_both_rows_of_a_round_changes_no_ratio() -> None:
    luck = np.random.default_rng(0).uniform(1, 5, 30)
    first = [np.array([10.0, 11.0, 12.0]) * factor for factor in luck]
    row = [np.array([2.0, 2.2, 9.9]) * factor for factor in luck]
    found = ratio(row, first)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    assert relative_iqr(first) > 0.1


def test_quantiles_are_over_all_frames_and_the_median_over_turns() -> None:
    turns = [np.full(100, 1.0), np.full(2, 3.0), np.full(2, 5.0)]
    found = latency(turns)
    assert found.median.value == 3 and found.p50 == 1 and found.quantiles[0] == 1 and found.quantiles[-1] == 5
    assert found.jitter == 0


def test_an_interval_is_narrow_enough_at_twice_the_precision() -> None:
    assert narrow_enough(Estimate(100, 98, 102), 0.02)
    assert not narrow_enough(Estimate(100, 97.9, 102), 0.02)
