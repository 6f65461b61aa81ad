"""Several devices give the losses of one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_keras.models.backbone import DROPOUT, SCORES, Parts
from edge_keras.tf import keras
from edge_train.settings import Phase, Settings
from edge_train.training.devices import Devices, find_devices
from edge_train.training.fine_tune import FineTuner, History, TrainingTargets, remembering, with_dropout

SMALL_PROGRAM = """
import json
from edge_keras.tf import tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)
from edge_train.settings import Settings
from edge_train.training.devices import Devices, find_devices
from tests.train.training.test_devices import tuned

given = {"one": Devices(), "four": find_devices()}
found = {name: tuned(devices, settings=Settings(batch=10))[0] for name, devices in given.items()}
print(json.dumps({"replicas": given["four"].replicas, **found}))
"""
"""Fine-tunes on one logical processor and on four, in a process of its own: their number is set once in a life."""

PROGRAM = """
import json, sys
from pathlib import Path
from edge_keras.tf import tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)
from edge_core.preprocess import InputSpec
from edge_train.training import fit as module
from edge_train.data.dataset import open_photos
from edge_train.training.devices import Devices, find_devices
from edge_train.settings import Settings
from edge_keras.tf import keras
from edge_keras.models.pretrained import Weights
from tests.train.small_network import SMALL_NETWORK

keras.backend.set_floatx(sys.argv[3])
folder = Path(sys.argv[2])
photos = open_photos(sys.argv[1], seed=1, cache=folder)
given = {"one": Devices(), "four": find_devices()}
found = {"replicas": given["four"].replicas}
for name, devices in given.items():
    module.find_devices = lambda worker, float16: devices
    settings = Settings(epochs=2, views=2, batch=10, prune=0.5, compression_epochs=1)
    fitted = module.fit(photos, folder / name, module.FitOptions(InputSpec(32, 32),
        Weights("none (random)"), folder / "cache", architecture=SMALL_NETWORK, settings=settings))
    found[name] = [[epoch.phase, epoch.train_loss, epoch.val_loss] for epoch in fitted.history[1:]]
