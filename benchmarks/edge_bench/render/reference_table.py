"""Published figures, as a person sees them."""

from collections.abc import Sequence

from rich.markup import escape

from edge_bench.render.table import three_digits
from edge_bench.results.reference import Own, Published
from edge_device.command_line.tables import Column, print_table, terminal


def print_reference(figures: Sequence[Published], rows: Sequence[Own]) -> None:
    """Prints figures, one's own first, to standard output; each source once, by its number."""
    console = terminal()
    sources = list(dict.fromkeys(one.source for one in figures))
    columns = (
        Column("board", number=False),
        Column("model", number=False),
        Column("input", keep=2),
        Column("ms"),
        Column("top-1", keep=3),
        Column("how", number=False, keep=1),
        Column("source", keep=4),
    )
    cells: list[tuple[str, ...]] = []
    for row in rows:
        threads = f", {row.threads} thread{'s' * (row.threads > 1)}" if row.threads else ""
        own = (row.board, row.name, "", three_digits(row.ms), f"{row.top1:.1f}", row.runtime + threads, "yours")
        cells.append(tuple(cell and f"{escape(cell)}" for cell in own))
    cells += [_published_cells(one, sources.index(one.source) + 1) for one in figures]
    print_table(console, columns, cells, "--json has all")
    console.print(
        "\n[dim]ms: the model alone, without preprocessing. top-1: of published figures on ImageNet, of yours on your "
        "photos.[/dim]",
        soft_wrap=True,
    )
    for number, source in enumerate(sources, 1):
        retrieved = next(one.retrieved for one in figures if one.source == source)
        console.print(f"{number}  {source} ({retrieved})", markup=False, soft_wrap=True)


def _published_cells(one: Published, number: int) -> tuple[str, ...]:
    """A row of the table; `number` stands for its source."""
    return (
        escape(one.board),
        escape(one.model),
        "" if one.input is None else str(one.input),
        f"{one.ms:g}",
        "" if one.top1 is None else f"{one.top1:.1f}",
        escape(", ".join(part for part in (one.numbers, one.runtime, one.note) if part)),
        str(number),
    )
