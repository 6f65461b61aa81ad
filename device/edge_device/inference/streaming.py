"""A classifier on a source: what every frame gave, and what it took."""

import time
from collections.abc import Iterator

from edge_device.inference.classifier import Classifier, top
from edge_device.results import FrameResult, Latency
from edge_device.sources import Source


def classify_stream(classifier: Classifier, source: Source, count: int = 3) -> Iterator[FrameResult]:
    """Classifies the frames of a source one by one, as they are asked for.

    Args:
        classifier: Classifier that every frame is given to.
        source: Source to read from. It must be open, and is not closed here.
        count: Largest number of labels for a frame.

    Yields:
        The result of each frame, until the source ends.

    Raises:
        SourceError: The source has failed for good.
    """
    for frame in source:
        start = time.perf_counter()
        scores, timing = classifier.scores(frame.image)
        best = tuple(top(scores, classifier.card.labels, count))
        familiarity = classifier.familiarity()
        total_ms = frame.capture_ms + 1e3 * (time.perf_counter() - start)
        yield FrameResult(
            frame,
            best,
            Latency(frame.capture_ms, timing.preprocess_ms, timing.invoke_ms, total_ms),
            familiarity=familiarity,
            known=classifier.knows(familiarity),
        )
