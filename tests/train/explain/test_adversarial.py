"""Attacks keep to their budget and find what there is to find; what is shown is what the saved file gives."""

import json
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_core import InputSpec, ModelCard
from edge_core.data.photo_folder import Photo
from edge_core.errors import CheckFailedError, DatasetError, ModelFormatError, SettingsError
from edge_core.images import read_picture
from edge_core.preprocess import ColorOrder, preprocess
from edge_core.run_folder import CARD_FILE, MODEL_FILE, Run, read_run, write_photos
from edge_keras.tf import keras, tf
from edge_train.cli.explain import app
from edge_train.evaluation.evaluate import scores_of
from edge_train.explain.adversarial.adversarial_page import (
    adversarial_page,
    amplification,
    method,
    outcome_lines,
    side_by_side,
    write_outcome,
)
from edge_train.explain.adversarial.find import PICTURES, Wanted, file_names, make_adversarial
from edge_train.explain.pixel_files import save_pixels
from edge_train.training.attacks import Attack, attack_pictures, fgsm, largest_change, logits_of, margin, perturb, pgd

LABELS = ("red", "green", "blue", "dark")
SIDE = 32
Command = Callable[..., subprocess.CompletedProcess[str]]


def color_model(scale: float = 10.0, order: str = "RGB") -> "keras.Model":
    """Names the brightest channel: logits are the mean levels of the channels, times `scale` / 255, and 2 for dark."""
    pixels = keras.Input((SIDE, SIDE, 3))
    levels = keras.layers.GlobalAveragePooling2D()(pixels)
    dense = keras.layers.Dense(4, activation="softmax")
    model = keras.Model(pixels, dense(levels))
    channels = np.eye(3, 4) if order == "RGB" else np.eye(3, 4)[::-1]
    dense.set_weights([channels * scale / 255, np.array([0, 0, 0, 0.2 * scale])])
    return model


def bent_model(seed: int = 3) -> "keras.Model":
    """A small network that is anything but linear, with random weights."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 20, -6),
            layers.Conv2D(8, 5, strides=2, activation="relu"),
            layers.Conv2D(8, 3, strides=2, activation="sigmoid"),
            layers.Flatten(),
            layers.Dense(5, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=0.5)),
        ]
    )


def random_pixels(count: int, low: int = 0, high: int = 256, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(low, high, (count, SIDE, SIDE, 3), np.uint8)


BENT = bent_model()
PIXELS = random_pixels(12)
SAID = scores_of(BENT, PIXELS).argmax(1)


@settings(max_examples=2)  # each traces a graph of its own
@example(epsilon=1.9, norm="linf", steps=1, seed=0)
@example(epsilon=1.9, norm="l2", steps=2, seed=1)
@given(
    epsilon=st.one_of(st.sampled_from([1.0, 1.9, 8.0, 255.0]), st.floats(1, 255)),
    norm=st.sampled_from(["linf", "l2"]),
    steps=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_what_comes_out_is_whole_levels_within_the_budget(epsilon: float, norm: str, steps: int, seed: int) -> None:
    edges = np.concatenate([PIXELS[:2], np.zeros_like(PIXELS[:1]), np.full_like(PIXELS[:1], 255)])
    attack = pgd(epsilon, norm, steps=steps)  # type: ignore[arg-type]
    changed = attack_pictures(logits_of(BENT), edges, np.zeros(4, np.int64), attack, seed=seed)
    assert changed.dtype == np.uint8 and changed.shape == edges.shape
    assert all(largest_change(*pair, attack.norm) <= epsilon for pair in zip(edges, changed, strict=True))


def test_one_step_reaches_the_corner_that_a_linear_model_fears_most() -> None:
    pixels = np.full((1, SIDE, SIDE, 3), 100, np.uint8)
    pixels[..., 0] = 140  # red, and green is the next best: blue matters to nobody
    pixels[..., 2] = 90
    changed = attack_pictures(logits_of(color_model()), pixels, np.array([0]), fgsm(8))
    assert (changed.astype(int) - pixels == [-8, 8, 0]).all()


def test_a_gradient_without_a_batch_size_is_followed() -> None:
    """As that of a user's own network is, an imported graph."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def imported(pixels: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return pixels, lambda gradient: tf.raw_ops.PlaceholderWithDefault(input=gradient, shape=(None, SIDE, SIDE, 3))

    logits = logits_of(color_model())
    pixels = np.full((1, SIDE, SIDE, 3), (120, 100, 40), np.uint8)
    changed = attack_pictures(lambda given: logits(imported(given)), pixels, np.array([0]), pgd(16, steps=2))
    assert (changed == attack_pictures(logits, pixels, np.array([0]), pgd(16, steps=2))).all()


