"""Test photos that are made small in a frame: what a model looks at decides what is right."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_core.data.photo_folder import Photo
from edge_core.preprocess import InputSpec
from edge_train.evaluation.subject_sizes import HEIGHTS, subject_sizes

LABELS = ("red", "blue")


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    made = []
    for number in range(6):
        label = LABELS[number // 3]
        path = tmp_path / f"{number}.png"
        cv2.imwrite(
            str(path), np.full((90 + number, 120, 3), (20, 20, 240) if label == "red" else (240, 20, 20), np.uint8)
        )
        made.append(Photo(path, label, ""))
    return made


def red(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Share of each picture that is red, R, G, B."""
    return np.asarray((pixels[..., 0] > 128).mean(axis=(1, 2)), np.float32)


def by_most(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.stack([red(pixels), 1 - red(pixels)], axis=1)


def by_least(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return 1 - by_most(pixels)


def test_a_small_subject_lies_before_another_class(photos: list[Photo]) -> None:
    spec = InputSpec(64, 64)
    assert [one.right.value for one in subject_sizes(photos, LABELS, spec, by_most)] == [0.0] * len(HEIGHTS)
    assert [one.right.value for one in subject_sizes(photos, LABELS, spec, by_least)] == [1.0] * len(HEIGHTS)


def test_a_subject_has_its_share_of_the_frame(photos: list[Photo]) -> None:
    shares: list[float] = []

    def noted(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        shares.extend(np.minimum(red(pixels), 1 - red(pixels)))
        return by_least(pixels)

    subject_sizes(photos, LABELS, InputSpec(160, 160, crop="stretch"), noted)
    expected = [height**2 * 9 / 16 for height in HEIGHTS] * len(photos)
    assert shares == pytest.approx(expected, rel=0.1)


def test_grounds_that_are_given_lie_behind(photos: list[Photo], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "green.png"), np.full((90, 120, 3), (20, 240, 20), np.uint8))
    shares: list[float] = []

    def noted(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        shares.extend((pixels[..., 1] > 128).mean(axis=(1, 2)))
        return by_most(pixels)

    spec = InputSpec(160, 160, crop="stretch")
    grounds = [Photo(tmp_path / "green.png", "", "")]
    sizes = subject_sizes(photos[:3], LABELS, spec, noted, grounds=grounds, most=2)  # of one class, all the same
    assert shares == pytest.approx([1 - height**2 * 9 / 16 for height in HEIGHTS] * 2, rel=0.1)
    assert len(sizes) == len(HEIGHTS)


def test_of_one_class_or_of_no_photo_nothing_is_told(photos: list[Photo]) -> None:
    assert subject_sizes(photos[:3], LABELS, InputSpec(64, 64), by_most) == ()
    assert subject_sizes([], LABELS, InputSpec(64, 64), by_most) == ()  # none of them could be decoded
