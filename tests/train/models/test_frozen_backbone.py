"""A user's own network, as a SavedModel or a Keras file, from training through conversion."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edge_convert.quantize.recipes import int8
from edge_core.errors import RuntimeMissingError, SettingsError, WeightsError
from edge_core.preprocess import InputSpec
from edge_core.run_folder import read_run
from edge_keras.models.backbone import build
from edge_keras.models.backbone_source import find_backbone
from edge_keras.models.frozen_backbone import _keras_3, open_backbone
from edge_keras.tf import keras, tf
from edge_train.data.dataset import open_photos
from edge_train.evaluation.evaluate import evaluate, open_model
from edge_train.settings import Settings, check_settings
from edge_train.training.fit import FitOptions, fit


def network(size: int | None = None, normalize: bool = False) -> Any:
    keras.utils.set_random_seed(1)
    source = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 255)(source) if normalize else source
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    return keras.Model(source, keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D(name="pooled")(x)))


class FeatureVector(tf.Module):  # type: ignore[misc]
    """What TF-Hub's signature for feature vectors is: called with pictures of 0..1, it gives one vector each."""

    def __init__(self) -> None:
        super().__init__()
        self.model = keras.Model((whole := network()).input, whole.get_layer("pooled").output)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])  # type: ignore[untyped-decorator]
    def __call__(self, pictures: Any) -> Any:
        return self.model(pictures, training=False)


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "vector"
    tf.saved_model.save(FeatureVector(), str(folder))
    return folder


@pytest.mark.slow
def test_a_saved_model_is_trained_on_saved_and_converted(saved_model: Path, color_photos: Path, tmp_path: Path) -> None:
    architecture, weights, side = find_backbone(str(saved_model), "", "imagenet", 1.0, 32, tmp_path)
    said: list[str] = []
    fitted = fit(
        open_photos(str(color_photos), seed=1, cache=tmp_path),
        tmp_path / "run",
        FitOptions(
            spec=InputSpec(side, side),
            weights=weights,
            cache=tmp_path / "cache",
            architecture=architecture,
            settings=Settings(views=1),
        ),
        say=said.append,
    )
    assert any("vector is frozen: its last layer alone is trained" in line for line in said)
    assert fitted.card.backbone is not None
    assert fitted.card.backbone.weights == "vector, pixels 0..1" and len(fitted.card.backbone.weights_sha256) == 64
    run = read_run(fitted.folder)
    assert evaluate(run).accuracy.value > 0.9
    model = open_model(run)
    photos = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    scores = model(photos.astype(np.float32), training=False).numpy()
    interpreter = Interpreter(model_content=int8(model, photos))
    interpreter.allocate_tensors()
    assert interpreter.get_input_details()[0]["dtype"] == np.uint8
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], photos[:1])
    interpreter.invoke()
    rounded = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0] / 255
    np.testing.assert_allclose(rounded, scores[0], atol=0.05)


@pytest.mark.parametrize(("normalize", "stated"), [(True, ""), (False, "0..255")])
def test_features_of_a_keras_file_are_its_own_in_front_of_its_head(
    normalize: bool, stated: str, tmp_path: Path
) -> None:
    whole = network(32, normalize)
    whole.save(tmp_path / "own.keras")
    own = open_backbone(str(tmp_path / "own.keras"), stated)
    assert own.size == own.architecture.size == 32
    model = build(InputSpec(32, 32), 3, 1.0, own.weights, own.architecture)
    photos = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = keras.Model(whole.input, whole.get_layer("pooled").output)(photos, training=False)
    found = keras.Model(model.input, model.get_layer("backbone").output)(photos, training=False)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("form", ["keras", "h5", "exported"])
def test_what_keras_3_saves_gives_the_features_in_front_of_its_head(form: str, tmp_path: Path) -> None:
    keras_3 = _keras_3()
    layers = keras_3.layers
    source = keras_3.Input((32, 32, 3))
    base = keras_3.Model(source, layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(source)))
    parts = [keras_3.Input((32, 32, 3)), layers.Rescaling(1 / 127.5, offset=-1), base]
    path, head = tmp_path / f"own.{form}", [layers.Dropout(0.2), layers.Dense(3, activation="softmax")]
    if form == "exported":
        keras_3.Sequential(parts).export(path, verbose=False)
        keras_3.Sequential([*parts, *head]).export(tmp_path / "whole", verbose=False)
        whole = open_backbone(str(tmp_path / "whole"), "0..255")
        with pytest.raises(WeightsError, match="ends in a softmax"):
            build(InputSpec(32, 32), 3, 1.0, whole.weights, whole.architecture)
        with pytest.raises(WeightsError, match="state --backbone-range"):
            open_backbone(str(path))
    else:
        keras_3.Sequential([*parts, *head]).save(path)
    own = open_backbone(str(path), "0..255" if form == "exported" else "")
    assert own.size == 32 and own.weights.source == f"own.{form}, pixels 0..255"
    model = build(InputSpec(32, 32), 3, 1.0, own.weights, own.architecture)
    photos = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    found = keras.Model(model.input, model.get_layer("backbone").output)(photos, training=False)
    np.testing.assert_allclose(found, np.asarray(base(photos / 127.5 - 1)), atol=1e-4)


