"""From an empty folder to a camera that runs a better model, in a real browser and without a command: minutes.

Once with the mouse on a desktop, once with keys alone in the width of a phone.
"""

import subprocess
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_core import Frame
from edge_device.system.user_folders import cache_folder
from edge_studio import Project, Studio, StudioSettings

from ..browser import Browser
from .accessibility import AXE, faults
from .served import served
from .test_photos_in_browser import SIZES, drop, press

PHOTOS = 100
"""Of each of the two classes."""

MISLABELED = 12
CLICKS = 40
MOST_TABS = 150
FRAMES = 10
MINUTES_OF_VIDEO = 40
SMALL = {"image_size": "96", "epochs": "1"}
"""Choices of a training that takes less than a minute; the page remembers them."""
LONG = 900.0
COLORS = {"circle": (60, 60, 210), "square": (200, 90, 40), "triangle": (70, 200, 80)}


def drawn(shape: str, seed: int, side: int = 128) -> Frame:
    """A shape somewhere on noisy ground: red circles, blue squares and green triangles."""
    rng = np.random.default_rng(seed)
    picture = np.full((side, side, 3), rng.integers(80, 180, 3), np.uint8)
    (x, y), half = rng.integers(side // 3, 2 * side // 3, 2).tolist(), int(rng.integers(side // 6, side // 3))
    if shape == "circle":
        cv2.circle(picture, (x, y), half, COLORS[shape], -1)
    elif shape == "square":
        cv2.rectangle(picture, (x - half, y - half), (x + half, y + half), COLORS[shape], -1)
    else:
        corners = np.array([[x, y - half], [x - half, y + half], [x + half, y + half]], np.int32)
        cv2.fillPoly(picture, [corners], COLORS[shape])
    noise = rng.normal(0, 12, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


@dataclass
class Person:
    """Clicks with a real mouse, and counts."""

    browser: Browser
    clicks: int = 0

    def click(self, selector: str, words: str = "") -> None:
        """Clicks the first element that fits a selector and holds these words, once it can be clicked."""
        found = f"[...document.querySelectorAll({selector!r})].find((one) => one.innerText.includes({words!r}))"
        ready = f"document.readyState === 'complete' && {found} && !{found}.disabled"
        self.browser.wait(f"{ready} && {found}.getClientRects().length > 0")
        self.act(found)
        self.clicks += 1

    def act(self, found: str) -> None:
        """Does to an element, the value of a JavaScript expression, what a click does."""
        place = self.browser.ask(
            f"(() => {{ const one = {found}; one.scrollIntoView({{ block: 'center', behavior: 'instant' }}); "
            "const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.browser.send(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1
            )

    def bring(self, folder: Path) -> None:
        """Puts class folders into the project."""
        drop(self.browser, *sorted(folder.iterdir()))
        self.browser.wait(
            f"document.getElementById('upload-said').textContent.startsWith('{2 * PHOTOS} of {2 * PHOTOS}')", 300
        )

    def choose(self, selector: str, file: Path) -> None:
        """Gives a field a file. The dialog of files, which no page can open, is counted as the click that opens it."""
        root = self.browser.send("DOM.getDocument")["root"]["nodeId"]
        field = self.browser.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.browser.send("DOM.setFileInputFiles", nodeId=field, files=[str(file)])
        self.clicks += 1

    def focus(self, selector: str) -> None:
        """Has a choice take the next key."""
        self.browser.ask(f"document.querySelector({selector!r}).focus()")

    def open(self, tab: str) -> None:
        """Follows a tab; the page is there, and its scripts have run, when this returns."""
        self.browser.ask("document.documentElement.dataset.old = 1")
        self.click("nav a", tab)
        self.browser.wait("!document.documentElement.dataset.old && document.readyState === 'complete'")
        assert not AXE.is_file() or not faults(self.browser), tab

    def type(self, selector: str, text: str) -> None:
        """Replaces the text of a field."""
        self.click(selector)
        self.browser.ask(f"document.querySelector({selector!r}).select()")
        self.browser.send("Input.insertText", text=text)

    def export(self, run: str) -> None:
        """Exports a run; takes what the page offers where the gate refuses its 8 bits."""
        self.open("Export")
        self.click("#export button", "Export")
        title = f"Export {run} as"
        if self.ended(f"{title} int8") == "failed":
            self.click(".job[data-state=failed] button.primary", "Find a recipe")
            self.job(f"{title} auto")
        self.browser.wait(f"document.querySelector('#files').innerText.includes('{run}-')")

    def ended(self, title: str) -> str:
        """Waits for a job to end, and tells how it did."""
        state = (
            f"[...document.querySelectorAll('.job')].find((one) => one.innerText.startsWith({title!r}))?.dataset.state"
        )
        self.browser.wait(f"['done', 'failed'].includes({state})", LONG)
        told: str = self.browser.ask(state)
        return told

    def job(self, title: str) -> None:
        """Waits for a job to be done."""
        assert self.ended(title) == "done", self.browser.ask("document.getElementById('jobs').innerText")


class Typist(Person):
    """Has no mouse: Tab leads to each element, Enter presses it."""

    def act(self, found: str) -> None:
        self.reach(found)
        if not self.browser.ask(f"{found}.matches('input')"):
            press(self.browser, "Enter")

    def reach(self, found: str) -> None:
        """Presses Tab until an element has the focus."""
        for _ in range(MOST_TABS):
            if self.browser.ask(f"document.activeElement === {found}"):
                return
            press(self.browser, "Tab")
        raise AssertionError(f"Tab does not lead to {found}")

    def focus(self, selector: str) -> None:
        self.reach(f"document.querySelector({selector!r})")

    def bring(self, folder: Path) -> None:
        packed = folder.with_suffix(".zip")
        with zipfile.ZipFile(packed, "w") as file:
            for path in sorted(folder.rglob("*.jpg")):
                file.write(path, path.relative_to(folder))
        self.reach("document.getElementById('add-files')")
        self.choose("#files", packed)
        self.browser.wait("document.getElementById('upload-said').textContent.startsWith('1 of 1')", 300)

    def choose(self, selector: str, file: Path) -> None:
        if selector == "#media":
            self.reach("document.querySelector('#media')")
        super().choose(selector, file)


def film(path: Path, shape: str) -> None:
    """A video of pictures that change each second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 4, (128, 128))
    pictures = [drawn(shape, 5000 + number) for number in range(60)]
    for second in range(60 * MINUTES_OF_VIDEO):
        for _ in range(4):
            writer.write(pictures[second % len(pictures)])
    writer.release()


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("person_of", "screen"), [(Person, "desktop"), (Typist, "phone")])
def test_from_an_empty_folder_to_a_camera_that_runs_a_better_model(
    person_of: type[Person],
    screen: str,
    browser: Browser,
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = cache_folder() / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if weights.is_dir():  # or they are fetched, as for any user
        cache_folder().mkdir(parents=True)
        (cache_folder() / "weights").symlink_to(weights)
    for shape in ("circle", "square"):
        (tmp_path / "drop" / shape).mkdir(parents=True)
    for number in range(2 * PHOTOS):
        shape = ("circle", "square")[number % 2]
        label = "square" if number < 2 * MISLABELED and shape == "circle" else shape
        cv2.imwrite(str(tmp_path / "drop" / label / f"{number}.jpg"), drawn(shape, number))
    film(tmp_path / "door.mp4", "triangle")
    cv2.imwrite(str(tmp_path / "try.jpg"), drawn("circle", 9999))
    folder = tmp_path / "projects"
    project, began = Project(folder, "shapes"), time.monotonic()
    with served(start, folder) as (address, _):
        person = person_of(browser)
        browser.resize(*SIZES[screen])
        browser.open(address)
        browser.wait("location.protocol === 'http:' && document.readyState === 'complete'")
        browser.complaints.clear()
        try:
            whole_loop(person, project, tmp_path)
        finally:
            studio = Studio(StudioSettings(folder))
            for board in studio.fleet.boards.of(project.name):
                studio.fleet.device(board).process.stop()
        assert not browser.complaints
        print(f"{person.clicks} clicks, {(time.monotonic() - began) / 60:.1f} minutes")
        assert person.clicks <= CLICKS


def whole_loop(person: Person, project: Project, given: Path) -> None:
    """All that a person does, from the page without projects on."""
    browser = person.browser
    person.type("#create input", project.name)
    person.click("#create button")
    browser.wait("document.getElementById('empty') && !document.getElementById('empty').hidden")
    person.bring(given / "drop")

    person.open("Train")
    person.click("#train summary")
    for name, value in SMALL.items():
        person.type(f"#train [name={name}]", value)
    person.click("#train button", "Train")
    person.job("Train run-1")

    # A mistake that is none: a circle that lies among the squares.
    person.open("Results")
    person.click("#runs a", "run-1")
    browser.wait("document.readyState === 'complete' && document.querySelectorAll('#gallery button').length > 0")
    person.click("#gallery button", "labeled square")
    browser.wait("document.getElementById('look').open && document.getElementById('look-photo').naturalWidth > 0")
    circles = len(list((project.photos / "circle").iterdir()))
    person.focus("#look-label")
    press(browser, "c")
    browser.wait("!document.getElementById('look').open")
    assert len(list((project.photos / "circle").iterdir())) == circles + 1

    person.open("Train")
    person.click("#train button", "Train")
    person.job("Train run-2")
    person.export("run-2")

    person.open("Try")
    person.choose("#media", given / "try.jpg")
    browser.wait("document.querySelector('#verdict').textContent.startsWith('circle')")

    person.open("Devices")
    person.type("#here [name=source]", str(given / "door.mp4"))
    person.click("#here button", "Start a device here")
    browser.wait(
        "document.querySelector('.board .verdict')?.textContent && document.querySelector('.board img').width", 60
    )
    first = browser.ask("document.querySelector('.board').dataset.digest")

    # Green triangles are new to the model: frames of them come, and become photos of a class by a key.
    kept = project.root / ".studio" / "devices"
    end_s = time.monotonic() + 120
    while len(list(kept.glob("*/snapshots/*/*.jpg"))) < FRAMES:
        assert time.monotonic() < end_s, "no frames for the inbox"
        time.sleep(0.5)
    person.open("Inbox")
    person.click("#fetch")
    browser.wait("document.querySelectorAll('.frame img').length >= 10")
    before = len(list((project.photos / "square").iterdir()))
    while browser.ask("document.querySelectorAll('.group').length"):
        press(browser, "2")
    browser.wait("document.getElementById('count').textContent === 'The inbox is empty.'")
    end_s = time.monotonic() + 60
    while len(list((project.photos / "square").iterdir())) < before + FRAMES:
        assert time.monotonic() < end_s, "the frames are not among the photos"
        time.sleep(0.2)

    person.open("Train")
    person.click("#train button", "Train")
    person.job("Train run-3")
    person.export("run-3")
    person.open("Devices")
    browser.wait("document.querySelector('.board .verdict')?.textContent")
    person.click(".board button", "Deploy")
    browser.wait(f"document.querySelector('.board').dataset.digest !== {first!r}", 300)
    browser.wait("document.querySelector('.board').innerText.includes('passed its trial')", 300)
    browser.wait("document.querySelector('.board .verdict').textContent.startsWith('square')")
