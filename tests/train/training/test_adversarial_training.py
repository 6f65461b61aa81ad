"""Adversarial training: what is shown to the network, that it helps, that it can be interrupted, what is refused."""

import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pytest

from edge_core.errors import SettingsError
from edge_core.images import read_picture
from edge_core.preprocess import InputSpec, preprocess
from edge_core.run_folder import Run, read_run
from edge_keras.models.architectures import DEFAULT
from edge_keras.models.pretrained import Weights
from edge_train.data.dataset import open_photos
from edge_train.evaluation.evaluate import open_model
from edge_train.settings import Settings, check_settings
from edge_train.training.attacks import attack_pictures, logits_of, pgd
from edge_train.training.fit import FitOptions, Fitted, fit

from ..conftest import blank_charts
from ..small_network import SMALL_NETWORK

pytestmark = pytest.mark.usefixtures("charts_are_blank")

T = TypeVar("T")


@pytest.fixture(scope="module")
def faint_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gray noise, a shade warmer or colder: a few gray levels tell the two classes from each other."""
    folder = tmp_path_factory.mktemp("data") / "shades"
    rng = np.random.default_rng(0)
    for label, shade in (("cold", (6, 0, -6)), ("warm", (-6, 0, 6))):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            frame = 120 + np.array(shade) + rng.integers(-20, 21, (40, 40, 3))
            cv2.imwrite(str(folder / label / f"{number}.png"), frame.astype(np.uint8))
    return folder


def train(photos: Path, out: Path, settings: Settings, **options: Any) -> Fitted:
    found = open_photos(str(photos), seed=1, cache=out.parent)
    weights, cache = Weights("none (random)"), out.parent / "cache"
    return fit(
        found,
        out,
        FitOptions(spec=InputSpec(32, 32), weights=weights, cache=cache, architecture=SMALL_NETWORK, settings=settings),
        **options,
    )


def attacked_margin(run: Run) -> float:
    """Mean logit margin of the training photos' own labels under PGD, over that of the photos as they are."""
    photos = run.splits["train"]
    pixels = np.stack([preprocess(read_picture(photo.path), run.card.input) for photo in photos])
    labels = np.array([run.card.labels.index(photo.label) for photo in photos])
    logits = logits_of(open_model(run))
    found = attack_pictures(logits, pixels, labels, pgd(2, steps=5), seed=3)

    def margins(pictures: Any) -> Any:
        values = logits(pictures.astype(np.float32)).numpy()
        return values[np.arange(len(labels)), labels] - values[np.arange(len(labels)), 1 - labels]

    return float(margins(found).mean() / np.abs(margins(pixels)).mean())


PLAIN = Settings(epochs=0, views=1, batch=8, compression_rate=3e-4)
HARDENED = replace(PLAIN, adversarial="fgsm", adversarial_epochs=4)


@pytest.fixture(scope="module")
def hardened(faint_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    with blank_charts():
        return train(faint_photos, tmp_path_factory.mktemp("hardened") / "run", HARDENED)


@pytest.mark.slow
def test_a_network_trained_on_attacks_loses_less_to_one(hardened: Fitted, faint_photos: Path, tmp_path: Path) -> None:
    plain = train(faint_photos, tmp_path / "plain", PLAIN)
    assert [epoch.phase for epoch in hardened.history] == ["head"] + ["adversarial"] * 4
    assert hardened.card.training["adversarial"] == "fgsm"
    assert hardened.card.metrics["val_accuracy"].value == pytest.approx(hardened.history[-1].val_accuracy, abs=1e-6)
    assert attacked_margin(read_run(hardened.folder)) > attacked_margin(read_run(plain.folder))


class Interrupter:
    """Passes items through and raises KeyboardInterrupt at the n-th item of a label."""

    def __init__(self, label: str, at: int) -> None:
        self.label, self.left = label, at

    def __call__(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        for item in items:
            if label.startswith(self.label):
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
            yield item


@pytest.mark.slow
def test_interrupted_it_goes_on_to_the_same_result(hardened: Fitted, faint_photos: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(faint_photos, tmp_path / "run", HARDENED, track=Interrupter("Adversarial training, epoch 3", 1))
    again = train(faint_photos, tmp_path / "run", HARDENED)
    assert [epoch.phase for epoch in again.history] == [epoch.phase for epoch in hardened.history]
    losses = [[epoch.train_loss for epoch in fitted.history[1:]] for fitted in (hardened, again)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-2)


@pytest.mark.parametrize("other", [{"prune": 0.5}, {"cluster": 16}, {"qat": True}])
def test_what_would_undo_it_is_refused(other: Any) -> None:
    with pytest.raises(SettingsError, match="would undo --adversarial"):
        check_settings(Settings(adversarial="fgsm", **other), DEFAULT)


def test_the_command_says_what_cannot_be(
    command: Callable[..., subprocess.CompletedProcess[str]], faint_photos: Path, tmp_path: Path
) -> None:
    done = command(
        "edge_train.cli", "fit", faint_photos, "--out", tmp_path / "run", "--adversarial", "pgd", "--prune", 0.5
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: --prune goes on with photos as they are")
    assert not (tmp_path / "run").exists()
