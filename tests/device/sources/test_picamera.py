"""Against a double of picamera2 0.3.38: its formats are named the other way round than its bytes lie."""

import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from edge_core.errors import RuntimeMissingError, SettingsError, SourceError
from edge_device.notices import Notice
from edge_device.sources import CameraMode, open_source, parse_controls, picamera
from edge_device.sources.picamera import PiCamera
from edge_device.system.nearest import no_control

B, G, R = 10, 20, 250


class Picamera2:
    """Sees a red wall."""

    cameras = 2
    busy = False
    after = 10**9  # frames that it gives before it stalls
    latest: "Picamera2"
    metadata: ClassVar[dict[str, Any] | None] = {}
    camera_controls: ClassVar[dict[str, tuple[Any, Any, Any]]] = {
        "AwbEnable": (False, True, None),
        "AwbMode": (0, 7, 0),
        "ColourGains": (0.0, 32.0, None),
        "ExposureTime": (1, 66666, None),
        "FrameDurationLimits": (33333, 120000, None),
    }

    def __init__(self, camera_num: int = 0, tuning: str | None = None) -> None:
        self.tuning = tuning
        if camera_num >= self.cameras:
            raise RuntimeError(f"No camera number {camera_num} found")
        if self.busy:
            raise RuntimeError("Camera __init__ sequence did not complete.") from RuntimeError(
                "Device or resource busy"
            )
        self.events: list[str] = []
        self.given = 0
        type(self).latest = self

    def create_video_configuration(
        self, main: dict[str, Any], controls: dict[str, Any], buffer_count: int = 6
    ) -> dict[str, Any]:
        width, height = main["size"]
        self.buffer_count = buffer_count
        return {
            "main": {"size": (width - width % 2, height - height % 2), "format": main["format"]},
            "controls": controls,
        }

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None:
        self.events.append("start")

    def capture_array(self, name: str = "main", wait: bool | None = None) -> "Future[np.ndarray]":
        assert wait is False
        job: Future[np.ndarray] = Future()
        if self.given < self.after:
            width, height = self.configuration[name]["size"]
            order = {"RGB888": (B, G, R), "BGR888": (R, G, B)}[self.configuration[name]["format"]]
            job.set_result(np.full((height, width, 3), order, np.uint8))
            self.given += 1
        return job

    def wait(self, job: "Future[Any]", timeout: float | None = None) -> Any:
        return job.result(timeout)

    def capture_metadata(self, wait: bool | None = None) -> "Future[dict[str, Any]]":
        assert wait is False and self.given >= picamera.SETTLED_FRAMES
        job: Future[dict[str, Any]] = Future()
        if self.metadata is None:
            job.set_exception(RuntimeError("no description"))
        else:
            job.set_result(self.metadata)
        return job

    def cancel_all_and_flush(self) -> None:
        self.events.append("flush")

    def close(self) -> None:
        self.events.append("close")


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    module = ModuleType("picamera2")
    double = type("Picamera2", (Picamera2,), {})
    module.Picamera2 = double  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(picamera, "STALLED_S", 0.5)
    return double


def test_its_frames_are_blue_green_red(hardware: type[Picamera2]) -> None:
    with open_source("picamera:1", CameraMode(640, 480, 15)) as source:
        assert source.live
        assert source.mode == "640x480 RGB888 15 fps"
        frame = next(iter(source))
    assert frame.image.shape == (480, 640, 3)
    assert frame.image[0, 0].tolist() == [B, G, R]
    assert frame.source == "picamera:1"
    assert hardware.latest.configuration["controls"] == {"FrameDurationLimits": (66667, 66667)}
    assert hardware.latest.events == ["start", "flush", "close"]


@pytest.mark.parametrize(
    ("mode", "size"),
    [(CameraMode(), "1280x720"), (CameraMode(width=640), "640x360"), (CameraMode(height=1080), "1920x1080")],
)
def test_a_size_is_completed(hardware: type[Picamera2], mode: CameraMode, size: str) -> None:
    with closing(PiCamera(0, mode)) as camera:
        assert camera.mode == f"{size} RGB888"


def test_what_is_not_granted_is_told(hardware: type[Picamera2]) -> None:
    told: list[tuple[str, str]] = []
    with closing(PiCamera(0, CameraMode(641, 481), lambda notice: told.append((notice.level, notice.text)))):
        assert told == [("warning", "picamera:0 gives 640x480 RGB888, not the size 641x481 that it was asked for")]


