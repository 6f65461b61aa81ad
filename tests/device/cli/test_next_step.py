import shlex
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import cast

import pytest
import typer

from edge_device.cli import service_command
from edge_device.cli.live_command import _say_next as say_next_of_live
from edge_device.cli.live_command import live
from edge_device.cli.live_parameters import given_fields, given_values, run_of
from edge_device.command_line.next_step import say_next, say_next_live
from edge_device.system import unit_file


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, say: Callable[[], None]) -> list[str]:
    """The lines that are said where standard error is a terminal."""
    terminal = Terminal()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        say()
    return terminal.getvalue().splitlines()


def advised_after_live(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """What `edge-run live` advises after a run that was asked for by these words."""
    parser = typer.Typer(add_completion=False)
    parser.command()(live)
    context = cast(typer.Context, typer.main.get_command(parser).make_context("live", list(words)))
    run = run_of(context.params, given_fields(context))
    return at_a_terminal(monkeypatch, lambda: say_next_of_live(run.cameras[""], given_values(context)))


def test_the_service_after_a_camera_has_the_options_that_were_typed(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Path]
) -> None:
    model = tiny_model()
    once = ["--frames", "5", "--window", "--debug", "--teach"]
    kept = "--source /dev/video9 --control 'focus=1 2' --threshold 0.6 --threshold red=0.8 --web 0.0.0.0:8080"
    kept += " --mqtt mqtt://home --no-mqtt-picture"
    (line,) = advised_after_live(
        monkeypatch, *once, *shlex.split(kept), str(model), "--jsonl", "/srv/events.jsonl", "--collect", "../photos"
    )
    advised = shlex.split(line.partition(" service install ")[2])
    assert line.startswith("next: sudo ") and advised[0] == str(model)
    expected = [*shlex.split(kept), "--jsonl", "events.jsonl", "--collect", "photos"]
    assert sorted(advised[1:]) == sorted(expected)
    # The service takes it as it is: nothing in it stands in the way.
    file, options = service_command._parsed(advised)
    assert not [one for one in unit_file.plan(file, options).obstacles if "writes" in one or "teach" in one]


def test_the_service_after_a_configuration_file_has_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "porch.toml"
    config.write_text('model = "m.tflite"\nsource = "picamera"\n')
    (line,) = advised_after_live(monkeypatch, "--config", str(config), "--web", "8080")
    assert line.endswith(f" service install --config {config} --web 8080")


def test_the_camera_after_a_video_has_the_options_that_were_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = advised_after_live(monkeypatch, "m.tflite", "--source", "cat.mp4", "--realtime", "--zone", "door=0,0,0.5,1")
    assert lines == [
        "next: edge-run live m.tflite --zone door=0,0,0.5,1 --source 0",
        "  or: edge-run live m.tflite --zone door=0,0,0.5,1 --source picamera",
    ]


def test_the_next_command_can_be_pasted_and_names_both_kinds_of_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = at_a_terminal(monkeypatch, lambda: say_next_live(Path("my model.tflite")))
    assert lines == [
        "next: edge-run live 'my model.tflite' --source 0",
        "  or: edge-run live 'my model.tflite' --source picamera",
    ]


def test_a_script_gets_no_next_command(capfd: pytest.CaptureFixture[str]) -> None:
    say_next("edge-run doctor")
    assert capfd.readouterr() == ("", "")
