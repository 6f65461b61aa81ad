"""Published figures, as a person sees them."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge_bench.render.table import WIDTH, three_digits
from edge_bench.results.reference import Own, Published


def print_reference(figures: Sequence[Published], rows: Sequence[Own]) -> None:
    """Prints figures, one's own first, to standard output; each source once, by its number."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    sources = list(dict.fromkeys(one.source for one in figures))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("board", overflow="fold")
    table.add_column("model", overflow="fold")
    for name in ("input", "ms", "top-1"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("how", overflow="fold")
    table.add_column("source", justify="right", no_wrap=True)
    for row in rows:
        threads = f", {row.threads} thread{'s' * (row.threads > 1)}" if row.threads else ""
        cells = (row.board, row.name, "", three_digits(row.ms), f"{row.top1:.1f}", row.runtime + threads, "yours")
        table.add_row(*(escape(cell) for cell in cells), style="bold")
    for one in figures:
        table.add_row(
            escape(one.board),
            escape(one.model),
            "" if one.input is None else str(one.input),
            f"{one.ms:g}",
            "" if one.top1 is None else f"{one.top1:.1f}",
            escape(", ".join(part for part in (one.numbers, one.runtime, one.note) if part)),
            str(sources.index(one.source) + 1),
        )
    console.print(table)
    console.print(
        "\n[dim]ms: the model alone, without preprocessing. top-1: of published figures on ImageNet, of yours on your photos.[/dim]",
        soft_wrap=True,
    )
    for number, source in enumerate(sources, 1):
        retrieved = next(one.retrieved for one in figures if one.source == source)
        console.print(f"{number}  {source} ({retrieved})", markup=False, soft_wrap=True)
