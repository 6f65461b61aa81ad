"""Tries networks, and chooses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from edge_bench.choose.heads import judge_head, some_photos
from edge_bench.choose.networks import BackboneVariant
from edge_bench.choose.twins import Target, clock_twins, write_twin
from edge_core.errors import WeightsError
from edge_core.progress import Track, silently
from edge_core.statistics import Z_95, Estimate, accuracy, paired_difference
from edge_train.data.dataset import PhotoSet


@dataclass(frozen=True)
class Tried:
    """What is known of a network.

    Attributes:
        network: Backbone, width and input size.
        weights: Where its weights come from.
        accuracy: Share of the photos that a head on its frozen features is right about, cross-validated.
        behind: That less the best network's, on the same photos.
        milliseconds: Time for a frame, preprocessing included.
        on_front: Whether no other network is both faster and more accurate.
    """

    network: BackboneVariant
    weights: str
    accuracy: Estimate
    behind: Estimate
    milliseconds: Estimate
    on_front: bool = False


@dataclass(frozen=True)
class Chosen:
    """The outcome of `choose`.

    Attributes:
        tried: All networks, the fastest first.
        recommended: The one to train; None if none is fast enough.
        left_out: Networks that there are no weights of, with the reason.
        photos: Number of photos that the accuracies are of.
        timing: Where the times come from, in a sentence.
        max_ms: Longest time for a frame that was asked for; None for any.
    """

    tried: tuple[Tried, ...]
    recommended: Tried | None
    left_out: tuple[tuple[BackboneVariant, str], ...]
    photos: int
    timing: str
    max_ms: float | None

    def sentence(self) -> str:
        """What it recommends, and why."""
        if self.recommended is None:
            fastest = self.tried[0]
            return (
                f"none of the networks takes {self.max_ms:g} ms or less; the fastest, {fastest.network.name}, takes "
                f"{fastest.milliseconds.value:.1f}"
            )
        best, limit = self.recommended, "" if self.max_ms is None else f" within {self.max_ms:g} ms"
        return (
            f"recommended{limit}: {best.network.name}, {best.accuracy.percent()} with its last layer alone, "
            f"{best.milliseconds.value:.1f} ms a frame"
        )


def choose(
    photos: PhotoSet,
    networks: Sequence[BackboneVariant],
    *,
    cache: Path,
    target: Target = "here",
    host: str = "",
    threads: int = 0,
    max_ms: float | None = None,
    track: Track = silently,
) -> Chosen:
    """Judges networks by heads on their frozen features, times untrained twins of them, and recommends one.

    Args:
        photos: Photos of the classes; their test photos are not used.
        networks: Networks to try.
        cache: Where weights and feature maps are kept.
        target: What the times shall be of, if no host is given.
        host: Board to measure on over SSH; empty for none.
        threads: Threads of an inference; 0 for all cores.
        max_ms: Longest time for a frame; None for any.
        track: Receives the progress of each step.

    Raises:
        WeightsError: There are weights of none of the networks.
        DatasetError: The photos are too few to judge by.
        HostError, RuntimeMissingError: The times cannot be had.
    """
    some = some_photos(photos, photos.split_seed)
    judged: dict[BackboneVariant, tuple[npt.NDArray[np.bool_], Estimate, str]] = {}
    left_out: list[tuple[BackboneVariant, str]] = []
    for network in networks:
        try:
            right, groups, source = judge_head(network, some, photos.labels, photos.split_seed, cache, track)
        except WeightsError as error:
            left_out.append((network, str(error)))
        else:
            judged[network] = right, accuracy(right, groups), source
    if not judged:
        raise WeightsError(f"there are weights of none of the networks; {left_out[0][1]}")
    with TemporaryDirectory(prefix="edge-choose-") as name:
        folder = Path(name)
        labels = len(photos.labels)
        files = [
            write_twin(network, labels, folder)
            for network in track(judged, "Converting untrained networks", len(judged))
        ]
        clocked = clock_twins(files, target, folder, host, threads, track)
    most = max((right for right, _, _ in judged.values()), key=lambda right: right.mean())
    tried = [
        Tried(network, source, share, paired_difference(right, most), clocked.times[network.name])
        for network, (right, share, source) in judged.items()
    ]
    tried = with_front(tried)
    best = recommended(tried, {network: right for network, (right, _, _) in judged.items()}, max_ms)
    return Chosen(tuple(tried), best, tuple(left_out), len(most), clocked.how, max_ms)


def with_front(tried: Sequence[Tried]) -> list[Tried]:
    """The fastest first; on the front is what is more accurate than all that are faster."""
    found: list[Tried] = []
    highest = -1.0
    for one in sorted(tried, key=lambda one: (one.milliseconds.value, -one.accuracy.value)):
        found.append(replace(one, on_front=one.accuracy.value > highest))
        highest = max(highest, one.accuracy.value)
    return found


def recommended(
    tried: Sequence[Tried], right: dict[BackboneVariant, npt.NDArray[np.bool_]], max_ms: float | None
) -> Tried | None:
    """The fastest of those within the time that are at most one standard error less accurate than the best of them.

    Breiman et al., "Classification and Regression Trees" (1984), section 3.4.3: what cannot be told apart is chosen by
    its cost. The error is that of the difference on the same photos.

    Args:
        tried: Networks, the fastest first.
        right: Whether each network is right about each photo.
        max_ms: Longest time for a frame; None for any.
    """
    fast = [one for one in tried if max_ms is None or one.milliseconds.value <= max_ms]
    if not fast:
        return None
    best = max(fast, key=lambda one: one.accuracy.value)

    def as_good(one: Tried) -> bool:
        less = paired_difference(right[best.network], right[one.network])
        # Half the interval's width over 1.96: the standard error.
        return less.value <= (less.high - less.low) / (2 * Z_95)

    return next(one for one in fast if one is best or as_good(one))
