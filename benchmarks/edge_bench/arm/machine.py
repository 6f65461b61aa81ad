"""A 64-bit Arm machine with a camera, emulated: it boots, runs a script from a shared folder, and turns itself off."""

import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from edge_bench.arm.initrd import LinuxKernel, initrd
from edge_bench.arm.programs import tool
from edge_core.errors import HostError

Cpu = Literal["cortex-a72", "cortex-a76"]
"""Of a Raspberry Pi 4, and of a Raspberry Pi 5."""

CAMERA: Final = {
    "n_devs": "1",
    "node_types": "0x101",  # /dev/video0 captures what is streamed to /dev/video1
    "num_inputs": "2",
    "input_types": "0xc",  # first a webcam with a test pattern, then HDMI
    "num_outputs": "1",
    "output_types": "0x1",
    "ccs_cap_mode": "0",  # its scaler crashes the kernel
    "ccs_out_mode": "0",
}
"""Parameters of vivid, the kernel's virtual camera: what its HDMI output is given, its HDMI input may capture."""

QUICK: Final = "mitigations=off kpti=off nokaslr nowatchdog"
"""To the kernel. What guards against attacks costs an emulated processor a fifth of its time, and where others are at
work beside QEMU the watchdog fears for a processor that only waits for its turn."""

_ENDED: Final = re.compile(r"guest: ended with (\d+) after")


@dataclass(frozen=True)
class Machine:
    """What is booted.

    Attributes:
        cpu: QEMU's name of the emulated core.
        kernel: That it runs.
        root: Folder that becomes the root file system, read-only in the machine.
        site: Python packages, /srv/site there, read-only.
        pycache: What Python has compiled, /srv/pycache there: that takes long, so it is kept.
        work: /srv/work there, to be written by both. `run` is its script; `product` in it is on Python's path, too.
        memory_mb: Main memory of the machine in MB.
        ports: Ports of the machine (values) that are reachable at 127.0.0.1 here (keys). Without any the machine
            has no network.
    """

    cpu: Cpu
    kernel: LinuxKernel
    root: Path
    site: Path
    pycache: Path
    work: Path
    memory_mb: int = 1536
    ports: Mapping[int, int] = field(default_factory=dict)


class Running:
    """A machine that runs."""

    def __init__(self, process: "subprocess.Popen[str]", timeout_s: float) -> None:
        self._process, self._timeout_s = process, timeout_s
        self._late = threading.Event()

    def lines(self) -> Iterator[str]:
        """What it writes to its console, until it has turned itself off.

        Raises:
            HostError: It crashed, was not done in time, or its script ended with another status than 0.
        """
        timer = threading.Timer(self._timeout_s, self._too_late)
        timer.start()
        status = None
        last = "nothing"
        try:
            assert self._process.stdout
            for line in self._process.stdout:
                if ended := _ENDED.search(line):
                    status = int(ended[1])
                elif line.strip():
                    last = line.strip()
                    yield last
        finally:
            timer.cancel()
        if self._late.is_set():
            raise HostError(f"the emulated machine was not done after {self._timeout_s:.0f} s; its last words: {last}")
        if status is None:
            raise HostError(f"the emulated machine crashed; its last words: {last}")
        if status:
            raise HostError(f"the script on the emulated machine ended with {status}; its last words: {last}")

    def _too_late(self) -> None:
        self._late.set()
        self.stop()

    def stop(self) -> None:
        """Turns it off; `lines` then ends."""
        self._process.kill()


@contextmanager
def booted(machine: Machine, timeout_s: float) -> Iterator[Running]:
    """Runs a machine; it is killed if it still runs at the end.

    Raises:
        RuntimeMissingError: QEMU is not installed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch, "initrd")
        archive.write_bytes(initrd(machine.kernel, machine.root / "bin/busybox"))
        with subprocess.Popen(
            command(machine, archive),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                yield Running(process, timeout_s)
            finally:
                process.kill()


def command(machine: Machine, archive: Path) -> list[str]:
    """QEMU's command line. Always by translation: /dev/kvm may open and let the guest hang."""
    camera = ",".join(f"{name}:{value}" for name, value in CAMERA.items())
    forwarded = "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in machine.ports.items())
    shared = {
        "root": f"path={machine.root},readonly=on",
        "site": f"path={machine.site},readonly=on",
        "pycache": f"path={machine.pycache}",
        "work": f"path={machine.work}",
    }
    return [
        tool("qemu-system-aarch64"),
        *("-M", "virt", "-cpu", machine.cpu, "-smp", "1", "-m", str(machine.memory_mb), "-accel", "tcg"),
        *(
            "-nographic",
            "-no-reboot",
            "-monitor",
            "none",
            "-kernel",
            str(machine.kernel.image),
            "-initrd",
            str(archive),
        ),
        *("-append", f"{QUICK} console=ttyAMA0 loglevel=3 panic=-1 oops=panic vivid={camera}"),
        *(("-netdev", f"user,id=net,restrict=on{forwarded}") if machine.ports else ()),
        *(
            ("-device", "virtio-net-pci,netdev=net,romfile=") if machine.ports else ("-nic", "none")
        ),  # Debian's has no ROMs
        *(
            part
            for tag, options in shared.items()
            for part in (
                *("-fsdev", f"local,id={tag},security_model=none,multidevs=remap,{options}"),
                *("-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
            )
        ),
    ]
