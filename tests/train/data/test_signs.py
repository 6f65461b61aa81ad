"""The road signs: the same photos everywhere, whole or absent files, and signs that can be told apart."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_core.errors import DatasetError, OutputError
from edge_core.progress import Track
from edge_train.data import signs
from edge_train.data.signs.photo_workers import PhotoTask, render_all
from edge_train.data.signs.render import generator, stable_key

T = TypeVar("T")


def files_under(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def stop_at(limit: int) -> Track:
    def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        for number, item in enumerate(items):
            if number == limit:
                raise KeyboardInterrupt
            yield item

    return track


def test_labels_are_sorted_and_count_nothing_among_them() -> None:
    assert list(signs.LABELS) == sorted(signs.LABELS)
    assert set(signs.LABELS) == {*signs.SIGNS, signs.NOTHING}
    assert len(signs.LABELS) == 13


@pytest.mark.parametrize("label", signs.LABELS)
def test_every_label_renders_at_any_size(label: str) -> None:
    photo = signs.render_photo(label, 1)
    assert photo.shape == (240, 320, 3)
    assert photo.dtype == np.uint8
    assert photo.std() > 3
    assert signs.render_photo(label, 1, width=97, height=61).shape == (61, 97, 3)


def test_a_photo_depends_on_label_and_seed_only() -> None:
    first = signs.render_photo("stop", 5)
    signs.render_photo("yield", 6)
    assert np.array_equal(first, signs.render_photo("stop", 5))
    assert not np.array_equal(first, signs.render_photo("stop", 6))
    assert not np.array_equal(first, signs.render_photo("no_entry", 5))


def test_keys_are_the_same_in_every_process_and_release() -> None:
    assert stable_key("photo", "stop", 0) == 1168488327355749989
    assert generator("photo", "stop", 0).integers(1000, size=3).tolist() == [446, 41, 169]


def test_photos_and_videos_draw_from_different_streams() -> None:
    photos = {stable_key("photo", label, seed) for label in signs.LABELS for seed in range(200)}
    videos = {stable_key("video", seed, "shot", number) for seed in range(200) for number in range(13)}
    assert len(photos) == len(videos) == 13 * 200
    assert not photos & videos


def test_a_scene_looks_the_same_at_another_size() -> None:
    small, large = signs.render_photo("no_entry", 3), signs.render_photo("no_entry", 3, width=640, height=480)
    difference = cv2.absdiff(cv2.resize(large, (40, 30), interpolation=cv2.INTER_AREA), cv2.resize(small, (40, 30)))
    assert difference.mean() < 25


def test_unknown_label_is_named_with_the_known_ones() -> None:
    with pytest.raises(DatasetError, match=r"'halt'.*yield"):
        signs.render_photo("halt", 0)
    with pytest.raises(DatasetError, match="nothing"):
        signs.draw_sign(signs.NOTHING, 64)


def test_clean_signs_are_transparent_around_the_sign() -> None:
    for label in signs.SIGNS:
        sign = signs.draw_sign(label, 64)
        assert sign.shape == (64, 64, 4)
        assert sign[32, 32, 3] == 255
        assert 0.4 < sign[..., 3].mean() / 255 < 0.98


def test_signs_are_told_apart_by_small_thumbnails() -> None:
    def thumbnail(rgb: npt.NDArray[np.uint8], opacity: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        share = opacity[..., None] / 255
        seen = rgb * share + 128 * (1 - share)
        return np.asarray(cv2.resize(seen, (16, 16), interpolation=cv2.INTER_AREA), np.float64).ravel()

    clean = {label: signs.draw_sign(label, 128) for label in signs.SIGNS}
    centroids = {label: thumbnail(sign[..., :3], sign[..., 3]) for label, sign in clean.items()}
    for label, sign in clean.items():
        for angle in (-8, 8):
            turn = cv2.getRotationMatrix2D((64, 64), angle, 0.92)
            dim = cv2.warpAffine(sign, turn, (128, 128))
            seen = thumbnail((dim[..., :3] * 0.8 + 20).astype(np.uint8), dim[..., 3].astype(np.uint8))
            nearest = min(centroids, key=lambda name: float(np.linalg.norm(centroids[name] - seen)))
            assert nearest == label


def test_a_dataset_holds_the_photos_of_every_label(tmp_path: Path) -> None:
    signs.write_photos(tmp_path / "photos", 2, seed=1)
    counts = Counter(path.parent.name for path in (tmp_path / "photos").glob("*/*.jpg"))
    assert counts == dict.fromkeys(signs.LABELS, 2)
    assert (tmp_path / "photos" / "stop" / "stop-0002.jpg").exists()


def test_there_may_be_more_photos_of_nothing(tmp_path: Path) -> None:
    signs.write_photos(tmp_path / "photos", 1, seed=1, more_nothing=2)
    counts = Counter(path.parent.name for path in (tmp_path / "photos").glob("*/*.jpg"))
    assert counts == {**dict.fromkeys(signs.LABELS, 1), "nothing": 3}
    signs.write_photos(tmp_path / "photos", 1, seed=1, more_nothing=2, track=stop_at(0))  # reused
    for other in (0, 1):
        with pytest.raises(DatasetError, match="another"):
            signs.write_photos(tmp_path / "photos", 1, seed=1, more_nothing=other)


def test_a_dataset_is_the_same_again_and_another_with_another_seed(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        signs.write_photos(tmp_path / name, 1, seed=seed)
    assert files_under(tmp_path / "one") == files_under(tmp_path / "again")
    one, other = files_under(tmp_path / "one"), files_under(tmp_path / "other")
    assert all(one[name] != other[name] for name in one)


def test_more_photos_leave_the_first_ones_as_they_are(tmp_path: Path) -> None:
    signs.write_photos(tmp_path / "few", 1, seed=1)
    signs.write_photos(tmp_path / "many", 2, seed=1)
    few, many = files_under(tmp_path / "few"), files_under(tmp_path / "many")
    assert all(many[name] == few[name] for name in few if name.endswith(".jpg"))


def test_an_interrupted_dataset_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        signs.write_photos(tmp_path / "photos", 2, seed=1, track=stop_at(3))
    assert list(tmp_path.iterdir()) == []


def test_a_finished_dataset_is_reused(tmp_path: Path) -> None:
    signs.write_photos(tmp_path, 1, seed=1)
    signs.write_photos(tmp_path, 1, seed=1, track=stop_at(0))


def test_a_folder_of_other_photos_is_left_alone(tmp_path: Path) -> None:
    signs.write_photos(tmp_path / "photos", 1, seed=1)
    with pytest.raises(DatasetError, match="another seed"):
        signs.write_photos(tmp_path / "photos", 1, seed=2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(OutputError, match="mine"):
        signs.write_photos(tmp_path / "mine", 1, seed=1)
    assert files_under(tmp_path / "mine") == {"cat.jpg": b"cat"}


def test_a_broken_manifest_is_reported(tmp_path: Path) -> None:
    (tmp_path / "signs.json").write_text("{")
    with pytest.raises(DatasetError, match=r"signs\.json"):
        signs.write_photos(tmp_path, 1, seed=1)


def test_no_photos_per_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="0 photos"):
        signs.write_photos(tmp_path / "photos", 0, seed=1)


def test_the_sheet_is_a_pdf_of_vectors_on_three_pages(tmp_path: Path) -> None:
    signs.write_sheet(tmp_path / "sheet.pdf")
    data = (tmp_path / "sheet.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    assert data.count(b"/Type /Page ") == 3
    assert b"/Subtype /Image" not in data
    assert b"/MediaBox [ 0 0 595.27" in data  # A4 in points
    signs.write_sheet(tmp_path / "again.pdf")
    assert data == (tmp_path / "again.pdf").read_bytes()


def test_a_video_has_the_frames_that_its_table_tells_of(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    appearances = signs.write_video(path, 3, seconds=6, fps=5, width=160, height=120)
    with (tmp_path / "drive.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (frame := capture.read()[1]) is not None:
        frames.append(frame)
    capture.release()
    assert len(frames) == len(rows) == 30
    assert frames[0].shape == (120, 160, 3)
    assert [row["frame"] for row in rows] == [str(number) for number in range(30)]
    expected = [signs.NOTHING] * 30
    for appearance in appearances:
        length = appearance.last_frame + 1 - appearance.first_frame
        expected[appearance.first_frame : appearance.last_frame + 1] = [appearance.label] * length
    assert [row["label"] for row in rows] == expected
    assert len({appearance.label for appearance in appearances}) == 3
    assert rows[0]["label"] == rows[10]["label"] == rows[20]["label"] == signs.NOTHING
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive.csv", "drive.mp4"]


def test_motion_in_a_video_is_smooth_but_for_the_cuts(tmp_path: Path) -> None:
    signs.write_video(tmp_path / "drive.mp4", 4, seconds=4, fps=15, width=160, height=120)
    capture = cv2.VideoCapture(str(tmp_path / "drive.mp4"))
    frames = [capture.read()[1] for _ in range(60)]
    capture.release()
    steps = [cv2.absdiff(before, after).mean() for before, after in pairwise(frames)]
    assert int(np.argmax(steps)) == 29  # the cut to the second sign


def test_an_interrupted_video_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        signs.write_video(tmp_path / "drive.mp4", 1, seconds=2, fps=5, width=64, height=48, track=stop_at(2))
    assert list(tmp_path.iterdir()) == []


def test_a_video_of_no_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="0 s"):
        signs.write_video(tmp_path / "drive.mp4", 1, seconds=0)


def test_a_video_of_odd_width_is_refused_rather_than_trimmed(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="97 x 60"):
        signs.write_video(tmp_path / "drive.mp4", 1, seconds=1, width=97, height=60)


def test_all_public_names_exist() -> None:
    assert all(hasattr(signs, name) for name in signs.__all__)


def test_several_processes_render_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [PhotoTask(label, seed, 64, 48) for label in signs.LABELS for seed in range(2)]
    alone = list(render_all(tasks))
    monkeypatch.setattr("edge_train.data.signs.photo_workers.FEW", 0)
    monkeypatch.setattr("edge_train.data.signs.photo_workers.os.sched_getaffinity", lambda process: {0, 1, 2})
    assert list(render_all(tasks)) == alone
    assert len(set(alone)) == len(alone)


def test_a_process_that_is_gone_ends_rendering_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_train.data.signs.photo_workers.FEW", 0)
    monkeypatch.setattr("edge_train.data.signs.photo_workers.COMMAND", ["true"])
    with pytest.raises(DatasetError, match="begins anew"):
        list(render_all([PhotoTask("stop", 1, 64, 48)] * 5))


@pytest.mark.slow
def test_ctrl_c_ends_all_of_them_without_a_word() -> None:
    asks = """
