"""How well a file tells the known from the foreign: held-out photos against pictures of something else."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import pictures_below, read_photos
from edge_core.errors import DatasetError
from edge_core.preprocess import InputSpec, preprocess
from edge_core.progress import Track, silently
from edge_core.statistics import Z_95, Estimate, accuracy
from edge_device.inference.classifier import Classifier

Pixels = npt.NDArray[np.uint8]

KEPT: Final = 95
"""Percent of the known, at the threshold that `ForeignTest.fpr95` is of."""


@dataclass(frozen=True)
class ForeignFolders:
    """Pictures of none of the labels, and whether photos of the labels are kept.

    Attributes:
        unknown: Folder of those that a file is judged by, to tell how many of them count as known.
        negatives: Folder of those that its detector learns from, besides the run's own; a file is not judged by these.
        teachable: Whether the file keeps exemplars of its labels, so that it can be taught another.
    """

    unknown: Path | None = None
    negatives: Path | None = None
    teachable: bool = True


NO_FOLDERS: Final = ForeignFolders()


@dataclass(frozen=True)
class LetIn:
    """A foreign picture that counts as known, and what it is taken for."""

    path: Path
    label: str
    score: float
    familiarity: float


@dataclass(frozen=True)
class ForeignTest:
    """What a file's detector makes of held-out photos and of foreign pictures.

    Attributes:
        kept: Share of the held-out photos that are known, 95 % interval.
        foreign: Number of foreign pictures; 0 where none were given.
        let_in: Share of them that counts as known, 95 % interval; None where none were given.
        fpr95: Share of them that would count as known if just 95 % of the held-out photos did, 95 % interval; None
            where none were given. This is what papers compare; `let_in` is what the device does.
        auroc: Probability that a held-out photo is more familiar than a foreign picture, 95 % interval; None where none
            were given.
        worst: Foreign pictures that count as known, the most familiar first.
    """

    kept: Estimate
    foreign: int
    let_in: Estimate | None
    fpr95: Estimate | None
    auroc: Estimate | None
    worst: tuple[LetIn, ...]

    def to_json(self) -> JsonObject:
        return {
            "kept": vars(self.kept),
            "foreign": self.foreign,
            "let_in": self.let_in and vars(self.let_in),
            "fpr95": self.fpr95 and vars(self.fpr95),
            "auroc": self.auroc and vars(self.auroc),
            "worst": [{**vars(one), "path": str(one.path)} for one in self.worst],
        }


def read_foreign(
    folder: Path, spec: InputSpec, track: Track = silently, learned: Container[str] = ()
) -> list[tuple[Path, Pixels]]:
    """Pixels of all pictures below a folder that can be decoded, less those that a detector has learned from.

    Args:
        folder: Folder of foreign pictures.
        spec: What the model takes.
        track: Receives the progress of each step.
        learned: SHA-256 of the negatives, hexadecimal.

    Raises:
        DatasetError: There are none.
    """
    reading = read_photos(
        [(path, "") for path in pictures_below(folder)],
        lambda _, frame: preprocess(frame, spec),
        wanted=lambda sha256: sha256 not in learned,
        levels=spec.levels,
        track=track,
        label="Reading foreign pictures",
    )
    if not reading.values:
        more = " or each was learned from as a negative" if learned else ""
        raise DatasetError(f"{folder}: none of its files is a picture that can be decoded{more}; give foreign pictures")
    return [(photo.path, pixels) for photo, pixels in zip(reading.photos, reading.values, strict=True)]


def judge_foreign(
    classifier: Classifier,
    familiar: npt.NDArray[np.float64],
    foreign: Sequence[tuple[Path, Pixels]],
    track: Track = silently,
) -> ForeignTest:
    """Runs a file with a detector over foreign pictures, and holds them against held-out photos.

    Args:
        classifier: The file.
        familiar: What it says of held-out photos, as `artifact_scores` returns it.
        foreign: Foreign pictures as `read_foreign` returns them.
        track: Receives the progress of each step.
    """
    kept = accuracy(familiar >= classifier.familiar)
    if not foreign:
        return ForeignTest(kept, 0, None, None, None, ())
    strange, worst = [], []
    for path, pixels in track(foreign, "Looking at foreign pictures", len(foreign)):
        scores = classifier.pixel_scores(pixels)
        strange.append(classifier.familiarity() or 0.0)
        best = int(scores.argmax())
        worst.append(LetIn(path, classifier.card.labels[best], float(scores[best]), strange[-1]))
    admitted = sorted(
        (one for one in worst if one.familiarity >= classifier.familiar), key=lambda one: -one.familiarity
    )
    shares = np.array(strange)
    return ForeignTest(
        kept,
        len(foreign),
        accuracy(shares >= classifier.familiar),
        # At this index of the sorted values 5 % of the known lie below.
        accuracy(shares >= np.sort(familiar)[len(familiar) * (100 - KEPT) // 100]),
        auroc(familiar, shares),
        tuple(admitted),
    )


def auroc(known: npt.NDArray[np.float64], foreign: npt.NDArray[np.float64]) -> Estimate:
    """Probability that one of the first is larger than one of the second; equal ones count as half.

    Its standard error is that of Hanley and McNeil, "The meaning and use of the area under a receiver operating
    characteristic (ROC) curve" (Radiology 143, 1982).
    """
    order = np.sort(foreign)
    below, upto = np.searchsorted(order, known, "left"), np.searchsorted(order, known, "right")
    area = float((below + upto).mean() / 2 / len(foreign))
    # Q1 and Q2 of Hanley and McNeil, for an exponential distribution of the scores.
    both_known, both_foreign = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area) + (len(known) - 1) * (both_known - area**2) + (len(foreign) - 1) * (both_foreign - area**2)
    ) / (len(known) * len(foreign))
    half = Z_95 * max(0.0, variance) ** 0.5
    return Estimate(area, max(0.0, area - half), min(1.0, area + half))
