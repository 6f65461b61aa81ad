"""`edge-run doctor`: that it finds what is wrong, names what mends it, and outlives what it examines."""

import ctypes
import errno
import fcntl
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_core import Frame
from edge_device.doctor import Finding, Report, examine, probe, software
from edge_device.doctor.command import rendered
from edge_device.doctor.examine import EXAMINATIONS
from edge_device.doctor.hardware import formats_in_words
from edge_device.doctor.machine_facts import Host
from edge_device.doctor.probe import Prober, read_outcome
from edge_device.inference.verify import sealed
from edge_device.system.v4l2_device import describe

from ...doubles import until
from ...programs import needs

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "tests/models"
DEVICE = ROOT / "device"

Doctor = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder that is searched for modules before all others."""
    folder = tmp_path / "broken"
    folder.mkdir()
    return folder


@pytest.fixture
def doctor(broken: Path) -> Doctor:
    """Runs `edge-run doctor --json`, with what is in `broken`: exit status and report."""

    def run(*arguments: object) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "edge_device", "doctor", "--json", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": f"{broken}{os.pathsep}{DEVICE}"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    return run


def of(report: dict[str, Any], id: str) -> dict[str, Any]:
    (found,) = [finding for finding in report["findings"] if finding["id"] == id]
    return dict(found)


def findings(examination: str, root: Path, **host: Any) -> list[Finding]:
    return list(EXAMINATIONS[examination](Host(root, **host)))


def finding(examination: str, root: Path, **host: Any) -> Finding:
    (found,) = findings(examination, root, **host)
    return found


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


# The report


def test_the_report_has_the_promised_form_and_the_exit_status_says_whether_there_is_a_problem(doctor: Doctor) -> None:
    status, report = doctor()
    assert list(report) == ["schema", "verdict", "findings"]
    assert report["schema"] == 1
    assert all(list(one) == ["id", "level", "text", "fix", "details"] for one in report["findings"])
    assert {one["level"] for one in report["findings"]} <= {"ok", "warning", "problem"}
    assert status == (1 if report["verdict"] == "problem" else 0)
    assert {"board", "system", "python", "numpy", "opencv", "disk", "clock"} <= {
        one["id"] for one in report["findings"]
    }
    assert of(report, "ai-edge-litert")["level"] == "ok"


def test_the_worst_finding_is_the_verdict() -> None:
    levels: list[Any] = ["ok", "warning", "problem"]
    for count in range(1, 4):
        report = Report(tuple(Finding("x", level, "") for level in levels[:count]))
        assert report.verdict == levels[count - 1]


def test_an_examination_that_fails_is_itself_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(host: Host) -> Any:
        raise ZeroDivisionError("1/0")

    for name in EXAMINATIONS:
        monkeypatch.setitem(EXAMINATIONS, name, fails if name == "board" else lambda host: iter(()))
    (found,) = examine(Host(tmp_path)).findings
    assert (found.id, found.level) == ("board", "warning")
    assert "ZeroDivisionError: 1/0" in found.text


def test_nothing_that_a_device_calls_itself_reaches_the_terminal_as_a_command() -> None:
    text = rendered(Report((Finding("camera", "problem", "Cam\x1b[2J\x07era", "plug\x1b]0;x\x07 it in"),)))
    assert text.replace("\n", "").isprintable()
    assert "plug?]0;x? it in" in text


def test_a_command_is_printed_in_one_piece_however_narrow_the_terminal_is() -> None:
    fix = "sudo " + " ".join(["word"] * 40)
    assert any(line.strip() == fix for line in rendered(Report((Finding("x", "problem", "t", fix),)), 60).splitlines())


# Where nothing can be imported


def test_the_doctor_imports_nothing_but_the_standard_library() -> None:
    program = """
