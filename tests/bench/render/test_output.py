import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_bench.render import chart
from edge_bench.render.bench_plots import confusion_change
from edge_bench.render.output import check_out, write_report
from edge_bench.render.table import print_report
from edge_bench.results.report import BenchReport, Failed, Sustained
from edge_core.data.photo_folder import Photo
from edge_core.errors import OutputError
from edge_device.command_line import tables

FILES = {"bench.json", "bench.csv", "bench.png", "bench.html"}
MakeReport = Callable[..., BenchReport]


@pytest.fixture
def report(make_report: MakeReport) -> BenchReport:
    return make_report(
        ("full size", 0.921, 10.2),
        ("flowers-float32", 0.921, 3.91),
        ("flowers-int8", 0.917, 2.59),
        ("16x8", 0.92, 84.3),
    )


@pytest.mark.usefixtures("charts_are_blank")
def test_json_and_csv_say_the_same(report: BenchReport, tmp_path: Path) -> None:
    write_report(report, tmp_path / "bench")
    assert {child.name for child in (tmp_path / "bench").iterdir()} == FILES
    written = json.loads((tmp_path / "bench" / "bench.json").read_text("utf-8"))
    assert BenchReport.from_json(json.dumps(written)) == report
    assert written["environment"]["machine"] == "Raspberry Pi 5 Model B Rev 1.0"
    with (tmp_path / "bench" / "bench.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, fields in zip(rows, written["rows"], strict=True):
        assert row["name"] == fields["name"]
        assert float(row["top1_low"]) == fields["accuracy"]["top1"]["low"]
        assert float(row["total_median_ms"]) == fields["total_ms"]["median"]["value"]
        assert float(row["invoke_p95_ms"]) == fields["invoke_ms"]["p95"]
        assert float(row["frames_per_second"]) == pytest.approx(1000 / fields["total_ms"]["median"]["value"])
    assert rows[0]["difference"] == rows[0]["agreement_high"] == ""


@pytest.mark.usefixtures("charts_are_blank")
def test_an_earlier_benchmark_gives_way(report: BenchReport, make_report: MakeReport, tmp_path: Path) -> None:
    write_report(make_report(("old", 0.5, 1.0)), tmp_path / "bench")
    write_report(report, tmp_path / "bench")
    assert "\nold," not in (tmp_path / "bench" / "bench.csv").read_text("utf-8")
    assert [child.name for child in tmp_path.iterdir()] == ["bench"]


@pytest.mark.parametrize("name", ["notes.txt", "bench.csv", ".hidden"])
def test_a_folder_that_holds_something_else_is_left_alone(report: BenchReport, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    message = f"holds {name}, which is no benchmark's"
    with pytest.raises(OutputError, match=message):
        check_out(tmp_path)
    with pytest.raises(OutputError, match=message):
        write_report(report, tmp_path)
    assert [child.name for child in tmp_path.iterdir()] == [name]


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "bench").write_text("mine")
    with pytest.raises(OutputError, match="is not a folder"):
        check_out(tmp_path / "bench")
    with pytest.raises(OutputError, match="cannot be written"):
        check_out(tmp_path / "bench" / "below")


@pytest.mark.usefixtures("charts_are_blank")
def test_a_report_that_fails_half_way_leaves_the_earlier_one(
    report: BenchReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(report, tmp_path / "bench")
    before = {child.name: child.read_bytes() for child in (tmp_path / "bench").iterdir()}

    def fail(report: BenchReport, path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(chart, "draw_chart", fail)
    with pytest.raises(KeyboardInterrupt):
        write_report(report, tmp_path / "bench")
    assert {child.name: child.read_bytes() for child in (tmp_path / "bench").iterdir()} == before
    assert [child.name for child in tmp_path.iterdir()] == ["bench"]


@pytest.mark.parametrize(
    "rows",
    [
        [("full size", 1.0, 1.0)],
        [("full size", 0.0, 0.01), ("slow", 1.0, 50_000.0)],
        [(f"a rather long name of a model, number {index}", 0.9, 5.0) for index in range(12)],
    ],
)
def test_a_chart_can_be_drawn_of_any_rows(
    make_report: MakeReport, tmp_path: Path, rows: list[tuple[str, float, float]]
) -> None:
    chart.draw_chart(make_report(*rows), tmp_path / "bench.png")
    picture = cv2.imread(str(tmp_path / "bench.png"))
    assert picture is not None and picture.shape == (960, 1600, 3)


def test_the_names_in_a_chart_cover_neither_each_other_nor_a_point(make_report: MakeReport) -> None:
    from matplotlib.figure import Figure

    rows = make_report(
        *[("full size", 0.921, 10.2), ("float32", 0.921, 3.91), ("float16", 0.921, 3.93)],
        *[("dynamic", 0.918, 12.3), ("int8", 0.917, 2.59), ("int8-qat", 0.922, 2.6)],
    ).rows
    figure = Figure(figsize=(8, 4.8), dpi=200)
    axes = figure.add_subplot()
    chart._set_up(axes, rows)
    chart._label(axes, rows)
    names = [text for text in axes.texts if text.get_text()]
    assert {name.get_text() for name in names} == {row.name for row in rows}
    boxes = [name.get_window_extent() for name in names]
    for index, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[:index])
        assert not box.count_overlaps([covered for row in rows for covered in chart._covered(axes, row)])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_and_cuts_no_figure(
    width: int, report: BenchReport, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LOG_COLUMNS", width)
    print_report(replace(report, rows=tuple(replace(row, peak_memory_mb=754.3) for row in report.rows)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[: lines.index("")])) <= width
    row = next(line.split() for line in lines if line.startswith("flowers-i") and "91.7" in line)
    figures = ["91.7", "-0.4", "99.6", "0.25", "2.59", "2.33", "386", "2700", "754"]
    assert row[1:] == [figure for figure in figures if figure in row]
    assert {"91.7", "-0.4", "2.59", "754"} <= set(row)
    assert (len(row) == 10) == (width == 120)


@pytest.mark.usefixtures("charts_are_blank")
def test_a_row_that_failed_and_one_that_is_unstable_are_told_of_in_table_and_page(
    report: BenchReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shaky = replace(report.rows[1], unstable=("its turns spread by 30 %",))
    told = replace(report, rows=(report.rows[0], shaky), failed=(Failed("<b>other</b>", "not installed"),))
    print_report(told)
    write_report(told, tmp_path / "bench")
    page = (tmp_path / "bench" / "bench.html").read_text("utf-8")
    for text in (capsys.readouterr().out, page):
        assert "its turns spread by 30 %" in text and "not installed" in text
    assert "<b>other</b>" not in page


def test_the_page_asks_for_nothing_from_outside_and_shows_what_rows_disagree_on(
    report: BenchReport, tmp_path: Path
) -> None:
    picture = tmp_path / "photo.png"
    cv2.imwrite(str(picture), np.zeros((30, 40, 3), np.uint8))
    sustained = Sustained(report.rows[0].turns, 1.2, ("throttled in 3 of 12 turns",))
    full = replace(report, rows=(replace(report.rows[0], sustained=sustained), *report.rows[1:]))
    photos = [Photo(picture, report.labels[label], "") for label in report.truth]
    write_report(full, tmp_path / "bench", photos)
    page = (tmp_path / "bench" / "bench.html").read_text("utf-8")
    assert 'src="http' not in page and "<script" not in page
    changed = sum(len({*said}) > 1 for said in zip(*(row.accuracy.predicted for row in report.rows), strict=True))
    assert f"{changed} of 736 photos" in page and page.count("photo.png") == min(changed, 24)
    assert "throttled in 3 of 12 turns" in page and "Under corruption" in page


def test_of_many_labels_the_matrix_has_those_that_changed(make_report: MakeReport) -> None:
    first = make_report(("full size", 0.9, 10.0)).rows[0]
    changed = np.zeros((100, 100), int)
    changed[98, 99] = 7
    before, after = (
        replace(first, accuracy=replace(first.accuracy, confusion=tuple(map(tuple, confusion))))
        for confusion in (np.zeros_like(changed).tolist(), changed.tolist())
    )
    of_all = confusion_change(after, before, [f"class {number}" for number in range(100)])
    shown = cv2.imdecode(np.frombuffer(of_all, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert max(shown.shape) < 3000
    assert np.ptp(shown, axis=2).max() > 50  # the change is among what is shown, in color


def test_the_front_leaves_out_what_another_row_beats(make_report: MakeReport) -> None:
    rows = make_report(("a", 0.9, 5.0), ("b", 0.9, 4.0), ("c", 0.8, 1.0), ("d", 0.7, 2.0), ("e", 0.95, 9.0)).rows
    assert [row.name for row in chart.pareto_front(rows)] == ["c", "b", "e"]