@pytest.mark.parametrize(("gap", "fooled"), [(30, True), (34, False)])
def test_a_budget_of_16_levels_overcomes_a_gap_of_less_than_twice_as_much(gap: int, fooled: bool) -> None:
    model = color_model()
    pixels = np.full((1, SIDE, SIDE, 3), (100 + gap, 100, 40), np.uint8)
    for attack in (fgsm(16), pgd(16, steps=10)):
        changed = attack_pictures(logits_of(model), pixels, np.array([0]), attack)
        assert (scores_of(model, changed).argmax(1) != 0) == fooled


def test_an_l2_change_points_down_the_gradient_and_uses_the_budget_up() -> None:
    pixels = np.full((1, SIDE, SIDE, 3), (130, 110, 40), np.uint8)
    epsilon = 15 * np.sqrt(2 * SIDE * SIDE)  # 15 levels of red down, 15 of green up
    changed = attack_pictures(logits_of(color_model()), pixels, np.array([0]), pgd(epsilon, "l2", steps=20))
    change = (changed.astype(int) - pixels).reshape(-1, 3).mean(0)
    assert 0.98 * epsilon < largest_change(pixels, changed, "l2") <= epsilon
    assert -15.1 < change[0] < -13 and 13 < change[1] < 15.1 and abs(change[2]) < 1


def test_small_changes_of_an_l2_budget_survive_rounding() -> None:
    pixels = np.full((1, SIDE, SIDE, 3), (130, 110, 40), np.uint8)
    epsilon = 0.7 * np.sqrt(
        2 * SIDE * SIDE
    )  # 0.7 levels each: towards zero nothing would be left, and nearest is too much
    changed = attack_pictures(logits_of(color_model()), pixels, np.array([0]), pgd(epsilon, "l2"))
    assert 0.8 * epsilon < largest_change(pixels, changed, "l2") <= epsilon


def robust_share(attack: Attack) -> float:
    changed = attack_pictures(logits_of(BENT), PIXELS, SAID, attack)
    return float((scores_of(BENT, changed).argmax(1) == SAID).mean())


def test_many_steps_find_more_than_one_and_a_large_budget_more_than_a_small_one() -> None:
    noise = np.clip(PIXELS + 8 * np.random.default_rng(0).choice([-1, 1], PIXELS.shape), 0, 255).astype(np.uint8)
    by_noise = (scores_of(BENT, noise).argmax(1) == SAID).mean()
    assert robust_share(pgd(8)) <= robust_share(fgsm(8)) < by_noise
    assert robust_share(pgd(8)) < robust_share(pgd(1)) <= 1


@pytest.mark.parametrize("scale", [10.0, 1e5])
def test_a_model_that_is_always_sure_is_not_taken_for_a_robust_one(scale: float) -> None:
    """At 1e5 the softmax is 1 and 0 in float32, and its cross-entropy has no gradient."""
    model = color_model(scale)
    pixels = np.full((2, SIDE, SIDE, 3), (120, 110, 40), np.uint8)
    for targeted, labels in ((False, [0, 0]), (True, [1, 1])):
        changed = attack_pictures(logits_of(model), pixels, np.array(labels), pgd(8, steps=5), targeted=targeted)
        assert scores_of(model, changed).argmax(1).tolist() == [1, 1]


def test_a_target_is_what_the_picture_becomes() -> None:
    pixels = np.full((1, SIDE, SIDE, 3), (130, 120, 110), np.uint8)  # green would be nearer
    changed = attack_pictures(logits_of(color_model()), pixels, np.array([2]), pgd(16, steps=10), targeted=True)
    assert scores_of(color_model(), changed).argmax(1).tolist() == [2]


