"""A learning curve as a value: accuracy of the solved head against the number of photos that it was solved on."""

from dataclasses import asdict, dataclass
from typing import Final, Self

from edge_core.codec import JsonObject
from edge_core.statistics import Estimate

CURVE_FILE: Final = "learning_curve.json"
"""In a run folder."""

HARDLY: Final = 0.005
"""Accuracy below which a gain is not worth the photos."""


@dataclass(frozen=True)
class CurvePoint:
    """A point of the curve.

    Attributes:
        photos: A class, in the mean; of a class with fewer, all.
        accuracy: Mean over the draws with the 95 % interval of that mean, Student's; of a single draw with Wilson's.
        draws: Accuracy of each.
    """

    photos: float
    accuracy: Estimate
    draws: tuple[float, ...]


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy of the solved head by number of photos.

    Attributes:
        points: Fewest photos first; the last one has all.
        judged: Number of validation photos that judge each head.
        gain: What twice as many photos would add to the accuracy, with the interval that three laws and the draws
            leave; None if there are too few points to tell.
        cross_validated: Accuracy of the head on all photos that are not test photos, each judged by a head that was
            solved without its fold; None unless asked for.
    """

    points: tuple[CurvePoint, ...]
    judged: int
    gain: Estimate | None
    cross_validated: Estimate | None = None

    def sentence(self) -> str:
        """What it says to the person who might take more photos."""
        photos = round(self.points[-1].photos)
        if self.gain is None:
            return f"With {photos} photos a class there is no telling what more would bring: take more, and see."
        low, value, high = (100 * share for share in (self.gain.low, self.gain.value, self.gain.high))
        told = (
            f"Twice as many photos (about {2 * photos} a class): about {value:+.1f} points ({low:+.1f} to {high:+.1f})"
        )
        hardly = "; more of the same kind would hardly help" * (self.gain.high < HARDLY)
        return f"{told} for the head on frozen features{hardly}."

    def validation_sentence(self) -> str:
        """What cross-validation says; empty if it was not asked."""
        if self.cross_validated is None:
            return ""
        return (
            "There are few photos to test on, so the head on frozen features was cross-validated, too: "
            f"{self.cross_validated.percent()} of all training and validation photos."
        )

    def to_json(self) -> JsonObject:
        return {**asdict(self), "sentence": self.sentence()}

    @classmethod
    def from_json(cls, fields: JsonObject) -> Self:
        """Reads what `to_json` gave."""

        def estimate(found: dict[str, float] | None) -> Estimate | None:
            return None if found is None else Estimate(**found)

        points = [
            CurvePoint(one["photos"], Estimate(**one["accuracy"]), tuple(one["draws"])) for one in fields["points"]
        ]
        return cls(tuple(points), fields["judged"], estimate(fields["gain"]), estimate(fields["cross_validated"]))
