"""The preprocessing contract: every stage gives the model the same bytes of the same photo.

Each stage is run as it is in use, and what reaches the model is caught there. 200 photos from beside the checkout are
used where they are; rendered photos of many sizes, camera sizes among them, everywhere.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edge_convert.export
import edge_device.inference.interpreter
import edge_train.data.augment
from edge_convert.export import export, read_calibration
from edge_core.data.photo_folder import Photo, find_photos, identify_photos
from edge_core.images import read_picture
from edge_core.preprocess import Frame, InputSpec
from edge_core.run_folder import Run, read_training_photos
from edge_device.inference.interpreter import Interpreter
from edge_train.data.augment import ViewMaker
from edge_train.data.signs import render_photo
from edge_train.training.features import pixel_batches

REAL_PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "flowers"
CAMERA_SIZES = [(1280, 720), (640, 480), (1920, 1080)]
OTHER_SIZES = [(321, 240), (500, 333), (333, 501), (160, 160), (97, 203), (48, 48), (31, 47), (1, 300)]

Stage = Callable[[list[Photo], Run, pytest.MonkeyPatch], list[Frame]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    folder = tmp_path_factory.mktemp("contract")
    for number, (width, height) in enumerate(CAMERA_SIZES + OTHER_SIZES):
        for label in ("stop", "yield"):
            frame = cv2.resize(render_photo(label, number), (width, height), interpolation=cv2.INTER_CUBIC)
            (folder / label).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / label / f"{number}.{'jpg' if number % 2 else 'png'}"), frame)
    found = list(find_photos(folder).files)
    if REAL_PHOTOS.is_dir():
        real = list(find_photos(REAL_PHOTOS).files)
        found += real[:: len(real) // 200][:200]
    return identify_photos(found)[0]


def in_tf_data(photos: list[Photo], run: Run, monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """Training: the first view of the `tf.data` pipeline."""
    unusable: dict[int, Any] = {}
    batches = pixel_batches(photos, ViewMaker(run.card.input, (0,), mirror=True, seed=1), unusable)
    pixels = [view for _, batch in batches for view in batch.numpy()[:, 0]]
    assert not unusable
    return pixels


def with_photos(run: Run, photos: list[Photo]) -> Run:
    return Run(run.folder, run.card, {"train": photos, "val": [], "test": photos})


def in_calibration(photos: list[Photo], run: Run, monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """Conversion: what the representative dataset is made of."""

    def all_of_them(run: Run, visit: Any, count: int, **options: Any) -> Any:
        return read_training_photos(run, visit, len(photos), **options)

    monkeypatch.setattr(edge_convert.export, "read_training_photos", all_of_them)
    return list(read_calibration(with_photos(run, photos), None).values)


def in_verification(photos: list[Photo], run: Run, monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """Conversion: what the gate shows the converted file."""
    caught: list[Frame] = []

    def catch(classifier: Any, pixels: Frame, track: Any) -> None:
        caught.extend(pixels)
        raise InterruptedError

    monkeypatch.setattr(edge_convert.export, "artifact_scores", catch)
    with pytest.raises(InterruptedError):
        export(with_photos(run, photos), "float32", run.folder.parent / "never-written.tflite")
    return caught


def on_the_device(kind: str) -> Stage:
    def stage(photos: list[Photo], run: Run, monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
        """The runner: the interpreter's input tensor, after a frame was written into it."""
        model = Path(__file__).parent / "models" / f"tiny-{kind}.tflite"
        interpreter = Interpreter(model)
        pixels = []
        for photo in photos:
            interpreter.write_frame(read_picture(photo.path), run.card.input)
            tensor = interpreter._interpreter.tensor(interpreter._input)()[0]
            pixels.append(tensor.astype(np.uint8))
            del tensor
        return pixels

    return stage


STAGES: dict[str, Stage] = {
    "tf.data": in_tf_data,
    "calibration": in_calibration,
    "verification": in_verification,
    "device, uint8": on_the_device("uint8"),
    "device, float32": on_the_device("float32"),
}

USERS = {
    "tf.data": edge_train.data.augment,
    "calibration": edge_convert.export,
    "verification": edge_convert.export,
    "device, uint8": edge_device.inference.interpreter,
    "device, float32": edge_device.inference.interpreter,
}


@pytest.fixture(scope="module")
def small_run(color_run: Run) -> Run:
    """The run with the input size of the tiny models that stand for the device's."""
    from dataclasses import replace

    return replace(color_run, card=replace(color_run.card, input=InputSpec(32, 32)))


@pytest.fixture(scope="module")
def expected(photos: list[Photo], small_run: Run) -> list[Frame]:
    from edge_core.preprocess import preprocess

    return [preprocess(read_picture(photo.path), small_run.card.input) for photo in photos]


def differing(photos: list[Photo], pixels: list[Frame], expected: list[Frame]) -> list[str]:
    assert len(pixels) == len(expected) == len(photos)
    return [
        f"{photo.path.name}: {np.abs(one.astype(int) - other).max()}"
        for photo, one, other in zip(photos, pixels, expected, strict=True)
        if one.tobytes() != other.tobytes()
    ]


@pytest.fixture
def any_model(monkeypatch: pytest.MonkeyPatch, small_run: Run) -> None:
    """Verification loads the run's model, whose input is larger; its size is none of this test's business."""
    monkeypatch.setattr(edge_convert.export, "load_model", lambda run, load: tiny_model())


def tiny_model() -> Any:
    from edge_keras.tf import keras

    pixels = keras.Input((32, 32, 3))
    return keras.Model(pixels, keras.layers.Dense(3, "softmax")(keras.layers.GlobalAveragePooling2D()(pixels)))


@pytest.mark.usefixtures("any_model")
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_gives_the_model_the_same_bytes(
    stage: str, photos: list[Photo], small_run: Run, expected: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert differing(photos, STAGES[stage](photos, small_run, monkeypatch), expected) == []


@pytest.mark.usefixtures("any_model")
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_goes_its_own_way_is_caught(
    stage: str, photos: list[Photo], small_run: Run, expected: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    def the_usual_resize(frame: Frame, spec: InputSpec, out: Frame | None = None) -> Frame:
        resized = cv2.cvtColor(cv2.resize(frame, (spec.width, spec.height)), cv2.COLOR_BGR2RGB).astype(np.uint8)
        if out is not None:
            out[:] = resized
        return resized

    monkeypatch.setattr(USERS[stage], "preprocess", the_usual_resize)
    assert differing(photos, STAGES[stage](photos, small_run, monkeypatch), expected)
