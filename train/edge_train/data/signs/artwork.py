"""Twelve road signs in the shapes and colors of the Vienna Convention, as vector drawings.

A drawing is a tuple of layers, painted in order. Its coordinates are unit coordinates: x to the right, y down, the
sign within [-1, 1] on both axes. One drawing serves the photos (`paint`) and the printed sheet (vectors in a PDF).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.errors import DatasetError

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
"""Corners in unit coordinates, shape (count, 2)."""
Color = tuple[int, int, int]
"""sRGB in the order red, green, blue, 0..255."""

RED: Final = (194, 17, 28)
BLUE: Final = (0, 82, 165)
YELLOW: Final = (255, 204, 0)
WHITE: Final = (255, 255, 255)
BLACK: Final = (16, 16, 16)


@dataclass(frozen=True, eq=False)
class ArtworkLayer:
    """Polygons of one color; each is filled on its own, so overlaps stay filled."""

    color: Color
    polygons: tuple[Points, ...]


Drawing = tuple[ArtworkLayer, ...]


def drawing_of(label: str) -> Drawing:
    """The drawing of a sign.

    Raises:
        DatasetError: There is no sign of that name ("nothing" has no drawing either).
    """
    if label not in _DRAWINGS:
        raise DatasetError(f"no sign is called {label!r}; there are {', '.join(_DRAWINGS)}")
    return _DRAWINGS[label]()


def draw_sign(label: str, size: int) -> Pixels:
    """A clean sign: uint8 of shape (size, size, 4), red, green, blue and opacity.

    Raises:
        DatasetError: There is no sign of that name.
    """
    return paint(drawing_of(label), size)


def paint(drawing: Drawing, size: int, extent: float = 1.0, supersampling: int = 4) -> Pixels:
    """Rasterises the square [-extent, extent] of a drawing: uint8 of shape (size, size, 4), RGB and opacity.

    Colors go on beyond the outline, where the opacity is 0, so that resampling brings no dark fringe.
    """
    fine = size * supersampling
    canvas = np.empty((fine, fine, 4), np.uint8)
    canvas[:] = (*drawing[0].color, 0)
    for layer in drawing:
        for polygon in layer.polygons:
            # Unit coordinates to sixteenths of a pixel; less half a pixel, as OpenCV counts from pixel centers.
            corners = np.rint((polygon / extent + 1) * (fine / 2 * 16) - 8).astype(np.int32)  # 4 fractional bits
            cv2.fillPoly(canvas, [corners], (*layer.color, 255), cv2.LINE_AA, 4)
    if supersampling > 1:
        canvas = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return canvas


# Shapes. Angles are in degrees, 0 to the right and 90 down.


def path(*corners: tuple[float, float]) -> Points:
    """The corners as points."""
    return np.array(corners, dtype=np.float64)


def arc(x: float, y: float, radius_x: float, radius_y: float, start: float, end: float) -> Points:
    """Points on an ellipse, 4 degrees apart or less."""
    angles = np.radians(np.linspace(start, end, int(abs(end - start) // 4) + 2))
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)


def disc(radius: float, x: float = 0.0, y: float = 0.0) -> Points:
    """A circle's outline."""
    return arc(x, y, radius, radius, 0, 360)


def regular(sides: int, radius: float, first_angle: float) -> Points:
    """A regular polygon around the origin; `radius` reaches its corners, the first of them at `first_angle`."""
    angles = np.radians(first_angle + 360 / sides * np.arange(sides))
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """An upright rectangle."""
    return path((left, top), (right, top), (right, bottom), (left, bottom))


