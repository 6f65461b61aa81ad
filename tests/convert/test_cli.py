"""The `edge-convert` command."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from edge_core.run_folder import Run

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_export_prints_what_it_proved(command: Command, small_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "colors.tflite"
    done = command(
        "edge_convert.cli",
        "export",
        small_run.folder,
        "--recipe",
        "float16",
        "--out",
        out,
        "--max-drop",
        100,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["file"] == str(out)
    assert result["comparison"]["agreement"]["value"] == 1.0
    shown = command("edge_device.cli", "images", out, small_run.splits["test"][0].path, "--json")
    assert json.loads(shown.stdout)["top"][0]["label"] == small_run.splits["test"][0].label


def test_a_folder_that_is_no_run_is_one_line_and_status_2(command: Command, tmp_path: Path) -> None:
    done = command("edge_convert.cli", "export", tmp_path, "--out", tmp_path / "a.tflite")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "is not a run folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
