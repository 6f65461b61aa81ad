"""The networks that are tried, and how far their names are told apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from edge_core.errors import SettingsError
from edge_core.preprocess import InputSpec
from edge_device.system.nearest import nearest
from edge_keras.models.architectures import ARCHITECTURES, Architecture


@dataclass(frozen=True)
class BackboneVariant:
    """A backbone at a width and an input size.

    Attributes:
        backbone: Name of the architecture.
        alpha: Width multiplier.
        size: Side of the input in pixels.
    """

    backbone: str
    alpha: float
    size: int

    @property
    def architecture(self) -> Architecture:
        return ARCHITECTURES[self.backbone]

    @property
    def spec(self) -> InputSpec:
        """What the network takes; the crop is `edge-train fit`'s own default."""
        return InputSpec(self.size, self.size)

    @property
    def name(self) -> str:
        """For a table, and for a file: mobilenet_v2-0.35-160."""
        return f"{self.backbone}-{self.alpha:g}-{self.size}"

    @property
    def options(self) -> str:
        """What makes `edge-train fit` train it."""
        width = "" if self.alpha == 1.0 else f" --alpha {self.alpha:g}"
        return f"--backbone {self.backbone}{width} --image-size {self.size}"


PLAN: Final[tuple[tuple[str, tuple[float, ...], tuple[int, ...]], ...]] = (
    ("mobilenet_v2", (0.35, 0.5, 0.75), (96, 160, 224)),
    ("mobilenet_v2", (1.0,), (96, 128, 160, 192, 224)),
    ("mobilenet_v3_large_minimalistic", (1.0,), (224,)),
    ("efficientnet_lite0", (1.0,), (160, 224)),
    ("efficientnet_lite1", (1.0,), (240,)),
    ("efficientnet_lite2", (1.0,), (260,)),
)
"""Backbones, widths and sizes that are tried unless some are asked for: those that are int8's own, small ones first."""


def planned(
    backbones: Sequence[str] = (), alphas: Sequence[float] = (), sizes: Sequence[int] = ()
) -> tuple[BackboneVariant, ...]:
    """The networks to try.

    Args:
        backbones: Names of the architectures; those of `PLAN` by default.
        alphas: Width multipliers; those of `PLAN`, or that there are weights for, by default. A backbone of one width
            comes in that.
        sizes: Sides of the input in pixels; those of `PLAN`, or the architecture's own, by default.

    Raises:
        SettingsError: There is no such backbone, or none of it has such a width.
    """
    found = [
        BackboneVariant(backbone, alpha, size)
        for backbone, usual_alphas, usual_sizes in _usual(backbones)
        for alpha in (alphas or usual_alphas)
        if alpha in ARCHITECTURES[backbone].alphas
        for size in (sizes or usual_sizes)
    ]
    if not found:
        raise SettingsError(f"--alpha {', '.join(map(str, alphas))}: none of the networks has ImageNet weights of that")
    return tuple(dict.fromkeys(found))


def _usual(backbones: Sequence[str]) -> Iterator[tuple[str, Sequence[float], Sequence[int]]]:
    """Backbones with the widths and sizes that are tried unless others are asked for; all of `PLAN` for none."""
    for backbone in backbones:
        if backbone not in ARCHITECTURES:
            raise SettingsError(f"--backbone {backbone}: no such network{nearest(backbone, ARCHITECTURES)}")
    known = {backbone for backbone, _, _ in PLAN}
    yield from (plan for plan in PLAN if not backbones or plan[0] in backbones)
    for name in backbones:
        if name not in known:
            yield name, ARCHITECTURES[name].alphas, (ARCHITECTURES[name].size,)