print(json.dumps(found))
"""
"""Trains a whole run, with pruning, in the same way."""


def losses(program: str, *arguments: object) -> dict[str, Any]:
    """Losses of one processor and of four; batches of 10 do not divide by 4."""
    done = subprocess.run(
        [sys.executable, "-c", program, *(str(argument) for argument in arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def flat(epochs: list[list[Any]]) -> list[float]:
    return [value for _, *values in epochs for value in values]


@pytest.mark.slow
def test_four_devices_have_the_losses_of_one() -> None:
    found = losses(SMALL_PROGRAM)
    assert found["replicas"] == 4
    assert found["four"] == pytest.approx(found["one"], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("floatx", "tolerance"), [("float32", 1e-4), ("float64", 1e-6)])
def test_a_whole_run_on_four_devices_has_the_losses_of_one(
    floatx: str, tolerance: float, color_photos: Path, tmp_path: Path
) -> None:
    found = losses(PROGRAM, color_photos, tmp_path, floatx)
    assert found["replicas"] == 4
    assert [epoch[0] for epoch in found["four"]] == ["fine-tune", "fine-tune", "prune"]
    assert flat(found["four"]) == pytest.approx(flat(found["one"]), abs=tolerance)


class Maps:
    """Stands for `features.Maps`: random maps, a class by their brightest channel."""

    def __init__(self, count: int) -> None:
        self.values = np.random.default_rng(count).normal(size=(count, 4, 4, 8)).astype(np.float16)
        self.targets = self.values.mean(axis=(1, 2))[:, :3].argmax(axis=1)
        self.rows, self.photos = np.arange(count)[:, None], list(range(count))

    def read(self, photos: Any, views: Any = 0) -> Any:
        return self.values[photos]

    def through(self, model: "keras.Model") -> "Maps":
        """What a model makes of them."""
        made = Maps(len(self.photos))
        made.values = model(self.values.astype(np.float32)).numpy().astype(np.float16)
        return made


BY_EIGHT = Settings(batch=8)


def mean(maps: Any) -> Any:
    return keras.layers.GlobalAveragePooling2D()(maps)


def convolved(maps: Any) -> Any:
    return mean(keras.layers.Conv2D(16, 3, activation="relu")(maps))


def tuned(
    devices: Devices,
    remember: float = 0.0,
    epochs: int = 2,
    dropout: float = 0.2,
    settings: Settings = BY_EIGHT,
    trunk: Callable[[Any], Any] = convolved,
) -> tuple[list[float], FineTuner]:
    """Losses of two epochs of a small network on `Maps`."""
    keras.utils.set_random_seed(1)
    maps = keras.Input((4, 4, 8))
    features = trunk(maps)
    scores = keras.layers.Dense(3, activation="softmax", name=SCORES)(
        keras.layers.Dropout(dropout, name=DROPOUT)(features)
    )
    model = keras.Model(maps, scores)
    parts = Parts(model, model, keras.Model(maps, features))
    train: Any = Maps(60)
    phase = Phase("fine-tune", "head", "Fine-tuning", epochs, 0.01, 8)
    before = train.through(parts.pooled)
    targets = remembering(TrainingTargets(train, np.ones(60, np.float32)), before, remember)
    history = History(0.0)
    tuner = FineTuner(with_dropout(parts), phase, targets, train, settings, history, devices)
    tuner.start()
    while not tuner.done:
        tuner.train_epoch()
    return [loss for epoch in history.epochs[1:] for loss in (epoch.train_loss, epoch.val_loss)], tuner


def test_float16_is_near_float32_and_comes_back_as_float32() -> None:
    expected, _ = tuned(Devices())
    found, tuner = tuned(Devices(mixed=True))
    assert found == pytest.approx(expected, abs=0.01)
    assert found != expected, "nothing was computed in float16"
    assert {layer.dtype_policy.name for layer in tuner.student.model.layers} == {"float32"}


def drift(devices: Devices, remember: float) -> float:
    """One less the cosine between the features of the photos before and after training, on average."""
    settings = Settings(batch=8, mixup=0.0)
    before, after = (features_of(tuned(devices, remember, epochs, settings=settings)[1]) for epochs in (0, 2))
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return float(1 - ((before * after).sum(axis=1) / lengths).mean())


def features_of(tuner: FineTuner) -> Any:
    model = tuner.student.model
    return keras.Model(model.input, model.get_layer(SCORES).input)(Maps(60).values.astype(np.float32)).numpy()


@pytest.mark.parametrize(
    "devices", [Devices(), pytest.param(Devices(mixed=True), marks=pytest.mark.slow)], ids=["float32", "float16"]
)
def test_features_stay_nearer_to_what_they_were_if_they_are_to_be_remembered(devices: Devices) -> None:
    assert drift(devices, 10.0) < 0.5 * drift(devices, 0.0)


def test_of_mixed_photos_the_same_mix_of_features_is_remembered() -> None:
    settings = Settings(batch=8, mixup=2.0)
    # The mean of a map is linear, and nothing that training changes: there is nothing to forget, mixed or not.
    losses = [tuned(Devices(), remember, settings=settings, trunk=mean)[0] for remember in (0.0, 10.0)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


@pytest.mark.slow
def test_a_state_in_float16_is_restored(tmp_path: Path) -> None:
    _, tuner = tuned(Devices(mixed=True), epochs=1)
    tuner.save(tmp_path)
    _, other = tuned(Devices(mixed=True), epochs=1)
    other.restore(tmp_path)


def test_a_compiled_step_has_the_same_losses() -> None:
    compiled, expected = (tuned(devices, dropout=0.0)[0] for devices in (Devices(jit=True), Devices()))
    assert compiled == pytest.approx(expected, abs=1e-4), "without dropout: XLA draws other numbers from the same seed"


def test_one_processor_trains_the_model_itself() -> None:
    assert find_devices() == Devices()
    assert not find_devices().copies
