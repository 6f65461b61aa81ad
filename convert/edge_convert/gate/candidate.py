"""A converted file between the proof and the disk."""

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edge_convert.foreign.measure import ForeignTest
from edge_convert.gate.gate_comparison import Comparison
from edge_convert.gate.limits import Limits, doubt_of, first_reason
from edge_convert.quantize.sqnr import LayerNoise
from edge_convert.targets import Verdict
from edge_core.artifact.card import ModelCard
from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Unusable


@dataclass(frozen=True)
class Candidate:
    """A converted file that was held against the full-size model and is not written yet.

    Attributes:
        recipe: Name of the recipe that made the file.
        spared: How many layers int8-selective left in floats; None for the other recipes.
        artifact: The complete, sealed .tflite.
        card: Model card inside the file.
        comparison: Comparison with the full-size model on held-out photos.
        latency_ms: Median of one inference on this machine.
        verdicts: Verdicts of the usual targets and of those that were asked for.
        missed: The limits that it does not keep to, by name, each in words; empty if it may be written.
        layers: What 8 bits do to each layer, the worst first; empty where that is not known.
        foreign: How it tells the known from the foreign; None if it cannot.
    """

    recipe: str
    spared: int | None
    artifact: bytes
    card: ModelCard
    comparison: Comparison
    latency_ms: float
    verdicts: dict[str, Verdict]
    missed: dict[str, str]
    layers: tuple[LayerNoise, ...]
    foreign: ForeignTest | None = None

    @property
    def name(self) -> str:
        """For people: `int8-selective, 4 spared`."""
        return self.recipe if self.spared is None else f"{self.recipe}, {self.spared} spared"

    @cached_property
    def compressed_bytes(self) -> int:
        """Of the file after DEFLATE, as a package or a download has it."""
        return len(zlib.compress(self.artifact, 9))

    def to_json(self) -> JsonObject:
        return {
            "recipe": self.recipe,
            **({} if self.spared is None else {"spared_layers": self.spared}),
            "size_bytes": len(self.artifact),
            "compressed_bytes": self.compressed_bytes,
            "latency_ms": self.latency_ms,
            "missed": self.missed,
            "foreign": self.foreign and self.foreign.to_json(),
        }


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        file: The complete .tflite.
        report: The JSON beside it.
        page: The HTML beside it.
        candidate: What was written.
        limits: That it was held to.
        left_out: Photos of `--data` that were passed over because the run had seen them.
        calibrated_on: How many photos; 0 where the recipe needs none.
        unusable: Photos to calibrate on or to prove it with that could not be used.
    """

    file: Path
    report: Path
    page: Path
    candidate: Candidate
    limits: Limits
    left_out: int
    calibrated_on: int
    unusable: tuple[Unusable, ...]

    @property
    def size_bytes(self) -> int:
        return len(self.candidate.artifact)

    @property
    def comparison(self) -> Comparison:
        return self.candidate.comparison

    def concerns(self, target: str) -> bool:
        """Whether a target's refusal is worth a word: it was asked for, or the file is of the kind that it is for.

        An Edge TPU computes in 8 bits alone: who exports floats for a Pi need not hear of it.
        """
        floats = not self.candidate.recipe.startswith("int8")
        return target in self.limits.checks() or not (target == "coral" and floats)

    def to_json(self) -> JsonObject:
        return {
            "file": str(self.file),
            "report": str(self.report),
            "page": str(self.page),
            **self.candidate.to_json(),
            **self.comparison.judgement_to_json(self.limits.max_drop),
            "comparison": self.comparison.to_json(),
            "targets": {name: verdict.to_json() for name, verdict in self.candidate.verdicts.items()},
        }


def pi_verdict(candidate: Candidate, limits: Limits) -> str:
    """Whether a file is good to use on a Raspberry Pi, in one sentence: yes, or what stands against it."""
    comparison = candidate.comparison
    against = list(candidate.missed.values())
    runtime = candidate.verdicts.get("litert-2.x")
    if runtime is not None and not runtime.ok and "litert-2.x" not in candidate.missed:
        against.insert(0, f"the runtime of the Pi does not take it: {first_reason(runtime)}")
    if against:
        return f"Not good to use on a Pi: {'; '.join(against)}."
    right = (
        f"right on {100 * comparison.converted.value:.1f} % of {comparison.photos} photos that training has never seen"
    )
    if comparison.photos_to_tell(limits.max_drop):
        return f"Good to use on a Pi as far as these photos tell, {right}: {doubt_of(comparison, limits.max_drop)}."
    return (
        f"Good to use on a Pi: {right}, and at most {limits.max_drop:g} below the full-size model in percentage points."
    )
