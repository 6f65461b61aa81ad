"""Help texts of all commands, as terminals of usual widths show them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from .test_advice import APPS, OWN_PARSER, built, registered


def every(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A command and those below it, by their words."""
    yield path, command
    for name in getattr(command, "commands", ()):
        below = (*path, name)
        yield from every(registered(below) or command.get_command(None, name), below)


COMMANDS = dict(found for name, app in APPS.items() for found in every(built(app), (name,)))


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_name_of_an_option_is_cut(
    path: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    command = COMMANDS[path]
    context = command.make_context(path[-1], [], resilient_parsing=True)
    text = command.get_help(context) + capsys.readouterr().out
    shown = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    names = [name for one in shown for name in (*one.opts, *one.secondary_opts) if name.startswith("--")]
    assert names or path in OWN_PARSER
    assert not [name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", text)]
    assert max(map(len, text.splitlines())) <= columns


def test_options_keep_their_headings_where_the_terminal_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    live = COMMANDS["edge-run", "live"]
    text = live.get_help(live.make_context("live", [], resilient_parsing=True))
    headings = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert headings[0] == "Arguments" and {"Source", "Where results go", "Options"} <= {*headings}
    assert "EDGE_RUN_MQTT_PASSWORD" in text
