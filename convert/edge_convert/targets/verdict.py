"""What a target will do with a file."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_convert.tflite.graph import Operator
from edge_core.codec import JsonObject


@dataclass(frozen=True)
class Placement:
    """Where an operator will run.

    Attributes:
        operator: The operator whose place is told.
        why: What keeps it on the CPU; empty for one that is mapped to the accelerator.
    """

    operator: Operator
    why: str

    @property
    def mapped(self) -> bool:
        return not self.why


@dataclass(frozen=True)
class Verdict:
    """What a target will do with a file.

    Attributes:
        target: Name of the target.
        ok: Whether the file does there what it is for.
        reasons: What stands in the way, and what to do, a line each; notes may stand here when it is ok, too.
        placements: Where every operator will run, for a target with an accelerator; None for the others.
    """

    target: str
    ok: bool
    reasons: tuple[str, ...]
    placements: tuple[Placement, ...] | None = None

    def to_json(self) -> JsonObject:
        counts = {
            f"{where}_operators": count_names(one.operator for one in self.placements or () if one.mapped == mapped)
            for where, mapped in (("mapped", True), ("cpu", False))
        }
        return {"ok": self.ok, **(counts if self.placements is not None else {}), "reasons": list(self.reasons)}


def count_names(operators: Iterable[Operator]) -> dict[str, int]:
    """How many operators there are of each name, the most frequent first."""
    return dict(Counter(operator.name for operator in operators).most_common())


def where(operators: Sequence[Operator], shown: int = 3) -> str:
    """The layers that operators came from, for a sentence: ` (layers a, b, c and 4 more)`."""
    layers = list(dict.fromkeys(operator.layer for operator in operators if operator.layer))
    if not layers:
        return ""
    more = f" and {len(layers) - shown} more" if len(layers) > shown else ""
    return f" (layer{'s' * (len(layers) > 1)} {', '.join(layers[:shown])}{more})"
