"""The emulated Arm machine, as far as it goes without emulation."""

import gzip
import importlib.metadata
import json
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.emulated.artifacts import PHOTOS, ROOT, pictures_of
from tests.emulated.guest.main import STAGES, Outcome
from tests.emulated.guest.measured import Arrays, measured
from tests.emulated.guest.pictures import evenly
from tests.emulated.pins import lines, pinned
from tests.emulated.tables import STEP, compared, faults_table, rows_table, spread, spread_table, stages_table
from tests.emulated.verify import ALL_TESTS, LEFT_OUT, MACHINES, TESTS, dated_by_content, plan, seen, shown_scores

from edge_bench.arm.initrd import LinuxKernel, initrd, load_order
from edge_bench.arm.machine import Machine, Running, command
from edge_bench.arm.user_mode import CORES, Counts, parse_counts, write_system
from edge_core import Frame, InputSpec, preprocess
from edge_core.errors import HostError, RuntimeMissingError
from edge_core.images import encode_jpeg

from ...programs import Started, needs


def module(folder: Path, name: str, *depends: str) -> None:
    path = folder / "kernel" / f"{name}.ko"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        b"\x7fELF\0license=GPL\0depends=" + ",".join(depends).encode() + b"\0name=" + name.encode() + b"\0"
    )


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    (tmp_path / "modules.builtin").write_text("kernel/lib/crc-16.ko\n")
    module(tmp_path, "camera", "video-core", "crc-16")
    module(tmp_path, "video-core", "bus")
    module(tmp_path, "bus")
    return tmp_path


def test_modules_are_loaded_after_what_they_need_and_built_in_ones_not_at_all(modules: Path) -> None:
    assert [path.stem for path in load_order(modules, ["camera", "bus"])] == ["bus", "video-core", "camera"]


def test_a_module_that_a_kernel_lacks_is_named(modules: Path) -> None:
    with pytest.raises(HostError, match="no module vivid"):
        load_order(modules, ["vivid"])


def archived(data: bytes) -> dict[str, bytes]:
    """Names and contents of an archive as cpio's newc format defines it."""
    found: dict[str, bytes] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        begin = at + (110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = data[begin : begin + size]
        at = begin + (size + 3) // 4 * 4


def test_the_initrd_has_the_modules_in_order_and_the_script(modules: Path) -> None:
    busybox = modules / "busybox"
    busybox.write_bytes(b"box")
    kernel = LinuxKernel(modules / "vmlinuz", tuple(load_order(modules, ["camera"])))
    found = archived(gzip.decompress(initrd(kernel, busybox)))
    assert [name for name in found if name.endswith(".ko")] == [f"modules/{path.name}" for path in kernel.modules]
    assert found["bin/busybox"] == b"box" and found["bin/sh"] == b"busybox"
    assert found["init"].startswith(b"#!/bin/sh\n")


def test_the_machine_is_never_virtualised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    machine = Machine("cortex-a76", LinuxKernel(tmp_path, ()), tmp_path, tmp_path, tmp_path, tmp_path, ports={2222: 22})
    line = " ".join(command(machine, tmp_path))
    assert "-accel tcg" in line and "kvm" not in line
    assert "restrict=on" in line and "hostfwd=tcp:127.0.0.1:2222-:22" in line


def test_a_program_that_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    machine = Machine("cortex-a72", LinuxKernel(tmp_path, ()), tmp_path, tmp_path, tmp_path, tmp_path)
    with pytest.raises(RuntimeMissingError, match=r"qemu-system-aarch64 is not installed.* qemu-system-arm"):
        command(machine, tmp_path)


@pytest.mark.parametrize(
    ("says", "timeout_s", "error"),
    [
        ("echo hello; echo 'guest: ended with 0 after 5.0 s'", 120, None),
        ("echo hello; echo 'guest: ended with 3 after 5.0 s'", 120, "ended with 3; its last words: hello"),
        ("echo Oops", 120, "crashed; its last words: Oops"),
        ("echo hello; exec sleep 3600", 1, "not done after 1 s; its last words: hello"),
    ],
)
def test_how_a_machine_ended_is_told(says: str, timeout_s: float, error: str | None) -> None:
    with Started(["sh", "-c", says], stdout=subprocess.PIPE, text=True) as process:
        assert (
            process.stdout and select.select([process.stdout], [], [], 120)[0]
        )  # its time begins once it has said something
        running = Running(process, timeout_s)
        if error is None:
            assert list(running.lines()) == ["hello"]
        else:
            with pytest.raises(HostError, match=error):
                list(running.lines())


def test_counts_are_read() -> None:
    counts = Counts(all=100, dot_product=5, float_multiply=4, integer_multiply=3, memory=20)
    assert parse_counts("2 100 5 4 3 20") == (2, counts)


def test_a_program_sees_four_cores_and_the_libraries_of_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/libc.so").touch()
    write_system(tmp_path / "system", root, CORES["cortex-a76"])
    assert (tmp_path / "system/usr/lib/libc.so").exists()
    about = (tmp_path / "system/proc/cpuinfo").read_text()
    assert about.count("CPU part\t: 0xd0b") == 4 and "asimddp" in about
    assert "asimddp" not in CORES["cortex-a72"].features


@needs("gcc")
def test_the_plugin_compiles_without_a_warning(tmp_path: Path) -> None:
    with resources.as_file(resources.files("edge_bench.arm") / "count.c") as source:
        flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
        subprocess.run(["gcc", *flags, "-o", tmp_path / "count.so", source], check=True)


def test_the_pinned_wheels_are_all_that_the_product_requires() -> None:
    text = (resources.files("edge_bench.arm") / "requirements.txt").read_text()
    pinned = dict(line.split()[0].split("==") for line in text.splitlines())
    assert all(re.fullmatch(r"\S+==\S+( --hash=sha256:[0-9a-f]{64})+", line) for line in text.splitlines())
    environment = {"platform_machine": "aarch64", "extra": ""}
    required = [Requirement(line) for line in importlib.metadata.requires("edge-mobilenet") or ()]
    light = [wanted for wanted in required if wanted.marker is None or wanted.marker.evaluate(environment)]
    assert {"numpy", "opencv-python", "ai-edge-litert"} <= {wanted.name for wanted in light}
    for wanted in light:
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), wanted


