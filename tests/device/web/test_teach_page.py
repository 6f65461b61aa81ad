"""Teaching on the live page: a label is named, held, taught and taken back, in a real browser over a real run."""

import errno
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from edge_core import Frame
from edge_core.artifact.container import read_card
from edge_core.errors import ModelFormatError, SettingsError
from edge_device import Classifier
from edge_device.frames.regions import WHOLE
from edge_device.inference.verify import verify
from edge_device.live.cameras.camera_teacher import make_teacher
from edge_device.live.cameras.run_host import RunHost
from edge_device.live.make_sinks import make_sinks
from edge_device.live.options import LiveOptions, ModelOptions, SinkOptions, SourceOptions, UpdateOptions
from edge_device.live.run import run_live
from edge_device.results import FrameResult, Latency
from edge_device.sinks.inbox.collection import Collection
from edge_device.sinks.web import WebPage
from edge_device.sources import SourceFrame
from edge_device.teaching.label_text import new_label
from edge_device.teaching.lesson import TeachSettings
from edge_device.teaching.teacher import State, Teacher

from ...browser import Browser
from ...conftest import LABELS
from ...doubles import free_port
from ...studio.accessibility import faults
from ..teaching.teachable import YELLOW, frame, frames, write_teachable

pytest.importorskip("starlette", reason="the extra [web] is not installed")
pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

pytestmark = pytest.mark.timeout(300)

WRITES = {"X-Requested-By": "a test"}
TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def model(tmp_path: Path, color_frames: Mapping[str, Frame]) -> Path:
    return write_teachable(tmp_path / "colors.tflite", "uint8", color_frames.values())


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something yellow in front of a camera, each frame with a spot somewhere else."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
    for number in range(3000):  # as long as a test may take: with its end the page would be gone
        writer.write(spotted(number))
    writer.release()
    return path


def spotted(number: int) -> Frame:
    """Something yellow with a spot, somewhere else for each number."""
    picture = np.full((120, 160, 3), YELLOW, np.uint8)
    cv2.circle(picture, (20 + 37 * number % 120, 20 + 23 * number % 80), 14, (20, 120, 130), -1)
    return picture


@contextmanager
def live(model: Path, film: Path, *, host: str = "127.0.0.1", **more: Any) -> Iterator[str]:
    """A live run that may be taught; its address."""
    stopped, port = threading.Event(), free_port()
    options = LiveOptions(
        model,
        SourceOptions(str(film), realtime=True),
        ModelOptions(threads="1"),
        sinks=SinkOptions(web=f"{host}:{port}", teach=True, **more),
    )
    errors: list[Exception] = []

    def run() -> None:
        try:
            run_live(options, stopped=stopped.is_set, notify=lambda notice: None)
        except Exception as error:  # noqa: BLE001 - it is raised in the test
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stopped.set()
        thread.join(90)
    assert errors == []


