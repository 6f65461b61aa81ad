"""What a converted file is held to."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from edge_convert.foreign.measure import ForeignTest
from edge_convert.gate.gate_comparison import Comparison
from edge_convert.targets import Verdict

MAX_DROP_POINTS: Final = 1.0

USUAL_TARGETS: Final = ("litert-2.x", "tflite-runtime-2.14", "coral", "mediapipe", "android")
"""What every export is checked for; one that refuses is mentioned, and refuses the export only if it was asked for."""

BOARDS: Final[dict[str, tuple[str, ...]]] = {"any": (), "pi": ("litert-2.x",)}
"""Targets by the name of what lies on the desk, beside those that `targets.check` knows."""


@dataclass(frozen=True)
class Limits:
    """What a converted file has to keep to.

    Attributes:
        max_drop: Loss of top-1 accuracy, in points, see `Comparison.passes`.
        max_size_kb: Largest permitted file size in units of 1,000 bytes.
        max_latency_ms: Median of one inference on this machine.
        targets: That have to take it, of `BOARDS` and `targets.target_names()`.
        strict: Whether photos that are too few to tell are no pass.
        max_unknown: Largest permitted share of foreign pictures that count as known, in percent.

    Raises:
        ValueError: A limit makes no sense.
    """

    max_drop: float = MAX_DROP_POINTS
    max_size_kb: float = inf
    max_latency_ms: float = inf
    targets: tuple[str, ...] = ()
    strict: bool = False
    max_unknown: float = 100.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop <= 100:
            raise ValueError(f"a drop is 0 to 100 points, not {self.max_drop}")
        if not (self.max_size_kb > 0 and self.max_latency_ms > 0):
            raise ValueError(f"a limit is more than 0, not {self.max_size_kb} kB or {self.max_latency_ms} ms")

    def checks(self) -> tuple[str, ...]:
        """The targets as `targets.check` knows them."""
        return tuple(dict.fromkeys(name for target in self.targets for name in BOARDS.get(target, (target,))))

    def keeps_drop(self, comparison: Comparison) -> bool:
        """Whether a comparison keeps to `max_drop`."""
        told = comparison.judge(self.max_drop) == "within the limit"
        return told if self.strict else comparison.passes(self.max_drop)

    def missed(
        self,
        comparison: Comparison,
        size_bytes: int,
        latency_ms: float,
        verdicts: Mapping[str, Verdict],
        foreign: ForeignTest | None = None,
    ) -> dict[str, str]:
        """The limits that a file does not keep to, by name, each in words."""
        found = {}
        if not self.keeps_drop(comparison):
            doubt = f"; {doubt_of(comparison, self.max_drop)}" if comparison.photos_to_tell(self.max_drop) else ""
            lost = (
                f"may lose up to {0.0 - 100 * comparison.difference.low:.1f} points"
                if comparison.passes(self.max_drop)
                else f"loses {comparison.drop_points:.1f} points"
            )
            found["max_drop"] = (
                f"{lost} on {comparison.photos} held-out photos, where --max-drop is {self.max_drop:g}{doubt}"
            )
        if size_bytes > 1e3 * self.max_size_kb:
            found["max_size_kb"] = f"has {size_bytes / 1e3:.0f} kB, where --max-size-kb is {self.max_size_kb:g}"
        if latency_ms > self.max_latency_ms:
            found["max_latency_ms"] = (
                f"takes {latency_ms:.1f} ms on this machine, where --max-latency-ms is {self.max_latency_ms:g}"
            )
        # A file that has no detector takes everything for something it knows.
        let_in = 100 * foreign.let_in.value if foreign and foreign.let_in else 100.0
        if let_in > self.max_unknown:
            found["max_unknown"] = (
                f"takes {let_in:.1f} % of foreign pictures for something it knows, where --max-unknown is "
                f"{self.max_unknown:g}"
            )
        for name in self.checks():
            if not verdicts[name].ok:
                found[name] = f"{name} does not take it: {first_reason(verdicts[name])}"
        return found


USUAL_LIMITS: Final = Limits()
"""Limits of an export that names none."""


def doubt_of(comparison: Comparison, max_drop: float) -> str:
    """That the photos are too few to tell, and how many would do."""
    low, high = 100 * comparison.difference.low, 100 * comparison.difference.high
    return (
        f"{comparison.photos} photos are too few to be sure ({low:+.1f} to {high:+.1f} points): "
        f"about {comparison.photos_to_tell(max_drop)} would tell whether it loses more than {max_drop:g}; "
        "--data FOLDER tests on more photos"
    )


def first_reason(verdict: Verdict) -> str:
    """The first of a verdict's reasons, and how many more there are."""
    more = f" (and {len(verdict.reasons) - 1} more)" if len(verdict.reasons) > 1 else ""
    return f"{verdict.reasons[0] if verdict.reasons else 'no reason given'}{more}"
