"""A report, written: `bench.json`, `bench.csv` and `bench.png` in a folder that is there whole or not at all."""

import csv
import json
import os
from pathlib import Path
from typing import Any, Final

from edge_bench.report import Report, Row
from edge_core.errors import OutputError
from edge_core.files import folder_written_whole

JSON_FILE: Final = "bench.json"
CSV_FILE: Final = "bench.csv"
CHART_FILE: Final = "bench.png"


def check_out(folder: Path) -> None:
    """Whether `write_report` will be able to write there, asked before the work is done.

    Raises:
        OutputError: it is taken by something else than an earlier benchmark, or not to be written.
    """
    if folder.is_dir():
        names = {child.name for child in folder.iterdir()}
        foreign = sorted(names - {JSON_FILE, CSV_FILE, CHART_FILE}) or sorted(names if JSON_FILE not in names else ())
        if foreign:
            raise OutputError(f"{folder} holds {foreign[0]}, which is no benchmark's; choose another folder with --out")
    elif folder.exists():
        raise OutputError(f"{folder} is not a folder; choose another name with --out")
    above = next(parent for parent in folder.resolve().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written: no right to write in {above}; choose another with --out")


def write_report(report: Report, folder: Path) -> None:
    """Writes the three files; an earlier benchmark in this folder gives way.

    Raises:
        OutputError: see `check_out`.
        RuntimeMissingError: matplotlib is not installed.
    """
    from edge_bench.chart import draw_chart

    check_out(folder)
    with folder_written_whole(folder.resolve(), replace=True) as beside:
        (beside / JSON_FILE).write_text(to_text(report), "utf-8")
        with (beside / CSV_FILE).open("w", encoding="utf-8", newline="") as file:
            table = [csv_fields(row) for row in report.rows]
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
        draw_chart(report, beside / CHART_FILE)


def to_text(report: Report) -> str:
    """The text of `bench.json`."""
    return json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"


def csv_fields(row: Row) -> dict[str, Any]:
    """A row of `bench.csv`, its units in the names."""
    fields: dict[str, Any] = {"name": row.name, "runtime": row.runtime}
    for name, estimate in (("top1", row.top1), ("difference", row.difference), ("agreement", row.agreement)):
        for part in ("value", "low", "high"):
            fields[name if part == "value" else f"{name}_{part}"] = getattr(estimate, part, "")
    for name in ("preprocess", "invoke", "total"):
        latency = getattr(row, f"{name}_ms")
        fields |= {f"{name}_median_ms": latency.median, f"{name}_p95_ms": latency.p95}
    return fields | {
        "frames_per_second": row.frames_per_second,
        "timed_frames": row.timed_frames,
        "file_bytes": row.file_bytes,
        "peak_memory_mb": row.peak_memory_mb,
    }
