"""Ideal pictures: the network is sure of what is saved, and the same seed draws the same."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence
from typer.testing import CliRunner

from edge_core.errors import SettingsError
from edge_core.images import read_picture
from edge_core.preprocess import preprocess
from edge_core.run_folder import Run
from edge_keras.tf import keras
from edge_train.cli.explain import app
from edge_train.evaluation.evaluate import open_model
from edge_train.explain.explain_plots import ideal_gif, ideal_sheet
from edge_train.explain.feature_visualization import FRAMES, MOVED, AscentSettings, draw, explain_ideal, moved

from ...further import slow_but


def color_model(height: int = 32, width: int = 32) -> "keras.Model":
    """Says 0, 1 or 2 for red, green or blue: logits are the mean levels of the channels, 0..400."""
    pixels = keras.Input((height, width, 3))
    scores = keras.layers.Dense(3, activation="softmax", name="scores")
    model = keras.Model(pixels, scores(keras.layers.GlobalAveragePooling2D()(pixels)))
    scores.set_weights([np.eye(3, dtype=np.float32) * 400 / 255, np.zeros(3, np.float32)])
    return model


@pytest.mark.parametrize("label", slow_but((0, 1, 2), {1}))
def test_the_picture_becomes_what_the_label_stands_for(label: int) -> None:
    model = color_model(24, 40)
    shown: list[np.ndarray] = []
    pictures = draw(model, label, [3], AscentSettings(steps=60), watch=shown.append)
    assert pictures.shape == (1, 24, 40, 3)
    assert pictures.dtype == np.uint8
    assert pictures[0].mean(axis=(0, 1)).argmax() == label
    assert float(model.predict_on_batch(pictures.astype(np.float32))[0, label]) > 0.95
    first = float(model.predict_on_batch(shown[0].astype(np.float32))[0, label])
    assert first < 0.6
    np.testing.assert_array_equal(shown[-1], pictures)


def test_colors_are_in_the_models_order() -> None:
    model = color_model()
    one, other = draw(model, 0, [1], AscentSettings(steps=10)), draw(model, 2, [1], AscentSettings(steps=10), bgr=True)
    assert np.abs(one.astype(int) - other[..., ::-1]).mean() < 0.5  # Adam amplifies what is rounded
    assert np.abs(one.astype(int) - other).mean() > 1


def test_a_seed_draws_the_same_whatever_is_drawn_beside_it() -> None:
    model, search = color_model(), AscentSettings(steps=12)
    alone, beside = draw(model, 1, [5], search), draw(model, 1, [4, 5], search)
    assert np.abs(alone[0].astype(int) - beside[1]).mean() < 0.5
    assert np.abs(beside[0].astype(int) - beside[1]).mean() > 1


@pytest.mark.slow
def test_a_lead_that_is_enough_leaves_the_rest_gray() -> None:
    model = color_model()
    little, much = (draw(model, 0, [0], AscentSettings(steps=60, lead=lead))[0] for lead in (1.0, 30.0))
    assert np.ptp(little.mean(axis=(0, 1))) < np.ptp(much.mean(axis=(0, 1)))


def test_moved_pictures_are_shifted_and_one_is_the_picture_itself() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    all_of_them = moved(pixels)
    assert all_of_them.shape == (len(MOVED) ** 2, 20, 30, 3)
    np.testing.assert_array_equal(all_of_them[12], pixels)
    np.testing.assert_array_equal(all_of_them[0][:12, :22], pixels[8:, 8:])


def test_steps_and_sizes_that_make_no_sense_are_refused() -> None:
    for wrong in ({"steps": 0}, {"rate": 0.0}, {"magnify": (0.0, 1.0)}, {"magnify": (2.0, 1.0)}):
        with pytest.raises(SettingsError):
            replace(AscentSettings(), **wrong)


def test_scores_are_those_of_the_saved_file(color_run: Run, tmp_path: Path) -> None:
    found = explain_ideal(color_run, "red", tmp_path, seeds=(0, 1), search=AscentSettings(steps=6))
    model = open_model(color_run)
    assert len(found.pictures) == 2
    for one in found.pictures:
        pixels = preprocess(read_picture(one.file), color_run.card.input)
        np.testing.assert_array_equal(pixels, one.pixels)
        score = float(model.predict_on_batch(pixels[None].astype(np.float32))[0, color_run.card.labels.index("red")])
        assert one.score == pytest.approx(score, abs=1e-5)
        assert one.moved[0] <= min(one.score, one.moved[1])
    assert len(found.frames) == 7
    assert cv2.imdecode(np.frombuffer(ideal_sheet(found, "colors"), np.uint8), 1) is not None
    gif = tmp_path / "red.gif"
    gif.write_bytes(ideal_gif(found))
    with Image.open(gif) as animation:
        assert sum(1 for _ in ImageSequence.Iterator(animation)) == 7
        assert animation.size == (96, 96)
    with pytest.raises(SettingsError, match="'mauve'"):
        explain_ideal(color_run, "mauve", tmp_path)


@pytest.mark.slow
def test_an_animation_has_a_bounded_number_of_frames() -> None:
    shown: list[np.ndarray] = []
    draw(color_model(8, 8), 0, [0], AscentSettings(steps=3 * FRAMES + 1), watch=shown.append)
    assert FRAMES // 2 < len(shown) <= FRAMES + 1


def test_the_command_writes_a_folder_whole_or_not_at_all(color_run: Run, tmp_path: Path) -> None:
    out, gif = tmp_path / "ideal", tmp_path / "steps.gif"
    arguments = ["ideal", str(color_run.folder), "--steps", "2", "--seeds", "2", "--out", str(out)]
    done = CliRunner().invoke(app, [*arguments, "--label", "mauve", "--gif", str(gif)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "'mauve'" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())
    done = CliRunner().invoke(app, [*arguments, "--label", "green", "--gif", str(gif), "--json"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert {path.name for path in out.iterdir()} == {"green-0.png", "green-1.png", "ideal.png", "ideal.json"}
    assert {one["file"] for one in told["pictures"]} == {"green-0.png", "green-1.png"}
    assert gif.read_bytes().startswith(b"GIF89a")
