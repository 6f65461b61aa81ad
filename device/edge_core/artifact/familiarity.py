"""Whether a picture is of the kind that a model was trained on, told from what the network makes of it inside.

A softmax is sure of anything. The features are not: what was never seen lies elsewhere in their space. The distances
of a picture's features from those of the training photos, each against its usual spread, add up to an anomaly; where
that lies among the anomalies of the validation photos is the familiarity, a conformal p-value (Vovk, Gammerman and
Shafer, 2005; Bates et al., "Testing for outliers with conformal p-values", 2023): of the photos that the model knows,
one in twenty has a familiarity below 0.05.

The detector lies in the archive of the .tflite as `familiarity.bin`: a line that says so, a line of JSON, and the
arrays that the JSON tells the sizes of, little-endian, one after the other.
"""

import json
import math
import re
import zipfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.artifact.container import DAMAGED_ARCHIVE, FAMILIARITY_FILE, opened_archive, read_entry
from edge_core.codec import from_fields
from edge_core.errors import ModelFormatError

MAX_BYTES: Final = 200_000
"""Of the detector: 7 % of a MobileNetV2 in 8 bits."""

FAMILIAR: Final = 0.05
"""Familiarity from which on a frame counts as known: one photo in twenty of those that the model knows is turned
away."""

STRANGE: Final = 2.0
STRANGE_WEIGHT: Final = 2.0
"""A distance more than `STRANGE` times its usual spread above the median counts `STRANGE_WEIGHT` times more: a blurred
frame has usual features in the middle of the network and very unusual ones at its end. Let in of 162 blurred pictures
by a flowers model: 5 % without it, 0.6 % with it."""

CALIBRATION_POINTS: Final = 256

_TAUGHT: Final = re.compile(r"familiarity/(\d{1,6})\.bin")
_FORMAT: Final = b"edge-mobilenet familiarity 1\n"
_NORM: Final = 1e-12  # a shorter vector has no direction
_LONGEST: Final = 1e30  # its products are finite, in single precision, too
_LARGEST_SUM: Final = (2**24 - 1) // 255
"""Of whole numbers, up to which their products with others up to 255 add up to less than 2^24: single precision holds
such sums exactly, in any order."""

