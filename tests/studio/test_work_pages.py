"""The training page and the export page: forms that become jobs, and what a page is told of them."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="the extra [studio] is not installed")

from starlette.testclient import TestClient

from edge_core.codec import JsonObject
from edge_studio import Project, Studio

from .finished_runs import write_run


def finished(client: TestClient, project: Project) -> JsonObject:
    """The newest job, once it has ended."""
    end_s = time.monotonic() + 240
    while True:
        job: JsonObject = client.get(f"/api/p/{project.name}/jobs").json()["jobs"][0]
        if job["state"] not in ("queued", "running"):
            return job
        assert time.monotonic() < end_s, job
        time.sleep(0.1)


def test_a_training_that_cannot_be_says_why_in_the_command_s_own_line(
    client: TestClient, project: Project, jpeg: Callable[..., bytes]
) -> None:
    (project.photos / "roses").mkdir()
    for number in range(4):
        (project.photos / "roses" / f"{number}.jpg").write_bytes(jpeg(number))
    page = client.get(f"/p/{project.name}/train").text
    assert "A training needs photos of two classes at least; there is one so far." in page
    assert "processor core" in page
    answer = client.post(f"/api/p/{project.name}/train", json={"epochs": 2})
    assert answer.status_code == 200
    job = finished(client, project)
    assert (job["state"], job["exit_status"]) == ("failed", 2)
    assert job["message"].startswith("error: ") and "class" in job["message"]
    assert job["shell"] == f"edge-train fit {project.photos} --out {project.runs / 'run-1'} --epochs 2"
    log = client.get(f"/api/p/{project.name}/jobs/{job['id']}/log").json()["log"]
    assert job["message"] in log
    second = client.post(f"/api/p/{project.name}/train", json={}).json()["job"]
    assert second["output"] == str(project.runs / "run-2")  # the first can still go on


def test_jobs_of_another_project_are_not_told_of(client: TestClient, studio: Studio, project: Project) -> None:
    other = studio.create("other")
    job = client.post(f"/api/p/{project.name}/train", json={}).json()["job"]
    for path in (f"jobs/{job['id']}/log",):
        answer = client.get(f"/api/p/{other.name}/{path}")
        assert (answer.status_code, "there is no job" in answer.json()["error"]) == (400, True)
    answer = client.post(f"/api/p/{other.name}/jobs/{job['id']}/cancel", json={})
    assert answer.status_code == 400
    assert client.get(f"/api/p/{other.name}/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    ("path", "form", "why"),
    [
        ("train", {"backbone": "../x"}, "is not one of"),
        ("train", {"weights": "/etc/passwd"}, "is not one of"),
        ("export", {"run": "../../flowers"}, "there is no run"),
        ("export", {"run": "run-1"}, "train one first"),
        ("publish", {"file": "../x.tflite"}, "there is no exported file"),
    ],
)
def test_forms_that_no_page_sends_are_refused_and_begin_nothing(
    client: TestClient, project: Project, path: str, form: dict[str, str], why: str
) -> None:
    answer = client.post(f"/api/p/{project.name}/{path}", json=form)
    assert answer.status_code == 400 and why in answer.json()["error"]
    assert client.get(f"/api/p/{project.name}/jobs").json()["jobs"] == []


def test_a_page_says_whether_a_file_is_signed_and_never_with_which_key(
    client: TestClient, project: Project, jpeg: Callable[..., bytes]
) -> None:
    client.put(f"/api/p/{project.name}/upload?name=0.jpg&label=roses", content=jpeg())
    write_run(project, "first", [("roses/0.jpg", "roses", 0.9, "roses", 0.9)])
    answer = client.post(f"/api/p/{project.name}/export", json={"run": "first", "sign": "/etc/passwd"})
    assert answer.status_code == 400 and "true or false" in answer.json()["error"]
    job = client.post(f"/api/p/{project.name}/export", json={"run": "first", "sign": True}).json()["job"]
    assert job["words"][-1] == str(project.root / ".studio" / "signing.key")
    client.post(f"/api/p/{project.name}/jobs/{job['id']}/cancel", json={})


REPORT = {
    "recipe": "int8",
    "size_bytes": 2136,
    "latency_ms": 0.1,
    "missed": {},
    "foreign": {"kept": {"value": 0.94, "low": 0.9, "high": 0.97}, "foreign": 0, "let_in": None},
    "run": "/elsewhere/run-1",
    "comparison": {
        "photos": 40,
        **{name: {"value": 0.95, "low": 0.9, "high": 0.97} for name in ("full_size", "converted", "agreement")},
        "difference": {"value": -0.002, "low": -0.01, "high": 0.004},
    },
    "max_drop_points": 1.0,
    "verdict": "within the limit",
    "targets": {"coral": {"ok": False, "reasons": ["<script>alert(1)</script>"]}},
}


def test_exported_files_are_listed_with_their_proof_and_can_be_fetched(
    client: TestClient, project: Project, tiny_model: Callable[..., Path]
) -> None:
    project.exports.mkdir()
    file = project.exports / "run-1-int8.tflite"
    tiny_model("uint8").rename(file)
    assert client.get(f"/api/p/{project.name}/exports").json() == {"exports": []}  # without a report it is not ours
    file.with_suffix(".report.json").write_text(json.dumps(REPORT))
    file.with_suffix(".report.html").write_text("<p>proof")
    (found,) = client.get(f"/api/p/{project.name}/exports").json()["exports"]
    assert (found["name"], found["run"], found["signed"]) == (file.name, "run-1", False)
    assert ["This file right", "95.0 % (90.0 to 97.0)"] in found["facts"]
    assert found["targets"] == [["coral", False, "<script>alert(1)</script>"]]
    answer = client.get(f"/api/p/{project.name}/exports/{file.name}")
    assert answer.content == file.read_bytes() and "attachment" in answer.headers["content-disposition"]
    report = client.get(f"/api/p/{project.name}/exports/{file.name}/report")
    assert "sandbox" in report.headers["content-security-policy"] and "proof" in report.text
    assert client.get(f"/api/p/{project.name}/exports/..%2f..%2fx.tflite").status_code == 404
