"""The frozen part of a network, run by the interpreter, gives what TensorFlow gives; else TensorFlow runs it."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge_core.data.photo_folder import Photo
from edge_core.preprocess import Frame, InputSpec
from edge_keras.models.backbone import build, cut, uncut
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras, tf
from edge_train.data.augment import ViewMaker
from edge_train.data.dataset import open_photos
from edge_train.training import frozen_part
from edge_train.training.features import FEATURES, Extractor, Maps, compiled, pixel_batches
from edge_train.training.frozen_part import MANY_PICTURES, ByInterpreter, Floats, FrozenPart

from ..small_network import SMALL_NETWORK

SPEC = InputSpec(32, 32)
PIXELS = np.random.default_rng(7).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def whole() -> "keras.Model":
    keras.utils.set_random_seed(3)
    return build(SPEC, 3, 1.0, Weights("none (random)"), SMALL_NETWORK)


class Counted:
    """TensorFlow's outputs, times a factor; counts how often it is asked."""

    def __init__(self, model: "keras.Model", factor: float = 1.0) -> None:
        self.run, self.factor, self.calls = compiled(model, tf.uint8), factor, 0

    def __call__(self, pixels: Frame) -> list["tf.Tensor"]:
        self.calls += 1
        return [output * self.factor for output in tf.nest.flatten(self.run(pixels))]


def maps_and_features(whole: "keras.Model") -> "keras.Model":
    return keras.Model(whole.input, [cut(whole, SMALL_NETWORK).lower.output, uncut(whole).pooled.output])


def expecting(model: "keras.Model", run: Counted, pictures: int = MANY_PICTURES) -> FrozenPart:
    part = FrozenPart(model, run)
    part.expect(pictures)
    return part


def test_many_pictures_go_through_the_interpreter_with_the_same_outputs(whole: "keras.Model") -> None:
    model = maps_and_features(whole)
    run = Counted(model)
    wanted = [output.numpy() for output in run(PIXELS)]
    part = expecting(model, run)
    asked = run.calls
    found = part(PIXELS)
    assert run.calls == asked, "TensorFlow was asked"
    assert [output.dtype for output in found] == [np.float32] * 2
    for one, other in zip(found, wanted, strict=True):
        assert np.ptp(other) > 0.01, "maps that are all alike would agree with anything"
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


def test_few_pictures_go_through_tensorflow(whole: "keras.Model") -> None:
    run = Counted(whole)
    expecting(whole, run, MANY_PICTURES - 1)(PIXELS)
    assert run.calls == 1


def test_outputs_that_differ_are_not_believed(whole: "keras.Model") -> None:
    run = Counted(maps_and_features(whole), factor=1.01)
    part = expecting(maps_and_features(whole), run)
    asked = run.calls
    np.testing.assert_array_equal(part(PIXELS)[0], run(PIXELS)[0])
    assert run.calls == asked + 2


class Doubled(keras.layers.Layer):  # type: ignore[misc]
    """A layer that is not of Keras."""

    def call(self, pixels: "tf.Tensor") -> "tf.Tensor":
        return 2 * pixels


def unknown_operator(pixels: "tf.Tensor") -> "tf.Tensor":
    return tf.math.bessel_i0e(pixels)  # the interpreter has none


def infinite(pixels: "tf.Tensor") -> "tf.Tensor":
    return tf.math.log(pixels - pixels)


@pytest.mark.parametrize(
    "layer",
    [Doubled, lambda: keras.layers.Lambda(unknown_operator), lambda: keras.layers.Lambda(infinite)],
    ids=["custom", "operator", "infinite"],
)
def test_what_the_interpreter_may_not_run_tensorflow_runs(layer: Callable[[], "keras.layers.Layer"]) -> None:
    pixels = keras.Input((32, 32, 3))
    model = keras.Model(pixels, layer()(pixels))
    run = Counted(model)
    part = expecting(model, run)
    asked = run.calls
    np.testing.assert_array_equal(part(PIXELS)[0], run(PIXELS)[0])
    assert run.calls == asked + 2


@contextmanager
def extracted(
    whole: "keras.Model", folder: Path, photos: list[Photo], labels: Sequence[str]
) -> Iterator[tuple[Maps, Maps]]:
    """Maps and features of two views of each photo."""
    pooled = uncut(whole).pooled
    with Extractor(folder, {"network": "small"}, labels, ViewMaker(SPEC, (0,), True, 1)) as extractor:
        maps = extractor.through(cut(whole, SMALL_NETWORK).lower, {FEATURES: pooled})("photos", photos, (0, 1))
        yield maps, extractor.through(pooled, seam=FEATURES)("photos", photos, (0, 1))


def test_each_photo_keeps_its_own_maps_and_one_that_cannot_be_decoded_is_left_out(
    whole: "keras.Model", color_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shutil.copytree(color_photos, tmp_path / "photos")
    opened = open_photos(str(own), seed=1, cache=tmp_path)
    photos, labels = opened.splits["train"], opened.labels
    interpreted, run = list[int](), ByInterpreter.__call__

    def noted(self: ByInterpreter, pixels: Frame) -> list[Floats]:
        interpreted.append(len(pixels))
        return run(self, pixels)

    monkeypatch.setattr(ByInterpreter, "__call__", noted)
    found = []
    for many in (MANY_PICTURES, 1):
        monkeypatch.setattr(frozen_part, "MANY_PICTURES", many)
        with extracted(whole, tmp_path / str(many), photos, labels) as layers:
            found.append([np.stack([maps.read(np.arange(len(photos)), view) for view in (0, 1)]) for maps in layers])
    assert sum(interpreted) == 2 * len(photos) + 2, "two views of each photo, and two pictures to compare"
    for by_tensorflow, by_interpreter in zip(*found, strict=True):
        assert np.ptp(by_tensorflow.astype(np.float32).mean(axis=tuple(range(2, by_tensorflow.ndim)))) > 0.01
        np.testing.assert_allclose(by_interpreter, by_tensorflow, rtol=2e-3, atol=2e-3)
    photos[1].path.write_bytes(b"no picture")
    with extracted(whole, tmp_path / "again", photos, labels) as (maps, features):
        assert [one.path for one in maps.unusable] == [photos[1].path]
        kept = np.delete(found[1][1], 1, axis=1)
        for view in (0, 1):
            np.testing.assert_array_equal(features.read(np.arange(len(photos) - 1), view), kept[view])


def test_the_end_of_a_pass_does_not_wait_for_the_thread_that_tunes_pipelines(
    color_photos: Path, tmp_path: Path
) -> None:
    photos = open_photos(str(color_photos), seed=1, cache=tmp_path).splits["train"]
    assert pixel_batches(photos, ViewMaker(SPEC, (0,), True, 1), {}).options().autotune.enabled is False
