import json
from datetime import date
from urllib.parse import urlsplit

import pytest

from edge_bench.render.reference_table import print_reference
from edge_bench.results.reference import Own, matching, published, to_json


def test_every_published_figure_has_its_source() -> None:
    figures = published()
    assert len(figures) >= 50
    for one in figures:
        assert one.board and one.model and one.runtime
        assert urlsplit(one.source).scheme == "https"
        assert date.fromisoformat(one.retrieved).year >= 2026
        assert 0 < one.ms < 10_000
        assert one.top1 is None or 30 < one.top1 < 90
        assert one.input is None or 96 <= one.input <= 300


def test_no_figure_is_there_twice() -> None:
    keys = [(one.board, one.model, one.input, one.numbers, one.runtime, one.source) for one in published()]
    assert len(keys) == len(set(keys))


def test_words_narrow_the_figures_down() -> None:
    figures = published()
    assert matching(figures, []) == figures
    pi = matching(figures, ["raspberry pi 4", "V2"])
    assert pi and all(one.board == "Raspberry Pi 4" and "v2" in one.model for one in pi)
    assert matching(figures, ["no such board"]) == ()


def test_own_rows_come_first_and_each_source_once(capsys: pytest.CaptureFixture[str]) -> None:
    figures = matching(published(), ["raspberry"])
    own = Own("My [board]", "flowers-int8", "ai-edge-litert 2.3.0", 2, 12.345, 91.7)
    print_reference(figures, [own])
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert (
        "My [board]" in lines[1] and "12.3" in lines[1] and "91.7" in lines[1] and lines[1].rstrip().endswith("yours")
    )
    for source in {one.source for one in figures}:
        assert output.count(source) == 1
    assert json.loads(json.dumps(to_json(figures, [own])))["own"][0]["ms"] == 12.345
