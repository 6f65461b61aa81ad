"""Heatmaps point at what the label is known by, in the full-size model and in the .tflite."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from typer.testing import CliRunner

from edge_convert.quantize.recipes import float32, int8
from edge_core import InputSpec, ModelCard, complete
from edge_core.data.photo_folder import Photo
from edge_core.errors import ModelFormatError, SettingsError
from edge_core.run_folder import CARD_FILE, MODEL_FILE, Run, read_run, write_photos
from edge_device.inference.classifier import Classifier
from edge_keras.tf import keras
from edge_train.cli.explain import app
from edge_train.evaluation.evaluate import open_model
from edge_train.explain.explain_plots import heat_rows, laid_over
from edge_train.explain.heatmap.grad_cam import (
    ANOTHER,
    RANDOM,
    LookingFor,
    agreement,
    explain_held_out,
    explain_pictures,
    grad_cam,
    randomized,
)
from edge_train.explain.heatmap.logits import from_file, full_size, log_odds
from edge_train.explain.heatmap.occlusion import HIDDEN_LEVEL, Patches, hidden, occlusion_map

LABELS = ("red", "blue")
SIDE = 32


def spots(count: int) -> list[np.ndarray]:
    """Gray pictures with a red and a blue spot, each in another place."""
    rng = np.random.default_rng(5)
    pictures = []
    for _ in range(count):
        picture = np.full((SIDE, SIDE, 3), 120, np.uint8)
        red, blue = rng.permutation(16)[:2]
        for place, channel in ((red, 0), (blue, 2)):
            row, column = 8 * (place // 4), 8 * (place % 4)
            picture[row : row + 8, column : column + 8] = 20
            picture[row : row + 8, column : column + 8, channel] = 235 if channel == 0 else 200
        pictures.append(picture)
    return pictures


@pytest.fixture(scope="module")
def spot_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that tells red from blue by how much more there is of it, at a resolution of 8 x 8."""
    folder = tmp_path_factory.mktemp("runs") / "spots"
    (folder / "photos").mkdir(parents=True)
    pixels = keras.Input((SIDE, SIDE, 3))
    levels = keras.layers.Rescaling(1 / 127.5, -1.0)(pixels)
    convolution = keras.layers.Conv2D(2, 4, strides=4, activation="relu", name="spots")
    scores = keras.layers.Dense(2, activation="softmax", name="scores")
    model = keras.Model(pixels, scores(keras.layers.GlobalAveragePooling2D()(convolution(levels))))
    kernel = np.zeros((4, 4, 3, 2), np.float32)
    kernel[..., :, 0] = (1, -1, -1)
    kernel[..., :, 1] = (-1, -1, 1)
    convolution.set_weights([kernel / 16, np.zeros(2, np.float32)])
    scores.set_weights([np.array([[9, -9], [-9, 9]], np.float32), np.zeros(2, np.float32)])
    model.save(folder / MODEL_FILE)
    photos = []
    for number, picture in enumerate(spots(6)):
        path = folder / "photos" / f"{number}.png"
        cv2.imwrite(str(path), picture[..., ::-1])
        photos.append(Photo(path, "red", sha256(path.read_bytes()).hexdigest()))
    (folder / CARD_FILE).write_text(ModelCard(LABELS, InputSpec(SIDE, SIDE)).to_text())
    write_photos(folder, {"train": [], "val": [], "test": photos})
    return read_run(folder)


