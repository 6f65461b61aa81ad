"""Pictures for training from the camera itself: which frames become pictures, where they lie, and when it ends."""

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_core import Frame
from edge_core.data.photo_folder import find_photos
from edge_core.errors import OutputError, SourceError
from edge_core.images import read_picture
from edge_device.frames.regions import Region
from edge_device.inference.classifier import Classifier
from edge_device.live.collecting import CollectSettings, collect
from edge_device.results import FrameResult, Latency
from edge_device.sinks.inbox.collection import Collection, CollectionLimits
from edge_device.sources import SourceFrame


def scene(number: int, level: int = 0) -> Frame:
    """A room that is always the same, with a thing in another place for each number."""
    rng = np.random.default_rng(7)
    room = cv2.resize(rng.integers(60, 180, (6, 8, 3), dtype=np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
    cv2.circle(room, (30 + 37 * number % 260, 40 + 53 * number % 160), 24, (20, 30, 230), -1)
    return np.clip(room.astype(np.int16) + level, 0, 255).astype(np.uint8)


def frames(folder: Path, numbers: list[int]) -> Path:
    folder.mkdir()
    for index, number in enumerate(numbers):
        cv2.imwrite(str(folder / f"{index:03}.png"), scene(number, level=index % 3))
    return folder


def seen(image: Frame) -> FrameResult:
    return FrameResult(SourceFrame(image, "camera", 0, 0.0, 1.0), (), Latency(1, 0, 0, 1))


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_frames_that_show_the_same_are_taken_once_and_a_thing_that_moved_is_new(tmp_path: Path) -> None:
    source = frames(tmp_path / "frames", [0, 0, 0, 1, 1, 2, 0, 2])
    done = collect(CollectSettings(str(source), "cat"), tmp_path / "photos")
    assert (done.taken, done.alike, done.ended) == (3, 5, "source")
    again = collect(CollectSettings(str(source), "cat"), tmp_path / "photos")
    assert again.taken == 0, "those of the time before count, too"
    other = collect(CollectSettings(str(source), "dog", count=2), tmp_path / "photos")
    assert (other.taken, other.ended) == (2, "count")
    assert Counter(label for _, label in find_photos(tmp_path / "photos").files) == {"cat": 3, "dog": 2}


def test_the_manifest_says_where_a_picture_is_from_and_what_the_model_said(
    tmp_path: Path, tiny_model: Callable[..., Path], color_frames: dict[str, Frame]
) -> None:
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "a.png"), color_frames["red"])
    settings = CollectSettings(str(tmp_path / "frames"), "blue")
    collect(settings, tmp_path / "photos", classifier=Classifier(tiny_model()))
    (entry,) = manifest(tmp_path / "photos")
    assert entry["top"][0]["label"] == "red", "what a person says is the label, what the model says stands beside it"
    assert entry["label"] == "blue"
    assert entry["camera"].endswith("a.png")
    picture = read_picture(tmp_path / "photos" / entry["file"])
    assert (picture.shape[1], picture.shape[0]) == (entry["width"], entry["height"]) == (64, 48)


def test_without_a_model_there_are_no_scores(tmp_path: Path) -> None:
    collect(CollectSettings(str(frames(tmp_path / "frames", [0])), "cat"), tmp_path / "photos")
    assert "top" not in manifest(tmp_path / "photos")[0]


@pytest.mark.parametrize("label", ["../up", "a/b", ".hidden", "Cafe\u0301", "x" * 300, "\n", "-"])
def test_any_label_is_one_folder_inside_in_nfc(tmp_path: Path, label: str) -> None:
    collection = Collection(tmp_path / "photos")
    assert collection.add(seen(scene(0)), label) == "taken"
    (folder,) = [path for path in (tmp_path / "photos").iterdir() if path.is_dir()]
    assert not folder.name.startswith(".")
    assert unicodedata.is_normalized("NFC", folder.name)
    assert os.listdir(tmp_path) == ["photos"]


def test_it_ends_when_the_folder_or_the_disk_is_full_and_says_which(tmp_path: Path) -> None:
    source = str(frames(tmp_path / "frames", [0, 1, 2, 3]))
    Collection(tmp_path / "one").add(seen(scene(0)), "a")
    size = next((tmp_path / "one").rglob("*.jpg")).stat().st_size
    limits = CollectionLimits(total_bytes=2 * size + size // 2)
    full = collect(CollectSettings(source, "cat"), tmp_path / "photos", limits=limits)
    assert (full.taken, full.ended) == (2, "full")
    assert "limit" in full.reason or "room" in full.reason
    disk = collect(CollectSettings(source, "cat"), tmp_path / "other", limits=CollectionLimits(free_bytes=1 << 60))
    assert (disk.taken, disk.ended) == (0, "full")
    assert "free" in disk.reason
    assert not list((tmp_path / "other").rglob("*.jpg"))


def test_the_part_that_is_looked_at_is_the_picture_and_the_whole_frame_lies_beside(tmp_path: Path) -> None:
    settings = CollectSettings(str(frames(tmp_path / "frames", [0])), "cat", region=Region(0.5, 0, 0.5, 1))
    collect(settings, tmp_path / "photos")
    (entry,) = manifest(tmp_path / "photos")
    assert read_picture(tmp_path / "photos" / entry["file"]).shape == (240, 160, 3)
    assert read_picture(tmp_path / "photos" / entry["frame"]).shape == (240, 320, 3)
    assert entry["part"] == "0.5,0,0.5,1"
    assert len(find_photos(tmp_path / "photos").files) == 1, "the whole frame is not trained on"
    (tmp_path / "photos" / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert Collection(tmp_path / "photos").counts == {"cat": 1}


def test_a_source_without_frames_and_a_place_that_is_a_file_are_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        collect(CollectSettings("fake:64x48@30", "cat"), tmp_path / "file")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(SourceError):
        collect(CollectSettings(str(tmp_path / "bad"), "cat"), tmp_path / "photos")


def test_the_command_prints_what_it_took_and_its_status_tells_of_a_full_disk(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    words = ["collect", "--source", "fake:160x120@30", "--every", "0", "--label", "cat", "--json"]
    done = command("edge_device.cli", *words, "--count", "2", "--to", tmp_path / "photos")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) | {"alike": 0} == {
        "folder": str(tmp_path / "photos" / "cat"),
        "taken": 2,
        "alike": 0,
        "ended": "count",
        "reason": "",
    }
    full = command("edge_device.cli", *words, "--to", tmp_path / "photos", "--free-mb", "1e12")
    assert full.returncode == 1
    assert "stopped: less than" in full.stderr
