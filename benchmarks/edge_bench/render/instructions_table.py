"""Instruction counts as a table for people."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.markup import escape

from edge_bench.arm.instructions import InstructionChange, InstructionCost
from edge_device.command_line.tables import Column, print_table, terminal

BOARDS: Final = {"cortex-a72": "Raspberry Pi 4", "cortex-a76": "Raspberry Pi 5"}

BAR: Final = 16
"""Characters of the longest one."""

_COLUMNS: Final = {
    "model": Column("model", number=False),
    "input": Column("input"),
    "preprocess": Column("preprocess", keep=6),
    "inference": Column("inference"),
    "both": Column("both"),
    "ratio": Column("ratio", keep=7),
    "bar": Column("", keep=0),
    "dot": Column("dot", keep=2),
    "float": Column("float", keep=3),
    "integer": Column("integer", keep=1),
    "memory": Column("memory", keep=4),
    "Δ preprocess": Column("Δ preprocess", keep=5),
    "Δ inference": Column("Δ inference"),
}


@dataclass(frozen=True)
class FrameCost:
    """What one model costs on one core."""

    preprocessing: InstructionCost
    inference: InstructionCost

    @property
    def instructions(self) -> int:
        return self.preprocessing.instructions + self.inference.instructions


def instruction_lines(costs: Sequence[InstructionCost], changed: Sequence[InstructionChange] = ()) -> str:
    """A table for each core, with a line for each model.

    Args:
        costs: Both stages of each model; the others of a core are compared with its first one.
        changed: What has become of them since a table of before, if there is one; see
            `edge_bench.arm.instructions.changes`.
    """
    width = terminal().width
    lines = [
        "Millions of instructions a frame, not time: a core executes several at once, and waits for memory.",
        f"Frames of {costs[0].size.partition(' ')[0]}, one thread, {costs[0].versions}.",
        "dot, float, integer, memory are of inference: dot products, multiplications of vectors, loads and stores.",
    ]
    shares = {change.now.key: change.share for change in changed}
    for cpu in dict.fromkeys(cost.cpu for cost in costs):
        frames = _frames([cost for cost in costs if cost.cpu == cpu])
        most = max(frame.instructions for frame in frames)
        rows = [_row(frame, frame.instructions / frames[0].instructions, frame.instructions / most) for frame in frames]
        if changed:
            rows = [row | _changes(frame, shares) for row, frame in zip(rows, frames, strict=True)]
        lines += ["", f"{cpu} ({BOARDS[cpu]})", *_table(rows, width)]
    return "\n".join(_wrapped([*lines, *_summary(costs, changed)], width))


def _frames(costs: Sequence[InstructionCost]) -> list[FrameCost]:
    by_stage = {(cost.model, cost.stage): cost for cost in costs}
    return [FrameCost(by_stage[cost.model, "preprocessing"], cost) for cost in costs if cost.stage == "inference"]


def _row(frame: FrameCost, ratio: float, of_longest: float) -> dict[str, str]:
    model = frame.inference
    return {
        "model": model.model,
        "input": model.size.rpartition(" ")[2],
        "preprocess": _millions(frame.preprocessing.instructions),
        "inference": _millions(model.instructions),
        "both": _millions(frame.instructions),
        "ratio": f"{ratio:.2f}",
        "bar": ("█" * max(1, round(BAR * of_longest))).ljust(BAR, "░"),
        "dot": _millions(model.dot_product),
        "float": _millions(model.float_multiply),
        "integer": _millions(model.integer_multiply),
        "memory": _millions(model.memory),
    }


def _changes(frame: FrameCost, shares: Mapping[tuple[str, str, str, str], float]) -> dict[str, str]:
    cells = {"Δ preprocess": frame.preprocessing, "Δ inference": frame.inference}
    return {name: f"{shares[cost.key]:+.3%}" if cost.key in shares else "new" for name, cost in cells.items()}


def _table(rows: Sequence[Mapping[str, str]], width: int) -> list[str]:
    text = io.StringIO()
    columns = [_COLUMNS[name] for name in rows[0]]
    print_table(
        Console(file=text, width=width, highlight=False),
        columns,
        [[escape(cell) for cell in row.values()] for row in rows],
        "--json has all",
    )
    return [line.rstrip() for line in text.getvalue().splitlines()]


def _wrapped(lines: Sequence[str], width: int) -> list[str]:
    """Lines folded between words; those of a table fit."""
    return [
        part
        for line in lines
        for part in (
            textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) if len(line) > width else [line]
        )
    ]


def _summary(costs: Sequence[InstructionCost], changed: Sequence[InstructionChange]) -> list[str]:
    if not changed:
        return []
    largest = max(changed, key=lambda change: abs(change.share))
    lines = [f"Largest change of {len(changed)} counts: {largest}"]
    if new := len(costs) - len(changed):
        lines.append(f"{new} counts are not in the table of before")
    before = {change.before.versions for change in changed} - {costs[0].versions}
    lines += [f"Before with {versions}" for versions in sorted(before)]
    return ["", *lines]


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f}"
