"""How many threads an inference should have: measured at start, for it depends on model, board and runtime."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from statistics import median
from typing import Final

import numpy as np

from edge_core.errors import SettingsError
from edge_device.inference.classifier import Classifier

PER_CHOICE_S: Final = 0.15
ROUNDS: Final = 3
WORTH_IT: Final = 0.93
"""Another thread must bring an inference to at most this part of its time, or it only heats the board and takes from
decoding and preprocessing, which run at the same time."""


def parse_threads(text: str) -> int | None:
    """The number of threads that `--threads` names, None for `auto`.

    Raises:
        SettingsError: It is neither `auto` nor a number from 1 to 999.
    """
    if text == "auto":
        return None
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 1000:
        raise SettingsError(f"--threads is auto or a number of threads, not {text!r}")
    return int(text)


def choose_threads(open_with: Callable[[int], Classifier], cores: int | None = None) -> int:
    """The number of threads that pays, at most the number of cores. Leaves nothing open.

    Args:
        open_with: Opens the model with a number of threads.
        cores: Number of cores that may be used; None: those that this process is allowed on.
    """
    # The affinity, not the number of cores: in a container or under taskset there may be fewer.
    choices = _choices(cores or len(os.sched_getaffinity(0)))
    with ExitStack() as opened:
        classifiers = [opened.enter_context(closing(open_with(threads))) for threads in choices]
        return choices[best_choice(inference_times(classifiers))]


def inference_times(classifiers: Sequence[Classifier]) -> list[float]:
    """The median time in seconds that an inference takes with each, in turn, so that a busy moment meets all of
    them."""
    pixels = np.zeros(classifiers[0].card.input.shape, np.uint8)
    times: list[list[float]] = [[] for _ in classifiers]
    for _ in range(ROUNDS):
        for classifier, taken in zip(classifiers, times, strict=True):
            until = time.perf_counter() + PER_CHOICE_S / ROUNDS
            # Once at least: an inference may take longer than the time that there is for a choice.
            while not taken or time.perf_counter() < until:
                start = time.perf_counter()
                classifier.pixel_scores(pixels)
                taken.append(time.perf_counter() - start)
    return [median(taken) for taken in times]


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
