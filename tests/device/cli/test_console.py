import os
import select
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import pytest
import typer

from edge_core.errors import CheckFailedError, RuntimeMissingError, SourceError
from edge_device.command_line import console
from edge_device.command_line.console import BUG, extra_needed, one_line_errors, say, track


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (SourceError("no camera;\n  plug one in"), 2, "error: no camera; plug one in\n"),
        (CheckFailedError("accuracy 71.0 %"), 1, "error: accuracy 71.0 %\n"),
        (FileNotFoundError(2, "No such file", "a  b"), 2, "error: [Errno 2] No such file: 'a  b'\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (KeyError("x"), BUG, "error: unexpected KeyError: 'x'; please report it with what --debug shows\n"),
    ],
)
def test_an_error_becomes_one_line_and_a_status(
    error: BaseException, status: int, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, one_line_errors():
        raise error
    assert caught.value.code == status
    assert capfd.readouterr() == ("", line)


def test_an_error_where_the_shell_has_closed_standard_output_is_told_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as caught, one_line_errors():
        raise OSError("disk")
    assert caught.value.code == 2
    assert capfd.readouterr().err == "error: disk\n"


@pytest.mark.parametrize("error", [SourceError("no camera"), OSError("disk"), KeyError("x")])
def test_debug_shows_the_traceback_too(error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_line_errors(debug=True):
        raise error
    shown = capfd.readouterr().err
    assert shown.startswith("Traceback")
    assert "test_console.py" in shown
    assert shown.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("error", [typer.Exit(3), typer.BadParameter("no"), typer.Abort(), SystemExit(4)])
def test_typers_own_ends_pass_through(error: BaseException) -> None:
    with pytest.raises(type(error)), one_line_errors():
        raise error


def test_a_message_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("first\n  second")
    assert capsys.readouterr() == ("", "first second\n")


def test_a_missing_extra_is_named_and_other_failures_are_not_hidden() -> None:
    advice = r"pip install 'edge-mobilenet\[train\]'"
    with pytest.raises(RuntimeMissingError, match=advice), extra_needed("train", "no_such"):
        import_module("no_such.module")
    with pytest.raises(ModuleNotFoundError) as caught, extra_needed("train", "other"):
        import_module("no_such.module")
    assert not isinstance(caught.value, RuntimeMissingError)


def test_work_is_quiet_in_a_log_unless_it_was_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(track(range(5), "Reading", 5)) == [0, 1, 2, 3, 4]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(console, "QUIET_S", 0.0)
    assert list(track("abc", "Reading")) == ["a", "b", "c"]
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("Reading: 3 in ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(("total", "line"), [(3, "Scoring: 1 of 3, "), (None, "Scoring: 1, "), (1, "Scoring: ")])
def test_long_work_tells_a_log_now_and_then_that_it_goes_on(
    total: int | None, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "EVERY_S", 0.02)
    told, end_s = "", time.monotonic() + 60

    def is_told() -> bool:
        nonlocal told
        told += capsys.readouterr().err
        return any(one.startswith(line) and one.endswith(" s so far") for one in told.splitlines())

    for number in track(range(3), "Scoring", total):
        while number == 1 and not is_told():
            assert time.monotonic() < end_s, told
            time.sleep(0.01)
    assert not [one for one in threading.enumerate() if one.name == "progress"]
    monkeypatch.setattr(console, "EVERY_S", 1000.0)
    capsys.readouterr()
    with console.working("Converting"):
        pass
    assert capsys.readouterr() == ("", "")


def test_work_draws_a_bar_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert list(track(range(3), "Reading photos", 3)) == [0, 1, 2]
        monkeypatch.undo()
        shown = ""
        while "3/3" not in shown:  # drawn by a thread: it may come in several pieces
            assert select.select([ours], [], [], 10)[0], shown
            shown += os.read(ours, 1 << 16).decode(errors="replace")
    os.close(ours)
    assert "Reading photos" in shown
    assert "3/3" in shown