def test_the_same_seed_gives_the_same_pictures_and_another_one_others() -> None:
    first, same, other = (
        attack_pictures(logits_of(BENT), PIXELS, SAID, pgd(4, steps=2), seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, same) and not np.array_equal(first, other)


@pytest.mark.slow
def test_more_starts_are_never_worse() -> None:
    margins = []
    for restarts in (1, 3):
        changed = attack_pictures(logits_of(BENT), PIXELS, SAID, pgd(2, steps=2, restarts=restarts))
        margins.append(margin(logits_of(BENT)(tf.constant(changed, tf.float32)), tf.constant(SAID)).numpy())
    robust = margins[0] >= 0
    assert robust.any() and (margins[1][robust] <= margins[0][robust]).all()
    assert np.array_equal(margins[1][~robust], margins[0][~robust])  # fooled once is enough


def test_a_training_step_can_call_it_within_a_graph() -> None:
    logits = logits_of(BENT)

    def step(pixels: "tf.Tensor", labels: "tf.Tensor", seed: "tf.Tensor") -> "tf.Tensor":
        return perturb(logits, pixels, labels, fgsm(4, random_start=True), seed)

    pixels, labels, seed = tf.constant(PIXELS, tf.float32), tf.constant(SAID), tf.constant([1, 2])
    changed = tf.function(step)(pixels, labels, seed).numpy()
    assert np.array_equal(changed, np.rint(changed)) and np.abs(changed - PIXELS).max() == 4
    assert np.array_equal(changed, step(pixels, labels, seed).numpy())


def test_logits_are_what_the_softmax_is_of_whatever_the_last_layer() -> None:
    pixels = tf.constant(PIXELS, tf.float32)
    features = BENT.layers[-2].output
    kernel, bias = BENT.layers[-1].get_weights()
    plain = keras.layers.Dense(5)
    forms = {
        "dense": BENT,
        "layer": keras.Model(BENT.input, keras.layers.Softmax()(plain(features))),
        "activation": keras.Model(BENT.input, keras.layers.Activation("softmax")(plain(features))),
        "logits": keras.Model(BENT.input, plain(features)),
    }
    plain.set_weights([kernel, bias])
    for name, model in forms.items():
        assert np.allclose(tf.nn.softmax(logits_of(model)(pixels)), BENT(pixels), atol=1e-5), name
    sigmoid = keras.Model(BENT.input, keras.layers.Dense(5, activation="sigmoid")(features))
    with pytest.raises(SettingsError, match="neither a softmax nor logits"):
        logits_of(sigmoid)


def test_logits_change_with_the_weights_of_their_model() -> None:
    model = color_model()
    logits, pixels = logits_of(model), tf.constant(PIXELS[:1], tf.float32)
    before = logits(pixels).numpy()
    model.layers[-1].set_weights([2 * weights for weights in model.layers[-1].get_weights()])
    assert np.allclose(logits(pixels), 2 * before)


@pytest.mark.parametrize(
    "wrong",
    [{"epsilon": 0.5}, {"epsilon": 256}, {"epsilon": float("nan")}, {"steps": 0}, {"restarts": 0}, {"norm": "l1"}],
)
def test_an_attack_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        Attack(**{"epsilon": 8.0, "norm": "linf", "steps": 2, "step_size": 1.0, "random_start": True, **wrong})  # type: ignore[arg-type]


def test_a_budget_beyond_black_and_white_is_refused() -> None:
    with pytest.raises(SettingsError, match="from black to white"):
        attack_pictures(logits_of(color_model()), PIXELS[:1], np.array([0]), pgd(1e6, "l2"))


def test_one_step_from_a_random_start_is_not_called_fgsm() -> None:
    assert method(fgsm(8)) == "FGSM, L∞ 8"
    assert method(pgd(8, steps=1)) == "PGD, 1 step, L∞ 8"


# --- explain adversarial


def write_run(folder: Path, order: ColorOrder = "RGB") -> Run:
    """A run of `color_model`, with two test photos of red, one of which shows green, and two of green."""
    folder.mkdir()
    color_model(order=order).save(folder / MODEL_FILE)
    (folder / CARD_FILE).write_text(ModelCard(LABELS, InputSpec(SIDE, SIDE, color_order=order)).to_text(), "utf-8")
    photos: list[Photo] = []
    colors = {
        ("red", "a"): (40, 100, 120),
        ("red", "b"): (40, 120, 100),
        ("green", "a"): (40, 118, 100),
        ("green", "c"): (30, 120, 110),
    }
    for (label, name), color in colors.items():  # B, G, R
        path = folder.parent / "photos" / label / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(photos)).integers(-9, 10, (48, 64, 3))
        cv2.imwrite(str(path), (np.array(color) + noise).astype(np.uint8))
        photos.append(Photo(path, label, sha256(path.read_bytes()).hexdigest()))
    write_photos(folder, {"train": [], "val": [], "test": photos})
    return read_run(folder)


