"""Whether a trained classifier is good to use, in one sentence."""

from collections import Counter
from typing import Final

from edge_train.evaluation.metrics import Evaluation

ENOUGH_RIGHT: Final = 0.8
"""Share of test photos below which a classifier is not called good: a convention, one wrong answer in five."""

ENOUGH_OF_CLASS: Final = 0.5
"""Recall below which a class is more often missed than found."""

FEW_PHOTOS: Final = 5
"""Test photos of a class below which one mistake is 20 points or more, so that nothing is known of the class."""


def verdict(evaluation: Evaluation) -> str:
    """`Good to use on a Pi: ...`, or what stands against it."""
    right = evaluation.accuracy
    against = obstacles(evaluation)
    if against:
        return f"Not good to use on a Pi yet: {'; '.join(against)}."
    return (
        f"Good to use on a Pi: right on {100 * right.value:.1f} % of {len(evaluation.judged)} photos that training has "
        "never seen, and every class is recognized."
    )


def obstacles(evaluation: Evaluation) -> list[str]:
    """What stands against using a classifier, the weightiest first."""
    counts = Counter(item.label for item in evaluation.judged)
    largest, most = counts.most_common(1)[0]
    right, found = evaluation.accuracy, []
    if right.low <= most / len(evaluation.judged):
        found.append(f"it is not shown to be better than always saying {largest!r}")
    if right.value < ENOUGH_RIGHT:
        found.append(f"it is wrong on {100 - 100 * right.value:.0f} % of the test photos")
    missed = [
        f"{one.label!r} ({100 * one.recall.value:.0f} %)"
        for one in evaluation.classes()
        if one.recall is not None and one.recall.value < ENOUGH_OF_CLASS
    ]
    if missed:
        found.append(f"it recognizes fewer than half of the photos of {_first(missed)}")
    if few := [repr(label) for label in evaluation.labels if counts[label] < FEW_PHOTOS]:
        found.append(f"fewer than {FEW_PHOTOS} test photos show {_first(few)}, so take more")
    return found


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
