"""How many threads an inference should have: measured at start, for it depends on model, board and runtime."""

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Final

import numpy as np

from edge_device.inference.classifier import Classifier

PER_CHOICE_S: Final = 0.15
ROUNDS: Final = 3
WORTH_IT: Final = 0.93
"""Another thread must bring an inference to at most this part of its time, or it only heats the board and takes from
decoding and preprocessing, which run at the same time."""


def choose_threads(open_with: Callable[[int], Classifier], cores: int | None = None) -> Classifier:
    """A classifier with as many threads as pay, at most as many as there are cores.

    Args:
        open_with: opens the model with so many threads.
        cores: that may be used; those that this process is allowed on unless told otherwise.
    """
    cores = cores or len(os.sched_getaffinity(0))
    classifiers = [open_with(threads) for threads in _choices(cores)]
    pixels = np.zeros(classifiers[0].card.input.shape, np.uint8)
    times: list[list[float]] = [[] for _ in classifiers]
    for _ in range(ROUNDS):  # in turn, so that a busy moment meets all of them
        for classifier, taken in zip(classifiers, times, strict=True):
            until = time.perf_counter() + PER_CHOICE_S / ROUNDS
            while not taken or time.perf_counter() < until:
                start = time.perf_counter()
                classifier.pixel_scores(pixels)
                taken.append(time.perf_counter() - start)
    return classifiers[best_choice([median(taken) for taken in times])]


def best_choice(times: list[float]) -> int:
    """Index of the choice that pays: a later one, with more threads, only if it is faster by enough."""
    best = 0
    for choice in range(1, len(times)):
        if times[choice] <= WORTH_IT * times[best]:
            best = choice
    return best


def _choices(cores: int) -> list[int]:
    """1, 2, 3, 4, then doubled, up to the number of cores."""
    return sorted({threads for threads in (1, 2, 3, 4, 8, 16, cores) if threads <= cores})
