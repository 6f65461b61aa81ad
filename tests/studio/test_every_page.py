"""Every page of a studio in which something has happened: no accessibility fault, light or dark, and nothing wider than
the screen. SCREENSHOTS=FOLDER keeps a picture of each."""

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_device.sinks.inbox.snapshot_store import SnapshotStore
from edge_studio import Project, Studio, StudioSettings
from edge_studio.devices.board_list import StudioBoard
from edge_studio.jobs.job import JobRecord, write_record
from edge_studio.jobs.supervised import LOG_FILE, RESULT_FILE, write_json

from ..browser import Browser
from ..device.update.vendor import signed_model
from .accessibility import AXE, faults
from .finished_runs import Row, write_run
from .served import served
from .test_photos_in_browser import SIZES, go, loaded, press
from .test_work_pages import REPORT

PAGES = {
    "home": ("/", "document.querySelectorAll('.cards li').length === 1"),
    "photos": ("photos", "document.querySelectorAll('.tile img').length > 4"),
    "viewer": ("photos", "document.querySelectorAll('.tile img').length > 4"),
    "results": ("runs", "document.querySelectorAll('#runs li').length === 2"),
    "run": ("runs/first", "document.querySelectorAll('#gallery li').length === 4"),
    "look": ("runs/first", "document.querySelectorAll('#gallery li').length === 4"),
    "compare": ("compare", "document.querySelectorAll('#gallery li').length > 0"),
    "doubts": ("doubts", "!document.getElementById('doubt').hidden"),
    "train": ("train", "document.querySelectorAll('.job').length === 1"),
    "export": ("export", "document.querySelectorAll('#files .job').length === 1"),
    "try": ("try", "document.querySelectorAll('#file option').length === 1"),
    "devices": ("devices", "document.querySelector('.board')?.innerText.includes('porch')"),
    "inbox": ("inbox", "document.querySelectorAll('.frame img').length === 5"),
    "error": ("runs/none", "document.querySelector('h1').textContent === 'This did not work'"),
}
"""Path of each page below its project's, and what is true of it once it is there."""

STEPS = {
    "viewer": ("document.querySelector('#open').click()", "document.querySelector('#viewer-image').naturalWidth > 0"),
    "look": ("document.querySelector('#gallery button').click()", "document.querySelector('#look').open"),
    "train": ("document.querySelector('summary').click()", "document.querySelector('details').open"),
    "export": ("document.querySelector('summary').click()", "document.querySelector('details').open"),
    "devices": ("document.querySelector('summary').click()", "document.querySelector('details').open"),
}
"""What is done on a page before it is looked at, and what is true then."""


def project_with_everything(folder: Path, jpeg: Callable[..., bytes], model: Path) -> Project:
    """Photos of two classes, two runs, an exported file, a board that does not answer, its frames, and failed jobs."""
    studio = Studio(StudioSettings(folder, cache=folder.parent / "cache"))
    project = studio.create("flowers")
    store = studio.photo_store(project)
    for number in range(8):
        store.add(jpeg(number), f"{number}.jpg", "roses" if number < 5 else "tulips")
    wrong: list[Row] = [(f"roses/{number}.jpg", "roses", 0.1, "tulips", 0.9) for number in range(4)]
    write_run(project, "first", [*wrong, ("tulips/5.jpg", "tulips", 0.8, "tulips", 0.8)])
    write_run(project, "second", [*wrong, ("tulips/5.jpg", "tulips", 0.3, "roses", 0.7)])
    project.exports.mkdir()
    file = project.exports / "first-int8.tflite"
    model.rename(file)
    report = REPORT | {"missed": {"size": "2 kB are more than the 1 kB that were asked for"}}
    file.with_suffix(".report.json").write_text(json.dumps(report))
    board = studio.fleet.add(StudioBoard("", "porch", project.name, "http://127.0.0.1:9"))
    frames = SnapshotStore(project.inbox / board.id)
    frames.open()
    for number in range(5):
        frames.add(jpeg(100 + number // 2, 64 + number), "roses", {"source": "0"}, ("uncertain", "unsure"))
    for number, kind in enumerate(("train", "export")):
        job = studio.state / "jobs" / f"20260101T000000.{number:06}Z"
        words = (f"edge-{kind}", "fit", str(project.photos))
        job.mkdir(parents=True)
        write_record(job, JobRecord(project.name, kind, f"The {kind} of first", words, f"x/{kind}", 1.0, attempts=1))
        (job / LOG_FILE).write_text("error: this did not work, for a reason that takes more than one line to say\n" * 3)
        write_json(job / RESULT_FILE, {"exit_status": 1, "time": 2.0})
    return project


@pytest.fixture(scope="module")
def address(
    start: Callable[..., subprocess.Popen[str]],
    tmp_path_factory: pytest.TempPathFactory,
    jpeg: Callable[..., bytes],
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("pages") / "projects"
    project_with_everything(folder, jpeg, signed_model(folder.parent / "model.tflite", None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
        with served(start, folder) as (url, _):
            yield url


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        ("phone", "dark"),
        ("desktop", "light"),
        pytest.param("phone", "light", marks=pytest.mark.slow),
        pytest.param("desktop", "dark", marks=pytest.mark.slow),
    ],
)
def test_no_page_has_a_fault_or_is_wider_than_the_screen(
    browser: Browser, address: str, size: str, scheme: str
) -> None:
    browser.resize(*SIZES[size])
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(address)
    loaded(browser)
    found: dict[str, object] = {}
    try:
        for name, (path, there) in PAGES.items():
            go(browser, path if path == "/" else f"/p/flowers/{path}")
            browser.wait(there)
            if name in STEPS:
                step, done = STEPS[name]
                browser.ask(step)
                browser.wait(done)
            found[name] = faults(browser) if AXE.is_file() else []
            if not browser.ask("document.documentElement.scrollWidth <= innerWidth"):
                found[name] = "wider than the screen"
            keep_picture(browser, f"{name}-{size}-{scheme}")
    finally:
        browser.send("Emulation.setEmulatedMedia", features=[])
    assert {name: fault for name, fault in found.items() if fault} == {}


HELD = """
const real = window.fetch;
window.fetch = (url, ...more) => !String(url).endsWith("inbox/label") ? real(url, ...more)
  : new Promise((answer) => { window.refuse = () => answer(Response.json({ error: "no room" }, { status: 400 })); });
"""


def test_labeled_frames_stay_away_while_their_request_is_on_its_way_and_come_back_if_it_fails(
    browser: Browser, address: str
) -> None:
    browser.resize(*SIZES["desktop"])
    browser.open(address)
    loaded(browser)
    go(browser, "/p/flowers/inbox")
    browser.wait(PAGES["inbox"][1])
    browser.ask(HELD)
    while browser.ask("document.querySelectorAll('.group').length"):
        press(browser, "1")
    browser.ask("document.getElementById('fetch').click()")
    browser.wait("document.body.innerText.includes('0 new frames')")
    assert browser.ask("document.getElementById('count').textContent") == "The inbox is empty."
    browser.wait("(window.refuse(), document.querySelectorAll('.frame img').length === 5)")  # a request for each group
    browser.wait("document.body.innerText.includes('no room')")


def keep_picture(browser: Browser, name: str) -> None:
    """Writes a picture of the whole page if it is asked for."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shot = browser.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(shot))
