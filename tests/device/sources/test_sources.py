import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_core import Frame
from edge_core.errors import PictureError, SourceError
from edge_core.images import encode_jpeg
from edge_device import Classifier, classify_stream, open_source
from edge_device.sources import Camera, FakeCamera, Pictures, Source, SourceFrame, Video, fake, video


def write_video(path: Path, frames: list[Frame], fps: float = 10.0, codec: str = "MJPG") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, frames[0].shape[1::-1])
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def write_pictures(folder: Path, frames: dict[str, Frame]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        assert cv2.imwrite(str(folder / name), frame)


def all_of(text: object, skipped: Callable[[Path, PictureError], None] | None = None) -> list[SourceFrame]:
    with open_source(str(text), skipped=skipped) as source:
        return list(source)


def test_a_folder_gives_its_pictures_in_natural_order(tmp_path: Path, color_frames: dict[str, Frame]) -> None:
    names = ["2.png", "10.png", "a/1.png"]
    write_pictures(tmp_path / "a", {"1.png": color_frames["blue"]})
    write_pictures(tmp_path, {"10.png": color_frames["green"], "2.png": color_frames["red"]})
    (tmp_path / "notes.txt").write_text("not a picture")
    frames = all_of(tmp_path)
    assert [frame.source for frame in frames] == [str(tmp_path / name) for name in names]
    assert [frame.index for frame in frames] == [0, 1, 2]
    for frame, label in zip(frames, ("red", "green", "blue"), strict=True):
        assert np.array_equal(frame.image, color_frames[label])
        assert 0 < frame.capture_ms / 1e3 <= frame.time_s
    assert [frame.time_s for frame in frames] == sorted(frame.time_s for frame in frames)


def test_pictures_that_cannot_be_read_are_told_of_and_passed_over(
    tmp_path: Path, color_frames: dict[str, Frame]
) -> None:
    write_pictures(tmp_path, {"1.png": color_frames["red"], "3.png": color_frames["blue"]})
    (tmp_path / "2.jpg").write_text("no picture")
    (tmp_path / "empty").mkdir()
    told: list[tuple[str, str]] = []

    def skipped(path: Path, error: PictureError) -> None:
        told.append((path.name, str(error)))

    paths = [tmp_path / "missing.png", tmp_path, tmp_path / "empty"]
    frames = list(Pictures(paths, skipped))
    assert [(frame.index, Path(frame.source).name) for frame in frames] == [(0, "1.png"), (1, "3.png")]
    assert [name for name, _ in told] == ["missing.png", "2.jpg", "empty"]
    assert all(str(tmp_path / name) in message for name, message in told)
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    with pytest.raises(PictureError, match=r"2\.png"):
        all_of(tmp_path)


def test_litter_below_a_folder_is_told_of_in_one_line(tmp_path: Path, color_frames: dict[str, Frame]) -> None:
    write_pictures(tmp_path, {"1.png": color_frames["red"]})
    write_pictures(tmp_path / "@eaDir", {"1.png": color_frames["red"]})
    (tmp_path / ".DS_Store").write_text("")
    told: list[str] = []
    source = Pictures([tmp_path], lambda _, error: told.append(str(error)))
    assert [Path(frame.source).name for frame in source] == ["1.png"]
    assert told == [f"{tmp_path / '.DS_Store'} and 1 more: litter of an operating system or of network storage"]
    assert source.unreadable == 0


def test_a_picture_is_told_by_its_content_not_its_name(tmp_path: Path, color_frames: dict[str, Frame]) -> None:
    data = cv2.imencode(".png", color_frames["red"])[1].tobytes()
    for name in ("red.jfif", "red", "red.mp4"):
        (tmp_path / name).write_bytes(data)
        with open_source(str(tmp_path / name)) as source:
            (frame,) = source
        assert np.array_equal(frame.image, color_frames["red"])
        assert not source.live


def test_a_file_of_jpegs_in_a_row_is_a_video(tmp_path: Path, color_frames: dict[str, Frame]) -> None:
    path = tmp_path / "out.mjpeg"  # as `rpicam-vid --codec mjpeg -o out.mjpeg` writes it
    path.write_bytes(b"".join(encode_jpeg(frame, 90) for frame in color_frames.values()))
    assert len(all_of(path)) == len(color_frames)


def test_a_video_may_have_a_time_for_its_name(
    tmp_path: Path, color_frames: dict[str, Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "12:30.avi", list(color_frames.values()))
    monkeypatch.chdir(tmp_path)
    assert {frame.source for frame in all_of(Path("12:30.avi"))} == {"12:30.avi"}


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v"), (".mkv", "MJPG")])
def test_a_video_gives_every_frame_with_its_time(
    tmp_path: Path, color_frames: dict[str, Frame], suffix: str, codec: str
) -> None:
    shown = [frame for frame in color_frames.values() for _ in range(5)]
    frames = all_of(write_video(tmp_path / f"film{suffix}", shown, fps=10, codec=codec))
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 10 for index in range(20)], abs=0.002)
    for frame, image in zip(frames, shown, strict=True):
        assert frame.image.shape == image.shape
        assert abs(frame.image.astype(int) - image).max() < 20  # what the codec changes
        assert frame.source == str(tmp_path / f"film{suffix}")


