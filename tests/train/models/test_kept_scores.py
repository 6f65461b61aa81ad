"""Kept scores count for the model and the pixels that they are of, and for nothing else."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_core.run_folder import MODEL_FILE
from edge_keras.kept_scores import (
    CONFIRMED,
    SCORES_FILE,
    TOLERANCE,
    Scores,
    find_scores,
    pixels_name,
    scores_of_all,
    write_scores,
)

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (100, 4, 4, 3), np.uint8)
SCORES = RNG.random((100, 3), np.float32)
NAMES = [pixels_name(photo) for photo in PIXELS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / MODEL_FILE).write_bytes(b"weights")
    write_scores(tmp_path, NAMES, SCORES)
    return tmp_path


def test_scores_are_found_in_any_order_and_for_some(folder: Path) -> None:
    found = find_scores(folder, [NAMES[7], NAMES[2]])
    assert found is not None
    assert np.array_equal(found, SCORES[[7, 2]])


def test_a_changed_pixel_another_shape_or_another_model_has_none(folder: Path) -> None:
    changed = PIXELS[0].copy()
    changed[0, 0, 0] ^= 1
    assert find_scores(folder, [NAMES[1], pixels_name(changed)]) is None
    assert find_scores(folder, [pixels_name(PIXELS[0].reshape(2, 8, 3))]) is None
    assert find_scores(folder, NAMES) is not None
    (folder / MODEL_FILE).write_bytes(b"weightz")
    assert find_scores(folder, NAMES) is None


def array_file(array: Scores) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def flip(file: Path, place: int, bits: int) -> None:
    """Turns bits of the archive's entry for the first array."""
    data = bytearray(file.read_bytes())
    data[data.index(b"PK\x01\x02") + place] ^= bits
    file.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-200]),
        lambda file: file.write_bytes(file.read_bytes().replace(b"pixels.npy", b"pixelz.npy")),
        lambda file: np.savez(file, model=np.load(file)["model"], pixels=np.load(file)["pixels"], scores=SCORES[:5]),
        lambda file: file.write_bytes(array_file(SCORES)),
        lambda file: flip(file, 8, 0x01),
        lambda file: flip(file, 10, 0x08),
        lambda file: flip(file, 10, 0x20),
    ],
    ids=[
        "missing",
        "empty",
        "cut off",
        "a part is missing",
        "fewer scores than photos",
        "no archive",
        "one that looks encrypted",
        "one that looks compressed",
        "one that looks compressed in an unknown way",
    ],
)
def test_a_damaged_file_counts_as_none(folder: Path, damage: Callable[[Path], object]) -> None:
    damage(folder / SCORES_FILE)
    assert find_scores(folder, NAMES) is None


def test_the_model_is_asked_of_some_and_where_it_says_the_same_of_no_more() -> None:
    asked: list[int] = []

    def ask(part: slice) -> Scores:
        asked.append(len(SCORES[part]))
        return SCORES[part] + np.float32(TOLERANCE / 2)

    assert scores_of_all(SCORES, ask, len(SCORES)) is SCORES
    assert len(asked) == 1
    assert CONFIRMED <= asked[0] < 2 * CONFIRMED


@pytest.mark.parametrize("kept", [None, 1 - SCORES, SCORES[:, :2]], ids=["none kept", "others kept", "fewer labels"])
def test_where_it_says_something_else_all_are_scored_anew(kept: Scores | None) -> None:
    assert np.array_equal(scores_of_all(kept, lambda part: SCORES[part], len(SCORES)), SCORES)
