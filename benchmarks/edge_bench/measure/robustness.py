"""Rows on corrupted photos."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_bench.measure.held_out import save_for
from edge_bench.measure.timing import Contender
from edge_bench.perturb.corruptions import CORRUPTIONS, SEVERITIES, corrupt, squared
from edge_bench.results.accuracy import Right, Truth, Values, Weights, bootstrap, resampled
from edge_bench.results.report import Robustness
from edge_core.data.photo_folder import Photo
from edge_core.images import read_picture
from edge_core.progress import Track, silently

WAYS: Final = tuple(product(CORRUPTIONS, SEVERITIES))


def judge_corrupted(
    contenders: Sequence[Contender],
    photos: Sequence[Photo],
    truth: Truth,
    folder: Path,
    track: Track = silently,
) -> None:
    """Shows every photo in every way to every contender, and notes in each what it is right about.

    Contenders that differ only in their threads are right about the same.
    """
    # Reversed, so that of contenders that score alike the first one is asked.
    asked = {contender.candidate.scores_alike: contender for contender in reversed(contenders)}
    specs = list(dict.fromkeys(contender.candidate.input for contender in contenders))
    right: dict[object, list[npt.NDArray[np.bool_]]] = {alike: [] for alike in asked}
    for photo, label in zip(track(photos, "Corrupting photos"), truth, strict=True):
        frame = squared(read_picture(photo.path, levels=specs[0].levels))
        frames = [frame, *(corrupt(frame, name, severity, photo.sha256) for name, severity in WAYS)]
        files = [save_for(specs, one, folder, f"corrupted-{number}") for number, one in enumerate(frames)]
        for alike, contender in asked.items():
            if not contender.failure:
                with contender.attempted():
                    scores = contender.classify([names[contender.candidate.input] for names in files])
                    right[alike].append(scores.argmax(1) == label)
    for contender in contenders:
        contender.right = np.array(right[contender.candidate.scores_alike])
        contender.failure = contender.failure or asked[contender.candidate.scores_alike].failure


def sum_up(right: Right, first: Right | None) -> Robustness:
    """What corruption costs a row.

    Args:
        right: What it is right about, one photo at least.
        first: Results of the first row; None when this is the first row.
    """
    weights = resampled(len(right))

    def clean(weights: Weights, of: Right = right) -> Values:
        return np.asarray(weights @ of[:, 0] / weights.sum(1), np.float64)

    def mean(weights: Weights, of: Right = right) -> Values:
        return np.asarray(weights @ of[:, 1:].mean(1) / weights.sum(1), np.float64)

    def drop(weights: Weights, of: Right = right) -> Values:
        return 1 - mean(weights, of) / np.maximum(clean(weights, of), 1e-9)

    difference = relative = None
    if first is not None:
        difference = bootstrap(lambda weights: mean(weights) - mean(weights, first), weights)
        relative = bootstrap(lambda weights: drop(weights) - drop(weights, first), weights)
    return Robustness(
        bootstrap(clean, weights),
        bootstrap(mean, weights),
        difference,
        bootstrap(drop, weights),
        relative,
        by_kind(right[:, 1:].mean(0)),
    )


def by_kind(shares: npt.NDArray[np.float64]) -> Mapping[str, tuple[float, ...]]:
    """Accuracy of each kind at each severity, from one share for each of `WAYS`."""
    table = shares.reshape(len(CORRUPTIONS), len(SEVERITIES))
    return {name: tuple(float(share) for share in row) for name, row in zip(CORRUPTIONS, table, strict=True)}
