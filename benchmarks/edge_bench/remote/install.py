"""The light packages on a board: a venv in its folder, or one that is kept there."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_bench.remote.remote_board import RemoteBoard
from edge_bench.remote.wheel import installed_wheel
from edge_core.errors import HostError
from edge_core.progress import Track, silently

NEEDED_BYTES: Final = 550_000_000
"""What installing takes: 120 MB of wheels become 400 MB of files (ai-edge-litert 2.3, OpenCV 5.0, NumPy 2.4)."""

CACHE: Final = ".cache/edge-mobilenet"


@dataclass(frozen=True)
class Setup:
    """How a board is made ready.

    Attributes:
        wheel: Wheel of the product; None packs one from the packages that are installed here.
        wheels: A folder of wheels for a board without internet: everything that the product's wheel requires.
        keep_env: Leave the installed packages in ~/.cache/edge-mobilenet on the board, for the next time.
    """

    wheel: Path | None = None
    wheels: Path | None = None
    keep_env: bool = False


def read_wheels(setup: Setup) -> tuple[str, bytes]:
    """File name and content of the product's wheel, and whether there are others where there should be.

    Raises:
        HostError: There are none, or it cannot be read.
    """
    if setup.wheels and not any(setup.wheels.glob("*.whl")):
        raise HostError(f"{setup.wheels} holds no wheels; `pip download` with the board's --platform fetches them")
    if setup.wheel is None:
        return installed_wheel()
    try:
        return setup.wheel.name, setup.wheel.read_bytes()
    except OSError as error:
        raise HostError(f"{setup.wheel} cannot be read: {error.strerror}") from None


def install(board: RemoteBoard, setup: Setup, name: str, wheel: bytes, track: Track = silently) -> str:
    """Installs a wheel and what it requires, as the board's own pip is configured; the path of its Python there.

    Raises:
        HostError: The board lacks something, one line that says what.
    """
    if not board.about["venv"]:
        raise HostError(
            f"{board.address}: its Python cannot make a venv with pip; on it: sudo apt install python3-venv"
        )
    if not setup.keep_env:
        _check_space(board)
        return _make_venv(board, setup, "{folder}/env", name, wheel, track)
    what = f"{hashlib.sha256(wheel).hexdigest()} {board.about['python']} {board.about['machine']}"
    folder, ready = json.loads(
        board.check_output(["python3", "-c", KEPT, CACHE, hashlib.sha256(what.encode()).hexdigest()])
    )
    if not ready:
        _make_venv(board, setup, folder, name, wheel, track)
        board.check_output(["touch", f"{folder}/ready"])
    return f"{folder}/bin/python"


def explain(lines: Sequence[str]) -> str:
    """What an installation failed of, in one line, and what to do where that is known."""
    for sign, advice in KNOWN:
        for line in lines:
            if sign in line:
                return f"{line.strip().removeprefix('ERROR: ')}; {advice}"
    return lines[-1].strip().removeprefix("ERROR: ") if lines else "installing failed without a word"


def _check_space(board: RemoteBoard) -> None:
    free = board.about["free_bytes"]
    if free < NEEDED_BYTES:
        raise HostError(
            f"{board.address} has {free / 1e6:.0f} MB free in {board.about['folder']}, and installing takes"
            f" {NEEDED_BYTES / 1e6:.0f} MB; free some, or set TMPDIR there to a folder with more"
        )


def _make_venv(board: RemoteBoard, setup: Setup, folder: str, name: str, wheel: bytes, track: Track) -> str:
    source = []
    if setup.wheels:
        for file in track(sorted(setup.wheels.glob("*.whl")), f"Copying wheels to {board.address.name}"):
            board.put(f"wheels/{file.name}", file.read_bytes())
        source = ["--no-index", "--find-links", "{folder}/wheels"]
    path = board.put(f"wheel/{name}", wheel)
    python = f"{folder}/bin/python"
    plain = ["--disable-pip-version-check", "--no-cache-dir", "--no-compile", "--no-input", "--progress-bar", "off"]
    for arguments, label in [
        (["python3", "-m", "venv", folder], "Making a venv on"),
        ([python, "-m", "pip", "install", *plain, *source, path], "Installing packages on"),
        ([python, "-P", "-c", "import edge_bench.measure.bench_worker"], "Trying them on"),
    ]:
        status, lines = board.run(arguments, track, f"{label} {board.address.name}")
        if status:
            raise HostError(f"{board.address}: {explain(lines)}")
    return python


KNOWN: Final = (
    ("No space left on device", "free some, or set TMPDIR there to a folder with more"),
    ("libGL.so.1", "OpenCV wants it; on the board: sudo apt install libgl1"),
    ("NewConnectionError", "it has no way to its package index; --wheels FOLDER brings the packages from here"),
    ("No matching distribution found", "--wheels FOLDER brings packages from here; `pip download` fetches them"),
)
"""What installations are known to fail of, by a sign in pip's output."""

KEPT: Final = """
import json, os, shutil, sys
above, name = os.path.join(os.path.expanduser("~"), sys.argv[1]), "bench-env-" + sys.argv[2][:12]
ready = os.path.exists(os.path.join(above, name, "ready"))
os.makedirs(above, exist_ok=True)
for other in os.listdir(above):
    if other.startswith("bench-env-") and not (ready and other == name):
        shutil.rmtree(os.path.join(above, other))
print(json.dumps([os.path.join(above, name), ready]))
"""
"""Finds the environment that was kept, and removes older and half-made ones: a board keeps one."""
