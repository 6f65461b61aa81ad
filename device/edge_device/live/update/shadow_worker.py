"""A candidate in a process of its own: what it does to its process, a crash or a leak, the board's model does not feel.

    python -m edge_device.live.update.shadow_worker MODEL RUNNING RUNTIME THREADS FAMILIAR

RUNNING is the file of the model that runs, whose inference is timed beside each of the candidate's. Frames come on
standard input, uint8 as `preprocess` makes them for MODEL, one behind the other; for each a line of JSON goes to
standard output. The first line says that the model is open, or why it cannot be opened.
"""

import json
import os
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, cast

import numpy as np

from edge_core.errors import EdgeError
from edge_core.preprocess import Frame
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import RuntimeName, Scores
from edge_device.system.board import Sensors

NICENESS: Final = 10
"""The board's own model goes first."""


def main(words: list[str]) -> int:
    model, running, runtime, threads, familiar = words
    os.nice(NICENESS)
    opened = partial(Classifier, runtime=cast(RuntimeName, runtime), threads=int(threads))
    try:
        classifier = opened(Path(model), familiar=float(familiar))
    except EdgeError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 2
    before: Classifier | None = None
    with suppress(EdgeError):  # somebody may just be writing its file anew, which is no fault of the candidate
        before = opened(Path(running))
    print(json.dumps({"labels": classifier.card.labels}), flush=True)
    shape, sensors = classifier.card.input.shape, Sensors()
    blank = np.zeros(before.card.input.shape if before else shape, np.uint8)
    # A frame that is cut off is the end: the board has closed its side, however it ended.
    while len(data := sys.stdin.buffer.read(int(np.prod(shape)))) == np.prod(shape):
        pixels = np.frombuffer(data, np.uint8).reshape(shape)
        # Once without the clock: after the pause before each frame the first inference finds a processor that slept and
        # cold caches, and would be the candidate's alone (of a small model it took thirty times as long as the next).
        _timed(classifier, pixels)
        if before:
            _timed(before, blank)
        scores, took_ms = _timed(classifier, pixels)
        # The model that runs, under the same conditions: as many threads, as nice, on as busy a machine.
        was_ms = _timed(before, blank)[1] if before else 0.0
        reply = {
            "label": classifier.card.labels[int(scores.argmax())],
            "known": classifier.knows(classifier.familiarity()),
            "ms": took_ms,
            "was_ms": was_ms,
            "memory_mb": sensors.read().memory_mb,
        }
        print(json.dumps(reply), flush=True)
    return 0


def _timed(classifier: Classifier, pixels: Frame) -> tuple[Scores, float]:
    """Scores of pixels, and the milliseconds that they took."""
    start = time.perf_counter()
    scores = classifier.pixel_scores(pixels)
    return scores, 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
