"""Debian packages for arm64, unpacked into a folder. Nothing of this machine's own packages is touched.

apt downloads them, with lists of its own below the cache: it finds the newest kernel by itself, goes through the proxy
that this machine's apt is set to, and holds each package against the SHA-256 in the index that Debian has signed.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge_bench.arm.programs import run, tool
from edge_core.errors import EdgeError, HostError, RuntimeMissingError
from edge_core.files import folder_written_whole

MIRROR: Final = "EDGE_DEBIAN_MIRROR"
"""Environment variable: where packages come from; else from where this machine's own do, if it is a Debian."""

DEFAULT_MIRROR: Final = "http://deb.debian.org/debian"
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

ASSUMED: Final = "libglx-mesa0"
"""Taken for installed: OpenCV links libGL.so.1 and draws nothing with it, and this package brings LLVM."""


def root_folder(suite: str, packages: Sequence[str], cache: Path, machine: str = "arm64") -> Path:
    """Packages and what they depend on, unpacked as the root of a file system; no script of theirs was run.

    Args:
        suite: Name of the Debian suite, such as `bookworm`.
        packages: Names of the packages to unpack.
        cache: Where it is kept. Once it is there, nothing is downloaded again.
        machine: Debian's name of the architecture, such as `arm64`.

    Raises:
        RuntimeMissingError: Apt or Debian's keys are not installed.
        HostError: It cannot be downloaded.
    """
    key = hashlib.sha256(" ".join([ASSUMED, *sorted(packages)]).encode()).hexdigest()[:12]
    root = cache / f"root-{suite}-{machine}-{key}"
    if not root.exists():
        with folder_written_whole(root) as beside, tempfile.TemporaryDirectory(dir=cache) as downloads:
            apt = _Apt(suite, cache, machine)
            apt.get("install", "--yes", "--download-only", "-o", f"Dir::Cache::archives={downloads}", *packages)
            for name in ("bin", "lib", "sbin"):  # first, or a package would make folders of these links
                (beside / "usr" / name).mkdir(parents=True)
                (beside / name).symlink_to(f"usr/{name}")
            for name in ("dev", "proc", "root", "run", "srv", "sys", "tmp"):
                (beside / name).mkdir()
            for package in sorted(Path(downloads).glob("*.deb")):
                _unpack(package, beside)
    return root


def kernel_package(suite: str, cache: Path, folder: Path) -> None:
    """Unpacks the newest arm64 kernel and its modules into `folder`.

    Raises:
        As `root_folder`.
    """
    with tempfile.TemporaryDirectory(dir=cache) as downloads:
        apt = _Apt(suite, cache, "arm64")
        depends = apt.cache("depends", "linux-image-arm64").split()
        apt.get("download", depends[depends.index("Depends:") + 1], cwd=Path(downloads))
        _unpack(next(Path(downloads).glob("*.deb")), folder)


def mirror() -> str:
    """Where Debian's packages come from."""
    given = os.environ.get(MIRROR)
    if given:
        return given.rstrip("/")
    with suppress(EdgeError):
        for line in run(["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)"]).splitlines():
            label, _, address = line.partition("|")
            if label == "Debian":
                return address.rstrip("/")
    return DEFAULT_MIRROR


class _Apt:
    """apt with a suite of its own, for another machine."""

    def __init__(self, suite: str, cache: Path, machine: str) -> None:
        if not KEYRING.exists():
            raise RuntimeMissingError(f"{KEYRING} is not there; install debian-archive-keyring")
        state = cache / f"apt-{suite}-{machine}"
        for folder in ("lists/partial", "archives/partial"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        (state / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
        (state / "status").write_text(
            f"Package: {ASSUMED}\nStatus: install ok installed\nArchitecture: {machine}\n"
            "Multi-Arch: same\nProvides: libglx-vendor\nVersion: 99:0\nMaintainer: none\nDescription: assumed\n\n"
        )
        settings = {
            "APT::Architecture": machine,
            "APT::Architectures": machine,
            "APT::Install-Recommends": "0",
            "APT::Sandbox::User": "",  # _apt may not look into a user's cache
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Debug::NoLocking": "1",
            "Dir::Cache": str(state),
            "Dir::Etc::SourceList": str(state / "sources.list"),
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State": str(state),
            "Dir::State::status": str(state / "status"),
        }
        self._options = ["-q", *(part for name, value in settings.items() for part in ("-o", f"{name}={value}"))]
        self.get("update")

    def get(self, *arguments: str, cwd: Path | None = None) -> str:
        return run(["apt-get", *self._options, *arguments], cwd)

    def cache(self, *arguments: str) -> str:
        return run(["apt-cache", *self._options, *arguments])


def _unpack(package: Path, folder: Path, *what: str) -> None:
    """Through tar: dpkg-deb's own -x would replace the links of the merged /usr by folders."""
    tar = ["tar", "-x", "--keep-directory-symlink", "-C", str(folder), *what]
    with subprocess.Popen([tool("dpkg-deb"), "--fsys-tarfile", package], stdout=subprocess.PIPE) as packed:
        unpacked = subprocess.run(tar, stdin=packed.stdout, capture_output=True, text=True, check=False)
    if unpacked.returncode or packed.returncode:
        raise HostError(f"{package.name} cannot be unpacked: {unpacked.stderr.strip() or 'it is damaged'}")
