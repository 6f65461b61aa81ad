"""Decisions about composed scenes by the size of their subject, beside the benchmark of the files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from edge_bench.measure.benchmark import Benchmark
from edge_bench.results.scene_rows import SceneRow
from edge_bench.scenes.composer import HEIGHT, frames, sprite
from edge_bench.scenes.watching import comes, ground, watch
from edge_core.data.photo_folder import Photo, pictures_below
from edge_core.errors import DatasetError, ModelFormatError, PictureError
from edge_core.images import read_picture
from edge_core.preprocess import Frame
from edge_core.progress import Track, silently
from edge_core.statistics import accuracy
from edge_device.frames.focus import MotionFocus
from edge_device.inference.classifier import Classifier
from edge_train.evaluation import subject_sizes

HEIGHTS: Final = (1.0, *subject_sizes.HEIGHTS)
"""Heights of the subject as shares of the frame's, 0..1: the whole frame, and those that a training reports."""

FOCUSES: Final = ("whole", "motion")

SECONDS: Final = 4.0
"""A subject is in the middle after 2.3 s, and the smoothing of half a second has settled 1 s later."""

FPS: Final = 10.0


@dataclass(frozen=True)
class SceneSettings:
    """What is composed.

    Attributes:
        backgrounds: Folder of pictures that become still backgrounds.
        scenes: Number of scenes of each size; each has another photo, as long as there are enough.
        seed: Chooses photos, backgrounds and ways.
    """

    backgrounds: Path
    scenes: int = 30
    seed: int = 0


def check_scenes(models: Sequence[Path], settings: SceneSettings) -> list[Path]:
    """Those models that scenes can be shown to, asked before anything is measured.

    Raises:
        DatasetError: There is no picture in the folder of backgrounds.
        ModelFormatError: None of the models is a file.
    """
    if not pictures_below(settings.backgrounds):
        raise DatasetError(
            f"{settings.backgrounds}: none of its files is a picture; give a folder of backgrounds with --scene"
        )
    files = [path for path in dict.fromkeys(models) if path.is_file()]
    if not files:
        raise ModelFormatError("--scene shows scenes to .tflite files, and none is given; name one beside the run")
    return files


def with_scenes(
    benchmark: Benchmark, files: Sequence[Path], settings: SceneSettings, track: Track = silently
) -> Benchmark:
    """A benchmark with what its files decide about composed scenes, the same scenes for all.

    Args:
        benchmark: Benchmark whose held-out photos become subjects.
        files: Files as `check_scenes` returns them.
        settings: What is composed.
        track: Receives the progress, a step for each scene.

    Raises:
        PictureError: A photo or a background cannot be read.
    """
    photos, grounds = _chosen(benchmark.photos, settings)
    entered: dict[tuple[str, str, float], list[list[str]]] = {}
    jobs = [(height, number) for height in HEIGHTS for number in range(len(photos))]
    classifiers = {file.name: Classifier(file) for file in files}
    try:
        for height, number in track(jobs, "Watching composed scenes", len(jobs)):
            scene = _scene(photos[number], grounds[number], height, settings.seed + number)
            for name, classifier in classifiers.items():
                for focus in FOCUSES:
                    watched = watch(scene, classifier, MotionFocus() if focus == "motion" else None)
                    labels = [event.label for event in watched.events if event.kind == "entered"]
                    entered.setdefault((name, focus, height), []).append(labels)
    finally:
        for classifier in classifiers.values():
            classifier.close()
    rows = tuple(_row(key, [photo.label for photo in photos], labels) for key, labels in entered.items())
    return replace(benchmark, report=replace(benchmark.report, scenes=rows))


def _chosen(photos: Sequence[Photo], settings: SceneSettings) -> tuple[list[Photo], list[Path]]:
    """Photos and backgrounds of the scenes; a background comes again only once all were there."""
    rng = np.random.default_rng(settings.seed)
    subjects = [photos[index] for index in rng.permutation(len(photos))[: settings.scenes]]
    pictures = sorted(pictures_below(settings.backgrounds))
    order = rng.permutation(len(pictures))
    return subjects, [pictures[order[number % len(order)]] for number in range(len(subjects))]


def _scene(photo: Photo, background: Path, height: float, seed: int) -> list[tuple[float, Frame]]:
    side = int(height * HEIGHT)
    try:
        subject = sprite(read_picture(photo.path), side, comes(side, seed))
        return list(frames(ground(background), [subject], SECONDS, seed, fps=FPS))
    except PictureError as error:
        raise PictureError(f"a scene cannot be composed: {error}") from error


def _row(key: tuple[str, str, float], truth: Sequence[str], entered: Sequence[Sequence[str]]) -> SceneRow:
    right = [
        bool(labels) and Counter(labels).most_common(1)[0][0] == label
        for labels, label in zip(entered, truth, strict=True)
    ]
    once = [len(labels) == 1 for labels in entered]
    return SceneRow(*key, len(truth), accuracy(np.array(right)), accuracy(np.array(once)))
