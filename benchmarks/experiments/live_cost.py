"""What `edge-run live` takes for a frame in this checkout, held against another one: processor time and memory.

    git worktree add ../before COMMIT
    python benchmarks/experiments/live_cost.py flowers-int8.tflite ../before

Both run the same frames in turn, in pairs, so that a busy machine counts against both; what is printed is the ratio of
the smallest figures of each, which others on the machine have raised least, the median of the pairs' ratios, and the
middle half of them. Start-up is left out: each run is held against one of a few frames.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, NamedTuple

import cv2
import numpy as np
import typer

HERE = Path(__file__).resolve().parents[2]
SIZE = (320, 240)
FEW = 20
"""Frames of the run that stands for start-up."""


class Cost(NamedTuple):
    """Processor time in seconds, and the largest resident memory in MB."""

    seconds: float
    memory_mb: float


def cost(checkout: Path, model: Path, film: Path, frames: int) -> Cost:
    """What one run takes."""
    command = [sys.executable, "-m", "edge_device", "live", str(model), "--source", str(film), "--frames", str(frames)]
    process = subprocess.Popen(
        [*command, "--threads", "1", "--json"],
        env=os.environ | {"PYTHONPATH": str(checkout / "device")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{checkout}: live ended with status {os.waitstatus_to_exitcode(status)}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main(
    model: Annotated[Path, typer.Argument(help="A complete .tflite.")],
    before: Annotated[Path, typer.Argument(help="Another checkout of this repository.")],
    frames: Annotated[int, typer.Option(help="Number of frames of a run.")] = 2000,
    pairs: Annotated[int, typer.Option(help="Number of pairs.")] = 10,
) -> None:
    """Prints the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.avi"
        write_film(film, frames)
        compare(model, before, film, frames, pairs)


def write_film(path: Path, frames: int) -> None:
    """Writes a film of a square that moves: of a camera, frames that nobody looks at would count, too."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, SIZE)
    for number in range(frames):
        picture = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
        left = 3 * number % (SIZE[0] - 60)
        picture[60:120, left : left + 60] = (40, 60, 220)
        writer.write(picture)
    writer.release()


def compare(model: Path, before: Path, film: Path, frames: int, pairs: int) -> None:
    """Prints each pair, and the ratios."""
    times: dict[Path, list[float]] = {HERE: [], before: []}
    peaks: dict[Path, list[float]] = {HERE: [], before: []}
    for pair in range(pairs):
        for checkout in (HERE, before)[:: 1 if pair % 2 else -1]:
            few, all_ = (cost(checkout, model, film, count) for count in (FEW, frames))
            times[checkout].append(1e3 * (all_.seconds - few.seconds) / (frames - FEW))
            peaks[checkout].append(all_.memory_mb)
        figures = [f"{times[one][-1]:.3f} ms a frame, {peaks[one][-1]:.1f} MB" for one in (before, HERE)]
        print(f"{before.name}: {figures[0]}; here: {figures[1]}", flush=True)
    for what, found in (("processor time a frame", times), ("peak memory", peaks)):
        ratios = [ours / theirs for ours, theirs in zip(found[HERE], found[before], strict=True)]
        low, _, high = quantiles(ratios, n=4)
        smallest = min(found[HERE]) / min(found[before])
        print(f"{what}: {smallest:.3f} of {before.name}; of pairs {median(ratios):.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    typer.run(main)
