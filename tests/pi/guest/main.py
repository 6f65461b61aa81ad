"""What the emulated board does: `python3 -m tests.pi.guest.main STAGE...` in the folder that it shares with the workstation.

models/     .tflite files, the first of which looks through the camera
photos/     pictures
out/        what came out, for the workstation to compare
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from tests.pi.guest import faults, vivid
from tests.pi.guest.live import WatchedLive
from tests.pi.guest.measured import SHOWN, measured
from tests.pi.guest.pictures import CAMERA, framed, read

OUT: Final = Path("out")
UNTIL_SEEN: Final = 5
"""Frames after which a new picture is there for sure: one is being classified, one is ready, one is being read."""


def say(text: str) -> None:
    print(text, flush=True)


def models() -> list[Path]:
    return sorted(Path("models").glob("*.tflite"))


def doctor() -> None:
    edge_run("doctor")


def verify() -> None:
    for model in models():
        edge_run("verify", str(model))


def edge_run(*arguments: str) -> None:
    """Runs a command; the check fails if it does."""
    say(f"$ edge-run {' '.join(arguments)}")
    subprocess.run([sys.executable, "-m", "edge_device", *arguments], check=True)


def same_bytes() -> None:
    np.savez(OUT / "measured.npz", **measured(Path("photos"), models()))  # type: ignore[arg-type]


def live() -> None:
    """Pictures before the camera, one after the other; what `edge-run live` says of each once it must see it."""
    seen = []
    pictures = read(Path("photos"), SHOWN)
    options = ("--source", "/dev/video0", "--format", "BGR3", "--smoothing", "none", "--threads", "1", "--top", "1")
    with vivid.Screen(*CAMERA) as screen:
        screen.show(framed(pictures[0][1]))
        with WatchedLive(models()[0], *options, tell=say) as watched:
            for name, picture in pictures:
                screen.show(framed(picture))
                best = watched.next_frames(UNTIL_SEEN)[-1]["top"][0]
                seen.append({"photo": name, **best})
                say(f"{name}  {best['label']} {100 * best['score']:.1f} %")
    (OUT / "live.json").write_text(json.dumps(seen))


def camera_faults() -> None:
    (OUT / "faults.json").write_text(json.dumps(faults.all_faults(models()[0], say)))


def device_tests() -> None:
    """The device package's own tests, but those that start many processes, a browser or a broker."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    subprocess.run([*command, *(f"tests/{name}" for name in TESTS)], check=True)


TESTS: Final = (
    "core/test_card.py",
    "core/test_preprocess.py",
    "device/test_classifier.py",
    "device/test_regions.py",
    "device/test_sources.py",
    "device/test_sources_jpegs.py",
    "device/test_sources_pool.py",
    "device/test_sources_v4l2.py",
)

STAGES: Final[dict[str, Callable[[], None]]] = {
    "doctor": doctor,
    "verify": verify,
    "bytes": same_bytes,
    "live": live,
    "faults": camera_faults,
    "tests": device_tests,
}


def main(stages: list[str]) -> None:
    OUT.mkdir(exist_ok=True)
    for stage in stages:
        began = time.monotonic()
        say(f"== {stage}")
        STAGES[stage]()
        say(f"== {stage}: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
