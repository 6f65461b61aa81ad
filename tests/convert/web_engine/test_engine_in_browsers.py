"""In real browsers, too: the pixels of Python, pictures as OpenCV decodes them, the scores of the device."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_convert.web.litert_js import find_litert_js
from edge_core import Frame
from edge_core.errors import WeightsError
from edge_core.images import decode_picture
from edge_device.inference.classifier import Classifier

from ...browser import Browser, Page
from ...further import slow_but
from ...programs import BY_DEPS
from .browser_engine import BrowserEngine, serving_folder
from .known_models import known_model
from .node_engine import ENGINE
from .pixel_cases import edge_cases, random_cases, write_frames


@pytest.fixture(scope="module", params=slow_but(("browser", "firefox"), {"browser"}))
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserEngine]:
    browser: Page = request.getfixturevalue(request.param)
    try:
        runtime = find_litert_js()
    except WeightsError as error:
        pytest.skip(f"LiteRT.js cannot be had ({str(error).partition(';')[0]}); `edge-convert web` fetches it once")
    page = BrowserEngine(browser, runtime, tmp_path_factory.mktemp("page"))
    yield page
    page.close()


ROOT = Path(__file__).parents[3]
PACKAGES = ROOT / ".venv" / "node" / "node_modules"
"""npm packages, for tests alone."""

CHOOSE = """(async () => {
  const files = new DataTransfer(), input = document.querySelector("input");
  files.items.add(new File([await (await fetch("green.png")).blob()], "green.png"));
  input.files = files.files;
  input.dispatchEvent(new Event("change"));
})()"""
"""Gives a picture to the page as a person does who chooses one."""


def test_the_example_page_classifies_with_the_packages_of_npm(
    browser: Browser, color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    if not (PACKAGES / "@litertjs").is_dir():
        pytest.skip(f"LiteRT.js is not installed as an npm package; {BY_DEPS}")
    (tmp_path / "node_modules").mkdir()
    for name, folder in (("edge-mobilenet", ENGINE), ("@litertjs", PACKAGES / "@litertjs")):
        (tmp_path / "node_modules" / name).symlink_to(folder)
    (tmp_path / "index.html").write_text((ROOT / "docs" / "examples" / "own_page.html").read_text())
    known_model(tmp_path / "model.tflite", color_frames)
    cv2.imwrite(str(tmp_path / "green.png"), color_frames["green"])
    with serving_folder(tmp_path) as address:
        browser.open(f"{address}/index.html")
        browser.wait("document.getElementById('answer').textContent === 'Knows red, green, blue, dark'")
        browser.ask(CHOOSE)
        answer = browser.wait("document.getElementById('answer').textContent.match(/^Nothing|%$/)?.input")
    assert answer == "Nothing that the model knows"  # its detector knows red


def test_a_browser_gives_the_pixels_of_python(page: BrowserEngine) -> None:
    cases = [*edge_cases(), *random_cases(60, seed=2, longest=160)]
    path = page.folder / "frames"
    assert page.ask("pixels", path=path, cases=write_frames(cases, path)) == [case.digest for case in cases]


def pictures() -> Mapping[str, bytes]:
    """Picture files of several kinds, of noise and of a gradient."""
    rng = np.random.default_rng(4)
    smooth = np.add.outer(np.arange(123), np.arange(77))[:, :, None] * np.array([1.0, 0.5, 0.2])
    frame = np.clip(smooth + rng.normal(0, 12, (123, 77, 3)), 0, 255).astype(np.uint8)
    kinds: dict[str, tuple[str, list[int]]] = {
        "sharp": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95]),
        "coarse": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 30]),
        "full chroma": (".jpg", [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]),
        "progressive": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        "png": (".png", []),
        "webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
    }
    made = {name: cv2.imencode(kind, frame, options)[1].tobytes() for name, (kind, options) in kinds.items()}
    clear = np.dstack([frame, rng.integers(0, 256, frame.shape[:2], np.uint8)])
    made["transparent"] = cv2.imencode(".png", clear)[1].tobytes()
    made["gray"] = cv2.imencode(".jpg", frame[:, :, 1])[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    made["turned"] = made["sharp"][:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + made["sharp"][2:]
    return made


def test_a_browser_decodes_and_scores_pictures_as_the_device(
    page: BrowserEngine, color_frames: dict[str, Frame]
) -> None:
    model = known_model(page.folder / "known.tflite", color_frames)
    classifier = Classifier(model)
    files = pictures()
    paths = [page.folder / f"{number}.bin" for number in range(len(files))]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    for name, data, found in zip(files, files.values(), page.ask("pictures", path=model, pictures=paths), strict=True):
        frame = decode_picture(data)
        assert found["decoded"] == hashlib.sha256(frame[:, :, ::-1].tobytes()).hexdigest(), name
        look = classifier.look(frame)
        assert found["scores"] == classifier.scores(frame)[0].tolist(), name
        assert found["familiarity"] == pytest.approx(look.familiarity, abs=1e-12), name


def test_a_browser_passes_the_self_test_with_its_own_decoder(
    page: BrowserEngine, color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    for kind in ("uint8", "float32"):
        path = known_model(page.folder / f"{kind}.tflite", color_frames, kind)
        found = page.ask("selfTest", path=path)
        assert (found["passed"], found["reason"]) == (True, "")