def test_a_camera_that_is_not_there_or_busy_is_named(
    hardware: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match="picamera:2 does not start: No camera number 2 found; see rpicam-hello"):
        PiCamera(2)
    monkeypatch.setattr(hardware, "busy", True)
    with pytest.raises(SourceError, match="Device or resource busy"):
        PiCamera(0)
    with pytest.raises(SourceError, match="is no Raspberry Pi camera"), open_source("picamera:left"):
        pass


def test_a_camera_that_stalls_is_noticed(hardware: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "after", 3)
    frames = []
    with closing(PiCamera()) as camera, pytest.raises(SourceError, match=r"has given no frame for 0\.5 s"):
        for frame in camera:
            frames.append(frame.index)
    assert frames == [0, 1, 2]


def test_it_can_be_closed_while_it_is_read(hardware: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "after", 0)
    monkeypatch.setattr(picamera, "STALLED_S", 30)
    camera = PiCamera()
    threading.Timer(0.1, camera.close).start()
    start = time.monotonic()
    assert list(camera) == []
    assert time.monotonic() - start < 20
    assert hardware.latest.events == ["start", "flush", "close"]


def raising(error: Exception) -> Callable[..., Any]:
    def find_spec(name: str, *rest: object) -> None:
        if name == "picamera2":
            raise error

    return find_spec


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            ModuleNotFoundError("No module named 'picamera2'"),
            r"apt install python3-picamera2.*--system-site-packages",
        ),
        (ModuleNotFoundError("No module named 'numpy.exceptions'"), r"apt install python3-picamera2"),
        (
            ValueError("numpy.dtype size changed, may indicate binary incompatibility"),
            r"compiled for NumPy 1, and this Python has \d.*pip install 'numpy<2' opencv-",
        ),
        (ImportError("numpy.core.multiarray failed to import"), r"pip install 'numpy<2' opencv-"),
    ],
)
def test_without_picamera2_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception, advice: str
) -> None:
    finder = type("Finder", (), {"find_spec": staticmethod(raising(error))})
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    with pytest.raises(RuntimeMissingError, match=advice) as caught:
        PiCamera()
    assert str(error) in str(caught.value)
    assert ("apt install" in str(caught.value)) is ("No module" in str(error))


WITH_FOCUS = Picamera2.camera_controls | {"AfMode": (0, 2, 0), "LensPosition": (0.0, 32.0, 1.0)}


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {"AfMode": 2}),
        ({"AfMode": "1"}, {"AfMode": 1}),
        ({"LensPosition": "3.5"}, {"AfMode": 0, "LensPosition": 3.5}),
        ({"AwbEnable": "false", "ColourGains": "1.5, 2"}, {"AfMode": 2, "AwbEnable": False, "ColourGains": (1.5, 2.0)}),
        ({"AwbMode": "Daylight"}, {"AfMode": 2, "AwbMode": 5}),
    ],
)
def test_a_camera_focuses_continuously_and_takes_controls_of_its_own_types(
    hardware: type[Picamera2], monkeypatch: pytest.MonkeyPatch, given: dict[str, str], asked: dict[str, Any]
) -> None:
    libcamera = ModuleType("libcamera")
    AwbModeEnum = IntEnum("AwbModeEnum", {"Auto": 0, "Daylight": 5})
    libcamera.controls = SimpleNamespace(AwbModeEnum=AwbModeEnum)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    monkeypatch.setattr(hardware, "camera_controls", WITH_FOCUS)
    with open_source("picamera", CameraMode(controls=given)):
        found = hardware.latest.configuration["controls"]
    assert found == asked
    assert [type(value) for value in found.values()] == [type(value) for value in asked.values()]


