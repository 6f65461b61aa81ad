"""A run that converts in two seconds: a convolution and a dense layer, set by hand, that name the color of a photo."""

from pathlib import Path

import numpy as np
import pytest

from edge_core import InputSpec, ModelCard
from edge_core.data.photo_folder import find_photos, identify_photos, labels_of, split_photos
from edge_core.run_folder import CARD_FILE, MODEL_FILE, Run, read_run, write_photos

SIDE = 48


@pytest.fixture(scope="session")
def small_run(color_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    from edge_keras.tf import keras  # not by tests that need none

    pixels = keras.Input((SIDE, SIDE, 3))
    blur = keras.layers.Conv2D(3, 3, padding="same", activation="relu6")
    dense = keras.layers.Dense(3, activation="softmax")
    levels = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    model = keras.Model(pixels, dense(keras.layers.GlobalAveragePooling2D()(blur(levels))))
    blur.set_weights([np.ones((3, 3, 3, 3)) * np.eye(3) / 9, np.ones(3)])
    dense.set_weights(
        [10 * np.eye(3)[:, ::-1], np.full(3, 0.1)]
    )  # R, G, B to blue, green, red; a bias of zeros would be left out
    folder = tmp_path_factory.mktemp("small-run")
    model.save(folder / MODEL_FILE)
    found = find_photos(color_photos).files
    (folder / CARD_FILE).write_text(ModelCard(labels_of(found), InputSpec(SIDE, SIDE)).to_text())
    write_photos(folder, split_photos(identify_photos(found)[0], seed=1))
    return read_run(folder)
