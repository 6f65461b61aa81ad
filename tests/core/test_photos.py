import hashlib
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.data.photo_folder import (
    LITTER_REASON,
    SPLITS,
    Photo,
    find_photos,
    fingerprint,
    identify_photos,
    label_counts,
    labels_of,
    natural_key,
    pictures_below,
    read_photos,
    split_photos,
    walk,
    without_copies,
)
from edge_core.data.photo_list import find_all_photos
from edge_core.data.split_folders import find_split_photos, split_folders
from edge_core.errors import DatasetError
from edge_core.preprocess import Frame

T = TypeVar("T")


def photo(number: int, label: str = "cat") -> Photo:
    return Photo(Path(f"{label}/{number}.jpg"), label, hashlib.sha256(f"{label}{number}".encode()).hexdigest())


def many(count: int, label: str = "cat") -> list[Photo]:
    return [photo(number, label) for number in range(count)]


def split_of(photos: list[Photo], seed: int = 0) -> dict[Photo, str]:
    return {one: name for name, members in split_photos(photos, seed).items() for one in members}


def write_picture(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((6, 8, 3), level, np.uint8))


@given(st.text(), st.text())
def test_any_two_names_have_an_order(name: str, other: str) -> None:
    one, two = natural_key(name), natural_key(other)
    assert (one < two) + (two < one) + (one == two) == 1


@given(st.text(st.characters(exclude_categories=["Nd", "Cs"])), st.lists(st.integers(0, 10**9), unique=True))
def test_numbers_in_names_count_by_their_value(name: str, numbers: list[int]) -> None:
    names = [f"{name}{number}.jpg" for number in numbers]
    assert sorted(names, key=natural_key) == [f"{name}{number}.jpg" for number in sorted(numbers)]


def test_photos_are_found_class_by_class_in_natural_order_by_their_content(tmp_path: Path) -> None:
    for name in ("class 10/1.jpg", "class 2/10", "class 2/9.txt", "class 2/deep/er/1.webp"):
        write_picture(tmp_path / f"{name}.png", 1)
        (tmp_path / f"{name}.png").rename(tmp_path / name)
    for name in ("class 2/notes.jpg", "class 2/empty.png", "class 2/.hidden.jpg", ".git/1.jpg", "class 2/Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if "empty" in name else "no picture")
    write_picture(tmp_path / "loose.png", 1)
    (tmp_path / "nothing here").mkdir()
    (tmp_path / "class 2" / "film.jpg").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(99))
    (tmp_path / "class 2" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "class 2" / "round").symlink_to(tmp_path / "class 2")
    (tmp_path / "class 2" / "long").symlink_to("x" * 300)
    (tmp_path / "long").symlink_to("x" * 300)
    os.mkfifo(tmp_path / "class 2" / "pipe.jpg")
    found = find_photos(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path, _ in found.files] == [
        "class 2/9.txt",
        "class 2/10",
        "class 2/deep/er/1.webp",
        "class 10/1.jpg",
    ]
    assert [label for _, label in found.files] == ["class 2"] * 3 + ["class 10"]
    assert labels_of(found.files) == ("class 2", "class 10")
    assert {str(item.path.relative_to(tmp_path)): item.reason for item in found.dropped} == {
        ".git": LITTER_REASON,
        "class 2/.hidden.jpg": LITTER_REASON,
        "class 2/Thumbs.db": LITTER_REASON,
        "class 2/notes.jpg": "not a picture",
        "class 2/empty.png": "the file is empty",
        "class 2/film.jpg": "a video",
        "class 2/gone.jpg": "a link that leads nowhere",
        "class 2/round": "a link to a folder that it lies in",
        "class 2/pipe.jpg": "neither a file nor a folder",
        "class 2/long": "File name too long",
        "long": "File name too long",
        "loose.png": "a picture beside the class folders, not in one",
        "nothing here": "no picture in this class folder",
    }
    assert found.notes == (f"1 photos lie in deeper folders; each one's class is the folder directly in {tmp_path}.",)
    assert pictures_below(tmp_path / "class 10") == [tmp_path / "class 10" / "1.jpg"]


def test_photos_are_counted_by_label_in_the_order_of_the_labels() -> None:
    counts = label_counts([*many(3, "dog"), *many(2), *many(1, "cow")], ("cat", "dog", "ant"))
    assert list(counts.items()) == [("cat", 2), ("dog", 3), ("ant", 0)]


