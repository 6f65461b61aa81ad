"""Odd photos: flagged by the functions of `edge-train inspect` and `explain embed`, in a process of its own."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from starlette.testclient import TestClient

from edge_core import decode_picture
from edge_core.codec import JsonObject
from edge_core.errors import CheckFailedError
from edge_core.images import encode_jpeg
from edge_core.progress import silently
from edge_core.run_folder import Run
from edge_studio import Project, Studio
from edge_studio.analysis.analysis_process import AnalysisProcess
from edge_studio.analysis.photo_audit import suspect_flags


def inspected(client: TestClient) -> JsonObject:
    """The flags of each photo, once it has been looked over."""
    assert client.post("/api/p/flowers/inspect", json={}).json()["running"]
    end = time.monotonic() + 300
    while (told := client.get("/api/p/flowers/inspect").json())["running"]:
        assert time.monotonic() < end, told
        time.sleep(0.1)
    assert "error" not in told, told
    state: JsonObject = client.get("/api/p/flowers/photos").json()
    return state


def kinds(state: JsonObject) -> dict[str, set[str]]:
    return {one["path"]: {flag["kind"] for flag in one["flags"]} for one in state["photos"] if one["flags"]}


def test_copies_look_alikes_bursts_and_unreadable_photos_are_flagged_until_they_change(
    client: TestClient, project: Project, jpeg: Callable[..., bytes]
) -> None:
    photos = {
        "roses/1.jpg": jpeg(1),
        "roses/copy.jpg": jpeg(1),
        "roses/2.jpg": jpeg(2),
        "tulips/other.jpg": jpeg(2),
        "roses/IMG_20260131_120000.jpg": jpeg(3),
        "roses/IMG_20260131_120001.jpg": jpeg(4),
        "tulips/broken.jpg": jpeg(5)[:200],
        "tulips/fine.jpg": jpeg(6, 400, 300),
        "tulips/smaller.jpg": encode_jpeg(cv2.resize(decode_picture(jpeg(6, 400, 300)), (300, 225)), 90),
        "tulips/alone.jpg": jpeg(7),
    }
    for path, data in photos.items():
        (project.photos / path).parent.mkdir(exist_ok=True)
        (project.photos / path).write_bytes(data)
    assert client.get("/api/p/flowers/photos").json()["flags"]["unchecked"] == len(photos)
    state = inspected(client)
    assert kinds(state) == {
        "roses/1.jpg": {"copy"},
        "roses/copy.jpg": {"copy"},
        "roses/2.jpg": {"contradiction"},
        "tulips/other.jpg": {"contradiction"},
        "roses/IMG_20260131_120000.jpg": {"burst"},
        "roses/IMG_20260131_120001.jpg": {"burst"},
        "tulips/broken.jpg": {"unreadable"},
        "tulips/fine.jpg": {"near"},
        "tulips/smaller.jpg": {"near"},
    }
    assert state["flags"]["unchecked"] == 0 and state["flags"]["copy"] == 2
    shown = client.get("/api/p/flowers/photos?flag=copy").json()["photos"]
    assert [one["path"] for one in shown] == ["roses/1.jpg", "roses/copy.jpg"]
    (project.photos / "tulips" / "broken.jpg").write_bytes(jpeg(8))
    (project.photos / "tulips").touch()
    assert "tulips/broken.jpg" not in kinds(client.get("/api/p/flowers/photos").json())


def test_what_cannot_be_done_is_told_in_one_line_and_a_process_that_has_died_is_replaced(tmp_path: Path) -> None:
    process = AnalysisProcess()
    try:
        with pytest.raises(CheckFailedError, match="holds no pictures"):
            process.ask({"do": "audit", "photos": str(tmp_path), "cache": str(tmp_path)})
        assert process._process
        process._process.kill()
        process._process.wait()
        with pytest.raises(CheckFailedError, match="KeyError"):
            process.ask({"do": "no such work"})
    finally:
        process.stop()


@pytest.mark.slow
def test_a_photo_among_neighbors_of_another_label_is_a_suspect(
    color_run: Run, color_photos: Path, tmp_path: Path
) -> None:
    for number, file in enumerate(sorted(color_photos.rglob("*.png"))):
        label = "blue" if number == 30 else file.parent.name
        target = tmp_path / label / f"{number}.png"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    found = suspect_flags(color_run.folder, tmp_path, silently)
    assert {"path": "blue/30.png", "kind": "suspect", "detail": "red", "group": found[0]["group"]} in found


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_look_that_ends_in_an_unforeseen_error_says_so_and_can_begin_again(
    client: TestClient, studio: Studio, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> JsonObject:
        raise KeyError("flags")

    monkeypatch.setattr(studio.analysis, "ask", broken)
    for _ in range(2):
        assert client.post("/api/p/flowers/inspect", json={}).status_code == 200
        end = time.monotonic() + 60
        while (told := client.get("/api/p/flowers/inspect").json())["running"]:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert "terminal" in told["error"]
        for thread in threading.enumerate():
            if thread.name == "inspect":
                thread.join()  # its error is this test's, not one of the next test
