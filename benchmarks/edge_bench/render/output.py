"""A report, written: `bench.json`, `.csv`, `.png` and `.html` in a folder that is there whole or not at all."""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from edge_bench.results.foreign_pictures import ForeignTold
from edge_bench.results.report import BenchReport, Row
from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Photo
from edge_core.errors import OutputError
from edge_core.files import folder_written_whole, require_writable
from edge_core.statistics import Estimate

JSON_FILE: Final = "bench.json"
CSV_FILE: Final = "bench.csv"
CHART_FILE: Final = "bench.png"
PAGE_FILE: Final = "bench.html"
FILES: Final = frozenset({JSON_FILE, CSV_FILE, CHART_FILE, PAGE_FILE})


def check_out(folder: Path, files: Collection[str] = FILES, whole: str = JSON_FILE) -> None:
    """Whether `write_report` will be able to write there, asked before the work is done.

    Args:
        folder: Folder that will be written.
        files: That an earlier report may have left there.
        whole: One of them, without which it is no report.

    Raises:
        OutputError: It is taken by something else than an earlier benchmark, or not to be written.
    """
    if folder.is_dir():
        names = {child.name for child in folder.iterdir()}
        foreign = sorted(names.difference(files)) or sorted(names if whole not in names else ())
        if foreign:
            raise OutputError(f"{folder} holds {foreign[0]}, which is no benchmark's; choose another folder with --out")
    elif folder.exists():
        raise OutputError(f"{folder} is not a folder; choose another name with --out")
    require_writable(folder, folder=True)


def write_report(
    report: BenchReport, folder: Path, photos: Sequence[Photo] = (), foreign: Sequence[ForeignTold] = ()
) -> None:
    """Writes the four files; an earlier benchmark in this folder gives way.

    Args:
        report: What was found.
        folder: Folder to write into.
        photos: That the accuracies are of, in the report's order; without them the page shows none.
        foreign: What the files make of foreign pictures, which the page shows.

    Raises:
        OutputError: See `check_out`.
        RuntimeMissingError: Matplotlib is not installed.
    """
    from edge_bench.render.chart import draw_chart
    from edge_bench.render.report_page import write_page

    check_out(folder)
    with folder_written_whole(folder.resolve(), replace=True) as beside:
        (beside / JSON_FILE).write_text(report.to_text(), "utf-8")
        with (beside / CSV_FILE).open("w", encoding="utf-8", newline="") as file:
            table = [csv_fields(row) for row in report.rows]
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
        draw_chart(report, beside / CHART_FILE)
        write_page(report, beside / PAGE_FILE, photos, foreign)


def csv_fields(row: Row) -> JsonObject:
    """A row of `bench.csv`, its units in the names; what is not known is empty."""
    difference, robustness = row.difference, row.robustness
    fields: JsonObject = {
        "name": row.name,
        "runtime": row.runtime,
        "threads": row.threads,
        "delegate": row.delegate,
        **_parts("top1", row.accuracy.top1),
        **_parts("top5", row.accuracy.top5),
        **_parts("macro_f1", row.accuracy.macro_f1),
        **_parts("calibration_error", row.accuracy.calibration_error),
        **_parts("difference", difference.top1 if difference else None),
        "mcnemar_p": difference.mcnemar_p if difference else None,
        **_parts("agreement", difference.agreement if difference else None),
    }
    for name in ("preprocess", "invoke", "total"):
        latency = getattr(row, f"{name}_ms")
        fields |= _parts(f"{name}_median_ms", latency.median)
        fields |= {f"{name}_p95_ms": latency.p95, f"{name}_p99_ms": latency.p99, f"{name}_jitter": latency.jitter}
    return fields | {
        **_parts("ratio", row.ratio),
        **_parts("invoke_ratio", row.invoke_ratio),
        "cold_start_ms": row.cold_start_ms,
        "first_ms": row.first_ms,
        "unstable": "; ".join(row.unstable),
        "sustained_slowdown": row.sustained.slowdown if row.sustained else None,
        **_parts("corrupted", robustness.mean if robustness else None),
        **_parts("corruption_drop", robustness.drop if robustness else None),
        "frames_per_second": row.frames_per_second,
        "timed_frames": row.timed_frames,
        "joules_per_frame": row.joules,
        "file_bytes": row.file_bytes,
        "peak_memory_mb": row.peak_memory_mb,
    }


def _parts(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {
        name: estimate.value if estimate else None,
        f"{name}_low": estimate.low if estimate else None,
        f"{name}_high": estimate.high if estimate else None,
    }
