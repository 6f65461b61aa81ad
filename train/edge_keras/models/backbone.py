"""The network: raw pixels in, a score per label out, with the seam at which training cuts it.

Imported by the commands once the extra is known to be there.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import numpy.typing as npt

from edge_core.errors import WeightsError
from edge_core.preprocess import InputSpec
from edge_keras.models.architectures import DEFAULT, Architecture
from edge_keras.models.pretrained import Weights, load_weights
from edge_keras.tf import keras

if TYPE_CHECKING:
    from collections.abc import Iterable

NORMALIZE: Final = "normalise"  # spelled as in the models that exist: layers are found by their names
SCORES: Final = "scores"
DROPOUT_RATE: Final = 0.2
DROPOUT: Final = "dropout"


def build(
    spec: InputSpec,
    labels: int,
    alpha: float,
    weights: Weights,
    architecture: Architecture = DEFAULT,
    dropout: float = DROPOUT_RATE,
) -> "keras.Model":
    """The network with a softmax over `labels` outputs.

    A flat functional model, as quantization-aware training wants it. It takes float32 of shape (batch, height, width,
    3) with raw pixels 0..255 in RGB; the first layer brings them to the range that the architecture was trained with.

    Raises:
        WeightsError: The weights do not fit, or the network has no such width.
    """
    if alpha != 1.0 and not architecture.any_alpha:
        raise WeightsError(f"{architecture.name} comes in one width: 1.0, not {alpha}")
    pixels = keras.Input(spec.shape, name="pixels")
    normalize = keras.layers.Rescaling(architecture.scale, architecture.offset, name=NORMALIZE)
    trunk = architecture.trunk(normalize(pixels), alpha)
    load_weights(trunk, weights, architecture)
    features = keras.layers.Dropout(dropout, name=DROPOUT)(trunk.output)
    scores = keras.layers.Dense(labels, activation="softmax", name=SCORES)(features)
    called = re.sub(r"[^A-Za-z0-9.-]", "_", architecture.name).lstrip("_.-") or "own"  # a user's file may have any name
    model = keras.Model(pixels, scores, name=f"{called}_{alpha:g}_{spec.width}x{spec.height}")
    # Frozen statistics: with batches of one camera's photos, updating them made fine-tuning diverge.
    for layer in cast("Iterable[keras.layers.Layer]", model.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model


@dataclass(frozen=True)
class Parts:
    """The model cut at the seam; all parts share its weights.

    Attributes:
        lower: Pixels to maps; frozen.
        upper: Maps to scores; what fine-tuning changes.
        pooled: Maps to features, shape (batch, features): what the last layer sees.
    """

    lower: "keras.Model"
    upper: "keras.Model"
    pooled: "keras.Model"


def cut(model: "keras.Model", architecture: Architecture = DEFAULT) -> Parts:
    """Cuts a model that `build` made."""
    seam = model.get_layer(architecture.seam).output
    features = model.get_layer(DROPOUT).input
    # tf_keras takes a tensor within a graph for an input: it clones the nodes; layers and weights stay shared.
    return Parts(keras.Model(model.input, seam), keras.Model(seam, model.output), keras.Model(seam, features))


def uncut(model: "keras.Model") -> Parts:
    """The parts of a model that `build` made if all of it is to be trained: nothing is frozen, and the maps are
    pixels."""
    features = model.get_layer(DROPOUT).input
    # A model from the input to itself: no layer, so that pixels come out as they are.
    return Parts(keras.Model(model.input, model.input), model, keras.Model(model.input, features))


def set_head(model: "keras.Model", kernel: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> None:
    """Sets the last layer: `kernel` of shape (features, labels), `bias` of shape (labels,)."""
    model.get_layer(SCORES).set_weights([kernel, bias])


def zero_share(model: "keras.Model") -> float:
    """Share of all kernels' weights that are zero."""
    kernels = [weight.numpy() for weight in model.trainable_weights if "kernel" in weight.name]
    return float(sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels))
