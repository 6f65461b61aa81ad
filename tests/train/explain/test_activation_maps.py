"""Activation maps: the right layers, their strongest channels, and a picture of them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_core.errors import SettingsError
from edge_core.preprocess import InputSpec
from edge_core.run_folder import Run
from edge_keras.models.architectures import ARCHITECTURES
from edge_keras.models.backbone import build
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras
from edge_train.cli.explain import app
from edge_train.evaluation.evaluate import open_model
from edge_train.explain.activation_maps import explain_features, strongest
from edge_train.explain.explain_plots import feature_grid
from edge_train.explain.map_layers import last_maps, layers_of, named, stages

from ...further import slow_but

SMALL_STAGES = ["seam", "activated"]
"""Of `SMALL_NETWORK`, which `color_run` is."""

STAGES = {
    "mobilenet_v2": [
        ("block_1_expand_relu", 32),
        ("block_3_expand_relu", 16),
        ("block_6_expand_relu", 8),
        ("block_13_expand_relu", 4),
        ("out_relu", 2),
    ],
    "mobilenet_v3_small": [
        ("multiply", 32),
        ("re_lu_3", 16),
        ("multiply_1", 8),
        ("multiply_11", 4),
        ("multiply_17", 2),
    ],
    "resnet50": [
        ("conv1_relu", 32),
        ("conv2_block3_out", 16),
        ("conv3_block4_out", 8),
        ("conv4_block6_out", 4),
        ("conv5_block3_out", 2),
    ],
    "vgg16": [
        ("block1_conv2", 64),
        ("block2_conv2", 32),
        ("block3_conv3", 16),
        ("block4_conv3", 8),
        ("block5_conv3", 4),
        ("block5_pool", 2),
    ],
}


@pytest.mark.parametrize("name", slow_but(STAGES, {"mobilenet_v2"}))
def test_shown_is_the_last_layer_of_each_resolution(name: str) -> None:
    keras.backend.clear_session()  # MobileNetV3's layers have the numbers that are free
    model = build(InputSpec(64, 64), 3, 1.0, Weights("none (random)"), ARCHITECTURES[name])
    layers = layers_of(model)
    assert [(layer.name, layer.height) for layer in stages(layers)] == STAGES[name]
    last = "block5_conv3" if name == "vgg16" else STAGES[name][-1][0]
    assert last_maps(layers).name == last
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    shown = strongest(model, pixels, stages(layers), 5)
    assert len(shown) == len(STAGES[name])
    for found in shown:
        assert [channel.map.shape for channel in found.channels] == [(found.layer.height, found.layer.width)] * 5


def test_the_strongest_channels_are_those_that_differ_over_the_picture() -> None:
    pixels = keras.Input((8, 8, 3))
    convolution = keras.layers.Conv2D(4, 1, name="maps")
    features = keras.layers.GlobalAveragePooling2D()(convolution(pixels))
    model = keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(features))
    kernel = np.zeros((1, 1, 3, 4), np.float32)
    kernel[0, 0, 0] = [0, 1, 3, -2]  # of red; channel 0 is loud and says nothing
    convolution.set_weights([kernel, np.array([1e4, 0, 0, 0], np.float32)])
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[2:4, 5:] = 255
    (found,) = strongest(model, picture, named(model, ["maps"]), 3)
    assert [channel.number for channel in found.channels] == [2, 3, 1]
    np.testing.assert_array_equal(found.channels[0].map > 0, picture[..., 0] > 0)


def test_a_layer_without_maps_is_refused(color_run: Run) -> None:
    model = open_model(color_run)
    for name in ("scores", "nowhere"):
        with pytest.raises(SettingsError, match="--list"):
            named(model, [name])


def test_the_grid_shows_one_layer_or_many_of_a_photo_with_any_name(color_run: Run, tmp_path: Path) -> None:
    photo = tmp_path / "a $very$ long name, far longer than there is room for on the sheet.png"
    cv2.imwrite(str(photo), np.full((60, 90, 3), (10, 20, 200), np.uint8))
    for names in ([], ["pointwise"]):
        found = explain_features(color_run, photo, names, 3)
        assert [layer.layer.name for layer in found.layers] == (names or SMALL_STAGES)
        np.testing.assert_array_equal(found.pixels, np.full((48, 48, 3), (200, 20, 10), np.uint8))
        drawn = cv2.imdecode(np.frombuffer(feature_grid(found), np.uint8), cv2.IMREAD_COLOR)
        assert drawn is not None


def test_the_command_writes_a_picture_and_overwrites_none(color_run: Run, tmp_path: Path) -> None:
    photo, out = str(color_run.splits["test"][0].path), tmp_path / "features.png"
    arguments = ["features", str(color_run.folder)]
    done = CliRunner().invoke(app, [*arguments, photo, "--out", str(out), "--json", "--channels", "2"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert [len(layer["channels"]) for layer in told["layers"]] == [2] * len(SMALL_STAGES)
    before = out.read_bytes()
    assert before.startswith(b"\x89PNG")
    done = CliRunner().invoke(app, [*arguments, photo, "--out", str(out)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is there already" in done.stderr
    assert out.read_bytes() == before
    done = CliRunner().invoke(app, [*arguments, f"{photo}.jpg", "--out", str(tmp_path / "other.png")])
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{photo}.jpg" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "other.png").exists()
    done = CliRunner().invoke(app, [*arguments, "--list"])
    starred = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("*")]
    assert starred == SMALL_STAGES
