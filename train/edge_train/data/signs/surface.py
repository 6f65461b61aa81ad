"""What carries a sign: a metal plate or a sheet of paper, with its fading, dirt, stickers, fingers and glare.

A texture shows the square [-EXTENT, EXTENT] of unit coordinates around the sign: uint8, shape (size, size, 4), blue,
green, red and opacity. It reaches beyond the sign, for the paper around it and for what covers its edge.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from edge_train.data.signs import artwork
from edge_train.data.signs.artwork import ArtworkLayer, Drawing, Pixels
from edge_train.data.signs.backdrop import Generator, Tone, cloud, shaded, skin, textured, tone

EXTENT: Final = 1.75
_MOST_COVERED: Final = 0.22  # of the sign; more would now and then hide the one digit that tells 30 from 50


@dataclass(frozen=True)
class Surface:
    """What carries a sign.

    Attributes:
        key: Random seed for everything that is random about the surface.
        paper: Whether it is a printed sheet, held by hand, rather than a plate on a pole.
        support: Color of the pole or sleeve behind it, None where nothing shows.
    """

    key: int
    paper: bool
    support: Tone | None


def texture(label: str, surface: Surface, size: int) -> Pixels:
    """The surface seen straight on; for "nothing" it bears a shape that is no sign.

    Raises:
        DatasetError: There is no such label.
    """
    rng = np.random.Generator(np.random.PCG64(surface.key))
    face = _not_a_sign(rng, size) if label == artwork.NOTHING else _clean(label, size).copy()
    carrier = _on_paper(face, rng) if surface.paper else face
    _age(carrier, rng)
    if rng.random() < 0.5:
        _cover(carrier, face[..., 3], rng, surface.paper)
    if rng.random() < 0.3:
        _glare(carrier, rng)
    return _curl(carrier, rng) if surface.paper and rng.random() < 0.6 else carrier


@lru_cache(maxsize=64)
def _clean(label: str, size: int) -> Pixels:
    return _bgr(artwork.paint(artwork.drawing_of(label), size, EXTENT, supersampling=2))


def _bgr(rgb_and_opacity: Pixels) -> Pixels:
    return cv2.cvtColor(rgb_and_opacity, cv2.COLOR_RGBA2BGRA).astype(np.uint8, copy=False)


def _not_a_sign(rng: Generator, size: int) -> Pixels:
    """A plain, rimmed or scribbled shape; combinations of color and shape that signs have are left out."""
    usual = (artwork.RED, artwork.BLUE, artwork.YELLOW, artwork.WHITE, (0, 130, 70), (240, 120, 0))
    rim, field = (usual[int(rng.integers(6))] if rng.random() < 0.5 else tone(rng, 0.7) for _ in range(2))
    outlines = (
        artwork.disc(1),
        artwork.rounded(artwork.regular(3, 1.15, rng.choice([-90, 90])), 0.15),
        artwork.box(-1, -rng.uniform(0.4, 1), 1, rng.uniform(0.4, 1)),
        artwork.regular(4, 1, 0),
        artwork.regular(int(rng.integers(5, 9)), 1, rng.uniform(0, 90)),
    )
    shape = int(rng.integers(len(outlines)))
    if shape in (1, 3, 4):  # no red-rimmed triangle, yellow diamond or red octagon
        rim = field = (artwork.BLUE, (0, 130, 70), artwork.BLACK, (130, 130, 130))[int(rng.integers(4))]
    if rng.random() < 0.2:  # a blank sheet or plate, or one with nothing but scribbles
        rim = field = artwork.WHITE
    if rim == artwork.RED and field == artwork.BLUE:
        rim = artwork.BLACK
    drawing: Drawing = (
        ArtworkLayer(rim, (outlines[shape],)),
        ArtworkLayer(field, (outlines[shape] * rng.uniform(0.7, 0.95),)),
    )
    if rim != artwork.RED and rng.random() < 0.5:
        lines = [
            artwork.stroke(rng.uniform(-0.6, 0.6, (3, 2)), rng.uniform(0.05, 0.2)) for _ in range(rng.integers(1, 5))
        ]
        drawing = (*drawing, ArtworkLayer(tone(rng, 0.5), tuple(lines)))
    return _bgr(artwork.paint(drawing, size, EXTENT, supersampling=1))


def _on_paper(face: Pixels, rng: Generator) -> Pixels:
    """The sign in the middle of a white card, sometimes with its name below, as on the printed sheet."""
    size = len(face)
    carrier = np.empty_like(face)
    carrier[..., :3] = int(rng.integers(215, 256))
    carrier[..., 3] = 0
    left, top, right = rng.uniform(1.02, 1.5, 3)
    bottom = rng.uniform(1.3, 1.7) if rng.random() < 0.6 else top
    (x0, y0), (x1, y1) = _pixel((-left, -top), size), _pixel((right, bottom), size)
    carrier[max(0, y0) : y1, max(0, x0) : x1, 3] = 255
    first, last = (_pixel((reach, 0.0), size)[0] for reach in (-1.1, 1.1))
    lay_over(carrier[first:last, first:last], face[first:last, first:last])
    if bottom > 1.35 and rng.random() < 0.7:
        width = rng.uniform(0.2, 0.6)
        for x in np.arange(-width, width, 0.09):
            strokes = np.array([_pixel((x + dx, 1.2 + dy), size) for dx, dy in rng.uniform(0, 0.09, (4, 2))])
            cv2.polylines(carrier, [strokes], False, (40, 40, 40, 255), max(1, size // 200), cv2.LINE_AA)
    return carrier


def _age(carrier: Pixels, rng: Generator) -> None:
    """Fading, inks that mix, a darker or brighter stand than the surroundings, and dirt."""
    fade = rng.uniform(0, 0.6) ** 1.5
    mixing = (1 - fade) * np.eye(3) + fade / 3 + rng.normal(0, 0.03, (3, 3))
    veil = rng.uniform(0, 60)  # of light scattered by the surface: black is never quite black
    matrix = np.column_stack([mixing * rng.uniform(0.6, 1.0), np.full(3, veil)])
    colors = cv2.transform(cv2.cvtColor(carrier, cv2.COLOR_BGRA2BGR), matrix).astype(np.uint8, copy=False)
    carrier[..., :3] = textured(colors, cloud(rng, 48, 48, 3, 4) * rng.uniform(0, 0.15))


def _cover(carrier: Pixels, sign: Pixels, rng: Generator, paper: bool) -> None:
    """Fingers on paper, branches or stickers on a plate, unless they would hide too much of the sign."""
    before = carrier.copy()
    mask = np.zeros_like(sign)
    if paper:
        _fingers(carrier, mask, rng)
    elif rng.random() < 0.5:
        _branch(carrier, mask, rng)
    else:
        for _ in range(int(rng.integers(1, 4))):
            corners = rng.uniform(-0.9, 0.9, 2) + rng.uniform(-0.3, 0.3, (4, 2))
            hull = cv2.convexHull(np.array([_pixel(corner, len(mask)) for corner in corners]))
            color = tone(rng, 0.5)
            cv2.fillConvexPoly(carrier, hull, (*color, 255), cv2.LINE_AA)
            cv2.fillConvexPoly(mask, hull, (255,))
    if cv2.mean(mask, sign)[0] > 255 * _MOST_COVERED:
        carrier[:] = before


def _fingers(carrier: Pixels, mask: Pixels, rng: Generator) -> None:
    """A hand whose one to four fingers come in over an edge of the paper."""
    color, angle = skin(rng), rng.choice([0.0, 90.0, 180.0]) + rng.normal(0, 15)
    inward = -np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    aside = np.array([-inward[1], inward[0]])
    size, thick, first = len(mask), rng.uniform(0.16, 0.26), rng.uniform(-0.8, 0.5)
    count = int(rng.integers(1, 5))
    palm = _pixel(-1.65 * inward + aside * (first + (count - 1) * thick * 0.55), size)
    cv2.circle(carrier, palm, int(0.4 * size / EXTENT / 2), (*shaded(color, 0.8), 255), -1, cv2.LINE_AA)
    for number in range(count):
        root = -1.6 * inward + aside * (first + number * thick * 1.1)
        tip = root + inward * rng.uniform(0.25, 0.75)
        ends, width = (_pixel(root, size), _pixel(tip, size)), max(2, int(thick * size / EXTENT / 2))
        cv2.line(carrier, *ends, (*shaded(color, rng.uniform(0.75, 0.95)), 255), width, cv2.LINE_AA)
        cv2.line(carrier, *ends, (*color, 255), max(1, int(width * 0.75)), cv2.LINE_AA)
        cv2.line(mask, *ends, (255,), width)


def _branch(carrier: Pixels, mask: Pixels, rng: Generator) -> None:
    """A twig with leaves across an edge of the sign."""
    size, angle = len(mask), rng.uniform(0, 2 * np.pi)
    start = np.array([np.cos(angle), np.sin(angle)]) * 1.6
    end = rng.uniform(-0.5, 0.5, 2)
    hue_green = (int(rng.integers(10, 70)), int(rng.integers(60, 150)), int(rng.integers(20, 90)))
    cv2.line(carrier, _pixel(start, size), _pixel(end, size), (30, 45, 60, 255), max(1, size // 120), cv2.LINE_AA)
    for share in rng.random(int(rng.integers(6, 22))):
        center = _pixel((start + (end - start) * share + rng.normal(0, 0.12, 2)), size)
        axes = (max(2, int(size * rng.uniform(0.02, 0.05))), max(1, int(size * rng.uniform(0.01, 0.025))))
        turn, leaf = rng.uniform(0, 180), shaded(hue_green, rng.uniform(0.6, 1.5))
        cv2.ellipse(carrier, center, axes, turn, 0, 360, (*leaf, 255), -1, cv2.LINE_AA)
        cv2.ellipse(mask, center, axes, turn, 0, 360, (255,), -1)


def _glare(carrier: Pixels, rng: Generator) -> None:
    """A soft bright spot or band, the mirror image of a lamp or the sky."""
    axis = np.linspace(-1, 1, 48, dtype=np.float32)
    x, y = axis[None, :] - np.float32(rng.uniform(-0.5, 0.5)), axis[:, None] - np.float32(rng.uniform(-0.5, 0.5))
    turn = rng.uniform(0, np.pi)
    along, aside = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    spot = np.exp(-((along / rng.uniform(0.1, 1.0)) ** 2) - (aside / rng.uniform(0.08, 0.3)) ** 2)
    spot = cv2.resize((spot * rng.uniform(40, 220)).astype(np.float32), carrier.shape[:2])
    carrier[..., :3] = np.minimum(carrier[..., :3] + spot[..., None], 255)


def _curl(carrier: Pixels, rng: Generator) -> Pixels:
    """Paper bent about an upright or level axis: its edges rise, its sides differ in brightness."""
    size = len(carrier)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    bend = (axis**2 - np.float32(0.3)) * np.float32(rng.normal(0, 0.06) * size)
    grid = np.arange(size, dtype=np.float32)
    gain = 1 + np.float32(rng.normal(0, 0.2)) * axis
    upright = rng.random() < 0.7
    if upright:
        columns, rows = np.broadcast_to(grid, (size, size)), grid[:, None] + bend
        gain = gain[None, :, None]
    else:
        columns, rows = grid + bend[:, None], np.broadcast_to(grid[:, None], (size, size))
        gain = gain[:, None, None]
    bent = cv2.remap(carrier, np.ascontiguousarray(columns), np.ascontiguousarray(rows), cv2.INTER_LINEAR)
    bent[..., :3] = np.clip(bent[..., :3] * gain, 0, 255)
    return bent.astype(np.uint8, copy=False)


def lay_over(below: Pixels, above: Pixels) -> None:
    """Blends `above` (blue, green, red, opacity) over the first three channels of `below`, in place."""
    opacity = cv2.cvtColor(cv2.extractChannel(above, 3), cv2.COLOR_GRAY2BGR)
    upper = cv2.multiply(cv2.cvtColor(above, cv2.COLOR_BGRA2BGR), opacity, scale=1 / 255)
    lower = cv2.multiply(np.ascontiguousarray(below[..., :3]), cv2.bitwise_not(opacity), scale=1 / 255)
    below[..., :3] = cv2.add(upper, lower)


def _pixel(point: Iterable[float], size: int) -> tuple[int, int]:
    x, y = (int((coordinate / EXTENT + 1) * size / 2) for coordinate in point)
    return x, y