import sys
from edge_device.doctor.command import main
print({name.split(".")[0] for name in sys.modules} & {"numpy", "cv2", "typer", "click", "rich", "edge_core"})
"""
    environment = os.environ | {"PYTHONPATH": str(DEVICE)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_libgl_the_doctor_names_the_package_that_has_it(doctor: Doctor, broken: Path) -> None:
    tree(broken, {"cv2.py": "raise ImportError('libGL.so.1: cannot open shared object file: No such file')"})
    status, report = doctor()
    assert status == 1
    assert of(report, "opencv")["level"] == "problem"
    assert of(report, "opencv")["fix"] == "sudo apt install libgl1"
    assert of(report, "numpy")["level"] == "ok"


@pytest.mark.parametrize("command", ["live", "--help", "verify"])
def test_another_command_then_points_to_the_doctor_on_one_line(broken: Path, command: str) -> None:
    tree(broken, {"cv2.py": "raise ImportError('libGL.so.1: cannot open shared object file')"})
    environment = os.environ | {"PYTHONPATH": f"{broken}{os.pathsep}{DEVICE}"}
    line = [sys.executable, "-m", "edge_device", command]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "libGL.so.1" in done.stderr
    assert "edge-run doctor" in done.stderr


def test_what_dies_when_it_is_imported_does_not_take_the_doctor_along(doctor: Doctor, broken: Path) -> None:
    tree(broken, {"numpy.py": "import os, signal; os.kill(os.getpid(), signal.SIGILL)"})
    status, report = doctor()
    assert status == 1
    found = of(report, "numpy")
    assert (found["level"], found["details"]["kind"]) == ("problem", "SIGILL")
    assert "pip install 'numpy<" in found["fix"]  # the wheel has instructions that this processor lacks
    assert of(report, "disk")["text"]


@pytest.fixture
def with_broken(broken: Path, monkeypatch: pytest.MonkeyPatch) -> Prober:
    """Probes that find the modules in `broken` first, as this process finds the distributions there."""
    monkeypatch.syspath_prepend(str(broken))
    return Prober(environment={"PYTHONPATH": str(broken)})


def test_a_runtime_that_crashes_and_one_that_was_built_for_another_numpy_are_told_apart(
    with_broken: Prober, broken: Path
) -> None:
    files = {
        "ai_edge_litert/__init__.py": "",
        "ai_edge_litert/interpreter.py": "import ctypes; ctypes.string_at(0)",
        "tflite_runtime/__init__.py": "",
        "tflite_runtime/interpreter.py": "raise SystemError('initialization of _pywrap failed')",
        "tflite_runtime-2.14.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tflite-runtime\nVersion: 2.14.0\n",
    }
    crashed, mismatched = findings("runtimes", tree(broken, files), probe=with_broken)
    assert (crashed.id, crashed.level, crashed.details["kind"]) == ("ai-edge-litert", "problem", "SIGSEGV")
    assert (mismatched.id, mismatched.level) == ("tflite-runtime", "problem")
    assert mismatched.fix.endswith("-m pip install 'numpy<2' opencv-python")  # NumPy alone would break OpenCV 5


def test_a_runtime_that_answers_wrongly_is_a_problem(with_broken: Prober, broken: Path) -> None:
    wrong = """
import numpy as np
class Interpreter:
    def __init__(self, **arguments): pass
    def get_input_details(self): return [{"index": 0}]
    get_output_details = get_input_details
    def allocate_tensors(self): pass
    invoke = allocate_tensors
    def set_tensor(self, index, value): pass
    def get_tensor(self, index): return np.array([[0, 9, 0, 0]])
