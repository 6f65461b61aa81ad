"""What a finished run got wrong, over the API: its cells, its mistakes, two runs, labels in doubt."""

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from edge_core.codec import JsonObject
from edge_core.errors import RunFolderError
from edge_studio import Project, Studio
from edge_studio.photos.photo_flags import FlagSet, PhotoFlag
from edge_studio.photos.photo_index import IndexedPhoto
from edge_studio.review.run_review import PhotoPlaces, review_run
from edge_train.evaluation.predictions import read_predictions

from .finished_runs import Row, write_run


@pytest.fixture
def run(project: Project, studio: Studio, jpeg: Callable[..., bytes]) -> Path:
    store = studio.photo_store(project)
    for number, label in enumerate(("roses", "roses", "roses", "tulips")):
        store.add(jpeg(number), f"{number}.jpg", label)
    rows: list[Row] = [
        ("roses/0.jpg", "roses", 0.9, "roses", 0.9),
        ("roses/1.jpg", "roses", 0.3, "tulips", 0.7),
        ("roses/2.jpg", "roses", 0.1, "tulips", 0.9),
        ("tulips/3.jpg", "tulips", 0.8, "tulips", 0.8),
    ]
    return write_run(project, "first", rows)


def get(client: TestClient, path: str, **query: object) -> JsonObject:
    answer = client.get(f"/api/p/flowers/{path}", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    value: JsonObject = answer.json()
    return value


def paths(found: JsonObject) -> list[str]:
    return [one["path"] for one in found["photos"]]


def test_mistakes_come_most_confident_first_and_a_cell_has_its_photos(client: TestClient, run: Path) -> None:
    assert paths(get(client, "runs/first/review", only="mistakes")) == ["roses/2.jpg", "roses/1.jpg"]
    cell = get(client, "runs/first/review", label="roses", predicted="tulips", start=1, count=1)
    assert paths(cell) == ["roses/2.jpg"] and cell["total"] == 2 and cell["confusion"] == [[1, 2], [0, 1]]
    (listed,) = get(client, "runs")["runs"]
    assert listed["name"] == "first" and listed["photos"] == 4 and listed["accuracy"]["value"] == 0.5


def test_a_test_photo_is_found_where_its_new_label_has_brought_it(
    client: TestClient, run: Path, project: Project, jpeg: Callable[..., bytes]
) -> None:
    client.put("/api/p/flowers/upload?name=2.jpg&label=tulips", content=jpeg(99))  # its name is taken there
    client.post("/api/p/flowers/photos/move", json={"paths": ["roses/1.jpg"], "label": "tulips"})
    client.post("/api/p/flowers/photos/delete", json={"paths": ["roses/2.jpg"]})
    found = {
        one["label_score"]: (one["path"], one["label"], one["label_now"])
        for one in get(client, "runs/first/review")["photos"]
    }
    assert found[0.3] == ("tulips/1.jpg", "roses", "tulips")
    assert found[0.1] == ("", "roses", "")


def test_a_label_in_doubt_is_asked_until_it_is_decided(
    client: TestClient, run: Path, studio: Studio, project: Project
) -> None:
    store = studio.photo_store(project)
    versions = {one.path: one.version for one in store.index().photos}
    store.set_flags(FlagSet(versions, {"tulips/3.jpg": (PhotoFlag("suspect", "roses", 0),)}))
    assert paths(get(client, "doubts")) == ["roses/2.jpg", "roses/1.jpg", "tulips/3.jpg"]
    assert client.post("/api/p/flowers/doubts/right", json={"path": "roses/2.jpg"}).status_code == 200
    client.post("/api/p/flowers/photos/move", json={"paths": ["roses/1.jpg"], "label": "tulips"})
    assert paths(get(client, "doubts")) == ["tulips/3.jpg"]
    again = TestClient(client.app, base_url=str(client.base_url), headers=dict(client.headers))
    assert paths(get(again, "doubts")) == ["tulips/3.jpg"]
    assert client.post("/api/p/flowers/doubts/right", json={"path": "../x"}).status_code == 400


def test_two_runs_are_compared_on_the_photos_that_both_have(client: TestClient, run: Path, project: Project) -> None:
    rows: list[Row] = [
        ("roses/0.jpg", "roses", 0.4, "tulips", 0.6),
        ("roses/1.jpg", "roses", 0.8, "roses", 0.8),
        ("roses/2.jpg", "roses", 0.2, "tulips", 0.8),
    ]
    write_run(project, "second", rows)
    found = get(client, "compare", before="first", after="second", outcome="better")
    assert found["counts"] == {"better": 1, "worse": 1, "both_wrong": 1, "both_right": 0}
    assert [one["after"]["path"] for one in found["photos"]] == ["roses/1.jpg"]
    assert found["difference"]["value"] == 0 and found["p_value"] == 1
    assert client.get("/api/p/flowers/compare?before=first&after=none").status_code == 400
    assert client.get("/api/p/flowers/compare?before=first&after=second&outcome=x").status_code == 400


def test_a_run_says_whether_more_photos_would_help_and_of_which_class(
    client: TestClient, run: Path, project: Project
) -> None:
    (listed,) = get(client, "runs")["runs"]
    assert listed["gain"] == "" and listed["pictures"] == []
    assert listed["weakest"].startswith("Least often recognized is roses, 50.0 % (20.0 to 80.0)")
    asked = client.post("/api/p/flowers/curve", json={"run": "first"})
    told = asked.json()["job"]
    assert told["shell"] == f"edge-train curve {run} --out {run / 'learning_curve.png'}"
    assert client.post(f"/api/p/flowers/jobs/{told['id']}/cancel", json={}).status_code == 200
    assert client.post("/api/p/flowers/curve", json={"run": "../first"}).status_code == 400
    (run / "learning_curve.png").write_bytes(b"")
    (run / "learning_curve.json").write_text('{"sentence": "Twice as many photos: about +1.0 points."}')
    (listed,) = get(client, "runs")["runs"]
    assert listed["gain"].startswith("Twice as many") and listed["pictures"] == ["learning_curve.png"]


def test_a_damaged_run_is_told_of_by_name_and_hides_no_other(client: TestClient, run: Path, project: Project) -> None:
    broken = project.runs / "broken"
    shutil.copytree(run, broken)
    (broken / "predictions.csv").write_text("path,label\nx,y\n")
    found = {one["name"]: one for one in get(client, "runs")["runs"]}
    assert "damaged" in found["broken"]["error"] and found["first"]["photos"] == 4
    with pytest.raises(RunFolderError, match="damaged"):
        read_predictions(broken)
    (broken / "evaluation.json").write_text("[]")
    shutil.copy(run / "predictions.csv", broken)
    with pytest.raises(RunFolderError, match="damaged"):
        review_run(project, broken, ())


@pytest.mark.parametrize("name", ["card.json", "model.keras", "..%2f..%2fphoto.jpg", "photos.csv"])
def test_of_a_run_only_its_plots_and_its_report_are_served(client: TestClient, run: Path, name: str) -> None:
    assert client.get(f"/api/p/flowers/runs/first/files/{name}").status_code == 404
    (run / "report.html").write_text("<script>alert(1)</script>")
    report = client.get("/api/p/flowers/runs/first/files/report.html")
    assert report.status_code == 200 and "sandbox" in report.headers["content-security-policy"]
    assert "script-src" not in report.headers["content-security-policy"]


def test_the_pages_of_runs_are_there(client: TestClient, run: Path) -> None:
    for path in ("runs", "runs/first", "compare", "doubts"):
        assert client.get(f"/p/flowers/{path}").status_code == 200, path
    assert client.get(f"/p/flowers/runs/{quote('no such')}").status_code == 400


def test_a_photo_of_unknown_content_is_not_found_in_one_that_cannot_be_read(project: Project) -> None:
    places = PhotoPlaces(project, [IndexedPhoto("roses/a.jpg", "roses", 1, 1)])
    assert places.find(Path("/elsewhere/a.jpg"), "") is None