Features = npt.NDArray[np.float64]
"""A layer's output without its zero point, averaged or summed over the picture: shape (width,); its scale does not
count."""

Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A tensor of the model whose values are features.

    Attributes:
        tensor: Its index in the first subgraph.
        width: Number of its channels.
    """

    tensor: int
    width: int


@dataclass(frozen=True)
class TermShape:
    """What the JSON tells of a distance.

    Attributes:
        kind: `residual`, the length of what the principal components do not explain; `mahalanobis`, the distance from
            the nearest class center; or `nearest`, 1 less the cosine to the nearest example of a label that was taught.
        layer: Which of the detector's layers.
        root: Whether of the square roots of the features, signs kept: it makes small ones count.
        directions: Number of the rows of `Term.matrix`.
        centers: Number of the rows of `Term.centers`.
        scale: That the integers of the matrix are multiplied by.
        median: Median distance of the validation photos.
        spread: Standard deviation over the validation photos.
    """

    kind: str
    layer: int
    root: bool
    directions: int
    centers: int
    scale: float
    median: float
    spread: float


@dataclass(frozen=True, eq=False)
class Term:
    """A distance of features, brought to unit length, from those of the training photos.

    Attributes:
        shape: What the JSON tells.
        matrix: int8, shape (directions, width): principal components, or the directions that make the spread a unit.
        centers: float32. Residual: the mean of the features, shape (1, width). Mahalanobis: a row per center in the
            directions of the matrix, shape (centers, directions).
    """

    shape: TermShape
    matrix: npt.NDArray[np.int8]
    centers: npt.NDArray[np.float32]

    @cached_property
    def _single(self) -> Singles | None:
        """The directions in single precision, of half the size, where it holds the products of 8-bit features exactly.

        Those are whole numbers up to 255, and so are the directions, see `_LARGEST_SUM`.
        """
        exact = bool((np.abs(self.matrix, dtype=np.int64).sum(axis=1) <= _LARGEST_SUM).all())
        fits = exact and not self.shape.root and self.shape.kind != "mahalanobis"
        return self.matrix.astype(np.float32) if fits else None

    @cached_property
    def _rows(self) -> Doubles:
        """What the features are multiplied by in double precision: the directions, if not `_single`, and `_beside`."""
        directions = self.matrix.astype(np.float64)
        return np.vstack([directions[:0] if self._single is not None else directions, self._beside[1]])

    @cached_property
    def _beside(self) -> tuple[list[float], Doubles]:
        """What a squared distance has besides the length inside: numbers, and rows that unit features are put through.

        Residual, of a unit vector u from the mean m:
        |u - m|^2 - |D(u - m)|^2 = 1 + |m|^2 - |Dm|^2 + u(-2m + 2 Dm D) - |Du|^2.
        Mahalanobis, from each center c: |Du - c|^2 = |Du|^2 + |c|^2 - 2cDu.
        """
        if self.shape.kind == "nearest":
            return [], np.empty((0, self.matrix.shape[1]))
        directions, centers = self.matrix * self.shape.scale, self.centers.astype(np.float64)
        squares = np.einsum("ij,ij->i", centers, centers)
        if self.shape.kind == "mahalanobis":
            return squares.tolist(), -2.0 * centers @ directions
        inside = directions @ centers[0]
        return [1.0 + float(squares[0] - inside @ inside)], -2.0 * (centers - inside @ directions)

    def distance(self, features: Features) -> float:
        """The distance of the features of one picture; infinite if they are all zero or not finite.

        A frame finds neither the code nor the matrices in the caches, where the network has just been. So squares are
        multiplied out, which leaves little but products, by one way of NumPy's, and of matrices as small as is exact.
        """
        # The root brings small features closer to large ones, the sign of each kept.
        values = np.copysign(np.sqrt(np.abs(features)), features) if self.shape.root else features
        length = math.sqrt(float(values.dot(values)))
        # A NaN fails both comparisons, so it ends here, too.
        if not _NORM < length < _LONGEST:
            return math.inf
        inside, beside = self._products(values)
        # The length is divided out of the product, not of the features: sums of whole numbers are exact in any order.
        scale = self.shape.scale / length
        if self.shape.kind == "nearest":
            return max(0.0, 1.0 - float(inside.max()) * scale)
        square = scale * scale * float(inside.dot(inside))
        rest = min([number + product / length for number, product in zip(self._beside[0], beside, strict=True)])
        # Rounding may leave a square a little below zero.
        return math.sqrt(max(0.0, rest + square if self.shape.kind == "mahalanobis" else rest - square))

    def _products(self, values: Doubles) -> tuple[Doubles, list[float]]:
        """With the directions, and with the rows beside them."""
        products: Doubles = self._rows.dot(values)
        if self._single is not None:
            return self._single.dot(values.astype(np.float32)).astype(np.float64), products.tolist()
        count = self.shape.directions
        return products[:count], products[count:].tolist()

    def anomaly(self, features: Features) -> float:
        """The distance in units of its usual spread, from the usual distance on."""
        return self.above(self.distance(features))

    def above(self, distance: float) -> float:
        """A distance in units of the usual spread, from the usual distance on."""
        beyond = (distance - self.shape.median) / self.shape.spread
        return beyond + STRANGE_WEIGHT * max(0.0, beyond - STRANGE)


@dataclass(frozen=True)
class DetectorHeader:
    """The JSON of a detector.

    Attributes:
        layers: Names of the layers that the detector looks at.
        terms: Distances that are added up.
        anomalies: Anomalies of the validation photos, rising.
        familiarities: P-values of those, falling.
        tail: Anomaly beyond the last of them by which the familiarity falls to 1/e.
        photos: Number of training photos and of validation photos.
    """

    layers: tuple[Layer, ...]
    terms: tuple[TermShape, ...]
    anomalies: tuple[float, ...]
    familiarities: tuple[float, ...]
    tail: float
    photos: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Detector:
    """What tells the known from the foreign; `edge_convert.foreign` fits one.

    Attributes:
        header: What the JSON tells.
        terms: The distances that are added up.
        taught: Detectors of the labels that were taught afterwards, on the first of this one's layers: what is familiar
            to one of them is familiar.
    """

    header: DetectorHeader
    terms: tuple[Term, ...]
    taught: "tuple[Detector, ...]" = ()

    @property
    def tensors(self) -> tuple[int, ...]:
        """Of the model, that have to be among its outputs."""
        return tuple(layer.tensor for layer in self.header.layers)

    def familiarity(self, features: Sequence[Features]) -> float:
        """The p-value, 0..1, that a picture with these features, one array a layer, is of the known kind."""
        return max([one._own(features) for one in (self, *self.taught)])

    def _own(self, features: Sequence[Features]) -> float:
        header = self.header
        anomaly = sum([term.anomaly(features[term.shape.layer]) for term in self.terms])
        if not math.isfinite(anomaly):
            return 0.0
        beyond = max(0.0, anomaly - header.anomalies[-1])
        return _between(anomaly, header.anomalies, header.familiarities) * math.exp(-beyond / header.tail)

    def to_bytes(self) -> bytes:
        """What goes into the .tflite."""
        arrays = b"".join(
            # Little-endian whatever the processor is; `_terms` reads them in the same order.
            array.astype(dtype).tobytes()
            for term in self.terms
            for array, dtype in ((term.matrix, "i1"), (term.centers, "<f4"))
        )
        return _FORMAT + json.dumps(asdict(self.header)).encode() + b"\n" + arrays


def _between(place: float, places: Sequence[float], values: Sequence[float]) -> float:
    """Linear interpolation between rising places, the last value beyond them; `np.interp` makes arrays of them."""
    after = bisect_right(places, place)
    if not 0 < after < len(places):
        return values[min(after, len(places) - 1)]
    start, end = places[after - 1], places[after]
    return values[after - 1] + (values[after] - values[after - 1]) * (place - start) / (end - start)


def parse_detector(data: bytes) -> Detector:
    """Reads what `Detector.to_bytes` wrote.

    Raises:
        ModelFormatError: It is something else, damaged, or of a newer version.
    """
    if not data.startswith(_FORMAT) or len(data) > 2 * MAX_BYTES:
        raise ModelFormatError(f"its {FAMILIARITY_FILE} is damaged, or of a newer edge-mobilenet; export it again")
    text, _, arrays = data[len(_FORMAT) :].partition(b"\n")
    try:
        header = from_fields(DetectorHeader, json.loads(text))
        _check(header)
        return Detector(header, tuple(_terms(header, arrays)))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ModelFormatError(f"its {FAMILIARITY_FILE} is damaged: {error}; export it again") from error


def read_detector(path: Path) -> Detector | None:
    """The detector inside a .tflite; None in one that has none: of an older version, or of too few photos.

    Raises:
        ModelFormatError: It is damaged.
    """
    own, taught = read_detectors(path)
    found = [one for one in (own, *taught.values()) if one]
    # `Detector.familiarity` gives all of them the same features.
    if any(one.header.layers != found[0].header.layers[:1] for one in found[1:]):
        raise ModelFormatError(f"{path}: its detectors look at different layers; export it again")
    return replace(found[0], taught=tuple(found[1:])) if found else None


def read_detectors(path: Path) -> tuple[Detector | None, dict[int, Detector]]:
    """The detector that a .tflite was exported with, and those of labels that were taught, by the label's number.

    Raises:
        ModelFormatError: One of them is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except DAMAGED_ARCHIVE:
        return None, {}
    if FAMILIARITY_FILE not in names and not any(_TAUGHT.fullmatch(name) for name in names):
        return None, {}
    with opened_archive(path, "no detector") as archive:
        own = read_entry(archive, FAMILIARITY_FILE, 2 * MAX_BYTES) if FAMILIARITY_FILE in names else None
        taught = {
            int(found[1]): read_entry(archive, found[0], 2 * MAX_BYTES)
            for found in map(_TAUGHT.fullmatch, names)
            if found
        }
    try:
        return parse_detector(own) if own is not None else None, {
            label: parse_detector(taught[label]) for label in sorted(taught)
        }
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from error


