"""The network that `--backbone` names: one of ours, or the user's own."""

from pathlib import Path

from edge_core.errors import SettingsError
from edge_keras.models.architectures import ARCHITECTURES, Architecture
from edge_keras.models.frozen_backbone import open_backbone
from edge_keras.models.pretrained import Weights, find_weights


def find_backbone(
    name: str, pixel_range: str, weights: str, alpha: float, size: int | None, cache: Path
) -> tuple[Architecture, Weights, int]:
    """A network, the weights to start from, and the side of its input.

    Args:
        name: Name of an architecture, or what `open_backbone` opens.
        pixel_range: What the user's own network takes; empty for its default.
        weights: See `find_weights`; the user's own network has its own.
        alpha: Width multiplier.
        size: Side of the input in pixels; None for the network's own.
        cache: Where weights are kept.

    Raises:
        SettingsError: The user's own network has another size, or comes in no width.
        WeightsError: The network or its weights cannot be had.
    """
    if name in ARCHITECTURES:
        if pixel_range:
            raise SettingsError(f"--backbone-range is for your own network: what {name} takes is known")
        architecture = ARCHITECTURES[name]
        side = size or architecture.size
        return architecture, find_weights(weights, alpha=alpha, size=side, cache=cache, architecture=architecture), side
    if weights != "imagenet" or alpha != 1.0:
        option = "--alpha" if alpha != 1.0 else "--weights"
        raise SettingsError(f"{option} is for the networks that are built here; {name} comes as it is")
    own = open_backbone(name, pixel_range)
    if size and own.size and size != own.size:
        raise SettingsError(f"--image-size {size}: {name} takes pictures of {own.size}x{own.size} pixels alone")
    return own.architecture, own.weights, size or own.architecture.size
