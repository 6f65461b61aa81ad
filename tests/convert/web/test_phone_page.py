"""The page for phones in a real browser: with a camera that plays a clip, offline, updated, damaged, attacked."""

import base64
import gzip
import hashlib
import json
import shutil
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import pytest

from edge_convert.web.litert_js import LiteRtJs
from edge_convert.web.phone_site import SiteOptions, export_single, site_files
from edge_core import Frame, InputSpec, ModelCard, complete, read_picture
from edge_core.artifact.last_layer import Weights, read_last_layer, with_last_layer
from edge_core.data.photo_folder import find_photos
from edge_device.inference.classifier import Classifier
from edge_device.inference.verify import sealed
from edge_device.sinks.inbox.folder_names import folder_name
from edge_device.sources.video import Video
from edge_train.data.archives import unpack

from ...browser import CHROMIUM, Browser
from ...conftest import MODELS
from ...programs import missing
from ...studio.accessibility import faults

pytest.importorskip("starlette", reason="the extra [web] is not installed")
pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from .phone import FPS, SELF_TEST, Clip, new_port, opened, serving, start_phone, watched, write_clip

SealedModel = Callable[..., Path]

OFFLINE = "document.documentElement.dataset.offline"
LABEL = "document.getElementById('label').textContent"


@pytest.fixture(scope="module")
def clip(color_frames: dict[str, Frame], tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Two seconds of each color, noisy: a label is held for one."""
    rng = np.random.default_rng(21)
    noisy = [
        np.clip(frame + rng.integers(-9, 10, frame.shape), 0, 255).astype(np.uint8) for frame in color_frames.values()
    ]
    return write_clip(tmp_path_factory.mktemp("clip") / "colors.y4m", noisy)


@pytest.fixture(scope="module")
def phone(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose camera plays the clip, over and over."""
    if CHROMIUM is None:
        pytest.skip(missing("chromium"))
    profile = tmp_path_factory.mktemp("phone")
    browser = start_phone(profile, clip)
    yield browser
    browser.close()
    shutil.rmtree(profile, ignore_errors=True)


def test_a_phone_proves_the_model_and_sees_with_its_camera(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, color_frames: dict[str, Frame]
) -> None:
    phone.complaints.clear()
    with serving(site_files(sealed_model(), litert_js).content) as site:
        opened(phone, site)
        phone.ask("document.getElementById('camera').click()")
        seen = {phone.wait(f"{LABEL} === {json.dumps(color)} && {LABEL}") for color in color_frames}
        phone.ask("document.getElementById('camera').click()")
    assert seen == set(color_frames)
    assert not [text for text in phone.complaints if "No available adapters" not in text]


def test_frames_have_the_scores_of_a_camera_on_the_device_and_the_labels_of_edge_run_live(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, clip: Clip
) -> None:
    file = sealed_model()
    classifier = Classifier(file)
    as_camera = {tuple(classifier.scores(frame)[0].tolist()) for frame in clip.frames}
    # Of a video file FFmpeg makes the levels, up to 3 away from OpenCV's own conversion of a camera's frames.
    as_file = [classifier.classify(frame.image)[0].label for frame in Video(clip.path)]
    with serving(site_files(file, litert_js).content) as site:
        opened(phone, site)
        seen = {(tuple(one["scores"]), one["label"]) for one in watched(phone, len(as_camera))}
    assert {scores for scores, _ in seen} == as_camera
    assert {label for _, label in seen} == set(as_file)
    assert len(as_camera) == len(set(as_file)) == 4


def test_a_camera_that_sends_jpeg_has_the_levels_of_the_device(
    sealed_model: SealedModel,
    litert_js: LiteRtJs,
    color_frames: dict[str, Frame],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if CHROMIUM is None:
        pytest.skip(missing("chromium"))
    frame = np.repeat(np.repeat(color_frames["green"], 2, 0), 2, 1)
    frame[: len(frame) // 4], frame[-len(frame) // 4 :] = 0, 255  # nothing of video range is so dark or so bright
    clip, site = (
        write_clip(tmp_path_factory.mktemp("clip") / "clip.mjpeg", [frame]),
        site_files(sealed_model(), litert_js),
    )
    phone = start_phone(tmp_path_factory.mktemp("jpeg"), clip)
    try:
        with serving(site.content) as address:
            opened(phone, address)
            phone.ask("document.getElementById('camera').click()")
            phone.wait("document.getElementById('video').videoWidth > 0")
            seen = phone.ask(
                f"import('./b-{site.build}/js/frames.js')"
                ".then(({ frameOf }) => frameOf(document.getElementById('video'))).then(({ data }) => [...data])"
            )
    finally:
        phone.close()
    levels = np.array(seen).reshape(*frame.shape[:2], 4)[:, :, 2::-1]
    apart = np.abs(levels - clip.frames[0].astype(int))
    assert np.median(apart) <= 1
    assert apart[2:10].max() <= 3
    assert apart[-10:-2].max() <= 3


def test_it_works_offline_once_it_was_opened(phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs) -> None:
    with serving(site_files(sealed_model(), litert_js).content) as site:
        opened(phone, site)
        phone.wait(f"{OFFLINE} === 'ready'")
    phone.open("about:blank")
    opened(phone, site)
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


# ---- updates


class Host:
    """A static host whose files may be replaced, and which may drop a connection in the middle of an answer."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.left: int | None = None  # answers until the cut; None for no cut
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path[1:] or "index.html"
                cut = host.cuts()
                content = host.files.get(name)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Type", TYPES.get(Path(name).suffix, "application/octet-stream"))
                self.send_header("Content-Length", str(len(content or b"")))
                self.send_header("Cache-Control", "no-store")  # or what one attempt brought, the next would not ask for
                self.end_headers()
                with suppress(ConnectionError):  # a worker that has failed takes no more
                    self.wfile.write((content or b"")[: len(content or b"") // 2 if cut else None])

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._counting = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", new_port()), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def cuts(self) -> bool:
        """Whether the answer that is asked for now is cut; several are at once."""
        with self._counting:
            if self.left is not None:
                self.left -= 1
            return self.left is not None and self.left < 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".webmanifest": "application/manifest+json",
}
BUILD = "JSON.parse(document.getElementById('site').textContent).build"
UPDATE = """(async () => {
  const registration = await navigator.serviceWorker.getRegistration();
  await registration.update().catch(() => {});
  const worker = registration.installing;
  if (worker) await new Promise((settled) => worker.addEventListener("statechange", settled));
  return Boolean(registration.waiting);
})()"""


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_an_update_is_taken_whole_or_not_at_all_wherever_it_is_cut(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, step: int
) -> None:
    old, new = (site_files(sealed_model(name), litert_js) for name in ("old", "new"))
    with Host(old.content) as host:
        opened(phone, host.url)
        phone.wait(f"{OFFLINE} === 'ready'")
        host.files = new.content
        for number in range(0, len(new.content), step):
            host.left = number
            assert phone.ask(UPDATE) is False, f"taken with a cut at request {number}"
            assert (
                phone.ask("caches.keys().then((names) => names.filter((name) => name.includes(location.port)).length)")
                == 1
            )
        host.left = None
        for half_copied in ("index.html", f"b-{new.build}/model.bin", f"b-{new.build}/js/preprocess.js"):
            stale = old.content.get(half_copied, b"")
            host.files = {**new.content, half_copied: stale}
            assert phone.ask(UPDATE) is False, f"taken while the host had another {half_copied}"
        opened(phone, host.url)
        assert phone.ask(BUILD) == old.build
        host.files = new.content
        assert phone.ask(UPDATE) is True
        opened(phone, host.url)
        assert phone.ask(BUILD) == old.build, "it changed under somebody's hands"
        phone.wait("Boolean(document.querySelector('#banner-update button'))")
        phone.ask("document.querySelector('#banner-update button').click()")
        phone.wait(f"{BUILD} === '{new.build}' && {SELF_TEST} === 'passed'")
    phone.open("about:blank")
    opened(phone, host.url)
    assert phone.ask(BUILD) == new.build


# ---- damage


def changed(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) == 1
    assert sum(one != other for one, other in zip(old, new, strict=True)) == 1
    return content.replace(old, new)


def repacked(content: bytes, old: bytes, new: bytes) -> bytes:
    """A change inside of what gzip has packed."""
    whole = gzip.decompress(content)
    place = whole.index(old)
    return gzip.compress(whole[:place] + new + whole[place + len(old) :], 6, mtime=0)


def recorded(files: Mapping[str, bytes], name: str, content: bytes) -> dict[str, bytes]:
    """The site as if it had been exported with a file of this content, its digest and all."""
    before, after = (hashlib.sha256(one).hexdigest().encode() for one in (files[name], content))
    return {path: one.replace(before, after) for path, one in files.items()} | {name: content}


def another_rounding(content: bytes) -> bytes:
    """One digit of the engine: a level too much in every pixel."""
    return changed(content, b" + 32768) >> 16", b" + 92768) >> 16")


DAMAGE: dict[str, tuple[str, str, Callable[[bytes], bytes], bool]] = {
    "model": ("files", "model.bin", lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], False),
    "code": ("files", "js/preprocess.js", another_rounding, False),
    "model that was exported so": (
        "digest",
        "model.bin",
        lambda data: repacked(data, b"\x1c\0\0\0", b"\x1c\0\0\1"),
        True,
    ),
    "labels that were exported so": ("digest", "model.bin", lambda data: repacked(data, b"red\n", b"rod\n"), True),
    "constant that was exported so": ("preprocess", "js/preprocess.js", another_rounding, True),
}
"""Stage, file, change, and whether the site was exported with it, so that the digest of the file fits."""


@pytest.mark.parametrize("damage", DAMAGE)
def test_one_changed_byte_is_told_by_the_stage_and_stops_the_page(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, damage: str
) -> None:
    stage, name, change, with_digest = DAMAGE[damage]
    site = site_files(sealed_model(), litert_js)
    name = f"b-{site.build}/{name}"
    content = change(site.content[name])
    assert content != site.content[name]
    files = recorded(site.content, name, content) if with_digest else {**site.content, name: content}
    with serving(files) as address:
        phone.open(address)
        phone.wait(f"document.getElementById('pill').textContent === 'Failed: {stage}'")
        assert phone.ask(SELF_TEST) == stage
        assert phone.ask("document.getElementById('camera').disabled && document.getElementById('open').disabled")
        assert "does not classify here" in phone.ask("document.getElementById('banners').textContent")


def test_a_page_may_be_told_to_warn_and_go_on(phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs) -> None:
    site = site_files(sealed_model(), litert_js, SiteOptions("warn"))
    name = f"b-{site.build}/js/preprocess.js"
    with serving(recorded(site.content, name, another_rounding(site.content[name]))) as address:
        phone.open(address)
        phone.wait("!document.getElementById('camera').disabled")
        assert phone.ask(SELF_TEST) == "preprocess"
        assert "may be wrong" in phone.ask("document.getElementById('banners').textContent")


def test_a_changed_script_of_a_single_file_does_not_run(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, tmp_path: Path
) -> None:
    page = tmp_path / "colors.html"
    export_single(sealed_model(), page, litert_js)
    page.write_bytes(another_rounding(page.read_bytes()))
    phone.open(page.as_uri())
    phone.wait("location.protocol === 'file:' && document.readyState === 'complete'")
    assert phone.ask(SELF_TEST) == "files"
    assert phone.ask("document.getElementById('not-started').checkVisibility()")


# ---- hostile hands


INJECTIONS = {
    "an inline script": "const script = document.createElement('script'); script.textContent = 'hit = 1';"
    "document.body.append(script)",
    "a script of another place": "const script = document.createElement('script');"
    "script.src = 'data:text/javascript,hit=1'; document.body.append(script)",
    "an event handler": "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"hit = 1\">')",
    "eval": "try { eval('hit = 1') } catch {}",
    "a timer of text": "setTimeout('hit = 1', 0)",
    "a javascript: link": "const link = document.createElement('a'); link.href = 'javascript:hit=1';"
    "document.body.append(link); link.click()",
    "another origin": "fetch('http://127.0.0.1:9/').catch(() => {}); new Image().src = 'http://127.0.0.1:9/'",
}


@pytest.mark.parametrize("kind", ["site", "single"])
def test_nothing_that_is_injected_runs_or_gets_out(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, kind: str, tmp_path: Path
) -> None:
    file = sealed_model()
    export_single(file, tmp_path / "one.html", litert_js)
    with serving(site_files(file, litert_js).content) as site:
        opened(phone, site if kind == "site" else (tmp_path / "one.html").as_uri())
        phone.complaints.clear()
        for injection in INJECTIONS.values():
            phone.send("Runtime.evaluate", expression=f"(() => {{ {injection} }})()", allowUnsafeEvalBlockedByCSP=False)
        phone.ask("new Promise((resume) => setTimeout(resume, 200))")
        phone.wait_for_complaints("Content Security Policy", len(INJECTIONS))
        assert phone.ask("window.hit") is None


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "עברית ועוד",
    "</script><script>alert(1)</script>",
    "a/b\\..\0x".replace("\0", ""),
)


def test_labels_are_text_in_any_script_and_direction(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs
) -> None:
    phone.open("about:blank")  # or the page before still complains
    phone.complaints.clear()
    with serving(site_files(sealed_model("<b>name", labels=HOSTILE), litert_js).content) as site:
        opened(phone, site)
        phone.ask("document.getElementById('camera').click()")
        for label in HOSTILE:
            phone.wait(f"{LABEL} === {json.dumps(label)}")
            if label == HOSTILE[1]:
                assert phone.ask("getComputedStyle(document.getElementById('label')).direction") == "rtl"
        phone.ask("document.getElementById('wrong').click()")
        phone.wait("document.getElementById('correct').open")
        assert phone.ask(
            "[...document.querySelectorAll('#correct-labels button')].map((one) => one.textContent)"
        ) == list(HOSTILE)
        phone.ask("document.getElementById('correct-cancel').click(); document.getElementById('camera').click()")
        assert phone.ask("document.querySelectorAll('main img:not(#qr img), b, main script').length") == 0
        assert phone.ask("document.title") == "<b>name"
    assert not [text for text in phone.complaints if "No available adapters" not in text]


def test_corrected_pictures_stay_here_and_leave_as_class_folders(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, tmp_path: Path
) -> None:
    with serving(site_files(sealed_model(labels=HOSTILE), litert_js).content) as site:
        opened(phone, site)
        phone.ask("document.getElementById('camera').click()")
        for label in (HOSTILE[3], HOSTILE[1], "new one"):
            phone.wait("!document.getElementById('wrong').disabled")
            phone.ask("document.getElementById('wrong').click()")
            phone.wait("document.getElementById('correct').open")
            phone.ask(f"document.getElementById('correct-search').value = {json.dumps(label)}")
            phone.ask("document.getElementById('correct-search').dispatchEvent(new Event('input'))")
            phone.ask("document.querySelector('#correct-labels button').click()")
            phone.wait("!document.getElementById('correct').open")
        phone.wait("document.getElementById('kept-count').textContent === '3'")
        opened(phone, site)  # they outlive the page
        phone.wait("document.getElementById('kept-count').textContent === '3'")
        phone.ask(
            "URL.createObjectURL = (blob) => { window.exported = blob; return 'blob:x'; };"
            "HTMLAnchorElement.prototype.click = () => {}; document.getElementById('export').click()"
        )
        phone.wait("window.exported.size")
        encoded = phone.ask(
            "exported.arrayBuffer().then((data) =>"
            " btoa(Array.from(new Uint8Array(data), (byte) => String.fromCharCode(byte)).join('')))"
        )
    archive = tmp_path / "corrections.zip"
    archive.write_bytes(base64.b64decode(encoded))
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
    folder = unpack(archive, tmp_path / "cache")
    photos = find_photos(folder).files
    assert sorted(photo[1] for photo in photos) == sorted([folder_name(HOSTILE[3]), HOSTILE[1], "new one"])
    assert all(read_picture(photo[0]).shape == (48, 64, 3) for photo in photos)


# ---- people


@pytest.mark.parametrize("width", [320, 1280])
def test_it_is_accessible_at_every_width_light_and_dark(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, width: int
) -> None:
    pytest.importorskip("segno", reason="the extra [phone] is not installed")
    phone.resize(width, 800)
    with serving(site_files(sealed_model(), litert_js, SiteOptions(address="https://example.org/")).content) as site:
        opened(phone, site)
        phone.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        phone.ask("document.getElementById('camera').click()")
        phone.wait("!document.getElementById('wrong').disabled")
        phone.ask("document.querySelector('#qr img').scrollIntoView()")
        screenshot = cv2.imdecode(np.frombuffer(phone.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        assert cv2.QRCodeDetector().detectAndDecode(screenshot)[0] == "https://example.org/"  # type: ignore[arg-type]
        for scheme in ("light", "dark"):
            phone.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            assert faults(phone) == []
            phone.ask("document.getElementById('wrong').click()")
            phone.wait("document.getElementById('correct').open")
            assert faults(phone) == []
            phone.ask("document.getElementById('correct-cancel').click()")
        assert phone.ask("document.documentElement.scrollWidth <= innerWidth")
        phone.ask("document.getElementById('camera').click()")
    phone.resize(390, 844)
    phone.send("Emulation.setEmulatedMedia", features=[])


def test_the_first_visit_loads_everything_once(phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs) -> None:
    asked: Counter[str] = Counter()
    site = site_files(sealed_model(), litert_js)
    with serving(CountedFiles(site.content, asked)) as address:
        opened(phone, address)
        phone.wait(f"{OFFLINE} === 'ready'")
        taken = phone.ask(
            "[...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
            ".reduce((sum, entry) => sum + entry.transferSize, 0)"
        )
    base = f"b-{site.build}/"
    assert {name: count for name, count in asked.items() if name.startswith(base) and count > 1} == {}
    # A MobileNetV2-160 in int8 has 2.4 MB in its place, packed: 5.4 MB in all.
    without_model = taken - len(site.content[f"{base}model.bin"])
    assert 2.5e6 < without_model < 3.4e6


class CountedFiles(dict[str, bytes]):
    """Files, and how often each of them was asked for."""

    def __init__(self, files: Mapping[str, bytes], asked: Counter[str]) -> None:
        super().__init__(files)
        self._asked = asked

    def __getitem__(self, name: str) -> bytes:
        self._asked[name] += 1
        return super().__getitem__(name)


def test_ten_thousand_labels_are_found_by_their_names(
    phone: Browser, color_frames: dict[str, Frame], litert_js: LiteRtJs, tmp_path: Path
) -> None:
    labels = tuple(f"<i>species {number}" for number in range(10_000))
    model = (MODELS / "tiny-uint8.tflite").read_bytes()
    wide = with_last_layer(model, *many_outputs(model, len(labels)))
    file = tmp_path / "many.tflite"
    card = ModelCard(labels=labels, input=InputSpec(width=32, height=32))
    file.write_bytes(sealed(complete(wide, card, "many"), list(color_frames.values())[:1]))
    with serving(site_files(file, litert_js).content) as site:
        opened(phone, site)
        phone.ask("document.getElementById('camera').click()")
        phone.wait("!document.getElementById('wrong').disabled")
        phone.ask("document.getElementById('wrong').click()")
        phone.wait("document.getElementById('correct').open")
        assert "9,980 more" in phone.ask("document.getElementById('correct-more').textContent")
        phone.ask("document.getElementById('correct-search').value = 'species 9999'")
        phone.ask("document.getElementById('correct-search').dispatchEvent(new Event('input'))")
        found = phone.ask("[...document.querySelectorAll('#correct-labels button')].map((one) => one.textContent)")
        assert found[0] == "<i>species 9999"
        phone.ask("document.getElementById('correct-cancel').click(); document.getElementById('camera').click()")


def many_outputs(model: bytes, count: int) -> tuple[Weights, Weights, tuple[float, float]]:
    """Weights and bias of a last layer that has `count` outputs, and the range of its output."""
    layer = read_last_layer(model)
    weights = np.resize(layer.weights, (count, layer.weights.shape[1]))
    return weights, np.resize(layer.bias, count), layer.logits or (-8.0, 8.0)


DROP = """(async () => {
  const bytes = Uint8Array.from(atob('%s'), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], '%s', { type: '%s' }));
  document.dispatchEvent(new DragEvent('drop', { dataTransfer }));
})()"""


def test_pictures_and_videos_are_dropped_and_what_is_none_is_told(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs, color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    file, video = sealed_model(), tmp_path / "green.webm"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"VP80"), FPS, (64, 48))
    for _ in range(20 * FPS):  # seen as soon as it has been there for a second
        writer.write(color_frames["green"])
    writer.release()
    picture = cv2.imencode(".png", color_frames["dark"])[1].tobytes()
    expected = Classifier(file).scores(color_frames["dark"])[0].tolist()
    with serving(site_files(file, litert_js).content) as site:
        opened(phone, site)
        phone.ask("document.addEventListener('classified', ({ detail }) => { window.look = [...detail.scores]; })")
        phone.ask(DROP % (base64.b64encode(picture).decode(), "dark.png", "image/png"))
        phone.wait(f"{LABEL} === 'dark' || {LABEL} === 'unknown'")
        assert phone.ask("look") == expected
        phone.ask(DROP % (base64.b64encode(b"nothing").decode(), "<b>.jpg", "image/jpeg"))
        phone.wait("document.getElementById('banners').textContent.includes('<b>.jpg cannot be opened')")
        phone.ask(DROP % (base64.b64encode(video.read_bytes()).decode(), "green.webm", "video/webm"))
        phone.wait(f"{LABEL} === 'green'")
        assert phone.ask("document.getElementById('banners').textContent") == ""


def test_light_zoom_and_freeze_are_there_where_the_camera_has_them(
    phone: Browser, sealed_model: SealedModel, litert_js: LiteRtJs
) -> None:
    with serving(site_files(sealed_model(), litert_js).content) as site:
        opened(phone, site)
        phone.ask("document.getElementById('camera').click()")
        phone.wait("!document.getElementById('freeze').disabled")
        assert phone.ask("document.getElementById('torch').hidden && document.getElementById('zoom-line').hidden")
        phone.ask("document.getElementById('camera').click()")
        # No camera of a test machine has either; a phone's back camera says so.
        phone.ask(
            "MediaStreamTrack.prototype.getCapabilities = () => ({ torch: true, zoom: { min: 1, max: 4, step: 0.5 } });"
            "window.asked = []; MediaStreamTrack.prototype.applyConstraints = async (wanted) => {"
            " asked.push(wanted.advanced[0]); }; document.getElementById('camera').click()"
        )
        phone.wait("!document.getElementById('torch').hidden && !document.getElementById('zoom-line').hidden")
        phone.ask("document.getElementById('torch').click()")
        phone.wait("document.getElementById('torch').getAttribute('aria-pressed') === 'true'")
        phone.ask("document.getElementById('zoom').value = 2.5")
        phone.ask("document.getElementById('zoom').dispatchEvent(new Event('input'))")
        assert phone.ask("asked") == [{"torch": True}, {"zoom": 2.5}]
        phone.wait("!document.getElementById('freeze').disabled")
        phone.ask("document.getElementById('freeze').click()")
        phone.wait("document.getElementById('video').paused")
        assert phone.ask("!document.getElementById('wrong').disabled")
        phone.ask("document.getElementById('camera').click()")
