"""Several cameras in one process: each as if it were alone, whatever becomes of the others."""

import json
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge_core import Frame, InputSpec
from edge_core.errors import ModelFormatError, SettingsError, SourceError
from edge_device.cli import app
from edge_device.frames import frozen
from edge_device.live.cameras import pulse, together
from edge_device.live.cameras.pulse import LoopPulse, ProcessPulse
from edge_device.live.cameras.together import run_cameras
from edge_device.live.loop import Live
from edge_device.live.options import (
    DecisionOptions,
    FocusOptions,
    LiveOptions,
    ModelOptions,
    SinkOptions,
    SourceOptions,
    UpdateOptions,
)
from edge_device.notices import Notice
from edge_device.results import Event, FrameResult, Status
from edge_device.sources import CameraMode, FakeCamera, fake
from edge_device.sources.fake import Garbage, Raises, Show, Slow, Stall, Step, Unplugged, fake_camera
from edge_device.system.systemd import ServiceManager

from ...doubles import Recorder, free_port

pytestmark = pytest.mark.timeout(300)

TinyModel = Callable[..., Path]
Cameras = Mapping[str, LiveOptions]


class Running:
    """A run in a thread of its own, and what its cameras have told."""

    def __init__(self, cameras: Cameras) -> None:
        self.told = {name: Recorder() for name in cameras}
        self.notices: list[Notice] = []
        self.statuses: dict[str, Status] = {}
        self.error: BaseException | None = None
        self._ended = threading.Event()
        self._cameras = cameras
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.statuses = run_cameras(
                self._cameras,
                sinks=lambda name: [self.told[name]],
                stopped=self._ended.is_set,
                notify=self.notices.append,
            )
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def until(self, true: Callable[[], object], what: str) -> None:
        until_s = time.monotonic() + 120
        while not true():
            assert self._thread.is_alive(), (what, self.error)
            assert time.monotonic() < until_s, (what, {name: one.notices for name, one in self.told.items()})
            time.sleep(0.01)

    def frames(self, camera: str) -> int:
        return len(self.told[camera].frames_seen)

    def more(self, *cameras: str, frames: int = 5) -> None:
        """Waits until each camera has given so many more."""
        before = {name: self.frames(name) for name in cameras}
        self.until(lambda: all(self.frames(name) >= before[name] + frames for name in cameras), f"frames of {cameras}")

    def end(self) -> None:
        self._ended.set()
        self._thread.join(90)
        assert not self._thread.is_alive()


@contextmanager
def running(cameras: Cameras) -> Iterator[Running]:
    run = Running(cameras)
    try:
        yield run
    finally:
        run.end()


def options(model: Path, source: str = "fake:64x48@50", **groups: object) -> LiveOptions:
    return LiveOptions(model, SourceOptions(source), ModelOptions(threads="1"), **groups)  # type: ignore[arg-type]


def script(monkeypatch: pytest.MonkeyPatch, **cameras: FakeCamera) -> None:
    """Has `fake:NAME` open these cameras."""

    def chosen(text: str, mode: CameraMode) -> FakeCamera:
        return cameras.get(text.removeprefix("fake:")) or fake_camera(text, mode)

    monkeypatch.setattr(fake, "fake_camera", chosen)


