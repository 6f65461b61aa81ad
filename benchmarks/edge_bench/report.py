"""What a benchmark found, as values."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from edge_core.intervals import Estimate
from edge_core.photos import Unusable

SCHEMA: Final = "1.0"
"""Of `bench.json`, major.minor: a newer minor version only adds fields."""


@dataclass(frozen=True)
class Latency:
    """What a frame took, in milliseconds: the median, and what 95 % of the frames stayed below."""

    median: float
    p95: float


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        name: `full size`, or the name of the .tflite file.
        runtime: name and version of what ran it.
        top1: accuracy on the held-out photos, 0..1, with its 95 % interval.
        difference: of the accuracy to the full-size model's, paired by photo; None for the full-size model.
        agreement: share of photos that get the full-size model's label, right or wrong; None for the full-size model.
        preprocess_ms: from the camera's frame to the input tensor.
        invoke_ms: from there to the scores.
        total_ms: both, frame by frame.
        timed_frames: how many frames the latencies are of.
        file_bytes: size of the model file.
        peak_memory_mb: resident memory, 1e6 bytes, of a process that runs this model and holds one frame.
    """

    name: str
    runtime: str
    top1: Estimate
    difference: Estimate | None
    agreement: Estimate | None
    preprocess_ms: Latency
    invoke_ms: Latency
    total_ms: Latency
    timed_frames: int
    file_bytes: int
    peak_memory_mb: float

    @property
    def frames_per_second(self) -> float:
        """From the median total."""
        return 1e3 / self.total_ms.median


@dataclass(frozen=True)
class Environment:
    """Where and how it was measured.

    Attributes:
        date: when it began, ISO 8601 with the time zone.
        machine: board or CPU model.
        cores: that this process may use.
        governor: of the CPU's frequency; None where the system does not tell.
        load: average number of busy processes in the minute before; more than a few tenths spoils the latencies.
        system, python: name and version.
        packages: versions of those that matter here.
        threads: for one inference.
        frame_size: (width, height) of the frames that were timed.
        seconds: that each row was timed for.
    """

    date: str
    machine: str
    cores: int
    governor: str | None
    load: float
    system: str
    python: str
    packages: dict[str, str]
    threads: int
    frame_size: tuple[int, int]
    seconds: float


@dataclass(frozen=True)
class Report:
    """A benchmark.

    Attributes:
        run: name of the run folder.
        rows: the full-size model, then the .tflite files in the order given.
        photos: number of held-out photos that the accuracies are of.
        photos_sha256: fingerprint of those photos and their labels: accuracies compare where it is the same.
        left_out: number of photos passed over because the run was trained or validated on them.
        unusable: files that could not be decoded.
        environment: where and how.
    """

    run: str
    rows: tuple[Row, ...]
    photos: int
    photos_sha256: str
    left_out: int
    unusable: tuple[Unusable, ...]
    environment: Environment

    def to_json(self) -> dict[str, Any]:
        """The object in `bench.json`; of the unusable files only their number, so that no path gets out."""
        rows = [{**asdict(row), "frames_per_second": row.frames_per_second} for row in self.rows]
        return {"schema": SCHEMA, **asdict(self), "rows": rows, "unusable": len(self.unusable)}
