"""The memory that both processes see: pixels one way, scores back. It has no name, so a crash leaves none behind."""

import math
import mmap
import os
from collections.abc import Sequence

import numpy as np

from edge_core.artifact.familiarity import Features
from edge_core.preprocess import Frame
from edge_device.inference.interpreter import Scores

_ALIGNMENT = 64  # a cache line


def create(input_shape: tuple[int, ...], outputs: int, widths: Sequence[int] = ()) -> int:
    """A descriptor of new memory for `arrays` of these sizes."""
    descriptor = os.memfd_create("accelerator", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, _features_at(input_shape, outputs) + 8 * sum(widths))
    return descriptor


def arrays(
    descriptor: int, input_shape: tuple[int, ...], outputs: int, widths: Sequence[int] = ()
) -> tuple[Frame, Scores, tuple[Features, ...]]:
    """The arrays in the memory of a descriptor, which may be closed then.

    Returns:
        Pixels, uint8 of `input_shape`; scores, float32 of shape (outputs,); features, float64 of shape (width,) each.

    Raises:
        ValueError: The memory is too small.
    """
    start = _features_at(input_shape, outputs)
    memory = mmap.mmap(descriptor, start + 8 * sum(widths))
    pixels = np.frombuffer(memory, np.uint8, math.prod(input_shape)).reshape(input_shape)
    scores = np.frombuffer(memory, np.float32, outputs, _aligned(math.prod(input_shape)))
    # Features lie one after the other behind the scores, 8 bytes each.
    ends = [start + 8 * sum(widths[: number + 1]) for number in range(len(widths))]
    features = tuple(
        np.frombuffer(memory, np.float64, width, end - 8 * width) for width, end in zip(widths, ends, strict=True)
    )
    return pixels, scores, features


def _features_at(input_shape: tuple[int, ...], outputs: int) -> int:
    return _aligned(_aligned(math.prod(input_shape)) + 4 * outputs)


def _aligned(size: int) -> int:
    # Rounded up: the quotient of the negative number is rounded down.
    return -(-size // _ALIGNMENT) * _ALIGNMENT
