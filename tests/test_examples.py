"""The examples of the documentation run as they stand, each in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_core import Frame

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def run(example: str, *arguments: object) -> list[str]:
    command = [sys.executable, str(EXAMPLES / example), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_one_picture_is_classified(
    tiny_model: Callable[[], Path], color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), color_frames["green"])
    lines = run("classify_frame.py", tiny_model(), tmp_path / "a.png")
    assert lines[0].split()[1] == "green" and len(lines) == 4


def test_frames_of_ones_own_source_are_classified(tiny_model: Callable[[], Path]) -> None:
    labels = [line.split()[2] for line in run("own_source.py", tiny_model())]
    assert labels == ["blue", "green", "red", "blue", "green", "red", "blue", "green", "red", "blue"]


def test_ones_own_sink_gets_the_events(
    tiny_model: Callable[[], Path], color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    video = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    if not video.isOpened():
        pytest.skip("this OpenCV cannot write Motion JPEG")
    for label in ("red", "blue"):
        for _ in range(40):
            video.write(np.ascontiguousarray(color_frames[label]))
    video.release()
    lines = run("own_sink.py", tiny_model(), tmp_path / "a.avi")
    assert lines == ["lamp on for red", "lamp off for red", "lamp on for blue", "lamp off for blue"]