def test_names_that_differ_in_normalization_alone_are_one_class(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        write_picture(tmp_path / unicodedata.normalize(form, "café") / f"{form}.png", 1)
    write_picture(tmp_path / "tea" / "1.png", 2)
    found = find_photos(tmp_path)
    assert labels_of(found.files) == (unicodedata.normalize("NFC", "café"), "tea")
    assert len(found.files) == 3
    assert "they are one class" in found.notes[0]


def test_a_folder_around_the_classes_is_looked_into(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        write_picture(tmp_path / "download" / label / "1.png", 1)
    (tmp_path / "__MACOSX").mkdir()
    found = find_photos(tmp_path)
    assert labels_of(found.files) == ("cat", "dog")
    assert "download" in found.notes[0]


@pytest.mark.parametrize("litter", ["@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "lost+found", ".thumbnails"])
def test_litter_beside_split_folders_is_no_class(tmp_path: Path, litter: str) -> None:
    for split in ("train", "val", "test"):
        for label in ("cat", "dog"):
            write_picture(tmp_path / split / label / "1.png", 1)
            write_picture(tmp_path / split / label / litter / "1.png" / "thumb.png", 1)
    (tmp_path / litter).mkdir()
    found = find_all_photos(tmp_path)
    assert labels_of(found.files) == ("cat", "dog")
    assert len(found.files) == 6
    assert [item.reason for item in found.dropped] == [LITTER_REASON] * 7


def test_a_folder_without_classes_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        find_photos(tmp_path / "missing")
    with pytest.raises(DatasetError, match="holds no pictures"):
        find_photos(tmp_path)
    write_picture(tmp_path / "1.jpg", 1)
    with pytest.raises(DatasetError, match="one subfolder per class"):
        find_photos(tmp_path)
    with pytest.raises(DatasetError, match="not a folder"):
        find_photos(tmp_path / "1.jpg")
    with pytest.raises(DatasetError, match="'cat'"):
        labels_of([(Path("cat/1.jpg"), "cat")])


def test_photos_are_read_in_order_and_the_unreadable_ones_listed(tmp_path: Path) -> None:
    for number in range(300):
        write_picture(tmp_path / "gray" / f"{number}.png", number % 256)
    files = find_photos(tmp_path).files
    (tmp_path / "gray" / "7.png").write_text("no picture")
    (tmp_path / "gray" / "8.png").write_bytes(b"")
    found = [*files, (tmp_path / "gray" / "gone.png", "gray")]
    tracked: list[object] = []

    def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        tracked.append((label, total))
        for item in items:
            tracked.append(item)
            yield item

    def level(position: int, frame: Frame) -> tuple[int, int]:
        return position, int(frame[0, 0, 0])

    reading = read_photos(found, level, levels=None, track=track, label="Looking")
    good = [number for number in range(300) if number not in (7, 8)]
    assert list(reading.values) == [(number, number % 256) for number in good]
    assert [one.path.name for one in reading.photos] == [f"{number}.png" for number in good]
    content = (tmp_path / "gray" / "9.png").read_bytes()
    assert reading.photos[7] == Photo(tmp_path / "gray" / "9.png", "gray", hashlib.sha256(content).hexdigest())
    assert [one.path.name for one in reading.unusable] == ["7.png", "8.png", "gone.png"]
    assert all(one.reason and str(tmp_path) not in one.reason for one in reading.unusable)
    assert tracked[0] == ("Looking", 301)
    assert len(tracked) == 302


def test_photos_that_are_not_wanted_are_not_decoded(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / "1.png", 1)
    write_picture(tmp_path / "a" / "2.png", 2)
    write_picture(tmp_path / "a" / "3.png", 3)
    files = find_photos(tmp_path).files
    (tmp_path / "a" / "3.png").write_text("no picture")
    unwanted = {hashlib.sha256((tmp_path / "a" / name).read_bytes()).hexdigest() for name in ("2.png", "3.png")}
    reading = read_photos(files, lambda *_: None, levels=None, wanted=lambda sha256: sha256 not in unwanted)
    assert [one.path.name for one in reading.photos] == ["1.png"]
    assert reading.unusable == ()


def test_every_photo_is_in_one_split() -> None:
    photos = many(500) + many(300, "dog")
    splits = split_photos(photos, 0)
    assert sorted(one.sha256 for members in splits.values() for one in members) == sorted(one.sha256 for one in photos)
    assert tuple(splits) == SPLITS
    for label, count in (("cat", 500), ("dog", 300)):
        shares = {name: sum(one.label == label for one in members) / count for name, members in splits.items()}
        assert shares["val"] == pytest.approx(0.15, abs=0.05)
        assert shares["test"] == pytest.approx(0.15, abs=0.05)


@given(st.integers(0, 99), st.integers(1, 200), st.integers(0, 5))
def test_adding_photos_moves_no_other(first: int, more: int, seed: int) -> None:
    before = split_of(many(200 + first), seed)
    after = split_of(many(200 + first + more) + many(more + 2, "dog"), seed)
    assert {one: after[one] for one in before} == before


def test_the_split_depends_on_content_and_seed_alone() -> None:
    photos = many(300)
    moved = [Photo(Path("elsewhere") / one.path, one.label, one.sha256) for one in reversed(photos)]
    by_content = {one.sha256: name for one, name in split_of(photos).items()}
    assert {one.sha256: name for one, name in split_of(moved).items()} == by_content
    assert split_of(photos, 1) != split_of(photos, 0)


@pytest.mark.parametrize("count", range(3, 12))
def test_the_smallest_classes_have_a_photo_in_every_split(count: int) -> None:
    for seed in range(50):
        assert all(split_photos(many(count), seed).values())


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_that_cannot_be_split_is_named(count: int) -> None:
    with pytest.raises(DatasetError, match=f"'dog' has {count} usable"):
        split_photos(many(100) + many(count, "dog"), 0)


def test_a_split_of_many_classes_looks_at_each_photo_a_few_times() -> None:
    compared = 0

    class Label(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    labels = [Label(number) for number in range(200)]
    photos = [one for label in labels for one in many(3, label)]
    split_photos(photos, 1)
    label_counts(photos, labels)
    assert compared < 10 * len(photos)


def test_copies_are_found_whatever_their_name_and_class() -> None:
    copy, twin = Photo(Path("x.jpg"), "cat", photo(3).sha256), Photo(Path("y.jpg"), "dog", photo(5).sha256)
    found = without_copies([*many(8), copy, twin])
    groups = [[photo(3), copy], [photo(5), twin]]
    assert found.repeated == [group for group in groups if len({one.label for one in group}) == 1]
    assert found.contradicted == [group for group in groups if len({one.label for one in group}) == 2]
    assert not {one.sha256 for one in found.photos} & {group[0].sha256 for group in found.contradicted}
    assert without_copies(many(8)).photos == many(8)


def test_of_copies_the_one_of_the_highest_rank_is_kept() -> None:
    copy = Photo(Path("copy.jpg"), photo(3).label, photo(3).sha256)
    assert copy not in without_copies([*many(8), copy]).photos
    ranked = without_copies([*many(8), copy], rank=lambda one: one.path == copy.path).photos
    assert copy in ranked and photo(3) not in ranked


def test_empty_files_are_no_copies_of_each_other(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"")
    photos, unusable = identify_photos([(tmp_path / "a.jpg", "cat"), (tmp_path / "b.jpg", "dog")])
    assert photos == []
    assert [item.reason for item in unusable] == ["the file is empty"] * 2


def test_nothing_to_hash_shows_no_bar() -> None:
    assert identify_photos([], track=lambda *_: pytest.fail("a bar for nothing")) == ([], [])


def test_photos_in_split_folders_are_found(tmp_path: Path) -> None:
    for part in ("train/cat", "valid/cat", "test/dog"):
        (tmp_path / part).mkdir(parents=True)
        write_picture(tmp_path / part / "1.png", 1)
    assert set(split_folders(tmp_path)) == {"train", "val", "test"}
    assert sorted(label for _, label in find_all_photos(tmp_path).files) == ["cat", "cat", "dog"]
    (tmp_path / "val" / "cat").mkdir(parents=True)
    write_picture(tmp_path / "val" / "cat" / "1.png", 1)
    with pytest.raises(DatasetError, match="keep one"):
        split_folders(tmp_path)


def test_copies_stay_together() -> None:
    copies = [Photo(Path(f"copy/{one.path}"), one.label, one.sha256) for one in many(200)]
    splits = split_of(many(200) + copies)
    assert all(splits[one] == splits[copy] for one, copy in zip(many(200), copies, strict=True))


def test_the_fingerprint_tells_contents_and_labels_apart_but_not_names_and_order() -> None:
    photos = many(5)
    renamed = [Photo(Path("other.png"), one.label, one.sha256) for one in reversed(photos)]
    relabeled = [Photo(one.path, "dog", one.sha256) for one in photos]
    assert fingerprint(renamed) == fingerprint(photos)
    assert len({fingerprint(photos), fingerprint(relabeled), fingerprint(photos[1:]), fingerprint(many(6))}) == 4


def test_photos_of_nothing_are_no_class_and_are_told_of(tmp_path: Path) -> None:
    for label in ("cat", "dog", "_nothing"):
        (tmp_path / label).mkdir()
        cv2.imwrite(str(tmp_path / label / "0.png"), np.zeros((8, 8, 3), np.uint8))
    found = find_photos(tmp_path)
    assert {label for _, label in found.files} == {"cat", "dog"}
    assert any("1 photos in" in note and "show none of the classes" in note for note in found.notes)


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("Train/{}", "Test/{}"), "train test"),
        (("training/{}", "validation/{}"), "train val"),
        (("set/train/{}", "set/valid/{}", "set/test/{}"), "train val test"),
        (("seg_train/seg_train/{}", "seg_test/seg_test/{}", "seg_pred/new"), "train test"),
        (("train/{}", "test_set/{}", "samples"), "train test"),
        (("train/{}", "test"), "train"),
        (("inner/most/{}",), ""),
    ],
)
def test_split_folders_are_known_by_any_of_their_names_and_by_the_classes_in_them(
    tmp_path: Path, folders: tuple[str, ...], splits: str
) -> None:
    for number, folder in enumerate(folders):
        for label in ("cat", "dog"):
            place = tmp_path / folder.format(label)
            place.mkdir(parents=True, exist_ok=True)
            write_picture(place / f"{label}.png", number)
    listing, split_of = find_split_photos(tmp_path)
    assert {label for _, label in listing.files} == {"cat", "dog"}
    assert set(split_of.values()) == set(splits.split())
    unused = sum("{}" not in folder for folder in folders)
    assert (
        sum("lie in no class folders" in item.reason or "beside the split" in item.reason for item in listing.dropped)
        == unused
    )


def test_folders_that_are_not_splits_are_classes(tmp_path: Path) -> None:
    for folder in ("steam_train/1", "steam_train/2", "toy_train/1", "toy_train/3", "bus"):
        (tmp_path / folder).mkdir(parents=True)
        write_picture(tmp_path / folder / "1.png", 1)
    assert find_split_photos(tmp_path)[1] == {}
    assert labels_of(find_split_photos(tmp_path)[0].files) == ("bus", "steam_train", "toy_train")


@pytest.mark.parametrize(
    ("folders", "why"), [(("train", "test"), "subfolder per class"), (("val/a", "test/a"), "no train/")]
)
def test_split_folders_without_labels_or_without_photos_to_train_on_are_refused(
    tmp_path: Path, folders: tuple[str, ...], why: str
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        write_picture(tmp_path / folder / "1.png", 1)
    with pytest.raises(DatasetError, match=why):
        find_split_photos(tmp_path)


def test_classes_that_look_like_splits_or_like_each_other_are_told_of(tmp_path: Path) -> None:
    for folder in ("2023/cat", "2023/dog", "2024/cat", "2024/dog", "Bus", "bus"):
        (tmp_path / folder).mkdir(parents=True)
        write_picture(tmp_path / folder / "1.png", 1)
    notes = " ".join(find_split_photos(tmp_path)[0].notes)
    assert "the classes '2023' and '2024' have folders of the same names in them, cat, dog" in notes
    assert "the classes 'Bus' and 'bus' differ only in capitals" in notes


def test_a_file_larger_than_memory_is_no_photo(tmp_path: Path) -> None:
    write_picture(tmp_path / "cat" / "1.jpg", 10)
    write_picture(tmp_path / "cat" / "map.jpg", 20)
    os.truncate(tmp_path / "cat" / "map.jpg", 30_000_000_000)  # sparse: it takes no room
    found = walk(tmp_path)
    assert [path.name for path in found.pictures] == ["1.jpg"]
    assert [item.reason for item in found.dropped] == ["30.0 GB, which is more than a photo has"]


def test_a_link_to_a_folder_above_brings_in_no_other_class(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        write_picture(tmp_path / label / "1.png", 1)
    (tmp_path / "all").symlink_to(tmp_path)
    (tmp_path / "cat" / "up").symlink_to("..")
    listing = find_photos(tmp_path)
    assert [label for _, label in listing.files] == ["cat", "dog"]
    assert [item.path.name for item in listing.dropped if "that it lies in" in item.reason] == ["all", "up"]
