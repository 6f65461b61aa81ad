"""Features of the pretrained network, kept for other runs."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from edge_core.errors import DatasetError
from edge_core.preprocess import InputSpec
from edge_core.run_folder import read_run
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras
from edge_train.data.dataset import open_photos
from edge_train.evaluation.evaluate import open_model
from edge_train.settings import Settings
from edge_train.training.feature_cache import NAME_BYTES
from edge_train.training.fit import FitOptions, fit

from ..small_network import SMALL_NETWORK

pytestmark = pytest.mark.usefixtures("charts_are_blank")

T = TypeVar("T")
HEAD = Settings(epochs=0, views=2)
PRUNED = Settings(epochs=2, views=3, batch=8, learning_rate=0.01, prune=0.5, compression_epochs=2)


class Labels:
    """Notes the labels of all steps; stops where one begins with the given words."""

    def __init__(self, stop: str = "nowhere") -> None:
        self.stop, self.shown = stop, list[str]()

    def __call__(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        if label.startswith(self.stop):
            raise KeyboardInterrupt
        self.shown.append(label)
        yield from items


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    file = tmp_path / "pretrained.weights.h5"
    SMALL_NETWORK.trunk(keras.Input((32, 32, 3)), 1.0).save_weights(file)
    return Weights("a file", file, "0" * 64)


def head_of(photos: Path, out: Path, cache: Path, weights: Weights, settings: Settings, track: Labels) -> np.ndarray:
    """Trains, and returns the kernel of the last layer."""
    options = FitOptions(InputSpec(32, 32), weights, cache, architecture=SMALL_NETWORK, settings=settings)
    fit(open_photos(str(photos), seed=1, cache=out.parent), out, options, track=track)
    kernel: np.ndarray = open_model(read_run(out)).get_layer("scores").get_weights()[0]
    return kernel


def test_a_run_of_the_same_photos_does_not_go_through_the_network(
    color_photos: Path, tmp_path: Path, weights: Weights
) -> None:
    first, second = Labels(), Labels()
    found = [
        head_of(color_photos, tmp_path / name, tmp_path / "cache", weights, HEAD, track)
        for name, track in (("first", first), ("second", second))
    ]
    backbone = [[label for label in track.shown if "Running the backbone" in label] for track in (first, second)]
    assert len(backbone[0]) == 2, "validation and training photos, once each"
    assert not backbone[1]
    np.testing.assert_array_equal(found[0], found[1])


def test_a_training_that_goes_on_keeps_no_features_of_weights_that_it_has_changed(
    color_photos: Path, tmp_path: Path, weights: Weights
) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        head_of(color_photos, tmp_path / "run", cache, weights, PRUNED, Labels(stop="Pruning, epoch 2"))
    shutil.rmtree(cache)  # deleted to make room
    head_of(color_photos, tmp_path / "run", cache, weights, PRUNED, Labels())
    unpruned = replace(PRUNED, prune=0.0, remember=10.0)
    heads = [
        head_of(color_photos, tmp_path / f"of_{where.name}", where, weights, unpruned, Labels())
        for where in (cache, tmp_path / "empty")
    ]
    np.testing.assert_allclose(heads[0], heads[1], atol=1e-4)


def test_a_photo_that_is_gone_since_its_maps_were_kept_is_an_error(
    color_photos: Path, tmp_path: Path, weights: Weights
) -> None:
    photos, cache = tmp_path / "photos", tmp_path / "cache"
    shutil.copytree(color_photos, photos)
    head_of(photos, tmp_path / "first", cache, weights, HEAD, Labels())
    (features,) = (folder for folder in (cache / "features").iterdir() if row_bytes(folder) == 2 * 128)
    shutil.rmtree(features)  # as after a run of an older version, which kept maps alone

    class Unmounted(Labels):
        def __call__(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
            if label.startswith("Running the backbone"):
                for file in photos.glob("*/*"):
                    file.write_bytes(b"")
            yield from super().__call__(items, label, total)

    with pytest.raises(DatasetError, match="could be decoded before, and cannot now"):
        head_of(photos, tmp_path / "second", cache, weights, HEAD, Unmounted())
    assert not (tmp_path / "second").exists()


def row_bytes(cache: Path) -> int:
    return (cache / "maps.f16").stat().st_size // ((cache / "index").stat().st_size // NAME_BYTES)
