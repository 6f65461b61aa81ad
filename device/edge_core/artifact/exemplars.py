"""Features of a few photos of each label inside a .tflite: what keeps the old labels as they were when one is added.

They lie in the archive as `exemplars.bin`: a line that says so, a line of JSON, and the features of the last layer,
label by label, in four bits each: steps that grow with the feature, since most features are small. Twice as many
exemplars in four bits keep old labels better than half of them in eight. Older files have eight bits, in equal steps.

Some are of photos that the network was trained on, and keep their label more easily than any new photo: the header
tells which are not, as what a lesson costs is judged by these.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.artifact.container import EXEMPLARS_FILE, has_entry, opened_archive, read_entry
from edge_core.codec import from_fields
from edge_core.errors import ModelFormatError

MAX_BYTES: Final = 300_000
"""Of all exemplars: 93 photos of each of five labels, of the 1,280 features of a MobileNetV2."""

MOST_PER_LABEL: Final = 120

_FORMAT: Final = b"edge-mobilenet exemplars 2\n"
_FORMAT_8_BITS: Final = b"edge-mobilenet exemplars 1\n"
_STEPS: Final = 15
"""Of four bits."""

_HEADER_BYTES: Final = 256 << 10

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ExemplarHeader:
    """The JSON of exemplars.

    Attributes:
        width: Number of features of each exemplar.
        scale: Feature that one step from the zero point stands for; in four bits, n steps stand for n * n times that.
        zero_point: Integer that stands for zero.
        counts: Number of exemplars of each label, in the order of the model's outputs.
        unseen: Which exemplars the network was not trained on: a bit of each, the first one highest, as hexadecimal
            digits of whole bytes; empty in older files, which do not tell.
    """

    width: int
    scale: float
    zero_point: int
    counts: tuple[int, ...]
    unseen: str


@dataclass(frozen=True, eq=False)
class Exemplars:
    """Features of known photos, label by label.

    Attributes:
        header: What the JSON tells.
        features: The features as the last layer takes them in: float32, shape (sum of counts, width).
    """

    header: ExemplarHeader
    features: Features

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """Number of the label of each exemplar, shape (exemplars,)."""
        return np.repeat(np.arange(len(self.header.counts)), self.header.counts)

    @property
    def unseen(self) -> npt.NDArray[np.bool_]:
        """Which exemplars the network was not trained on, shape (exemplars,); all in older files, which do not tell."""
        count = len(self.features)
        bits = np.frombuffer(bytes.fromhex(self.header.unseen) or b"\xff" * ((count + 7) // 8), np.uint8)
        return np.unpackbits(bits, count=count).astype(bool)

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Which exemplars tell what the label is lost to, shape (exemplars,): those that the network was not trained
        on; all of a label that has none of these."""
        unseen = self.unseen
        some = np.bincount(self.targets, unseen, len(self.header.counts)) > 0
        return unseen | ~some[self.targets]

    def to_bytes(self) -> bytes:
        """What goes into the .tflite."""
        header = self.header
        # The square root makes the steps between codes finest around zero, where most features are.
        codes = np.rint(np.sign(self.features) * np.sqrt(np.abs(self.features) / header.scale) + header.zero_point)
        flat = codes.clip(0, _STEPS).astype(np.uint8).ravel()
        # Two codes a byte, the first one in the low nibble; an odd number of codes is padded.
        pairs = np.append(flat, np.zeros(len(flat) % 2, np.uint8)).reshape(-1, 2)
        packed: npt.NDArray[np.uint8] = pairs[:, 0] | pairs[:, 1] << 4
        return _FORMAT + json.dumps(asdict(header)).encode() + b"\n" + packed.tobytes()


