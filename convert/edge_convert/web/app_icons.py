"""The icon of the installed app, drawn: a viewfinder around a point, as the live page has it."""

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.errors import OutputError

_BLUE = (201, 106, 27)  # B, G, R of #1b6ac9
_WHITE = (255, 255, 255)
_UNITS = 32
"""Side of the drawing's grid; the numbers below are in its units."""

_FINER = 4
"""Drawn so many times larger, then averaged: OpenCV smooths lines, but not the ends of thick ones."""


def app_icon(side: int, *, maskable: bool = False) -> bytes:
    """A PNG of the icon.

    Args:
        side: Width and height in pixels.
        maskable: Fills the square to its corners and keeps the drawing in the middle 80 %, so that a phone may cut any
            shape out of it (W3C Web Application Manifest, "icon masks").
    """
    scale = side * _FINER / _UNITS
    canvas = np.zeros((side * _FINER, side * _FINER, 4), np.uint8)
    drawing = 0.75 if maskable else 1.0
    if maskable:
        canvas[:] = (*_BLUE, 255)
    else:
        _rounded_square(canvas, 7 * scale)

    def place(x: float, y: float) -> tuple[int, int]:
        return tuple(round((16 + (value - 16) * drawing) * scale) for value in (x, y))  # type: ignore[return-value]

    pen = round(2.5 * drawing * scale)
    for corner in (((7, 12), (7, 7), (12, 7)), ((20, 7), (25, 7), (25, 12)), ((25, 20), (25, 25), (20, 25)),
                   ((12, 25), (7, 25), (7, 20))):  # fmt: skip
        points = np.array([place(*point) for point in corner], np.int32)
        cv2.polylines(canvas, [points], False, (*_WHITE, 255), pen)
    cv2.circle(canvas, place(16, 16), round(4 * drawing * scale), (*_WHITE, 255), cv2.FILLED)
    return _png(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA))


def _rounded_square(canvas: npt.NDArray[np.uint8], radius: float) -> None:
    side, corner = len(canvas), round(radius)
    blue = (*_BLUE, 255)
    canvas[corner : side - corner, :] = blue
    canvas[:, corner : side - corner] = blue
    for x in (corner, side - 1 - corner):
        for y in (corner, side - 1 - corner):
            cv2.circle(canvas, (x, y), corner, blue, cv2.FILLED)


def _png(pixels: object) -> bytes:
    made, data = cv2.imencode(".png", pixels)  # type: ignore[call-overload]
    if not made:
        raise OutputError("OpenCV cannot write a PNG; install opencv-python again")
    return bytes(data)