def post(url: str, headers: Mapping[str, str] = WRITES, data: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, method="POST", headers=dict(headers), data=data)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def eventually(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not _tried(true):
        assert time.monotonic() < end
        time.sleep(0.05)


def _tried(true: Callable[[], object]) -> object:
    try:
        return true()
    except OSError:  # it does not listen yet
        return False


BUTTONS = "[...document.querySelectorAll('#labels button')]"
MUG = f"{BUTTONS}.find(one => one.dataset.label === 'my mug')"
SAID = "document.getElementById('teach-said').textContent"


def press(browser: Browser, element: str) -> None:
    """Presses a mouse's button on an element, and holds it."""
    place = browser.ask(
        f"(() => {{ const one = {element}; one.scrollIntoView({{block: 'center'}}); "
        "const {x, y, width, height} = one.getBoundingClientRect(); return {x: x + width / 2, y: y + height / 2}; })()"
    )
    browser.send("Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, **place)


def let_go(browser: Browser) -> None:
    browser.send("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, x=0, y=0)


def test_a_label_is_named_held_taught_and_taken_back_on_the_page(browser: Browser, model: Path, film: Path) -> None:
    original = model.read_bytes()
    with live(model, film) as url:
        eventually(lambda: urllib.request.urlopen(f"{url}/api/latest", timeout=60))
        browser.complaints.clear()
        browser.resize(390, 844)
        browser.open(url)
        browser.wait("!document.getElementById('teach').hidden")
        browser.wait("!document.getElementById('view').classList.contains('empty')")  # it moves what is below
        assert browser.ask("document.getElementById('teach-start').disabled"), "nothing to teach yet"
        browser.ask("document.getElementById('teach-label').focus()")
        browser.send("Input.insertText", text="my mug")
        browser.send(
            "Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )
        browser.send("Input.dispatchKeyEvent", type="keyUp", key="Enter", code="Enter", windowsVirtualKeyCode=13)
        browser.wait(f"{MUG} === document.activeElement")
        assert browser.ask("document.documentElement.scrollWidth") <= 390
        assert browser.ask(
            "[...document.querySelectorAll('#kept button:not([hidden]), #kept input')]"
            ".every(one => one.getBoundingClientRect().height >= 44)"
        ), "large enough for a finger"
        press(browser, MUG)
        browser.wait(f"Number({MUG}.lastChild.textContent) >= 4")
        let_go(browser)
        assert "my mug" in browser.ask("document.getElementById('teach-new').textContent")
        browser.ask("document.getElementById('teach-start').click()")
        said = browser.wait(f"{SAID}.startsWith('Taught.') && {SAID}")
        assert "my mug is told right in 100.0 %" in said and "the other labels in" in said
        browser.wait("document.getElementById('zones').innerText.includes('my mug')")  # live has taken it up
        browser.wait("document.body.innerText.includes('replaced 1×')")
        assert read_card(model).labels == (*LABELS, "my mug")
        assert verify(model).passed
        # What was taught is not new any more; the last picture may have come after the button was let go.
        browser.wait("!/my mug ([2-9]|1[0-9])/.test(document.getElementById('teach-new').textContent)")
        browser.ask("document.getElementById('teach-undo').click()")
        browser.wait(f"{SAID}.startsWith('Undone')")
        browser.wait("document.body.innerText.includes('replaced 2×')")
        assert model.read_bytes() == original
        assert set(browser.ask("Object.keys(VERDICTS)")) == set(get_args(State)), "the page has words for each"
        assert browser.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_teaches_can_be_used_by_everybody(browser: Browser, model: Path, film: Path, scheme: str) -> None:
    """By axe-core, with a label named, a reason for a refusal shown, and an earlier file to go back to."""
    model.with_name("colors.previous.tflite").write_bytes(model.read_bytes())
    with live(model, film) as url:
        eventually(lambda: urllib.request.urlopen(f"{url}/api/latest", timeout=60))
        assert post(f"{url}/api/teach/labels?label=mug")[0] == 201
        browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.resize(390, 844)
        browser.open(url)
        browser.wait(f"{BUTTONS}.length === 6 && !document.getElementById('teach-undo').hidden")
        browser.ask("askTeacher('api/teach').then(() => true)")
        browser.wait(f"{SAID}.includes('no new pictures')")
        browser.ask("new Promise(told => { const tell = showState; showState = () => { tell(); told(); }; })")
        assert "no new pictures" in browser.ask(SAID), "what is told every second leaves it there"
        assert faults(browser) == []
        browser.send("Emulation.setEmulatedMedia", features=[])


def test_what_the_gate_refuses_is_told_with_the_reason_and_nothing_is_written(model: Path, tmp_path: Path) -> None:
    """Frames of red under another name: the file cannot tell them apart."""
    before = model.read_bytes()
    teacher = filled(model, tmp_path, {"scarlet": [frame((10, 20, 250), seed) for seed in range(6)]}, min_right=100)
    teacher.start()
    eventually(lambda: teacher.to_json()["state"] != "teaching")
    told = teacher.to_json()
    assert told["state"] == "refused"
    assert "nothing was written" in told["text"] and "'scarlet' is told right in" in told["text"]
    assert model.read_bytes() == before
    assert told["new"] == {"scarlet": 6} and not told["undo"], "more pictures of it can follow"


def test_two_labels_are_learned_at_once_and_only_one_lesson_goes_on(model: Path, tmp_path: Path) -> None:
    violet = [frame((240, 20, 230), seed) for seed in range(6)]
    teacher = filled(model, tmp_path, {"yellow": frames(YELLOW), "violet": violet})
    asked: list[str] = []
    teacher.written.append(lambda: asked.append("written"))
    steps: list[str] = []
    teacher.changed.append(lambda: steps.append(str(teacher.to_json()["step"])))
    teacher.start()
    with pytest.raises(SettingsError, match="goes on already"):
        teacher.undo()
    eventually(lambda: teacher.to_json()["state"] == "written")
    assert asked == ["written"] and "Solving the last layer" in steps
    classifier = Classifier(model)
    assert [classifier.classify(one, 1)[0].label for one in (frame(YELLOW, 99), violet[0])] == ["yellow", "violet"]
    with pytest.raises(SettingsError, match="no new pictures"):
        teacher.start()


def test_what_ends_before_it_has_begun_keeps_no_other_lesson_from_beginning(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    teacher = filled(model, tmp_path, {"yellow": frames(YELLOW)})
    with monkeypatch.context() as patched, pytest.raises(SettingsError, match="cannot begin now: can't start"):
        patched.setattr(threading.Thread, "start", refuse)
        teacher.start()
    assert teacher.to_json()["state"] == "refused"
    with monkeypatch.context() as patched, pytest.raises(OSError, match="Input/output"):
        patched.setattr("edge_device.teaching.teacher.undo", broken)
        teacher.undo()
    assert teacher.to_json()["state"] == "not undone"
    teacher.start()
    eventually(lambda: teacher.to_json()["state"] == "written")


def test_who_is_told_that_a_lesson_has_ended_may_begin_the_next(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the thread that has told it stands still then: its niceness is the highest."""

    def told(teacher: Teacher, state: State) -> None:
        vars(teacher)["state"] = state
        time.sleep(0.2)

    monkeypatch.setattr(Teacher, "_state", property(lambda teacher: vars(teacher)["state"], told), raising=False)
    teacher = filled(model, tmp_path, {"yellow": frames(YELLOW)})
    teacher.start()
    eventually(lambda: teacher.to_json()["state"] == "written")
    teacher.undo()
    assert teacher.to_json()["state"] == "undone"


def test_what_is_told_of_a_lesson_cannot_break_it_off(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = filled(model, tmp_path, {"yellow": frames(YELLOW)})
    asked: list[str] = []
    for functions in (teacher.written, teacher.changed):
        functions.extend([lambda: broken(model), lambda: asked.append("told")])
    teacher.start()
    eventually(lambda: teacher.to_json()["state"] == "written")
    teacher.undo()
    assert teacher.to_json()["state"] == "undone"
    teacher.undo()
    assert read_card(model).labels[-1] == "yellow" and asked
    assert "Input/output error" in capsys.readouterr().err, "somebody can find out why"


def broken(path: Path) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_cameras_that_share_a_model_take_pictures_into_a_folder_each_and_teach_it_together(
    model: Path, tmp_path: Path
) -> None:
    host = RunHost(lambda: False, lambda: False, lambda: None)
    kept = {}
    for number, camera in enumerate(("porch", "gate")):
        sinks = SinkOptions(web=f"127.0.0.1:{free_port()}", teach=True, collect=tmp_path / camera)
        asked = LiveOptions(model, sinks=sinks)
        teacher = make_teacher(asked, host, lambda: None)
        (page,) = make_sinks(sinks, {"": WHOLE}, camera, host, camera, teacher)
        assert isinstance(page, WebPage) and page.kept and page.kept.collection
        kept[camera] = page.kept
        if number == 0:
            page.kept.teacher.name("my mug")  # type: ignore[union-attr]
        for seed in range(3):
            source = SourceFrame(spotted(3 * number + seed), camera, seed, 0.0, 0.0)
            assert page.kept.ask("my mug")
            assert page.kept.answer(FrameResult(source, (), Latency(0, 0, 0, 0), camera=camera))
    assert [len(list((tmp_path / camera / "my mug").glob("*.jpg"))) for camera in kept] == [3, 3]
    assert [one.to_json()["teaching"]["new"] for one in kept.values()] == [{"my mug": 6}] * 2
    shared = kept["gate"].teacher
    assert shared and shared is kept["porch"].teacher
    shared.start()
    eventually(lambda: shared.to_json()["state"] == "written")
    assert read_card(model).conversion["taught"][-1]["examples"] == {"my mug": 6}


def filled(model: Path, tmp_path: Path, shown: Mapping[str, list[Frame]], **limits: float) -> Teacher:
    """A teacher with pictures of labels that somebody has named."""
    teacher = Teacher(model, TeachSettings(**limits))  # type: ignore[arg-type]
    teacher.learn_from(collection := Collection(tmp_path / "pictures"))
    for label, pictures in shown.items():
        folder = tmp_path / "pictures" / teacher.name(label)
        folder.mkdir(parents=True)
        for number, picture in enumerate(pictures):
            cv2.imwrite(str(folder / f"{number}.png"), picture)
        collection.counts[label] = len(pictures)
    return teacher


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "1 to 60 characters"),
        (" \t", "1 to 60 characters"),
        ("x" * 61, "1 to 60 characters"),
        ("a\nb", "control characters"),
        ("a\0b", "control characters"),
        ("abc\u202egpj", "control characters"),
        ("Unknown", "cannot be a new label"),
        ("none", "cannot be a new label"),
        ("_nothing", "cannot be a new label"),
        ("..", "cannot be a new label"),
        ("RED", "already"),
    ],
)
def test_a_name_that_cannot_be_a_label_is_refused_in_words(model: Path, tmp_path: Path, name: str, words: str) -> None:
    teacher = Teacher(model)
    with pytest.raises(SettingsError, match=words):
        teacher.name(name)
    assert teacher.labels() == list(LABELS)


def test_names_are_in_nfc_and_limited_in_number(model: Path, tmp_path: Path) -> None:
    assert new_label(" Cafe\u0301 ") == "Caf\u00e9"
    for number in range(25):  # of another model, or of years ago: nobody has named them here
        (tmp_path / "pictures" / f"class {number}").mkdir(parents=True)
    teacher = Teacher(model)
    teacher.learn_from(Collection(tmp_path / "pictures"))
    for number in range(20):
        teacher.name(f"thing {number}")
    with pytest.raises(SettingsError, match="20 new labels"):
        teacher.name("one more")


def test_hostile_requests_write_nothing_and_name_nothing(model: Path, film: Path) -> None:
    before = model.read_bytes()
    with live(model, film) as url:
        eventually(lambda: urllib.request.urlopen(f"{url}/api/latest", timeout=60))
        teach = f"{url}/api/teach"
        for name in ("", "../../etc", "a\nb", "a\0b", "unknown", "x" * 300, "\u202eb", ".hidden"):
            status, told = post(f"{teach}/labels?label={quote(name)}")
            assert status == 409 and "new label" in told["error"], name
        assert post(f"{teach}/labels?label=mug", {})[0] == 405, "a form of another site could send this"
        foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        for path in ("", "/labels?label=mug", "/undo"):
            assert post(f"{teach}{path}", WRITES | foreign)[0] == 403
            assert post(f"{teach}{path}", WRITES | {"Host": "evil.example"})[0] == 421
            assert post(f"{teach}{path}", WRITES, b"x" * 100)[0] == 413
        assert post(teach) == (
            409,
            {"error": "there are no new pictures; press and hold a label while the camera sees it"},
        )
        assert post(f"{teach}/undo")[0] == 409
        assert post(f"{teach}?camera=cellar")[0] == 404
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == ["colors.tflite"]


def test_beyond_this_machine_nothing_is_taught_without_the_token(
    model: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_RUN_TOKEN", TOKEN)
    with live(model, film, host="0.0.0.0") as url:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        eventually(lambda: urllib.request.urlopen(urllib.request.Request(f"{url}/healthz", headers=bearer), timeout=60))
        for path in ("api/teach", "api/teach/labels?label=mug", "api/teach/undo"):
            assert post(f"{url}/{path}")[0] == 401
        assert post(f"{url}/api/teach/labels?label=mug", WRITES | bearer)[0] == 201


def test_a_page_that_may_not_teach_has_no_such_route(model: Path, film: Path) -> None:
    stopped, port = threading.Event(), free_port()
    options = LiveOptions(model, SourceOptions(str(film), realtime=True), sinks=SinkOptions(web=str(port)))
    thread = threading.Thread(target=lambda: run_live(options, stopped=stopped.is_set, notify=lambda notice: None))
    thread.start()
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: urllib.request.urlopen(f"{url}/api/latest", timeout=60))
        for path in ("api/teach", "api/teach/labels?label=mug", "api/teach/undo"):
            assert post(f"{url}/{path}")[0] == 404
    finally:
        stopped.set()
        thread.join(90)


def test_what_cannot_be_taught_is_said_at_the_start(
    model: Path, film: Path, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    web = SinkOptions(web="0", teach=True)
    with pytest.raises(ModelFormatError, match="it has no seal"):
        run_live(LiveOptions(tiny_model("float32"), SourceOptions(str(film)), sinks=web))
    with pytest.raises(SettingsError, match="nobody has signed"):
        run_live(LiveOptions(model, SourceOptions(str(film)), ModelOptions(key=tmp_path / "key.pub"), sinks=web))
    with pytest.raises(SettingsError, match="could not stand in"):
        run_live(LiveOptions(model, SourceOptions(str(film)), ModelOptions(fallback=model), sinks=web))
    with pytest.raises(SettingsError, match="use one of both"):
        updates = UpdateOptions(update_from="https://models.example")
        run_live(LiveOptions(model, SourceOptions(str(film)), sinks=web, updates=updates))
    with pytest.raises(SettingsError, match="give --web"):
        run_live(LiveOptions(model, SourceOptions(str(film)), sinks=SinkOptions(teach=True)))
