"""Every network: what it costs, where it is cut, and that it can be trained and converted."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edge_convert.quantize.recipes import int8
from edge_core.errors import SettingsError
from edge_core.preprocess import InputSpec
from edge_core.run_folder import read_run
from edge_keras.models.architectures import ARCHITECTURES, Architecture
from edge_keras.models.backbone import build, cut
from edge_keras.models.cost import cost
from edge_keras.models.pretrained import Weights
from edge_keras.models.split_layer import find_split_layer, split_layers
from edge_keras.tf import keras
from edge_train.cli.fit_command import BackboneName
from edge_train.data.dataset import open_photos
from edge_train.evaluation.evaluate import open_model
from edge_train.settings import Settings
from edge_train.training.fit import FitOptions, fit

from ...further import slow_but
from ..small_network import SMALL_NETWORK

RANDOM = Weights("none (random)")

WHOLE = {"mobilenet_v2", "mobilenet_v3_small"}
"""The default, and one whose layers are of other kinds."""


@cache
def built(name: str, alpha: float = 1.0) -> Any:
    """The network with random weights, of which no test here changes anything."""
    return build(InputSpec(32, 32), 3, alpha, RANDOM, ARCHITECTURES[name])


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """Frees the networks' memory."""
    yield
    built.cache_clear()


def _v3_like(pixels: Any, alpha: float) -> Any:
    """`SMALL_NETWORK` between V3's hard-swish: operations without a layer of their own."""
    trunk = SMALL_NETWORK.trunk(pixels, alpha)
    wide = keras.layers.Reshape((1, 1, trunk.output_shape[-1]))(trunk.output)
    swished = wide * (keras.layers.ReLU(6.0)(wide + 3.0) * (1.0 / 6.0))
    return keras.Model(trunk.input, keras.layers.GlobalAveragePooling2D()(swished))


# Millions of multiply-adds and of parameters at 224 with 1000 classes: MobileNet V1, table 8 (Howard et al., 2017);
# V2, table 4 (Sandler et al., 2018); EfficientNet-B0, table 2, which Lite0's convolutions are those of, and 4.7 M in
# Lite0's own table, whose 407 M count more than convolutions; ResNet50, table 1 (He et al., 2016) and Keras; VGG16,
# 15.5 G less 0.12 G of its three dense layers, 14.7 M without them (Simonyan and Zisserman, 2015), and 0.5 M for ours.
PUBLISHED = {
    "mobilenet_v1": (569, 4.2),
    "mobilenet_v2": (300, 3.5),
    "efficientnet_lite0": (390, 4.7),
    "resnet50": (3900, 25.6),
    "vgg16": (15400, 15.2),
}


def test_the_command_knows_every_network() -> None:
    assert [name.value for name in BackboneName] == list(ARCHITECTURES)


@pytest.mark.parametrize("name", slow_but(PUBLISHED, {"mobilenet_v2"}))
def test_cost_is_what_was_published(name: str) -> None:
    trunk = ARCHITECTURES[name].trunk(keras.Input((224, 224, 3)), 1.0)
    counted = cost(keras.Model(trunk.input, keras.layers.Dense(1000)(trunk.output)))
    assert (counted.multiply_adds / 1e6, counted.parameters / 1e6) == pytest.approx(PUBLISHED[name], rel=0.03)


@pytest.mark.slow
def test_larger_lites_are_scaled_as_published() -> None:
    """Shape of each block's output in the weights that were published, and millions of parameters with 1000 classes."""
    filters = {1: [16, *[24] * 3, *[40] * 3, *[80] * 4, *[112] * 4, *[192] * 5, 320]}
    filters[2] = [16, *[24] * 3, *[48] * 3, *[88] * 4, *[120] * 4, *[208] * 5, 352]
    for number, millions in ((1, 5.4), (2, 6.1)):
        trunk = ARCHITECTURES[f"efficientnet_lite{number}"].trunk(keras.Input((64, 64, 3)), 1.0)
        projects = [layer for layer in trunk.layers if layer.name.endswith("_project")]
        assert [layer.filters for layer in projects] == filters[number]
        assert (cost(trunk).parameters + 1281 * 1000) / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize("name", slow_but(ARCHITECTURES, WHOLE))
def test_a_network_is_flat_frozen_and_whole_after_the_cut(name: str) -> None:
    architecture, model = ARCHITECTURES[name], built(name)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    first, *others = model.layers[1:]
    assert isinstance(first, keras.layers.Rescaling)
    assert not any(isinstance(layer, keras.layers.Rescaling) for layer in others)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert not any(layer.trainable for layer in norms)
    parts = cut(model, architecture)
    assert 0 < parts.upper.count_params() < model.count_params()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    maps = parts.lower(pixels, training=False)
    np.testing.assert_allclose(parts.upper(maps, training=False), model(pixels, training=False), atol=1e-5)
    assert parts.pooled.output_shape == (None, model.get_layer("scores").kernel.shape[0])


