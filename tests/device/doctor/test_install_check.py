from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_core import Frame
from edge_device.doctor import install_check
from edge_device.doctor.findings import Finding, Report
from edge_device.doctor.install_check import InstallReport, check_installation, preprocessed_digest, report_text
from edge_device.inference.verify import sealed


@pytest.fixture(autouse=True)
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_check, "examine", lambda: Report((Finding("board", "ok", "a board"),)))


@pytest.fixture
def model(tiny_model: Callable[..., Path], color_frames: dict[str, Frame]) -> Path:
    path = tiny_model()
    path.write_bytes(sealed(path.read_bytes(), list(color_frames.values())))
    return path


def test_preprocessing_gives_here_what_it_gives_on_arm() -> None:
    assert preprocessed_digest() == install_check.EXPECTED


def test_all_checks_pass_on_a_sound_installation(model: Path) -> None:
    told: list[str] = []
    report = check_installation([model], "fake:64x48@100", told.append)
    names = ["doctor", "preprocess", f"verify {model.name}", "live fake:64x48@100"]
    assert [check.name for check in report.checks] == told == names
    assert report.failed == () and report.to_json()["passed"] is True
    assert InstallReport.from_json(report.to_json()) == report
    assert report_text(report).endswith("all passed\n")


def test_one_that_fails_keeps_none_of_the_others_from_being_made(model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(model.read_bytes()[:-7])
    report = check_installation([damaged, tmp_path / "absent.tflite", model])
    assert report.failed == ("verify damaged.tflite", "verify absent.tflite")
    text = report_text(report)
    assert "FAILED  verify damaged.tflite" in text and text.endswith(
        "failed: verify damaged.tflite, verify absent.tflite\n"
    )


def test_a_problem_of_the_board_and_other_bytes_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_check, "examine", lambda: Report((Finding("opencv", "problem", "it is gone"),)))
    monkeypatch.setattr(install_check, "preprocess", lambda frame, spec: np.zeros(spec.shape, np.uint8))
    report = check_installation([])
    assert report.failed == ("doctor", "preprocess")
    assert "it is gone" in report_text(report)
