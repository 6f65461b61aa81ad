"""Photos with more than 8 bits a level: what of their range they use."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.data.photo_folder import HEAD_BYTES
from edge_core.errors import PictureError
from edge_core.images import deep_levels
from edge_core.images.image_header import format_of, read_header

_DEEP_FORMATS: Final = ("PNG", "TIFF", "PNM", "JPEG 2000")

ENOUGH: Final = 128
"""Of 256 levels; photos that use fewer once 16 bits are brought to 8 are worth a warning."""


@dataclass(frozen=True)
class DeepPhotos:
    """The photos of a set that have more than 8 bits a level.

    Attributes:
        count: Number of photos with more than 8 bits a level.
        low, high: Lowest and highest level that any of them has, but for single hot pixels, see `images.OUTLIERS`.
        wide: Whether some have more than 16 bits a level, and cannot be used without a range.
    """

    count: int
    low: float
    high: float
    wide: bool = False

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
        low, high = self.levels
        if self.wide:
            return (
                f"there are photos with more than 16 bits a level: fit takes {low:g}..{high:g}, or what --levels states"
            )
        if self.used >= ENOUGH:
            return ""
        return (
            f"{self.count} photos have more than 8 bits a level and use {self.used} of the 256 that are left of them; "
            f"fit --levels {low:g}..{high:g}, or --levels auto, gives them all 256"
        )


def find_deep_photos(files: Sequence[Path]) -> DeepPhotos | None:
    """Reads those files of a set that have more than 8 bits a level; None if there are none."""
    found = [deep for path in files if (deep := _levels(path)) is not None]
    if not found:
        return None
    return DeepPhotos(
        len(found), min(one.low for one in found), max(one.high for one in found), any(one.wide for one in found)
    )


def _levels(path: Path) -> DeepPhotos | None:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if format_of(head) not in _DEEP_FORMATS:
                return None
            data = head + file.read()
        levels, header = deep_levels(data), read_header(data)
        return DeepPhotos(1, *levels, header.wide) if levels and header else None
    except (OSError, PictureError):
        return None  # told of when it is read for its pixels