def keep_exemplars(
    features: Features, targets: npt.NDArray[np.int64], labels: int, unseen: npt.NDArray[np.bool_] | None = None
) -> Exemplars:
    """Keeps as many of each label as there is room for, the first of those that are given.

    Args:
        features: What the last layer takes in, shape (photos, width); those that are to be kept first come first.
        targets: Number of the label of each, shape (photos,).
        labels: How many labels there are.
        unseen: Which of them the network was not trained on, shape (photos,); None where that is not known.
    """
    width = features.shape[1]
    # Twice: two features take one byte.
    room = min(MOST_PER_LABEL, 2 * MAX_BYTES // (width * labels))
    places = [np.flatnonzero(targets == label)[:room] for label in range(labels)]
    order = np.concatenate(places)
    kept = features[order]
    # Lowest and highest feature on the scale of the square root, on which the codes are equally spaced.
    below, above = (max(0.0, float((sign * kept).max(initial=0))) ** 0.5 for sign in (-1, 1))
    # Features that are all zero must not lead to a scale of zero, by which `to_bytes` divides.
    step = max(below + above, 1e-3) / _STEPS
    bits = "" if unseen is None else np.packbits(unseen[order]).tobytes().hex()
    header = ExemplarHeader(width, step**2, round(below / step), tuple(len(one) for one in places), bits)
    return Exemplars(header, kept.astype(np.float32))


def parse_exemplars(data: bytes) -> Exemplars:
    """Reads what `Exemplars.to_bytes` wrote.

    Raises:
        ModelFormatError: It is something else, damaged, or of a newer version.
    """
    if not data.startswith((_FORMAT, _FORMAT_8_BITS)):
        raise ModelFormatError(f"its {EXEMPLARS_FILE} is damaged, or of a newer edge-mobilenet; export it again")
    text, _, values = data[len(_FORMAT) :].partition(b"\n")
    try:
        header = from_fields(ExemplarHeader, {"unseen": "", **json.loads(text[:_HEADER_BYTES])})
        if header.width < 1 or not 0 < header.scale < math.inf or any(count < 0 for count in header.counts):
            raise ValueError("a width, a scale or a count that makes no sense")
        if len(bytes.fromhex(header.unseen)) not in (0, (sum(header.counts) + 7) // 8):
            raise ValueError("it tells of another number of exemplars which training had not seen")
        read = _features_of_4_bits if data.startswith(_FORMAT) else _features_of_8_bits
        return Exemplars(header, read(header, values))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ModelFormatError(f"its {EXEMPLARS_FILE} is damaged: {error}; export it again") from error


def _features_of_4_bits(header: ExemplarHeader, values: bytes) -> Features:
    count = sum(header.counts) * header.width
    _check_length(header, (count + 1) // 2, values)
    pairs = np.frombuffer(values, np.uint8)
    codes = np.stack([pairs & _STEPS, pairs >> 4], axis=1).ravel()[:count].reshape(-1, header.width)
    steps = codes.astype(np.float32) - header.zero_point
    # The inverse of the square root in `to_bytes`: a square that keeps the sign.
    features: Features = steps * np.abs(steps) * np.float32(header.scale)
    return features


def _features_of_8_bits(header: ExemplarHeader, values: bytes) -> Features:
    _check_length(header, sum(header.counts) * header.width, values)
    codes = np.frombuffer(values, np.int8).reshape(-1, header.width)
    features: Features = (codes.astype(np.float32) - header.zero_point) * np.float32(header.scale)
    return features


def _check_length(header: ExemplarHeader, expected: int, values: bytes) -> None:
    if len(values) != expected:
        raise ValueError(f"{sum(header.counts)} exemplars of {header.width} features are not {len(values)} bytes")


def read_exemplars(path: Path, labels: Sequence[str]) -> Exemplars | None:
    """The exemplars inside a .tflite; None in one that has none.

    Args:
        path: Path of the .tflite.
        labels: The model's labels.

    Raises:
        ModelFormatError: They are damaged, or not of these labels.
    """
    if not has_entry(path, EXEMPLARS_FILE):
        return None
    with opened_archive(path, "no exemplars") as archive:
        data = read_entry(archive, EXEMPLARS_FILE)
    try:
        found = parse_exemplars(data)
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from error
    if len(found.header.counts) != len(labels):
        raise ModelFormatError(
            f"{path}: its {EXEMPLARS_FILE} is of {len(found.header.counts)} labels, not {len(labels)}"
        )
    return found
