"""What is familiar of a label that was taught: likeness to its examples, judged by how alike these are among
themselves."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.artifact.familiarity import Detector, DetectorHeader, Layer, Term, TermShape, calibrate, unit_rows

MOST_ROWS: Final = 100

Rows = npt.NDArray[np.float64]


def fit_taught(layer: Layer, features: Sequence[npt.NDArray[np.float32]]) -> Detector:
    """The detector of one label.

    Each frame is held against the others: its anomaly is the distance to the nearest view of another frame.

    Args:
        layer: Layer that the features are of.
        features: One array per frame, the features of its views, shape (views, width), the whole frame first.
    """
    frames = [unit_rows(one.astype(np.float64)) for one in features]
    per_frame = max(1, MOST_ROWS // len(frames))
    rows = np.concatenate([one[:per_frame] for one in frames])[:MOST_ROWS]
    scale = float(np.abs(rows).max(initial=0.0) / 127) or 1.0
    matrix = np.rint(rows / scale).astype(np.int8)
    owner = np.repeat(np.arange(len(frames)), [len(one[:per_frame]) for one in frames])[:MOST_ROWS]
    likeness = np.stack([one[0] for one in frames]) @ (matrix.astype(np.float64) * scale).T
    # Without its own views, which are alike whatever a frame shows.
    likeness[np.arange(len(frames))[:, None] == owner[None]] = -np.inf
    # Rounded to 8 bits, a cosine may be a little above 1.
    distances = np.sort(np.maximum(0.0, 1.0 - likeness.max(axis=1)))
    shape = TermShape(
        kind="nearest",
        layer=0,
        root=False,
        directions=len(matrix),
        centers=1,
        scale=scale,
        median=float(np.median(distances)),
        spread=max(float(distances.std()), 1e-3),
    )
    term = Term(shape, matrix, np.zeros((1, 0), np.float32))
    points, familiarities, tail = calibrate(np.array([term.above(distance) for distance in distances]))
    header = DetectorHeader((layer,), (shape,), points, familiarities, tail, (len(frames), len(frames)))
    return Detector(header, (term,))
