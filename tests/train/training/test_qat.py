"""Folding keeps the function, rounding is the converter's, and both work on every network that is said to take it."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edge_convert.quantize.recipes import int8
from edge_core.preprocess import InputSpec
from edge_keras.bn_folding import fold
from edge_keras.models.architectures import ARCHITECTURES
from edge_keras.models.backbone import NORMALIZE, SCORES, build
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras
from edge_keras.tfmot import QuantizeLayer
from edge_train.training.qat import Kernel, Rounding

from ...further import slow_but

SIDE = 64


def lively(name: str) -> keras.Model:
    """A network whose maps are neither all zero nor huge, as those of random weights are, and whose statistics
    differ."""
    keras.utils.set_random_seed(0)
    return with_statistics(build(InputSpec(SIDE, SIDE), 3, 1.0, Weights("none (random)"), ARCHITECTURES[name]))


def with_statistics(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(0)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        width = norm.gamma.shape[0]
        norm.set_weights([rng.uniform(0.5, 2, width), rng.normal(0, 0.5, width), *norm.get_weights()[2:]])
        norm.trainable, norm.momentum = True, 0.0  # the statistics become those of the next batch
    model(pixels(8).astype(np.float32), training=True)
    for norm in norms:
        norm.trainable = False
    return model


def tiny(scale: object = 1 / 127.5, offset: object = -1.0) -> keras.Model:
    """A network with all that MobileNet has, and little of it; `maps` is its seam."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    source = keras.Input((SIDE, SIDE, 3), name="pixels")
    maps = layers.Rescaling(scale, offset, name=NORMALIZE)(source)
    for number, (layer, relu) in enumerate(
        [(layers.Conv2D(8, 3, 2), True), (layers.DepthwiseConv2D(3, 2), True), (layers.Conv2D(8, 1), False)]
    ):
        maps = layers.BatchNormalization(name=f"norm_{number}")(layer(maps))
        maps = layers.ReLU(6.0)(maps) if relu else maps
    maps = layers.Add(name="maps")([maps, layers.BatchNormalization()(layers.Conv2D(8, 1, name="upper")(maps))])
    features = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(source, layers.Dense(3, activation="softmax", name=SCORES)(features))
    return with_statistics(model)


def pixels(count: int, seed: int = 0) -> np.ndarray:
    """Pictures of one color each, with some noise."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(-20, 21, (count, SIDE, SIDE, 3))
    colored: np.ndarray = np.clip(rng.integers(0, 256, (count, 1, 1, 3)) + noise, 0, 255).astype(np.uint8)
    return colored


@pytest.mark.parametrize(
    "name",
    slow_but(("mobilenet_v1", "mobilenet_v2", "vgg16", "efficientnet_lite0", "resnet50"), {"mobilenet_v2"}),
)
def test_a_folded_network_is_the_same_function_with_fewer_layers(name: str) -> None:
    model = lively(name)
    folded = fold(model)
    kinds = {type(layer) for layer in folded.layers}
    assert keras.layers.BatchNormalization not in kinds and keras.layers.Dropout not in kinds
    batch = pixels(4).astype(np.float32)
    scores = model(batch, training=False).numpy()
    assert np.ptp(scores, axis=0).max() > 5e-3  # the test could not fail on a constant
    np.testing.assert_allclose(folded(batch, training=False), scores, atol=1e-3)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_a_normalization_stays_where_it_cannot_become_part_of_its_convolution(activation: str | None) -> None:
    pixel = keras.Input((4, 4, 3))
    sums = keras.layers.Conv2D(3, 1, activation=activation)(pixel)
    normal = keras.layers.BatchNormalization()(sums)
    # Without an activation of its own the convolution has a second reader instead.
    result = normal if activation else keras.layers.Add()([keras.layers.ReLU()(normal), sums])
    model = keras.Model(pixel, result)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in model.get_weights()])
    batch = rng.uniform(-1, 1, (2, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(fold(model)(batch, training=False), model(batch, training=False), atol=1e-5)


@pytest.mark.slow
def test_the_model_itself_stays_as_it_is() -> None:
    model = tiny()
    before = [weight.copy() for weight in model.get_weights()]
    rounding = Rounding(model, "maps", [pixels(4)])
    rounding.finish()
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.slow
def test_the_range_of_the_input_spans_all_channels_where_each_has_its_own_scale() -> None:
    rounding = Rounding(tiny((1 / 50, 1 / 60, 1 / 40), (-2.0, -2.1, -1.8)), "maps", [pixels(4)])
    (entry,) = (layer for layer in rounding._model.layers if isinstance(layer, QuantizeLayer))
    ends = [float(variable) for end in ("_min", "_max") for variable in entry.variables if end in variable.name]
    np.testing.assert_allclose(ends, [-2.1, 255 / 40 - 1.8], rtol=1e-6)


def test_rounding_is_near_the_8_bit_file_and_not_the_same_as_none() -> None:
    model = tiny()
    batch = pixels(16)
    rounding = Rounding(model, "maps", [batch])
    plain = rounding.plain(batch.astype(np.float32), training=False).numpy()
    rounded = rounding.upper(rounding.lower(batch, training=False), training=False).numpy()
    interpreter = Interpreter(model_content=int8(rounding.plain, batch))
    interpreter.allocate_tensors()
    scores = []
    for picture in batch:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        scores.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0] / 256)
    from_rounding = np.abs(rounded - np.array(scores)).mean()
    assert np.abs(rounded - plain).max() > 1e-4
    assert from_rounding < 0.03


def test_what_was_learned_ends_up_in_the_plain_network() -> None:
    rounding = Rounding(tiny(), "maps", [pixels(4)])
    batch = pixels(2).astype(np.float32)
    before = rounding.plain(batch, training=False).numpy()
    bias = next(variable for variable in rounding.upper.trainable_variables if variable.name == "scores/bias:0")
    bias.assign([9.0, 0.0, 0.0])
    np.testing.assert_array_equal(rounding.plain(batch, training=False), before)
    rounding.finish()
    assert (rounding.plain(batch, training=False).numpy().argmax(axis=1) == 0).all()


@pytest.mark.parametrize(("axis", "shape"), [(3, (3, 3, 4, 6)), (2, (3, 3, 6, 1))])
def test_kernels_are_rounded_to_255_levels_a_channel(axis: int, shape: tuple[int, ...]) -> None:
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    kernel = np.moveaxis(np.moveaxis(kernel, axis, -1) * 10.0 ** np.arange(-3, 3), -1, axis).astype(np.float32)
    rounded = Kernel(axis)(kernel, True, {}).numpy()
    for channel, exact in zip(np.moveaxis(rounded, axis, 0), np.moveaxis(kernel, axis, 0), strict=True):
        scale = np.abs(exact).max() / 127
        np.testing.assert_allclose(channel / scale, np.round(channel / scale), atol=1e-3)
        assert np.abs(channel - exact).max() <= scale * 0.501
