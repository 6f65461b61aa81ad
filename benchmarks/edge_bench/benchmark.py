"""The measurements."""

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_bench.environment import read_environment
from edge_bench.report import Latency, Report, Row
from edge_bench.worker_process import WorkerProcess
from edge_core.errors import ModelFormatError
from edge_core.intervals import accuracy, paired_difference
from edge_core.photos import Photo, fingerprint
from edge_core.pictures import read_picture
from edge_core.preprocess import Frame, preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, read_held_out, read_run
from edge_core.tflite_file import read_card
from edge_device.interpreter import RuntimeName

BURST_SECONDS: Final = 0.25
"""How long a row is timed before another has its turn; a clock that slows down as the machine heats hits all alike."""

WARM_UP_SECONDS: Final = 0.5
FRAMES: Final = 8
BATCH: Final = 16
"""Photos per file for a worker; it holds one file at a time, so that they hardly count as its memory."""


@dataclass
class _Contender:
    """A row in the making."""

    name: str
    worker: WorkerProcess
    request: dict[str, Any]
    runtime: str = ""
    preprocess_ms: list[float] = field(default_factory=list)
    invoke_ms: list[float] = field(default_factory=list)
    top1: list[int] = field(default_factory=list)
    peak_mb: float = 0.0

    def row(self, truth: npt.NDArray[np.intp], full_size: npt.NDArray[np.intp] | None) -> Row:
        """The row, given the right label indices and, for all but itself, the full-size model's."""
        top1 = np.array(self.top1)
        correct = top1 == truth
        preprocess_ms, invoke_ms = np.array(self.preprocess_ms), np.array(self.invoke_ms)
        return Row(
            name=self.name,
            runtime=self.runtime,
            top1=accuracy(correct),
            difference=None if full_size is None else paired_difference(correct, full_size == truth),
            agreement=None if full_size is None else accuracy(top1 == full_size),
            preprocess_ms=_latency(preprocess_ms),
            invoke_ms=_latency(invoke_ms),
            total_ms=_latency(preprocess_ms + invoke_ms),
            timed_frames=len(invoke_ms),
            file_bytes=self.worker.file.stat().st_size,
            peak_memory_mb=self.peak_mb,
        )


def run_benchmark(
    run_folder: Path,
    files: Sequence[Path],
    *,
    data: Path | None = None,
    seconds: float = 5.0,
    threads: int | None = None,
    frame_size: tuple[int, int] = (1280, 720),
    runtime: RuntimeName = "auto",
    seed: int = 0,
    track: Track = silently,
) -> Report:
    """Measures a run's full-size model and .tflite files made of it, each in a process of its own, one at a time.

    Args:
        run_folder: that `edge-train fit` wrote.
        files: complete .tflite files with the run's labels and input.
        data: a photo folder to test on instead of the run's own test photos; photos that the run knows are left out.
        seconds: to time each row for, in bursts of a quarter second that take turns in random order.
        threads: for one inference; all cores unless told otherwise.
        frame_size: (width, height) of the frames that are timed: a camera's, since preprocessing is part of the cost.
        runtime: which interpreter runs the .tflite files.
        seed: of the order of turns.
        track: shows progress.

    Raises:
        RunFolderError, DatasetError: the run or the photos cannot be used.
        ModelFormatError: a file is not of this run, cannot be run, or crashed its process.
        RuntimeMissingError: TensorFlow or the interpreter is not installed.
    """
    run = read_run(run_folder)
    for file in files:
        _check_same_task(file, run)
    threads = threads or os.cpu_count() or 1
    environment = read_environment(threads, frame_size, seconds)
    spec, labels = run.card.input, run.card.labels
    held_out = read_held_out(run, lambda _, frame: preprocess(frame, spec), data, track=track)
    order = random.Random(seed)
    with TemporaryDirectory(prefix="edge-bench-") as folder, ExitStack() as stack:
        batches = _save_batches(Path(folder), held_out.values)
        frames = _save_frames(Path(folder), held_out.photos, frame_size)
        common = {"labels": len(labels), "input": spec.to_json(), "runtime": runtime, "threads": threads}
        contenders = [
            _Contender(name, stack.enter_context(WorkerProcess(file)), {"kind": kind, "file": str(file), **common})
            for name, kind, file in [
                ("full size", "keras", run.model_file),
                *((name, "tflite", file) for name, file in zip(_names(files), files, strict=True)),
            ]
        ]
        # The full-size model last: it takes seconds to load, and a file that cannot be run should not wait for it.
        for contender in track(contenders[::-1], "Opening models"):
            contender.runtime = contender.worker.ask("open", **contender.request)["runtime"]
            contender.worker.ask("burst", frames=frames, seconds=WARM_UP_SECONDS)
        rounds = max(1, round(seconds / BURST_SECONDS))
        turns = [contender for _ in range(rounds) for contender in order.sample(contenders, len(contenders))]
        for contender in track(turns, "Timing in turns"):
            timed = contender.worker.ask("burst", frames=order.sample(frames, len(frames)), seconds=BURST_SECONDS)
            contender.preprocess_ms += timed["preprocess_ms"]
            contender.invoke_ms += timed["invoke_ms"]
        questions = [(contender, batch) for contender in contenders for batch in batches]
        for contender, batch in track(questions, "Classifying in batches"):
            contender.top1 += contender.worker.ask("classify", pixels=batch)["top1"]
        for contender in contenders:
            contender.peak_mb = contender.worker.ask("memory")["peak_mb"]
    truth = np.array([labels.index(photo.label) for photo in held_out.photos])
    full_size = np.array(contenders[0].top1)
    return Report(
        run=run_folder.resolve().name,
        rows=tuple(one.row(truth, None if one is contenders[0] else full_size) for one in contenders),
        photos=len(held_out.photos),
        photos_sha256=fingerprint(held_out.photos),
        left_out=held_out.left_out,
        unusable=held_out.unusable,
        environment=environment,
    )


