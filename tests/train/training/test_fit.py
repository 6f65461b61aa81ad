"""What training writes, how it recovers, and what it never does."""

import csv
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest

from edge_core.data.photo_folder import Photo
from edge_core.errors import OutputError, RunFolderError, SettingsError
from edge_core.preprocess import Frame, InputSpec
from edge_core.run_folder import Run, read_run
from edge_keras.models.backbone import build
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras, tf
from edge_train.data.augment import ViewMaker
from edge_train.data.dataset import open_photos
from edge_train.evaluation.evaluate import evaluate, open_model, predict
from edge_train.settings import Settings
from edge_train.training.checkpoints import CheckpointStore
from edge_train.training.fine_tune import FineTuner
from edge_train.training.fit import FitOptions, Fitted, Request, fit
from edge_train.training.solved_head.head import solve_head

from ..small_network import SMALL_NETWORK

pytestmark = pytest.mark.usefixtures("charts_are_blank")

T = TypeVar("T")


def train(folder: Path, out: Path, settings: Settings, **options: object) -> Fitted:
    photos = open_photos(str(folder), seed=1, cache=out.parent)
    return fit(
        photos,
        out,
        FitOptions(
            spec=InputSpec(32, 32),
            weights=Weights("none (random)"),
            cache=out.parent / "cache",
            architecture=SMALL_NETWORK,
            settings=settings,
        ),
        **options,  # type: ignore[arg-type]
    )


def test_a_call_as_version_0_1_had_it_keeps_working(color_photos: Path, color_run: Run, tmp_path: Path) -> None:
    photos = open_photos(str(color_photos), seed=1, cache=tmp_path)
    fields = {"spec": InputSpec(32, 32), "weights": Weights("none (random)"), "cache": tmp_path, "settings": None}
    # It gets as far as one with `FitOptions` that names a folder which is there.
    with pytest.warns(DeprecationWarning, match="FitOptions"), pytest.raises(OutputError, match="is there already"):
        fit(photos, color_run.folder, **fields, alpha=0.35)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no alpha beside FitOptions"):
        fit(photos, tmp_path, FitOptions(InputSpec(32, 32), Weights("none (random)"), tmp_path), alpha=0.35)


def test_a_state_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tuner = object.__new__(FineTuner)
    tuner._checkpoint = tf.train.Checkpoint(step=tf.Variable(1))
    with pytest.raises(
        OutputError, match=r"file cannot be written: .*is not a directory$"
    ):  # TensorFlow's own error is no OSError
        tuner.save(tmp_path / "file" / "state")


def test_a_run_folder_is_whole(color_run: Run) -> None:
    names = {path.name for path in color_run.folder.iterdir()}
    assert names >= {
        "model.keras",
        "card.json",
        "photos.csv",
        "history.csv",
        "predictions.csv",
        "curves.png",
        "samples.png",
        "confusion.png",
        "checkpoints",
    }
    for picture in color_run.folder.glob("*.png"):
        assert cv2.imread(str(picture)) is not None
    assert color_run.card.labels == ("blue", "green", "red")
    assert color_run.card.dataset is not None
    assert color_run.card.dataset.counts["test"] == {
        label: sum(photo.label == label for photo in color_run.splits["test"]) for label in color_run.card.labels
    }


