"""How much of the network is fine-tuned."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from typer.testing import CliRunner

from edge_core.errors import SettingsError
from edge_core.preprocess import InputSpec
from edge_core.run_folder import read_run
from edge_keras.models.backbone import build
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras
from edge_train.cli import app
from edge_train.data.dataset import open_photos
from edge_train.evaluation.evaluate import open_model
from edge_train.settings import (
    DEEP_MIXUP,
    DEEP_RATE,
    EPOCHS,
    USUAL_MIXUP,
    USUAL_RATE,
    Depth,
    Settings,
    deep_settings,
    depth_for,
    usual_settings,
)
from edge_train.training.features import LayerMaps
from edge_train.training.fit import FitOptions, Fitted, fit

from ..small_network import SMALL_NETWORK

pytestmark = pytest.mark.usefixtures("charts_are_blank")

T = TypeVar("T")
WITH_TWO_SEAMS = replace(SMALL_NETWORK, deep_seam="normalise")
SETTINGS = Settings(epochs=2, views=3, batch=8)
RANDOM = Weights("none (random)")


def train(
    photos: Path, out: Path, settings: Settings = SETTINGS, weights: Weights = RANDOM, **options: object
) -> Fitted:
    return fit(
        open_photos(str(photos), seed=1, cache=out.parent),
        out,
        FitOptions(
            spec=InputSpec(32, 32),
            weights=weights,
            cache=out.parent / "cache",
            architecture=WITH_TWO_SEAMS,
            settings=settings,
        ),
        **options,  # type: ignore[arg-type]
    )


def first_kernel_has_changed(run: Path) -> bool:
    keras.utils.set_random_seed(SETTINGS.seed)
    untrained = build(InputSpec(32, 32), 3, 1.0, RANDOM, WITH_TWO_SEAMS)
    first, drawn = (one.get_layer(index=2).get_weights()[0] for one in (open_model(read_run(run)), untrained))
    return bool((first != drawn).any())


@pytest.fixture
def mixed_up(color_photos: Path, tmp_path: Path) -> Path:
    """The photos, dealt out to the classes so that no color tells them apart: no head can be good."""
    folder = tmp_path / "photos"
    for number, photo in enumerate(sorted(color_photos.glob("*/*"))):
        place = folder / "abc"[number % 3] / f"{number}{photo.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, place)
    return folder


@pytest.mark.slow
def test_a_poor_head_has_more_of_the_network_trained(
    mixed_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_train.settings.TOO_FEW_PHOTOS", 1)
    said: list[str] = []
    shown: list[str] = []

    def track(items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
        shown.append(label)
        return items

    straight = train(mixed_up, tmp_path / "a" / "run", say=said.append, track=track)
    assert any("over the training photos" in label for label in shown)
    assert not any("earlier layer" in label for label in shown), "the network went through the same photos twice"
    assert straight.card.training["split_layer"] == "normalise"
    assert any("begins earlier, behind normalise" in line for line in said)
    assert first_kernel_has_changed(straight.folder)
    assert [straight.card.training[name] for name in ("learning_rate", "mixup")] == [DEEP_RATE, DEEP_MIXUP]
    with pytest.raises(KeyboardInterrupt):
        train(mixed_up, tmp_path / "b" / "run", track=stop_in_epoch_2)
    # What goes on does not judge its head anew: measured behind the other layer it may be just good enough.
    monkeypatch.setattr("edge_train.settings.POOR_HEAD_OF_FEW", 0.0)
    again = train(mixed_up, tmp_path / "b" / "run")
    assert again.card.training["split_layer"] == "normalise"
    one, other = (open_model(read_run(done.folder)).get_weights() for done in (straight, again))
    for kernel, same in zip(one, other, strict=True):
        np.testing.assert_allclose(kernel, same, atol=1e-4)


def test_maps_of_an_earlier_layer_are_kept_only_until_it_is_known_whether_they_are_needed(
    mixed_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_train.settings.TOO_FEW_PHOTOS", 1)
    monkeypatch.setattr("edge_train.settings.POOR_HEAD_OF_FEW", 1e-9)  # what no head is below
    kept: Counter[tuple[int, ...]] = Counter()
    append = LayerMaps.append

    def counted(self: LayerMaps, names: list[bytes], maps: Any) -> None:
        kept[self.cache.shape] += len(names)
        append(self, names, maps)

    monkeypatch.setattr(LayerMaps, "append", counted)
    fitted = train(mixed_up, tmp_path / "run")
    assert fitted.card.training["split_layer"] == "seam"
    later, earlier = (count for shape, count in kept.items() if len(shape) == 3)
    photos = len(read_run(fitted.folder).splits["train"])
    assert later - earlier == photos, "the last of three views was kept of both layers"
    assert [count for shape, count in kept.items() if len(shape) == 1] == [later], "features of each view, once"


def test_what_was_asked_for_stays_as_it_is() -> None:
    asked = Settings(
        epochs=EPOCHS, learning_rate=USUAL_RATE, mixup=USUAL_MIXUP
    )  # typed, though they are the usual ones
    assert deep_settings(asked) == usual_settings(Settings()) == asked
    assert deep_settings(Settings(epochs=3, mixup=0.4)) == Settings(epochs=3, learning_rate=DEEP_RATE, mixup=0.4)


def test_what_the_command_line_states_is_told_from_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Settings] = []

    def noted(settings: Settings) -> None:
        found.append(settings)
        raise SettingsError("seen")

    monkeypatch.setattr("edge_train.settings.check_numbers", noted)
    for words in ([], ["--mixup", "0.2", "--learning-rate", "3e-4"]):
        CliRunner().invoke(app, ["fit", "photos", *words])
    left_out, stated = found
    assert (left_out.mixup, left_out.learning_rate) == (None, None)
    assert (stated.mixup, stated.learning_rate) == (USUAL_MIXUP, USUAL_RATE)


def stop_in_epoch_2(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    if "epoch 2" in label:
        raise KeyboardInterrupt
    yield from items


@pytest.mark.parametrize(
    ("settings", "photos", "labels", "head_accuracy", "deep_seam", "depth"),
    [
        (Settings(), 1560, 13, 0.77, "normalise", "deep"),
        (Settings(), 1560, 13, 0.9, "normalise", "usual"),  # a good head
        (Settings(), 520, 26, 0.77, "normalise", "usual"),  # 20 photos of a class may be too few for a better one
        (Settings(), 1560, 13, 0.77, "", "usual"),  # a network that it was not measured with
        (Settings(), 399, 5, 0.86, "normalise", "head"),
        (Settings(), 399, 5, 0.71, "normalise", "head"),
        (Settings(), 130, 13, 0.55, "normalise", "deep"),  # frozen features hardly tell the classes apart
        (Settings(), 130, 13, 0.55, "", "usual"),
        (Settings(), 99, 13, 0.55, "normalise", "head"),
        (Settings(epochs=8), 99, 13, 0.55, "normalise", "usual"),  # as asked for
        (Settings(epochs=0), 1560, 13, 0.77, "normalise", "head"),
        (Settings(fine_tune_from="seam"), 99, 13, 0.77, "normalise", "usual"),
    ],
)
def test_how_much_is_trained_depends_on_the_photos_on_the_head_and_on_what_was_asked_for(
    settings: Settings, photos: int, labels: int, head_accuracy: float, deep_seam: str, depth: Depth
) -> None:
    network = replace(SMALL_NETWORK, deep_seam=deep_seam)
    assert depth_for(network, settings, photos, labels, head_accuracy) == depth


def test_few_photos_leave_the_solved_head_as_it_is_and_the_user_is_told(color_photos: Path, tmp_path: Path) -> None:
    """Of pretrained weights: fine-tuning on a few dozen photos would take 15 points from a head on flowers."""
    file = tmp_path / "pretrained.weights.h5"
    WITH_TWO_SEAMS.trunk(keras.Input((32, 32, 3)), 1.0).save_weights(file)
    weights, few = Weights("a file", file, "0" * 64), Settings(views=1, batch=8)
    said: list[str] = []
    fitted = train(color_photos, tmp_path / "run", few, weights=weights, say=said.append)
    assert [epoch.epoch for epoch in fitted.history] == [0]
    assert fitted.card.training["epochs"] == 0
    photos = len(read_run(fitted.folder).splits["train"])
    assert any(f"with {photos} photos to train on" in line and "--epochs 8" in line for line in said)
    said.clear()
    asked = train(color_photos, tmp_path / "asked", replace(few, epochs=1), weights=weights, say=said.append)
    assert [epoch.epoch for epoch in asked.history] == [0, 1]
    assert not any("the last layer alone" in line for line in said)
