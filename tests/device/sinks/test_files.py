"""JSON lines, recordings and snapshots: what is on the disk when the disk, the clock or a person plays tricks."""

import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core import Frame, InputSpec, ModelCard
from edge_core.data.photo_folder import find_photos
from edge_core.errors import OutputError, SettingsError
from edge_device.frames.overlay import annotated
from edge_device.frames.regions import Region
from edge_device.notices import Notice
from edge_device.results import Decision, Event, FrameResult, Latency, Prediction, Status
from edge_device.sinks import recording as video_module
from edge_device.sinks.inbox.folder_names import folder_name
from edge_device.sinks.inbox.snapshots import Snapshots
from edge_device.sinks.jsonl import JsonLines
from edge_device.sinks.recording import Recording
from edge_device.sinks.sink_queue import SinkQueues
from edge_device.sources import SourceFrame

from ...browser import Browser

CARD = ModelCard(labels=("cat", "dog"), input=InputSpec(32, 32))
TOOK = Latency(1, 1, 1, 3)
STATUS = Status(0, 0, 0, 0, 0, 0, TOOK, 0, "0", "", "open", 0, "m", "", 0, "r", "cpu", 1)


def result(
    index: int = 0,
    image: Frame | None = None,
    scores: tuple[float, ...] = (0.9, 0.1),
    label: str = "cat",
    zone: str = "",
    decision: Decision | None = None,
    time_s: float | None = None,
) -> FrameResult:
    image = np.full((48, 64, 3), (index * 7) % 256, np.uint8) if image is None else image
    frame = SourceFrame(image, "camera", index, index / 10 if time_s is None else time_s, 1.0)
    top = tuple(Prediction(name, score) for name, score in zip((label, "dog"), scores, strict=False))
    return FrameResult(frame, top, TOOK, zone, decision)


def event(number: int) -> Event:
    return Event("entered", "cat", "", 1.7e9, 0.9, 0.0, number)