def _check_same_task(file: Path, run: Run) -> None:
    card = read_card(file)
    if card.labels != run.card.labels:
        raise ModelFormatError(f"{file} is not of {run.folder}: its labels are others, or in another order")
    if card.dataset != run.card.dataset:
        raise ModelFormatError(f"{file} is not of {run.folder}: it was trained on other photos, or on another split")
    if card.input != run.card.input:
        raise ModelFormatError(
            f"{file} is not of {run.folder}: its input is {card.input.to_json()}, the run's {run.card.input.to_json()}"
        )


def _names(files: Sequence[Path]) -> list[str]:
    """The files' names, or their paths where that would call two the same."""
    names = [file.stem for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def _latency(milliseconds: npt.NDArray[np.float64]) -> Latency:
    return Latency(*(float(value) for value in np.percentile(milliseconds, (50, 95))))


def _save_batches(folder: Path, pixels: Sequence[Frame]) -> list[str]:
    return [
        _save(folder / f"pixels-{start}.npy", np.stack(pixels[start : start + BATCH]))
        for start in range(0, len(pixels), BATCH)
    ]


def _save_frames(folder: Path, photos: Sequence[Photo], size: tuple[int, int]) -> list[str]:
    """A few photos, spread over all, as if a camera of this (width, height) had taken them."""
    chosen = photos[:: -(-len(photos) // FRAMES)]
    return [_save(folder / f"frame-{index}.npy", frame) for index, frame in enumerate(_covering(chosen, size))]


def _covering(photos: Sequence[Photo], size: tuple[int, int]) -> Iterator[Frame]:
    width, height = size
    for photo in photos:
        frame = read_picture(photo.path)
        cropped = (min(frame.shape[0], -(-frame.shape[1] * height // width)), frame.shape[1])
        cropped = (cropped[0], min(frame.shape[1], -(-cropped[0] * width // height)))  # or a slim photo grows huge
        top, left = (frame.shape[0] - cropped[0]) // 2, (frame.shape[1] - cropped[1]) // 2
        frame = frame[top : top + cropped[0], left : left + cropped[1]]
        scale = max(width / frame.shape[1], height / frame.shape[0])
        resized = (max(width, round(scale * frame.shape[1])), max(height, round(scale * frame.shape[0])))
        larger = cv2.resize(frame, resized, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        top, left = (resized[1] - height) // 2, (resized[0] - width) // 2
        yield np.ascontiguousarray(larger[top : top + height, left : left + width], np.uint8)


def _save(path: Path, array: Frame) -> str:
    np.save(path, array, allow_pickle=False)
    return str(path)
