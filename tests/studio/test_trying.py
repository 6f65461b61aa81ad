"""A file tried on pictures, and the inbox, as their pages ask for them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="the extra [studio] is not installed")

from starlette.testclient import TestClient

from edge_core import Frame
from edge_core.images import decode_picture, encode_jpeg, read_picture
from edge_device.inference.classifier import Classifier
from edge_device.sinks.inbox.snapshot_store import SnapshotStore
from edge_studio import Project
from edge_studio.devices.likeness_groups import FrameEmbedder, group_frames

from .test_work_pages import REPORT


@pytest.fixture
def exported(project: Project, tiny_model: Callable[..., Path]) -> Path:
    project.exports.mkdir()
    file = project.exports / "run-1-int8.tflite"
    tiny_model("uint8").rename(file)
    file.with_suffix(".report.json").write_text(json.dumps(REPORT))
    return file


def test_a_picture_is_told_of_as_a_board_would(
    client: TestClient, project: Project, exported: Path, color_frames: dict[str, Frame]
) -> None:
    for label, frame in color_frames.items():
        answer = client.post(f"/api/p/{project.name}/try?file={exported.name}", content=encode_jpeg(frame, 95))
        told = answer.json()
        assert told["top"][0][0] == label and (told["width"], told["height"]) == (64, 48)
        assert (told["box"], told["familiarity"], told["known"]) == ([0, 0, 1, 1], None, None)
        seen = Classifier(exported).classify(decode_picture(encode_jpeg(frame, 95)))
        assert told["top"][0][1] == pytest.approx(seen[0].score)


def test_a_small_thing_is_found_where_it_is(client: TestClient, project: Project, exported: Path) -> None:
    frame = np.full((300, 300, 3), 120, np.uint8)  # a gray that is none of the labels
    frame[30:130, 180:280] = (10, 20, 250)
    picture = encode_jpeg(frame, 95)
    address = f"/api/p/{project.name}/try?file={exported.name}"
    whole, found = (
        client.post(address, content=picture).json(),
        client.post(f"{address}&search=1", content=picture).json(),
    )
    assert whole["box"] == [0, 0, 1, 1]
    x, y, width, height = found["box"]
    assert width < 1 and x < 0.77 < x + width and y < 0.27 < y + height
    assert found["top"][0][0] == "red" and found["top"][0][1] > whole["top"][0][1]


@pytest.mark.parametrize(("body", "why"), [(b"", "empty"), (b"<svg>", "not"), (b"\xff\xd8\xff\xe0 cut", "truncated")])
def test_what_is_no_picture_is_refused_in_one_line(
    client: TestClient, project: Project, exported: Path, body: bytes, why: str
) -> None:
    answer = client.post(f"/api/p/{project.name}/try?file={exported.name}", content=body)
    assert answer.status_code == 400 and why in answer.json()["error"]
    answer = client.post(f"/api/p/{project.name}/try/keep?label=roses", content=body)
    assert answer.status_code == 400 and not list(project.photos.rglob("*.jpg"))


def test_a_frame_that_was_judged_wrong_becomes_a_photo_with_its_origin(
    client: TestClient, project: Project, jpeg: Callable[..., bytes]
) -> None:
    address = f"/api/p/{project.name}/try/keep?label=roses&camera=door.mp4&file=run-1-int8.tflite"
    path = client.post(address, content=jpeg(1)).json()["path"]
    assert (project.photos / path).read_bytes() == jpeg(1)
    (line,) = (project.photos / "manifest.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["file"], told["label"], told["camera"], told["model"]) == (
        path,
        "roses",
        "door.mp4",
        "run-1-int8.tflite",
    )
    assert client.post(address, content=jpeg(1)).json() == {"path": None}  # it was there already
    assert client.post(address.replace("roses", "..%2Fx"), content=jpeg(2)).status_code == 400


def test_frames_that_look_alike_come_in_one_group_and_are_labeled_at_once(
    client: TestClient, project: Project, jpeg: Callable[..., bytes]
) -> None:
    store = SnapshotStore(project.inbox / "board")
    store.open()
    for seed in (1, 1, 1, 2, 2):
        told = {"source": "0", "top": [{"label": "<b>", "score": 0.5}], "familiarity": 0.01}
        clean = decode_picture(jpeg(seed)).astype(np.float64)
        noise = np.random.default_rng(len(store.snapshots())).normal(0, 3, clean.shape)
        noisy = np.clip(clean + noise, 0, 255)
        store.add(encode_jpeg(noisy.astype(np.uint8), 95), "roses", told, ("unknown", "foreign to the model"))
    found = client.get(f"/api/p/{project.name}/inbox").json()
    assert found["count"] == 5 and [len(group["frames"]) for group in found["groups"]] == [3, 2]
    first = found["groups"][0]["frames"]
    assert first[0]["top"] == [["<b>", 0.5]] and first[0]["board_name"] == "a board that is gone"
    picture = client.get(f"/api/p/{project.name}/inbox/picture", params={"key": first[0]["key"]})
    assert picture.headers["content-type"] == "image/jpeg"
    keys = [frame["key"] for frame in first]
    answer = client.post(f"/api/p/{project.name}/inbox/label", json={"keys": keys, "label": "_nothing"}).json()
    assert len(answer["added"]) == 3 and all(path.startswith("_nothing/") for path in answer["added"])
    rest = [frame["key"] for frame in found["groups"][1]["frames"]]
    assert client.post(f"/api/p/{project.name}/inbox/drop", json={"keys": [*rest, "x/y/z"]}).json() == {"dropped": 2}
    assert client.get(f"/api/p/{project.name}/inbox").json() == {"count": 0, "groups": []}
    for wrong in ("", "../x", "board/../../x", "board/roses/20260301T101500.123456Z", "\0"):
        assert client.get(f"/api/p/{project.name}/inbox/picture", params={"key": wrong}).status_code == 404


def test_a_picture_that_cannot_be_read_holds_up_no_other(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    for name, data in (("a", jpeg(1)), ("b", b"damaged"), ("c", jpeg(1))):
        (tmp_path / f"{name}.jpg").write_bytes(data)
    paths = {name: tmp_path / f"{name}.jpg" for name in ("a", "b", "c", "gone")}
    (group,) = group_frames(paths, FrameEmbedder(None))
    assert sorted(group.keys) == ["a", "c"] and read_picture(paths["a"]).shape == (48, 64, 3)
