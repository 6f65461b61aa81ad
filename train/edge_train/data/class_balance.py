"""Classes of unequal size: what is said of them."""

from collections.abc import Mapping
from typing import Final

from edge_core.artifact.card import ModelCard

IMBALANCE: Final = 3.0
"""Photos of the largest class for one of the smallest, from which on it is worth a word."""


def is_imbalanced(counts: Mapping[str, int]) -> bool:
    """Whether the largest class has so many more photos than the smallest that the accuracy over all hides it."""
    return max(counts.values()) >= IMBALANCE * min(counts.values())


def imbalance_warning(counts: Mapping[str, int]) -> str:
    """What is wrong with photos per class, in words; empty if nothing is.

    Args:
        counts: Photos by label, at least one label.
    """
    if not is_imbalanced(counts):
        return ""
    least, most = (choose(counts, key=lambda label: counts[label]) for choose in (min, max))
    return (
        f"{most!r} has {counts[most]} photos, {least!r} {counts[least]}: the rare class will be recognized less well "
        "than the accuracy over all suggests"
    )


def photos_per_class(card: ModelCard) -> dict[str, int]:
    """Photos by label over all splits of what a model was trained on; empty if the card does not say."""
    splits = card.dataset.counts.values() if card.dataset else ()
    return {label: sum(counts.get(label, 0) for counts in splits) for label in card.labels} if splits else {}


def headline(card: ModelCard) -> str:
    """The accuracy of a run; where classes are of unequal size, with what keeps it from being read wrongly."""
    told = f"test accuracy {card.metrics['test_accuracy'].percent()}"
    balanced, counts = card.metrics.get("test_balanced_accuracy"), photos_per_class(card)
    if not (balanced and counts and card.dataset and is_imbalanced(counts)):
        return told
    tested = card.dataset.counts["test"]
    most = max(tested, key=lambda label: tested[label])
    share = tested[most] / sum(tested.values())
    told += f", with each class counting the same {balanced.percent()}"
    return f"{told}; always saying {most!r} would be right in {100 * share:.1f} %"
