"""Which way up a frame is, and which parts of it are looked at: text to values, values to views."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import cv2

from edge_core.errors import SettingsError
from edge_core.preprocess import Frame, InputSpec
from edge_device.results import FrameResult

Rotation = Literal[0, 90, 180, 270]

_ROTATIONS: Final = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True)
class Orientation:
    """How a camera is mounted.

    Attributes:
        rotate: Clockwise, in degrees, to turn its frames upright.
        mirror: Left and right are exchanged afterwards.

    Raises:
        SettingsError: `rotate` is another angle.
    """

    rotate: Rotation = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.rotate not in get_args(Rotation):
            raise SettingsError(f"a frame is rotated by 0, 90, 180 or 270 degrees, not by {self.rotate}")

    def apply(self, frame: Frame, out: Frame | None = None) -> Frame:
        """The frame turned upright: itself where there is nothing to do, else `out` if that has its shape, else new.

        Args:
            frame: uint8, shape (height, width, 3); not changed.
            out: Memory to write into; no part of `frame`.
        """
        if self.rotate:
            frame = out = cv2.rotate(frame, _ROTATIONS[self.rotate], out)  # type: ignore[assignment]
        if self.mirror:
            frame = cv2.flip(frame, 1, out)  # type: ignore[assignment]
        return frame


@dataclass(frozen=True)
class Region:
    """A part of a frame, in parts of its width and height after it was turned upright; 0, 0 is the upper left corner.

    Attributes:
        x, y: Position of the upper left corner.
        width, height: More than 0.

    Raises:
        SettingsError: It is empty, or reaches out of the frame.
    """

    x: float = 0.0
    y: float = 0.0
    width: float = 1.0
    height: float = 1.0

    def __post_init__(self) -> None:
        for start, length in ((self.x, self.width), (self.y, self.height)):
            # 0.7 + 0.3 is more than 1 by some bits
            if not (0 <= start < 1 and 0 < length <= 1 and start + length <= 1 + 1e-9):
                raise SettingsError(
                    f"region {self} is not inside the frame; x, y, width and height are parts of it from 0 to 1, "
                    "0.5,0,0.5,1 is its right half"
                )

    def __str__(self) -> str:
        return f"{self.x:g},{self.y:g},{self.width:g},{self.height:g}"


WHOLE: Final = Region()
"""All of the frame."""


@dataclass(frozen=True)
class Zone:
    """A region with a name.

    Raises:
        SettingsError: The name has other characters than a topic, a metric and a file name can all have.
    """

    name: str
    region: Region

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SettingsError(f"zone name {self.name!r} is not 1 to 32 of the letters a to z, digits, - and _")


def parse_region(text: str) -> Region:
    """A region from `0.1,0.2,0.5,0.5`: x, y, width, height.

    Raises:
        SettingsError: It is something else, or not inside the frame.
    """
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(
            f"region {text!r} is not x,y,width,height as parts of the frame; 0.5,0,0.5,1 is its right half"
        ) from None
    return Region(x, y, width, height)


def parse_zone(text: str) -> Zone:
    """A zone from `door=0,0,0.5,1`.

    Raises:
        SettingsError: It is something else.
    """
    name, separator, region = text.partition("=")
    if not separator:
        raise SettingsError(f"zone {text!r} has no name; door=0,0,0.5,1 is the left half, named door")
    return Zone(name, parse_region(region))


def parse_zones(texts: Iterable[str]) -> tuple[Zone, ...]:
    """The zones that were asked for.

    Raises:
        SettingsError: One of them makes no sense, or two have one name.
    """
    zones = tuple(parse_zone(text) for text in texts)
    names = [zone.name for zone in zones]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(f"zone {twice!r} is there twice; every zone needs a name of its own")
    return zones


def cut(frame: Frame, region: Region) -> Frame:
    """The view of a region: at least one pixel; regions that touch have no pixel in common and leave none out.

    Args:
        frame: uint8, shape (height, width, 3), turned upright.
        region: Part of the frame to cut out.
    """
    top, bottom = _pixels(region.y, region.height, frame.shape[0])
    left, right = _pixels(region.x, region.width, frame.shape[1])
    return frame[top:bottom, left:right]


def covering(spec: InputSpec, regions: Sequence[Region] = (WHOLE,)) -> int:
    """The shorter side in pixels that a frame must keep at least so that each region still covers the model's input.

    Args:
        spec: Input of the model.
        regions: What is cut out of a frame. Which way up the frame is makes no difference: the longer side has at least
            as many pixels as the shorter.
    """
    return max(
        math.ceil((side + (part < 1)) / part)  # rounding to whole pixels may take one off a part
        for region in regions
        for side, part in ((spec.width, region.width), (spec.height, region.height))
    )


def _pixels(start: float, length: float, pixels: int) -> tuple[int, int]:
    # Rounded at the border itself, so that two regions that touch round it to the same pixel.
    first = min(int(start * pixels + 0.5), pixels - 1)
    return first, min(max(int((start + length) * pixels + 0.5), first + 1), pixels)


def classified_part(result: FrameResult, regions: Mapping[str, Region]) -> Region:
    """The part of a frame that a result is of: its subject's square, or its zone.

    Args:
        result: What the frame gave.
        regions: Zones by name; of those that are not named it is the whole frame.
    """
    return Region(*result.subject.view) if result.subject else regions.get(result.zone, WHOLE)