def unit_rows(rows: Doubles) -> Doubles:
    """Each row at length one; rows of zeros stay so.

    Args:
        rows: Features of a picture in each row, shape (pictures, width).
    """
    unit: Doubles = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _NORM)
    return unit


def calibrate(anomalies: Doubles) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Points of the conformal p-value, and how it goes on beyond them: as an exponential tail of the rarest tenth.

    Args:
        anomalies: Anomalies of photos that were not learned from, rising, shape (photos,).

    Returns:
        `anomalies`, `familiarities` and `tail` of a `DetectorHeader`.
    """
    count = len(anomalies)
    places = np.unique(np.linspace(0, count - 1, min(count, CALIBRATION_POINTS)).round().astype(int))
    # the share of the photos, the new one among them, that are at least as unusual
    familiarities = (count - places + 1) / (count + 1)
    rarest = anomalies[-max(5, count // 10) :]
    # The mean excess over a threshold is the maximum-likelihood estimate of an exponential tail's scale.
    tail = float(rarest.mean() - rarest[0])
    # Equal anomalies must not give a tail of 0, by which the familiarity beyond them is divided.
    return tuple(anomalies[places].tolist()), tuple(familiarities.tolist()), max(tail, 1e-3)


def _check(header: DetectorHeader) -> None:
    """Refuses what no detector has.

    Raises:
        ValueError: With what is wrong.
    """
    if not 1 <= len(header.layers) <= 8 or not 1 <= len(header.terms) <= 16:
        raise ValueError(f"{len(header.layers)} layers and {len(header.terms)} distances")
    if any(not 0 <= layer.tensor < 2**31 or not 1 <= layer.width <= MAX_BYTES for layer in header.layers):
        raise ValueError("a layer with a negative or far too large number")
    for term in header.terms:
        _check_term(term, len(header.layers))
    _check_calibration(header)


def _check_term(term: TermShape, layers: int) -> None:
    if term.kind not in ("residual", "mahalanobis", "nearest") or not 0 <= term.layer < layers:
        raise ValueError(f"a distance of kind {term.kind!r} in layer {term.layer}")
    if not (0 <= term.directions <= MAX_BYTES and 1 <= term.centers <= MAX_BYTES and term.spread > 0):
        raise ValueError("a distance without extent")
    if term.kind == "nearest" and not term.directions:
        raise ValueError("a label that was taught without an example")


def _check_calibration(header: DetectorHeader) -> None:
    rising, falling = np.array(header.anomalies), np.array(header.familiarities)
    if len(rising) < 2 or len(rising) != len(falling) or (np.diff(rising) < 0).any() or (np.diff(falling) > 0).any():
        raise ValueError("calibration points that are not in order")
    if not (falling[-1] > 0 and falling[0] <= 1 and header.tail > 0):
        raise ValueError("a familiarity that is not between 0 and 1")


def _terms(header: DetectorHeader, arrays: bytes) -> "list[Term]":
    terms, start = [], 0
    for shape in header.terms:
        width = header.layers[shape.layer].width
        sides = {"residual": (1, width), "mahalanobis": (shape.centers, shape.directions), "nearest": (1, 0)}[
            shape.kind
        ]
        found: list[npt.NDArray[np.generic]] = []
        for dtype, (rows, columns) in (("i1", (shape.directions, width)), ("<f4", sides)):
            count = rows * columns
            if start + count * np.dtype(dtype).itemsize > len(arrays):
                raise ValueError("it is cut off")
            found.append(np.frombuffer(arrays, dtype, count, start).reshape(rows, columns))
            start += found[-1].nbytes
        # The centers alone: every byte is a valid int8.
        if not np.isfinite(found[1]).all():
            raise ValueError("a center that is not finite")
        terms.append(Term(shape, found[0].astype(np.int8), found[1].astype(np.float32)))
    if start != len(arrays):
        raise ValueError(f"{len(arrays) - start} bytes are left over")
    return terms
