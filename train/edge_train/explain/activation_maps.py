"""Activation maps: what the channels of a layer respond to in a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.codec import JsonObject
from edge_core.images import read_picture
from edge_core.preprocess import Frame, preprocess
from edge_core.run_folder import Run
from edge_device.inference.classifier import top
from edge_device.results import Prediction
from edge_keras.tf import keras
from edge_train.evaluation.evaluate import open_model
from edge_train.explain.map_layers import MapLayer, layers_of, map_model, named, stages

CHANNELS: Final = 8
Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Channel:
    """A channel of a layer and its map of a picture.

    Attributes:
        number: Index of the channel in its layer, from 0.
        map: Activations, float32, shape (height, width).
    """

    number: int
    map: Map

    @property
    def contrast(self) -> float:
        """Standard deviation over the picture, in the layer's own unit; of a single position what it says there.

        A channel that says the same everywhere says nothing about the picture, however loud it is.
        """
        return float(self.map.std() if self.map.size > 1 else abs(self.map[0, 0]))


@dataclass(frozen=True)
class LayerFeatures:
    """The strongest channels of a layer, the one of most contrast first."""

    layer: MapLayer
    channels: tuple[Channel, ...]

    def to_json(self) -> JsonObject:
        return {
            "layer": self.layer.name,
            "kind": self.layer.kind,
            "shape": [self.layer.height, self.layer.width, self.layer.channels],
            "channels": [
                {
                    "channel": channel.number,
                    "contrast": channel.contrast,
                    "min": float(channel.map.min()),
                    "max": float(channel.map.max()),
                }
                for channel in self.channels
            ],
        }


@dataclass(frozen=True)
class ActivationMaps:
    """What a network made of a picture, layer by layer.

    Attributes:
        source: The picture's file.
        pixels: What the model saw, uint8 RGB, shape (height, width, 3).
        top: Its best labels.
        layers: Layers in the order in which they were asked for.
    """

    source: Path
    pixels: Frame
    top: tuple[Prediction, ...]
    layers: tuple[LayerFeatures, ...]

    def to_json(self) -> JsonObject:
        return {
            "source": str(self.source),
            "top": [vars(prediction) for prediction in self.top],
            "layers": [layer.to_json() for layer in self.layers],
        }


def list_layers(run: Run) -> list[tuple[MapLayer, bool]]:
    """All layers of a run's full-size model that have maps, and whether they are shown unless others are asked for."""
    layers = layers_of(open_model(run))
    shown = stages(layers)
    return [(layer, layer in shown) for layer in layers]


def explain_features(run: Run, picture: Path, names: Sequence[str] = (), channels: int = CHANNELS) -> ActivationMaps:
    """The activation maps of a picture in the full-size model of a run.

    Args:
        run: Run whose full-size model is explained.
        picture: Path of the picture file.
        names: Names of layers; without them the last layer of each resolution, early to late.
        channels: Largest number of channels for each layer.

    Raises:
        PictureError: The file cannot be decoded.
        SettingsError: The model has no such layer.
    """
    frame = read_picture(picture, levels=run.card.input.levels)
    model = open_model(run)
    layers = named(model, names) if names else stages(layers_of(model))
    pixels = preprocess(frame, run.card.input)
    found = strongest(model, pixels, layers, channels)
    scores = model.predict_on_batch(pixels[None].astype(np.float32))[0]
    rgb = pixels if run.card.input.color_order == "RGB" else pixels[..., ::-1]
    return ActivationMaps(picture, rgb, tuple(top(scores, run.card.labels, 3)), found)


def strongest(
    model: "keras.Model", pixels: Frame, layers: Sequence[MapLayer], channels: int = CHANNELS
) -> tuple[LayerFeatures, ...]:
    """The channels of most contrast of each layer, for pixels as `preprocess` makes them; see `Channel.contrast`."""
    maps = map_model(model, layers)(pixels[None].astype(np.float32), training=False)
    maps = maps if isinstance(maps, list) else [maps]  # Keras unpacks a list of one
    found = []
    for layer, values in zip(layers, maps, strict=True):
        every = [Channel(number, one) for number, one in enumerate(np.moveaxis(np.asarray(values[0]), -1, 0))]
        best = sorted(every, key=lambda channel: -channel.contrast)[:channels]
        found.append(LayerFeatures(layer, tuple(best)))
    return tuple(found)
