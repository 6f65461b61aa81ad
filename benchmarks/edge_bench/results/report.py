"""What a benchmark found, as values."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from edge_bench.results.accuracy import Accuracy, Difference
from edge_bench.results.environment import Environment
from edge_bench.results.foreign_pictures import ForeignRow
from edge_bench.results.latency import RowLatency
from edge_bench.results.scene_rows import SceneRow
from edge_core.codec import from_fields
from edge_core.errors import ReportError
from edge_core.statistics import Estimate
from edge_device.system.board import Readings

SCHEMA: Final = 1
"""Of `bench.json`: a newer one is refused, and a field that this version does not know is ignored."""


@dataclass(frozen=True)
class Turn:
    """A turn in which one row was timed, a quarter of a second or so.

    Attributes:
        time_s: When it ended, from the first turn of all.
        total_ms: Median of its frames.
        frames: How many those were.
        readings: Sensor readings of the board at the end of the turn.
    """

    time_s: float
    total_ms: float
    frames: int
    readings: Readings


@dataclass(frozen=True)
class Sustained:
    """A row that runs alone and without a pause.

    Attributes:
        turns: One a second.
        slowdown: Median of the last quarter of the turns as a multiple of that of the first ten seconds.
        unstable: Why its figures are not to be believed; empty if they are.
    """

    turns: tuple[Turn, ...]
    slowdown: float
    unstable: tuple[str, ...]


@dataclass(frozen=True)
class Robustness:
    """A row under the corruptions of `edge_bench.perturb.corruptions`, mean over all kinds and severities.

    Attributes:
        clean: top-1 accuracy on the same photos, square and small but not corrupted.
        mean: Mean accuracy under corruption, bootstrap over photos.
        difference: Difference of `mean` to the first row, paired by photo, by the same bootstrap; None for the
            first row itself.
        drop: Accuracy lost to corruption as a share of `clean`, the same bootstrap.
        relative_drop: `drop` less the first row's: more than 0 says that this row breaks earlier; None for the first
            row.
        accuracy: Accuracy of each kind of corruption at each severity from 1 to 5.
    """

    clean: Estimate
    mean: Estimate
    difference: Estimate | None
    drop: Estimate
    relative_drop: Estimate | None
    accuracy: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Row:
    """One model as one runtime runs it.

    Attributes:
        name: Unique in the report.
        runtime: Name and version of what ran it.
        threads: Number of threads for one inference; None where the runtime decides.
        delegate: Name out of `edge_bench.backends.contenders.DELEGATES`; None where no delegate can be used.
        accuracy: Accuracy on the held-out photos.
        difference: Difference to the first row; None for the first row itself.
        preprocess_ms: Time from the camera's frame to the input tensor.
        invoke_ms: Time from the input tensor to the scores.
        total_ms: Both, frame by frame.
        ratio: `total_ms` as a multiple of the first row's, by round, see `edge_bench.results.latency.ratio`.
        invoke_ratio: The same of `invoke_ms`.
        cold_start_ms: Time from the start of a process to its first scores, which covers Python, libraries, model
            and one frame; the median of a few starts with warm file caches.
        first_ms: What the first frame of such a process took; the median of the same starts.
        turns: Turns in the order in which they were timed, one for each round.
        unstable: Why the latencies are not to be believed; empty if they are.
        sustained: None unless it was asked for.
        robustness: None unless it was asked for.
        joules: Energy of the whole board for one frame; None where nothing measures power.
        file_bytes: Size of the model file.
        peak_memory_mb: Resident memory, 1e6 bytes, of a process that runs this model and holds one frame.
    """

    name: str
    runtime: str
    threads: int | None
    delegate: str | None
    accuracy: Accuracy
    difference: Difference | None
    preprocess_ms: RowLatency
    invoke_ms: RowLatency
    total_ms: RowLatency
    ratio: Estimate
    invoke_ratio: Estimate
    cold_start_ms: float
    first_ms: float
    turns: tuple[Turn, ...]
    unstable: tuple[str, ...]
    sustained: Sustained | None
    robustness: Robustness | None
    joules: float | None
    file_bytes: int
    peak_memory_mb: float

    @property
    def frames_per_second(self) -> float:
        """From the median total."""
        return 1e3 / self.total_ms.median.value

    @property
    def timed_frames(self) -> int:
        """How many frames the latencies are of."""
        return sum(turn.frames for turn in self.turns)


@dataclass(frozen=True)
class Failed:
    """A row that could not be measured, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class BenchSettings:
    """How it was measured.

    Attributes:
        frame_size: (width, height) of the frames that are timed: a camera's, since preprocessing is part of the cost.
        seconds: Largest total time to time each row for, in turns.
        precision: Timing ends earlier once every median and every ratio is known to this share of it, either side.
        cold_starts: Processes started for each row, of which one stays.
        robustness_photos: Photos to corrupt; 0 for none.
        sustained_s: How long each row runs alone afterwards; 0 for not at all.
        seed: Random seed for the order of turns and frames.
    """

    frame_size: tuple[int, int] = (1280, 720)
    seconds: float = 10.0
    precision: float = 0.02
    cold_starts: int = 3
    robustness_photos: int = 0
    sustained_s: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class BenchReport:
    """All figures of a benchmark, as `bench.json` has them.

    Attributes:
        rows: Rows in the order of the command line; the others are compared with the first.
        failed: Rows that could not be measured.
        labels: Labels in the order of the models' outputs.
        truth: Index of the right label of each held-out photo.
        photos_sha256: Fingerprint of those photos and their labels: accuracies compare where it is the same.
        left_out: Number of photos passed over because a run had seen them in training or validation.
        unusable: Number of files that could not be decoded.
        unknown: Files of which no run tells which photos they were trained on.
        environment: Machine and packages that were measured with.
        settings: Durations, frames, seed and optional measurements.
        foreign: What the files that have a detector make of foreign pictures, if there are any.
        scenes: What the files decide about composed scenes, by focus and height of the subject, if they were asked for.
    """

    rows: tuple[Row, ...]
    failed: tuple[Failed, ...]
    labels: tuple[str, ...]
    truth: tuple[int, ...]
    photos_sha256: str
    left_out: int
    unusable: int
    unknown: tuple[str, ...]
    environment: Environment
    settings: BenchSettings
    foreign: tuple[ForeignRow, ...] = ()
    scenes: tuple[SceneRow, ...] = ()

    @property
    def photos(self) -> int:
        """Number of held-out photos that the accuracies are of."""
        return len(self.truth)

    def to_text(self) -> str:
        """The text of `bench.json`; no path gets out."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_text` wrote.

        Raises:
            ReportError: No JSON, of a newer version, or a field that is missing or of the wrong type.
        """
        try:
            fields: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ReportError(f"no report of edge-bench: it is no JSON: {error}") from error
        schema = fields.get("schema") if isinstance(fields, dict) else None
        if type(schema) is not int:
            raise ReportError("no report of edge-bench, or one from before version 0.2: it has no numbered schema")
        if schema > SCHEMA:
            raise ReportError(
                f"the report has schema {schema}, this version reads up to {SCHEMA}; upgrade edge-mobilenet"
            )
        try:
            report = from_fields(cls, {"foreign": [], "scenes": [], **fields})  # earlier ones lack them
        except ValueError as error:
            raise ReportError(f"the report is damaged: {error}") from error
        if not report.rows:
            raise ReportError("the report is damaged: it has no rows")
        return report
