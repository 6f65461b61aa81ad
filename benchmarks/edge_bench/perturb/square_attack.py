"""Square Attack: an adversarial picture found by asking a model for its scores alone.

Andriushchenko, Croce, Flammarion and Hein, ECCV 2020, for the L-infinity norm: beginning with stripes, squares of ever
smaller size at random places are set to the edge of the budget, and kept if the model becomes less sure of the label.
It needs no gradients, so it attacks a .tflite as it is. In whole gray levels, and with a few hundred queries where the
paper has thousands. Written here because a query is one call of a runtime on one picture: the published code asks in
batches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_core.preprocess import Frame
from edge_device.inference.interpreter import Scores

FIRST_SHARE: Final = 0.8
"""Of the picture's area that the first square covers; AutoAttack's (Croce and Hein, 2020)."""
HALVED_AFTER: Final = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the queries after which the area is halved, as published."""
SMALLEST: Final = 1e-9
"""Score that a label has at least: one of 0, as 8 bits give it, has no logarithm."""


@dataclass(frozen=True)
class SquareSearch:
    """How a search ended.

    Attributes:
        fooled: Whether the model says something else than the label in the end.
        queries: That were made.
        pixels: uint8, the best picture found.
    """

    fooled: bool
    queries: int
    pixels: Frame


def square_attack(
    scores: Callable[[Frame], Scores],
    pixels: Frame,
    label: int,
    epsilon: int,
    queries: int,
    random: np.random.Generator,
) -> SquareSearch:
    """Looks for a picture that a model takes for something else.

    Args:
        scores: Function that returns the model's scores for an array like `pixels`.
        pixels: uint8, shape (height, width, 3), which the model takes for `label`.
        label: Index of what it shows.
        epsilon: Gray levels that a channel of a pixel may change by.
        queries: Largest number of queries, at least 1.
        random: Random generator for the squares.
    """
    height, width, channels = pixels.shape
    # The two edges of the budget, computed so that nothing leaves the range of uint8.
    low = np.maximum(pixels, epsilon) - epsilon
    high = np.minimum(pixels, 255 - epsilon) + epsilon
    # A coin for each column and channel: vertical stripes.
    best = np.where(random.random((1, width, channels)) < 0.5, low, high)
    said = scores(best)
    for query in range(1, queries):
        if said.argmax() != label:
            return SquareSearch(True, query, best)
        side = _side(query / queries, height, width)
        top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
        window = np.s_[top : top + side, left : left + side]
        tried = best.copy()
        tried[window] = np.where(random.random((1, 1, channels)) < 0.5, low[window], high[window])
        found = scores(tried)
        # Also where it is the same: on the plateaus of 8-bit scores one has to walk on to get anywhere.
        if _sureness(found, label) <= _sureness(said, label):
            best, said = tried, found
    return SquareSearch(bool(said.argmax() != label), queries, best)


def queries_to_fool(
    scores: Callable[[Frame], Scores],
    pixels: Frame,
    label: int,
    epsilons: Sequence[int],
    queries: int,
    seed: Sequence[int],
) -> list[int | None]:
    """Queries after which a model was fooled at each epsilon; None where it was not.

    Begins with the largest epsilon: what fools a model within a small budget does so within a larger one, too, so a
    picture on which nothing is found within the larger one is not tried again within a smaller one. That saves two
    thirds of the queries. The same seed tries the same squares whatever the model.

    Args:
        scores, pixels, label, queries: The arguments of `square_attack`.
        epsilons: Largest changes of a pixel in gray levels, ascending.
        seed: Random seed for the squares.
    """
    found: list[int | None] = []
    for epsilon in reversed(epsilons):
        if found and found[-1] is None:
            found.append(None)
            continue
        search = square_attack(scores, pixels, label, epsilon, queries, np.random.default_rng([*seed, epsilon]))
        found.append(search.queries if search.fooled else None)
    return found[::-1]


def in_steps(scores: Callable[[Frame], Scores], steps: int) -> Callable[[Frame], Scores]:
    """A model whose scores are rounded to multiples of 1 / `steps`, the highest one below 1, as the 8-bit softmax of a
    .tflite has them.

    What this alone does to an attack is no virtue of a quantized model: its attacker is merely told less.
    """

    def coarse(pixels: Frame) -> Scores:
        rounded: Scores = np.minimum(np.rint(steps * scores(pixels)), steps - 1).astype(np.float32)
        return rounded / np.float32(steps)

    return coarse


def _sureness(scores: Scores, label: int) -> float:
    """Logarithm of the label's score less that of the best other one: the difference of their logits."""
    logarithms = np.log(np.maximum(scores, SMALLEST))
    return float(logarithms[label] - np.delete(logarithms, label).max())


def _side(spent: float, height: int, width: int) -> int:
    """Of the square, in pixels, once this share of the queries is spent."""
    share = FIRST_SHARE / 2 ** sum(spent > after for after in HALVED_AFTER)
    return int(np.clip(round((share * height * width) ** 0.5), 1, min(height, width) - 1 or 1))
