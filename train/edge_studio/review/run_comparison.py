"""Two runs photo by photo, on the test photos that both have."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, get_args

import numpy as np

from edge_core.codec import JsonObject
from edge_core.statistics import Estimate, mcnemar, paired_difference
from edge_studio.review.run_review import ReviewedPhoto, RunReview

Outcome = Literal["better", "worse", "both_wrong", "both_right"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)


@dataclass(frozen=True)
class PhotoPair:
    """A photo that two runs were tested on; labels may differ, if the photo was relabeled between them."""

    before: ReviewedPhoto
    after: ReviewedPhoto

    @property
    def outcome(self) -> Outcome:
        if self.before.is_right:
            return "both_right" if self.after.is_right else "worse"
        return "better" if self.after.is_right else "both_wrong"

    def to_json(self) -> JsonObject:
        return {"before": asdict(self.before), "after": asdict(self.after), "outcome": self.outcome}


@dataclass(frozen=True)
class RunComparison:
    """What became of each photo that both runs were tested on.

    Attributes:
        pairs: The photos, those on which a run was most confident first.
        difference: Accuracy of the second run less that of the first, paired, with its interval; None without photos.
        p_value: Chance that two equally good runs differ as much, by McNemar's exact test.
    """

    pairs: tuple[PhotoPair, ...]
    difference: Estimate | None
    p_value: float

    def of(self, outcome: Outcome) -> list[PhotoPair]:
        """The photos with that outcome."""
        return [pair for pair in self.pairs if pair.outcome == outcome]


def compare_runs(before: RunReview, after: RunReview) -> RunComparison:
    """Compares two runs on the photos, by their content, that both were tested on."""
    of_before = {photo.sha256: photo for photo in before.photos if photo.sha256}
    pairs = [PhotoPair(of_before[photo.sha256], photo) for photo in after.photos if photo.sha256 in of_before]
    pairs.sort(key=lambda pair: -max(pair.before.predicted_score, pair.after.predicted_score))
    right_before, right_after = _right([pair.before for pair in pairs]), _right([pair.after for pair in pairs])
    won, lost = int((right_after & ~right_before).sum()), int((right_before & ~right_after).sum())
    difference = paired_difference(right_after, right_before) if pairs else None
    return RunComparison(tuple(pairs), difference, mcnemar(won, lost))


def _right(photos: Sequence[ReviewedPhoto]) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.array([photo.is_right for photo in photos], np.bool_)
