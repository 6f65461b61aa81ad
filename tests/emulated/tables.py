"""What was found on emulated boards, as values and as tables of text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tests.emulated.guest.main import Outcome
from tests.emulated.guest.measured import Arrays

from edge_bench.arm.machine import Cpu


@dataclass(frozen=True)
class Row:
    """Something that was compared.

    Attributes:
        machine, what: of what.
        equal: how many of `count` are the same.
        largest: difference; levels of pixels, steps of a tensor, or of scores 0..1. None: it says nothing.
        allowed: how large it may be; None: all must be equal.
        why: it may be.
    """

    machine: str
    what: str
    equal: int
    count: int
    largest: float | None
    allowed: float | None = None
    why: str = ""

    @property
    def right(self) -> bool:
        within = self.allowed is not None and self.largest is not None and self.largest <= self.allowed
        return self.equal == self.count or within


LABELS_NAMED: Final = 10
"""How many labels the models that are made here must name among the photos, each at least once: files that say one
thing of every picture are equal on any machine, whatever is wrong with it."""

LABELS_NAMED_BY_OTHERS: Final = 2
"""The same of models that were given, whose photos may show few of their labels."""


@dataclass(frozen=True)
class Spread:
    """How much a model's scores tell photos apart, on this machine.

    Attributes:
        what: model, and what it looked at.
        photos: number of photos.
        named: number of labels that were the best one of a photo.
        scores: number of different score vectors.
        needed: number of labels that had to be named.
    """

    what: str
    photos: int
    named: int
    scores: int
    needed: int

    @property
    def wrong(self) -> str:
        """Why equal scores would prove nothing; empty if they do."""
        if self.named < self.needed:
            return f"names {self.named} of {self.needed} labels: whatever machines differ in, scores would be the same"
        if 2 * self.scores < self.photos:
            return f"gives {self.scores} different scores of {self.photos} photos: equal ones prove too little"
        return ""


def spread(what: str, scores: npt.NDArray[np.generic], needed: int) -> Spread:
    """How much scores of shape (photos, labels) differ between the photos.

    Args:
        what: model, and what it looked at.
        scores: of the photos.
        needed: labels to be named among 40 photos or more; of fewer photos one for four, but two at least.
    """
    photos = len(scores)
    few = max(LABELS_NAMED_BY_OTHERS, min(needed, photos // 4))
    return Spread(what, photos, len(set(scores.argmax(1).tolist())), len({one.tobytes() for one in scores}), few)


def spread_table(spreads: Sequence[Spread]) -> str:
    lines = [("scores that are compared", "photos", "labels named", "different scores", "")]
    for one in spreads:
        numbers = str(one.photos), f"{one.named}, {one.needed} needed", str(one.scores)
        lines.append((one.what, *numbers, f"FAILED: {one.wrong}" if one.wrong else ""))
    return _aligned(lines)


STEP: Final = 1 / 256
"""Of a score in 8 bits. LiteRT has two kernels of SOFTMAX for 8 bits, and XNNPACK none: one with a table of floats, and
for 64-bit Arm (optimized_ops.h: `#if __aarch64__ && __clang__`) one with a table of 16-bit whole numbers. Where the
exact score lies between two steps, they may take different ones: seen on 1 photo of 100, at 0.499 and 0.501 steps from
the exact one."""

FLOATS: Final = 1e-5
"""Sums of floats are made in another order; 4e-7 was seen."""


def compared(machine: str, there: Arrays, here: Arrays, exact: Sequence[str]) -> Iterator[Row]:
    """Each thing that was measured on a machine against what it is here.

    Args:
        machine: its name.
        there, here: what `measured` gave.
        exact: the stems of the models whose arithmetic is in whole numbers: their scores differ by a step at most.
    """
    for what, wanted in here.items():
        found = there[what]
        same = [a.tobytes() == b.tobytes() for a, b in zip(found, wanted, strict=True)]
        largest = float(np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max())
        row = Row(machine, what, sum(same), len(same), None if "SHA-256" in what else largest)
        if what.startswith("scores "):
            if what.removeprefix("scores ") in exact:
                row = replace(row, allowed=STEP, why="another SOFTMAX kernel, a step apart")
            else:
                row = replace(row, allowed=FLOATS, why="sums in another order")
        yield row


def rows_table(rows: Sequence[Row]) -> str:
    def note(row: Row) -> str:
        return "DIFFERS" if not row.right else row.why if row.equal < row.count else ""

    lines = [("machine", "the same bytes as here", "equal", "largest difference", "")]
    for row in rows:
        largest = "" if row.largest is None else f"{row.largest:.3g}"
        lines.append((row.machine, row.what, f"{row.equal} of {row.count}", largest, note(row)))
    return _aligned(lines)


def faults_table(machine: str, said: Sequence[Mapping[str, Any]]) -> str:
    """Camera faults: what `edge-run live` said, and in how many seconds it had frames again."""
    lines = [(f"the camera of {machine}", "frames again after", "what edge-run live said")]
    for one in said:
        after = f"{one['after_s']:.1f} s" if one["recovered"] else "NEVER"
        lines.append((one["fault"], after, one["noticed"] or "nothing; it went on"))
    return _aligned(lines)


def stages_table(outcomes: Mapping[Cpu, Mapping[str, Outcome | None]]) -> str:
    """What became of every stage of every machine; None: it was not done."""
    lines = [("machine", "stage", "", "seconds", "of the processor")]
    for machine, stages in outcomes.items():
        for stage, outcome in stages.items():
            if outcome is None:
                lines.append((machine, stage, "NOT DONE", "", ""))
            else:
                times = f"{outcome.seconds:.1f}", f"{outcome.processor_s:.1f}"
                lines.append((machine, stage, f"FAILED: {outcome.failed}" if outcome.failed else "passed", *times))
    return _aligned(lines)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
