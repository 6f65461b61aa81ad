"""Where a network can be cut in two: what is before is frozen, what is behind is fine-tuned."""

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from edge_core.errors import SettingsError
from edge_device.system.nearest import nearest
from edge_keras.models.backbone import DROPOUT

if TYPE_CHECKING:
    from edge_keras.tf import keras

_BLOCK: Final = re.compile(r"(conv\d+_block|block_?|expanded_conv_?|conv_(?:pad|dw|pw)_)(\d*)")
"""How the names of a block's layers begin; MobileNet V1's pad, dw and pw with one number are a block."""


def split_layers(model: "keras.Model") -> list[str]:
    """Layers, in order, at whose output a model that `backbone.build` made can be cut and fine-tuned.

    Every path from the pixels to the scores goes through such a layer, its output is a feature map, a convolution is
    behind it, and it has a name of its own: Keras numbers the others anew with every network that it builds.
    """
    found: list[str] = []
    # Without a convolution behind it there would be nothing but the last layer to fine-tune.
    last = 0  # number of those that are followed by a convolution
    # How often what layers have given is still to be read; empty where one layer alone holds all that goes on.
    waiting: Counter[int] = Counter()
    uses = Counter(id(parent.layer) for layer in model.layers for parent in layer.inbound_nodes[0].parent_nodes)
    for layer in model.layers:  # in the order of their depth, so that what is used is there before its users
        if layer.name == DROPOUT:
            break
        if len(getattr(layer, "kernel_size", ())) == 2:
            last = len(found)
        for parent in layer.inbound_nodes[0].parent_nodes:
            waiting[id(parent.layer)] -= 1
        waiting += Counter()  # drops what nobody waits for
        if not waiting and len(layer.output_shape) == 4 and not _numbered(layer):
            found.append(layer.name)
        waiting[id(layer)] = uses[id(layer)]
    return found[:last]


def _numbered(layer: "keras.layers.Layer") -> bool:
    """Whether Keras has named a layer, after its class: re_lu_7."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
    return layer.name.startswith("tf.") or re.fullmatch(rf"{words}(_\d+)?", layer.name) is not None


def blocks(model: "keras.Model") -> list[str]:
    """The layer, for each of the network's blocks in order, at which everything in front of that block ends."""
    found: dict[str, str] = {}
    split = set(split_layers(model))
    before = ""
    for layer in model.layers:
        match = _BLOCK.match(layer.name)
        if match:
            # V1's block begins with a padding where its stride is 2, else with a depthwise convolution: one key.
            found.setdefault(re.sub("_(pad|dw)_", "_pw_", match[0]), before)
        if layer.name in split:
            before = layer.name
    return [layer for layer in found.values() if layer]


def find_split_layer(model: "keras.Model", wanted: str) -> str:
    """The layer at whose output fine-tuning begins.

    Args:
        model: A model that `backbone.build` made.
        wanted: Name of a layer, or the number of last blocks to fine-tune.

    Raises:
        SettingsError: The model has no such layer, cannot be cut there, or has fewer blocks.
    """
    ends, layers = blocks(model), split_layers(model)
    if re.fullmatch(r"\d{1,6}", wanted, re.ASCII):
        if not 1 <= int(wanted) <= len(ends):
            raise SettingsError(
                f"--fine-tune-from {wanted}: {model.name} has 1 to {len(ends)} blocks to fine-tune; "
                "--epochs 0 trains the last layer alone"
            )
        return ends[-int(wanted)]
    if wanted in layers:
        return wanted
    if wanted in {layer.name for layer in model.layers}:
        raise SettingsError(
            f"--fine-tune-from {wanted}: {model.name} cannot be cut there, since something runs past it or no "
            f"convolution is behind it; it can be cut at {', '.join(ends)}"
        )
    raise SettingsError(f"--fine-tune-from {wanted}: {model.name} has no such layer{nearest(wanted, layers)}")
