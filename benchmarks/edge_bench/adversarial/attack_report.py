"""What adversarial pictures did to models, as values."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_bench.results.environment import Environment
from edge_bench.results.report import Failed
from edge_core.codec import JsonObject
from edge_core.statistics import Z_95, Estimate, accuracy, paired_difference

SCHEMA: Final = 1
"""Of `robustness.json`."""

NOISE: Final = "noise"
SQUARE: Final = "square"
COARSE: Final = ", scores in 256 steps"
"""Ends the name of the row that is the first one seen through 8 bits, under Square Attack alone."""
STEPS_OF_8_BITS: Final = 256
ATTACKS: Final = ("fgsm", "pgd", SQUARE)
"""By name: what is made against the full-size model with its gradients and shown to all rows, and what asks each row
for its scores."""

Right = npt.NDArray[np.bool_]
"""Whether a row is right: shape (photos, 1 + epsilons), first of the photos as they are."""


@dataclass(frozen=True)
class EpsilonPoint:
    """A row at one epsilon.

    Attributes:
        epsilon: Gray levels that a channel of a pixel may change by; 0 for the photos as they are.
        accuracy: top-1 with Wilson's interval.
        difference: Difference to the first row, paired by photo; None for the first row itself.
    """

    epsilon: int
    accuracy: Estimate
    difference: Estimate | None


@dataclass(frozen=True)
class Curve:
    """A row under one attack.

    Attributes:
        photos: Number of photos that were attacked.
        points: One point for each epsilon, ascending from 0.
        mean: Accuracy in the mean over all epsilons but 0.
        difference: Difference of `mean` to the first row, paired by photo, by `mean_gain`; None for the first row
            itself.
        queries: What it took in the median to fool a row, for each epsilon but 0, where the row is asked; None where
            none was fooled.
    """

    photos: int
    points: tuple[EpsilonPoint, ...]
    mean: Estimate
    difference: Estimate | None
    queries: tuple[float | None, ...] = ()

    @property
    def verdict(self) -> str:
        """Whether the row withstands more or less than the first one, if its photos tell."""
        if self.difference is None:
            return ""
        found = self.difference
        told = "withstands less" if found.high < 0 else "withstands more" if found.low > 0 else "no difference shown"
        return f"{told}: {100 * found.value:+.1f} points ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


@dataclass(frozen=True)
class AttackedRow:
    """A model under all attacks.

    Attributes:
        name: Unique in the report.
        runtime: Name and version of what ran it.
        curves: One curve for each attack, by the attack's name.
    """

    name: str
    runtime: str
    curves: Mapping[str, Curve]


@dataclass(frozen=True)
class AttackSettings:
    """How the pictures were made.

    Attributes:
        attacks: Names out of `ATTACKS`.
        epsilons: Largest changes of a pixel in gray levels, ascending.
        photos: Largest number of photos to attack.
        steps: Number of PGD steps.
        square_photos: Largest number of those photos that Square Attack is run on.
        queries: That Square Attack may make for a photo and an epsilon.
        seed: Random seed for the choice of photos and for every attack.
    """

    attacks: tuple[str, ...] = ("pgd", SQUARE)
    epsilons: tuple[int, ...] = (1, 2, 4, 8)
    photos: int = 200
    steps: int = 10
    square_photos: int = 50
    queries: int = 500
    seed: int = 0


@dataclass(frozen=True)
class AdversarialReport:
    """What was found.

    Attributes:
        rows: Rows in the order of the command line; the others are compared with the first.
        failed: Rows that could not be attacked.
        made_against: The network that the transferred pictures were made against.
        white_box: Whether that is the first row itself.
        photos_sha256: Fingerprint of the photos and their labels.
        left_out: Number of photos passed over because a run had seen them in training or validation.
        unusable: Number of files that could not be decoded.
        unknown: Files of which no run tells which photos they were trained on.
        environment: Machine and packages that were measured with.
        settings: Attacks, epsilons, photos and seed.
    """

    rows: tuple[AttackedRow, ...]
    failed: tuple[Failed, ...]
    made_against: str
    white_box: bool
    photos_sha256: str
    left_out: int
    unusable: int
    unknown: tuple[str, ...]
    environment: Environment
    settings: AttackSettings

    @property
    def attacks(self) -> tuple[str, ...]:
        """Names of the curves that every row has."""
        return tuple(self.rows[0].curves)

    def to_text(self) -> str:
        """The text of `robustness.json`; no path gets out."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False, allow_nan=False) + "\n"

    def table(self) -> list[JsonObject]:
        """The rows of `robustness.csv`: one for each model, attack and epsilon; shares from 0 to 1."""
        return [
            {
                "name": row.name,
                "runtime": row.runtime,
                "attack": attack,
                "epsilon": point.epsilon,
                "photos": curve.photos,
                **_parts("accuracy", point.accuracy),
                **_parts("difference", point.difference),
            }
            for row in self.rows
            for attack, curve in row.curves.items()
            for point in curve.points
        ]


def curve(
    right: Right, first: Right | None, epsilons: tuple[int, ...], queries: tuple[float | None, ...] = ()
) -> Curve:
    """Sums up what a row is right about; `first` is the same of the first row, None for itself."""
    points = tuple(
        EpsilonPoint(
            epsilon,
            accuracy(right[:, place]),
            None if first is None else paired_difference(right[:, place], first[:, place]),
        )
        for place, epsilon in enumerate((0, *epsilons))
    )
    gained = None if first is None else (right[:, 1:].astype(np.float64) - first[:, 1:]).mean(1)
    return Curve(
        len(right), points, accuracy(right[:, 1:].mean(1)), None if gained is None else mean_gain(gained), queries
    )


def mean_gain(gained: npt.NDArray[np.float64]) -> Estimate:
    """Mean of what each photo gained, with the interval of `edge_core.statistics.paired_difference` carried over to
    fractions.

    Half a photo won, half a photo lost and one without a change are added, so that rows without a disagreement do not
    get an interval of width zero, as a bootstrap would give them.

    Args:
        gained: Float array of shape (photos,), values -1 to 1: the share of epsilons at which only this row is
            right, less the share at which only the other row is.
    """
    total = len(gained) + 2
    middle = gained.sum() / total
    half = Z_95 * np.sqrt(((gained**2).sum() + 1) / total - middle**2) / np.sqrt(total)
    return Estimate(float(gained.mean()), float(max(-1, middle - half)), float(min(1, middle + half)))


def _parts(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {
        name: estimate.value if estimate else None,
        f"{name}_low": estimate.low if estimate else None,
        f"{name}_high": estimate.high if estimate else None,
    }
