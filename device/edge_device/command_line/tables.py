"""Tables for people, as all four commands print them: fitted to the terminal without ever cutting a number."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

LOG_COLUMNS: Final = 110
"""Width where standard output is not a terminal, so that a log gets the table unbroken."""

NAME_COLUMNS: Final = 9
"""Width that a column of names keeps when it is folded."""

_FIGURE: Final = re.compile(r"[-+(]?\d[\d.,…x%:e)-]*$")


@dataclass(frozen=True)
class Column:
    """A column of a `print_table`.

    Attributes:
        title: Heading, of several lines where it has line breaks.
        number: Whether the cells are figures: aligned right, and never folded or cut.
        keep: Importance; where the terminal is too narrow, the columns with the lowest value are left out first, and
            names fold before any column goes. None for a column that is never left out.
    """

    title: str
    number: bool = True
    keep: int | None = None


def terminal() -> Console:
    """Standard output as tables see it."""
    return Console(width=None if sys.stdout.isatty() else LOG_COLUMNS, highlight=False)


def print_table(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]], advice: str = "") -> None:
    """Prints a table that fits the console's width.

    Columns that do not fit are left out whole, and named below the table.

    Args:
        console: Console that the table is printed to.
        columns: Columns of the table.
        rows: Cells in rich's markup, as many in each row as there are columns.
        advice: Where the columns that are left out can be seen, appended to the line that names them.
    """
    gap = 1 if console.width < 92 else 2
    widths = fitting(columns, rows, console.width, gap)
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for index, width in widths.items():
        column = columns[index]
        justify: Literal["left", "right"] = "right" if column.number else "left"
        table.add_column(column.title, justify=justify, no_wrap=column.number, overflow="fold", width=width)
    for row in rows:
        table.add_row(*(row[index] for index in widths))
    console.print(table)
    missing = (columns[index].title.split() for index in range(len(columns)) if index not in widths)
    if left_out := [" ".join(words) for words in missing if words]:  # what has no title says nothing new
        console.print(
            f"Left out at {console.width} columns: {', '.join(left_out)}{advice and f'; {advice}'}.", style="dim"
        )


def fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, gap: int) -> dict[int, int]:
    """Which columns fit into `width` terminal cells, `gap` apart, and how wide each of them is."""
    texts = [_lines([column.title, *(row[index] for row in rows)]) for index, column in enumerate(columns)]
    natural = [max(map(cell_len, lines), default=0) for lines in texts]
    least = [_least_width(column, wide, lines) for column, wide, lines in zip(columns, natural, texts, strict=True)]
    widths = {index: natural[index] for index in _kept(columns, least, width, gap)}
    while sum(wide + gap for wide in widths.values()) - gap > width:
        foldable = [index for index in widths if widths[index] > least[index]]
        if not foldable:
            break
        # A cell at a time from the widest, so that columns of names end up equally wide.
        widths[max(foldable, key=widths.__getitem__)] -= 1
    return widths


def _least_width(column: Column, natural: int, lines: Sequence[str]) -> int:
    """How narrow a column may become: a number is never folded, and neither is a figure within a text."""
    return natural if column.number else min(natural, max(NAME_COLUMNS, _longest_figure(lines)))


def _kept(columns: Sequence[Column], least: Sequence[int], width: int, gap: int) -> list[int]:
    """Which columns are shown at their least width: of those that may go, the least important ones go first."""
    shown = list(range(len(columns)))
    while sum(least[index] + gap for index in shown) - gap > width:
        # Of the same importance the one furthest right goes first.
        droppable = [(keep, -index) for index in shown if (keep := columns[index].keep) is not None]
        if not droppable:
            break
        shown.remove(-min(droppable)[1])
    return shown


def _lines(cells: Sequence[str]) -> list[str]:
    return [line for cell in cells for line in Text.from_markup(cell).plain.splitlines()]


def _longest_figure(lines: Sequence[str]) -> int:
    """Width of the longest word with a figure at its beginning: text folds at spaces, so that it stays whole."""
    return max((cell_len(word) for line in lines for word in line.split() if _FIGURE.match(word)), default=0)
