"""Features of a few photos of each label inside a .tflite: what keeps the old labels as they were when one is added.

They lie in the archive as `exemplars.bin`: a line that says so, a line of JSON, and the features of the last layer,
int8, label by label.
"""

import json
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
"""Of all exemplars: 46 photos of each of five labels, of the 1,280 features of a MobileNetV2."""

MOST_PER_LABEL: Final = 50

_FORMAT: Final = b"edge-mobilenet exemplars 1\n"
_HEADER_BYTES: Final = 64 << 10

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ExemplarHeader:
    """The JSON of exemplars.

    Attributes:
        width: Number of features of each exemplar.
        scale: What one step of the integers is worth.
        zero_point: Integer that stands for zero.
        counts: Number of exemplars of each label, in the order of the model's outputs.
    """

    width: int
    scale: float
    zero_point: int
    counts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Exemplars:
    """Features of known photos, label by label.

    Attributes:
        header: What the JSON tells.
        values: int8, shape (sum of counts, width).
    """

    header: ExemplarHeader
    values: npt.NDArray[np.int8]

    @property
    def features(self) -> Features:
        """The features as the last layer takes them in: float32, shape (exemplars, width)."""
        return (self.values.astype(np.float32) - self.header.zero_point) * np.float32(self.header.scale)

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """Number of the label of each exemplar, shape (exemplars,)."""
        return np.repeat(np.arange(len(self.header.counts)), self.header.counts)

    def to_bytes(self) -> bytes:
        """What goes into the .tflite."""
        return _FORMAT + json.dumps(asdict(self.header)).encode() + b"\n" + self.values.tobytes()


def keep_exemplars(features: Features, targets: npt.NDArray[np.int64], labels: int) -> Exemplars:
    """Keeps as many of each label as there is room for, evenly spread over those that are given.

    Args:
        features: What the last layer takes in, shape (photos, width); those that are to be kept first come first.
        targets: Number of the label of each, shape (photos,).
        labels: How many labels there are.
    """
    width = features.shape[1]
    room = min(MOST_PER_LABEL, MAX_BYTES // (width * labels))
    rows = [features[targets == label][:room] for label in range(labels)]
    kept = np.concatenate(rows)
    low, high = min(0.0, float(kept.min(initial=0))), max(1e-6, float(kept.max(initial=0)))
    scale = (high - low) / 255
    zero_point = round(-128 - low / scale)
    values = np.rint(kept / scale + zero_point).clip(-128, 127).astype(np.int8)
    return Exemplars(ExemplarHeader(width, scale, zero_point, tuple(len(one) for one in rows)), values)


def parse_exemplars(data: bytes) -> Exemplars:
    """Reads what `Exemplars.to_bytes` wrote.

    Raises:
        ModelFormatError: It is something else, damaged, or of a newer version.
    """
    if not data.startswith(_FORMAT):
        raise ModelFormatError(f"its {EXEMPLARS_FILE} is damaged, or of a newer edge-mobilenet; export it again")
    text, _, values = data[len(_FORMAT) :].partition(b"\n")
    try:
        header = from_fields(ExemplarHeader, json.loads(text[:_HEADER_BYTES]))
        if header.width < 1 or not header.scale > 0 or any(count < 0 for count in header.counts):
            raise ValueError("a width, a scale or a count that makes no sense")
        rows = sum(header.counts)
        if rows * header.width != len(values):
            raise ValueError(f"{rows} exemplars of {header.width} features are not {len(values)} bytes")
        return Exemplars(header, np.frombuffer(values, np.int8).reshape(rows, header.width))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ModelFormatError(f"its {EXEMPLARS_FILE} is damaged: {error}; export it again") from error


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