def test_a_camera_without_a_motor_is_asked_for_no_focus(hardware: type[Picamera2]) -> None:
    with open_source("picamera", CameraMode(controls={"ExposureTime": "1000"})):
        assert hardware.latest.configuration["controls"] == {"ExposureTime": 1000}


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (("Brightnes", "1"), "has no control 'Brightnes'; edge-run doctor lists the [0-9] that it has$"),
        (("ExposureTime", "0"), "ExposureTime is from 1 to 66666, not '0'"),
        (("ExposureTime", "long"), "ExposureTime is from 1 to 66666, not 'long'"),
        (("AwbEnable", "2"), "AwbEnable is from False to True"),
    ],
)
def test_a_control_that_the_camera_does_not_take_is_told_with_what_it_takes(
    hardware: type[Picamera2], control: tuple[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message), open_source("picamera", CameraMode(controls=dict([control]))):
        pass
    assert hardware.latest.events == ["close"]


def test_a_tuning_file_is_handed_over(hardware: type[Picamera2], tmp_path: Path) -> None:
    tuning = tmp_path / "imx477_noir.json"
    tuning.write_text("{}")
    with open_source("picamera", CameraMode(tuning_file=tuning)):
        assert hardware.latest.tuning == str(tuning)
    with pytest.raises(SettingsError, match="is not a file"):
        CameraMode(tuning_file=tmp_path / "none.json")
    with (
        pytest.raises(SettingsError, match="--tuning-file is for --source picamera"),
        open_source("0", CameraMode(tuning_file=tuning)),
    ):
        pass


def test_controls_are_names_and_values_and_for_cameras_alone() -> None:
    assert parse_controls(["AfMode = 2", "ColourGains=1,2"]) == {"AfMode": "2", "ColourGains": "1,2"}
    for wrong in (["AfMode"], ["=2"], ["AfMode="], ["AfMode=1", "AfMode=2"]):
        with pytest.raises(SettingsError, match="control"):
            parse_controls(wrong)
    with (
        pytest.raises(SettingsError, match="cameras at this machine"),
        open_source("rtsp://camera/", CameraMode(controls={"brightness": "1"})),
    ):
        pass


def test_it_has_memory_for_as_many_frames_as_are_asked_for(hardware: type[Picamera2]) -> None:
    with open_source("picamera", CameraMode(buffers=3)):
        assert hardware.latest.buffer_count == 3
    with open_source("picamera"):
        assert hardware.latest.buffer_count == 6
    with (
        pytest.raises(SettingsError, match="--buffers is for --source picamera"),
        open_source("fake:64x64@5", CameraMode(buffers=3)),
    ):
        pass


@pytest.mark.parametrize("like", ["exposuretime", "ExposureTme", "exposure"])
def test_the_nearest_control_is_named_with_its_range(hardware: type[Picamera2], like: str) -> None:
    with (
        pytest.raises(
            SettingsError, match=r"do you mean ExposureTime \(1 to 66666\)\? edge-run doctor lists the [0-9]"
        ),
        open_source("picamera", CameraMode(controls={like: "100"})),
    ):
        pass


def test_a_refusal_stays_short_however_many_controls_a_camera_has() -> None:
    many = {f"red_balance_{number}": f"red_balance_{number} (0 to 100)" for number in range(60)}
    told = no_control("/dev/video0", "red_balance", many)
    assert told.endswith("? edge-run doctor lists the 60 that it has") and len(told) < 200
    assert no_control("/dev/video0", "gain", {}) == "/dev/video0 has no control 'gain', nor any other that can be set"


@pytest.mark.parametrize(
    ("asked", "metadata", "level", "told"),
    [
        ({"ExposureTime": "10000"}, {"ExposureTime": 9993}, "info", "ExposureTime is 9993$"),
        (
            {"ExposureTime": "10000"},
            {"ExposureTime": 33000},
            "warning",
            "ExposureTime is 33000, not the 10000 that was asked for",
        ),
        ({"ColourGains": "1.5,2"}, {"ColourGains": (1.5, 2.0)}, "info", "ColourGains is 1.5,2$"),
        ({"ColourGains": "1.5,2"}, {"ColourGains": (1.5, 3.0)}, "warning", "ColourGains is 1.5,3, not the 1.5,2 that"),
        (
            {"AwbMode": "5"},
            {"ExposureTime": 33000},
            "info",
            "AwbMode was set to 5, which the camera does not tell back",
        ),
        ({"AwbMode": "5"}, None, "warning", "does not tell what its controls are: no description"),
    ],
)
def test_what_controls_are_is_read_back_and_told(
    hardware: type[Picamera2],
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, str],
    metadata: dict[str, Any] | None,
    level: str,
    told: str,
) -> None:
    monkeypatch.setattr(hardware, "metadata", metadata)
    notices: list[Notice] = []
    with open_source("picamera", CameraMode(controls=asked), notify=notices.append) as source:
        for frame in source:
            assert frame.index < picamera.SETTLED_FRAMES or notices
            if frame.index > picamera.SETTLED_FRAMES:
                break
    (notice,) = notices
    assert notice.level == level
    assert re.search(rf"^picamera:0:? {told}", notice.text)


def test_a_camera_of_which_nothing_was_asked_is_asked_nothing(hardware: type[Picamera2]) -> None:
    notices: list[Notice] = []
    with open_source("picamera", notify=notices.append) as source:
        for frame in source:
            if frame.index > picamera.SETTLED_FRAMES:
                break
    assert notices == []
