"""What lies near what in an embedding: the nearest neighbors of each photo, and photos whose neighbors have another
label.

Distances are cosine distances, 1 - cosine: 0 for the same direction, 1 for nothing in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.progress import Track, silently

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

NEIGHBORS: Final = 10
MAJORITY: Final = 0.5

_CHUNK: Final = 256  # photos compared with all others at once: 20 MB for 20,000


@dataclass(frozen=True)
class Suspect:
    """A photo that is probably mislabeled.

    Attributes:
        photo: Position of the photo in the embedding.
        label: Number of the label that most of its neighbors have.
        share: Share of the neighbors that carry the suggested label.
    """

    photo: int
    label: int
    share: float


def nearest(
    queries: Vectors, vectors: Vectors, count: int, *, same: bool = False, track: Track = silently
) -> tuple[Numbers, Vectors]:
    """The nearest of `vectors` to each of `queries`, nearest first.

    Args:
        queries: Vectors of unit length, shape (queries, features).
        vectors: Vectors of unit length, shape (photos, features).
        count: Number of neighbors, limited to the number of vectors.
        same: Whether both are the same photos, of which none is its own neighbor.
        track: Receives the progress of each step.

    Returns:
        Positions and distances, both of shape (queries, count).
    """
    count = min(count, len(vectors) - same)
    positions = np.empty((len(queries), count), np.int64)
    distances = np.empty((len(queries), count), np.float32)
    starts = range(0, len(queries), _CHUNK)
    for start in track(starts, f"Comparing photos, {_CHUNK} a step with all", len(starts)):
        part = slice(start, start + _CHUNK)
        apart = 1 - queries[part] @ vectors.T
        if same:
            rows = np.arange(len(apart))
            apart[rows, start + rows] = np.inf
        found = np.argpartition(apart, count - 1, axis=1)[:, :count] if count else np.empty((len(apart), 0), np.int64)
        near = np.take_along_axis(apart, found, axis=1)
        order = np.lexsort((found, near), axis=1)  # equally near ones in their order
        positions[part] = np.take_along_axis(found, order, axis=1)
        distances[part] = np.take_along_axis(near, order, axis=1).clip(0)
    return positions, distances


def suspects(labels: Sequence[int], neighbors: Numbers) -> list[Suspect]:
    """Photos of which more than half of the neighbors have one and the same other label, the most striking first.

    Wilson, "Asymptotic properties of nearest neighbor rules using edited data" (1972), leaves such samples out.

    Args:
        labels: Number of the label of each photo, -1 for none.
        neighbors: Positions, from `nearest`.
    """
    own = np.asarray(labels, np.int64)
    theirs = own[neighbors]
    found = []
    for photo, around in enumerate(theirs):
        counts = np.bincount(around[around >= 0], minlength=1)
        label = int(counts.argmax())
        share = counts[label] / max(1, len(around))
        if own[photo] >= 0 and label != own[photo] and share > MAJORITY:
            found.append(Suspect(photo, label, float(share)))
    return sorted(found, key=lambda suspect: (-suspect.share, suspect.photo))