# Blocks as the papers number them, and what ends in front of the last two.
BLOCKS = {
    "mobilenet_v1": (13, "conv_pw_11_relu"),
    "mobilenet_v2": (17, "block_14_add"),
    "mobilenet_v3_small": (11, "expanded_conv_8/project/BatchNorm"),
    "efficientnet_lite0": (16, "block_13_add"),
    "vgg16": (5, "block3_pool"),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_fine_tuning_begins_in_front_of_a_number_of_blocks_or_behind_any_layer_that_all_goes_through(name: str) -> None:
    architecture, model = ARCHITECTURES[name], built(name)
    count, end = BLOCKS[name]
    assert find_split_layer(model, "2") == end
    first = find_split_layer(model, str(count))
    assert find_split_layer(model, architecture.seam) == architecture.seam
    assert set(split_layers(model)) >= {"normalise", first, end, architecture.seam}
    whole = cut(model, replace(architecture, seam="normalise")).upper
    assert whole.count_params() == model.count_params()
    for wanted in (str(count + 1), "0"):
        with pytest.raises(SettingsError, match=f"1 to {count} blocks"):
            find_split_layer(model, wanted)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("block_9_expand", "something runs past it"),  # a shortcut does
        ("out_relu", "no convolution is behind it"),
        ("block_9_ad", "no such layer; do you mean block_9_add"),
    ],
)
def test_a_layer_that_fine_tuning_cannot_begin_at_is_refused(wanted: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        find_split_layer(built("mobilenet_v2"), wanted)


@pytest.mark.usefixtures("charts_are_blank")
@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(ARCHITECTURES["mobilenet_v3_small"], marks=pytest.mark.slow),
        pytest.param(replace(SMALL_NETWORK, name="small_v3", trunk=_v3_like), marks=pytest.mark.slow),
        replace(SMALL_NETWORK, scale=1.0, offset=ARCHITECTURES["vgg16"].offset),
    ],
    ids=lambda architecture: architecture.name,
)
def test_a_network_is_trained_and_saved(architecture: Architecture, color_photos: Path, tmp_path: Path) -> None:
    """V3's activations are operations without a layer of their own, VGG16's normalization is one of three numbers."""
    alpha = architecture.alphas[0]
    photos = open_photos(str(color_photos), seed=1, cache=tmp_path)
    settings = Settings(epochs=1, views=1, batch=8)
    out = tmp_path / "run"
    fit(
        photos,
        out,
        FitOptions(
            spec=InputSpec(32, 32),
            weights=RANDOM,
            alpha=alpha,
            architecture=architecture,
            cache=tmp_path,
            settings=settings,
        ),
    )
    run = read_run(out)
    assert run.card.backbone is not None
    assert (run.card.backbone.name, run.card.backbone.alpha) == (architecture.name, alpha)
    loaded = open_model(run)
    (normalize,) = (layer for layer in loaded.layers if isinstance(layer, keras.layers.Rescaling))
    np.testing.assert_allclose(normalize.offset, architecture.offset)
    np.testing.assert_allclose(normalize.scale, architecture.scale)
    assert loaded.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("scale", "offset", "quantization"),
    [
        (1 / 127.5, -1.0, (2 / 255, 127)),
        (1 / 128, -127 / 128, (1 / 128, 127)),
        (1.0, (-123.68, -116.779, -103.939), (1.0, 0)),
    ],
)
def test_8_bits_take_raw_pixels_whatever_the_normalization(
    scale: float, offset: float | tuple[float, ...], quantization: tuple[float, int]
) -> None:
    pixels = keras.Input((16, 16, 3))
    levels = keras.layers.Rescaling(scale, offset)(pixels)
    maps = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(levels)
    model = keras.Model(pixels, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(maps)))
    photos = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    interpreter = Interpreter(model_content=int8(model, photos))
    interpreter.allocate_tensors()
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert entry["dtype"] == np.uint8
    assert entry["quantization"] == pytest.approx(quantization, rel=1e-3)
    full = model(photos.astype(np.float32), training=False).numpy()
    step, zero = result["quantization"]
    for photo, expected in zip(photos, full, strict=True):
        interpreter.set_tensor(entry["index"], photo[None])
        interpreter.invoke()
        scores = (interpreter.get_tensor(result["index"])[0].astype(np.float32) - zero) * step
        np.testing.assert_allclose(scores, expected, atol=0.03 * np.abs(full).max())
