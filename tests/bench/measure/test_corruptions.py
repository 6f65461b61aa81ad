import numpy as np
import pytest

from edge_bench.measure.robustness import WAYS, by_kind, sum_up
from edge_bench.perturb.corruptions import CORRUPTIONS, SEVERITIES, SIDE, corrupt, squared
from edge_core.preprocess import Frame

SHA256 = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def photo() -> Frame:
    """A picture with edges, slopes and a color."""
    rows, columns = np.indices((300, 400))
    shapes = 60 * ((rows // 40 + columns // 50) % 2) + columns // 4 + rows // 8
    return np.stack([shapes + 20, shapes // 2 + 40, shapes], axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_the_same_for_the_same_photo_and_grows_with_its_severity(photo: Frame, name: str) -> None:
    frame = squared(photo)
    before = frame.copy()
    made = [corrupt(frame, name, severity, SHA256) for severity in SEVERITIES]
    assert all(one.shape == (SIDE, SIDE, 3) and one.dtype == np.uint8 for one in made)
    assert np.array_equal(frame, before)
    assert np.array_equal(made[2], corrupt(frame, name, 3, SHA256))
    error = [float(np.abs(one.astype(int) - frame).mean()) for one in made]
    alike = [float(np.corrcoef(one.ravel(), frame.ravel())[0, 1]) for one in made]
    assert error[0] > 0.5 and (error[0] < error[-1] or alike[-1] < alike[0])  # frost also darkens what it brightened


def test_there_are_fifteen_kinds_and_chance_differs_from_photo_to_photo(photo: Frame) -> None:
    assert len(CORRUPTIONS) == 15 and len(WAYS) == 75
    frame = squared(photo)
    one, other = (corrupt(frame, "gaussian noise", 1, sha256) for sha256 in (SHA256, SHA256[::-1]))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("shape", [(1, 1, 3), (50, 3000, 3), (224, 224, 3)])
def test_any_photo_can_be_made_square(shape: tuple[int, int, int]) -> None:
    assert squared(np.zeros(shape, np.uint8)).shape == (SIDE, SIDE, 3)


def test_means_are_over_photos_and_ways() -> None:
    right = np.zeros((4, 1 + len(WAYS)), np.bool_)
    right[:, 0] = True
    right[:2, 1:6] = True  # half of the photos under the first kind
    found = sum_up(right, None)
    assert found.clean.value == 1 and found.mean.value == pytest.approx(2 * 5 / (4 * 75))
    assert found.drop.value == pytest.approx(1 - found.mean.value)
    assert found.accuracy["gaussian noise"] == (0.5,) * 5 and found.accuracy["fog"] == (0.0,) * 5
    against_itself = sum_up(right, right)
    assert against_itself.difference is not None and against_itself.relative_drop is not None
    assert (against_itself.difference.low, against_itself.relative_drop.high) == (0, 0)


def test_kinds_keep_their_places() -> None:
    table = by_kind(np.arange(75) / 75)
    assert list(table) == list(CORRUPTIONS) and table["shot noise"][0] == 5 / 75
