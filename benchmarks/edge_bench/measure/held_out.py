"""The photos that rows are judged by, and the frames that they are timed on, as files that workers read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_bench.backends.contenders import ModelSource
from edge_core.artifact.card import ModelCard
from edge_core.data.photo_folder import Photo, Split
from edge_core.errors import RunFolderError
from edge_core.images import Levels, read_picture
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import HeldOut, Run, read_held_out

FRAMES = 8


@dataclass(frozen=True)
class HeldOutPool:
    """Which photos models have seen.

    Attributes:
        run: One that stands for all runs concerned: it tests on what all of them test on, and knows what any of them
            knows.
        unknown: Files of which no run tells what they were trained on.
    """

    run: Run
    unknown: tuple[Path, ...]


def pool(sources: Sequence[ModelSource], others: Sequence[Run], data: Path | None) -> HeldOutPool:
    """Puts together what all models know.

    Args:
        sources: All models of the benchmark.
        others: Runs that are not measured, but whose files are.
        data: A folder of photos to test on, if there is one.

    Raises:
        RunFolderError: Without `data`, a file is of no run, or the runs hold out no photo together.
    """
    runs = [*(source.run for source in sources if source.run), *others]
    datasets = [run.card.dataset for run in runs]
    # A file that was exported from a run has that run's dataset in its card.
    unknown = tuple(source.path for source in sources if not source.run and source.dataset not in datasets)
    splits = _common_splits(runs)
    if not data:
        _check_held_out(sources, runs, unknown, splits)
    if runs:
        return HeldOutPool(Run(runs[0].folder, runs[0].card, splits), unknown)
    # All of `data` is tested on: the first file stands for a run that has seen none of it.
    return HeldOutPool(Run(sources[0].path, ModelCard(sources[0].labels, sources[0].input), splits), unknown)


def _check_held_out(
    sources: Sequence[ModelSource], runs: Sequence[Run], unknown: Sequence[Path], splits: dict[Split, list[Photo]]
) -> None:
    """Refuses models that no photo is known to be new to all of."""
    if unknown or not runs:
        file = (unknown or (sources[0].path,))[0]
        raise RunFolderError(
            f"{file} was trained on photos that no run tells of; name its run with --held-out-by RUN, or photos "
            "that it has never seen with --data PHOTOS"
        )
    if not splits["test"]:
        raise RunFolderError(
            "the runs hold out no photo together, they were split by different seeds; give photos with --data PHOTOS"
        )


def _common_splits(runs: Sequence[Run]) -> dict[Split, list[Photo]]:
    """What any run was trained or validated on, and the test photos that all of them share and none has seen."""
    splits: dict[Split, list[Photo]] = {"train": [], "val": [], "test": []}
    for split in ("train", "val"):
        splits[split] = [photo for run in runs for photo in run.splits[split]]
    if runs:
        # By content, not by path: the runs may have been made from copies of a folder.
        known = {photo.sha256 for split in ("train", "val") for photo in splits[split]}
        shared = set.intersection(*({photo.sha256 for photo in run.splits["test"]} for run in runs)) - known
        splits["test"] = [photo for photo in runs[0].splits["test"] if photo.sha256 in shared]
    return splits


def save_pixels(
    pooled: HeldOutPool, specs: Sequence[InputSpec], folder: Path, data: Path | None, track: Track = silently
) -> HeldOut[dict[InputSpec, str]]:
    """Preprocesses the held-out photos for every input there is; values are names of .npy files.

    Raises:
        RunFolderError, DatasetError: See `read_held_out`.
    """

    def visit(index: int, frame: Frame) -> dict[InputSpec, str]:
        return save_for(specs, frame, folder, str(index))

    return read_held_out(pooled.run, visit, data, track=track)


def save_for(specs: Sequence[InputSpec], frame: Frame, folder: Path, name: str) -> dict[InputSpec, str]:
    """A frame preprocessed for every input there is, as .npy files."""
    return {
        spec: save_frame(folder / f"pixels-{name}-{number}.npy", preprocess(frame, spec))
        for number, spec in enumerate(specs)
    }


def save_frames(folder: Path, photos: Sequence[Photo], size: tuple[int, int], levels: Levels) -> list[str]:
    """A few photos, spread over all, as if a camera of this (width, height) had taken them.

    Args:
        folder: Folder for the .npy files.
        photos: Photos to choose from.
        size: Width and height of a frame in pixels.
        levels: Levels as `images.decode_picture` takes them.
    """
    chosen = photos[:: -(-len(photos) // FRAMES)]
    return [
        save_frame(folder / f"frame-{index}.npy", frame) for index, frame in enumerate(_covering(chosen, size, levels))
    ]


def _covering(photos: Sequence[Photo], size: tuple[int, int], levels: Levels) -> Iterator[Frame]:
    width, height = size
    for photo in photos:
        frame = read_picture(photo.path, levels=levels)
        # Rounded up, so that the crop is never smaller than the frame's proportions ask for.
        cropped = (min(frame.shape[0], -(-frame.shape[1] * height // width)), frame.shape[1])
        cropped = (cropped[0], min(frame.shape[1], -(-cropped[0] * width // height)))  # or a slim photo grows huge
        top, left = (frame.shape[0] - cropped[0]) // 2, (frame.shape[1] - cropped[1]) // 2
        frame = frame[top : top + cropped[0], left : left + cropped[1]]
        scale = max(width / frame.shape[1], height / frame.shape[0])
        resized = (max(width, round(scale * frame.shape[1])), max(height, round(scale * frame.shape[0])))
        larger = cv2.resize(frame, resized, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        top, left = (resized[1] - height) // 2, (resized[0] - width) // 2
        yield np.ascontiguousarray(larger[top : top + height, left : left + width], np.uint8)


def save_frame(path: Path, array: Frame) -> str:
    """Writes a frame or pixels as .npy, and gives the file's name."""
    np.save(path, array, allow_pickle=False)
    return str(path)
