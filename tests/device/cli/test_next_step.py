import os
import sys
from pathlib import Path

import pytest

from edge_device.command_line.next_step import say_next, say_next_live


def test_the_next_command_can_be_pasted_and_names_both_kinds_of_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        say_next_live(Path("my model.tflite"))
        monkeypatch.undo()
        lines = os.read(ours, 4096).decode().splitlines()
    os.close(ours)
    assert lines == [
        "next: edge-run live 'my model.tflite' --source 0",
        "  or: edge-run live 'my model.tflite' --source picamera",
    ]


def test_a_script_gets_no_next_command(capfd: pytest.CaptureFixture[str]) -> None:
    say_next("edge-run doctor")
    assert capfd.readouterr() == ("", "")
