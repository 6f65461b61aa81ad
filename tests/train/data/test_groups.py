"""Photos that belong together stay on one side of the split."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edge_core.data.photo_folder import Photo, find_photos, identify_photos, read_photos, split_photos
from edge_core.errors import SettingsError
from edge_core.images.likeness import sketch
from edge_core.preprocess import Frame, InputSpec
from edge_core.run_folder import read_held_out, read_run
from edge_core.statistics import accuracy, effective_count
from edge_keras.models.pretrained import Weights
from edge_train.data.dataset import PhotoSet, open_photos
from edge_train.data.groups import SAME_SECOND, Grouped, group_photos, leaks, taken_at
from edge_train.evaluation.evaluate import evaluate
from edge_train.settings import Settings
from edge_train.training.fit import FitOptions, fit

from ..small_network import SMALL_NETWORK


def scene(*seed: int) -> Frame:
    """What is behind a clip: large colored shapes, uint8, shape (180, 240, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), np.uint8)
    return cv2.resize(coarse, (240, 180), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def write_clip(folder: Path, name: str, picture: Frame, frames: int, step: int = 2) -> None:
    """Frames of a window that moves over a picture, with the noise of a sensor."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(frames)
    for number in range(frames):
        x = y = step * number
        window = picture[y : y + 120, x : x + 160].astype(int)
        noisy = np.clip(window + rng.integers(-4, 5, window.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{name}{number:03}.png"), noisy)


def marked(label: str, *seed: int) -> Frame:
    """A scene with what its class is known by in the middle: a small square, or a small frame."""
    picture = scene(*seed)
    color = tuple(int(value) for value in np.random.default_rng([*seed, 1]).integers(0, 256, 3))
    cv2.rectangle(picture, (116, 86), (124, 94), color, -1 if label == "full" else 2)
    return picture


def grouped(folder: Path, group_by: str = "", taken: Callable[[Path], float | None] = taken_at) -> Grouped:
    found = find_photos(folder).files
    reading = read_photos(found, lambda _, frame: sketch(frame), levels=None)
    sketches = {photo.sha256: value for photo, value in zip(reading.photos, reading.values, strict=True)}
    return group_photos(identify_photos(found)[0], sketches, folder, group_by, taken)


def groups(found: Grouped) -> set[frozenset[str]]:
    """Names of the photos of each group."""
    keys = {photo.group for photo in found.photos} - {""}
    return {frozenset(photo.path.stem for photo in found.photos if photo.group == key) for key in keys}


def write(path: Path, *seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), scene(*seed))
    return path


@pytest.mark.parametrize("step", [1, 8], ids=["slow", "fast"])
def test_numbered_frames_of_a_clip_are_one_group(tmp_path: Path, step: int) -> None:
    frames = 7
    for clip in range(3):
        write_clip(tmp_path / "a", f"clip{clip}_", scene(clip), frames, step)
    found = grouped(tmp_path)
    assert groups(found) == {frozenset(f"clip{clip}_{frame:03}" for frame in range(frames)) for clip in range(3)}
    assert found.reasons["they are numbered frames of one clip"] == (3, 3 * frames)
    assert "21 photos in 3 groups: they are numbered frames of one clip" in found.describe()


def test_a_number_alone_makes_no_clip(tmp_path: Path) -> None:
    """A camera numbers whatever it takes, against one and the same background, too."""
    background = scene(99)
    for number in range(30):
        write(tmp_path / "a" / f"IMG_{number:04}.png", number)
        fixed, rng = background.copy(), np.random.default_rng(number)
        x, y = int(rng.integers(20, 160)), int(rng.integers(20, 100))
        fixed[y : y + 50, x : x + 50] = rng.integers(0, 256, 3)
        path = tmp_path / "b" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), fixed)
    assert groups(grouped(tmp_path)) == set()


def test_bursts_of_different_subjects_do_not_become_one_clip(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for subject in range(6):
        for shot in range(3):
            moved = scene(subject)[4 * shot : 4 * shot + 120, :160]
            cv2.imwrite(str(tmp_path / "a" / f"IMG_{3 * subject + shot:04}.png"), moved)
    expected = {frozenset(f"IMG_{3 * subject + shot:04}" for shot in range(3)) for subject in range(6)}
    assert groups(grouped(tmp_path)) == expected


def test_copies_belong_together_across_classes(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.png", 1)
    write(tmp_path / "b" / "other.png", 2)
    cv2.imwrite(str(tmp_path / "b" / "y.jpg"), scene(1))
    assert groups(grouped(tmp_path)) == {frozenset({"x", "y"})}


def test_photos_of_a_burst_belong_together_by_exif_or_name(tmp_path: Path) -> None:
    for name, when in (("p", "2026:01:31 12:00:00"), ("q", "2026:01:31 12:00:01"), ("r", "2026:01:31 12:00:09")):
        (tmp_path / "a").mkdir(exist_ok=True)
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = when
        Image.fromarray(scene(ord(name))).save(tmp_path / "a" / f"{name}.jpg", exif=exif)
    write(tmp_path / "a" / "IMG_20260131_120010.png", 7)  # a second after r
    write(tmp_path / "b" / "IMG_20260131_120000.png", 8)  # of another class
    found = grouped(tmp_path)
    assert groups(found) == {frozenset("pq"), frozenset({"r", "IMG_20260131_120010"})}
    assert found.reasons == {"they were taken within 2 s": (2, 4)}


def test_a_clock_that_stands_still_is_not_believed(tmp_path: Path) -> None:
    for number in range(SAME_SECOND + 1):
        write(tmp_path / "a" / f"{number}x.png", number)
    assert groups(grouped(tmp_path, taken=lambda path: 0.0)) == set()
    (tmp_path / "a" / "0x.png").unlink()
    assert len(groups(grouped(tmp_path, taken=lambda path: 0.0))) == 1


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("PXL_20260131_120000123.jpg", 0.123),
        ("2026-01-31 12.00.01.png", 1.0),
        ("IMG-20260131-WA0001.jpg", None),
        ("12026013112000.png", None),
        ("20269931_120000.png", None),
    ],
)
def test_times_in_names(tmp_path: Path, name: str, seconds: float | None) -> None:
    write(tmp_path / name, 1)
    start = taken_at(Path("20260131_120000.jpg"))
    found = taken_at(tmp_path / name)
    assert start is not None
    assert found == (None if seconds is None else pytest.approx(start + seconds))


def test_a_file_whose_exif_is_damaged_has_no_time(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe1\x00\x20Exif\0\0MM\0*\xff\xff\xff\xff")
    assert taken_at(tmp_path / "a.jpg") is None


def test_the_user_says_what_belongs_together(tmp_path: Path) -> None:
    for number, name in enumerate(["a/mon/1.png", "a/mon/x.png", "a/y.png", "b/tue/z.png", "b/mon/v.png"]):
        write(tmp_path / name, number)
    assert groups(grouped(tmp_path, "folder")) == {frozenset("1x")}
    assert groups(grouped(tmp_path, "/(mon)/")) == {frozenset("1xv")}
    assert groups(grouped(tmp_path, "(?:^a).*/mon|tue")) == {frozenset("1x")}
    with pytest.raises(SettingsError, match="is not a regular expression"):
        grouped(tmp_path, "(")
    with pytest.raises(SettingsError, match=r"found in no path, 'a/mon/1\.png', say"):
        grouped(tmp_path, "wednesday")
    write(tmp_path / "flat" / "a" / "1.png", 1)
    with pytest.raises(SettingsError, match="no folders inside"):
        grouped(tmp_path / "flat", "folder")


# The split


def photo(label: str, number: int, group: str = "") -> Photo:
    return Photo(Path(f"{label}/{number}.png"), label, f"{label}{number:060}", group)


def test_a_group_is_never_parted_where_a_class_has_three() -> None:
    rng = np.random.default_rng(0)
    for seed in range(40):
        photos = []
        for label in "abc":
            sizes = rng.integers(1, 30, int(rng.integers(3, 9)))
            for clip, size in enumerate(sizes):
                photos += [
                    photo(label, 100 * clip + number, f"{label}{clip}" if size > 1 else "") for number in range(size)
                ]
        splits = split_photos(photos, seed)
        assert sorted(one.sha256 for members in splits.values() for one in members) == sorted(
            one.sha256 for one in photos
        )
        assert leaks(splits, "test") == leaks(splits, "val") == 0
        for members in splits.values():
            assert {one.label for one in members} == set("abc")


def test_days_that_all_classes_have_in_common_stay_whole() -> None:
    photos = [
        photo(label, 10 * day + number, f"day{day}") for label in "abc" for day in range(4) for number in range(5)
    ]
    for seed in range(10):
        splits = split_photos(photos, seed)
        assert leaks(splits, "test") == leaks(splits, "val") == 0
        assert {one.label for one in splits["test"]} == {one.label for one in splits["val"]} == set("abc")


@pytest.mark.parametrize("clips", [1, 2])
def test_a_class_of_one_or_two_clips_is_cut_and_counted(clips: int) -> None:
    photos = [photo("a", 100 * clip + number, f"clip{clip}") for clip in range(clips) for number in range(30)]
    photos += [photo("b", number) for number in range(30)]
    splits = split_photos(photos, 1)
    held_out = [one for split in ("test", "val") for one in splits[split] if one.label == "a"]
    assert all(any(one.label == "a" for one in members) for members in splits.values())
    assert leaks(splits, "test") + leaks(splits, "val") >= len(held_out) - 30 * (clips - 1)
    assert leaks(splits, "test") + leaks(splits, "val") > 0


def test_the_large_group_is_trained_on() -> None:
    photos = [photo("a", number, "clip") for number in range(200)] + [photo("a", number) for number in range(200, 230)]
    photos += [photo("b", number) for number in range(30)]
    for seed in range(20):
        assert sum(one.group == "clip" for one in split_photos(photos, seed)["train"]) == 200


def test_frames_of_a_clip_count_as_one() -> None:
    assert effective_count(["", "", ""]) == 3
    assert effective_count(["a"] * 30 + ["b"] * 30) == 2
    right = np.ones(60, bool)
    clips = accuracy(right, ["a"] * 30 + ["b"] * 30)
    assert clips.low == pytest.approx(accuracy(right[:2]).low)
    assert accuracy(right, [""] * 60) == accuracy(right)


def test_the_interval_of_clips_holds_the_truth() -> None:
    """2,000 draws of 20 clips of 10 frames, a clip right in all frames with probability 0.8."""
    rng = np.random.default_rng(0)
    clips = [str(clip) for clip in range(20) for _ in range(10)]
    held = {True: 0, False: 0}
    for right in rng.random((2000, 20)) < 0.8:
        for by_clip in held:
            found = accuracy(np.repeat(right, 10), clips if by_clip else None)
            held[by_clip] += found.low <= 0.8 <= found.high
    assert 0.93 < held[True] / 2000 < 0.975
    assert held[False] / 2000 < 0.7, "without groups the interval must have failed, or this shows nothing"


# From a folder to a run


def open_folder(folder: Path) -> PhotoSet:
    return open_photos(str(folder), cache=folder.parent / "cache")


def test_a_layout_that_leaks_is_warned_of_with_the_count(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for label in ("full", "hollow"):
        for clip in range(3):
            write_clip(folder / "train" / label, f"clip{clip}_", marked(label, clip, len(label)), 10)
        for number in range(4):  # every other frame of the first clip is tested on, and four others
            os.rename(
                folder / "train" / label / f"clip0_{2 * number:03}.png", _in(folder / "test" / label) / f"{number}.png"
            )
            write(folder / "test" / label / f"new{number}.png", 50, number, len(label))
    photos = open_folder(folder)
    (leaking, *_) = photos.warnings()
    assert leaking.startswith("8 of 16 photos to test on belong together with training photos")
    assert len(photos.splits["test"]) == 16


def _in(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`set`: three clips of each of two classes; `fourth`: six other clips of each."""
    folder = tmp_path_factory.mktemp("clips")
    for label in ("full", "hollow"):
        for clip in range(9):
            name, frames = ("set", 20) if clip < 3 else ("fourth", 4)
            write_clip(folder / name / label, f"clip{clip}_", marked(label, clip, len(label)), frames, 40 // frames)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("charts_are_blank")
def test_clips_are_tested_on_clips_that_were_not_trained_on(clips: Path, tmp_path: Path) -> None:
    """Split photo by photo, a network that knows the backgrounds seems to know the classes; split by clip it does
    not."""
    photos = open_folder(clips / "set")
    assert any("120 photos in 6 groups: they are numbered frames" in line for line in photos.grouped)
    assert "40 test photos tell as much as 2 " in " ".join(photos.warnings())
    before = [Photo(one.path, one.label, one.sha256) for members in photos.splits.values() for one in members]
    parted = split_photos(before, 1)
    found = {}
    for name, splits in (("parted", parted), ("whole", photos.splits)):
        photo_set = PhotoSet("clips", photos.labels, splits, 1, True, [], [], [])
        run = fit(
            photo_set,
            tmp_path / name,
            FitOptions(
                spec=InputSpec(48, 48),
                weights=Weights("none (random)"),
                cache=tmp_path / "cache",
                alpha=0.35,
                settings=Settings(epochs=0, views=1),
            ),
        )
        reported = run.card.metrics["test_accuracy"]
        found[name] = reported, evaluate(read_run(run.folder), clips / "fourth").accuracy
    reported, real = found["parted"]
    assert reported.low > real.high, f"split photo by photo: {reported.percent()} is told, {real.percent()} is true"
    reported, real = found["whole"]
    assert reported.low <= real.value <= reported.high, f"{reported.percent()} is told, {real.percent()} is true"


@pytest.mark.usefixtures("charts_are_blank")
def test_a_run_remembers_the_groups(clips: Path, tmp_path: Path) -> None:
    run = read_run(
        fit(
            open_folder(clips / "set"),
            tmp_path / "run",
            FitOptions(
                spec=InputSpec(32, 32),
                weights=Weights("none (random)"),
                cache=tmp_path / "cache",
                architecture=SMALL_NETWORK,
                settings=Settings(epochs=0, views=1),
            ),
        ).folder
    )
    assert len({photo.group for photo in run.splits["test"]} - {""}) == 2
    held_out = read_held_out(run, lambda _, frame: None)
    assert {photo.group for photo in held_out.photos} == {photo.group for photo in run.splits["test"]}
    assert evaluate(run).accuracy == run.card.metrics["test_accuracy"]
