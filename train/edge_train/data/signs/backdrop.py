"""What stands behind a sign: streets, rooms and heaps of random shapes, painted without any photo.

Every painter takes a canvas (uint8, shape (height, width, 3), blue, green, red) and changes it in place. Lengths are
fractions of the canvas height, so that a canvas of another size shows the same kind of place.
"""

from collections.abc import Callable
from colorsys import hsv_to_rgb
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_train.data.signs.artwork import Pixels

Plane = npt.NDArray[np.float32]
Tone = tuple[int, int, int]
Generator = np.random.Generator


def paint_backdrop(rng: Generator, width: int, height: int) -> Pixels:
    """A place without any road sign: uint8 of shape (height, width, 3), blue, green, red."""
    canvas = np.empty((height, width, 3), np.uint8)
    painters: Final[list[Callable[[Pixels, Generator], None]]] = [_street, _room, _leaves]
    painters[int(rng.choice(3, p=[0.38, 0.38, 0.24]))](canvas, rng)
    if rng.random() < 0.5:
        _clutter(canvas, rng, int(rng.integers(1, 12)))
    if rng.random() < 0.5:
        canvas = canvas[:, ::-1].copy()
    grain = cloud(rng, height, width, int(rng.integers(3, 8)), 4)
    return textured(canvas, grain * rng.uniform(0.03, 0.3))