@pytest.fixture(scope="module")
def spot_file(spot_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "spots-int8.tflite"
    seen = np.concatenate([hidden(picture, Patches(4, 1)) for picture in spots(6)])  # all have the same logits unhidden
    path.write_bytes(complete(int8(open_model(spot_run), seen), spot_run.card, "spots"))
    return path


def where(picture: np.ndarray, channel: int) -> tuple[int, int]:
    """Row and column, 0..3, of the spot of a channel."""
    row, column = np.unravel_index(picture[..., channel].argmax(), picture.shape[:2])
    return int(row) // 8, int(column) // 8


@pytest.mark.parametrize("label", LABELS)
def test_both_methods_and_both_networks_point_at_the_spot(spot_run: Run, spot_file: Path, label: str) -> None:
    found = explain_pictures(
        spot_run,
        [photo.path for photo in spot_run.splits["test"]],
        [spot_file],
        looking=LookingFor(label, patches=Patches(4, 1)),
    )
    for looked in found.looked:
        spot = where(looked.pixels, 0 if label == "red" else 2)
        for heat in looked.heats:
            small = cv2.resize(heat.map, (4, 4), interpolation=cv2.INTER_AREA)
            assert divmod(int(small.argmax()), 4) == spot, f"{heat.name}: {small}"
    agreements = {(one.first, one.second): one for one in found.agreements()}
    both = agreements["Occlusion, full-size", "Occlusion, spots-int8.tflite"]
    assert both.mean is not None
    assert both.mean.value > 0.4  # away from the spots there is nothing but rounding to be ranked
    assert (both.photos, both.flat) == (6, 0)


def test_what_speaks_against_a_label_is_negative(spot_run: Run) -> None:
    network = full_size(open_model(spot_run), "full-size")
    for picture in spots(3):
        drops = occlusion_map(network, picture, 0, Patches(4, 1))
        assert drops[where(picture, 0)] > 1
        assert drops[where(picture, 2)] < -1
        reverse = occlusion_map(network, picture, 1, Patches(4, 1))
        np.testing.assert_allclose(drops, -reverse, atol=1e-4)


def test_controls_do_not_agree(spot_run: Run, spot_file: Path) -> None:
    found = explain_held_out(spot_run, 6, [spot_file], looking=LookingFor(patches=Patches(8, 2)))
    last = "Occlusion, spots-int8.tflite"
    means = {one.first: one.mean for one in found.agreements() if one.second == last}
    own, other = means["Grad-CAM, full-size"], means[ANOTHER]
    assert own is not None
    assert other is not None
    assert own.low > other.high
    assert RANDOM in means
    assert len(explain_held_out(spot_run, 1).agreements()) == 1
    assert "Grad-CAM of another photo" in found.to_text()


def test_only_the_last_layers_are_randomized(spot_run: Run) -> None:
    model = open_model(spot_run)
    before = model.get_weights()
    after = randomized(open_model(spot_run), "spots").get_weights()
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.sort(one.ravel()), np.sort(other.ravel()))
    assert (before[0] != after[0]).any()
    maps = grad_cam(model, np.stack(spots(2)), np.array([0, 1]), "spots")
    assert maps.shape == (2, 8, 8)


def test_logits_of_a_file_are_those_before_its_softmax(spot_run: Run, spot_file: Path, tmp_path: Path) -> None:
    pictures = np.stack(spots(4))
    full = full_size(open_model(spot_run), "full-size").logits(pictures)
    exact = tmp_path / "spots-float32.tflite"
    exact.write_bytes(complete(float32(open_model(spot_run)), spot_run.card, "spots"))
    np.testing.assert_allclose(from_file(exact, spot_run).logits(pictures), full, atol=1e-4)
    logits = from_file(spot_file, spot_run).logits(pictures)
    np.testing.assert_allclose(logits, full, atol=0.3)
    classifier = Classifier(spot_file)
    for picture, one in zip(pictures, logits, strict=True):
        np.testing.assert_allclose(softmax(one), classifier.pixel_scores(picture), atol=0.02)


def test_a_file_of_another_run_is_refused(spot_run: Run, tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(ModelFormatError, match="other labels"):
        from_file(tiny_model("uint8"), spot_run)


def test_scores_stand_in_where_there_are_no_logits(spot_run: Run, tmp_path: Path) -> None:
    pixels = keras.Input((SIDE, SIDE, 3))
    levels = keras.layers.GlobalAveragePooling2D()(pixels)
    dense = keras.layers.Dense(2, activation="sigmoid")
    model = keras.Model(pixels, dense(levels))
    dense.set_weights([np.array([[1, 0], [0, 0], [0, 1]], np.float32) / 100, np.full(2, -1, np.float32)])
    path = tmp_path / "sigmoid.tflite"
    path.write_bytes(complete(float32(model), spot_run.card, "sigmoid"))
    pictures = np.stack(spots(2))
    scores = np.stack([Classifier(path).pixel_scores(picture) for picture in pictures])
    np.testing.assert_allclose(np.exp(from_file(path, spot_run).logits(pictures)), scores, atol=1e-5)


def test_log_odds() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]], np.float32))
    np.testing.assert_allclose(log_odds(logits + 3, 0), np.log([7 / 3, 1]), atol=1e-6)


