"""What is to be measured: models times runtimes, thread counts and delegates."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from edge_core.artifact.card import Dataset
from edge_core.artifact.container import read_card
from edge_core.codec import JsonObject
from edge_core.errors import ModelFormatError, SettingsError
from edge_core.preprocess import InputSpec
from edge_core.run_folder import Run, read_run
from edge_device.inference.accelerator import parse_device

KERAS: Final = "keras"
INTERPRETERS: Final = ("auto", "ai-edge-litert", "tflite-runtime", "tensorflow")
"""Of .tflite files; `auto` is the first of the others that is installed, `tensorflow` the one inside TensorFlow."""
PEERS: Final = ("onnxruntime", "opencv", "mediapipe")
"""That run the same .tflite in their own way: converted by tf2onnx, by OpenCV's dnn module, by MediaPipe's
classifier."""
DELEGATES: Final = ("xnnpack", "none", "coral")
"""`xnnpack` is what the interpreters take by themselves, `coral` an Edge TPU, also `coral:usb:0`."""


@dataclass(frozen=True)
class ModelSource:
    """A model as the command names it: a run folder, whose full-size model is meant, or a complete .tflite.

    Attributes:
        path: Path as the command line gave it.
        file: The model itself.
        run: None for a .tflite.
        labels, input, dataset: The fields of that name in the model's card.
    """

    path: Path
    file: Path
    run: Run | None
    labels: tuple[str, ...]
    input: InputSpec
    dataset: Dataset | None


@dataclass(frozen=True)
class RowSpec:
    """A row in the making: what a worker has to open.

    Attributes:
        name: Name of the row.
        file: Path of the model.
        runtime: `keras`, one of `INTERPRETERS`, or one of `PEERS`.
        input, labels: The fields of that name in the model's card.
        threads: Number of threads for one inference; None where the runtime cannot be told.
        delegate: One of `DELEGATES`; None where that makes no sense.
        python: The interpreter that the worker runs in.
    """

    name: str
    file: Path
    runtime: str
    input: InputSpec
    labels: tuple[str, ...]
    threads: int | None
    delegate: str | None
    python: str = sys.executable

    @property
    def scores_alike(self) -> tuple[object, ...]:
        """Candidates for which this is the same give the same scores: only their threads differ."""
        return self.file, self.runtime, self.delegate, self.python

    def to_json(self) -> JsonObject:
        return {**asdict(self), "file": str(self.file)}

    @classmethod
    def from_json(cls, fields: JsonObject) -> Self:
        """Reads what `to_json` wrote."""
        known = {name: fields[name] for name in cls.__dataclass_fields__}
        labels, spec = tuple(fields["labels"]), InputSpec.from_json(fields["input"])
        return cls(**{**known, "file": Path(fields["file"]), "labels": labels, "input": spec})


@dataclass(frozen=True)
class Variants:
    """What every model is measured with.

    Attributes:
        runtimes: Runtimes for .tflite files, each with the Python that has it installed.
        threads: Numbers of threads for one inference.
        delegates: Delegates that the interpreters are opened with.
    """

    runtimes: tuple[tuple[str, str], ...] = (("auto", sys.executable),)
    threads: tuple[int, ...] = (os.cpu_count() or 1,)
    delegates: tuple[str, ...] = ("xnnpack",)

    def __post_init__(self) -> None:
        for runtime, _ in self.runtimes:
            if runtime not in (*INTERPRETERS, *PEERS):
                raise SettingsError(f"no runtime is called {runtime!r}; there are {', '.join((*INTERPRETERS, *PEERS))}")
        for delegate in self.delegates:
            if delegate.startswith("coral"):
                parse_device(delegate)
            elif delegate not in DELEGATES:
                raise SettingsError(f"no delegate is called {delegate!r}; there are {', '.join(DELEGATES)}")
        if min(self.threads, default=0) < 1:
            raise SettingsError(f"an inference has one thread or more, not {min(self.threads, default=0)}")


def read_source(path: Path) -> ModelSource:
    """Reads what is known of a model, not the model.

    Raises:
        RunFolderError: A folder that is no run.
        ModelFormatError: A file that is no complete .tflite.
    """
    if path.is_dir():
        run = read_run(path)
        return ModelSource(path, run.model_file, run, run.card.labels, run.card.input, run.card.dataset)
    card = read_card(path)
    return ModelSource(path, path, None, card.labels, card.input, card.dataset)


def check_same_labels(sources: Sequence[ModelSource]) -> None:
    """Whether all can be judged by the same photos.

    Raises:
        ModelFormatError: One has other labels than the first.
    """
    first = sources[0]
    for source in sources:
        if source.labels != first.labels:
            raise ModelFormatError(
                f"{source.path} cannot be compared with {first.path}: its labels are others, or in another order"
            )


def plan(sources: Sequence[ModelSource], variants: Variants) -> list[RowSpec]:
    """All candidates, model by model; the first one is what the others are compared with."""
    names = [source.path.resolve().name if source.run else source.path.stem for source in sources]
    planned = []
    for source, name in zip(sources, names, strict=True):
        if names.count(name) > 1:
            name = str(source.path)
        for runtime, python, threads, delegate in _ways(source, variants):
            row = _row_name(name, variants, runtime, threads, delegate)
            planned.append(RowSpec(row, source.file, runtime, source.input, source.labels, threads, delegate, python))
    return planned


def _row_name(name: str, variants: Variants, runtime: str, threads: int | None, delegate: str | None) -> str:
    """The name of a row: the model's, and what of its variant not all rows have in common."""
    parts = [f"{name} (Keras)" if runtime == KERAS else name]
    if len(variants.runtimes) > 1 and runtime != KERAS:
        parts.append(runtime)
    if threads and len(variants.threads) > 1:
        parts.append(f"{threads} thread{'s' * (threads > 1)}")
    if delegate and len(variants.delegates) > 1:
        parts.append("no XNNPACK" if delegate == "none" else delegate)
    return ", ".join(parts)


def _ways(source: ModelSource, variants: Variants) -> list[tuple[str, str, int | None, str | None]]:
    """Runtime, Python, threads and delegate of each row of a model."""
    ways: list[tuple[str, str, int | None, str | None]] = []
    for runtime, python in [(KERAS, sys.executable)] if source.run else variants.runtimes:
        for threads in (None,) if runtime == "mediapipe" else variants.threads:
            for delegate in variants.delegates if runtime in INTERPRETERS else (None,):
                ways.append((runtime, python, threads, delegate))
    return ways