def cloud(rng: Generator, height: int, width: int, coarsest: int, octaves: int) -> Plane:
    """Noise with structure at several scales: float32 of shape (height, width), around 0, mostly within [-1, 1].

    `coarsest` is the number of grid cells over the height in the first octave; each further one has twice as many.
    """
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        rows = coarsest * 2**octave
        grid = rng.standard_normal((rows, rows * width // height + 1), dtype=np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(0.6**octave / 2)
    return total


def textured(picture: Pixels, change: Plane) -> Pixels:
    """A picture of three channels made lighter or darker by a share of itself; `change` may be smaller than it."""
    # 128 stands for a gain of 1.
    gray = np.clip(128 + 128 * change, 0, 255).astype(np.uint8)
    gain = cv2.resize(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), (picture.shape[1], picture.shape[0]))
    return cv2.multiply(picture, gain, scale=1 / 128).astype(np.uint8, copy=False)


def tone(rng: Generator, vivid: float = 0.3) -> Tone:
    """A random color, drab unless chance `vivid` has it otherwise."""
    saturation = rng.uniform(0.4, 1) if rng.random() < vivid else rng.uniform(0, 0.35)
    return _hsv(rng.random(), saturation, rng.uniform(0.08, 1))


def skin(rng: Generator) -> Tone:
    """A skin color between very dark and very light."""
    return _hsv(rng.uniform(0.02, 0.08), rng.uniform(0.25, 0.6), rng.uniform(0.3, 0.95))


def shaded(color: Tone, gain: float) -> Tone:
    """The color, lighter or darker."""
    blue, green, red = (min(255, int(channel * gain)) for channel in color)
    return blue, green, red


def _hsv(hue: float, saturation: float, value: float) -> Tone:
    red, green, blue = hsv_to_rgb(hue, saturation, min(1.0, value))
    return int(255 * blue), int(255 * green), int(255 * red)


def _near(rng: Generator, color: Tone, spread: int) -> Tone:
    blue, green, red = (
        int(channel) for channel in np.clip(np.array(color) + rng.integers(-spread, spread + 1, 3), 0, 255)
    )
    return blue, green, red


def _gradient(canvas: Pixels, top: int, bottom: int, above: Tone, below: Tone) -> None:
    share = np.linspace(0, 1, max(1, bottom - top))[:, None, None]
    canvas[top:bottom] = ((1 - share) * np.array(above) + share * np.array(below)).astype(np.uint8)


def _street(canvas: Pixels, rng: Generator) -> None:
    height, width = canvas.shape[:2]
    horizon = int(height * rng.uniform(0.35, 0.75))
    sky = _hsv(rng.uniform(0.53, 0.62), rng.uniform(0, 0.6), rng.uniform(0.5, 1))
    _gradient(canvas, 0, horizon, sky, _near(rng, shaded(sky, 1.15), 12))
    ground = _hsv(rng.uniform(0.05, 0.3), rng.uniform(0, 0.35), rng.uniform(0.2, 0.6))
    _gradient(canvas, horizon, height, ground, shaded(ground, rng.uniform(0.7, 1.2)))
    x = -int(rng.integers(0, height // 2))
    while x < width:
        wide = int(height * rng.uniform(0.2, 0.8))
        if rng.random() < 0.5:
            _house(canvas, rng, x, int(horizon - height * rng.uniform(0.1, 0.7)), x + wide, horizon)
        elif rng.random() < 0.7:
            _foliage(canvas, rng, x + wide / 2, horizon - height * rng.uniform(0, 0.25), height * rng.uniform(0.1, 0.3))
        x += wide
    vanishing, left, right = (
        rng.uniform(-0.1, 1.1) * width,
        rng.uniform(-0.6, 0.4) * width,
        rng.uniform(0.6, 1.6) * width,
    )
    asphalt = _hsv(0.6, rng.uniform(0, 0.12), rng.uniform(0.2, 0.6))
    road = np.array([(vanishing - 2, horizon), (vanishing + 2, horizon), (right, height), (left, height)]).astype(
        np.int32
    )
    cv2.fillPoly(canvas, [road], asphalt, cv2.LINE_AA)
    for near, far in ((0.05, 0.12), (0.2, 0.35), (0.5, 0.9)):
        middle, depth = (left + right) / 2, height - horizon
        dash = [
            (vanishing + (middle - vanishing) * share + side * share * height * 0.02, horizon + depth * share)
            for share, side in ((near, -1), (near, 1), (far, 1), (far, -1))
        ]
        cv2.fillPoly(canvas, [np.array(dash).astype(np.int32)], (215, 220, 220), cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 3))):
        _car(
            canvas,
            rng,
            rng.uniform(0, width),
            horizon + rng.uniform(0, 0.25) * height,
            height * rng.uniform(0.06, 0.25),
        )
    for _ in range(int(rng.integers(0, 4))):
        x, thick = int(rng.integers(0, width)), max(1, int(height * rng.uniform(0.008, 0.04)))
        cv2.line(canvas, (x, int(height * rng.uniform(-0.2, 0.4))), (x, height), tone(rng, 0.1), thick, cv2.LINE_AA)


def _house(canvas: Pixels, rng: Generator, left: int, top: int, right: int, bottom: int) -> None:
    wall = _hsv(rng.uniform(0, 0.15), rng.uniform(0, 0.6), rng.uniform(0.3, 0.95))
    cv2.rectangle(canvas, (left, top), (right, bottom), wall, -1)
    if rng.random() < 0.4:
        _masonry(canvas, rng, left, top, right, bottom, wall)
    if rng.random() < 0.5:
        peak = ((left + right) // 2, top - int(rng.uniform(0.1, 0.5) * (right - left)))
        roof = np.array([(left - 4, top), peak, (right + 4, top)], np.int32)
        cv2.fillPoly(
            canvas, [roof], _hsv(rng.uniform(0, 0.1), rng.uniform(0.1, 0.7), rng.uniform(0.2, 0.6)), cv2.LINE_AA
        )
    pane, pitch = shaded(wall, rng.uniform(0.2, 0.7)), max(9, int(canvas.shape[0] * rng.uniform(0.08, 0.2)))
    for y in range(top + pitch // 3, bottom - pitch // 2, pitch):
        for x in range(left + pitch // 3, right - pitch // 2, pitch):
            cv2.rectangle(canvas, (x, y), (x + pitch // 2, y + pitch // 2), _near(rng, pane, 15), -1)


def _masonry(canvas: Pixels, rng: Generator, left: int, top: int, right: int, bottom: int, wall: Tone) -> None:
    row = max(4, int(canvas.shape[0] * rng.uniform(0.02, 0.09)))
    joint = shaded(wall, rng.choice([0.7, 1.3]))
    for number, y in enumerate(range(top, bottom, row)):
        cv2.line(canvas, (left, y), (right, y), joint, 1)
        for x in range(left + (number % 2) * row, right, row * 2):
            cv2.line(canvas, (x, y), (x, min(bottom, y + row)), joint, 1)


def _foliage(canvas: Pixels, rng: Generator, x: float, y: float, radius: float) -> None:
    trunk = max(1, int(radius * 0.2))
    cv2.line(canvas, (int(x), int(y)), (int(x), int(y + radius * 2)), _hsv(0.08, 0.4, rng.uniform(0.15, 0.4)), trunk)
    hue, light = rng.uniform(0.18, 0.36), rng.uniform(0.25, 0.6)
    places, sizes = rng.normal(0, radius * 0.5, (28, 2)), rng.uniform(0.12, 0.4, 28) * radius
    for (across, down), size in zip(places, sizes, strict=True):
        leaf = _hsv(hue, rng.uniform(0.3, 0.7), light * rng.uniform(0.6, 1.4))
        cv2.circle(canvas, (int(x + across), int(y + down)), int(size) + 1, leaf, -1, cv2.LINE_AA)


def _car(canvas: Pixels, rng: Generator, x: float, y: float, size: float) -> None:
    body = tone(rng, 0.5)
    left, top, right, bottom = int(x - size), int(y - size * 0.4), int(x + size), int(y + size * 0.4)
    cabin = [
        (left + size * 0.3, top - size * 0.5),
        (right - size * 0.4, top - size * 0.5),
        (right - size * 0.1, top),
        (left, top),
    ]
    cv2.fillPoly(canvas, [np.array(cabin).astype(np.int32)], shaded(body, 0.4), cv2.LINE_AA)
    cv2.rectangle(canvas, (left, top), (right, bottom), body, -1)
    for wheel in (left + size * 0.4, right - size * 0.4):
        cv2.circle(canvas, (int(wheel), bottom), int(size * 0.25), (25, 25, 25), -1, cv2.LINE_AA)


def _room(canvas: Pixels, rng: Generator) -> None:
    height, width = canvas.shape[:2]
    floor = int(height * rng.uniform(0.6, 1.1))
    wall = _hsv(rng.random(), rng.uniform(0, 0.3) ** 1.5, rng.uniform(0.35, 1))
    _gradient(canvas, 0, height, wall, shaded(wall, rng.uniform(0.75, 1.1)))
    if rng.random() < 0.2:
        _masonry(canvas, rng, 0, 0, width, height, wall)
    for _ in range(int(rng.integers(0, 5))):
        left, top = rng.uniform(-0.1, 0.9) * width, rng.uniform(-0.2, 0.6) * height
        wide, tall = rng.uniform(0.1, 0.6, 2) * height
        painter = (_picture, _shelf, _window)[int(rng.integers(0, 3))]
        painter(canvas, rng, int(left), int(top), int(left + wide), int(top + tall))
    if floor < height:
        desk = _hsv(rng.uniform(0.03, 0.13), rng.uniform(0, 0.6), rng.uniform(0.2, 0.9))
        _gradient(canvas, floor, height, desk, shaded(desk, rng.uniform(0.7, 1.2)))
        for _ in range(int(rng.integers(0, 6))):
            left, top = int(rng.uniform(0, width)), int(floor - height * rng.uniform(0, 0.25))
            corner = (left + int(height * rng.uniform(0.03, 0.3)), floor + int(height * rng.uniform(0, 0.1)))
            cv2.rectangle(canvas, (left, top), corner, tone(rng), -1)
    if rng.random() < 0.55:
        _person(canvas, rng)


def _picture(canvas: Pixels, rng: Generator, left: int, top: int, right: int, bottom: int) -> None:
    cv2.rectangle(canvas, (left, top), (right, bottom), tone(rng), -1)
    cv2.rectangle(canvas, (left, top), (right, bottom), tone(rng, 0.1), max(1, (right - left) // 14))
    for _ in range(int(rng.integers(0, 5))):
        center = (int(rng.integers(left, right + 1)), int(rng.integers(top, bottom + 1)))
        cv2.circle(canvas, center, max(1, int((right - left) * rng.uniform(0.05, 0.25))), tone(rng), -1, cv2.LINE_AA)


def _shelf(canvas: Pixels, rng: Generator, left: int, top: int, right: int, bottom: int) -> None:
    x = left
    while x < right:
        thick = max(2, int(canvas.shape[0] * rng.uniform(0.012, 0.05)))
        head = int(bottom - (bottom - top) * rng.uniform(0.5, 1))
        cv2.rectangle(canvas, (x, head), (x + thick, bottom), tone(rng, 0.5), -1)
        x += thick + 1
    cv2.rectangle(canvas, (left - 4, bottom), (right + 4, bottom + max(2, canvas.shape[0] // 50)), tone(rng, 0.1), -1)


def _window(canvas: Pixels, rng: Generator, left: int, top: int, right: int, bottom: int) -> None:
    bright = _near(rng, (250, 240, 230), 20) if rng.random() < 0.7 else (40, 32, 28)
    frame, thick = tone(rng, 0.05), max(2, canvas.shape[0] // 60)
    cv2.rectangle(canvas, (left, top), (right, bottom), bright, -1)
    cv2.rectangle(canvas, (left, top), (right, bottom), frame, thick)
    cv2.line(canvas, ((left + right) // 2, top), ((left + right) // 2, bottom), frame, thick)


def _person(canvas: Pixels, rng: Generator) -> None:
    height, width = canvas.shape[:2]
    size, x, y = height * rng.uniform(0.12, 0.3), rng.uniform(0.15, 0.85) * width, rng.uniform(0.1, 0.5) * height
    face, hair, shirt = (
        skin(rng),
        _hsv(rng.uniform(0, 0.12), rng.uniform(0.1, 0.7), rng.uniform(0.05, 0.6)),
        tone(rng, 0.5),
    )
    cv2.ellipse(
        canvas, (int(x), int(y + size * 2.9)), (int(size * 1.7), int(size * 2)), 0, 0, 360, shirt, -1, cv2.LINE_AA
    )
    cv2.rectangle(
        canvas, (int(x - size * 0.3), int(y)), (int(x + size * 0.3), int(y + size * 1.2)), shaded(face, 0.85), -1
    )
    cv2.ellipse(canvas, (int(x), int(y - size * 0.2)), (int(size * 0.78), int(size)), 0, 0, 360, hair, -1, cv2.LINE_AA)
    cv2.ellipse(canvas, (int(x), int(y)), (int(size * 0.66), int(size * 0.88)), 0, 0, 360, face, -1, cv2.LINE_AA)
    for side in (-0.27, 0.27):
        cv2.circle(
            canvas, (int(x + side * size), int(y - size * 0.1)), int(size * 0.08) + 1, (30, 30, 40), -1, cv2.LINE_AA
        )
    cv2.line(
        canvas,
        (int(x - size * 0.2), int(y + size * 0.45)),
        (int(x + size * 0.2), int(y + size * 0.45)),
        (70, 70, 140),
        2,
    )


def _leaves(canvas: Pixels, rng: Generator) -> None:
    """Overlapping shapes with many small and few large ones, as in the dead-leaves model of natural images."""
    canvas[:] = tone(rng)
    _clutter(canvas, rng, int(rng.integers(60, 180)))


def _clutter(canvas: Pixels, rng: Generator, count: int) -> None:
    height, width = canvas.shape[:2]
    vivid = rng.uniform(0, 0.8)
    for kind, share in zip(rng.integers(0, 7, count), rng.random(count), strict=True):
        size = 0.03 * height / (1 - 0.94 * share)  # their number falls with the square of the size
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        color = tone(rng, vivid)
        if kind < 2:
            axes = (int(size), int(size * rng.uniform(0.3, 1)) + 1)
            cv2.ellipse(canvas, (int(x), int(y)), axes, rng.uniform(0, 180), 0, 360, color, -1, cv2.LINE_AA)
        elif kind < 4:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
            corners = np.stack([x + size * np.cos(angles), y + size * np.sin(angles)], axis=1)
            cv2.fillPoly(canvas, [corners.astype(np.int32)], color, cv2.LINE_AA)
        elif kind < 6:
            end = (int(x + rng.normal(0, 2) * size), int(y + rng.normal(0, 2) * size))
            cv2.line(canvas, (int(x), int(y)), end, color, max(1, int(size * 0.15)), cv2.LINE_AA)
        else:
            _writing(canvas, rng, x, y, size * 2, color)


def _writing(canvas: Pixels, rng: Generator, x: float, y: float, size: float, color: Tone) -> None:
    """Rows of strokes that look like lettering from afar."""
    letter = max(3.0, size / 6)
    for row in range(int(rng.integers(1, 4))):
        for column in range(int(rng.integers(3, 9))):
            corners = rng.uniform(0, 0.8, (4, 2)) * letter + np.array([x + column * letter, y + row * letter * 1.5])
            cv2.polylines(canvas, [corners.astype(np.int32)], False, color, max(1, int(letter * 0.15)), cv2.LINE_AA)