import edge_train.data.signs.photo_workers as workers
workers.FEW = 0
try:
    list(workers.render_all([workers.PhotoTask("stop", seed, 64, 48) for seed in range(5000)]))
except KeyboardInterrupt:
    print("interrupted")
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen([sys.executable, "-c", asks], **pipes) as process:  # type: ignore[call-overload]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        end_s = time.monotonic() + 60
        while len(found := children.read_text().split()) < len(os.sched_getaffinity(0)):
            assert time.monotonic() < end_s
            time.sleep(0.005)
        time.sleep(0.05)  # Python has begun, and its imports take longer
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=60) == ("interrupted\n", "")
    end_s = time.monotonic() + 60
    while left := [number for number in found if Path("/proc", number).exists()]:  # one of them may only now begin
        assert time.monotonic() < end_s, left
        time.sleep(0.05)


def test_whoever_stops_listening_leaves_no_process_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_train.data.signs.photo_workers.FEW", 0)
    started: list[subprocess.Popen[bytes]] = []

    class Kept(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **pipes: int) -> None:
            super().__init__(command, **pipes)  # type: ignore[call-overload]
            started.append(self)

    monkeypatch.setattr("edge_train.data.signs.photo_workers.subprocess.Popen", Kept)
    with closing(render_all([PhotoTask("stop", seed, 64, 48) for seed in range(50)])) as jpegs:
        next(jpegs)
    assert started
    assert all(process.returncode == 0 for process in started)
