"""The cheapest recipe that keeps to all limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_convert.export import USUAL_OPTIONS, ConversionOptions, ExportSession
from edge_convert.gate.candidate import Candidate, Exported
from edge_convert.gate.limits import Limits
from edge_core.codec import JsonObject
from edge_core.files import require_tflite
from edge_core.run_folder import Run

WHOLE: Final = ("int8", "int8-equalised", "int8-mse", "int8-percentile")
"""All of it in 8 bits: as small and as fast as it gets, and what an Edge TPU takes; they differ in how ranges are
chosen."""
SPARED: Final = (2, 4, 8, 16)
FLOATS: Final = ("float16", "dynamic", "int16x8")
"""What is left where 8 bits do not do: twice the size, then 5 and 36 times the time of int8 on x86-64."""


@dataclass(frozen=True)
class Searched:
    """What a search found.

    Attributes:
        tried: Candidates in the order of trying; the last one is what was written, if any was.
        exported: None if none keeps to all limits.
    """

    tried: tuple[Candidate, ...]
    exported: Exported | None

    def to_json(self) -> JsonObject:
        written = self.exported.to_json() if self.exported else {"file": None}
        return {**written, "tried": [one.to_json() for one in self.tried]}


def search(
    run: Run,
    out: Path,
    limits: Limits,
    options: ConversionOptions = USUAL_OPTIONS,
) -> Searched:
    """Tries recipes from the cheapest to the dearest and writes the first that keeps to all limits, or nothing.

    Every recipe that is tried is one more chance for these photos to let one through; the report tells how many it
    were.

    Args:
        run: The trained run.
        out: The .tflite to write.
        limits: Limits that the written file must keep.
        options: Photos, key and where progress goes.

    Raises:
        DatasetError, RunFolderError: There are no photos to calibrate on or to prove it with.
        OutputError: `out` cannot be written.
    """
    require_tflite(out)
    bench = ExportSession(run, options)
    tried: list[Candidate] = []
    for recipe, spared in _in_order("coral" in limits.checks()):
        candidate = bench.try_recipe(recipe, limits, spared)
        tried.append(candidate)
        if not candidate.missed:
            return Searched(tuple(tried), bench.write(candidate, out, limits, tried))
        options.say(f"{candidate.name}: {'; '.join(candidate.missed.values())}")
    return Searched(tuple(tried), None)


def _in_order(coral: bool) -> Iterator[tuple[str, int | None]]:
    """Recipes with the number of layers to spare; what has floats in it is no use to an Edge TPU."""
    yield from ((recipe, None) for recipe in WHOLE)
    if not coral:
        yield from (("int8-selective", count) for count in SPARED)
        yield from ((recipe, None) for recipe in FLOATS)
