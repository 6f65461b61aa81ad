"""Published figures beside one's own."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources

from edge_bench.results.report import BenchReport
from edge_core.codec import JsonObject


@dataclass(frozen=True)
class Published:
    """What somebody has published of a model on a board; None or empty where the source does not say.

    Attributes:
        board: What it ran on.
        model: Architecture and width.
        input: Side of its square input, pixels.
        numbers: What it calculates in, `int8`.
        runtime: What ran it, on how many threads.
        ms: One inference, without preprocessing.
        top1: Accuracy on ImageNet, 0..100.
        source: Address of the page that says so.
        retrieved: When that was read, YYYY-MM-DD.
        note: What else has to be known.
    """

    board: str
    model: str
    input: int | None
    numbers: str
    runtime: str
    ms: float
    top1: float | None
    source: str
    retrieved: str
    note: str


@dataclass(frozen=True)
class Own:
    """A row of one's own report, as far as it compares."""

    board: str
    name: str
    runtime: str
    threads: int | None
    ms: float
    top1: float


def published() -> tuple[Published, ...]:
    """All figures of `published.csv`, in its order: board by board as the sources have them."""
    text = resources.files("edge_bench").joinpath("published.csv").read_text("utf-8")
    return tuple(
        Published(
            board=row["board"],
            model=row["model"],
            input=int(row["input"]) if row["input"] else None,
            numbers=row["numbers"],
            runtime=row["runtime"],
            ms=float(row["ms"]),
            top1=float(row["top1"]) if row["top1"] else None,
            source=row["source"],
            retrieved=row["retrieved"],
            note=row["note"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def own(report: BenchReport) -> tuple[Own, ...]:
    """The rows of a report: medians of `invoke`, since nobody publishes preprocessing."""
    return tuple(
        Own(
            report.environment.machine,
            row.name,
            row.runtime,
            row.threads,
            row.invoke_ms.median.value,
            100 * row.accuracy.top1.value,
        )
        for row in report.rows
    )


def matching(figures: Sequence[Published], words: Sequence[str]) -> tuple[Published, ...]:
    """Those whose board, model, numbers or runtime have all the words, in upper or lower case."""
    return tuple(
        one
        for one in figures
        if all(word.lower() in f"{one.board} {one.model} {one.numbers} {one.runtime}".lower() for word in words)
    )


def to_json(figures: Sequence[Published], rows: Sequence[Own]) -> JsonObject:
    """What `edge-bench reference --json` prints."""
    return {"published": [asdict(one) for one in figures], "own": [asdict(one) for one in rows]}