def test_a_video_in_real_time_gives_frames_when_they_are_due_and_drops_the_others(
    tmp_path: Path, color_frames: dict[str, Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    late_s, never_late_s = video.LATE_S, 3600  # this machine may be late when the reader is not
    monkeypatch.setattr(video, "LATE_S", never_late_s)
    path = write_video(tmp_path / "film.avi", [color_frames["red"]] * 90, fps=30)
    with open_source(str(path), realtime=True) as source:
        assert source.live
        start = time.monotonic()
        times = []
        for frame in source:
            times.append(frame.time_s)
            assert frame.time_s <= time.monotonic() - start + 0.001
            monkeypatch.setattr(video, "LATE_S", never_late_s)
            if len(times) == 5:
                monkeypatch.setattr(video, "LATE_S", late_s)
                time.sleep(0.5)
    assert [round(30 * time_s) for time_s in times[:5]] == [0, 1, 2, 3, 4]
    assert len(times) <= 80
    assert times[5] > 0.4
    assert times[-1] == pytest.approx(89 / 30, abs=0.002)


def test_a_reader_slower_than_the_video_gets_frames_all_the_same(
    tmp_path: Path, color_frames: dict[str, Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "film.avi", [color_frames["red"]] * 200, fps=200)
    slow = Video(path, realtime=True)
    monkeypatch.setattr(video, "LATE_S", -3600)  # every frame is late
    with closing(slow):
        assert 200 // 31 <= len(list(slow)) <= 1 + 200 // 31


def test_a_video_is_closed_while_it_waits(tmp_path: Path, color_frames: dict[str, Frame]) -> None:
    path = write_video(tmp_path / "film.avi", [color_frames["red"]] * 30, fps=1)
    with open_source(str(path), realtime=True) as source:
        frames = iter(source)
        next(frames)
        threading.Timer(0.1, source.close).start()
        start = time.monotonic()
        assert not list(frames)
        assert time.monotonic() - start < 20


def test_frames_that_are_held_are_not_written_over(tmp_path: Path) -> None:
    shown = [np.full((48, 64, 3), level, np.uint8) for level in range(0, 240, 12)]
    path = write_video(tmp_path / "film.avi", shown)
    held = all_of(path)
    assert [int(frame.image[0, 0, 0]) for frame in held] == pytest.approx(list(range(0, 240, 12)), abs=3)
    with open_source(str(path)) as source:
        assert len({frame.image.ctypes.data for frame in source}) <= 3


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("FFmpeg would draw this text.\n" * 99)
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(99))
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(9999))
    (tmp_path / "empty.mp4").touch()
    for name in ("notes.txt", "cut.mp4", "noise", "empty.mp4"):
        with pytest.raises(SourceError, match=name):
            all_of(tmp_path / name)
    with pytest.raises(SourceError, match="No such file"):
        Video(tmp_path / "missing.mp4")


def test_a_pattern_gives_the_pictures_and_folders_that_it_matches(
    tmp_path: Path, color_frames: dict[str, Frame]
) -> None:
    write_pictures(tmp_path, {"10.png": color_frames["green"], "2.png": color_frames["red"]})
    write_pictures(tmp_path / "1", {"9.png": color_frames["blue"]})
    write_pictures(tmp_path / "a[b]", {"7.png": color_frames["blue"]})
    (tmp_path / "notes.txt").touch()

    def names(pattern: str) -> list[str]:
        return [str(Path(frame.source).relative_to(tmp_path)) for frame in all_of(tmp_path / pattern)]

    assert names("[12]*") == ["1/9.png", "2.png", "10.png"]
    assert names("?.png") == ["2.png"]
    assert names("**/*.png") == ["1/9.png", "2.png", "10.png", "a[b]/7.png"]
    assert names("a[b]") == ["a[b]/7.png"]
    for pattern in ("*.jpg", "*.txt"):
        with pytest.raises(SourceError, match="neither a file nor a pattern"):
            names(pattern)


def test_pictures_that_are_passed_over_are_counted_and_closing_ends_them(
    tmp_path: Path, color_frames: dict[str, Frame]
) -> None:
    write_pictures(tmp_path, {"1.png": color_frames["red"], "3.png": color_frames["red"]})
    (tmp_path / "2.png").touch()
    with open_source(str(tmp_path), skipped=lambda path, error: None) as source:
        assert len(list(source)) == 2
        assert source.unreadable == 1
        frames = iter(source)
        next(frames)
        source.close()
        assert list(frames) == []


def test_a_source_that_is_not_there_is_refused_with_advice(tmp_path: Path) -> None:
    for text in (str(tmp_path / "missing"), "", "picamera2"):
        with pytest.raises(SourceError, match="--source") as caught:
            all_of(text)
        assert "do you mean" not in str(caught.value) or text == "picamera2"


@pytest.mark.parametrize("text", ["picamra", "PiCamera:1", "picamera2"])
def test_a_mistyped_camera_is_guessed(text: str) -> None:
    with pytest.raises(SourceError, match=r"do you mean picamera\?"):
        all_of(text)


@pytest.mark.parametrize("text", ["99", "/dev/video99", "/dev/v4l/by-id/usb-none"])
def test_a_camera_that_is_not_there_is_named_with_what_to_do(text: str) -> None:
    device = "/dev/video99" if text == "99" else text
    with pytest.raises(SourceError, match=rf"there is no camera {device}; .*--source") as caught:
        all_of(text)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_no_camera_is_refused() -> None:
    with pytest.raises(SourceError, match="/dev/null does not open as a camera"):
        Camera("/dev/null")


def test_a_camera_that_stops_giving_frames_ends_the_stream_with_an_error(
    color_frames: dict[str, Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "QUEUE", 1000)  # this machine may be late
    camera: Source = FakeCamera([color_frames["red"], color_frames["blue"]], fps=20)
    frames = []
    with pytest.raises(SourceError, match="after 2"), closing(camera):
        for frame in camera:
            frames.append((frame.index, frame.time_s, frame.source))
    assert frames == [(0, 0.0, "fake camera"), (1, 0.05, "fake camera")]
    assert isinstance(camera, FakeCamera)
    assert camera.closed


def test_a_stream_of_frames_becomes_a_stream_of_results(
    tiny_model: Callable[..., Path], color_frames: dict[str, Frame]
) -> None:
    classifier = Classifier(tiny_model())
    results = classify_stream(classifier, FakeCamera(list(color_frames.values())), count=2)
    for index, label in enumerate(color_frames):
        result = next(results)
        assert result.frame.index == index
        assert result.top == tuple(classifier.classify(color_frames[label], 2))
        assert result.top[0].label == label
        latency = result.latency
        assert 0 < latency.capture_ms + latency.preprocess_ms + latency.invoke_ms <= latency.total_ms
    with pytest.raises(SourceError):
        next(results)


def test_frames_are_captured_only_when_asked_for(
    tiny_model: Callable[..., Path], color_frames: dict[str, Frame]
) -> None:
    """So that a camera's frame is fresh, however long the last one's result was in use."""
    captured = []

    class Counting(FakeCamera):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for frame in super().__iter__():
                captured.append(frame.index)
                yield frame

    results = classify_stream(Classifier(tiny_model()), Counting([color_frames["red"]] * 9))
    next(results)
    next(results)
    assert captured == [0, 1]
