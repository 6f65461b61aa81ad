"""The page for phones in a real browser: with a camera that plays a clip, offline, updated, damaged, attacked."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_convert.web.litert_js import LiteRtJs
from edge_convert.web.phone_site import export_single, site_files
from edge_core import Frame

from ...browser import CHROMIUM, Browser
from ...programs import missing

pytest.importorskip("starlette", reason="the extra [web] is not installed")
pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from edge_convert.web.site_server import SiteServer
from edge_device.sinks.web.address import Address, listen

SealedModel = Callable[..., Path]

SELF_TEST = "document.documentElement.dataset.selfTest"
OFFLINE = "document.documentElement.dataset.offline"
LABEL = "document.getElementById('label').textContent"

FPS = 10
SIDES = (64, 48)
"""Width and height of the clip: even, as its chroma wants it."""


class Served:
    """Files that are served, and may be others by and by; `asked` are the paths of requests."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self._server = SiteServer(listen(Address(port=0)), files)
        self.url = f"http://127.0.0.1:{self._server.port}/"

    def stop(self) -> None:
        self._server.stop()


@contextmanager
def serving(files: Any) -> Iterator[Served]:
    served = Served(dict(files))
    try:
        yield served
    finally:
        served.stop()


def write_y4m(path: Path, frames: list[Frame], seconds: float = 2.0) -> None:
    """A clip in which each frame stays for some time; uncompressed, so that every reader sees the same levels."""
    height, width = frames[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            planes = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes()
            file.write((b"FRAME\n" + planes) * round(seconds * FPS))


@pytest.fixture(scope="module")
def clip(color_frames: dict[str, Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of each color, noisy: a label is held for one."""
    rng = np.random.default_rng(21)
    noisy = [
        np.clip(frame + rng.integers(-9, 10, frame.shape), 0, 255).astype(np.uint8) for frame in color_frames.values()
    ]
    path = tmp_path_factory.mktemp("clip") / "colors.y4m"
    write_y4m(path, noisy)
    return path


@pytest.fixture(scope="module")
def phone(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose camera plays the clip, over and over."""
    if CHROMIUM is None:
        pytest.skip(missing("chromium"))
    profile = tmp_path_factory.mktemp("phone")
    browser = Browser(
        profile,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
        "--autoplay-policy=no-user-gesture-required",
    )
    browser.resize(390, 844)
    yield browser
    browser.close()
    shutil.rmtree(profile, ignore_errors=True)


def opened(phone: Browser, url: str) -> None:
    phone.open(url)
    phone.wait(f"{SELF_TEST} === 'passed' && !document.getElementById('camera').disabled")


def test_a_phone_proves_the_model_and_sees_with_its_camera(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, color_frames: dict[str, Frame]
) -> None:
    phone.complaints.clear()
    with serving(site_files(sealed_model(), litert_js).content) as site:
        opened(phone, site.url)
        phone.ask("document.getElementById('camera').click()")
        seen = {phone.wait(f"{LABEL} === {json.dumps(color)} && {LABEL}") for color in color_frames}
        phone.ask("document.getElementById('camera').click()")
    assert seen == set(color_frames)
    assert not [text for text in phone.complaints if "No available adapters" not in text]


def test_it_works_offline_once_it_was_opened(phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs) -> None:
    with serving(site_files(sealed_model(), litert_js).content) as site:
        opened(phone, site.url)
        phone.wait(f"{OFFLINE} === 'ready'")
    phone.open("about:blank")
    opened(phone, site.url)
    phone.ask("document.getElementById('camera').click()")
    phone.wait(f"{LABEL} === 'blue'")
    phone.ask("document.getElementById('camera').click()")


def test_a_single_file_needs_no_server(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, tmp_path: Path
) -> None:
    page = tmp_path / "colors.html"
    export_single(sealed_model(), page, litert_js)
    opened(phone, page.as_uri())
    phone.ask("document.getElementById('camera').click()")
    phone.wait(f"{LABEL} === 'green'")
    phone.ask("document.getElementById('camera').click()")
