"""Frames that look alike to the model, put together so that a person labels them at once."""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage

from edge_core.artifact.familiarity import unit_rows
from edge_core.errors import EdgeError, PictureError
from edge_core.images import read_picture
from edge_core.images.likeness import sketch
from edge_core.run_folder import evenly_spaced
from edge_device.inference.classifier import Classifier

APART: Final = 0.6
"""Mean cosine distance between two groups from which on they stay apart. Of 60 unrelated photos of each class and 60
foreign ones 0.5 makes 184 groups of 360 with 0.6 % wrong (flowers) and 61 of 180 with 4.4 % (cats and dogs), 0.6 makes
130 with 1.7 % and 40 with 5.0 %, 0.7 makes 77 with 5.8 % and 16 with 5.6 % (benchmarks/experiments/inbox_groups.py)."""

CENTER: Final = 128
"""Photos of the project whose mean is taken off the features. Without it distances depend on how a network was trained:
of the same photos 0.3 makes 242 groups of flowers, and one of cats, dogs and all else."""

MOST: Final = 2000
"""Frames that are grouped at once, the latest: 2,000 take 16 MB of distances, and a second or two."""

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FrameGroup:
    """Frames that look alike.

    Attributes:
        keys: Keys of the frames, the one most like all others first.
        label: Label that the model gives most of them; empty if it has no features of them.
    """

    keys: tuple[str, ...]
    label: str


class FrameEmbedder:
    """Features of pictures as a model file sees them, each computed once. May be used from any thread."""

    def __init__(self, model: Path | None, photos: Sequence[Path] = ()) -> None:
        """Opens a model.

        Args:
            model: A .tflite of the current run; None, or one without a detector: pictures are compared by sketches.
            photos: Photos of the project; some of them tell what pictures have in common.
        """
        self._classifier = _opened(model)
        self._photos = evenly_spaced(photos, CENTER)
        self._center: Vectors | None = None
        self._kept: dict[str, tuple[Vectors, str]] = {}
        self._lock = threading.Lock()

    def embed(self, path: Path) -> tuple[Vectors, str] | None:
        """The features of a picture, of length one, and its best label; None if it cannot be read."""
        try:
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            with self._lock:
                if self._center is None:
                    self._center = self._find_center()
                if digest not in self._kept:
                    features, label = self._look(path)
                    self._kept[digest] = unit_rows((features - self._center)[None])[0], label
                return self._kept[digest]
        except (OSError, PictureError):
            return None

    def _find_center(self) -> Vectors:
        """What the features of the project's photos have in common; nothing if there are none."""
        found = []
        for path in self._photos:
            with suppress(OSError, PictureError):
                found.append(self._look(path)[0])
        return np.mean(found, axis=0) if found else np.zeros(())

    def _look(self, path: Path) -> tuple[Vectors, str]:
        """The features of a picture, of length one, and its best label."""
        frame = read_picture(path)
        if self._classifier is None:
            values = sketch(frame).astype(np.float64).ravel()
            return unit_rows((values - values.mean())[None])[0], ""
        look = self._classifier.look(frame, 1)
        return unit_rows(look.features[0][None])[0], look.predictions[0].label


def group_frames(paths: Mapping[str, Path], embedder: FrameEmbedder) -> list[FrameGroup]:
    """Puts frames into groups, the largest first; what cannot be read is left out.

    Args:
        paths: Path of each frame's picture by its key, the latest first.
        embedder: Knows features.
    """
    keys, rows, labels = [], [], []
    for key, path in list(paths.items())[:MOST]:
        if found := embedder.embed(path):
            keys.append(key)
            rows.append(found[0])
            labels.append(found[1])
    if not keys:
        return []
    stacked = np.stack(rows)
    members = clusters(stacked)
    groups = [_group(np.flatnonzero(members == one), keys, stacked, labels) for one in np.unique(members)]
    return sorted(groups, key=lambda group: -len(group.keys))


def clusters(rows: Vectors, apart: float = APART) -> npt.NDArray[np.int32]:
    """Number of the group of each row, by average linkage of cosine distances.

    Args:
        rows: Features of length one, shape (pictures, width).
        apart: Mean distance from which on two groups stay apart.
    """
    # linkage needs two rows.
    if len(rows) == 1:
        return np.ones(1, np.int32)
    found: npt.NDArray[np.int32] = fcluster(linkage(rows, "average", metric="cosine"), apart, "distance")
    return found


def _group(places: npt.NDArray[np.intp], keys: Sequence[str], rows: Vectors, labels: Sequence[str]) -> FrameGroup:
    own = rows[places]
    order = places[np.argsort(-(own @ own.mean(axis=0)), kind="stable")].tolist()
    named = [labels[place] for place in order]
    return FrameGroup(tuple(keys[place] for place in order), max(sorted(set(named)), key=named.count))


def _opened(model: Path | None) -> Classifier | None:
    """The classifier of a file that tells its features; None of any other."""
    if model is None:
        return None
    try:
        classifier = Classifier(model)
    except EdgeError:
        return None
    if classifier.tells_foreign:
        return classifier
    classifier.close()
    return None
