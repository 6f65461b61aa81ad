"""What it costs that a file tells what is foreign to it, `make bench-familiarity FILE=flowers-int8.tflite`.

The file and a copy without the detector (`familiarity.bin`), one thread each: what a frame of 1280x720 takes, in turn,
in blocks, so that what else the machine does slows both; then processes, in turn, from their start to the end of the
first frame, and their peak memory after 50 frames. Times are the processor's, of this thread and of the process: what
others do costs them caches, but no turns. Prints ratios and differences with 95 % intervals; milliseconds are this
machine's.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.artifact.container import complete, read_card, without_archive
from edge_device import Classifier

BLOCKS: Final = 30
FRAMES: Final = 15
STARTS: Final = 7
RESAMPLES: Final = 2000

CHILD: Final = """
import json, re, sys, time
from pathlib import Path
import numpy as np
from edge_device import Classifier
classifier = Classifier(sys.argv[1], threads=1)
frame = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)
classifier.look(frame)
taken = time.process_time()
for _ in range(50):
    classifier.look(frame)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss begins with the parent's
print(json.dumps([1e3 * taken, int(peak[1]) / 1e3]))
"""


def frame_ratios(told: Path, plain: Path, frame: npt.NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Ratio of the medians of a frame with and without, block by block, and the medians without, in ms."""
    both = Classifier(told, threads=1), Classifier(plain, threads=1)
    ratios, without = [], []
    for block in range(BLOCKS + 1):
        taken: tuple[list[float], list[float]] = ([], [])
        for turn in range(2 * FRAMES):
            which = (turn + block) % 2
            start = time.thread_time()
            both[which].look(frame)
            taken[which].append(1e3 * (time.thread_time() - start))
        if block:  # the first warms up
            ratios.append(median(taken[0]) / median(taken[1]))
            without.append(median(taken[1]))
    return ratios, without


def in_turn(told: Path, plain: Path) -> npt.NDArray[np.float64]:
    """Milliseconds to the end of the first frame, and megabytes: shape (starts, told and plain, 2)."""

    def child(file: Path) -> list[float]:
        done = subprocess.run([sys.executable, "-c", CHILD, str(file)], check=True, capture_output=True, text=True)
        found: list[float] = json.loads(done.stdout)
        return found

    return np.array([[child(told), child(plain)] for _ in range(STARTS)])


def interval(values: list[float]) -> str:
    """Median and its 95 % interval by bootstrap."""
    rng = np.random.default_rng(1)
    drawn = np.median(rng.choice(values, (RESAMPLES, len(values))), axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{median(values):.3f} ({low:.3f} to {high:.3f})"


def main(told: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.tflite"
        plain.write_bytes(complete(without_archive(told.read_bytes()), read_card(told), told.stem))
        if not Classifier(told).tells_foreign:
            sys.exit(f"{told} has no detector; edge-convert export makes one")
        frame = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)
        ratios, without = frame_ratios(told, plain, frame)
        print(f"a frame, with against without   {interval(ratios)} times {median(without):.2f} ms")
        starts = in_turn(told, plain)
        more = starts[:, 0] - starts[:, 1]
        print(f"start to first frame, ms more   {interval(more[:, 0].tolist())} of {np.median(starts[:, 1, 0]):.0f} ms")
        print(f"peak memory, MB more            {interval(more[:, 1].tolist())} of {np.median(starts[:, 1, 1]):.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE.tflite", type=Path)
    main(parser.parse_args().file)
