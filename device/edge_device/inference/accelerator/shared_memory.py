"""The memory that both processes see: pixels one way, scores back. It has no name, so a crash leaves none behind."""

import math
import mmap
import os

import numpy as np

from edge_core.preprocess import Frame
from edge_device.inference.interpreter import Scores

_ALIGNMENT = 64  # a cache line


def create(input_shape: tuple[int, ...], outputs: int) -> int:
    """A descriptor of new memory for `arrays` of these sizes."""
    descriptor = os.memfd_create("accelerator", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, _scores_at(input_shape) + 4 * outputs)
    return descriptor


def arrays(descriptor: int, input_shape: tuple[int, ...], outputs: int) -> tuple[Frame, Scores]:
    """Pixels, uint8 of `input_shape`, and scores, float32 of shape (outputs,); the descriptor may be closed.

    Raises:
        ValueError: the memory is too small.
    """
    memory = mmap.mmap(descriptor, _scores_at(input_shape) + 4 * outputs)
    pixels = np.frombuffer(memory, np.uint8, math.prod(input_shape)).reshape(input_shape)
    return pixels, np.frombuffer(memory, np.float32, outputs, _scores_at(input_shape))


def _scores_at(input_shape: tuple[int, ...]) -> int:
    return -(-math.prod(input_shape) // _ALIGNMENT) * _ALIGNMENT
