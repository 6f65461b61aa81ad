"""Instruction counts as a table for people."""

from collections.abc import Sequence

from edge_bench.instructions import Cost, changes


def instruction_lines(costs: Sequence[Cost], before: Sequence[Cost] = ()) -> str:
    """A line for each cost, in millions, and by how much it has changed where it was known before."""
    shares = {change.now.key: f"{change.share:+.2%}" for change in changes(before, costs)}
    rows: list[tuple[str, ...]] = [("model", "core", "stage", "size", "all", "dot", "fmla", "mull", "memory", "change")]
    rows += [
        (
            *cost.key,
            *(f"{n / 1e6:.2f}" for n in (cost.instructions, cost.dot, cost.fmla, cost.mull, cost.memory)),
            shares.get(cost.key, ""),
        )
        for cost in costs
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) if index < 4 else cell.rjust(width) for index, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join(["Millions of instructions a frame, which are no time", *(line.rstrip() for line in lines)])