def test_a_process_that_never_opened_an_own_network_loads_a_run_of_one(saved_model: Path, tmp_path: Path) -> None:
    """As `edge-convert export` does: Keras knows the layer only where it was imported."""
    own = open_backbone(str(saved_model))
    build(InputSpec(32, 32), 3, 1.0, own.weights, own.architecture).save(tmp_path / "model.keras")
    program = "import sys; from edge_convert import export; print(export.load_keras(sys.argv[1]).output_shape)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "model.keras")], capture_output=True, text=True, check=False
    )
    assert done.stdout == "(None, 3)\n", done.stderr


def test_an_activation_without_a_head_belongs_to_the_features(tmp_path: Path) -> None:
    source = keras.Input((8, 8, 3))
    whole = keras.Model(source, keras.layers.Activation("relu")(keras.layers.Conv2D(16, 3)(source)))
    whole.save(tmp_path / "own.keras")
    own = open_backbone(str(tmp_path / "own.keras"), "0..255")
    model = build(InputSpec(8, 8), 3, 1.0, own.weights, own.architecture)
    photos = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    found = keras.Model(model.input, model.get_layer("backbone").output)(photos, training=False)
    np.testing.assert_allclose(found, np.mean(whole(photos), axis=(1, 2)), rtol=1e-4)


def test_a_handle_is_what_tensorflow_hub_makes_of_it(saved_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = "https://tfhub.dev/own/vector/1"
    hub = ModuleType("tensorflow_hub")
    hub.resolve = {handle: str(saved_model)}.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorflow_hub", hub)
    own = open_backbone(f"hub:{handle}")
    assert own.weights.source == f"hub:{handle}, pixels 0..1"
    assert own.weights.sha256 == open_backbone(str(saved_model)).weights.sha256
    model = build(InputSpec(32, 32), 3, 1.0, own.weights, own.architecture)
    assert model(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 3)
    with pytest.raises(WeightsError, match="cannot be had: 'nowhere'"):
        open_backbone("hub:nowhere")
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)
    with pytest.raises(RuntimeMissingError, match=r"edge-mobilenet\[hub\]"):
        open_backbone(f"hub:{handle}")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_what_cannot_be_is_refused_with_the_reason(saved_model: Path, tmp_path: Path) -> None:
    network(32).save(tmp_path / "own.h5")
    source = keras.Input((32, 32, 3))
    code = keras.Model(source, keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda x: 2 * x)(source)))
    for suffix in ("keras", "h5"):
        code.save(tmp_path / f"code.{suffix}")
        with pytest.raises(WeightsError, match="Lambda layer, which is code"):
            open_backbone(str(tmp_path / f"code.{suffix}"), "0..1")
    with zipfile.ZipFile(tmp_path / "broken.keras", "w") as archive:
        archive.writestr("config.json", "{")
    with pytest.raises(WeightsError, match="cannot be opened"):
        open_backbone(str(tmp_path / "broken.keras"))
    with pytest.raises(WeightsError, match="nobody knows what pixels it takes; state --backbone-range"):
        open_backbone(str(tmp_path / "own.h5"))
    with pytest.raises(WeightsError, match=r"there are 0\.\.1"):
        open_backbone(str(saved_model), "0..7")
    with pytest.raises(SettingsError, match="32x32 pixels alone"):
        find_backbone(str(tmp_path / "own.h5"), "0..1", "imagenet", 1.0, 64, tmp_path)
    with pytest.raises(SettingsError, match="--alpha is for"):
        find_backbone(str(saved_model), "", "imagenet", 0.5, None, tmp_path)
    network(32).save_weights(tmp_path / "own.weights.h5")
    keras.Model(gray := keras.Input((32, 32, 1)), keras.layers.Conv2D(4, 3)(gray)).save(tmp_path / "gray.keras")
    (tmp_path / "notes.h5").write_bytes(b"PK")
    (tmp_path / "photos").mkdir()
    for file, reason in (
        ("own.weights.h5", "holds weights without their network"),
        ("gray.keras", r"\(None, 32, 32, 1\), not color pictures"),
        ("notes.h5", "is no Keras file"),
        ("photos", "has no saved_model.pb"),
    ):
        with pytest.raises(WeightsError, match=reason):
            open_backbone(str(tmp_path / file), "0..1")
    frozen = open_backbone(str(saved_model)).architecture
    with pytest.raises(SettingsError, match="its graph is frozen"):
        check_settings(Settings(qat=True), frozen)
    with pytest.raises(SettingsError, match="--fine-tune-from has nothing to train"):
        check_settings(Settings(fine_tune_from="3"), frozen)


def test_a_keras_file_imports_no_module_but_keras(tmp_path: Path) -> None:
    network(32).save(tmp_path / "own.keras")
    with zipfile.ZipFile(tmp_path / "own.keras") as own, zipfile.ZipFile(tmp_path / "foreign.keras", "w") as foreign:
        for name in own.namelist():
            data = own.read(name)
            foreign.writestr(name, data.replace(b'"keras.layers"', b'"antigravity"') if name == "config.json" else data)
    with pytest.raises(WeightsError, match="the module antigravity, which is not imported"):
        open_backbone(str(tmp_path / "foreign.keras"), "0..1")
    assert "antigravity" not in sys.modules


def test_the_command_names_what_it_does_not_find(
    command: Callable[..., subprocess.CompletedProcess[str]], color_photos: Path, tmp_path: Path
) -> None:
    done = command("edge_train.cli", "fit", color_photos, "--backbone", "mobilenet_v9", "--out", tmp_path / "run")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "neither a network's name nor a file or folder; do you mean mobilenet_v" in done.stderr
