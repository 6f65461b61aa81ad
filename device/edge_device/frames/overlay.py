"""Labels drawn on a frame, readable at any size."""

from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np

from edge_core.preprocess import Frame
from edge_device.frames.regions import WHOLE, Region
from edge_device.results import UNKNOWN, Event, FrameResult

Color = tuple[int, int, int]

WHITE: Final[Color] = (255, 255, 255)
GREEN: Final[Color] = (120, 230, 120)
YELLOW: Final[Color] = (90, 220, 250)

SMALLEST: Final = 0.35
"""Scale of OpenCV's font under which letters run into each other: 8 pixels high."""

_UNICODE: Final = int(cv2.__version__.partition(".")[0]) >= 5
"""OpenCV 4 draws a question mark for every byte that is not ASCII."""


def annotated(
    image: Frame,
    results: Sequence[FrameResult],
    events: Sequence[Event] = (),
    regions: Mapping[str, Region] | None = None,
) -> Frame:
    """A copy of a frame with its labels: what is believed in green, else the best labels in white; events in yellow.

    Args:
        image: uint8, shape (height, width, 3), B, G, R; not changed.
        results: Results of the frame, one for each zone.
        events: The latest last; they are written at the bottom.
        regions: Where the zones are, by name.
    """
    drawn = image.copy()
    height, width = image.shape[:2]
    if min(height, width) < 8:
        return drawn
    for result in results:
        region = Region(*result.subject.box) if result.subject else (regions or {}).get(result.zone, WHOLE)
        left, top = int(region.x * width), int(region.y * height)
        wide, high = int(region.width * width), int(region.height * height)
        if result.zone or result.subject:
            cv2.rectangle(drawn, (left, top), (left + wide - 1, top + high - 1), WHITE, max(1, height // 400))
        # Above a subject, where there is room: its box may be small, and its head is at the top.
        _write(drawn, _lines(result), left, top, max(wide, width // 4), height, upwards=bool(result.subject))
    if events:
        lines = [(f"{event.label} {event.kind} {event.zone}".rstrip(), YELLOW) for event in events]
        _write(drawn, lines, 0, height, width, height, upwards=True)
    return drawn


def _lines(result: FrameResult) -> list[tuple[str, Color]]:
    name = " ".join(part for part in (result.zone, f"#{result.subject.track}" if result.subject else "") if part)
    zone = f"{name}: " if name else ""
    if result.decision is None and result.known is False:
        return [(f"{zone}{UNKNOWN}", WHITE)]
    if result.decision is None:
        return [(f"{zone}{best.label} {100 * best.score:.0f} %", WHITE) for best in result.top]
    label, score = result.decision.label, result.decision.score
    return [(f"{zone}{label or UNKNOWN} {100 * score:.0f} %", GREEN if label else WHITE)]


def _write(
    image: Frame,
    lines: Sequence[tuple[str, Color]],
    left: int,
    top: int,
    wide: int,
    height: int,
    upwards: bool = False,
) -> None:
    """Writes lines onto a darkened ground at (left, top), or with their end there; cut to `wide`, all in `image`."""
    if not lines:
        return
    longest = max(_width(text, 1.0) for text, _ in lines)
    scale = min(max(height / 600, SMALLEST), 3.0)
    # Text shrinks until the longest line fills nine tenths of the width; what is too long even then is cut.
    scale = max(SMALLEST, min(scale, scale * 0.9 * wide / (scale * longest + 1)))
    step = round(34 * scale)
    margin = max(2, step // 4)
    shown = lines[: max(1, image.shape[0] // step)]
    high = step * len(shown) + margin
    left = max(0, min(left, image.shape[1] - wide))
    top = max(0, min(top - high if upwards else top, image.shape[0] - high))
    texts = [(_cut(text, scale, wide - 2 * margin), color) for text, color in shown]
    ground_width = min(wide, max(_width(text, scale) for text, _ in texts) + 2 * margin)
    ground = image[top : top + high, left : left + ground_width]
    # A quarter of the light, in place: labels can be read on any picture, and what is behind them is still seen.
    np.right_shift(ground, 2, out=ground)
    for number, (text, color) in enumerate(texts):
        base = top + step * (number + 1) - step // 5
        thickness = max(1, round(1.6 * scale))
        cv2.putText(image, text, (left + margin, base), cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)


def _width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(_drawable(text), cv2.FONT_HERSHEY_SIMPLEX, scale, max(1, round(1.6 * scale)))[0][0])


def _cut(text: str, scale: float, wide: int) -> str:
    """As much of a text as `wide` pixels hold, with dots where something is missing."""
    text = _drawable(text)
    if _width(text, scale) <= wide:
        return text
    keep = len(text)
    while keep and _width(text[:keep] + "..", scale) > wide:
        keep -= 1
    return text[:keep] + ".." if keep else ""


def _drawable(text: str) -> str:
    return "".join(letter if letter.isprintable() and (_UNICODE or letter.isascii()) else "?" for letter in text[:200])
