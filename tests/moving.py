"""Small scenes for tests of what moves: checks of two colors before a still ground, with noise."""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from edge_core.preprocess import Frame

SIZE = (180, 320)
FPS = 12.0

Path = Callable[[float], tuple[float, float] | None]
"""Middle of a subject as parts of the frame by time in seconds; None: it isn't there."""


def ground() -> Frame:
    """Something still with soft and sharp parts."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(60, 190, (9, 16, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def looks(seed: int) -> Frame:
    """A subject: checks of two colors, those of the first ones red and blue."""
    base = ((10, 20, 250), (250, 10, 20))[seed] if seed < 2 else np.random.default_rng(seed).integers(0, 256, 3)
    colors = np.stack([base, np.asarray(base) // 2]).astype(np.uint8)
    return np.asarray(np.kron(colors[np.indices((4, 4)).sum(0) % 2], np.ones((12, 12, 1), np.uint8)), np.uint8)


NOISE = np.random.default_rng(0).normal(0, 3, (2 * SIZE[0], 2 * SIZE[1], 3)).astype(np.int8)


def scene(
    paths: Sequence[Path], seconds: float, light: Callable[[float], float] = lambda now_s: 1.0
) -> Iterator[tuple[float, Frame]]:
    rng = np.random.default_rng(0)
    still = ground()
    for number in range(round(seconds * FPS)):
        now_s = number / FPS
        frame = still.copy()
        for seed, path in enumerate(paths):
            if place := path(now_s):
                x, y = round(place[0] * SIZE[1]), round(place[1] * SIZE[0])
                left, right = max(0, x - 24), min(SIZE[1], x + 24)
                if left < right:
                    frame[y - 24 : y + 24, left:right] = looks(seed)[:, left - x + 24 : right - x + 24]
        down, right = rng.integers(0, SIZE)
        lit = cv2.convertScaleAbs(frame, alpha=light(now_s))
        noise = NOISE[down : down + SIZE[0], right : right + SIZE[1]]
        yield now_s, np.asarray(cv2.add(lit, noise, dtype=cv2.CV_8U), np.uint8)


def across(y: float, start_s: float = 2.0, took_s: float = 3.0, to: float | None = None) -> Path:
    """From the left to the right, and from `y` to `to`."""

    def path(now_s: float) -> tuple[float, float] | None:
        share = (now_s - start_s) / took_s
        return (1.2 * share - 0.1, y + ((to or y) - y) * share) if 0 <= share <= 1 else None

    return path


def stays(now_s: float) -> tuple[float, float] | None:
    """Comes in after two seconds, stops in the middle of the frame, and stays."""
    return (min(0.5, 0.6 * (now_s - 2) - 0.1), 0.5) if now_s >= 2 else None