@given(
    height=st.integers(4, 70),
    width=st.integers(4, 70),
    cells=st.integers(2, 12),
    patch=st.integers(1, 11),
)
def test_every_pixel_is_hidden_by_some_patch(height: int, width: int, cells: int, patch: int) -> None:
    if patch >= cells:
        with pytest.raises(SettingsError):
            Patches(cells, patch)
        return
    pixels = np.full((height, width, 3), 3, np.uint8)
    copies = hidden(pixels, Patches(cells, patch))
    rows, columns = Patches(cells, patch).grid(height, width)
    assert len(copies) == rows * columns
    assert set(np.unique(copies)) <= {3, HIDDEN_LEVEL}
    assert (copies == HIDDEN_LEVEL).any(axis=0).all()
    assert (copies == HIDDEN_LEVEL).any(axis=(1, 2, 3)).all()
    assert (pixels == 3).all()


def test_agreement_is_of_ranks_at_the_coarser_resolution() -> None:
    coarse = np.arange(25, dtype=np.float32).reshape(5, 5)
    fine = np.kron(coarse, np.ones((2, 2), np.float32))
    assert agreement(coarse, np.exp(coarse)) == pytest.approx(1)
    assert agreement(coarse, -coarse) == pytest.approx(-1)
    assert agreement(coarse, fine) == pytest.approx(1, abs=0.001)  # at the edges less is averaged
    assert agreement(fine, coarse) == agreement(coarse, fine)
    assert agreement(np.zeros((5, 5), np.float32), fine) is None
    assert agreement(np.ones((1, 1), np.float32), fine) is None


def test_what_is_hot_is_bright_and_the_rest_stays_gray() -> None:
    pixels = np.full((40, 40, 3), (90, 30, 200), np.uint8)
    heat = np.full((4, 4), -1, np.float32)
    heat[0, 0] = 5
    drawn = laid_over(pixels, heat).astype(int)
    assert drawn[5, 5].sum() > drawn[30, 30].sum() + 100
    assert np.ptp(drawn[30, 30]) == 0
    assert (laid_over(pixels, -np.ones((4, 4), np.float32)) == laid_over(pixels, np.zeros((4, 4), np.float32))).all()


def test_the_command_prints_the_agreement_and_writes_a_picture(spot_run: Run, spot_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "heat.png"
    arguments = ["heatmap", str(spot_run.folder), "--with", str(spot_file), "--out"]
    done = CliRunner().invoke(app, [*arguments, str(out), "--photos", "4", "--json", "--cells", "4", "--patch", "1"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["pictures"]) == 4
    assert told["agreement"][0]["mean"].keys() == {"value", "low", "high"}
    assert cv2.imread(str(out)) is not None
    photo = str(spot_run.splits["test"][0].path)
    for wrong, reason in (([photo, "--label", "green"], "'green'"), ([f"{photo}.jpg"], "No such file")):
        other = tmp_path / "other.png"
        done = CliRunner().invoke(app, [*arguments, str(other), *wrong])
        assert (done.exit_code, done.stdout) == (2, "")
        assert reason in done.stderr.splitlines()[-1]
        assert not other.exists()
    assert CliRunner().invoke(app, arguments[:2]).exit_code == 2


def test_heat_rows_show_some_of_many(spot_run: Run) -> None:
    found = explain_held_out(spot_run, 6, looking=LookingFor(patches=Patches(4, 1)))
    few, many = (cv2.imdecode(np.frombuffer(heat_rows(found, most), np.uint8), 1) for most in (2, 5))
    assert few is not None
    assert many is not None
    assert few.shape[0] < many.shape[0]
