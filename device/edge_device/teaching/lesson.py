"""What is taught, how, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from edge_core.errors import SettingsError
from edge_core.preprocess import Frame
from edge_core.statistics import Estimate
from edge_device.teaching.views import MOST_CUTS

FEWEST: Final = 3
"""Frames of a label that is taught: with fewer, nothing is left to test on."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a model is to know afterwards.

    Attributes:
        examples: Frames by label, uint8, shape (height, width, 3), B, G, R, of any size; of a label that the model has
            already, more of its examples.
        forget: Labels that the model is to lose.
        rename: New names by old ones.
    """

    examples: Mapping[str, Sequence[Frame]] = field(default_factory=dict)
    forget: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TeachSettings:
    """How a model is taught, and what it must come to.

    Attributes:
        cuts: Number of cuts of each frame that are learned from, the whole frame among them.
        mirrored: Whether each cut is learned mirrored, too; None where the model's own training decides, which for road
            signs had no mirrored photos.
        min_right: Percentage of the frames of a taught label that must be told right when they are left out.
        max_loss: Points of accuracy that the labels which the model had may lose at most.
        force: Whether the file is written whatever it came to.

    Raises:
        SettingsError: A number makes no sense.
    """

    cuts: int = 3
    mirrored: bool | None = None
    min_right: float = 40.0
    max_loss: float = 3.0
    force: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.cuts <= MOST_CUTS:
            raise SettingsError(f"{self.cuts} cuts of a frame; there are 1 to {MOST_CUTS}")
        if not (0 <= self.min_right <= 100 and 0 <= self.max_loss <= 100):
            raise SettingsError("the limits are percentages and points: from 0 to 100")


@dataclass(frozen=True)
class Judgement:
    """How good a taught model is, on frames and exemplars that were left out of the solving in turn.

    Attributes:
        taught: Share of the frames of each taught label that is told right.
        before: Share of the exemplars of the other labels that was told right before; None where there are none.
        after: The same share with the labels that are taught.
    """

    taught: Mapping[str, Estimate]
    before: Estimate | None
    after: Estimate | None

    @property
    def loss(self) -> float:
        """Points that the other labels lose."""
        return 100 * (self.before.value - self.after.value) if self.before and self.after else 0.0

    def missed(self, settings: TeachSettings) -> list[str]:
        """What is wrong with it, a clause for each limit that it does not keep to."""
        found = [
            f"{label!r} is told right in {share.percent()} of its frames, {settings.min_right:g} % is asked"
            for label, share in self.taught.items()
            if 100 * share.value < settings.min_right
        ]
        if self.loss > settings.max_loss:
            found.append(f"the other labels lose {self.loss:.1f} points, {settings.max_loss:g} at most are allowed")
        return found

    def to_json(self) -> dict[str, object]:
        """For the card and for scripts."""
        return {
            "taught": {label: asdict(share) for label, share in self.taught.items()},
            "before": self.before and asdict(self.before),
            "after": self.after and asdict(self.after),
        }
