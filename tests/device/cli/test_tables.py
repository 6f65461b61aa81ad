import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_device.command_line.console import progress_columns
from edge_device.command_line.tables import Column, print_table

WIDTHS = (60, 80, 120)
FIGURES = ("12345.67", "-0.4", "98.1…99.9", "754", "0.31", "123…456", "84.3", "2700", "386")


def printed(columns: list[Column], rows: list[list[str]], width: int) -> list[str]:
    text = io.StringIO()
    print_table(Console(file=text, width=width, highlight=False), columns, rows, "see --json")
    return text.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_fits_and_shows_a_figure_whole_or_not_at_all(width: int) -> None:
    titles = ["a\n%", "b", "c", "d", "e", "f", "memory\nMB", "h", "i"]
    columns = [Column("model", number=False), *(Column(title, keep=keep) for keep, title in enumerate(titles))]
    lines = printed(columns, [["a-rather-long-name-of-a-model-with-int8", *FIGURES]], width)
    assert max(map(len, lines)) <= width
    row = next(line for line in lines if FIGURES[-1] in line)
    shown = [word for word in row.split() if re.search(r"\d", word) and "name" not in word and "int8" not in word]
    assert shown == [figure for figure in FIGURES if figure in shown]
    left_out = [line for line in lines if line.startswith("Left out")]
    assert bool(left_out) == (len(shown) < len(FIGURES))
    if width == 60:
        assert "memory MB" not in " ".join(left_out) and "a %" in " ".join(left_out)  # the least important first
    assert "".join(line.split()[0] for line in lines if line[:1].strip() and "Left" not in line).count("int8") == 1


@given(
    st.lists(st.tuples(st.text("ab -", max_size=50), st.floats(-1e9, 1e9), st.floats(0, 1)), min_size=1, max_size=4),
    st.sampled_from(WIDTHS),
)
def test_a_number_that_stands_in_text_is_never_cut(rows: list[tuple[str, float, float]], width: int) -> None:
    columns = [Column("name", number=False), Column("described as", number=False), Column("value")]
    cells = [[name, f"scale {scale:.6g}, zero point {value:.3f}", f"{value:.2f}"] for name, value, scale in rows]
    lines = printed(columns, cells, width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for _, value, scale in rows:
        assert f"{scale:.6g}," in words and f"{value:.3f}" in words and f"{value:.2f}" in words


@pytest.mark.parametrize("width", WIDTHS)
def test_a_bar_fits_and_shows_count_and_time_whole(width: int) -> None:
    from rich.progress import Progress

    text = io.StringIO()
    terminal = Console(file=text, width=width, force_terminal=True, color_system=None)
    label = "Running the backbone over more views of the training photos, 16 photos a step"
    with Progress(*progress_columns(width), console=terminal, auto_refresh=False) as progress:
        task = progress.add_task(label, total=26_000, completed=12_345)
        progress.refresh()
        drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.getvalue())
        progress.update(task, completed=26_000)
    lines = drawn.splitlines()
    assert max(map(len, lines)) <= width
    words = drawn.split()
    assert "12345/26000" in words
    assert "-:--:--" in words or "0:00:00" in words
    assert all(word in words for word in label.split())
