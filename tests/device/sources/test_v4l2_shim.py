"""The real path from V4L2 through OpenCV to frames, on a camera that `fakev4l.c` puts into a process."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_core import Frame
from edge_core.images import decode_picture, encode_jpeg, read_picture

from ...programs import needs

SOURCE = Path(__file__).with_name("fakev4l.c")
WIDTH, HEIGHT = 96, 64
DEVICE = "/dev/video63"
Shimmed = Callable[..., Any]

pytestmark = needs("gcc")


def numbered(number: int) -> Frame:
    """A frame that says which it is: its levels are 10 times its number, its right half is bright."""
    frame = np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8)
    frame[:, WIDTH // 2 :] += 100
    return frame


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shim") / "fakev4l.so"
    flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
    subprocess.run(["gcc", *flags, "-o", path, SOURCE, "-ldl", "-lpthread"], check=True)
    return path


@pytest.fixture
def shimmed(library: Path, tmp_path: Path) -> Shimmed:
    """Runs a program that has a camera at `DEVICE`, and gives what it printed as JSON.

    `shimmed(program, *arguments, pictures=…, form="MJPG", faults="eio@4")`; `pictures` are the bytes of its frames.
    """

    def run(
        program: str, *arguments: object, pictures: list[bytes], form: str = "BGR3", rate: int = 200, faults: str = ""
    ) -> Any:
        frames = tmp_path / "frames"
        frames.write_bytes(b"".join(struct.pack("<I", len(data)) + data for data in pictures))
        environment = os.environ | {
            "LD_PRELOAD": str(library),
            "FAKE_V4L2_DEVICE": DEVICE,
            "FAKE_V4L2_FRAMES": str(frames),
            "FAKE_V4L2_MODE": f"{WIDTH}x{HEIGHT} {form} {rate}",
            "FAKE_V4L2_FAULTS": faults,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        command = [sys.executable, "-c", program, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


CAMERA = """
import json
from contextlib import closing
from itertools import islice
from edge_core.errors import SourceError
from edge_device.sources import Camera, CameraMode, v4l2
from edge_device.sources.reconnecting import Reconnecting
v4l2.STALLED_S = 4  # not a moment in which this machine does something else

def tell(what):
    print(json.dumps(what), flush=True)

def looked_at(frame):
    return frame.image[0, 0].tolist(), frame.image[-1, -1].tolist()
"""

RECONNECTING = (
    CAMERA
    + """
found = Reconnecting(lambda: Camera('/dev/video63'), lambda notice: tell(notice.text), pause_s=lambda n: 0.05)
with closing(found) as source:
    for frame in islice(source, 12):
        tell(frame.index)
    tell({"losses": source.losses, "unreadable": source.unreadable})
"""
)

RAW = [numbered(number).tobytes() for number in range(8)]


def test_frames_arrive_pixel_for_pixel_and_in_order(shimmed: Shimmed) -> None:
    program = """
with closing(Camera('/dev/video63')) as camera:
    tell(camera.mode)
    for frame in islice(camera, 5):
        tell([*looked_at(frame), list(frame.image.shape), len(set(frame.image[:, :48].ravel().tolist()))])
"""
    mode, *frames = shimmed(CAMERA + program, pictures=RAW, rate=20)
    assert (mode, len(frames)) == ("96x64 BGR3 20 fps", 5)
    for left, right, shape, levels in frames:
        assert (shape, levels) == ([HEIGHT, WIDTH, 3], 1)
        assert left[0] % 10 == 0 and right == [level + 100 for level in left]
    numbers = [frame[0][0] // 10 for frame in frames]
    assert all((b - a) % 8 in (1, 2, 3) for a, b in pairwise(numbers)), numbers


@pytest.mark.parametrize("levels", [(7300, 8300), None])
def test_a_thermal_camera_is_seen_as_its_pictures_in_files_are(
    shimmed: Shimmed, tmp_path: Path, levels: tuple[int, int] | None
) -> None:
    ramp = np.tile(np.linspace(7200, 8400, WIDTH).astype(np.uint16), (HEIGHT, 1))
    cv2.imwrite(str(tmp_path / "file.png"), ramp)
    program = f"""
with closing(Camera('/dev/video63', levels={levels})) as camera:
    tell(camera.mode)
    for frame in islice(camera, 2):
        tell([frame.image[5].tolist(), list(frame.image.shape), str(frame.image.dtype)])
"""
    mode, *frames = shimmed(CAMERA + program, pictures=[ramp.tobytes()] * 8, form="Y16")
    assert mode.startswith("96x64 Y16")
    expected = read_picture(tmp_path / "file.png", levels=levels)
    assert [shape for _, shape, _ in frames] == 2 * [[HEIGHT, WIDTH, 3]]
    assert all(kind == "uint8" and row == expected[5].tolist() for row, _, kind in frames)
    assert len(np.unique(expected)) > 70 if levels else len(np.unique(expected)) < 8


def test_a_camera_of_8_bits_is_told_of_where_the_model_has_seen_16(shimmed: Shimmed) -> None:
    program = """
with closing(Camera('/dev/video63', notify=lambda notice: tell(notice.text), levels=(7300, 8300))) as camera:
    pass
"""
    (told,) = shimmed(CAMERA + program, pictures=RAW)
    assert told == (
        "/dev/video63 gives BGR3; the model has seen 16-bit pictures, as a camera that gives Y16 makes them"
    )


def test_jpegs_are_taken_as_the_driver_has_them(shimmed: Shimmed) -> None:
    jpegs = [encode_jpeg(numbered(number), 95) for number in range(1, 5)]
    program = """
