"""The `edge-train` command: results on standard output, one line for what is wrong, nothing half-written."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_core.run_folder import Run, read_run
from edge_keras.models.architectures import ARCHITECTURES, DEFAULT, Architecture

from ..further import slow_but
from .small_network import SMALL_NETWORK

Command = Callable[..., subprocess.CompletedProcess[str]]

SMALL = replace(SMALL_NETWORK, any_alpha=True)


@pytest.mark.parametrize("network", slow_but((SMALL, DEFAULT), {"small"}), ids=lambda network: network.name)
@pytest.mark.usefixtures("charts_are_blank")
def test_a_network_is_trained_and_evaluated(
    network: Architecture,
    command: Command,
    color_photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "mobilenet_v2", network)
    out = tmp_path / "run"
    done = command(
        "edge_train.cli", "fit", color_photos, "--out", out, "--image-size", 32, "--alpha", 0.35, "--weights", "none",
        "--epochs", 1, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert capfd.readouterr().out == "", "native code wrote beside the JSON"
    result = json.loads(done.stdout)
    assert result["run"] == str(out)
    assert result["labels"] == ["blue", "green", "red"]
    assert [line.split(",")[0] for line in (out / "history.csv").read_text().splitlines()[1:]] == ["head", "fine-tune"]
    card = read_run(out).card
    assert card.backbone is not None and (card.backbone.name, card.training["epochs"]) == (network.name, 1)
    done = command("edge_train.cli", "evaluate", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["photos"] == len(read_run(out).splits["test"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere"], "no such folder"),
        (["{empty}"], "holds no pictures"),
        (["{photos}", "--weights", "nowhere.h5"], "no such weights file"),
        (["{photos}", "--weights", "none", "--dropout", "1"], "--dropout 1 is not a share from 0 to below 1"),
        (
            ["{photos}", "--backbone", "vgg16", "--weights", "none", "--fine-tune-from", "20"],
            "vgg16_1_224x224 has 1 to 5 blocks",
        ),
        (["{photos}", "--weights", "none", "--crop", "sideways"], "input crop must be one of"),
        (["{photos}", "--weights", "none", "--out", "{photos}"], "is there already"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    command: Command, color_photos: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    (tmp_path / "empty").mkdir()
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "run")]
    filled = [argument.format(photos=color_photos, empty=tmp_path / "empty") for argument in arguments]
    done = command("edge_train.cli", "fit", *filled, *out)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_predict_prints_json(command: Command, color_run: Run) -> None:
    picture = color_run.splits["test"][0].path
    done = command("edge_train.cli", "predict", color_run.folder, picture, picture.parent / "missing.jpg", "--json")
    assert done.returncode == 2
    assert "missing.jpg" in done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["source"] == str(picture)