FAILURES: Mapping[str, tuple[list[Step], str]] = {
    "is unplugged": ([Unplugged(failed_openings=2)], "was unplugged"),
    "stays away": ([Unplugged(failed_openings=None)], "was unplugged"),
    "hangs": ([Stall(60)], "has given no frame"),
    "raises what no source should": ([Raises(RuntimeError("a bug of the driver"))], "a bug of the driver"),
    "gives garbage": ([Garbage(60)], "garbage"),
    "gives less": ([Slow(0.5)], ""),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_camera_that_fails_leaves_the_others_at_work(
    tiny_model: TinyModel, color_frames: dict[str, Frame], monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    monkeypatch.setattr(together, "FIRST_PAUSE_S", 0.1)
    fault, told = FAILURES[failure]
    rng = np.random.default_rng(0)
    live = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(2)]
    camera = FakeCamera([*live, *live, *fault, *live * 10_000], fps=50, stalled_s=0.3)
    script(monkeypatch, bad=camera)
    model = tiny_model()
    with running({"bad": options(model, "fake:bad"), "porch": options(model), "gate": options(model)}) as run:

        def state(name: str) -> str:
            return run.told[name].statuses[-1].source_state if run.told[name].statuses else ""

        run.until(lambda: any(told in one.text for one in run.told["bad"].notices) or not told, "a notice")
        run.more("porch", "gate")
        if failure not in ("stays away", "gives less"):
            run.more("bad")
            run.until(lambda: state("bad") == "open", "being open again")
        elif failure == "stays away":
            run.until(lambda: state("bad") == "waiting", "waiting for it")
        run.more("porch", "gate")
    assert run.error is None
    assert set(run.statuses) == {"bad", "porch", "gate"}
    assert run.told["porch"].notices == run.told["gate"].notices == []
    assert all(one.closed for one in run.told.values())
    for name, one in run.told.items():
        every: list[FrameResult | Event | Notice | Status] = [
            *one.frames_seen,
            *one.events,
            *one.notices,
            *one.statuses,
        ]
        assert {told.camera for told in every} == {name}
        assert {told.to_json()["camera"] for told in every} == {name}


def test_a_picture_that_freezes_is_told_of_its_camera_alone(
    tiny_model: TinyModel, color_frames: dict[str, Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "LOOKED_AT_S", 0.0)
    monkeypatch.setattr(frozen, "FROZEN_S", 0.5)
    script(monkeypatch, bad=FakeCamera([Show(color_frames["red"], 10_000)], fps=50))
    model = tiny_model()
    with running({"bad": options(model, "fake:bad"), "porch": options(model)}) as run:
        run.until(lambda: any("frozen" in one.text for one in run.told["bad"].notices), "a notice")
        run.more("bad", "porch")
    assert run.told["porch"].notices == []


def test_a_loop_that_fails_is_begun_anew_and_its_sinks_stay_open(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "FIRST_PAUSE_S", 0.1)
    look_at, failed = Live._look_at, list[int]()

    def fails_once(loop: Live, prepared: object) -> None:
        if loop._name == "fake:64x48@40" and loop._meter.frames == 3 and not failed:
            failed.append(1)
            raise ZeroDivisionError("a bug of the loop")
        look_at(loop, prepared)  # type: ignore[arg-type]

    monkeypatch.setattr(Live, "_look_at", fails_once)
    model = tiny_model()
    with running({"bad": options(model, "fake:64x48@40"), "porch": options(model)}) as run:
        run.until(
            lambda: any("a bug of the loop; the camera is begun anew" in one.text for one in run.told["bad"].notices),
            "a notice",
        )
        run.more("bad", "porch")
        assert not run.told["bad"].closed
    assert run.error is None


def test_what_is_wrong_at_the_start_ends_the_run_and_names_the_camera(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model()
    (tmp_path / "notes.tflite").write_text("no model")
    wrong: list[tuple[LiveOptions, type[Exception], str]] = [
        (options(tmp_path / "notes.tflite"), ModelFormatError, "^gate: .*notes.tflite"),
        (options(model, "no-such-film.mp4"), SourceError, "^gate: .*no file"),
        (options(model, decisions=DecisionOptions(thresholds=("cat=0.5",))), SettingsError, "^gate: .*cat"),
        (LiveOptions(model, model=ModelOptions(device="npu")), SettingsError, "^gate: no device is called 'npu'"),
    ]
    for one, kind, told in wrong:
        with pytest.raises(kind, match=told):
            run_cameras({"porch": options(model), "gate": one}, notify=lambda one: None)


def test_films_of_several_cameras_end_the_run_when_the_last_has_ended(
    tiny_model: TinyModel, color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    import cv2

    for name, count in (("short", 3), ("long", 30)):
        (tmp_path / name).mkdir()
        for number in range(count):
            cv2.imwrite(str(tmp_path / name / f"{number:02}.png"), color_frames["red"])
    model = tiny_model()
    statuses = run_cameras(
        {name: options(model, str(tmp_path / name)) for name in ("short", "long")}, notify=lambda one: None
    )
    assert {name: one.frames for name, one in statuses.items()} == {"short": 3, "long": 30}


def test_a_model_in_place_of_the_old_one_is_taken_up_by_all(tiny_model: TinyModel, tmp_path: Path) -> None:
    from edge_core import ModelCard, complete
    from edge_core.artifact.seal import seal
    from edge_device.inference.classifier import Classifier
    from edge_device.inference.verify import record

    def sealed(labels: tuple[str, ...]) -> bytes:
        plain = tmp_path / "plain.tflite"
        tiny = (Path(__file__).parents[2] / "models" / "tiny-uint8.tflite").read_bytes()
        plain.write_bytes(complete(tiny, ModelCard(labels, InputSpec(32, 32)), "tiny"))
        return seal(plain.read_bytes(), record(Classifier(plain), [np.full((48, 64, 3), 90, np.uint8)]))

    model = tmp_path / "model.tflite"
    model.write_bytes(sealed(("red", "green", "blue", "dark")))
    cameras = {name: options(model) for name in ("porch", "gate")}
    with running(cameras) as run:
        run.more("porch", "gate")
        (tmp_path / "new").write_bytes(sealed(("rot", "grün", "blau", "dunkel")))
        (tmp_path / "new").replace(model)
        german = {"rot", "grün", "blau", "dunkel"}
        for told in run.told.values():
            run.until(partial(lambda told: told.frames_seen[-1].top[0].label in german, told), "its labels")
    assert {one.model_swaps for one in run.statuses.values()} == {1}


def test_updates_of_different_models_have_a_folder_each(tmp_path: Path, tiny_model: TinyModel) -> None:
    updates = UpdateOptions("http://127.0.0.1:9", tmp_path / "updates")
    cameras = {
        kind: LiveOptions(tiny_model(kind), model=ModelOptions(key=tmp_path / "vendor.pub"), updates=updates)
        for kind in ("uint8", "float32")
    }
    with pytest.raises(SettingsError, match="uint8 and float32 keep updates of different models"):
        run_cameras(cameras, notify=lambda one: None)


def test_two_models_on_one_coral_are_refused_at_the_start(tiny_model: TinyModel) -> None:
    cameras = {
        kind: LiveOptions(tiny_model(kind), model=ModelOptions(device=device))
        for kind, device in (("uint8", "coral:usb"), ("float32", "coral:usb:0"))
    }
    with pytest.raises(SettingsError, match=r"^float32: coral usb:0 computes the model of uint8, .*runs one model"):
        run_cameras(cameras, notify=lambda one: None)


def test_each_camera_has_its_own_zones_focus_and_decisions(tiny_model: TinyModel) -> None:
    model = tiny_model()
    zones = LiveOptions(model, SourceOptions("fake:64x48@50", zones=("a=0,0,0.5,1", "b=0.5,0,0.5,1")))
    tiles = options(model, focus=FocusOptions("tiles"), decisions=DecisionOptions(top=1))
    with running({"zones": zones, "tiles": tiles}) as run:
        run.until(lambda: run.told["zones"].frames_seen and run.told["tiles"].statuses, "results")
        run.more("zones", frames=10)
    assert {one.zone for one in run.told["zones"].frames_seen} == {"a", "b"}
    assert all(len(one.top) <= 1 for one in run.told["tiles"].frames_seen)


def test_sinks_in_one_place_tell_of_each_camera(tiny_model: TinyModel, tmp_path: Path) -> None:
    model, (page, metrics) = tiny_model(), (free_port(), free_port())
    shared = SinkOptions(
        jsonl=tmp_path / "all.jsonl",
        web=str(page),
        prometheus=str(metrics),
        snapshots=tmp_path / "inbox",
        record=tmp_path / "film.avi",
        collect=tmp_path / "photos",
    )
    cameras = {name: options(model, sinks=shared) for name in ("porch", "gate")}

    def ask(port: int, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", method=method, headers={"X-Requested-By": "me"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())

    with running(cameras) as run:
        run.until(lambda: all(one.statuses for one in run.told.values()), "statistics")
        run.more("porch", "gate")

        def overview() -> list[tuple[str, str]]:
            return [(one["name"], one["state"]) for one in json.loads(ask(page, "/api/cameras"))["cameras"]]

        run.until(lambda: overview() == [("porch", "live"), ("gate", "live")], "both on the page")
        assert json.loads(ask(page, "/healthz"))["cameras"] == {"porch": True, "gate": True}
        for name in cameras:
            assert json.loads(ask(page, f"/api/status?camera={name}"))["camera"] == name
            assert json.loads(ask(page, f"/api/latest?camera={name}"))["results"][0]["camera"] == name
            assert ask(page, f"/frame.jpg?camera={name}")[:2] == b"\xff\xd8"
        assert json.loads(ask(page, "/api/status"))["camera"] == "porch"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(page, "/api/status?camera=cellar")
        ask(page, "/api/snapshots?camera=gate", "POST")
        ask(page, "/api/collect?camera=gate&label=red", "POST")

        def asked() -> list[str]:
            listed = json.loads(ask(page, "/api/snapshots"))["snapshots"]
            return [one["camera"] for one in listed if one["kind"] == "asked"]

        run.until(asked, "a snapshot")
        assert asked() == ["gate"]
        run.until(lambda: list((tmp_path / "photos" / "red").glob("*.jpg")), "a picture")
        text = ask(metrics, "/metrics").decode()
    assert json.loads((tmp_path / "photos" / "manifest.jsonl").read_text())["camera"] == "gate"
    assert text.count("# TYPE edge_frames_classified_total counter") == 1
    for name in cameras:
        assert f'edge_frames_classified_total{{camera="{name}"}}' in text
        assert f'edge_latency_seconds_bucket{{camera="{name}",stage="invoke",le="+Inf"}}' in text
    told = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert {one["camera"] for one in told} == {"porch", "gate"}
    assert {path.name.split("-")[1].partition(".")[0] for path in tmp_path.glob("film-*.avi")} == {"porch", "gate"}


def test_a_camera_without_a_name_is_not_named_anywhere(tiny_model: TinyModel, color_frames: dict[str, Frame]) -> None:
    found = CliRunner().invoke(app, ["live", str(tiny_model()), "--source", "fake:64x48@50", "--frames", "3", "--json"])
    assert found.exit_code == 0
    assert "camera" not in {key for line in found.stdout.splitlines() for key in json.loads(line)}


def test_the_command_reads_its_cameras_from_a_file(tiny_model: TinyModel, tmp_path: Path) -> None:
    text = f'model = "{tiny_model()}"\nthreads = "1"\njson = true\nframes = 3\n'
    text += "".join(f'[camera.{name}]\nsource = "fake:64x48@50"\n' for name in ("porch", "gate"))
    (tmp_path / "farm.toml").write_text(text)
    found = CliRunner().invoke(app, ["live", "--config", str(tmp_path / "farm.toml")])
    assert found.exit_code == 0
    told = [json.loads(line) for line in found.stdout.splitlines()]
    assert [sum("frame" in one and one["camera"] == name for one in told) for name in ("porch", "gate")] == [3, 3]
    assert "porch: 3 frames" in found.stderr and "gate: 3 frames" in found.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[camera.a]\nsource = "0"\n[camera.b]\nsource = "/dev/video0"', "camera.b.source: a has this camera, too"),
        ('[camera.a]\nsource = "-"\n[camera.b]\nsource = "-"', "camera.b.source: a has this camera, too"),
        ('[camera.a]\nsource = "picamera"\n[camera.b]\nsource = "picamera:0"', "camera.b.source: a has this"),
        ("window = true\n[camera.a]\n[camera.b]\nsource = '1'", "window: a window shows one camera, not a, b"),
        (
            "[camera.a]\ndevice = 'coral'\n[camera.b]\ndevice = 'coral:usb:0'\nsource = '1'\nmodel = 'other.tflite'",
            "camera.b.device: a runs another file on this Coral",
        ),
        (
            "device = 'coral'\n[camera.a]\n[camera.b]\nmodel = 'other.tflite'\nsource = '1'",
            "device: a runs another file on this Coral",
        ),
    ],
)
def test_what_cameras_cannot_have_beside_each_other_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert tomllib.loads(text)
    (tmp_path / "farm.toml").write_text(f'model = "m.tflite"\n{text}\n')
    found = CliRunner().invoke(app, ["live", "--config", str(tmp_path / "farm.toml")])
    assert (found.exit_code, found.stderr.count("\n")) == (2, 1)
    assert told in found.stderr


class Manager(ServiceManager):
    """Writes down what it is told."""

    def __init__(self) -> None:
        super().__init__({"WATCHDOG_USEC": "30000000"})
        self.told: list[str] = []

    def ready(self) -> None:
        self.told.append("ready")

    def alive(self) -> None:
        self.told.append("alive")

    def status(self, text: str) -> None:
        self.told.append(text)


def test_the_process_is_alive_while_every_loop_is_that_should_be() -> None:
    now = [0.0]
    porch, gate = LoopPulse(lambda: now[0]), LoopPulse(lambda: now[0])
    manager = Manager()
    process = ProcessPulse({"porch": porch, "gate": gate}, manager, lambda: now[0])
    process.beat()
    assert manager.told == ["alive"]  # both are being opened
    porch.ready()
    porch.status("3 frames")
    process.beat()
    assert manager.told[1:] == ["alive", "porch: 3 frames; gate: not begun"]
    gate.ready()
    process.beat()
    assert manager.told.count("ready") == 1
    manager.told.clear()
    now[0] = 30.0
    porch.alive()
    process.beat()
    assert "alive" not in manager.told  # the gate's loop hangs
    gate.stopping()  # it has failed, and is begun anew
    process.beat()
    assert "alive" in manager.told
    gate.ready()
    now[0] = 35.0
    process.beat()
    assert manager.told.count("alive") == 2


def test_a_camera_whose_driver_hangs_while_it_is_opened_does_not_keep_a_service_from_being_ready() -> None:
    now = [0.0]
    porch, gate = LoopPulse(lambda: now[0]), LoopPulse(lambda: now[0])
    manager = Manager()
    process = ProcessPulse({"porch": porch, "gate": gate}, manager, lambda: now[0])
    porch.ready()
    process.beat()
    assert "ready" not in manager.told
    now[0] = pulse.READY_S + 1
    process.beat()
    assert "ready" in manager.told
