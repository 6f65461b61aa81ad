"""Splits, layouts and what is wrong with a photo folder."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_core.data.photo_folder import Photo
from edge_core.errors import DatasetError
from edge_train.data import dataset, signs
from edge_train.data.dataset import PhotoSet, open_photos


def open_folder(folder: Path, seed: int = 1) -> PhotoSet:
    return open_photos(str(folder), seed=seed, cache=folder.parent / "cache")


def split_by_content(photos: PhotoSet) -> dict[str, str]:
    return {photo.sha256: split for split, members in photos.splits.items() for photo in members}


def test_every_class_is_in_every_split(color_photos: Path) -> None:
    photos = open_folder(color_photos)
    assert photos.labels == ("blue", "green", "red")
    assert all(count > 0 for counts in photos.counts.values() for count in counts.values())
    assert sum(sum(counts.values()) for counts in photos.counts.values()) == 42


def test_the_split_depends_on_content_not_on_names_or_places(color_photos: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    for path in color_photos.glob("*/*.png"):
        (moved / path.parent.name / "deeper").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, moved / path.parent.name / "deeper" / f"renamed-{path.name}")
    assert split_by_content(open_folder(moved)) == split_by_content(open_folder(color_photos))
    assert split_by_content(open_folder(moved, seed=2)) != split_by_content(open_folder(color_photos))


def test_a_photo_there_twice_is_used_once_and_reported(color_photos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(color_photos, copy)
    shutil.copy(copy / "red" / "3.png", copy / "red" / "again.png")
    photos = open_folder(copy)
    assert [{photo.path.name for photo in group} for group in photos.repeated] == [{"3.png", "again.png"}]
    assert sum(map(len, photos.splits.values())) == 42


def test_a_photo_in_two_classes_is_left_out_and_reported(color_photos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(color_photos, copy)
    shutil.copy(copy / "red" / "3.png", copy / "blue" / "really-red.png")
    photos = open_folder(copy)
    assert [{photo.label for photo in group} for group in photos.contradicted] == [{"red", "blue"}]
    assert sum(map(len, photos.splits.values())) == 41


@pytest.fixture
def divided(color_photos: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "divided"
    for path in color_photos.glob("*/*.png"):
        split = {"0": "test", "1": "test", "2": "val"}.get(path.stem, "train")
        (folder / split / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / split / path.parent.name)
    return folder


def stems(photos: list[Photo]) -> set[str]:
    return {photo.path.stem for photo in photos}


def test_given_splits_are_kept(divided: Path) -> None:
    photos = open_folder(divided)
    assert stems(photos.splits["test"]) == {"0", "1"}
    assert stems(photos.splits["val"]) == {"2"}
    assert len(photos.splits["train"]) == 33


def test_a_split_that_is_not_given_is_drawn_from_the_training_photos(divided: Path) -> None:
    (divided / "val").rename(divided / "unused")
    shutil.rmtree(divided / "unused")
    photos = open_folder(divided)
    assert stems(photos.splits["test"]) == {"0", "1"}
    assert photos.splits["val"] and photos.splits["train"]
    assert len(photos.splits["val"]) + len(photos.splits["train"]) == 33


def test_of_a_photo_in_two_splits_the_held_out_copy_stays(divided: Path) -> None:
    shutil.copy(divided / "test" / "red" / "0.png", divided / "train" / "red" / "leaked.png")
    photos = open_folder(divided)
    assert "0" in stems(photos.splits["test"])
    assert "leaked" not in stems(photos.splits["train"])


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "no pictures"),
        (["a.png", "b.png"], "beside each other"),
        (["only/a.png", "only/b.png"], "only class"),
        (["one/a.png", "one/b.png", "one/c.png", "two/d.png"], "takes three"),
    ],
)
def test_a_folder_that_cannot_be_trained_on_is_one_clear_error(tmp_path: Path, names: list[str], reason: str) -> None:
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((9, 9, 3), number, np.uint8))
    with pytest.raises(DatasetError, match=reason):
        open_folder(tmp_path)


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        open_folder(tmp_path / "nowhere")


def test_nothing_of_the_drawn_signs_is_told_as_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "_SIGNS_PER_LABEL", {"train": 1, "val": 1, "test": 1})
    monkeypatch.chdir(tmp_path)
    found = dataset.find_dataset("signs", cache=tmp_path)
    assert found.passed_over == ()
    assert len(found.files) == 3 * len(signs.LABELS) + 120  # as many more of nothing to train on


def test_a_folder_wins_over_a_set_of_that_name(
    color_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(color_photos, tmp_path / "data" / "flowers")
    monkeypatch.chdir(tmp_path)
    from_data_dir = open_photos("flowers", cache=tmp_path, data_dir=Path("data"))
    assert from_data_dir.name == "flowers"
    assert from_data_dir.splits["test"][0].path.is_relative_to(tmp_path / "data")
    shutil.copytree(color_photos, tmp_path / "flowers")
    in_place = open_photos("flowers", cache=tmp_path, data_dir=tmp_path / "nowhere")
    assert in_place.splits["test"][0].path.is_relative_to(tmp_path / "flowers")
    assert split_by_content(in_place) == split_by_content(from_data_dir)