def rounded(corners: Points, radius: float) -> Points:
    """A polygon whose corners are rounded off, starting `radius` before each corner."""
    t = np.linspace(0, 1, 9)[:, None]
    curves = []
    for before, corner, after in zip(np.roll(corners, 1, 0), corners, np.roll(corners, -1, 0), strict=True):
        start = corner + (before - corner) * (radius / np.linalg.norm(before - corner))
        end = corner + (after - corner) * (radius / np.linalg.norm(after - corner))
        # A quadratic Bezier curve with the corner as its control point.
        curves.append((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end)
    return np.concatenate(curves)


def stroke(line: Points, width: float) -> Points:
    """The outline of a line drawn with a flat pen: mitred joins, straight ends."""
    steps = np.diff(line, axis=0)
    normals = np.stack([-steps[:, 1], steps[:, 0]], axis=1) / np.linalg.norm(steps, axis=1, keepdims=True)
    before, after = np.concatenate([normals[:1], normals]), np.concatenate([normals, normals[-1:]])
    closed = np.allclose(line[0], line[-1])
    if closed:
        before[0], after[-1] = normals[-1], normals[0]
    # The vector whose projections on both normals are 1, so that the stroke keeps its width on either side.
    miter = (before + after) / (1 + np.sum(before * after, axis=1, keepdims=True))
    return np.concatenate([line + miter * width / 2, (line - miter * width / 2)[::-1]])


def moved(points: Points, x: float = 0.0, y: float = 0.0, scale: float = 1.0) -> Points:
    """Points scaled about the origin, then shifted."""
    return np.add(points * scale, [x, y])


def arrow(line: Points, width: float, head_width: float, head_length: float) -> tuple[Points, Points]:
    """Shaft and head of an arrow whose shaft ends where the line does; the head goes on from there."""
    forward = (line[-1] - line[-2]) / np.linalg.norm(line[-1] - line[-2])
    sideways = np.array([-forward[1], forward[0]]) * head_width / 2
    tip = line[-1] + forward * head_length
    base = line[-1] - forward * 0.02  # overlaps the shaft, so that no hairline shows between them
    return stroke(line, width), np.stack([base + sideways, tip, base - sideways])


# Characters: strokes in a cell one unit high and about 0.6 wide around the origin.

_STROKE_WIDTH: Final = 0.17
_CHARACTERS: Final[dict[str, tuple[Points, ...]]] = {
    "0": (
        np.concatenate([arc(0, -0.17, 0.2, 0.245, 180, 360), arc(0, 0.17, 0.2, 0.245, 0, 180), path((-0.2, -0.17))]),
    ),
    "3": (
        np.concatenate([arc(0, -0.21, 0.2, 0.205, -165, 90), path((-0.09, -0.005))]),
        np.concatenate([path((-0.09, -0.005)), arc(0, 0.205, 0.215, 0.21, -90, 165)]),
    ),
    "5": (
        path((0.23, -0.415), (-0.15, -0.415), (-0.18, 0.02)),
        arc(0, 0.155, 0.215, 0.26, -150, 155),
    ),
    "S": (np.concatenate([arc(0, -0.205, 0.19, 0.21, -20, -270), arc(0, 0.21, 0.2, 0.205, -90, 160)]),),
    "T": (path((-0.26, -0.415), (0.26, -0.415)), path((0, -0.415), (0, 0.5))),
    "P": (
        path((-0.17, -0.5), (-0.17, 0.5)),
        np.concatenate([path((-0.17, -0.415)), arc(0.02, -0.19, 0.19, 0.225, -90, 90), path((-0.17, 0.035))]),
    ),
}
_CHARACTERS["O"] = _CHARACTERS["0"]


def lettering(text: str, height: float, pitch: float) -> tuple[Points, ...]:
    """Characters of a height, `pitch` apart, centered on the origin."""
    first = -pitch * (len(text) - 1) / 2
    return tuple(
        moved(stroke(line, _STROKE_WIDTH), first + pitch * place, 0, height)
        for place, character in enumerate(text)
        for line in _CHARACTERS[character]
    )


# Signs.


def _fill(color: Color, *polygons: Points) -> ArtworkLayer:
    return ArtworkLayer(color, polygons)


def _round_sign(border: Color, field: Color, field_radius: float = 0.72) -> Drawing:
    return _fill(WHITE, disc(1)), _fill(border, disc(0.965)), _fill(field, disc(field_radius))


def _warning_triangle(first_angle: float) -> Drawing:
    middle = 0.289 * np.sin(np.radians(first_angle))  # brings the middle of the height to y = 0
    outer, red, white = (
        # A circumscribed radius of 2 / sqrt(3) = 1.1547 gives a triangle with sides of 2.
        moved(rounded(regular(3, 1.1547 * scale, first_angle), 0.2 * scale), 0, -middle)
        for scale in (1.06, 1.01, 0.66)
    )
    return _fill(WHITE, outer), _fill(RED, red), _fill(WHITE, white)


def _stop() -> Drawing:
    # So that the sides, not the corners, touch the unit circle.
    octagon = regular(8, 1 / np.cos(np.pi / 8), 22.5)
    return _fill(WHITE, octagon), _fill(RED, octagon * 0.93), _fill(WHITE, *lettering("STOP", 0.68, 0.425))


def _no_entry() -> Drawing:
    return _fill(WHITE, disc(1)), _fill(RED, disc(0.965)), _fill(WHITE, box(-0.72, -0.17, 0.72, 0.17))


def _speed(number: str) -> Drawing:
    return *_round_sign(RED, WHITE), _fill(BLACK, *lettering(number, 0.82, 0.54))


def _no_parking() -> Drawing:
    slash = stroke(path((-0.58, -0.58), (0.58, 0.58)), 0.2)
    return *_round_sign(RED, BLUE, 0.76), _fill(RED, slash)


def _priority_road() -> Drawing:
    diamond = rounded(regular(4, 1.05, 0), 0.12)
    return _fill(BLACK, diamond), _fill(WHITE, diamond * 0.965), _fill(YELLOW, diamond * 0.68)


def _mandatory(*symbols: Points) -> Drawing:
    return *_round_sign(BLUE, BLUE), _fill(WHITE, *symbols)


def _straight_ahead() -> Drawing:
    return _mandatory(*arrow(path((0, 0.72), (0, -0.1)), 0.24, 0.74, 0.62))


def _turn_right() -> Drawing:
    bend = np.concatenate([path((-0.34, 0.66)), arc(-0.1, 0.02, 0.24, 0.24, 180, 270), path((0.16, -0.22))])
    return _mandatory(*arrow(bend, 0.24, 0.74, 0.56))


def _roundabout() -> Drawing:
    arrows = [arrow(arc(0, 0, 0.53, 0.53, start, start - 68), 0.18, 0.46, 0.36) for start in (210, 90, -30)]
    return _mandatory(*(part for parts in arrows for part in parts))


def _pedestrian_crossing() -> Drawing:
    walker = (
        disc(0.085, 0.06, -0.5),
        path((-0.06, -0.38), (0.1, -0.4), (0.14, -0.2), (0.09, 0.04), (-0.07, 0.04), (-0.05, -0.2)),
        stroke(path((-0.03, 0.0), (-0.1, 0.2), (-0.26, 0.42)), 0.105),
        stroke(path((0.04, 0.0), (0.14, 0.2), (0.2, 0.42)), 0.105),
        stroke(path((-0.03, -0.33), (-0.16, -0.2), (-0.2, -0.04)), 0.065),
        stroke(path((0.09, -0.35), (0.22, -0.2), (0.3, -0.08)), 0.065),
    )
    stripes = (
        path((x - 0.05, 0.46), (x + 0.05, 0.46), (x * 1.12 + 0.06, 0.6), (x * 1.12 - 0.06, 0.6))
        for x in (-0.46, -0.23, 0.0, 0.23, 0.46)
    )
    triangle = rounded(path((0, -0.84), (0.82, 0.66), (-0.82, 0.66)), 0.06)
    square = rounded(box(-0.96, -0.96, 0.96, 0.96), 0.14)
    return (
        _fill(WHITE, square),
        _fill(BLUE, rounded(box(-0.91, -0.91, 0.91, 0.91), 0.11)),
        _fill(WHITE, triangle),
        _fill(BLACK, *walker, *stripes),
    )


def _roadworks() -> Drawing:
    worker = (
        disc(0.085, 0.02, -0.21),
        path((-0.06, -0.13), (0.03, -0.12), (-0.08, 0.06), (-0.16, 0.22), (-0.3, 0.2), (-0.2, 0.02)),
        stroke(path((-0.23, 0.17), (-0.13, 0.33), (-0.2, 0.56)), 0.105),
        stroke(path((-0.24, 0.16), (-0.34, 0.36), (-0.46, 0.56)), 0.105),
        stroke(path((-0.02, -0.06), (0.06, 0.1), (0.16, 0.16)), 0.07),
        stroke(path((-0.12, 0.04), (0.3, 0.28)), 0.05),
        path((0.26, 0.22), (0.36, 0.28), (0.33, 0.38), (0.22, 0.32)),
        np.concatenate([arc(0.34, 0.57, 0.22, 0.22, 180, 360), path((0.56, 0.57))]),
    )
    return *_warning_triangle(-90), _fill(BLACK, *worker)


_DRAWINGS: Final[dict[str, Callable[[], Drawing]]] = {
    "no_entry": _no_entry,
    "no_parking": _no_parking,
    "pedestrian_crossing": _pedestrian_crossing,
    "priority_road": _priority_road,
    "roadworks": _roadworks,
    "roundabout": _roundabout,
    "speed_30": lambda: _speed("30"),
    "speed_50": lambda: _speed("50"),
    "stop": _stop,
    "straight_ahead": _straight_ahead,
    "turn_right": _turn_right,
    "yield": lambda: _warning_triangle(90),
}

NOTHING: Final = "nothing"
"""The label of a photo without any of the signs."""
SIGNS: Final = tuple(_DRAWINGS)
"""The signs' names in natural order."""
LABELS: Final = tuple(sorted((*SIGNS, NOTHING)))
"""The names of all thirteen classes in natural order, which is their order in a model's output."""