def test_predictions_are_listed_worst_first(color_run: Run) -> None:
    with (color_run.folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == {str(photo.path) for photo in color_run.splits["test"]}
    own = [float(row["label_score"]) for row in rows]
    assert own == sorted(own)


def test_the_saved_model_gives_the_accuracy_on_the_card(color_run: Run) -> None:
    result = evaluate(color_run)
    assert result.accuracy == color_run.card.metrics["test_accuracy"]
    assert result.confusion.sum() == len(color_run.splits["test"])
    best = predict(color_run, color_run.splits["test"][0].path, open_model(color_run))
    assert sum(item.score for item in best) == pytest.approx(1, abs=1e-4)


def test_photos_that_the_run_has_seen_are_not_tested_on(color_run: Run, color_photos: Path) -> None:
    result = evaluate(color_run, color_photos)
    assert {item.path for item in result.judged} == {photo.path for photo in color_run.splits["test"]}
    assert result.left_out == len(color_run.splits["train"]) + len(color_run.splits["val"])


def test_a_changed_photo_is_no_longer_the_test_photo_it_was(color_run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(color_run.folder, copy)
    text = (copy / "photos.csv").read_text()
    for photo in color_run.splits["test"]:
        text = text.replace(photo.sha256, "0" * 64)
    (copy / "photos.csv").write_text(text)
    with pytest.raises(RunFolderError, match="--data"):
        evaluate(read_run(copy))


def test_the_time_of_the_head_does_not_count_what_fine_tuning_alone_needs(color_photos: Path, tmp_path: Path) -> None:
    began = dict[str, float]()

    def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        began.setdefault(label, time.perf_counter() - start)
        yield from items

    start = time.perf_counter()
    history = train(color_photos, tmp_path / "run", Settings(epochs=1, views=3), track=track).history
    (views,) = (seconds for label, seconds in began.items() if "augmented" in label)
    assert 0 < history[0].seconds < views < history[1].seconds


def test_harmful_epochs_are_not_kept(color_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A rate far beyond what may be asked for: with any other this network might do no harm.
    monkeypatch.setattr("edge_train.training.fit.check_settings", lambda settings, architecture: None)
    fitted = train(color_photos, tmp_path / "run", Settings(epochs=2, views=1, batch=8, learning_rate=10.0))
    head, *tuned = fitted.history
    assert not any(epoch.kept for epoch in tuned), "a learning rate of 10 must have done harm, or this shows nothing"
    assert fitted.card.metrics["val_accuracy"].value == pytest.approx(head.val_accuracy)


def test_what_is_trained_and_how_is_in_the_run(color_photos: Path, tmp_path: Path) -> None:
    wanted = Settings(epochs=1, views=1, batch=7, learning_rate=1e-3, dropout=0.5, fine_tune_from="normalise")
    fitted = train(color_photos, tmp_path / "run", wanted)
    recorded = fitted.card.training
    assert [recorded[name] for name in ("batch", "learning_rate", "dropout", "fine_tune_from")] == [
        7, 1e-3, 0.5, "normalise",
    ]  # fmt: skip
    model = open_model(read_run(fitted.folder))
    assert model.get_layer("dropout").rate == 0.5
    keras.utils.set_random_seed(wanted.seed)
    untrained = build(InputSpec(32, 32), 3, 1.0, Weights("none (random)"), SMALL_NETWORK)
    first, drawn = (one.get_layer(index=2).get_weights()[0] for one in (model, untrained))
    assert (first != drawn).any(), "the first convolution was frozen"


def test_a_network_trained_on_small_pictures_runs_on_larger_ones(
    color_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, ...]] = []
    views_of = ViewMaker.__call__

    def noted(self: ViewMaker, photo: Photo) -> Frame:
        made.append(self.spec.shape)
        return views_of(self, photo)

    monkeypatch.setattr(ViewMaker, "__call__", noted)
    said: list[str] = []
    fitted = train(color_photos, tmp_path / "run", Settings(epochs=1, views=1, batch=8, train_size=24), say=said.append)
    assert set(made) == {(24, 24, 3), (32, 32, 3)}
    run = read_run(fitted.folder)
    assert run.card.input == InputSpec(32, 32)
    assert open_model(run).input_shape == (None, 32, 32, 3)
    assert run.card.metrics["test_accuracy"] == evaluate(run).accuracy
    assert evaluate(run).accuracy.value > 0.8, "the weights were not carried over"
    assert run.card.training["train_size"] == 24
    assert not any("leave --train-size out" in line for line in said)


def test_a_network_that_is_worse_at_its_size_is_told(
    color_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(request: Request, trained: "keras.Model") -> "keras.Model":
        return request.network(request.spec)

    monkeypatch.setattr("edge_train.training.fit._as_it_runs", forgetful)
    said: list[str] = []
    train(color_photos, tmp_path / "run", Settings(epochs=0, views=1, batch=8, train_size=24), say=said.append)
    assert any("% at 24, as it was trained: leave --train-size out" in line for line in said)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(learning_rate=0.0), "--learning-rate 0 is not above 0"),
        (Settings(learning_rate=float("nan")), "--learning-rate nan is not above 0"),
        (Settings(mixup=float("nan")), "--mixup nan is not a number from 0 to 10"),
        (Settings(prune=2.0), "--prune 2 is not a number from 0 to 0.95"),
        (Settings(dropout=1.0), "--dropout 1 is not a share"),
        (Settings(batch=0), "--batch 0 is not a number"),
        (Settings(fine_tune_from="sea"), "no such layer; do you mean seam"),
        (Settings(train_size=40), "--train-size 40 is larger than the input of 32 pixels"),
    ],
)
def test_numbers_that_nothing_can_be_trained_with_are_refused(
    color_photos: Path, tmp_path: Path, settings: Settings, reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        train(color_photos, tmp_path / "run", settings)
    assert not list(tmp_path.glob("*run*"))


def test_broken_photos_are_listed_and_the_rest_is_used(color_photos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(color_photos, copy)
    broken = copy / "red" / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not really")
    (copy / "_nothing").mkdir()
    (copy / "_nothing" / "gray.png").write_bytes(cv2.imencode(".png", np.full((40, 40, 3), 128, np.uint8))[1].tobytes())
    photos = open_photos(str(copy), seed=1, cache=tmp_path)
    assert [item.path for item in (*photos.unusable, *photos.passed_over)] == [broken]
    run = read_run(train(copy, tmp_path / "run", Settings(epochs=0, views=1)).folder)
    assert len([photo for members in run.splits.values() for photo in members]) == 42
    assert [photo.path.name for photo in run.negatives] == ["gray.png"]
    assert len(run.card.labels) == 3


class Interrupter:
    """Passes items through and raises KeyboardInterrupt at the n-th of all."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        for item in items:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            yield item


def test_a_run_interrupted_before_anything_is_trained_leaves_nothing(color_photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "half"
    with pytest.raises(KeyboardInterrupt):
        train(color_photos, out, Settings(epochs=1, views=1), track=Interrupter(0))
    assert list(out.parent.iterdir()) == []


def weights_of(run: Path) -> list[np.ndarray]:
    return list(open_model(read_run(run)).get_weights())


def test_an_interrupted_run_goes_on_to_the_same_result(
    color_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = list[str]()  # what is told of a process that is killed
    monkeypatch.setattr("edge_train.training.fit.note_advice", noted.append)
    settings = Settings(epochs=3, views=3, batch=8)
    straight = train(color_photos, tmp_path / "a" / "run", settings)
    interruptions, said = 0, list[str]()
    for at in (15, 4, 10_000):  # steps and batches, counted by hand: in one epoch, then in a later one, then never
        try:
            again = train(color_photos, tmp_path / "b" / "run", settings, track=Interrupter(at), say=said.append)
        except KeyboardInterrupt:
            interruptions += 1
            assert noted[-2:] == [said[-1], ""]
            assert not (tmp_path / "b" / "run").exists()
    assert interruptions == 2
    assert [re.sub(" after epoch.*", "", line) for line in said if " on after " in line] == [
        *("the same command goes on", "going on") * 2
    ]
    told = [int(epoch) for line in said for epoch in re.findall(r"on after epoch (\d+)", line)]
    assert told[0::2] == told[1::2] and told[0] < told[2]  # where the one stops, the next goes on
    assert [epoch.val_accuracy for epoch in again.history] == [epoch.val_accuracy for epoch in straight.history]
    for one, other in zip(weights_of(straight.folder), weights_of(again.folder), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert {path.name for path in (tmp_path / "b").iterdir()} == {"run"}


def test_what_another_request_left_is_not_taken_up(color_photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "run"
    with pytest.raises(KeyboardInterrupt):
        train(color_photos, out, Settings(epochs=3, views=1, batch=8), track=Interrupter(18))
    assert (out.parent / ".run.training").is_dir()
    fitted = train(color_photos, out, Settings(epochs=1, views=1, batch=8))
    assert len(fitted.history) == 2
    assert {path.name for path in out.parent.iterdir()} == {"run"}


def test_two_processes_do_not_train_the_same_run(color_photos: Path, tmp_path: Path) -> None:
    with CheckpointStore(tmp_path / "run", {}), pytest.raises(OutputError, match="another process"):
        train(color_photos, tmp_path / "run", Settings(epochs=0))


def test_an_existing_run_is_not_overwritten(color_run: Run, color_photos: Path) -> None:
    with pytest.raises(OutputError, match="already"):
        train(color_photos, color_run.folder, Settings(epochs=0))


def test_views_depend_on_the_photo_and_the_seed_alone(color_run: Run) -> None:
    first, second = color_run.splits["train"][:2]
    maker = ViewMaker(InputSpec(32, 32), (0, 1, 2), mirror=True, seed=1)
    views = maker(first)
    assert views.shape == (3, 32, 32, 3)
    maker(second)
    np.testing.assert_array_equal(maker(first), views)
    assert (ViewMaker(InputSpec(32, 32), (0, 1, 2), mirror=True, seed=2)(first)[2] != views[2]).any()


def test_the_head_is_the_minimum_of_its_loss() -> None:
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 3, 60)
    kernel, bias = solve_head(features, targets, 3)

    def loss(kernel: np.ndarray, bias: np.ndarray) -> float:
        logits = features @ kernel + bias
        log_scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        spread = features.var(axis=0).mean()
        return float(-log_scores[np.arange(60), targets].mean() + 0.1 / 2 * (kernel**2).sum() * spread)

    for _ in range(50):
        assert loss(kernel + rng.normal(scale=0.02, size=kernel.shape), bias) > loss(kernel, bias)
        assert loss(kernel, bias + rng.normal(scale=0.02, size=3)) > loss(kernel, bias) - 1e-7


def test_the_head_does_not_depend_on_the_scale_of_the_features() -> None:
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 3, 60)
    kernel, bias = solve_head(features, targets, 3)
    small_kernel, small_bias = solve_head((features / 1000).astype(np.float32), targets, 3)
    np.testing.assert_allclose(small_kernel / 1000, kernel, atol=2e-3)
    np.testing.assert_allclose(small_bias, bias, atol=2e-3)
