"""The layers of a network that have maps to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from edge_core.errors import SettingsError
from edge_keras.tf import keras

_PASSED_OVER: Final = ("InputLayer", "Rescaling", "ZeroPadding2D", "Dropout")
"""Layers whose maps are the pixels, or those of the layer before them."""


@dataclass(frozen=True)
class MapLayer:
    """A layer that gives maps.

    Attributes:
        name: Name of the layer in the model.
        kind: Class of the layer, `Conv2D`, say.
        height, width, channels: Shape of the layer's maps.
    """

    name: str
    kind: str
    height: int
    width: int
    channels: int

    @property
    def shape(self) -> str:
        """For people: `20 x 20 x 96`."""
        return f"{self.height} x {self.width} x {self.channels}"


def layers_of(model: "keras.Model") -> list[MapLayer]:
    """All layers with maps, in the order of computation, up to the one that is averaged into features."""
    found = [
        MapLayer(layer.name, type(layer).__name__, *(int(side) for side in layer.output_shape[1:]))
        for layer in model.layers
        if type(layer).__name__ not in _PASSED_OVER
        and isinstance(layer.output_shape, tuple)
        and len(layer.output_shape) == 4
    ]
    if not found:
        raise SettingsError(f"{model.name} has no layer with maps")
    return found


def stages(layers: Sequence[MapLayer]) -> list[MapLayer]:
    """The last layer of each resolution: what a network has found before it looks at the picture more coarsely.

    Maps that are smaller than those of the last layer, as in MobileNetV3's squeeze-and-excitation, are no stage.
    """
    last: dict[tuple[int, int], MapLayer] = {}
    for layer in layers:
        if layer.height >= layers[-1].height and layer.width >= layers[-1].width:
            last[layer.height, layer.width] = layer
    return list(last.values())


def last_maps(layers: Sequence[MapLayer]) -> MapLayer:
    """What the last convolution gives, activated: where Grad-CAM looks; `block5_conv3` in VGG16, which then pools."""
    return next(layer for layer in reversed(layers) if "Pooling" not in layer.kind)


def named(model: "keras.Model", names: Sequence[str]) -> list[MapLayer]:
    """Layers by name, in the order asked for.

    Raises:
        SettingsError: The model has no such layer, or it has no maps.
    """
    known = {layer.name: layer for layer in layers_of(model)}
    for name in names:
        if name not in known:
            raise SettingsError(
                f"{model.name} has no layer {name!r} with maps; edge-train explain features RUN --list shows those "
                f"that it has"
            )
    return [known[name] for name in names]


def map_model(model: "keras.Model", layers: Sequence[MapLayer]) -> "keras.Model":
    """The network from its pixels to the maps of some layers, always as a list."""
    return keras.Model(
        model.input, [cast("keras.layers.Layer", model.get_layer(layer.name)).output for layer in layers]
    )
