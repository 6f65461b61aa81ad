"""The measurements, from models to a report."""

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from edge_bench.backends.contenders import KERAS, RowSpec, Variants, check_same_labels, plan, read_source
from edge_bench.backends.onnx import convert
from edge_bench.measure.held_out import pool, save_frames, save_pixels
from edge_bench.measure.power import Log
from edge_bench.measure.robustness import judge_corrupted, sum_up
from edge_bench.measure.timing import Clock, Contender, joules_per_frame, time_rounds, time_sustained, unstable
from edge_bench.measure.worker_process import BenchWorker, WorkerProcess, link_packages
from edge_bench.results.accuracy import Scores, Truth, compare, measure_accuracy
from edge_bench.results.environment import Environment
from edge_bench.results.foreign_pictures import ForeignTold
from edge_bench.results.latency import latency, ratio
from edge_bench.results.report import BenchReport, BenchSettings, Failed, Row
from edge_core.codec import from_fields
from edge_core.data.photo_folder import Photo, Unusable, fingerprint
from edge_core.errors import EdgeError
from edge_core.preprocess import InputSpec
from edge_core.progress import Track, silently
from edge_core.run_folder import HeldOut, evenly_spaced, read_run
from edge_keras.kept_scores import find_scores, pixels_name, scores_of_all

WARM_UP_SECONDS: Final = 0.5
"""Before the first turn; less where rows are timed for less."""
Start = Callable[[RowSpec], BenchWorker]

BATCH: Final = 64
"""Photos that a worker is asked for at once; it holds one at a time."""


@dataclass(frozen=True)
class Benchmark:
    """A report, and the pictures that it is about, which are shown but not reported.

    Attributes:
        report: What was measured.
        photos: Photos that the accuracies are of.
        unusable: Files that could not be decoded.
        foreign: What the files make of foreign pictures, see `foreign_test.with_foreign`.
    """

    report: BenchReport
    photos: tuple[Photo, ...]
    unusable: tuple[Unusable, ...]
    foreign: tuple[ForeignTold, ...] = ()


