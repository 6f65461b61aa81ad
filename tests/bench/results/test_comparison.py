from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_bench.results.comparison import compare_reports
from edge_bench.results.report import BenchReport, Failed
from edge_core.errors import ReportError
from edge_core.statistics import Estimate

MakeReport = Callable[..., BenchReport]


def verdicts(old: BenchReport, new: BenchReport, **limits: float) -> dict[tuple[str, str], str]:
    return {(one.row, one.figure): one.verdict for one in compare_reports(old, new, **limits).changes}


def with_median(report: BenchReport, value: float, low: float, high: float) -> BenchReport:
    """The report with another median latency of its last row."""
    *rows, last = report.rows
    total = replace(last.total_ms, median=Estimate(value, low, high))
    return replace(report, rows=(*rows, replace(last, total_ms=total)))


@pytest.fixture
def old(make_report: MakeReport) -> BenchReport:
    report = make_report(("full", 0.92, 10.0), ("int8", 0.91, 2.0))
    return with_median(report, 2.0, 1.98, 2.02)


def test_the_same_report_passes(old: BenchReport) -> None:
    assert set(verdicts(old, old).values()) == {"passed"} and len(verdicts(old, old)) == 4


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        ((2.3, 2.25, 2.35), "broke"),
        ((2.3, 2.0, 2.6), "not sure"),
        ((2.05, 2.0, 2.9), "passed"),
        ((1.0, 1.0, 1.0), "passed"),
    ],
)
def test_a_row_is_slower_only_if_its_whole_interval_is(
    old: BenchReport, new: tuple[float, float, float], verdict: str
) -> None:
    assert verdicts(old, with_median(old, *new))["int8", "latency"] == verdict


def test_elsewhere_and_for_unstable_rows_the_ratio_decides(old: BenchReport) -> None:
    slower = with_median(old, 9.0, 8.9, 9.1)
    elsewhere = replace(slower, environment=replace(slower.environment, machine="another"))
    assert verdicts(old, elsewhere)["int8", "ratio"] == "passed"
    unstable = replace(slower, rows=(slower.rows[0], replace(slower.rows[1], unstable=("its turns spread by 40 %",))))
    assert verdicts(old, unstable)["int8", "ratio"] == "passed"
    worse = replace(unstable.rows[1], ratio=Estimate(0.4, 0.39, 0.41))
    assert verdicts(old, replace(unstable, rows=(unstable.rows[0], worse)))["int8", "ratio"] == "broke"
    first = replace(slower, rows=(replace(slower.rows[0], unstable=("throttled",)), slower.rows[1]))
    assert verdicts(old, first)["full", "latency"] == "not sure"


def test_on_the_same_photos_the_drop_itself_decides(old: BenchReport, make_report: MakeReport) -> None:
    worse = make_report(("full", 0.92, 10.0), ("int8", 0.90, 2.0))
    assert verdicts(old, worse)["int8", "accuracy"] == "broke"
    assert verdicts(old, worse, max_drop=1.1)["int8", "accuracy"] == "passed"


def test_on_other_photos_the_intervals_must_lie_apart(old: BenchReport, make_report: MakeReport) -> None:
    worse = replace(make_report(("full", 0.92, 10.0), ("int8", 0.90, 2.0)), photos_sha256="1" * 64)
    assert verdicts(old, worse)["int8", "accuracy"] == "not sure"
    much_worse = replace(make_report(("full", 0.92, 10.0), ("int8", 0.7, 2.0)), photos_sha256="1" * 64)
    assert verdicts(old, much_worse)["int8", "accuracy"] == "broke"


def test_a_row_that_is_gone_breaks_and_says_why(old: BenchReport) -> None:
    gone = replace(old, rows=old.rows[:1], failed=(Failed("int8", "crashed"),))
    comparison = compare_reports(old, gone)
    assert [(one.row, one.figure, one.why) for one in comparison.broken] == [("int8", "row", "crashed")]
    assert comparison.to_json()["passed"] is False


def test_what_does_not_compare_is_refused(old: BenchReport, make_report: MakeReport) -> None:
    with pytest.raises(ReportError, match="no row in common"):
        compare_reports(old, make_report(("other", 0.9, 1.0)))
    with pytest.raises(ReportError, match="other labels"):
        compare_reports(old, replace(old, labels=("a", "b")))
