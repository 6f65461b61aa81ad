"""Pictures of `edge-run live` while it follows two subjects: its page in a browser, and a frame of its recording.

    python -m benchmarks.experiments.live_pictures signs-int8.tflite docs/images [--labels roadworks priority_road]

The subjects are signs that `edge-train example` knows to draw, of the names given, before a painted street; the model
is one that was trained on such signs. Writes focus-page.png and focus-overlay.png, to be looked at.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from tests.browser import CHROMIUM, Browser
from tests.doubles import free_port, until

from edge_bench.scenes.composer import HEIGHT, WIDTH, Sprite, frames
from edge_core.preprocess import Frame
from edge_train.data.signs.artwork import draw_sign
from edge_train.data.signs.backdrop import paint_backdrop

FPS: Final = 10.0
SECONDS: Final = 30.0
SIDE: Final = 200
"""Pixels of a sign."""

BACKDROP: Final = 3
"""Seed of the painted place: a street."""

TWO_NAMED: Final = (
    'document.querySelector("#zones").children.length === 2'
    ' && document.querySelector("#events").textContent.match(/entered/g).length === 2'
    ' && !document.querySelector("#view.empty")'
    ' && !/invoke 0.0 ms/.test(document.body.innerText.replace(/\\s+/g, " "))'
)


def crossing(label: str, from_left: bool, y: float) -> Sprite:
    """A sign that comes in from a side, and sways about a third of the width from it."""
    drawn = draw_sign(label, SIDE)

    def path(now_s: float) -> tuple[float, float] | None:
        if now_s < 1.5:
            return None
        x = min((now_s - 1.5) / 1.5, 1.0) * WIDTH / 3 + 12 * float(np.sin(3 * now_s))
        return x if from_left else WIDTH - x, y + 8 * float(np.sin(2.3 * now_s))

    return Sprite(np.ascontiguousarray(drawn[:, :, 2::-1]), drawn[:, :, 3:].astype(np.float32) / np.float32(255), path)


def write_film(path: Path, labels: Sequence[str]) -> None:
    """Writes the scene as Motion JPEG."""
    street = paint_backdrop(np.random.default_rng(BACKDROP), WIDTH, HEIGHT)
    signs = [crossing(label, not number, HEIGHT * (0.4 + 0.2 * number)) for number, label in enumerate(labels)]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    for _, frame in frames(street, signs, SECONDS, fps=FPS):
        writer.write(frame)
    writer.release()


def answers(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def photograph(model: Path, labels: Sequence[str], out: Path) -> None:
    """Runs `live` on the scene, and writes both pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        film, record, port = Path(scratch) / "street.avi", Path(scratch) / "record.avi", free_port()
        write_film(film, labels)
        options = [
            "--source",
            film.name,
            "--realtime",
            "--focus",
            "motion",
            "--web",
            port,
            "--record",
            record,
            "--json",
        ]
        command = [sys.executable, "-m", "edge_device", "live", model.resolve(), *options]
        browser = Browser(Path(scratch) / "profile")
        live = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, cwd=scratch)
        try:
            browser.resize(1280, 900)
            until(lambda: answers(port), "the page", 30)
            browser.open(f"http://127.0.0.1:{port}/")
            browser.wait(TWO_NAMED)
            (out / "focus-page.png").write_bytes(browser.screenshot())
            live.wait(60)
        finally:
            live.kill()
            browser.close()
        cv2.imwrite(str(out / "focus-overlay.png"), _middle(Path(scratch)))


def _middle(folder: Path) -> Frame:
    """The frame in the middle of a recording, at half its size."""
    film = cv2.VideoCapture(str(next(folder.glob("record*.avi"))))
    film.set(cv2.CAP_PROP_POS_FRAMES, film.get(cv2.CAP_PROP_FRAME_COUNT) // 2)
    half = cv2.resize(film.read()[1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.asarray(half, np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path, help="Folder for the two pictures.")
    parser.add_argument("--labels", nargs=2, default=("roadworks", "priority_road"), help="What the two signs are.")
    asked = parser.parse_args()
    if not CHROMIUM:
        raise SystemExit("no chromium is installed; install one, or take the pictures elsewhere")
    photograph(asked.model, asked.labels, asked.out)


if __name__ == "__main__":
    main()
