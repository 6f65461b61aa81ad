"""Fits the detector of what is foreign to a model on the features of its training photos."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.artifact.familiarity import (
    Detector,
    DetectorHeader,
    Features,
    Layer,
    Term,
    TermShape,
    calibrate,
    unit_rows,
)

FEWEST_TRAINING: Final = 20
FEWEST_VALIDATION: Final = 19
"""With 19 photos, the familiarity of what is less usual than all of them begins at 0.05."""

FEWEST_NEGATIVES: Final = 10
"""Below, a direction towards them says more of these few pictures than of what is foreign."""

COMPONENTS: Final = 64
ROOT_COMPONENTS: Final = 16
DIRECTIONS: Final = 96
CLASS_CENTERS: Final = 20
"""Classes up to which each has a center of its own; beyond, all have one."""

_BYTES: Final = {"residual": 82_000, "root": 21_000, "mahalanobis": 18_000}
"""Of the matrices: with more channels than a MobileNetV2 has, there are fewer directions."""

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of several pictures.

    Attributes:
        layers: float64, shape (pictures, width) for each layer.
        labels: Number of each picture's label, shape (pictures,).
    """

    layers: tuple[Rows, ...]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, number: int) -> tuple[Features, ...]:
        """The features of one picture."""
        return tuple(rows[number] for rows in self.layers)


def fit_detector(
    layers: Sequence[Layer], train: FeatureSet, validation: FeatureSet, negatives: FeatureSet | None = None
) -> Detector | None:
    """Fits the distances on training photos, and the familiarity on validation photos.

    Distances, chosen by the figures in docs/reference/foreign.md: what 64 principal components leave of the last
    layer's features (Wang et al., "ViM", 2022, without the logit); what 16 leave of their square roots, which makes
    small features count; and of each map before the Mahalanobis distance to the nearest class mean (Lee et al., 2018),
    its covariance shrunk by half. With negatives also how far the last layer's features lie on their side, see
    `_linear`.

    Args:
        layers: That the features are of.
        train: Features of training photos, at least `FEWEST_TRAINING`.
        validation: Features of photos that were not trained on, at least `FEWEST_VALIDATION`.
        negatives: Features of pictures of none of the labels, if there are any.

    Returns:
        None if fewer than `FEWEST_VALIDATION` of the validation photos have features that are not all zero.
    """
    usable = np.array([all(np.any(rows[number]) for rows in validation.layers) for number in range(len(validation))])
    if usable.sum() < FEWEST_VALIDATION:
        return None
    terms = [_residual(0, train.layers[0], root=False), _residual(0, train.layers[0], root=True)]
    terms += [_mahalanobis(number, train) for number in range(1, len(layers))]
    if negatives is not None and len(negatives) >= FEWEST_NEGATIVES:
        terms.append(_linear(train.layers[0], negatives.layers[0]))
    terms = [_calibrated(term, validation) for term in terms]
    anomalies = np.sort(
        [
            sum(term.anomaly(validation.layers[term.shape.layer][row]) for term in terms)
            for row in range(len(validation))
        ]
    )
    points, familiarities, tail = calibrate(anomalies[np.isfinite(anomalies)])
    header = DetectorHeader(
        layers=tuple(layers),
        terms=tuple(term.shape for term in terms),
        anomalies=points,
        familiarities=familiarities,
        tail=tail,
        photos=(len(train), len(validation)),
    )
    return Detector(header, tuple(terms))


def _residual(layer: int, rows: Rows, *, root: bool) -> Term:
    """The length of what the principal components leave."""
    unit = unit_rows(np.sign(rows) * np.sqrt(np.abs(rows)) if root else rows)
    count = min(ROOT_COMPONENTS if root else COMPONENTS, _BYTES["root" if root else "residual"] // rows.shape[1])
    mean = unit.mean(axis=0)
    # n rows about their mean span n - 1 directions at most; the rows of svd's third result are sorted by variance.
    components = np.linalg.svd(unit - mean, full_matrices=False)[2][: min(count, len(rows) - 1)]
    return _term("residual", layer, root, components, mean[None])


def _mahalanobis(layer: int, train: FeatureSet) -> Term:
    """The distance to the nearest class mean in units of the spread within classes."""
    unit = unit_rows(train.layers[layer])
    classes = np.unique(train.labels)
    groups = (
        [train.labels == label for label in classes] if len(classes) <= CLASS_CENTERS else [np.ones(len(unit), bool)]
    )
    means = np.stack([unit[group].mean(axis=0) for group in groups])
    within = np.concatenate([unit[group] - mean for group, mean in zip(groups, means, strict=True)])
    values, vectors = np.linalg.eigh(within.T @ within / len(within))
    count = min(DIRECTIONS, len(values), _BYTES["mahalanobis"] // unit.shape[1])
    # Covariance plus its mean eigenvalue on the diagonal: shrunk by half, but for a factor that calibration takes out.
    scaled = (vectors / np.sqrt(np.maximum(values, 0) + values.mean() + 1e-12)).T[::-1][:count]
    # eigh sorts from the smallest; kept are the directions of the largest variance.
    term = _term("mahalanobis", layer, False, scaled, np.zeros((1, count)))
    centers = means @ (term.matrix.astype(np.float64) * term.shape.scale).T
    # With the matrix as it was rounded to 8 bits, so that centers and projections lie in the same space.
    return replace(term, shape=replace(term.shape, centers=len(means)), centers=centers.astype(np.float32))


def _linear(known: Rows, foreign: Rows) -> Term:
    """How far features lie from the known towards the foreign ones: ridge regression of 0 and 1, both sides weighing
    the same.

    As a Mahalanobis distance in this one direction from a center far on the known side, so that it grows all the way.
    Half of 162 foreign pictures as negatives: of the other half a flowers model lets in 4.9 instead of 7.3 %.
    """
    rows, side = (
        np.concatenate([unit_rows(known), unit_rows(foreign)]),
        np.repeat([0.0, 1.0], [len(known), len(foreign)]),
    )
    weight = np.sqrt(np.where(side, 0.5 / len(foreign), 0.5 / len(known)))[:, None]
    # The weights of a side add to 1/2, however many pictures it has.
    mean = (weight**2 * rows).sum(axis=0)
    inner = weight * (rows - mean)
    gram = inner @ inner.T
    # Ridge regression in its dual form: a system of as many equations as pictures.
    ridge = np.trace(gram) / len(gram) * np.eye(len(gram))
    direction = inner.T @ np.linalg.solve(gram + ridge, weight[:, 0] * (side - 0.5))
    length = np.linalg.norm(direction) or 1.0
    # Rows of length 1 project to -1..1 and so does their mean: 2 below it lies short of all of them.
    return _term("mahalanobis", 0, False, (direction / length)[None], np.array([[mean @ direction / length - 2.0]]))


def _term(kind: str, layer: int, root: bool, directions: Rows, centers: npt.NDArray[np.generic]) -> Term:
    scale = float(np.abs(directions).max(initial=0.0) / 127) or 1.0
    matrix = np.rint(directions / scale).astype(np.int8)
    shape = TermShape(kind, layer, root, len(matrix), len(centers), scale, 0.0, 1.0)
    return Term(shape, matrix, centers.astype(np.float32))


def _calibrated(term: Term, validation: FeatureSet) -> Term:
    distances = np.array([term.distance(row) for row in validation.layers[term.shape.layer]])
    distances = distances[np.isfinite(distances)]  # features that are all zero have none
    median, spread = float(np.median(distances)), float(distances.std())
    return replace(term, shape=replace(term.shape, median=median, spread=max(spread, 1e-6)))