with closing(Camera('/dev/video63')) as camera:
    tell(camera.mode)
    for frame in islice(camera, 4):
        tell(looked_at(frame))
"""
    mode, *frames = shimmed(CAMERA + program, pictures=jpegs, form="MJPG")
    assert mode.startswith("96x64 MJPG")
    decoded = [decode_picture(jpeg) for jpeg in jpegs]
    possible = [[image[0, 0].tolist(), image[-1, -1].tolist()] for image in decoded]
    assert len(frames) == 4
    assert all(frame in possible for frame in frames)


@pytest.mark.parametrize("fault", ["eio", "enodev", "stall"])
def test_a_camera_that_fails_is_opened_again(shimmed: Shimmed, fault: str) -> None:
    *told, end = shimmed(RECONNECTING, pictures=RAW, rate=50, faults=f"{fault}@4")
    notices = [text for text in told if isinstance(text, str)]
    indexes = [number for number in told if isinstance(number, int)]
    assert indexes == list(range(12))
    assert end["losses"] == 1
    why = "has given no frame for 4 s" if fault == "stall" else "has stopped giving frames"
    assert why in notices[0] and "is back after" in notices[-1]


def test_half_filled_buffers_are_passed_over(shimmed: Shimmed) -> None:
    *told, end = shimmed(RECONNECTING, pictures=RAW, rate=30, faults="short@3 short@5")
    assert [number for number in told if isinstance(number, int)] == list(range(12))
    assert end["losses"] == 0


def test_cut_jpegs_are_counted(shimmed: Shimmed) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    *told, end = shimmed(RECONNECTING, pictures=[jpeg], form="MJPG", rate=30, faults="short@3 short@5")
    assert [number for number in told if isinstance(number, int)] == list(range(12))
    assert end == {"losses": 0, "unreadable": 2}


def test_the_doctor_reads_what_the_driver_says(shimmed: Shimmed) -> None:
    program = (
        "import json; from edge_device.system.v4l2_device import describe; print(json.dumps(describe('/dev/video63')))"
    )
    (about,) = shimmed(program, pictures=RAW, rate=25)
    assert (about["card"], about["driver"], about["capture"]) == ("fake camera", "fakev4l", True)
    assert about["formats"] == [
        {"pixel_format": "BGR3", "compressed": False, "sizes": [{"width": WIDTH, "height": HEIGHT, "fps": 25.0}]}
    ]


def test_the_live_command_classifies_what_the_camera_sees(shimmed: Shimmed, tiny_model: Callable[..., Path]) -> None:
    red = np.full((HEIGHT, WIDTH, 3), (10, 20, 250), np.uint8).tobytes()
    program = "import sys; sys.argv[0] = 'edge-run'; from edge_device.cli import app; app()"
    options = ("--source", DEVICE, "--json", "--frames", 3, "--threads", 1)
    lines = shimmed(program, "live", tiny_model(), *options, pictures=[red], rate=30)
    frames = [line for line in lines if "type" not in line]
    assert [frame["top"][0]["label"] for frame in frames] == ["red"] * 3


CONTROLS = """
import json, sys
from contextlib import closing
from edge_core.errors import SettingsError
from edge_device.system.v4l2_device import describe
from edge_device.sources import Camera, CameraMode
told = []
mode = CameraMode(controls=json.loads(sys.argv[2]))
with closing(Camera(sys.argv[1], mode, notify=lambda notice: told.append(notice.text))):
    pass
print(json.dumps(told))
print(json.dumps({one["name"]: one["value"] for one in describe(sys.argv[1])["controls"]}))
for wrong in ({"contrast": "1"}, {"brightness": "65"}, {"power_line_frequency": "55 Hz"}, {"areas": "-1"}):
    try:
        Camera(sys.argv[1], CameraMode(controls=wrong))
    except SettingsError as error:
        print(json.dumps(str(error)))
"""


def test_controls_are_set_by_name_and_read_back(shimmed: Shimmed) -> None:
    """The driver rounds brightness to tens, and knows no other bits than those of its mask."""
    asked = {"Brightness": "-37", "power_line_frequency": "50 Hz", "areas": "0x80002001"}
    told, values, *refused = shimmed(
        CONTROLS, DEVICE, json.dumps(asked), pictures=[encode_jpeg(numbered(1), 90)], form="MJPG"
    )
    assert told == [f"{DEVICE}: brightness is -30, power_line_frequency is 1, areas is {0x80002000}"]
    assert values == {"brightness": -30, "power_line_frequency": 1, "areas": 0x80002000}
    assert refused[0] == f"{DEVICE} has no control 'contrast'; edge-run doctor lists the 3 that it has"
    assert "brightness (-64 to 64) cannot be '65'" in refused[1]
    assert "(0 Disabled, 1 50 Hz, 2 60 Hz) cannot be '55 Hz'" in refused[2]
    assert "cannot be '-1'" in refused[3]


def test_the_camera_at_the_boards_connector_is_taken_through_picamera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_core.errors import SourceError
    from edge_device.sources import v4l2

    monkeypatch.setattr(v4l2, "driver_of", lambda device: "rp1-cfe")
    node = tmp_path / "video0"
    node.write_bytes(b"")
    with pytest.raises(SourceError, match="--source picamera"):
        v4l2.Camera(str(node))
