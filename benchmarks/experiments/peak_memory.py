"""Peak memory of `edge-train fit` on a folder of 2,000 photos and on one of 20,000, which it makes.

    python benchmarks/experiments/peak_memory.py

A narrow network on small pictures, so that it takes minutes: what grows with the photos is what is measured, and that
is the same for all networks. Prints the peak resident memory of each and their ratio.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

COUNTS = (2_000, 20_000)
CLASSES = 5


def make_photos(folder: Path, count: int) -> None:
    """Photos of 320x240 pixels in five colors, each with noise of its own."""
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"class-{label}").mkdir(parents=True)
    for number in range(count):
        color = np.roll([200, 120, 40], number % CLASSES)
        small = np.clip(color + rng.integers(-60, 61, (12, 16, 3)), 0, 255).astype(np.uint8)
        photo = cv2.resize(small, (320, 240), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"class-{number % CLASSES}" / f"{number}.jpg"), photo)


def main() -> None:
    peaks = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as scratch:
            photos = Path(scratch) / "photos"
            make_photos(photos, count)
            program = (
                "import resource, sys; from edge_train.cli import app\n"
                "try: app(sys.argv[1:])\n"
                "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
            )
            options = ["--weights", "none", "--alpha", "0.35", "--image-size", "96", "--epochs", "1"]
            done = subprocess.run(
                [sys.executable, "-c", program, "fit", str(photos), "--out", f"{scratch}/run", *options],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        peaks.append(int(done.stdout.split()[-1]) / 1024)
        print(f"{count} photos: {peaks[-1]:.0f} MB", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