def objects(path: Path) -> list[dict[str, object]]:
    """Of every line, which must all be whole."""
    text = path.read_text()
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def until(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until_s, "it has not come to that in 60 s"
        time.sleep(0.01)


@dataclass
class SmallDisk:
    """A folder in which little can be written until `free` is called."""

    folder: Path
    free: Callable[[], None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A real file system of 64 KB where it may be mounted, else a limit on the size of a file."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if os.getuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        (folder / "ballast").write_bytes(bytes(40_000))
        yield SmallDisk(folder, (folder / "ballast").unlink)
        subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield SmallDisk(folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- JSON lines


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[JsonLines]:
    sink = JsonLines(tmp_path / "log" / "events.jsonl")
    sink.open(CARD)
    yield sink
    sink.close()


def test_a_line_is_what_json_prints(lines: JsonLines, tmp_path: Path) -> None:
    lines.frame(result(7))
    lines.event(event(1))
    lines.notice(Notice("info", "loop", "a\nb", 0.0))
    lines.status(STATUS)
    frame, *others = objects(tmp_path / "log" / "events.jsonl")
    assert frame == result(7).to_json()
    assert "type" not in frame
    assert [one["type"] for one in others] == ["event", "notice", "status"]
    assert others[0] == {"type": "event", **event(1).to_json()}


def test_files_are_rotated_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    sink = JsonLines(tmp_path / "a.jsonl", max_bytes=1000, keep=3)
    sink.open(CARD)
    for number in range(200):
        sink.event(event(number))
    sink.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.jsonl", "a.jsonl.1", "a.jsonl.2", "a.jsonl.3"]
    assert all(0 < path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    numbers = [one["number"] for name in reversed(names) for one in objects(tmp_path / name)]
    assert numbers == list(range(200 - len(numbers), 200))


def test_a_line_longer_than_a_file_is_written_whole(tmp_path: Path) -> None:
    sink = JsonLines(tmp_path / "a.jsonl", max_bytes=10, keep=1)
    sink.open(CARD)
    sink.event(event(1))
    sink.event(event(2))
    sink.close()
    assert [one["number"] for one in objects(tmp_path / "a.jsonl")] == [2]


@pytest.mark.parametrize("how", ["deleted", "renamed", "folder deleted", "replaced"])
def test_a_file_that_is_taken_away_is_begun_anew(lines: JsonLines, tmp_path: Path, how: str) -> None:
    path = tmp_path / "log" / "events.jsonl"
    lines.event(event(1))
    if how == "deleted":
        path.unlink()
    elif how == "renamed":  # as logrotate does
        path.rename(path.with_name("events.old"))
    elif how == "replaced":
        path.with_name("new").write_text('{"type": "event"}\n')
        path.with_name("new").rename(path)
    else:
        shutil.rmtree(path.parent)
    lines.event(event(2))
    assert objects(path)[-1]["number"] == 2
    if how == "renamed":
        assert [one["number"] for one in objects(path.with_name("events.old"))] == [1]


def test_half_a_line_that_a_power_cut_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"type": "event", "number": 1}\n{"type": "eve')
    sink = JsonLines(path)
    sink.open(CARD)
    sink.event(event(2))
    sink.close()
    assert [one["number"] for one in objects(path)] == [1, 2]


@pytest.mark.parametrize("content", [b"\xff\xd8\xff", b"{\n}", b'{"a": 1}\n', b"notes"])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"holiday\.jpg holds something else"):
        JsonLines(path).open(CARD)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "file" / "a.jsonl", tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(OutputError, match=str(path)):
            JsonLines(path).open(CARD)


def test_a_full_disk_leaves_whole_lines_and_is_recovered_from(small_disk: SmallDisk) -> None:
    path = small_disk.folder / "a.jsonl"
    sink = JsonLines(path)
    sink.open(CARD)
    written = 0
    with pytest.raises(OSError, match=r"(?i)space|large"):
        for number in range(10_000):
            sink.event(event(number))
            written += 1
    assert written > 50
    assert [one["number"] for one in objects(path)] == list(range(written))
    small_disk.free()
    sink.event(event(written))
    sink.close()
    assert [one["number"] for one in objects(path)] == list(range(written + 1))


def test_no_event_is_lost_while_a_disk_is_full(small_disk: SmallDisk) -> None:
    path = small_disk.folder / "a.jsonl"
    said: list[Notice] = []
    queues = SinkQueues([JsonLines(path)], CARD, notify=said.append)
    for number in range(400):
        queues.event(event(number))
    until(lambda: bool(said))
    assert queues.counts()["jsonl"].events == len(objects(path)) < 400
    small_disk.free()
    until(lambda: queues.counts()["jsonl"].events == 400)
    assert queues.close(60) == []
    assert [one["number"] for one in objects(path)] == list(range(400))


# --- Recordings


def frames_of(path: Path) -> list[Frame]:
    video = cv2.VideoCapture(str(path))
    frames = []
    while (frame := video.read())[0]:
        frames.append(frame[1])
    video.release()
    return frames  # type: ignore[return-value]


def recording(path: Path, **settings: float) -> Recording:
    sink = Recording(path, **settings)  # type: ignore[arg-type]
    sink.open(CARD)
    return sink


def test_a_recording_lasts_as_long_as_what_it_shows(tmp_path: Path) -> None:
    sink = recording(tmp_path / "a.webm", minutes=0, fps=10)
    for index in range(31):
        sink.frame(result(index, time_s=100 + index / 30))  # a second at 30 frames a second
    sink.frame(result(31, time_s=102))  # and a pause of one
    assert not (tmp_path / "a.webm").exists()
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.webm"]
    assert len(frames_of(tmp_path / "a.webm")) == 21


def test_the_labels_are_in_the_picture(tmp_path: Path) -> None:
    black = np.zeros((240, 320, 3), np.uint8)
    sink = recording(tmp_path / "a.avi", minutes=0)
    sink.event(event(1))
    sink.frame(result(image=black, decision=Decision("cat", 0.9)))
    sink.close()
    (frame,) = frames_of(tmp_path / "a.avi")
    assert frame[:60].max() > 150
    assert frame[-40:].max() > 150
    assert frame[100:180].max() < 60
    assert not black.any()


def test_zones_of_a_frame_make_one_picture(tmp_path: Path) -> None:
    halves = {"left": Region(0, 0, 0.5, 1), "right": Region(0.5, 0, 0.5, 1)}
    sink = Recording(tmp_path / "a.webm", halves, minutes=0)
    sink.open(CARD)
    for index in range(5):
        whole = result(index)
        for zone in halves:
            sink.frame(FrameResult(whole.frame, whole.top, TOOK, zone))
    lost = result(5)
    sink.frame(FrameResult(lost.frame, lost.top, TOOK, "left"))  # the other zone's result was dropped
    whole = result(6)
    for zone in halves:
        sink.frame(FrameResult(whole.frame, whole.top, TOOK, zone))
    sink.close()
    assert len(frames_of(tmp_path / "a.webm")) == 7


def test_a_file_ends_after_its_minutes_at_another_size_and_at_a_gap(tmp_path: Path) -> None:
    sink = recording(tmp_path / "porch.webm", minutes=0.05)
    for index in range(50):  # five seconds of three each
        sink.frame(result(index))
    large = np.zeros((96, 128, 3), np.uint8)
    sink.frame(result(50, large))
    sink.frame(result(51, large, time_s=60))
    sink.frame(result(0, large, time_s=0))  # the source was opened again
    sink.close()
    videos = sorted(tmp_path.iterdir())
    assert len(videos) == 5
    assert all(path.name.startswith("porch-20") and path.suffix == ".webm" for path in videos)
    shapes = sorted((len(frames), frames[0].shape) for frames in map(frames_of, videos))
    assert shapes == [*[(1, (96, 128, 3))] * 3, (20, (48, 64, 3)), (30, (48, 64, 3))]


def test_the_oldest_recordings_go_and_other_files_stay(tmp_path: Path) -> None:
    for name in (
        "porch-20200101-000000.webm",
        "porch-20200101-000001-2.webm",
        "porch-party.webm",
        "yard-20200101-000000.webm",
    ):
        (tmp_path / name).touch()
    sink = recording(tmp_path / "porch.webm", keep=2)
    sink.frame(result())
    sink.close()
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == 4
    assert "porch-20200101-000000.webm" not in left
    assert {"porch-20200101-000001-2.webm", "porch-party.webm", "yard-20200101-000000.webm"} <= left


def test_a_clock_that_was_put_back_costs_no_new_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("porch-20991231-000000.webm", "porch-20991231-001000.webm"):
        (tmp_path / name).touch()
    sink = recording(tmp_path / "porch.webm", keep=2)
    for stamp in ("-20260102-030000", "-20260102-010000"):
        monkeypatch.setattr(time, "strftime", lambda _, stamp=stamp: stamp)
        sink.frame(result())
        sink.close()
    assert {path.name for path in tmp_path.iterdir()} == {"porch-20260102-030000.webm", "porch-20260102-010000.webm"}


def test_a_very_long_picture_is_recorded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sink = recording(tmp_path / "a.webm", minutes=0)
    sink.frame(result(0, np.zeros((2, 2000, 3), np.uint8)))
    sink.close()
    assert [frame.shape for frame in frames_of(tmp_path / "a.webm")] == [(2, 640, 3)]
    assert capfd.readouterr().err == ""


def test_a_recording_may_have_a_time_for_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = recording(Path("12:30.avi"), minutes=0)
    sink.frame(result())
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["12:30.avi"]


def test_nothing_is_written_over_and_what_the_power_cut_off_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a.webm").write_text("mine")
    (tmp_path / ".a-999999999.tmp.webm").write_text("cut off")
    (tmp_path / ".a-1.tmp.webm").write_text("another process writes it")
    sink = recording(tmp_path / "a.webm", minutes=0)
    sink.frame(result())
    sink.close()
    assert (tmp_path / "a.webm").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a-1.tmp.webm", "a-2.webm", "a.webm"]


def test_a_recording_stops_while_the_disk_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "CHECKED_S", 0.0)
    sink = recording(tmp_path / "a.webm")
    sink.frame(result(0))
    monkeypatch.setattr(video_module, "FREE_BYTES", 10**18)
    with pytest.raises(OutputError, match="MB are free"):
        sink.frame(result(1))
    assert len(list(tmp_path.iterdir())) == 1  # what there was is whole
    with pytest.raises(OutputError):
        sink.frame(result(2))
    monkeypatch.setattr(video_module, "FREE_BYTES", 0)
    sink.frame(result(3))
    sink.close()
    assert [len(frames_of(path)) for path in tmp_path.iterdir()] == [1, 1]


def test_a_recording_whose_folder_was_removed_is_told_of_and_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_module, "CHECKED_S", 0.0)
    monkeypatch.setattr(video_module, "FREE_BYTES", 0)
    sink = recording(tmp_path / "videos" / "a.webm")
    sink.frame(result(0))
    shutil.rmtree(tmp_path / "videos")
    with pytest.raises(OutputError, match="could not be written"):
        sink.frame(result(1))
    sink.frame(result(2))
    sink.close()
    assert [len(frames_of(path)) for path in (tmp_path / "videos").iterdir()] == [1]


def test_a_disk_that_is_full_at_once_is_told(small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "FREE_BYTES", 0)
    sink = recording(small_disk.folder / "a.webm", minutes=0)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    for index in range(5):
        sink.frame(result(index, noise))
    with pytest.raises(OutputError, match="could not be written"):
        sink.close()


def test_a_recording_plays_in_a_browser_whatever_suffix_was_asked_for(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.mp4", "b.webm", "c.mkv"):
        sink = recording(tmp_path / name, minutes=0)
        for index in range(20):
            sink.frame(result(index, np.full((720, 1280, 3), 10 * index, np.uint8)))
        sink.close()
    said = capsys.readouterr().err
    videos = sorted(tmp_path.iterdir())
    assert [path.stem for path in videos] == ["a", "b", "c"]
    assert videos[0].suffix == ".mp4" or "a.webm is written in place of a.mp4" in said
    (tmp_path / "page.html").write_text("<body></body>")
    browser.open((tmp_path / "page.html").as_uri())
    for path in videos:
        played = browser.ask(
            "new Promise(done => { const video = document.createElement('video'); video.muted = true;"
            "video.onended = () => done('to its end'); video.onerror = () => done(video.error.message);"
            f"video.src = '{path.name}'; video.play().catch(done); setTimeout(() => done('not in 200 s'), 200000); }})"
        )
        assert (path.name, played) == (path.name, "to its end")


def test_what_is_no_place_for_a_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"name it a\.mp4"):
        Recording(tmp_path / "a.gif")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        recording(tmp_path / "file" / "a.mp4")


# --- Snapshots


def snapshots(folder: Path, **settings: float) -> Snapshots:
    sink = Snapshots(folder, every_s=settings.pop("every_s", 0.0), **settings)  # type: ignore[arg-type]
    sink.open(CARD)
    return sink


def test_only_frames_that_the_model_is_unsure_of_are_kept(tmp_path: Path) -> None:
    sink = snapshots(tmp_path)
    sink.frame(result(0, scores=(0.9, 0.1)))
    sink.frame(result(1, scores=(0.5, 0.2)))
    sink.frame(result(2, scores=(0.61, 0.42), label="dog"))
    sink.frame(result(3, scores=(0.9,)))
    told = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*/*.json"), key=lambda path: path.name)]
    assert [(one["frame"], one["reason"], one["folder"]) for one in told] == [
        (1, "score below 0.6", "cat"),
        (2, "lead below 0.2", "dog"),
    ]


def test_a_changed_decision_is_kept(tmp_path: Path) -> None:
    sink = snapshots(tmp_path)
    for index, label in enumerate(["cat", "cat", None, None, "dog"]):
        sink.frame(result(index, decision=Decision(label, 0.9)))
    told = [json.loads(path.read_text()) for path in tmp_path.glob("*/*.json")]
    assert sorted(one["frame"] for one in told) == [2, 4]
    assert {one["reason"] for one in told} == {"decision changed"}


def test_a_snapshot_can_be_trained_on_after_relabeling_and_has_no_exif(tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, 32:] = (10, 20, 250)
    sink = Snapshots(tmp_path, {"door": Region(0.5, 0, 0.5, 1)}, every_s=0)
    sink.open(CARD)
    sink.frame(result(image=image, scores=(0.3,), zone="door"))
    ((path, label),) = find_photos(tmp_path).files
    assert label == "cat"
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape == (48, 32, 3)
    assert abs(picture.astype(int) - (10, 20, 250)).max() < 12
    assert b"Exif" not in path.read_bytes()
    assert path.name.endswith("Z-door.jpg")


def test_there_is_a_pause_between_two_pictures_of_a_zone(tmp_path: Path) -> None:
    sink = snapshots(tmp_path, every_s=60)
    for index in range(5):
        for zone in ("door", "yard"):
            sink.frame(result(index, scores=(0.3,), zone=zone))
    assert len(find_photos(tmp_path).files) == 2


def test_there_are_never_more_than_the_number_or_the_size(tmp_path: Path) -> None:
    many, large = snapshots(tmp_path / "a", max_files=3), snapshots(tmp_path / "b", max_bytes=20_000)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for index in range(9):
        for sink in (many, large):
            sink.frame(result(index, noise, scores=(0.3,), label=f"l{index % 2}", zone=str(index)))
    assert len(find_photos(tmp_path / "a").files) == 3
    kept = list((tmp_path / "b").glob("*/*"))
    assert 10_000 < sum(path.stat().st_size for path in kept) <= 20_000
    again = snapshots(tmp_path / "a", max_files=2)  # after a restart the old ones count, too
    again.store.ask()
    again.frame(result(9, noise, scores=(0.3,), zone="9"))
    left = [path.stem.rpartition("-")[2] for path, _ in find_photos(tmp_path / "a").files]
    assert len(left) == 2
    assert "9" in left


def test_a_picture_that_a_person_has_moved_is_never_removed(tmp_path: Path) -> None:
    sink = snapshots(tmp_path, max_files=2)
    for index in range(2):
        sink.frame(result(index, scores=(0.3,), zone=str(index)))
    first, second = (path for path, _ in find_photos(tmp_path).files)
    (tmp_path / "dog").mkdir()
    first.rename(tmp_path / "dog" / first.name)  # without its .json
    second.rename(tmp_path / "dog" / second.name)
    second.with_suffix(".json").rename(tmp_path / "dog" / second.with_suffix(".json").name)
    for most in (2, 1):
        for index in range(2, 9):
            sink.frame(result(index, scores=(0.3,), zone=str(index)))
        assert len(list((tmp_path / "cat").glob("*.jpg"))) == most
        sink = snapshots(tmp_path, max_files=1)
    assert {path.name for path in (tmp_path / "dog").glob("*.jpg")} == {first.name, second.name}
    assert len(list((tmp_path / "cat").glob("*.jpg"))) == len(list((tmp_path / "cat").glob("*.json"))) == 1


def test_a_full_disk_leaves_no_half_picture(small_disk: SmallDisk) -> None:
    sink = snapshots(small_disk.folder)
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3)).astype(np.uint8)
    with pytest.raises(OutputError, match="cannot be written"):
        sink.frame(result(0, noise, scores=(0.3,)))
    assert not [path for path in small_disk.folder.rglob("*") if path.suffix == ".jpg" or ".tmp" in path.name]
    small_disk.free()
    sink.frame(result(1, scores=(0.3,), zone="1"))
    assert len(find_photos(small_disk.folder).files) == 1


