"""Projects: folders with names that hold on every disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from edge_core.errors import SettingsError
from edge_studio import Project, Studio
from edge_studio.project import check_name


def test_a_project_is_created_once_and_listed(client: TestClient, studio: Studio) -> None:
    assert client.post("/api/projects", json={"name": " Blümen 2 "}).json() == {"project": "Blümen 2"}
    assert (studio.settings.folder / "Blümen 2").is_dir()
    again = client.post("/api/projects", json={"name": "Blümen 2"})
    assert again.status_code == 400 and "already" in again.json()["error"]
    assert client.get("/api/projects").json() == {"projects": ["Blümen 2"]}
    assert "Blümen 2" in client.get("/").text


def test_what_lies_beside_the_photos_is_no_project(studio: Studio, project: Project) -> None:
    for folder in (project.runs, project.exports, project.bin, project.inbox, project.root / ".hidden"):
        folder.mkdir()
    assert [one.name for one in studio.projects()] == ["flowers"]


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "../up", "a/b", "a\\b", ".hidden", "a\0b", "a\nb", "a:b", "x" * 65, "lost+found", "a."]
)
def test_a_name_that_a_folder_cannot_have_is_refused_in_one_line(client: TestClient, name: str) -> None:
    answer = client.post("/api/projects", json={"name": name})
    assert answer.status_code == 400
    assert "project" in answer.json()["error"] and "\n" not in answer.json()["error"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"name": 1}', b"\xff", b"[" * 100_000])
def test_a_request_that_is_no_json_object_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/projects", content=body)
    assert answer.status_code == 400 and answer.json()["error"]


@given(st.text(max_size=80))
def test_whatever_name_is_let_through_names_one_folder_that_is_not_hidden(name: str) -> None:
    try:
        checked = check_name(name, "class")
    except SettingsError:
        return
    assert checked == checked.strip() and checked not in (".", "..")
    assert not set(checked) & set("/\\\0\n") and not checked.startswith(".")
    assert len(checked.encode()) <= 255
    assert check_name(checked, "class") == checked


def test_an_address_that_leads_nowhere_has_a_page_that_says_so(client: TestClient) -> None:
    answer = client.get("/p/none/photos", headers={"accept": "text/html"})
    assert answer.status_code in (400, 404) and "banner" in answer.text