"""
    root = tree(broken, {"ai_edge_litert/__init__.py": "", "ai_edge_litert/interpreter.py": wrong})
    assert "names the colors wrongly: [1, 1, 1]" in finding("runtimes", root, probe=with_broken).text


def test_without_any_runtime_that_is_the_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge_device.doctor.software.installed", lambda name: None)
    found = finding("runtimes", tmp_path)
    assert (found.level, found.fix.split()[-1]) == ("problem", "ai-edge-litert")


def test_two_opencvs_in_one_folder_are_warned_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = {"opencv-python": "5.0", "opencv-contrib-python": "4.11"}
    monkeypatch.setattr("edge_device.doctor.software.installed", there.get)
    twice = findings("opencv", tmp_path)[0]
    assert (twice.id, twice.level) == ("opencv-twice", "warning")
    assert "uninstall --yes opencv-python opencv-contrib-python &&" in twice.fix


def test_the_model_that_ships_is_the_one_that_the_tests_make() -> None:
    shipped = DEVICE / "edge_device/doctor/tiny.tflite"
    assert shipped.read_bytes() == (MODELS / "tiny-uint8.tflite").read_bytes()


# Probes


def test_what_hangs_is_given_up_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    communicate, begun = subprocess.Popen.communicate, tmp_path / "pid"

    def once_it_hangs(process: Any, timeout: float) -> Any:
        until(lambda: begun.exists() and begun.read_text(), "a start")
        return communicate(process, timeout=0.5 if timeout == 0.5 else 60)

    monkeypatch.setattr(subprocess.Popen, "communicate", once_it_hangs)
    tree(
        tmp_path, {"hangs.py": f"import os, time; open('{tmp_path}/pid', 'w').write(str(os.getpid())); time.sleep(99)"}
    )
    outcome = Prober(timeout_s=0.5, environment={"PYTHONPATH": f"{tmp_path}"})("imports", "hangs")
    assert (outcome.value, outcome.kind) == (None, "timeout")
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_what_other_work_holds_up_is_not_taken_to_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = f"while not pathlib.Path('{tmp_path}/on').exists(): time.sleep(0.01)"
    tree(tmp_path, {"slow.py": f"import pathlib, time\n{waits}\n__version__ = '1'"})
    used_s, used_up_s = iter([0.1, 0.2]), iter([0.3, 0.6])

    def starved(process: int) -> float:
        found = next(used_s)
        if found == 0.2:
            (tmp_path / "on").touch()
        return found

    prober = Prober(timeout_s=0.5, environment={"PYTHONPATH": str(tmp_path)})
    communicate = subprocess.Popen.communicate
    with monkeypatch.context() as patched:
        patched.setattr(probe, "processor_s", starved)
        # However long this machine takes from here on.
        patched.setattr(
            subprocess.Popen,
            "communicate",
            lambda process, timeout: communicate(process, timeout=60 if (tmp_path / "on").exists() else timeout),
        )
        assert prober("imports", "slow")["version"] == "1"
    (tmp_path / "on").unlink()
    monkeypatch.setattr(probe, "processor_s", lambda process: next(used_up_s))
    assert prober("imports", "slow").kind == "timeout"  # it has had the processor for long enough


def test_time_of_the_processor_is_that_of_the_process() -> None:
    before_s = probe.processor_s(os.getpid())
    began_s = time.process_time()
    while time.process_time() < began_s + 0.3:
        pass
    assert probe.processor_s(os.getpid()) - before_s == pytest.approx(0.3, abs=0.2)
    assert probe.processor_s(2**22 + 1) == 0


def test_what_a_library_prints_is_not_taken_for_the_answer(tmp_path: Path) -> None:
    tree(tmp_path, {"chats.py": "import os; print('{}'); os.write(1, b'hello'); __version__ = '1.2'"})
    outcome = Prober(environment={"PYTHONPATH": str(tmp_path)})("imports", "chats")
    assert (outcome.error, outcome["version"]) == ("", "1.2")


def test_a_python_that_is_not_there_is_an_outcome() -> None:
    assert "No such file" in Prober(python="/nowhere/python")("imports", "sys").error


@pytest.mark.parametrize(
    ("status", "output", "kind"),
    [
        (-4, b"", "SIGILL"),
        (-64, b"", "SIGRTMAX"),
        (-40, b"", "signal 40"),
        (1, b"", "exit"),
        (0, b"not json", "exit"),
        (0, b"[]", "exit"),
    ],
)
def test_every_end_of_a_probe_has_an_error(status: int, output: bytes, kind: str) -> None:
    outcome = read_outcome(status, output, b"Traceback\nBoom\n")
    assert (outcome.value, outcome.kind) == (None, kind)
    assert outcome.error


# A model


def test_a_model_is_run_with_every_runtime(
    doctor: Doctor, tiny_model: Callable[..., Path], color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    unsealed = tiny_model()
    (found,) = software.model(Host(), str(unsealed))
    assert found.level == "warning"
    good = tmp_path / "good.tflite"
    good.write_bytes(sealed(unsealed.read_bytes(), color_frames.values()))
    (found,) = software.model(Host(), str(good))
    assert found.level == "ok"
    good.write_bytes(good.read_bytes()[:-100])
    status, report = doctor("--model", good)
    assert (status, of(report, "model")["level"]) == (1, "problem")
    assert of(report, "model")["fix"].startswith("edge-run verify ")


# The system


def test_an_old_system_is_warned_of(tmp_path: Path) -> None:
    release = 'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nID=debian\nVERSION_ID="11"\n'
    root = tree(tmp_path, {"etc/os-release": release, "etc/rpi-issue": "Raspberry Pi reference 2022-01-28\n"})
    found = finding("system", root)
    assert found.details["support_ends"] == "2026-08-31"
    assert found.text.startswith("Raspberry Pi OS of 2022-01-28, on Debian GNU/Linux 11")


PI = {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"}
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@pytest.mark.parametrize(
    ("bits", "level", "word"),
    [("0", "ok", "nothing"), ("50005", "problem", "under-voltage"), ("80000", "warning", "soft temperature limit")],
)
def test_the_supply_of_a_raspberry_pi_is_judged(tmp_path: Path, bits: str, level: str, word: str) -> None:
    found = finding("throttling", tree(tmp_path, PI | {THROTTLED: bits}))
    assert (found.level, word in found.text) == (level, True)
    assert bool(found.fix) == (level != "ok")


def test_a_raspberry_pi_that_does_not_tell_is_not_called_fine(tmp_path: Path) -> None:
    assert finding("throttling", tree(tmp_path, PI), commands=str(tmp_path)).level == "warning"


def test_vcgencmd_is_asked_where_the_kernel_does_not_tell(tmp_path: Path) -> None:
    root = tree(tmp_path, PI | {"bin/vcgencmd": "#!/bin/sh\necho throttled=0x1\n"})
    (root / "bin/vcgencmd").chmod(0o755)
    found = finding("throttling", root, commands=f"{root}/bin:{os.environ['PATH']}")
    assert found.details == {"now": ["under-voltage"], "before": []}


@pytest.mark.parametrize(("degrees", "level"), [(45, "ok"), (75, "warning"), (84, "problem")])
def test_heat_is_judged(tmp_path: Path, degrees: int, level: str) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    root = tree(tmp_path, {f"{zone}/type": "cpu-thermal", f"{zone}/temp": f"{degrees}000"})
    assert finding("temperature", root).level == level


@pytest.mark.parametrize(
    ("available", "total", "swap", "level"),
    [(3000, 4000, 0, "ok"), (300, 430, 0, "warning"), (300, 430, 400, "ok"), (50, 430, 0, "problem")],
)
def test_memory_is_judged(tmp_path: Path, available: int, total: int, swap: int, level: str) -> None:
    sizes = {"MemTotal": total, "MemAvailable": available, "SwapTotal": swap}
    # The kernel's kB are 1024 bytes.
    text = "".join(f"{name}: {round(megabytes * 1e6 / 1024)} kB\n" for name, megabytes in sizes.items())
    found = finding("memory", tree(tmp_path, {"proc/meminfo": text}))
    assert (found.level, found.details["available_mb"], found.details["total_mb"]) == (level, available, total)


def test_a_journal_that_forgets_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert finding("journal", tmp_path).level == "warning"
    assert finding("journal", tree(tmp_path, {"var/log/journal/0a/system.journal": ""})).level == "ok"


def test_a_clock_that_nobody_sets_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for answer, level in {"no": "warning", "yes": "ok"}.items():
        (tmp_path / "bin/timedatectl").write_text(f"#!/bin/sh\necho {answer}\n")
        (tmp_path / "bin/timedatectl").chmod(0o755)
        assert finding("clock", tmp_path, commands=f"{tmp_path}/bin:{os.environ['PATH']}").level == level


def test_who_else_holds_the_camera_is_named(tmp_path: Path) -> None:
    process = tree(tmp_path, {"proc/4242/comm": "motion\n"}) / "proc/4242/fd"
    process.mkdir()
    (process / "3").symlink_to("/dev/video0")
    (process / "4").symlink_to("/dev/null")
    found = finding("in-use", tmp_path)
    assert found.details == {"process": 4242, "name": "motion", "devices": ["/dev/video0"]}


# Cameras


class Capability(ctypes.Structure):
    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("device_caps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class Format(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", ctypes.c_uint32),
        ("mbus_code", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class FrameSize(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint32),
        ("pixel_format", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("numbers", ctypes.c_uint32 * 6),
        ("reserved", ctypes.c_uint32 * 2),
    )


class FrameInterval(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint32),
        ("pixel_format", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("numbers", ctypes.c_uint32 * 6),
        ("reserved", ctypes.c_uint32 * 2),
    )


CAMERA = {
    b"MJPG": {(640, 480): [30, 15], (1920, 1080): [30]},
    b"YUYV": {(640, 480): [30]},
    b"XR1\xb2": {(640, 480): [30]},
}


def webcam(device: int, request: int, buffer: bytearray) -> int:
    """The kernel's side of the four ioctls, for a webcam: `_IOR('V', 0, ...)`, `_IOWR('V', 2, ...)` and so on."""
    code = list(CAMERA)
    if request == 0x80685600:
        answer = Capability.from_buffer(buffer)
        answer.driver, answer.card, answer.bus_info = b"uvcvideo", b"HD Webcam", b"usb-1.2"
        answer.capabilities, answer.device_caps = 0x84A00001, 0x04200001
        return 0
    if request == 0xC0445624:  # VIDIOC_QUERYCTRL
        raise OSError(errno.EINVAL, "no controls")
    entry: Any = {0xC0405602: Format, 0xC02C564A: FrameSize, 0xC034564B: FrameInterval}[request].from_buffer(buffer)
    try:
        if request == 0xC0405602:
            assert entry.type == 1
            entry.pixelformat = struct.unpack("<I", code[entry.index])[0]
            entry.flags = entry.pixelformat == struct.unpack("<I", b"MJPG")[0]
            return 0
        sizes = CAMERA[struct.pack("<I", entry.pixel_format)]
        if request == 0xC02C564A:
            entry.type, entry.numbers[:2] = 1, list(sizes)[entry.index]
        else:
            entry.type, entry.numbers[:2] = 1, (1, sizes[entry.width, entry.height][entry.index])
    except IndexError:
        raise OSError(errno.EINVAL, "the end") from None
    return 0


