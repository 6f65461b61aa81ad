"""`make verify-pi-ssh`: `edge-run install-check` on an emulated Raspberry Pi, over SSH, as a user's board is checked.

The machine has Python, OpenSSH and a camera, and no way to a network: the packages are brought to it.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.emulated.artifacts import ROOT, models

from edge_bench.arm.guest import KERNEL_SUITE, files
from edge_bench.arm.initrd import kernel
from edge_bench.arm.machine import Machine, Running, booted
from edge_bench.arm.programs import cache_folder, run
from edge_bench.arm.wheels import wheel_folder
from edge_core.errors import EdgeError, HostError

PYTHON: Final = "3.11"
BOOT_S: Final = 120
TIMEOUT_S: Final = 1500


def main(given: list[str]) -> int:
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    model_files = [Path(name) for name in given] or models(cache)
    guest = files(PYTHON)
    wheels = wheel_folder(PYTHON, cache)
    with tempfile.TemporaryDirectory(dir=cache) as scratch, ThreadPoolExecutor() as pool:
        work, home = Path(scratch, "work"), Path(scratch, "home")
        shared, own = work / "ssh", home / ".ssh"
        for folder in (shared, own):
            folder.mkdir(parents=True)
        for key in (shared / "host", own / "id_ed25519"):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
        shutil.copy(own / "id_ed25519.pub", shared / "authorized")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (own / "known_hosts").write_text(f"[127.0.0.1]:{port} {(shared / 'host.pub').read_text()}")
        shutil.copytree(ROOT / "tests" / "pi", work / "tests" / "pi", ignore=shutil.ignore_patterns("__pycache__"))
        script = work / "run"
        script.write_text("#!/bin/sh\ncd /srv/work && exec python3 -m tests.emulated.guest.sshd\n")
        script.chmod(0o755)
        image = kernel(KERNEL_SUITE, cache)
        machine = Machine(
            "cortex-a72", image, guest.root, guest.site, guest.pycache, work, memory_mb=3072, ports={port: 22}
        )
        with booted(machine, TIMEOUT_S) as running:
            console = pool.submit(_print, running)
            _wait_for(shared / "ready", console)
            check = [sys.executable, "-m", "edge_device", "install-check", f"pi@127.0.0.1:{port}"]
            options = ["--wheels", str(wheels), "--source", "/dev/video0", *map(str, model_files)]
            environment = os.environ | {"HOME": str(home), "SSH_AUTH_SOCK": ""}
            status = subprocess.run([*check, *options], env=environment, check=False).returncode
            (shared / "done").touch()
            console.result()
    return status


def _print(running: Running) -> None:
    for line in running.lines():
        print(f"board | {line}", flush=True)


def _wait_for(path: Path, console: Future[None]) -> None:
    until = time.monotonic() + BOOT_S
    while not path.exists():
        if console.done():
            console.result()
        if time.monotonic() > until:
            raise HostError(f"the emulated machine has not begun to listen after {BOOT_S} s")
        time.sleep(0.2)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
