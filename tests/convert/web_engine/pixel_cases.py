"""Frames and specifications whose pixels Python and JavaScript must agree on, to the byte."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import numpy as np

from edge_core.codec import JsonObject
from edge_core.preprocess import ColorOrder, Crop, Frame, InputSpec, preprocess


@dataclass(frozen=True, eq=False)
class PixelCase:
    """A frame, shape (height, width, 3), B, G, R, and what the model expects; with `alpha` JavaScript gets RGBA."""

    frame: Frame
    spec: InputSpec
    alpha: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels that Python makes."""
        return hashlib.sha256(preprocess(self.frame, self.spec).tobytes()).hexdigest()

    def to_json(self) -> JsonObject:
        height, width = self.frame.shape[:2]
        return {"width": width, "height": height, "step": 4 if self.alpha else 3, "spec": self.spec.to_json()}

    def to_bytes(self) -> bytes:
        """R, G, B, and noise as the fourth channel."""
        rgb = self.frame[:, :, ::-1]
        if not self.alpha:
            return rgb.tobytes()
        return np.dstack([rgb, rgb.sum(axis=2, dtype=np.uint8)]).tobytes()


def write_frames(cases: Sequence[PixelCase], path: Path) -> list[JsonObject]:
    """Writes the frames one after the other; returns what the engine is told of them."""
    path.write_bytes(b"".join(case.to_bytes() for case in cases))
    return [case.to_json() for case in cases]


def random_cases(count: int, seed: int, longest: int = 500) -> Iterator[PixelCase]:
    """Noise of any proportions: sides from 1 to `longest`, small ones as often as large ones, targets up to half."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        height, width = np.exp(rng.uniform(0, np.log(longest), 2)).round().astype(int)
        goals = np.exp(rng.uniform(0, np.log(longest / 2), 2)).round().astype(int)
        crop, order = get_args(Crop)[rng.integers(3)], get_args(ColorOrder)[rng.integers(2)]
        spec = InputSpec(int(goals[0]), int(goals[1]), crop, order)
        yield PixelCase(_noise(rng, height, width), spec, alpha=bool(number % 2))


TIES: Final = ((3, 256), (257, 256), (511, 256))
"""Lengths and goals of which taps fall in the middle between two 256ths, below even and below odd ones."""

INVERTED: Final = ((49, 256), (391, 256))
"""Lengths and goals where a scale of length / goal, rounded once, gives other weights: of goals below 512, those that
are powers of two alone have such lengths."""


def edge_cases() -> Iterator[PixelCase]:
    """What noise of random sizes rarely meets: ties of taps, odd remainders of halvings, sides of one pixel."""
    rng = np.random.default_rng(7)
    for length, goal in TIES + INVERTED:
        yield PixelCase(_noise(rng, 3, length), InputSpec(goal, 3, "stretch"))
        yield PixelCase(_noise(rng, length, 3), InputSpec(3, goal, "stretch"))
    for height, width, spec in (
        (16, 4, InputSpec(4, 8, "stretch")),  # halved down alone
        (4, 16, InputSpec(8, 4, "stretch")),  # halved across alone
        (19, 23, InputSpec(4, 4, "stretch")),  # two halvings, with three rows and columns to cut off
        (2, 2, InputSpec(1, 1)),
        (1, 1, InputSpec(5, 3, "pad")),
        (1, 40, InputSpec(3, 3, "pad")),
        (40, 1, InputSpec(3, 3, "center")),
        (7, 11, InputSpec(5, 4, "center")),
        (11, 7, InputSpec(4, 5, "pad", "BGR")),
    ):
        yield PixelCase(_noise(rng, height, width), spec)


def _noise(rng: np.random.Generator, height: int, width: int) -> Frame:
    return rng.integers(0, 256, (height, width, 3), np.uint8)
