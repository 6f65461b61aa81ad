"""The tables of a report's page."""

from edge_bench.render.table import three_digits
from edge_bench.results.report import BenchReport, Row
from edge_core import html as page
from edge_core.html import Html
from edge_core.statistics import Estimate


def rows(report: BenchReport) -> Html:
    return page.stack(
        page.table(
            ("row", "top-1 %", "change, points", "same label %", "ratio", "total ms", "fps", "file kB", "memory MB"),
            (
                (
                    page.lines(row.name, ", ".join(part for part in (row.runtime, _mark(row)) if part)),
                    percent(row.accuracy.top1),
                    percent(row.difference.top1, "+") if row.difference else "",
                    percent(row.difference.agreement) if row.difference else "",
                    interval(row.ratio) if row.difference else "1",
                    interval(row.total_ms.median),
                    three_digits(row.frames_per_second),
                    f"{row.file_bytes / 1e3:,.0f}",
                    f"{row.peak_memory_mb:.0f}",
                )
                for row in report.rows
            ),
        ),
        page.paragraph(
            "Small figures are 95 % intervals. The ratio is that of the total latency to the first row's in the same "
            "round of turns, the median of all rounds: what slows the machine for a while slows both."
        ),
    )


def scenes(report: BenchReport) -> Html:
    """Decisions about composed scenes, a row for each height of the subject."""
    kinds = list(dict.fromkeys((row.file, row.focus) for row in report.scenes))
    found = {(row.file, row.focus, row.height): row for row in report.scenes}
    heights = list(dict.fromkeys(row.height for row in report.scenes))
    return page.stack(
        page.table(
            ("subject's height, % of the frame's", *(f"{file}, {focus}: right %" for file, focus in kinds)),
            (
                (f"{height:.0%}", *(percent(found[file, focus, height].right) for file, focus in kinds))
                for height in heights
            ),
        ),
        page.paragraph(
            f"{report.scenes[0].scenes} held-out photos come before still pictures of 1280x720, with sensor noise. A "
            "scene counts as right if the label that entered is the photo's. Whole frames are what edge-run live looks "
            "at unless told otherwise, motion is what its --focus motion looks at."
        ),
    )


def latencies(report: BenchReport) -> Html:
    energy = any(row.joules is not None for row in report.rows)
    columns = ["row", "cold start", "first", "preprocess", "invoke", "total", "p95", "p99", "jitter %", "frames"]
    return page.stack(
        page.table(
            [*columns, "mJ a frame"] if energy else columns,
            (
                (
                    row.name,
                    f"{row.cold_start_ms:,.0f}",
                    three_digits(row.first_ms),
                    three_digits(row.preprocess_ms.median.value),
                    interval(row.invoke_ms.median),
                    interval(row.total_ms.median),
                    three_digits(row.total_ms.p95),
                    three_digits(row.total_ms.p99),
                    f"{100 * row.total_ms.jitter:.0f}",
                    f"{row.timed_frames:,}",
                    *([f"{1e3 * row.joules:.1f}" if row.joules is not None else ""] if energy else []),
                )
                for row in report.rows
            ),
        ),
        page.paragraph(
            "Milliseconds. Cold start: from the start of a process to its first scores, file caches warm. Jitter: "
            "interquartile range over median. p95 and p99: of the total."
        ),
    )


def accuracies(report: BenchReport) -> Html:
    top5 = any(row.accuracy.top5 for row in report.rows)
    columns = [
        "row",
        "top-1 %",
        *(["top-5 %"] if top5 else []),
        "macro F1 %",
        "calibration error %",
        "won",
        "lost",
        "p",
    ]
    return page.stack(
        page.table(
            columns,
            (
                (
                    row.name,
                    percent(row.accuracy.top1),
                    *([percent(row.accuracy.top5) if row.accuracy.top5 else ""] if top5 else []),
                    percent(row.accuracy.macro_f1),
                    percent(row.accuracy.calibration_error),
                    *(
                        (str(row.difference.won), str(row.difference.lost), f"{row.difference.mcnemar_p:.2g}")
                        if row.difference
                        else ("", "", "")
                    ),
                )
                for row in report.rows
            ),
        ),
        page.paragraph(
            "Won and lost: photos that only this row, and only the first row, is right about; p: McNemar's exact test. "
            "Intervals of F1 and of the calibration error: percentile bootstrap over photos, 1,000 resamples, a fixed "
            "seed."
        ),
    )


def classes(report: BenchReport) -> Html:
    return page.table(
        ("recall % of", *(f"{one.label} ({one.photos})" for one in report.rows[0].accuracy.classes)),
        (
            (row.name, *(percent(one.recall) if one.recall else "" for one in row.accuracy.classes))
            for row in report.rows
        ),
    )


def percent(estimate: Estimate, sign: str = "") -> Html:
    value, low, high = (f"{100 * part:{sign}.1f}" for part in (estimate.value, estimate.low, estimate.high))
    return page.lines(value, f"{low}…{high}")


def interval(estimate: Estimate) -> Html:
    return page.lines(three_digits(estimate.value), f"{three_digits(estimate.low)}…{three_digits(estimate.high)}")


def _mark(row: Row) -> str:
    return "unstable" if row.unstable else ""