@pytest.fixture(params=["RGB", "BGR"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return write_run(tmp_path / "run", request.param)


@pytest.fixture
def rgb_run(tmp_path: Path) -> Run:
    return write_run(tmp_path / "run")


@pytest.mark.parametrize("crop", ["center", "stretch", "pad"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_saved_pixels_come_back_as_they_were(tmp_path: Path, crop: str, order: str) -> None:
    spec = InputSpec(24, 40, crop, order)  # type: ignore[arg-type]
    pixels = np.random.default_rng(0).integers(0, 256, spec.shape, np.uint8)
    save_pixels(tmp_path / "pixels.png", pixels, spec)
    assert np.array_equal(preprocess(read_picture(tmp_path / "pixels.png"), spec), pixels)


def test_what_is_told_is_what_the_saved_file_gives(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    outcome = make_adversarial(run, pgd(16, steps=5), tmp_path / "out", Wanted(label="red", target="green"))
    (example,) = outcome.examples  # the other photo of red is taken for green as it is
    assert outcome.passed_over == 1 and example.source.name == "a.png"
    saved = preprocess(read_picture(tmp_path / "out" / PICTURES / example.file), run.card.input)
    assert np.array_equal(saved, example.changed) and 0 < largest_change(example.original, saved, "linf") <= 16
    (said,) = example.said
    assert (said.before[0].label, said.after[0].label) == ("red", "green")
    again = scores_of(color_model(order=run.card.input.color_order), saved[np.newaxis])[0]
    assert said.after[0].score == pytest.approx(again.max(), abs=1e-6)
    assert example.fooled_as_made
    assert (
        str(outcome.as_made)
        == str(outcome.still_fooling)
        == str(outcome.read_again())
        == "1 of 1, 100.0 % (20.7 to 100.0)"
    )


def test_a_budget_too_small_is_told_as_such(rgb_run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    outcome = make_adversarial(rgb_run, fgsm(1), tmp_path / "out")
    assert [example.label for example in outcome.examples] == ["red", "green", "green"] and outcome.passed_over == 1
    assert str(outcome.as_made) == str(outcome.read_again()) == "0 of 3, 0.0 % (0.0 to 56.1)"
    assert outcome.still_fooling is None
    assert "none to judge by" in outcome_lines(outcome)


def test_pictures_and_a_file_of_the_device_beside_the_full_size_model(
    rgb_run: Run, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    pictures = [tmp_path / "photos" / "red", tmp_path / "photos" / "green" / "a.png"]
    (pictures[0] / "notes.txt").write_text("of the photos")
    (tmp_path / "out").mkdir()
    outcome = make_adversarial(
        rgb_run, pgd(16, steps=5), tmp_path / "out", Wanted(pictures), files=[tiny_model("float32")]
    )
    assert [example.label for example in outcome.examples] == ["red", "green", "green"]  # as the model says
    assert [example.file for example in outcome.examples] == ["a.png", "b.png", "a~2.png"]
    assert [(item.path.name, item.reason) for item in outcome.unusable] == [("notes.txt", "not a picture")]
    assert all([said.model for said in example.said] == ["run", "tiny-float32.tflite"] for example in outcome.examples)
    write_outcome(outcome, rgb_run, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "adversarial.json").read_text("utf-8"))
    assert written["fooled_when_read_again"]["tiny-float32.tflite"]["value"] == 1
    assert written["examples"][0]["largest_change"] == 16
    assert sorted(path.name for path in (tmp_path / "out" / "side-by-side").iterdir()) == ["a.png", "a~2.png", "b.png"]
    page = (tmp_path / "out" / "adversarial.html").read_text("utf-8")
    assert "tiny-float32.tflite fooled" in page and "<script" not in page


def test_every_picture_has_a_file_of_its_own() -> None:
    sources = [
        Path(name) for name in ("x/a~2.jpg", "x/a.jpg", "y/a.jpg", "z/a.png", "\u00e9" * 200 + ".jpg", "b.c.jpg")
    ]
    names = file_names(sources)
    assert names == ["a~2.png", "a.png", "a~3.png", "a~4.png", "\u00e9" * 50 + ".png", "b.c.png"]


def test_side_by_side_is_a_picture_whatever_the_names(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    hostile = tmp_path / "<b>$x^{ $.png"
    hostile.write_bytes((tmp_path / "photos" / "red" / "a.png").read_bytes())
    outcome = make_adversarial(run, fgsm(16), tmp_path / "out", Wanted([hostile]))
    figure = side_by_side(outcome.examples[0], outcome, run.card.input.color_order)
    assert cv2.imdecode(np.frombuffer(figure, np.uint8), cv2.IMREAD_COLOR) is not None
    assert "<b>$" not in adversarial_page(outcome, "<i>", [figure])


def test_the_change_is_amplified_as_far_as_it_fits() -> None:
    original = np.full((2, 2, 3), 100, np.uint8)
    assert amplification(original, original + np.uint8(8)) == 15
    assert amplification(original, original) == 127
    assert amplification(original, np.zeros_like(original)) == 1


def test_what_cannot_be_attacked_is_said_before_the_work(
    rgb_run: Run, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    attack = pgd(8, steps=1)
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    other = tiny_model("float32", labels=("a", "b", "c", "d"))
    for error, match, wanted, files in (
        (SettingsError, "knows no label 'cat'; it knows red, green", Wanted(target="cat"), ()),
        (SettingsError, "taken for red as they are", Wanted(label="red", target="red"), ()),
        (DatasetError, "holds no pictures", Wanted(pictures=[empty]), ()),
        (DatasetError, "broken.jpg", Wanted(pictures=[tmp_path / "broken.jpg"]), ()),
        (DatasetError, "missing.jpg", Wanted(pictures=[rgb_run.splits["test"][0].path, tmp_path / "missing.jpg"]), ()),
        (CheckFailedError, "nothing to attack", Wanted(label="blue"), ()),
        (ModelFormatError, "other labels", Wanted(), (other,)),
    ):
        with pytest.raises(error, match=match):
            make_adversarial(rgb_run, attack, tmp_path, wanted, files=files)
    assert not (tmp_path / PICTURES).exists()


def test_the_command_prints_json_and_writes_the_folder_whole(command: Command, rgb_run: Run, tmp_path: Path) -> None:
    arguments = (
        "edge_train.cli",
        "explain",
        "adversarial",
        rgb_run.folder,
        "--out",
        tmp_path / "out",
        "--label",
        "red",
    )
    done = command(*arguments, "--target", "green", "--epsilon", 16, "--steps", 3, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pictures"] == 1 and told["fooled_as_made"]["count"] == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "adversarial.html", "adversarial.json", "pictures", "side-by-side",
    }  # fmt: skip
    done = command(*arguments)
    assert done.returncode == 2 and "is there already" in done.stderr and not done.stdout


def test_a_command_that_finds_nothing_to_attack_writes_nothing(rgb_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["adversarial", str(rgb_run.folder), "--out", str(out), "--label", "blue"])
    assert result.exit_code == 1 and "nothing to attack" in result.stderr.splitlines()[-1]
    assert not out.exists()


def test_one_step_has_no_number_of_steps(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["adversarial", str(tmp_path), "--attack", "fgsm", "--steps", "3"])
    assert result.exit_code == 2 and "one step" in result.stderr
