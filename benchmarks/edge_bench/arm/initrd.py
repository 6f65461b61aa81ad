"""A kernel and what it begins with: busybox, the modules of a guest in the order to load them in, and a script."""

import gzip
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from edge_bench.arm.debian import kernel_package
from edge_core.errors import HostError
from edge_core.files import folder_written_whole

MODULES: Final = ("virtio_pci", "virtio_mmio", "9pnet_virtio", "9p", "virtio_net", "vivid")


@dataclass(frozen=True)
class LinuxKernel:
    """Paths of a kernel and of its modules, `MODULES` and what they need, in the order to load them in."""

    image: Path
    modules: tuple[Path, ...]


def kernel(suite: str, cache: Path) -> LinuxKernel:
    """Debian's newest kernel of a suite; kept in `cache`.

    Raises:
        RuntimeMissingError: Apt or Debian's keys are not installed.
        HostError: It cannot be downloaded, or lacks a module.
    """
    folder = cache / f"kernel-{suite}"
    if not folder.exists():
        with folder_written_whole(folder) as beside, tempfile.TemporaryDirectory(dir=cache) as whole:
            kernel_package(suite, cache, Path(whole))
            (modules,) = Path(whole, "lib/modules").iterdir()
            for number, path in enumerate(load_order(modules, MODULES)):
                shutil.copy(path, beside / f"{number:02}-{path.name}")
            shutil.copy(next(Path(whole, "boot").glob("vmlinuz-*")), beside / "vmlinuz")
    return LinuxKernel(folder / "vmlinuz", tuple(sorted(folder.glob("*.ko"))))


def load_order(folder: Path, names: Iterable[str]) -> list[Path]:
    """Files of modules and of all that they depend on, each after what it depends on; those built in need no file.

    Args:
        folder: Folder of one kernel's modules; it holds `modules.builtin`.
        names: Hyphens and underscores are the same.

    Raises:
        HostError: There is no such module.
    """
    files = {_name(path.name): path for path in folder.rglob("*.ko")}
    builtin = {_name(Path(line).name) for line in (folder / "modules.builtin").read_text().split()}
    ordered: dict[str, Path] = {}

    def add(name: str) -> None:
        if name in builtin or name in ordered:
            return
        if name not in files:
            raise HostError(f"the kernel has no module {name}")
        # A module's section .modinfo: `name=value`, separated by zero bytes.
        for needed in re.findall(rb"\0depends=([^\0]*)\0", b"\0" + files[name].read_bytes()):
            for one in filter(None, needed.decode().split(",")):
                add(_name(one))
        ordered[name] = files[name]

    for name in names:
        add(_name(name))
    return list(ordered.values())


def initrd(kernel: LinuxKernel, busybox: Path) -> bytes:
    """The archive that the kernel unpacks into memory; its /init is `init.sh`."""
    archive = _Archive()
    for folder in ("bin", "dev", "modules", "proc", "root", "sys"):
        archive.add(folder, stat.S_IFDIR | 0o755)
    # Device numbers by Documentation/admin-guide/devices.txt of the Linux kernel.
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("dev/null", stat.S_IFCHR | 0o666, device=(1, 3))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    archive.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for module in kernel.modules:
        archive.add(f"modules/{module.name}", stat.S_IFREG | 0o644, module.read_bytes())
    archive.add("init", stat.S_IFREG | 0o755, resources.files("edge_bench.arm").joinpath("init.sh").read_bytes())
    return gzip.compress(archive.finished(), 1)


class _Archive:
    """cpio's format "newc", Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._count = 0

    def add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._count += 1
        encoded = name.encode() + b"\0"
        # ino, mode, uid, gid, nlink, mtime, filesize, dev (major, minor), rdev (major, minor), namesize, check.
        fields = (self._count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        self._padded(b"070701" + b"".join(b"%08x" % field for field in fields) + encoded)
        self._padded(data)

    def finished(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return bytes(self._data)

    def _padded(self, data: bytes) -> None:
        self._data += data + b"\0" * (-(len(self._data) + len(data)) % 4)


def _name(file: str) -> str:
    return file.removesuffix(".ko").replace("-", "_")
