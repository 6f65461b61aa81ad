import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edge_bench import Report, chart
from edge_bench.output import check_out, write_report
from edge_bench.table import print_table
from edge_core.errors import OutputError

FILES = {"bench.json", "bench.csv", "bench.png"}
MakeReport = Callable[..., Report]


@pytest.fixture
def report(make_report: MakeReport) -> Report:
    return make_report(
        ("full size", 0.921, 10.2),
        ("flowers-float32", 0.921, 3.91),
        ("flowers-int8", 0.917, 2.59),
        ("16x8", 0.92, 84.3),
    )


def test_json_and_csv_say_the_same(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path / "bench")
    assert {child.name for child in (tmp_path / "bench").iterdir()} == FILES
    written = json.loads((tmp_path / "bench" / "bench.json").read_text("utf-8"))
    assert written == json.loads(json.dumps(report.to_json()))
    assert written["schema"] == "1.0"
    assert written["environment"]["machine"] == "Raspberry Pi 5 Model B Rev 1.0"
    with (tmp_path / "bench" / "bench.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, fields in zip(rows, written["rows"], strict=True):
        assert row["name"] == fields["name"]
        assert float(row["top1_low"]) == fields["top1"]["low"]
        assert float(row["total_median_ms"]) == fields["total_ms"]["median"]
        assert float(row["invoke_p95_ms"]) == fields["invoke_ms"]["p95"]
        assert float(row["frames_per_second"]) == pytest.approx(1000 / fields["total_ms"]["median"])
    assert rows[0]["difference"] == rows[0]["agreement_high"] == ""


def test_an_earlier_benchmark_gives_way(report: Report, make_report: MakeReport, tmp_path: Path) -> None:
    write_report(make_report(("old", 0.5, 1.0)), tmp_path / "bench")
    write_report(report, tmp_path / "bench")
    assert "old" not in (tmp_path / "bench" / "bench.csv").read_text("utf-8")
    assert [child.name for child in tmp_path.iterdir()] == ["bench"]


@pytest.mark.parametrize("name", ["notes.txt", "bench.csv", ".hidden"])
def test_a_folder_that_holds_something_else_is_left_alone(report: Report, tmp_path: Path, name: str) -> None:
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


def test_a_report_that_fails_half_way_leaves_the_earlier_one(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(report, tmp_path / "bench")
    before = {child.name: child.read_bytes() for child in (tmp_path / "bench").iterdir()}

    def fail(report: Report, path: Path) -> None:
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


def test_the_table_fits_eighty_columns(
    report: Report, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_bench.table.WIDTH", 80)
    print_table(report)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line.split() for line in lines if line.startswith("flowers-int8"))
    assert row == ["flowers-int8", "91.7", "-0.4", "99.6", "0.26", "2.33", "2.59", "386", "2700", "62"]