def test_bytes_are_compared_photo_by_photo() -> None:
    here: Arrays = {
        "preprocess 2x2": np.zeros((3, 2, 2, 3), np.uint8),
        "scores exact": np.zeros((2, 4), np.float32),
        "scores float": np.zeros((2, 4), np.float32),
        "tensor before SOFTMAX exact": np.zeros((2, 4), np.int8),
    }
    there: dict[str, Any] = {what: array.copy() for what, array in here.items()}
    there["preprocess 2x2"][1, 0, 0, 0] = 2
    there["scores exact"][0, 0] = STEP
    there["scores float"][:, 0] = 1e-7
    rows = {row.what: row for row in compared("board", there, here, exact=["exact"])}
    assert [(row.equal, row.count, row.right) for row in rows.values()] == [
        (2, 3, False),  # of pixels, none may differ
        (1, 2, True),  # of scores in 8 bits, by a step
        (0, 2, True),  # of scores in floats, by little
        (2, 2, True),
    ]
    there["scores exact"][0, 0] = 2 * STEP
    there["tensor before SOFTMAX exact"][0, 0] = 1
    rows = {row.what: row for row in compared("board", there, here, exact=["exact"])}
    assert not rows["scores exact"].right and not rows["tensor before SOFTMAX exact"].right
    table = rows_table(list(rows.values())).splitlines()
    assert table[1].split() == ["board", "preprocess", "2x2", "2", "of", "3", "2", "DIFFERS"]
    assert table[3].endswith("1e-07               sums in another order")


def test_scores_of_few_labels_prove_nothing() -> None:
    rng = np.random.default_rng(0)
    sure = np.full((100, 13), 0.01, np.float32)
    sure[:, 1] = 0.9
    for scores, named, different, reason in (
        (sure, 1, 1, "names 1 of 10 labels"),
        (sure + rng.random((100, 13)).astype(np.float32) / 100, 1, 100, "names 1 of 10 labels"),
        (np.eye(13, dtype=np.float32)[np.arange(100) % 13], 13, 13, "gives 13 different scores of 100 photos"),
        (rng.random((100, 13)).astype(np.float32), 13, 100, ""),
    ):
        one = spread("a", scores, needed=10)
        assert (one.named, one.scores, one.photos) == (named, different, 100)
        assert one.wrong.startswith(reason) and bool(one.wrong) == bool(reason)
    assert [spread("a", sure[:photos], 10).needed for photos in (100, 20, 4)] == [10, 5, 2]
    assert spread("a", sure, 2).needed == 2
    assert "FAILED: names 1 of 10 labels" in spread_table([spread("a", sure, 10)]).splitlines()[1]


def test_photos_are_taken_at_equal_distances() -> None:
    assert evenly("aabbcc", 3) == ["a", "b", "c"]
    assert evenly("ab", 3) == ["a", "b"]
    assert evenly("", 3) == []


