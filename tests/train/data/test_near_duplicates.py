"""Copies are found, and what lies before one background is not taken for copies."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_core.images.likeness import SIDE, difference, sketch
from edge_core.preprocess import Frame
from edge_train.data import near_duplicates as look_alikes
from edge_train.data.near_duplicates import look_alike_groups


def scene(seed: int, height: int = 240, width: int = 320) -> Frame:
    """A picture with large shapes, as photos have them: uint8, shape (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def before(background: Frame, seed: int, size: int = 40) -> Frame:
    """Something else, somewhere else, before the same background, in a little noise and another light."""
    rng = np.random.default_rng([seed, 7])
    frame = background.copy()
    top, left = int(rng.integers(0, frame.shape[0] - size)), int(rng.integers(0, frame.shape[1] - size))
    frame[top : top + size, left : left + size] = scene(1000 + seed, size, size)
    levels = frame * rng.uniform(0.9, 1.1) + rng.normal(0, 2, frame.shape)
    return np.clip(levels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: cv2.resize(frame, None, fx=0.5, fy=0.5),
        lambda frame: cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1),
        lambda frame: cv2.convertScaleAbs(frame, alpha=0.8),
        lambda frame: frame[6:-6, 8:-8],
        lambda frame: frame[:-10],
        lambda frame: cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
    ],
    ids=["half the size", "JPEG again", "darker", "5 % cut off around", "4 % cut off below", "gray"],
)
def test_a_copy_that_was_changed_a_little_is_found(change: Callable[[Frame], Frame]) -> None:
    photos = {str(seed): scene(seed) for seed in range(20)} | {"copy": change(scene(3))}
    assert look_alike_groups({name: sketch(frame) for name, frame in photos.items()}) == [["3", "copy"]]


@pytest.mark.parametrize("background", [scene(0), scene(0) // 8 + 100], ids=["a picture", "nearly plain"])
def test_photos_before_one_background_are_alike_only_where_one_is_a_copy(background: Frame) -> None:
    photos = {str(seed): before(background, seed) for seed in range(30)}
    photos["copy"] = cv2.resize(photos["11"], (200, 150), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    assert look_alike_groups({name: sketch(frame) for name, frame in photos.items()}) == [["11", "copy"]]


def test_a_burst_is_one_group_though_its_ends_differ() -> None:
    wide = scene(5, 240, 400)
    burst = [wide[:, 3 * step : 3 * step + 300] for step in range(25)]
    sketches = {str(step): sketch(frame) for step, frame in enumerate(burst)}
    assert difference(sketches["0"][None], sketches["24"][None])[0] > 1
    assert look_alike_groups(sketches) == [[str(step) for step in range(25)]]


def test_a_picture_without_shapes_is_like_no_other() -> None:
    blank = np.full((50, 50, 3), 90, np.uint8)
    assert look_alike_groups({"a": sketch(blank), "b": sketch(blank)}) == []
    assert look_alike_groups({}) == []


def test_many_of_one_picture_are_one_group_whatever_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_alikes, "_MANY_LINKS", 500)
    kept = np.minimum(sketch(scene(1)), 250)
    noise = np.random.default_rng(0).integers(0, 3, (150, SIDE, SIDE, 3), np.uint8)
    (group,) = look_alike_groups({str(number): kept + each for number, each in enumerate(noise // 2)})
    assert len(group) == 150
