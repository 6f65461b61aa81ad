"""Foreign pictures through the files' detectors, beside the benchmark of the files.

Familiarity is a property of a file, not of what runs it, so each file is judged once, on this machine, by what a device
runs: `edge_device.inference.classifier.Classifier`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_bench.measure.benchmark import Benchmark
from edge_bench.results.foreign_pictures import ForeignTold
from edge_convert.foreign.measure import judge_foreign, read_foreign
from edge_convert.gate.gate_comparison import artifact_scores
from edge_core.data.photo_folder import pictures_below, read_photos
from edge_core.errors import DatasetError, ModelFormatError
from edge_core.preprocess import preprocess
from edge_core.progress import Track, silently
from edge_device.inference.classifier import Classifier


def files_that_tell(models: Sequence[Path], unknown: Path) -> list[Path]:
    """Those models that have a detector, asked before anything is measured.

    Raises:
        DatasetError: There is no picture in the folder.
        ModelFormatError: No model has a detector, or one is damaged.
    """
    if not pictures_below(unknown):
        raise DatasetError(f"{unknown}: none of its files is a picture; give foreign pictures with --unknown")
    files = [path for path in dict.fromkeys(models) if path.is_file() and _tells(path)]
    if not files:
        raise ModelFormatError(
            "none of these models can tell what is foreign to it, which --unknown asks for; give a .tflite that "
            "edge-convert exported with a detector"
        )
    return files


def with_foreign(benchmark: Benchmark, files: Sequence[Path], unknown: Path, track: Track = silently) -> Benchmark:
    """A benchmark with what its files make of foreign pictures.

    Args:
        benchmark: Benchmark whose held-out photos are the known ones.
        files: Files as `files_that_tell` returns them.
        unknown: Folder of foreign pictures.
        track: Receives the progress of each step.

    Raises:
        DatasetError: None of the foreign pictures can be decoded.
    """
    told = tuple(_told(file, benchmark, unknown, track) for file in files)
    report = replace(benchmark.report, foreign=tuple(one.row() for one in told))
    return replace(benchmark, report=report, foreign=told)


def _told(file: Path, benchmark: Benchmark, unknown: Path, track: Track) -> ForeignTold:
    classifier = Classifier(file)
    try:
        spec = classifier.card.input
        known = read_photos(
            [(photo.path, photo.label) for photo in benchmark.photos],
            lambda _, frame: preprocess(frame, spec),
            levels=spec.levels,
            track=track,
            label="Reading held-out photos",
        )
        familiar = artifact_scores(classifier, np.stack(known.values), track).familiarities
        assert familiar is not None  # it has a detector
        test = judge_foreign(classifier, familiar, read_foreign(unknown, spec, track), track)
    finally:
        classifier.close()
    return ForeignTold(file.name, spec, test)


def _tells(path: Path) -> bool:
    classifier = Classifier(path)
    try:
        return classifier.tells_foreign
    finally:
        classifier.close()
