"""A Python of 64-bit Arm as a process of this machine, and how many instructions it executes."""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from edge_bench.arm.guest import Files
from edge_bench.arm.machine import Cpu
from edge_bench.arm.programs import run, tool
from edge_core.errors import HostError


@dataclass(frozen=True)
class Core:
    """What /proc/cpuinfo and /sys say of a board's cores. ai-edge-litert crashes on what they say of a PC's.

    Attributes:
        part, variant, revision: Arm's numbers for the core, as /proc/cpuinfo has them.
        features: Linux names of the instruction set extensions.
        fastest_khz: Highest clock frequency in kHz.
    """

    part: str
    variant: str
    revision: int
    features: str
    fastest_khz: int


CORES: Final[dict[Cpu, Core]] = {
    "cortex-a72": Core(
        part="0xd08",
        variant="0x0",
        revision=3,
        features="fp asimd evtstrm crc32 cpuid",
        fastest_khz=1_800_000,
    ),
    "cortex-a76": Core(
        part="0xd0b",
        variant="0x4",
        revision=1,
        features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
        fastest_khz=2_400_000,
    ),
}
"""Of the Raspberry Pi 4 and 5."""


@dataclass(frozen=True)
class Counts:
    """Instructions executed, by kind; one may be of none.

    Attributes:
        all: Instructions of every kind.
        dot_product: Dot products of 8-bit vectors (SDOT, UDOT); the Cortex-A72 has none.
        float_multiply: Multiplication with addition, of vectors of floats (FMLA).
        integer_multiply: Widening multiplication, with addition or without, of vectors of whole numbers (SMULL, SMLAL).
        memory: Loads and stores.
    """

    all: int
    dot_product: int
    float_multiply: int
    integer_multiply: int
    memory: int


def counted(cpu: Cpu, guest: Files, arguments: Sequence[str], path: Sequence[Path]) -> list[tuple[int, Counts]]:
    """Runs Python with `arguments` on one emulated core, and counts between its calls of `os.getsid(mark)`.

    Args:
        cpu: QEMU's name of the emulated core.
        guest: Files of the guest, with its Python.
        arguments: Command line arguments for Python.
        path: Where it finds packages, after those of `guest`.

    Returns:
        Each mark, and what was executed since the one before.

    Raises:
        RuntimeMissingError: QEMU or gcc is not installed.
        HostError: The program failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        plugin, out = Path(scratch, "count.so"), Path(scratch, "counts")
        with resources.as_file(resources.files("edge_bench.arm") / "count.c") as source:
            run(["gcc", "-O2", "-shared", "-fPIC", "-o", plugin, source])
        system = Path(scratch, "system")
        write_system(system, guest.root, CORES[cpu])
        environment = {
            "HOME": scratch,
            "LANG": "C.UTF-8",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": ":".join(map(str, [guest.site, *path])),
            "PYTHONPYCACHEPREFIX": str(guest.pycache),
        }
        settings = [part for name, value in environment.items() for part in ("-E", f"{name}={value}")]
        emulator = [tool("qemu-aarch64"), "-cpu", cpu, "-L", str(system), *settings, "-plugin", f"{plugin},out={out}"]
        # Without this machine's environment, which QEMU would hand on; -E gives what the program has.
        done = subprocess.run(
            [*emulator, guest.root / "usr/bin/python3", *arguments], env={}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise HostError(f"on the emulated {cpu}: {said[-1] if said else f'it ended with {done.returncode}'}")
        return [parse_counts(line) for line in out.read_text().splitlines()]


def parse_counts(line: str) -> tuple[int, Counts]:
    """A line that count.c wrote."""
    mark, *numbers = map(int, line.split())
    return mark, Counts(*numbers)


def write_system(folder: Path, root: Path, core: Core) -> None:
    """What the program sees instead of this machine's own: libraries, and four cores in /proc and /sys."""
    folder.mkdir()
    for name in ("lib", "usr"):  # no more: where a folder of ours is below a link, its real path would be another
        (folder / name).symlink_to(root / name)
    for name, text in _about(core).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def _about(core: Core) -> Mapping[str, str]:
    cpus = "sys/devices/system/cpu"
    files = {f"{cpus}/{name}": "0-3" for name in ("possible", "present", "online")} | {f"{cpus}/kernel_max": "255"}
    lines = []
    for number in range(4):
        lines += [
            f"processor\t: {number}\nFeatures\t: {core.features}\nCPU implementer\t: 0x41\nCPU architecture: 8",
            f"CPU variant\t: {core.variant}\nCPU part\t: {core.part}\nCPU revision\t: {core.revision}\n",
        ]
        of_cpu = f"{cpus}/cpu{number}"
        files |= {
            f"{of_cpu}/cpufreq/cpuinfo_max_freq": str(core.fastest_khz),
            f"{of_cpu}/topology/core_id": str(number),
            f"{of_cpu}/topology/physical_package_id": "0",
            f"{of_cpu}/topology/core_siblings_list": "0-3",
            f"{of_cpu}/topology/thread_siblings_list": str(number),
        }
    return files | {"proc/cpuinfo": "\n".join(lines)}