def test_what_machines_are_held_to_is_not_the_code_that_is_tried(
    tiny_model: Callable[..., Path], color_frames: dict[str, Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for label, frame in color_frames.items():
        (photos / f"{label}.jpg").write_bytes(encode_jpeg(frame, 90))
    models = [tiny_model("uint8"), tiny_model("float32")]
    wanted = measured(photos, models, by_the_product=False)
    found = measured(photos, models)
    assert sorted(wanted) == sorted(found)
    assert all(wanted[what].tobytes() == found[what].tobytes() for what in wanted)
    assert len(set(wanted["scores tiny-uint8"].argmax(1).tolist())) == 4

    def swapped(frame: Frame, spec: InputSpec, out: Frame | None = None) -> Frame:
        return preprocess(frame[..., ::-1], spec, out)

    monkeypatch.setattr("edge_device.inference.interpreter.preprocess", swapped)
    rows = {row.what: row.right for row in compared("board", measured(photos, models), wanted, ["tiny-uint8"])}
    assert {what for what, right in rows.items() if not right} == {"scores tiny-uint8", "scores tiny-float32"}

    shown = shown_scores(photos, models[0])
    said = [{"photo": f"{label}.jpg", "label": label, "score": 1.0} for label in color_frames]
    for label, equal in (("red", 4), ("blue", 3)):
        said[0]["label"] = label
        (tmp_path / "live.json").write_text(json.dumps(said))
        row = seen("board", tmp_path, models[0], shown)
        assert (row.equal, row.count, row.right) == (equal, 4, equal == 4)


def test_scores_that_are_no_numbers_are_not_right() -> None:
    here: Arrays = {"scores float": np.zeros((1, 4), np.float32)}
    (row,) = compared("board", {"scores float": np.full((1, 4), np.nan, np.float32)}, here, exact=[])
    assert not row.right


def test_tables_name_what_failed_and_what_was_not_done() -> None:
    table = stages_table({"cortex-a72": {"doctor": Outcome("", 3.0, 2.0), "bytes": Outcome("oh", 1, 1), "live": None}})
    assert [line.split()[:3] for line in table.splitlines()[1:]] == [
        ["cortex-a72", "doctor", "passed"],
        ["cortex-a72", "bytes", "FAILED:"],
        ["cortex-a72", "live", "NOT"],
    ]
    said: list[dict[str, Any]] = [
        {"fault": "unplugged", "noticed": "it is gone", "recovered": True, "after_s": 1.04},
        {"fault": "a damaged frame", "noticed": None, "recovered": False, "after_s": 60.0},
    ]
    rows = [re.split(r"\s{2,}", line) for line in faults_table("cortex-a76", said).splitlines()]
    assert "1.0 s" in rows[1] and rows[1][-1] == "it is gone"
    assert "NEVER" in rows[2]


def test_two_machines_share_what_need_be_done_once() -> None:
    both, stages = list(MACHINES), list(STAGES)
    plans = [plan(cpu, both, stages, "m.tflite", everywhere=False, all_tests=False) for cpu in both]
    assert [one.lanes for one in plans] == [
        [["doctor", "verify", "live"], ["bytes", "tests"]],
        [["doctor", "verify", "faults", "controls"], ["bytes", "tests"]],
    ]
    assert not set(plans[0].tests) & set(plans[1].tests)
    (alone,) = [plan(cpu, [cpu], stages, "m.tflite", everywhere=False, all_tests=False) for cpu in both[:1]]
    everywhere = plan("cortex-a76", both, stages, "m.tflite", everywhere=True, all_tests=False)
    for one in (alone, everywhere):
        assert sorted(chain(*one.lanes)) == sorted(stages)
        assert set(one.tests) == set(plans[0].tests) | set(plans[1].tests)


def test_what_the_machines_run_is_there() -> None:
    wanted = [f"tests/{name}" for name in (*chain(*TESTS.values()), *ALL_TESTS)] + [
        name.split("::")[0] for name in LEFT_OUT
    ]
    assert all((ROOT / name).exists() for name in wanted)


def test_the_date_of_a_file_is_of_its_content(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.py", "b.py", "c.py")]
    for path, text in zip(files, ("x = 1", "x = 1", "x = 2"), strict=True):
        path.write_text(text)
        dated_by_content(path)
    dates = [path.stat().st_mtime for path in files]
    assert dates[0] == dates[1] != dates[2]


def test_photos_of_another_folder_are_taken_evenly(tmp_path: Path) -> None:
    for number in range(450):
        path = tmp_path / "given" / f"{number % 3}" / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "given" / "notes.txt").touch()
    found = sorted(path.name for path in pictures_of(tmp_path / "given", tmp_path / "taken").iterdir())
    assert len(found) == PHOTOS
    assert [sum(name.endswith(f"-{label}.jpg") for name in found) for label in range(3)] == [67, 67, 66]


def test_a_forked_command_is_piped_and_its_exit_status_is_known() -> None:
    program = """
from tests.emulated.guest.commands import Forked, edge_run, told
said = []
print(told(Forked(edge_run, ["frobnicate"]), said.append), any("No such command" in line for line in said))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "2 True\n"


def test_pins_are_of_every_python_and_sorted_by_name() -> None:
    def item(name: str, digest: str) -> dict[str, object]:
        archive = {"hashes": {"sha256": digest}}
        return {"metadata": {"name": name, "version": "1"}, "download_info": {"archive_info": archive}}

    pins: dict[str, set[str]] = {}
    for name, digest in (("B.C", "2"), ("b", "9"), ("B.C", "1")):
        pin, sha256 = pinned(item(name, digest))
        pins.setdefault(pin, set()).add(sha256)
    assert lines(pins) == "b==1 --hash=sha256:9\nb-c==1 --hash=sha256:1 --hash=sha256:2\n"
