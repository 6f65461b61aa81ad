"""Photos with more than 8 bits a level: what of their range they use."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.data.photo_folder import HEAD_BYTES
from edge_core.errors import PictureError
from edge_core.images import deep_levels
from edge_core.images.image_header import format_of

_DEEP_FORMATS: Final = ("PNG", "TIFF", "PNM", "JPEG 2000")

ENOUGH: Final = 128
"""Of 256 levels; photos that use fewer once 16 bits are brought to 8 are worth a warning."""


@dataclass(frozen=True)
class DeepPhotos:
    """The photos of a set that have more than 8 bits a level.

    Attributes:
        count: Number of photos with more than 8 bits a level.
        low, high: Lowest and highest level that any of them has, but for single hot pixels, see `images.OUTLIERS`.
    """

    count: int
    low: float
    high: float

    @property
    def used(self) -> int:
        """How many of the 256 levels they have once 16 bits are brought to 8 without a range."""
        return max(0, min(255, int(self.high) >> 8)) - max(0, min(255, int(self.low) >> 8)) + 1

    @property
    def levels(self) -> tuple[float, float]:
        """The range that uses all 256 levels."""
        return self.low, self.high if self.high > self.low else self.low + 1

    def warning(self) -> str:
        """What to do about it, in words; empty if they use enough of the levels."""
        if self.used >= ENOUGH:
            return ""
        low, high = self.levels
        return (
            f"{self.count} photos have 16 bits a level and use {self.used} of the 256 that are left of them; "
            f"fit --levels {low:g}..{high:g}, or --levels auto, gives them all 256"
        )


def find_deep_photos(files: Sequence[Path]) -> DeepPhotos | None:
    """Reads those files of a set that have more than 8 bits a level; None if there are none."""
    ranges = [levels for path in files if (levels := _levels(path)) is not None]
    if not ranges:
        return None
    return DeepPhotos(len(ranges), min(low for low, _ in ranges), max(high for _, high in ranges))


def _levels(path: Path) -> tuple[float, float] | None:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if format_of(head) not in _DEEP_FORMATS:
                return None
            return deep_levels(head + file.read())
    except (OSError, PictureError):
        return None  # told of when it is read for its pixels
