"""The emulated Arm machine, as far as it goes without emulation."""

import gzip
import importlib.metadata
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edge_bench.arm.initrd import Kernel, initrd, load_order
from edge_bench.arm.machine import Machine, Running, command
from edge_bench.arm.user_mode import CORES, Counts, parse_counts, write_system
from edge_core.errors import HostError, RuntimeMissingError


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
    kernel = Kernel(modules / "vmlinuz", tuple(load_order(modules, ["camera"])))
    found = archived(gzip.decompress(initrd(kernel, busybox)))
    assert [name for name in found if name.endswith(".ko")] == [f"modules/{path.name}" for path in kernel.modules]
    assert found["bin/busybox"] == b"box" and found["bin/sh"] == b"busybox"
    assert found["init"].startswith(b"#!/bin/sh\n")


def test_the_machine_is_never_virtualised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    machine = Machine("cortex-a76", Kernel(tmp_path, ()), tmp_path, tmp_path, tmp_path, tmp_path, ports={2222: 22})
    line = " ".join(command(machine, tmp_path))
    assert "-accel tcg" in line and "kvm" not in line
    assert "restrict=on" in line and "hostfwd=tcp:127.0.0.1:2222-:22" in line


def test_a_program_that_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    machine = Machine("cortex-a72", Kernel(tmp_path, ()), tmp_path, tmp_path, tmp_path, tmp_path)
    with pytest.raises(RuntimeMissingError, match=r"qemu-system-aarch64 is not installed.* qemu-system-arm"):
        command(machine, tmp_path)


@pytest.mark.parametrize(
    ("says", "error"),
    [
        ("echo hello; echo 'guest: ended with 0 after 5.0 s'", None),
        ("echo hello; echo 'guest: ended with 3 after 5.0 s'", "ended with 3; its last words: hello"),
        ("echo Oops", "crashed; its last words: Oops"),
        ("echo hello; exec sleep 60", "not done after 1 s; its last words: hello"),
    ],
)
def test_how_a_machine_ended_is_told(says: str, error: str | None) -> None:
    with subprocess.Popen(["sh", "-c", says], stdout=subprocess.PIPE, text=True) as process:
        running = Running(process, timeout_s=1)
        if error is None:
            assert list(running.lines()) == ["hello"]
        else:
            with pytest.raises(HostError, match=error):
                list(running.lines())


def test_counts_are_read() -> None:
    assert parse_counts("2 100 5 4 3 20") == (2, Counts(all=100, dot=5, fmla=4, mull=3, memory=20))


def test_a_program_sees_four_cores_and_the_libraries_of_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/libc.so").touch()
    write_system(tmp_path / "system", root, CORES["cortex-a76"])
    assert (tmp_path / "system/usr/lib/libc.so").exists()
    about = (tmp_path / "system/proc/cpuinfo").read_text()
    assert about.count("CPU part\t: 0xd0b") == 4 and "asimddp" in about
    assert "asimddp" not in CORES["cortex-a72"].features


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc compiles QEMU's plugin, and is not installed")
def test_the_plugin_compiles_without_a_warning(tmp_path: Path) -> None:
    with resources.as_file(resources.files("edge_bench.arm") / "count.c") as source:
        flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
        subprocess.run(["gcc", *flags, "-o", tmp_path / "count.so", source], check=True)


def test_the_pinned_wheels_are_all_that_the_product_requires() -> None:
    text = (resources.files("edge_bench.arm") / "requirements.txt").read_text()
    pinned = dict(line.split()[0].split("==") for line in text.splitlines())
    assert all(re.fullmatch(r"\S+==\S+( --hash=sha256:[0-9a-f]{64})+", line) for line in text.splitlines())
    environment = {"platform_machine": "aarch64", "extra": ""}
    for line in importlib.metadata.requires("edge-mobilenet") or ():
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate(environment):
            assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), line
