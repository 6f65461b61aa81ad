"""Photos of a project over its API: taken in, listed, moved, deleted, and all of it taken back."""

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from edge_core import decode_picture
from edge_core.codec import JsonObject
from edge_core.data.photo_folder import find_photos
from edge_core.errors import OutputError
from edge_studio import Project, Studio
from edge_studio.photos import photo_index, thumbnails
from edge_studio.photos.archive_layout import flat_label

Jpeg = Callable[..., bytes]


def put(client: TestClient, data: bytes, name: str = "a.jpg", label: str = "roses", kind: str = "upload"):  # type: ignore[no-untyped-def]
    return client.put(f"/api/p/flowers/{kind}?name={quote(name)}&label={quote(label)}", content=data)


def listed(client: TestClient, **query: object) -> JsonObject:
    answer = client.get("/api/p/flowers/photos", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    state: JsonObject = answer.json()
    return state


def paths(client: TestClient, **query: object) -> list[str]:
    return [one["path"] for one in listed(client, **query)["photos"]]


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_what_was_confirmed_is_what_the_commands_find(client: TestClient, project: Project, jpeg: Jpeg) -> None:
    for number, (label, name) in enumerate((("roses", "10.jpg"), ("roses", "2.jpg"), ("Tülpen", "x.jpg"))):
        answer = put(client, jpeg(number), name, label)
        assert answer.json() == {"path": f"{label}/{name}", "new": True, "also_in": ""}
    found = [(path.relative_to(project.photos).as_posix(), label) for path, label in find_photos(project.photos).files]
    assert [(one["path"], one["label"]) for one in listed(client)["photos"]] == found
    assert found == [("roses/2.jpg", "roses"), ("roses/10.jpg", "roses"), ("Tülpen/x.jpg", "Tülpen")]


def test_the_same_photo_is_kept_once_a_class_and_told_of_in_another(client: TestClient, jpeg: Jpeg) -> None:
    project = client.post("/api/projects", json={"name": "flowers"})
    assert project.status_code == 200
    assert put(client, jpeg(1), "a.jpg").json()["new"]
    assert put(client, jpeg(1), "b.jpg").json() == {"path": "roses/a.jpg", "new": False, "also_in": ""}
    assert put(client, jpeg(1), "b.jpg", "tulips").json()["also_in"] == "roses"
    assert put(client, jpeg(2), "a.jpg").json()["path"] == "roses/a-2.jpg"


def test_a_window_of_the_list_says_how_many_there_are_in_all(client: TestClient, project: Project, jpeg: Jpeg) -> None:
    for number in range(7):
        put(client, jpeg(number), f"{number}.jpg", "roses" if number < 5 else "tulips")
    window = listed(client, start=4, count=2)
    assert window["total"] == 7 and [one["path"] for one in window["photos"]] == ["roses/4.jpg", "tulips/5.jpg"]
    assert window["classes"] == [{"label": "roses", "count": 5}, {"label": "tulips", "count": 2}]
    assert listed(client, label="tulips")["total"] == 2
    assert client.get("/api/p/flowers/photos?start=-1").status_code == 400


def test_a_file_that_somebody_else_puts_there_or_takes_away_is_seen(
    client: TestClient, project: Project, jpeg: Jpeg
) -> None:
    put(client, jpeg(1), "a.jpg")
    assert paths(client) == ["roses/a.jpg"]
    (project.photos / "roses" / "b.jpg").write_bytes(jpeg(2))
    (project.photos / "roses" / "notes.txt").write_text("no picture")
    (project.photos / "empty").mkdir()
    assert paths(client) == ["roses/a.jpg", "roses/b.jpg"]
    state = listed(client)
    assert state["dropped"] == [{"path": "notes.txt", "reason": "not a picture"}]
    assert {"label": "empty", "count": 0} in state["classes"]
    (project.photos / "roses" / "a.jpg").unlink()
    assert paths(client) == ["roses/b.jpg"]


def test_thumbnail_and_preview_are_made_anew_and_small(client: TestClient, project: Project, jpeg: Jpeg) -> None:
    put(client, jpeg(1, 3000, 2000), "a.jpg")
    (photo,) = listed(client)["photos"]
    query = f"path={quote(photo['path'])}&version={photo['version']}"
    for kind, side in (("thumbnail", 192), ("preview", 1600)):
        answer = client.get(f"/api/p/flowers/{kind}?{query}")
        assert answer.headers["content-type"] == "image/jpeg" and "immutable" in answer.headers["cache-control"]
        assert side * 0.9 < decode_picture(answer.content).shape[1] <= side
    assert client.get("/api/p/flowers/thumbnail?path=roses/b.jpg").status_code == 404


def test_a_thumbnail_that_cannot_be_kept_is_shown_all_the_same(
    client: TestClient, project: Project, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, jpeg(1), "a.jpg")

    @contextmanager
    def full(path: Path) -> Iterator[Path]:
        raise OutputError(f"{path} cannot be written: No space left on device")
        yield path

    monkeypatch.setattr(thumbnails, "written_whole", full)
    (photo,) = listed(client)["photos"]
    answer = client.get(f"/api/p/flowers/thumbnail?path={quote(photo['path'])}&version={photo['version']}")
    assert answer.status_code == 200 and decode_picture(answer.content).size


@pytest.mark.parametrize("path", ["../../secret.jpg", "/etc/passwd", "roses/../../secret.jpg", "roses", "", "a\0b"])
@pytest.mark.parametrize("kind", ["thumbnail", "preview"])
def test_no_path_leads_out_of_the_project(
    client: TestClient, project: Project, jpeg: Jpeg, path: str, kind: str
) -> None:
    (project.root / "secret.jpg").write_bytes(jpeg(1))
    put(client, jpeg(2), "a.jpg")
    assert client.get(f"/api/p/flowers/{kind}", params={"path": path}).status_code == 404
    assert client.post("/api/p/flowers/photos/delete", json={"paths": [path]}).status_code == 400
    assert client.post("/api/p/flowers/photos/move", json={"paths": [path], "label": "x"}).status_code == 400
    assert (project.root / "secret.jpg").is_file()


@pytest.mark.parametrize("label", ["..", "../other", "a/b", ".hidden", "", "x\n"])
def test_no_label_leads_out_of_the_project(client: TestClient, project: Project, jpeg: Jpeg, label: str) -> None:
    put(client, jpeg(2), "a.jpg")
    before = sorted(project.root.rglob("*.jpg"))
    assert put(client, jpeg(1), "b.jpg", label).status_code == (400 if label != "x\n" else 200)
    move = client.post("/api/p/flowers/photos/move", json={"paths": ["roses/a.jpg"], "label": label.strip() or label})
    if label != "x\n":
        assert move.status_code == 400
        assert sorted(project.root.rglob("*.jpg")) == before


def test_each_operation_is_taken_back_in_turn(client: TestClient, project: Project, jpeg: Jpeg) -> None:
    for number in range(4):
        put(client, jpeg(number), f"{number}.jpg")
    began = sorted(project.photos.rglob("*.jpg"))
    contents = [path.read_bytes() for path in began]

    def post(path: str, **fields: object) -> JsonObject:
        answer = client.post(f"/api/p/flowers/{path}", json=fields)
        assert answer.status_code == 200, answer.text
        told: JsonObject = answer.json()
        return told

    assert (
        post("photos/move", paths=["roses/1.jpg", "roses/2.jpg"], label="tulips")["title"] == "2 photos moved to tulips"
    )
    assert post("photos/delete", paths=["roses/0.jpg"])["undo"] == "1 photo deleted"
    post("classes/rename", label="tulips", name="Tulpen")
    assert paths(client) == ["roses/3.jpg", "Tulpen/1.jpg", "Tulpen/2.jpg"]
    post("classes/rename", label="Tulpen", name="roses")  # a class that is there takes the photos in
    assert len(paths(client)) == 3 and len(listed(client)["classes"]) == 1
    post("classes/delete", label="roses")
    assert paths(client) == []
    titles = [post("undo")["title"] for _ in range(5)]
    assert all(title.startswith("undone: ") for title in titles)
    assert sorted(project.photos.rglob("*.jpg")) == began
    assert [path.read_bytes() for path in began] == contents
    assert client.post("/api/p/flowers/undo", json={}).json() == {"error": "there is nothing to undo"}


def test_a_photo_that_comes_back_to_a_taken_name_replaces_nothing(
    client: TestClient, project: Project, jpeg: Jpeg
) -> None:
    put(client, jpeg(1), "a.jpg")
    client.post("/api/p/flowers/photos/delete", json={"paths": ["roses/a.jpg"]})
    put(client, jpeg(2), "a.jpg")
    answer = client.post("/api/p/flowers/undo", json={})
    assert answer.status_code == 400 and "is there already" in answer.json()["error"]
    assert (project.photos / "roses" / "a.jpg").read_bytes() == jpeg(2)


def test_emptying_the_bin_frees_it_and_leaves_the_photos(client: TestClient, project: Project, jpeg: Jpeg) -> None:
    put(client, jpeg(1), "a.jpg")
    put(client, jpeg(2), "b.jpg")
    client.post("/api/p/flowers/photos/delete", json={"paths": ["roses/a.jpg"]})
    assert client.post("/api/p/flowers/bin/empty", json={}).json()["undo"] == ""
    assert not [path for path in project.bin.rglob("*") if path.is_file()] and paths(client) == ["roses/b.jpg"]


def test_emptying_the_bin_leaves_what_is_on_its_way_in(studio: Studio, project: Project, jpeg: Jpeg) -> None:
    photos = studio.photo_store(project)
    arriving = photos.incoming()
    arriving.write_bytes(jpeg(1))
    photos.delete([photos.add(jpeg(2), "b.jpg", "roses").path])
    photos.empty_bin()
    assert arriving.read_bytes() == jpeg(1) and photos.last() is None
    assert [path for path in project.bin.rglob("*") if path.is_file()] == [arriving]


def test_a_photo_that_goes_while_its_folder_is_looked_through_is_left_out(
    studio: Studio, project: Project, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = studio.photo_store(project)
    for number, name in enumerate(("a.jpg", "gone.jpg")):
        photos.add(jpeg(number), name, "roses")
    listing = photo_index._files

    def meanwhile(*args: Any) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
        for path, entry in list(listing(*args)):
            (project.photos / "roses" / "gone.jpg").unlink(missing_ok=True)
            yield path, entry

    monkeypatch.setattr(photo_index, "_files", meanwhile)
    assert [photo.path for photo in photos.index().photos] == ["roses/a.jpg"]


@pytest.mark.parametrize("archive", ["roses.tar.gz", "roses-samples.zip", "roses.tar", "roses.tgz"])
def test_an_archive_of_loose_pictures_has_the_name_of_their_class(archive: str) -> None:
    assert flat_label(f"down/{archive}") == "roses"


LAYOUTS = {
    "class folders": ({"roses/1.jpg", "tulips/2.jpg"}, {"roses": 1, "tulips": 1}),
    "a folder around them": ({"flowers/roses/1.jpg", "flowers/tulips/2.jpg"}, {"roses": 1, "tulips": 1}),
    "Kaggle's splits, twice": (
        {
            f"{split}/{split}/{label}/{split}.jpg"
            for split in ("training_set", "test_set")
            for label in ("cats", "dogs")
        },
        {"cats": 2, "dogs": 2},
    ),
    "Teachable Machine's samples": ({"0.jpg", "1.jpg"}, {"Class 1": 2}),
    "folders below a class": ({"roses/monday/1.jpg", "roses/tuesday/2.jpg", "tulips/3.jpg"}, {"roses": 2, "tulips": 1}),
    "litter of a Mac": ({"roses/1.jpg", "tulips/2.jpg", "__MACOSX/roses/._1.jpg"}, {"roses": 1, "tulips": 1}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_archive_brings_its_classes_and_is_taken_back_as_one(
    client: TestClient, project: Project, jpeg: Jpeg, name: str
) -> None:
    files, expected = LAYOUTS[name]
    data = zipped({path: jpeg(number) for number, path in enumerate(sorted(files))})
    answer = put(client, data, "Class 1-samples.zip", "", "archive")
    assert answer.status_code == 200, answer.text
    assert answer.json()["added"] == expected and not answer.json()["refused"]
    again = put(client, data, "Class 1-samples.zip", "", "archive").json()
    assert again["added"] == {} and again["already"] == sum(expected.values())
    assert not [path for path in (project.bin / "incoming").rglob("*") if path.is_file()]
    client.post("/api/p/flowers/undo", json={})
    assert paths(client) == []


def test_pictures_of_an_archive_that_was_taken_back_are_in_the_bin_after_the_next_start(
    client: TestClient, studio: Studio, project: Project, jpeg: Jpeg
) -> None:
    data = zipped({f"{label}/{number}.jpg": jpeg(number) for number, label in enumerate(("roses", "tulips"))})
    put(client, data, "flowers.zip", "", "archive")
    client.post("/api/p/flowers/undo", json={})
    assert Studio(studio.settings).photo_store(project).index().photos == ()
    kept = {(path.parent.name, path.read_bytes()) for path in project.bin.rglob("*.jpg")}
    assert kept == {("roses", jpeg(0)), ("tulips", jpeg(1))}


def test_dropped_folders_have_the_labels_that_an_archive_of_them_would_have(
    client: TestClient, project: Project
) -> None:
    asked = ["flowers/roses/1.jpg", "flowers/tulips/a/2.jpg", "3.jpg"]
    answer = client.post("/api/p/flowers/layout", json={"paths": asked})
    assert answer.json() == {"labels": ["roses", "tulips", ""]}


def test_a_folder_that_has_not_changed_is_not_looked_through_at_the_next_start(
    studio: Studio, project: Project, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("roses", "tulips"):
        studio.photo_store(project).add(jpeg(1), "a.jpg", label)
        os.utime(project.photos / label, (1e9, 1e9))  # settled
    assert len(studio.photo_store(project).index().photos) == 2
    looked: list[str] = []
    files = photo_index._files

    def noted(folder: Path, path: str, folders: dict[Path, int]) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
        looked.append(path)
        return files(folder, path, folders)

    monkeypatch.setattr(photo_index, "_files", noted)
    assert [one.path for one in Studio(studio.settings).photo_store(project).index().photos] == [
        "roses/a.jpg",
        "tulips/a.jpg",
    ]
    assert not looked
    (project.photos / "tulips" / "a.jpg").rename(project.photos / "tulips" / "b.jpg")
    assert [one.path for one in Studio(studio.settings).photo_store(project).index().photos] == [
        "roses/a.jpg",
        "tulips/b.jpg",
    ]
    assert looked == ["tulips"]


def test_what_changes_is_told_to_the_pages_of_its_project(studio: Studio, project: Project, jpeg: Jpeg) -> None:
    import asyncio

    async def first_event() -> bytes:
        events = studio.hub.listen("flowers")
        assert b"event: reload\n" in await anext(events)  # what happened before it listened was told to nobody
        studio.hub.publish("other", "photos", {})
        studio.hub.publish("flowers", "photos", {"a": "b\n\nc"})
        return await anext(events)

    assert asyncio.run(first_event()) == b'event: photos\ndata: {"a": "b\\n\\nc"}\n\n'


def test_the_photo_page_shows_its_tab(client: TestClient, project: Project, tmp_path: Path) -> None:
    text = client.get("/p/flowers/photos").text
    assert 'aria-current="page">Photos' in text