def run_benchmark(
    models: Sequence[Path],
    *,
    variants: Variants | None = None,
    settings: BenchSettings | None = None,
    data: Path | None = None,
    held_out_by: Sequence[Path] = (),
    power_log: Path | None = None,
    start: Start | None = None,
    track: Track = silently,
) -> Benchmark:
    """Measures models, each in a process of its own, one at a time.

    Args:
        models: Run folders, whose full-size model is meant, and complete .tflite files, all with the same labels. The
            first one is what the others are compared with.
        variants: Runtimes, threads and delegates that each is measured with.
        settings: Duration, frames, seed and which optional measurements are made.
        data: A photo folder to test on instead of the photos that all runs hold out; photos that a run knows are left
            out.
        held_out_by: Runs whose photos count, and whose models do not.
        power_log: Log file of a power meter, as `edge_bench.measure.power.Log` reads it.
        start: Gives a candidate its worker, where that shall not be a process on this machine.
        track: Receives the progress of each step.

    Raises:
        RunFolderError, DatasetError: A run or the photos cannot be used.
        ModelFormatError: A file has other labels than the first, or the first cannot be run.
        RuntimeMissingError: The first needs what is not installed.
        SettingsError: No such runtime or delegate, or a log that cannot be read.
    """
    variants, settings = variants or Variants(), settings or BenchSettings()
    sources = [read_source(path) for path in models]
    check_same_labels(sources)
    pooled = pool(sources, [read_run(folder) for folder in held_out_by], data)
    candidates = plan(sources, variants)
    specs = list(dict.fromkeys(candidate.input for candidate in candidates))
    log = Log(power_log) if power_log else None
    order = random.Random(settings.seed)
    with TemporaryDirectory(prefix="edge-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        link_packages(folder / "packages")
        start = start or (lambda candidate: WorkerProcess(candidate.file, candidate.python, folder / "packages"))
        held_out = save_pixels(pooled, specs, folder, data, track)
        frames = save_frames(folder, held_out.photos, settings.frame_size, pooled.run.card.input.levels)
        truth = np.array([sources[0].labels.index(photo.label) for photo in held_out.photos], np.intp)
        with start(candidates[0]) as worker:  # before there is a load of our own
            environment = from_fields(Environment, worker.ask("environment")["environment"])
        contenders, failed = _open_all(candidates, frames, folder, settings, start, stack, track)
        clock = Clock(frames, order, log)
        time_rounds(contenders, clock, settings, order, track)
        _judge(contenders, held_out, truth, settings, folder, track)
        if settings.sustained_s:
            for contender in _staying(contenders):
                with contender.attempted():
                    contender.sustained = time_sustained(contender, clock, settings.sustained_s, track)
    failed += [Failed(one.candidate.name, one.failure) for one in contenders if one.failure]
    return Benchmark(
        BenchReport(
            rows=tuple(_row(one, contenders[0], truth) for one in _staying(contenders)),
            failed=tuple(failed),
            labels=sources[0].labels,
            truth=tuple(int(index) for index in truth),
            photos_sha256=fingerprint(held_out.photos),
            left_out=held_out.left_out,
            unusable=len(held_out.unusable),
            unknown=tuple(path.name for path in pooled.unknown),
            environment=replace(environment, power=log.source) if log else environment,
            settings=settings,
        ),
        held_out.photos,
        held_out.unusable,
    )


def _judge(
    contenders: Sequence[Contender],
    held_out: HeldOut[dict[InputSpec, str]],
    truth: Truth,
    settings: BenchSettings,
    folder: Path,
    track: Track,
) -> None:
    """Has all classify the photos, tell their memory before anything else swells it, and classify corrupted ones."""
    _classify_all(contenders, held_out.values, track)
    for contender in contenders:
        with contender.attempted():
            contender.peak_mb = contender.worker.ask("memory")["peak_mb"]
    if settings.robustness_photos:
        chosen = evenly_spaced(range(len(truth)), settings.robustness_photos)
        photos = [held_out.photos[index] for index in chosen]
        judge_corrupted(_staying(contenders), photos, truth[chosen], folder, track)


def _open_all(
    candidates: Sequence[RowSpec],
    frames: Sequence[str],
    folder: Path,
    settings: BenchSettings,
    start: Start,
    stack: ExitStack,
    track: Track,
) -> tuple[list[Contender], list[Failed]]:
    """Starts a process for each candidate, a few times over; one of each stays."""
    contenders, failed = [], []
    for number, candidate in enumerate(track(candidates, "Opening models")):
        try:
            if candidate.runtime == "onnxruntime":
                converted = folder / f"{number}.onnx"
                convert(candidate.file, converted, candidate.python)
                candidate = replace(candidate, file=converted)
            opened = []
            for _ in range(settings.cold_starts):
                # All starts but the last one end with this block; the last one's process lives on in `stack`.
                with ExitStack() as started:
                    opened.append(open_contender(candidate, frames[0], number == 0, start, started))
                    if len(opened) == settings.cold_starts:
                        stack.push(started.pop_all())
            contender = opened[-1]
            contender.cold_start_ms = median(one.cold_start_ms for one in opened)
            contender.first_ms = median(one.first_ms for one in opened)
            contender.worker.ask("burst", frames=frames, seconds=min(WARM_UP_SECONDS, settings.seconds))
        except EdgeError as error:
            if number == 0:
                raise
            failed.append(Failed(candidate.name, str(error)))
        else:
            contenders.append(contender)
    return contenders, failed


def open_contender(candidate: RowSpec, frame: str, first: bool, start: Start, stack: ExitStack) -> Contender:
    """Starts a candidate's process, which lives as long as `stack`, and shows it one frame, the name of a .npy file."""
    worker = stack.enter_context(start(candidate))
    reply = worker.ask("open", frame=frame, **candidate.to_json())
    size = candidate.file.stat().st_size
    return Contender(candidate, worker, first, reply["runtime"], reply["cold_start_ms"], reply["first_ms"], size)


def _staying(contenders: Sequence[Contender]) -> list[Contender]:
    return [contender for contender in contenders if not contender.failure]


def _classify_all(contenders: Sequence[Contender], pixels: Sequence[dict[InputSpec, str]], track: Track) -> None:
    """Scores of all photos, once for rows that differ only in their threads."""
    known: dict[object, Scores] = {}
    for contender in _staying(contenders):
        alike = contender.candidate.scores_alike
        with contender.attempted():
            if alike not in known:
                known[alike] = _classified(contender, [names[contender.candidate.input] for names in pixels], track)
            contender.scores = known[alike]


def _classified(contender: Contender, files: Sequence[str], track: Track) -> Scores:
    """Scores of all photos, names of .npy files; of a full-size model those that its run has kept."""
    kept = None
    if contender.candidate.runtime == KERAS:
        names = [pixels_name(np.load(file, allow_pickle=False)) for file in files]
        kept = find_scores(contender.candidate.file.parent, names)

    def ask(part: slice) -> Scores:
        asked = files[part]
        batches = [asked[first : first + BATCH] for first in range(0, len(asked), BATCH)]
        shown = track(batches, f"Classifying: {contender.candidate.name}")
        return np.concatenate([contender.classify(batch) for batch in shown])

    return scores_of_all(kept, ask, len(files))


def _row(contender: Contender, first: Contender, truth: Truth) -> Row:
    candidate, turns = contender.candidate, contender.turns
    assert contender.scores is not None and first.scores is not None
    invoke_ms = [turn.invoke_ms for turn in turns]
    return Row(
        name=candidate.name,
        runtime=contender.runtime,
        threads=candidate.threads,
        delegate=candidate.delegate,
        accuracy=measure_accuracy(contender.scores, truth, candidate.labels),
        difference=None if contender.first else compare(contender.scores, first.scores, truth),
        preprocess_ms=latency([turn.preprocess_ms for turn in turns]),
        invoke_ms=latency(invoke_ms),
        total_ms=latency(contender.total_ms),
        ratio=ratio(contender.total_ms, first.total_ms),
        invoke_ratio=ratio(invoke_ms, [turn.invoke_ms for turn in first.turns]),
        cold_start_ms=contender.cold_start_ms,
        first_ms=contender.first_ms,
        turns=tuple(turn.summed_up() for turn in turns),
        unstable=unstable(contender),
        sustained=contender.sustained,
        robustness=None
        if contender.right is None
        else sum_up(contender.right, None if contender.first else first.right),
        joules=joules_per_frame(turns),
        file_bytes=contender.file_bytes,
        peak_memory_mb=contender.peak_mb,
    )
