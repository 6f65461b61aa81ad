"""Weather and light before a camera that stands still, for composed scenes."""

import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_bench.scenes.composer import Weather
from edge_core.preprocess import Frame


def _scaled(frame: Frame, gain: npt.NDArray[np.float32] | float) -> Frame:
    return np.asarray(np.clip(frame * gain, 0, 255), np.uint8)


def drift(frame: Frame, now_s: float, rng: np.random.Generator) -> Frame:
    """Exposure that follows the sky: a quarter up and down in 40 s."""
    return _scaled(frame, 1 + 0.25 * math.sin(2 * math.pi * now_s / 40))


def steps(frame: Frame, now_s: float, rng: np.random.Generator) -> Frame:
    """An exposure that jumps by a fifth every ten seconds."""
    return _scaled(frame, 1.0 if int(now_s / 10) % 2 else 0.8)


def cloud(frame: Frame, now_s: float, rng: np.random.Generator) -> Frame:
    """A cloud's shadow, 40 % darker, that crosses in six seconds with an edge of a sixth of the frame, every 15 s."""
    across = np.linspace(0, 1, frame.shape[1], dtype=np.float32)
    edge = (now_s % 15) / 6 * 1.6 - 0.3
    shade = 1 / (1 + np.exp((across - edge) / 0.03)) - 1 / (1 + np.exp((across - edge + 0.6) / 0.03))
    return _scaled(frame, (1 - 0.4 * shade)[None, :, None].astype(np.float32))


def shake(frame: Frame, now_s: float, rng: np.random.Generator) -> Frame:
    """A mast in the wind: up to two pixels in each direction, another place in each frame."""
    x, y = rng.uniform(-2, 2, 2)
    moved = cv2.warpAffine(
        frame, np.array([[1, 0, x], [0, 1, y]]), (frame.shape[1], frame.shape[0]), borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.uint8)


def flicker(frame: Frame, now_s: float, rng: np.random.Generator) -> Frame:
    """A tube at 50 Hz before a rolling shutter: bands of 8 % that wander."""
    rows = np.linspace(0, 1, frame.shape[0], dtype=np.float32)
    gain = 1 + 0.08 * np.sin(2 * np.pi * (100 * (rows / 30 + now_s * 1.003)))
    return _scaled(frame, gain[:, None, None].astype(np.float32))


def rain(frame: Frame, now_s: float, rng: np.random.Generator) -> Frame:
    """Two hundred streaks of a few pixels, others in each frame."""
    for x, y in rng.integers(0, (frame.shape[1], frame.shape[0]), (200, 2)):
        cv2.line(frame, (int(x), int(y)), (int(x) + 2, int(y) + 24), (200, 200, 200), 1)
    return frame


WEATHERS: Final[dict[str, Weather | None]] = {
    "noise": None,
    "drift": drift,
    "steps": steps,
    "cloud": cloud,
    "flicker": flicker,
    "shake": shake,
    "rain": rain,
}
