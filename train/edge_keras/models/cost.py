"""What a network costs, read off its graph."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_keras.tf import keras


@dataclass(frozen=True)
class Cost:
    """Of one picture through a network.

    Attributes:
        parameters: All of them, batch normalization's statistics included.
        multiply_adds: Multiply-adds of convolutions and dense layers; the rest is not counted, as is usual in the
            literature.
    """

    parameters: int
    multiply_adds: int


def cost(model: "keras.Model") -> Cost:
    """Counts a flat functional model whose input has a static shape.

    At each position of its output a convolution uses every number of its kernel once, a depthwise one, too; a dense
    layer has one position.
    """
    multiply_adds = 0
    for layer in model.layers:
        kernel = getattr(layer, "depthwise_kernel", getattr(layer, "kernel", None))
        if kernel is not None:
            # The sides of the output without batch and channels: how often the kernel is applied.
            multiply_adds += prod(layer.output_shape[1:-1]) * prod(kernel.shape)
    return Cost(int(model.count_params()), multiply_adds)
