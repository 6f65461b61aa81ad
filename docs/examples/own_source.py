"""Classify frames that come from your own code: `python own_source.py flowers-int8.tflite`.

A source is an iterable of `SourceFrame`s. This one draws a square of another color each time; yours reads a camera with
a library of its own, a screen, or a simulation.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np

from edge_device import Classifier, classify_stream
from edge_device.sources import Source, SourceFrame


class Squares(Source):
    """Ten frames of 640x480, blue, green and red in turn."""

    def __iter__(self) -> Iterator[SourceFrame]:
        for index in range(10):
            start = time.monotonic()
            image = np.zeros((480, 640, 3), np.uint8)  # OpenCV's order: blue, green, red
            image[:, :, index % 3] = 255
            yield SourceFrame(image, "squares", index, index / 10, 1e3 * (time.monotonic() - start))


def main(model: str) -> None:
    """Prints the best label of each frame."""
    for result in classify_stream(Classifier(model), Squares(), count=1):
        print(f"frame {result.frame.index}: {result.top[0].label} {result.top[0].score:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
