"""How much of the network is fine-tuned: more of it where the frozen features hardly tell the classes apart."""

from dataclasses import replace
from typing import Final

from edge_keras.models.architectures import Architecture
from edge_train.settings import Settings

POOR_HEAD: Final = 0.85
"""Accuracy of the solved head on the validation photos; 77 % with `signs`, 90 with flowers, 98 with cats and dogs."""

PHOTOS: Final = 50
"""Training photos of a class, in the mean. A head on fewer is poor for want of photos."""

DEEP_RATE: Final = 6e-4
DEEP_MIXUP: Final = 0.0
"""Instead of the defaults: features that must be learned anew need larger steps, and signs that differ in one figure
are blurred by mixing. docs/results/training.md has the figures."""


def goes_deeper(architecture: Architecture, settings: Settings, per_class: float, head_accuracy: float) -> bool:
    """Whether fine-tuning begins at the architecture's `deep_seam`.

    Args:
        architecture: Architecture of the network.
        settings: Settings of the recipe.
        per_class: Number of training photos of a class, in the mean.
        head_accuracy: Accuracy of the solved head on the validation photos, 0 to 1.
    """
    if not architecture.deep_seam or settings.fine_tune_from or not settings.epochs:
        return False
    return head_accuracy < POOR_HEAD and per_class >= PHOTOS


def deep_settings(settings: Settings) -> Settings:
    """The recipe from the deep seam on; what differs from the default was asked for, and stays."""
    usual = Settings()
    rate = DEEP_RATE if settings.learning_rate == usual.learning_rate else settings.learning_rate
    return replace(settings, learning_rate=rate, mixup=DEEP_MIXUP if settings.mixup == usual.mixup else settings.mixup)