@given(st.text())
def test_any_label_makes_a_folder_in_the_folder(label: str) -> None:
    name = folder_name(label)
    assert name
    assert len(name.encode()) <= 255
    assert not name.startswith(".")
    assert "/" not in name and "\0" not in name
    assert (Path("/a") / name).parent == Path("/a")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        snapshots(tmp_path / "file")


# --- The overlay


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.lists(st.text(), max_size=4),
    st.lists(st.sampled_from(["left", "right", "unheard of", ""]), max_size=3),
)
def test_anything_can_be_drawn_on_a_picture_of_any_size(
    height: int, width: int, labels: list[str], zones: list[str]
) -> None:
    image = np.full((height, width, 3), 99, np.uint8)
    frame = SourceFrame(image, "camera", 0, 0.0, 1.0)
    top = tuple(Prediction(label, 0.5) for label in labels)
    results = [FrameResult(frame, top, TOOK, zone, Decision(None, 0.5) if zone else None) for zone in zones]
    events = [Event("left", label, "", 0.0, 0.5, 1.0, 1) for label in labels]
    regions = {"left": Region(0, 0, 0.5, 1), "right": Region(0.9, 0.9, 0.1, 0.1)}
    drawn = annotated(image, results, events, regions)
    assert drawn.shape == image.shape
    assert drawn is not image
    assert (image == 99).all()


@pytest.mark.parametrize("height", [96, 240, 720, 2160])
def test_labels_are_readable_at_any_size(height: int) -> None:
    image = np.full((height, height * 4 // 3, 3), 255, np.uint8)
    drawn = annotated(image, [result(image=image, scores=(0.9,))])
    rows = np.flatnonzero((drawn != 255).any(axis=(1, 2)))
    assert 8 <= len(rows) <= height / 5  # the ground of one line of text
    ground = drawn[rows[0] : rows[-1] + 1]
    assert ground.max() > 200
    assert (ground < 70).mean() > 0.1
