"""Whether a newer benchmark is worse than an older one, row by row, without crying wolf.

Milliseconds are compared where both were measured on the same machine and neither row was unstable; else the ratios to
the first row are. A row is slower only if its whole interval is: the shortest time that the newer one may have, to the
longest that the older one may have, exceeds the limit. Accuracy on the same photos does not depend on the moment, so
the drop itself decides; on other photos the intervals must lie apart by more than the limit.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from edge_bench.results.report import BenchReport, Row
from edge_core.codec import JsonObject
from edge_core.errors import ReportError
from edge_core.statistics import Estimate, paired_difference

Verdict = Literal["passed", "not sure", "broke"]


@dataclass(frozen=True)
class FigureChange:
    """What became of one figure of one row.

    Attributes:
        row: Name of the row.
        figure: `latency`, `ratio`, `accuracy` or `row`.
        change: Newer against older: a share for latency and ratio, positive is slower; points for accuracy, negative is
            worse. None where the row is gone.
        verdict: `broke` beyond the limit for certain, `not sure` where the limit lies within the interval.
        why: The reason for the verdict in words.
    """

    row: str
    figure: str
    change: Estimate | None
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class ReportComparison:
    """All changes, in the order of the older report's rows."""

    changes: tuple[FigureChange, ...]

    @property
    def broken(self) -> tuple[FigureChange, ...]:
        return tuple(change for change in self.changes if change.verdict == "broke")

    def to_json(self) -> JsonObject:
        return {"passed": not self.broken, "changes": [asdict(change) for change in self.changes]}


def compare_reports(
    old: BenchReport, new: BenchReport, max_slowdown: float = 0.05, max_drop: float = 0.5
) -> ReportComparison:
    """Compares the rows of two reports that have the same name.

    Args:
        old, new: The earlier and the later report.
        max_slowdown: Largest permitted slowdown of a row, as a share of its latency.
        max_drop: How many points of accuracy it may have lost.

    Raises:
        ReportError: They have no row in common, or other labels.
    """
    if old.labels != new.labels:
        raise ReportError("the reports are of other labels, so they do not compare")
    rows = {row.name: row for row in new.rows}
    if not rows.keys() & {row.name for row in old.rows}:
        raise ReportError("the reports have no row in common; rows are the same where their names are")
    return ReportComparison(tuple(_changes(old, new, rows, max_slowdown, max_drop)))


def _changes(
    old: BenchReport, new: BenchReport, rows: dict[str, Row], max_slowdown: float, max_drop: float
) -> Iterator[FigureChange]:
    same_photos = old.photos_sha256 == new.photos_sha256
    reasons = {failed.name: failed.reason for failed in new.failed}
    for before in old.rows:
        after = rows.get(before.name)
        if after is None:
            yield FigureChange(before.name, "row", None, "broke", reasons.get(before.name, "it is not there any more"))
            continue
        yield _latency_change(old, new, before, after, max_slowdown)
        yield _worse(before, after, new if same_photos else None, max_drop)


def _latency_change(old: BenchReport, new: BenchReport, before: Row, after: Row, max_slowdown: float) -> FigureChange:
    """Milliseconds compared where the machine is the same and was quiet, else times of the first row, if at all."""
    same_machine = old.environment.fingerprint == new.environment.fingerprint
    same_frames = old.settings.frame_size == new.settings.frame_size
    same_first = old.rows[0].name == new.rows[0].name
    if same_machine and same_frames and not before.unstable and not after.unstable:
        return _slower(before, before.total_ms.median, after.total_ms.median, "latency", max_slowdown)
    if same_first and same_frames and before.name != old.rows[0].name:
        return _slower(before, before.ratio, after.ratio, "ratio", max_slowdown)
    why = "; ".join(after.unstable or before.unstable) or "another machine, other frames, or another first row"
    return FigureChange(before.name, "latency", None, "not sure", f"nothing to compare: {why}")


def _slower(row: Row, before: Estimate, after: Estimate, figure: str, limit: float) -> FigureChange:
    # From the fastest the newer may be over the slowest the older may have been, to the opposite.
    change = Estimate(after.value / before.value - 1, after.low / before.high - 1, after.high / before.low - 1)
    verdict: Verdict = "broke" if change.low > limit else "passed" if change.value <= limit else "not sure"
    unit = " ms" if figure == "latency" else ""
    return FigureChange(
        row.name,
        figure,
        change,
        verdict,
        f"{before.value:.3g}{unit} became {after.value:.3g}{unit}, {_percent(change)}; the limit is {100 * limit:+g} %",
    )


def _worse(before: Row, after: Row, same: BenchReport | None, limit: float) -> FigureChange:
    """Top-1 in points; `same` is the newer report if its photos are the older one's."""
    if same:
        truth = np.array(same.truth)
        change = paired_difference(
            np.array(after.accuracy.predicted) == truth, np.array(before.accuracy.predicted) == truth
        )
        broke = -100 * change.value > limit + 1e-9  # 0.5 points are not 0.5 in binary
        verdict: Verdict = "broke" if broke else "passed"
    else:
        one, other = before.accuracy.top1, after.accuracy.top1
        change = Estimate(other.value - one.value, other.low - one.high, other.high - one.low)
        fell = -100 * change.value > limit
        verdict = "broke" if -100 * change.high > limit else "not sure" if fell else "passed"
    why = f"{100 * before.accuracy.top1.value:.1f} % became {100 * after.accuracy.top1.value:.1f} %"
    why += f"{'' if same else ', on other photos'}; the limit is {-limit:g} points"
    points = Estimate(100 * change.value, 100 * change.low, 100 * change.high)
    return FigureChange(before.name, "accuracy", points, verdict, why)


def _percent(change: Estimate) -> str:
    return f"{100 * change.value:+.1f} % ({100 * change.low:+.1f} to {100 * change.high:+.1f})"
