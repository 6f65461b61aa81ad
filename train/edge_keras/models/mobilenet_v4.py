"""MobileNetV4-Conv-Small and Medium, which Keras does not have, in its plain layers; weights are timm's.

Qin et al., "MobileNetV4: Universal Models for the Mobile Ecosystem" (ECCV 2024), tables 11 and 12 of the appendix.
ReLU throughout, no squeeze-and-excitation. Padding is PyTorch's, the same on both sides, also at stride 2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from edge_keras.models.torch_weights import Arrays, in_keras_order
from edge_keras.tf import keras, tf

_STEM_FILTERS: Final = 32
_LAST_FILTERS: Final = 960
_HEAD_FILTERS: Final = 1280
_EPSILON: Final = 1e-5


@dataclass(frozen=True)
class Plain:
    """A convolution with batch normalization and ReLU."""

    kernel: int
    stride: int
    filters: int


@dataclass(frozen=True)
class Fused:
    """An inverted bottleneck whose expansion is a full convolution with the stride."""

    kernel: int
    stride: int
    expansion: int
    filters: int


@dataclass(frozen=True)
class Universal:
    """The universal inverted bottleneck.

    Attributes:
        start: Side of the depthwise kernel before the expansion; 0 for none.
        middle: Side of the depthwise kernel behind it; 0 for none. The stride is this one's, if it is there.
        stride: Stride of the block.
        expansion: Factor of the filters between.
        filters: Filters of the output.
    """

    start: int
    middle: int
    stride: int
    expansion: int
    filters: int


Block = Plain | Fused | Universal
Stages = Sequence[Sequence[Block]]

SMALL: Final[Stages] = (
    (Plain(3, 2, 32), Plain(1, 1, 32)),
    (Plain(3, 2, 96), Plain(1, 1, 64)),
    (Universal(5, 5, 2, 3, 96), *[Universal(0, 3, 1, 2, 96)] * 4, Universal(3, 0, 1, 4, 96)),
    (
        Universal(3, 3, 2, 6, 128),
        Universal(5, 5, 1, 4, 128),
        Universal(0, 5, 1, 4, 128),
        Universal(0, 5, 1, 3, 128),
        *[Universal(0, 3, 1, 4, 128)] * 2,
    ),
    (Plain(1, 1, _LAST_FILTERS),),
)

MEDIUM: Final[Stages] = (
    (Fused(3, 2, 4, 48),),
    (Universal(3, 5, 2, 4, 80), Universal(3, 3, 1, 2, 80)),
    (
        Universal(3, 5, 2, 6, 160),
        *[Universal(3, 3, 1, 4, 160)] * 2,
        Universal(3, 5, 1, 4, 160),
        Universal(3, 3, 1, 4, 160),
        Universal(3, 0, 1, 4, 160),
        Universal(0, 0, 1, 2, 160),
        Universal(3, 0, 1, 4, 160),
    ),
    (
        Universal(5, 5, 2, 6, 256),
        Universal(5, 5, 1, 4, 256),
        *[Universal(3, 5, 1, 4, 256)] * 2,
        Universal(0, 0, 1, 4, 256),
        Universal(3, 0, 1, 4, 256),
        Universal(3, 5, 1, 2, 256),
        Universal(5, 5, 1, 4, 256),
        *[Universal(0, 0, 1, 4, 256)] * 2,
        Universal(5, 0, 1, 2, 256),
    ),
    (Plain(1, 1, _LAST_FILTERS),),
)


def mobilenet_v4(pixels: tf.Tensor, stages: Stages) -> "keras.Model":
    """The trunk: normalized pixels, shape (batch, height, width, 3), to features, shape (batch, 1280).

    Blocks are numbered through, from `block_0` on. What Howard et al. called the efficient head is part of it: the last
    convolution comes behind the pooling.
    """
    x = _convolved(pixels, "stem", 3, 2, _STEM_FILTERS)
    blocks = [block for stage in stages for block in stage]
    for number, block in enumerate(blocks):
        x = _block(x, block, f"block_{number}")
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="avg_pool")(x)
    x = keras.layers.Flatten(name="features")(_convolved(x, "head", 1, 1, _HEAD_FILTERS))
    return keras.Model(keras.utils.get_source_inputs(pixels), x, name="mobilenet_v4")


def _block(x: tf.Tensor, block: Block, name: str) -> tf.Tensor:
    if isinstance(block, Plain):
        return _convolved(x, f"{name}_conv", block.kernel, block.stride, block.filters)
    start, filters = x, block.expansion * x.shape[-1]
    if isinstance(block, Fused):
        x = _convolved(x, f"{name}_expand", block.kernel, block.stride, filters)
    else:
        if block.start:
            x = _depthwise(x, f"{name}_start", block.start, 1 if block.middle else block.stride, activated=False)
        x = _convolved(x, f"{name}_expand", 1, 1, filters)
        if block.middle:
            x = _depthwise(x, f"{name}_middle", block.middle, block.stride)
    x = _convolved(x, f"{name}_project", 1, 1, block.filters, activated=False)
    if block.stride == 1 and start.shape[-1] == block.filters:
        x = keras.layers.Add(name=f"{name}_add")([start, x])
    return x


def _convolved(x: tf.Tensor, name: str, kernel: int, stride: int, filters: int, activated: bool = True) -> tf.Tensor:
    x, padding = _padded(x, name, kernel, stride)
    x = keras.layers.Conv2D(filters, kernel, stride, padding=padding, use_bias=False, name=name)(x)
    return _normalized(x, name, activated)


def _depthwise(x: tf.Tensor, name: str, kernel: int, stride: int, activated: bool = True) -> tf.Tensor:
    x, padding = _padded(x, name, kernel, stride)
    x = keras.layers.DepthwiseConv2D(kernel, stride, padding=padding, use_bias=False, name=name)(x)
    return _normalized(x, name, activated)


def _padded(x: tf.Tensor, name: str, kernel: int, stride: int) -> tuple[tf.Tensor, str]:
    """TensorFlow's own padding is PyTorch's at stride 1 only: at stride 2 it adds more on the right and below."""
    if stride == 1:
        return x, "same"
    return keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"


def _normalized(x: tf.Tensor, name: str, activated: bool) -> tf.Tensor:
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if activated else x


def from_timm(state: Arrays, stages: Stages) -> Arrays:
    """The weights of the trunk by layer and variable, `block_3_expand/kernel`, say, in Keras' order of axes.

    Args:
        state: State dict of timm's `mobilenetv4_conv_small` or `mobilenetv4_conv_medium`.
        stages: The blocks, `SMALL` or `MEDIUM`.

    Raises:
        KeyError: A tensor is not there.
    """
    return in_keras_order(state, _names(stages), ("_start", "_middle"))


def _names(stages: Stages) -> Iterator[tuple[str, str, str]]:
    """Our name of each convolution, and timm's names of it and of its batch normalization."""
    yield "stem", "conv_stem", "bn1"
    places = [(stage, number, block) for stage, blocks in enumerate(stages) for number, block in enumerate(blocks)]
    for ours, (stage, number, block) in enumerate(places):
        there = f"blocks.{stage}.{number}"
        if isinstance(block, Plain):
            yield f"block_{ours}_conv", f"{there}.conv", f"{there}.bn1"
        elif isinstance(block, Fused):
            yield f"block_{ours}_expand", f"{there}.conv_exp", f"{there}.bn1"
            yield f"block_{ours}_project", f"{there}.conv_pwl", f"{there}.bn2"
        else:
            parts = [("expand", "pw_exp"), ("project", "pw_proj")]
            parts += [("start", "dw_start")] * bool(block.start) + [("middle", "dw_mid")] * bool(block.middle)
            for part, name in parts:
                yield f"block_{ours}_{part}", f"{there}.{name}.conv", f"{there}.{name}.bn"
    yield "head", "conv_head", "norm_head"