def test_a_camera_is_described_from_the_kernels_structures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "ioctl", webcam)
    found = describe("/dev/null")
    assert (found["card"], found["driver"], found["bus"], found["capture"]) == (
        "HD Webcam",
        "uvcvideo",
        "usb-1.2",
        True,
    )
    assert found["controls"] == []
    mjpg, yuyv, swapped = found["formats"]
    assert swapped["pixel_format"] == "XR12-BE"
    assert (mjpg["pixel_format"], mjpg["compressed"], yuyv["compressed"]) == ("MJPG", True, False)
    assert mjpg["sizes"] == [
        {"width": 640, "height": 480, "fps": 30.0},
        {"width": 1920, "height": 1080, "fps": 30.0},
    ]


def test_of_a_camera_with_fifty_formats_some_are_told() -> None:
    formats = [{"pixel_format": f"F{number:03}", "sizes": []} for number in range(50)]
    assert formats_in_words(formats) == "F000, F001, F002, F003, F004, F005, and 44 others"
    assert formats_in_words(formats[:2]) == "F000, F001"


def test_what_is_no_camera_is_a_finding_and_not_an_error(tmp_path: Path) -> None:
    """/dev/video0 is a device here that knows nothing of V4L2; with another user it would be a matter of rights."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video0").symlink_to("/dev/null")
    found = finding("cameras", tmp_path)
    assert (found.id, found.level) == ("camera", "problem")
    assert "Inappropriate ioctl" in found.text


def test_without_a_camera_that_is_said(tmp_path: Path) -> None:
    assert finding("cameras", tmp_path).text == "no camera is attached"


def test_a_raspberry_pi_without_picamera2_is_told_where_it_comes_from(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    found = {one.id: one for one in findings("cameras", tree(tmp_path, PI))}
    assert found["picamera2"].level == "ok"  # nothing is at its connector
    (tmp_path / "usr/lib/python3/dist-packages/picamera2").mkdir(parents=True)
    found = {one.id: one for one in findings("cameras", tmp_path)}
    assert "does not see the system's packages" in found["picamera2"].text


def test_picamera2_that_was_compiled_for_another_numpy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    (tmp_path / "usr/lib/python3/dist-packages/picamera2").mkdir(parents=True)
    error = "numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88"
    tree(tmp_path, PI | {"modules/picamera2.py": f"raise ValueError({error!r})"})
    probe = Prober(environment={"PYTHONPATH": f"{tmp_path}/modules"})
    found = {one.id: one for one in findings("cameras", tmp_path, probe=probe)}["picamera2"]
    assert found.level == "warning" and "compiled for NumPy 1" in found.text and error in found.text
    assert "'numpy<2' opencv-" in found.fix


# Coral


def usb(root: Path, product: str, speed: str) -> Path:
    device = "sys/bus/usb/devices/2-1"
    vendor, product = product.split(":")
    numbers = {f"{device}/busnum": "2", f"{device}/devnum": "3", f"{device}/speed": speed}
    return tree(
        root, numbers | {f"{device}/idVendor": vendor, f"{device}/idProduct": product, "dev/bus/usb/002/003": ""}
    )


def test_a_coral_without_its_library_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETPU_LIBRARY", "libedgetpu-nowhere.so.1")
    assert findings("coral", tmp_path) == []
    found = {one.id: one for one in findings("coral", usb(tmp_path, "1a6e:089a", "5000"))}
    assert (found["coral-usb"].level, found["libedgetpu"].level) == ("ok", "problem")
    assert found["libedgetpu"].fix


def test_a_coral_on_usb_2_is_warned_of(tmp_path: Path) -> None:
    assert findings("coral", usb(tmp_path, "18d1:9302", "480"))[0].level == "warning"


def test_a_coral_on_pcie_without_a_driver_is_a_problem(tmp_path: Path) -> None:
    device = "sys/bus/pci/devices/0000:01:00.0"
    found = findings("coral", tree(tmp_path, {f"{device}/vendor": "0x1ac1", f"{device}/device": "0x089a"}))[0]
    assert (found.id, found.level) == ("coral-pci", "problem")
    assert found.fix == "sudo apt install gasket-dkms && sudo modprobe apex"


@pytest.mark.parametrize(
    ("kernel", "builds"), [("6.1.21-v8+", True), ("6.4.0-1", False), ("6.12.25+rpt-rpi-v8", False)]
)
def test_a_kernel_that_googles_gasket_does_not_build_for_is_sent_to_another(
    tmp_path: Path, kernel: str, builds: bool
) -> None:
    device = "sys/bus/pci/devices/0000:01:00.0"
    files = {f"{device}/vendor": "0x1ac1", f"{device}/device": "0x089a", "proc/sys/kernel/osrelease": kernel}
    fix = findings("coral", tree(tmp_path, files))[0].fix
    assert ("apt install gasket-dkms" in fix) == builds
    assert ("apt install ./gasket-dkms_*.deb" in fix) != builds


@pytest.mark.parametrize(("library", "word"), [("libc.so.6", "edgetpu_version"), (__file__, "invalid ELF header")])
def test_a_library_that_is_another_one_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, word: str
) -> None:
    monkeypatch.setenv("EDGETPU_LIBRARY", library)
    found = finding("coral", tmp_path)
    assert (found.id, found.level, word in found.text) == ("libedgetpu", "warning", True)


@needs("gcc", "cc")
def test_a_library_that_crashes_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tree(tmp_path, {"crash.c": "__attribute__((constructor)) void f(void) { *(volatile int *)0 = 1; }"})
    library = tmp_path / "libedgetpu.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source / "crash.c"], check=True)
    monkeypatch.setenv("EDGETPU_LIBRARY", str(library))
    found = findings("coral", usb(tmp_path, "18d1:9302", "5000"))[-1]
    assert (found.id, found.level, found.details["kind"]) == ("libedgetpu", "problem", "SIGSEGV")
