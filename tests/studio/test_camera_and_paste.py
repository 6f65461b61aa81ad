"""Pictures that come without a file: from a camera while a class is held, and from the clipboard."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_core.images import read_picture

from ..browser import CHROMIUM, Browser
from ..programs import missing
from .served import served
from .test_photos_in_browser import SIZES, create, loaded, press

CTRL = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio") / "projects"


@pytest.fixture(scope="module")
def page(
    start: Callable[..., subprocess.Popen[str]], folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """A browser with a camera, which Chromium draws."""
    if CHROMIUM is None:
        pytest.skip(missing("chromium"))
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
        with served(start, folder) as (address, _):
            browser = Browser(tmp_path_factory.mktemp("chromium"), *camera)
            browser.resize(*SIZES["desktop"])
            browser.open(address)
            loaded(browser)
            yield browser
            browser.close()


def point(page: Browser, kind: str, selector: str) -> None:
    x, y = page.ask(
        f"(() => {{ const box = document.querySelector({selector!r}).getBoundingClientRect(); "
        "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    page.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def answer(page: Browser, text: str) -> None:
    """Types into the dialog that asks for one line of text."""
    page.wait("document.activeElement.matches('dialog[open] input')")
    page.send("Input.insertText", text=text)
    page.wait(f"document.activeElement.value === {text!r}")
    press(page, "Enter")


def pictures(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.*")) if folder.is_dir() else []


def test_pictures_come_while_a_class_is_held_and_no_longer(page: Browser, folder: Path) -> None:
    create(page, "held")
    point(page, "mousePressed", "#camera")
    point(page, "mouseReleased", "#camera")
    answer(page, "waves")
    page.wait("document.getElementById('camera-video').videoWidth > 0")
    page.ask(
        "window.taken = 0; const toBlob = HTMLCanvasElement.prototype.toBlob;"
        " HTMLCanvasElement.prototype.toBlob = function (...how) { window.taken += 1; toBlob.apply(this, how); }; 0"
    )
    button = "#camera-classes button"
    held_s = -time.monotonic()
    point(page, "mousePressed", button)
    page.wait("parseInt(document.getElementById('camera-said').textContent) >= 3")
    point(page, "mouseReleased", button)
    held_s += time.monotonic()
    page.wait(f"!document.querySelector({button!r}).classList.contains('held')")
    count = page.ask("window.taken")
    page.wait(f"parseInt(document.getElementById('camera-said').textContent) === {count}")  # some were on their way
    page.ask("new Promise((resolve) => setTimeout(resolve, 1200))")
    there = pictures(folder / "held" / "waves")
    assert page.ask("window.taken") == count and 3 <= count <= 2 * held_s + 3
    assert 1 < len(there) <= count  # a machine that is slow may take the same picture twice
    assert read_picture(there[0]).shape[0] >= 240
    page.ask("document.getElementById('camera-close').click()")
    page.wait(
        "document.getElementById('camera-video').srcObject.getTracks().every((one) => one.readyState === 'ended')"
    )
    page.wait(f"document.querySelectorAll('.tile').length === {len(there)}")
    assert not page.complaints


def test_a_pasted_picture_is_a_photo_of_the_class_that_is_shown(page: Browser, folder: Path) -> None:
    page.ask("location.assign('/'), document.documentElement.dataset.old = 1")
    page.wait("!document.documentElement.dataset.old && document.readyState === 'complete'")
    create(page, "pasted")
    page.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.ask(
        "(async () => { const canvas = new OffscreenCanvas(90, 60); const ink = canvas.getContext('2d');"
        " ink.fillStyle = 'rgb(200, 30, 40)'; ink.fillRect(0, 0, 90, 60);"
        " const blob = await canvas.convertToBlob({ type: 'image/png' });"
        " await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]); })()"
    )
    for kind in ("rawKeyDown", "keyUp"):
        commands = {"commands": ["paste"]} if kind == "rawKeyDown" else {}
        page.send(
            "Input.dispatchKeyEvent",
            type=kind,
            key="v",
            code="KeyV",
            windowsVirtualKeyCode=86,
            modifiers=CTRL,
            **commands,
        )
    answer(page, "red")  # there is no class yet
    page.wait("document.querySelectorAll('.tile').length === 1")
    (photo,) = pictures(folder / "pasted" / "red")
    assert read_picture(photo).shape == (60, 90, 3) and read_picture(photo)[30, 45].tolist() == [40, 30, 200]
