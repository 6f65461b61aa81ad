"""A frame through any function from pixels to scores, timed as `Classifier.scores` times it."""

import time
from collections.abc import Callable

import numpy as np

from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_device.inference.classifier import Timing
from edge_device.inference.interpreter import Scores


class PixelModel:
    """A model that is one function.

    Attributes:
        runtime: Name and version of what runs it.
    """

    def __init__(
        self, runtime: str, spec: InputSpec, write: Callable[[Frame], None], invoke: Callable[[], Scores]
    ) -> None:
        """Puts the two halves together.

        Args:
            runtime: Name and version.
            spec: What `preprocess` has to make of a frame.
            write: Takes preprocessed pixels.
            invoke: Runs the model on what was written last, and gives its scores.
        """
        self.runtime = runtime
        self._spec, self._write, self._invoke = spec, write, invoke

    def scores(self, frame: Frame) -> tuple[Scores, Timing]:
        start = time.perf_counter()
        self._write(preprocess(frame, self._spec))
        written = time.perf_counter()
        scores = self._invoke()
        return scores, Timing(1e3 * (written - start), 1e3 * (time.perf_counter() - written))

    def pixel_scores(self, pixels: Frame) -> Scores:
        self._write(pixels)
        return self._invoke()


def dequantized(raw: Scores, scale: float, zero_point: int) -> Scores:
    """Scores as floats; a scale of 0 says that they are already."""
    floats: Scores = raw.astype(np.float32)
    return (floats - np.float32(zero_point)) * np.float32(scale) if scale else floats
