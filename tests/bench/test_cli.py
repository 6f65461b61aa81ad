import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_bench.cli import app

from ..further import slow_but
from ..programs import Started
from .conftest import SPLITS, MakeReport, Tiny

COMMAND = [sys.executable, "-c", "from edge_bench.cli import app; app()", "run"]
FAST = ["--seconds", "0.25", "--threads", "1", "--frame-size", "160x90", "--cold-starts", "1"]


def command_line(process: int) -> bytes:
    """Of a running process; empty when there is none."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("first", slow_but(("run (Keras)", "tiny-swapped"), {"tiny-swapped"}))
def test_the_command_measures_the_runs_own_test_photos(tiny: Tiny, tmp_path: Path, first: str) -> None:
    models = [tiny.run, tiny.same] if first == "run (Keras)" else [tiny.swapped, tiny.same, "--held-out-by", tiny.run]
    done = subprocess.run(
        [*COMMAND, *models, *FAST, "--json", "--out", tmp_path / "bench"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # nothing but JSON there
    assert report == json.loads((tmp_path / "bench" / "bench.json").read_text("utf-8"))
    assert len(report["truth"]) == 3 * len(SPLITS["test"]) and report["left_out"] == 0
    assert [row["name"] for row in report["rows"]] == [first, "tiny-same"]
    assert (
        done.stderr.splitlines()[-1] == f"wrote bench.json, bench.csv, bench.png and bench.html to {tmp_path / 'bench'}"
    )
    assert str(tmp_path) not in done.stdout


@pytest.mark.slow
def test_ctrl_c_leaves_neither_workers_nor_files(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    process = Started(
        [*COMMAND, tiny.run, tiny.same, *FAST, "--out", tmp_path / "bench"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )
    with process:
        workers: list[int] = []
        while len(workers) < 2 and process.poll() is None:
            time.sleep(0.05)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            workers = [
                int(child) for child in children if b"edge_bench.measure.bench_worker" in command_line(int(child))
            ]
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[-1] == "interrupted"
    assert process.returncode == 130
    assert len(workers) == 2 and not any(command_line(worker) for worker in workers)
    assert not (tmp_path / "bench").exists()
    assert not list((tmp_path / "temporary").iterdir())


def test_a_first_file_that_cannot_be_run_is_one_line_and_leaves_nothing(tiny: Tiny, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tflite"
    data = bytearray(tiny.same.read_bytes())
    data[400:900] = b"\xff" * 500
    damaged.write_bytes(data)
    result = CliRunner().invoke(
        app, ["run", str(damaged), str(tiny.run), *FAST, "--data", str(tiny.photos), "--out", str(tmp_path / "bench")]
    )
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "damaged.tflite" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "bench").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        *[["--frame-size", "big"], ["--frame-size", "0x720"], ["--seconds", "0"], ["--threads", "0"]],
        *[["--threads", "1,x"], ["--precision", "much"], ["--sustained", "10"], ["--cold-starts", "0"]],
    ],
)
def test_options_that_make_no_sense_are_refused(tiny: Tiny, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["run", str(tiny.run), str(tiny.same), *arguments])
    assert result.exit_code == 2
    assert arguments[0] in result.stderr


def test_bad_input_is_one_line(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    for arguments, reason in (
        ([tmp_path, tiny.same], "is not a run folder"),
        (
            [tiny.run, tmp_path / "none.tflite"],
            "none.tflite: No such file or directory; edge-convert export RUN --out ",
        ),
        ([tiny.run, tiny.same, "--out", tmp_path], "holds mine.txt, which is no benchmark's"),
        ([tiny.run, tiny.same, "--data", tmp_path], "holds no pictures"),
        ([tiny.same, tiny.swapped], "--held-out-by RUN"),
        ([tiny.run, "--runtime", "word"], "no runtime is called 'word'"),
        ([tiny.run, "--delegate", "gpu"], "no delegate is called 'gpu'"),
        ([tiny.run, "--power-csv", tmp_path / "none.csv"], "none.csv: No such file"),
    ):
        out = [] if "--out" in arguments else ["--out", tmp_path / "bench"]
        result = CliRunner().invoke(app, ["run", *map(str, [*arguments, *out])])
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1), result.stderr
        assert reason in result.stderr
        assert not (tmp_path / "bench").exists()


def test_a_missing_extra_is_told_of_before_any_work(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "edge_bench.render.chart", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    result = CliRunner().invoke(app, ["run", str(tiny.run), str(tiny.same), "--out", str(tmp_path / "bench")])
    assert result.exit_code == 2
    assert result.stderr == "error: this needs matplotlib.axes; install it with: pip install 'edge-mobilenet[bench]'\n"


def test_help_has_an_example() -> None:
    assert "Example: edge-bench run" in CliRunner().invoke(app, ["--help"]).stdout


def test_compare_ends_with_status_1_and_names_the_row_that_broke(make_report: MakeReport, tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(make_report(("full", 0.92, 10.0), ("int8", 0.91, 2.0)).to_text())
    new.write_text(make_report(("full", 0.92, 10.0), ("int8", 0.91, 3.0)).to_text())
    assert CliRunner().invoke(app, ["compare", str(old), str(old)]).exit_code == 0
    result = CliRunner().invoke(app, ["compare", str(old), str(new)])
    assert result.exit_code == 1
    assert result.stderr == f"error: worse than {old}: int8\n"
    assert "broke     int8: latency: 2 ms became 3 ms, +50.0 %" in result.stdout
    result = CliRunner().invoke(app, ["compare", str(old), str(new), "--max-slowdown", "60%", "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["passed"] is True


@pytest.mark.parametrize(
    ("content", "reason"), [(b"{}", "no numbered schema"), (b"\xff", "utf-8"), (None, "No such file")]
)
def test_compare_names_the_file_that_is_no_report(
    make_report: MakeReport, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(make_report(("full", 0.92, 10.0)).to_text())
    if content is not None:
        new.write_bytes(content)
    result = CliRunner().invoke(app, ["compare", str(old), str(new)])
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "new.json" in result.stderr and reason in result.stderr
