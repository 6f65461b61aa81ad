"""A classifier on a source: what every frame gave, and what it took."""

import time
from collections import deque
from collections.abc import Iterator
from statistics import median
from typing import Final

from edge_device.classifier import Classifier, top
from edge_device.results import FrameResult, Latency
from edge_device.sources import Source

REMEMBERED: Final = 1000
"""Frames that a `Summary` looks back on; a camera may run for months."""


def classify_stream(classifier: Classifier, source: Source, count: int = 3) -> Iterator[FrameResult]:
    """Classifies the frames of a source one by one, as they are asked for.

    Args:
        classifier: the model.
        source: open; not closed here.
        count: of labels for a frame.
    """
    for frame in source:
        start = time.perf_counter()
        scores, timing = classifier.scores(frame.image)
        best = tuple(top(scores, classifier.card.labels, count))
        total_ms = frame.capture_ms + 1e3 * (time.perf_counter() - start)
        yield FrameResult(
            frame, best, Latency(frame.capture_ms, timing.preprocess_ms, timing.invoke_ms, total_ms)
        )  # fmt: skip


class Summary:
    """Speed of the latest results, added as they come.

    Attributes:
        frames: how many there were in all.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._latest: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def add(self, result: FrameResult) -> None:
        self.frames += 1
        self._latest.append((time.perf_counter(), result.latency.total_ms))

    @property
    def fps(self) -> float:
        """Frames a second; 0 before the second frame."""
        if len(self._latest) < 2:
            return 0.0
        return (len(self._latest) - 1) / (self._latest[-1][0] - self._latest[0][0])

    @property
    def median_ms(self) -> float:
        """Median time of a frame from end to end, in milliseconds; 0 before the first."""
        return median([total_ms for _, total_ms in self._latest] or [0.0])
