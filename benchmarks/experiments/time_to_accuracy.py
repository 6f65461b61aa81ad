"""Seconds until `edge-train fit` is as accurate as another recipe is at its end, and the time of a second run.

    python benchmarks/experiments/time_to_accuracy.py PHOTOS RUNS --weights W.weights.h5 --baseline keras_tutorial.py

Each round takes the split of one seed and runs three commands one after the other: the baseline, `edge-train fit` with
an empty cache, and `edge-train fit` again with the cache that the first one left. The order turns with the rounds.
Nothing else may run on the machine. The runs are kept in the folder RUNS, as `seed1`, `seed2` and so on. Without
`--baseline` the two runs alone are compared.

The baseline is a script that takes `--train DIR --validation DIR --weights FILE` and prints a JSON line per epoch with
`seconds` since its start and `validation_accuracy`. Its seconds and those of `history.csv` count the reading of photos,
neither the import of TensorFlow nor the listing of files (which `edge-train fit` also hashes: 0.6 s for 2,934
photos). First and second run are compared as whole commands, report included.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_core.data.photo_folder import find_photos, identify_photos, split_photos


@dataclass(frozen=True)
class Round:
    """Seconds of one round, and the accuracy that both recipes were to reach.

    Attributes:
        goal: validation accuracy of the baseline after its last epoch, 0 to 1.
        baseline_s: seconds of the baseline up to its last epoch.
        reached_s: seconds until `edge-train fit` had that accuracy; infinite if it never had.
        first_s: seconds of the whole command `edge-train fit` with an empty cache.
        second_s: seconds of the same command with the cache of the first.
    """

    goal: float
    baseline_s: float
    reached_s: float
    first_s: float
    second_s: float

    def __str__(self) -> str:
        return (
            f"goal {100 * self.goal:.1f} % after {self.baseline_s:.0f} s; edge-train fit: {self.reached_s:.0f} s "
            f"({self.reached_s / self.baseline_s:.3f}), whole {self.first_s:.0f} s, again {self.second_s:.0f} s "
            f"({self.second_s / self.first_s:.3f})"
        )


def lay_out(data: Path, folder: Path, seed: int) -> None:
    """Links the photos into `folder`/train, val and test, as `edge-train fit --seed` splits them."""
    for split, photos in split_photos(identify_photos(find_photos(data).files)[0], seed).items():
        for number, photo in enumerate(photos):
            link = folder / split / photo.label / f"{number}{photo.path.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(photo.path.resolve())


def baseline(script: Path, folder: Path, weights: Path) -> list[tuple[float, float]]:
    """Seconds and validation accuracy after each epoch of the baseline."""
    places: list[str | Path] = ["--train", folder / "train", "--validation", folder / "val"]
    command = [sys.executable, script, *places, "--weights", weights]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return [(row["seconds"], row["validation_accuracy"]) for row in rows]


def fit(options: argparse.Namespace, seed: int, run: Path, cache: Path) -> float:
    """Seconds of a whole `edge-train fit`."""
    command: list[str | Path] = [sys.executable, "-m", "edge_train", "fit", options.data, "--out", run]
    command += ["--weights", options.weights, "--seed", str(seed)]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"XDG_CACHE_HOME": str(cache)})
    return time.monotonic() - began


def history(run: Path) -> list[tuple[float, float]]:
    """Seconds and validation accuracy of the solved head and after each epoch of a run."""
    with (run / "history.csv").open(newline="") as file:
        return [(float(row["seconds"]), float(row["val_accuracy"])) for row in csv.DictReader(file)]


def runs(options: argparse.Namespace, seed: int, scratch: Path) -> tuple[float, float]:
    """Seconds of the first and of the second run."""
    cache = scratch / "cache"
    return fit(options, seed, options.runs / f"seed{seed}", cache), fit(options, seed, scratch / "again", cache)


def measured(options: argparse.Namespace, seed: int) -> Round:
    """One round: three commands, the baseline first with odd seeds and last with even ones."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos"
        lay_out(options.data, folder, seed)
        epochs = baseline(options.baseline, folder, options.weights) if seed % 2 else []
        first, second = runs(options, seed, Path(scratch))
        epochs = epochs or baseline(options.baseline, folder, options.weights)
    end, goal = epochs[-1]
    reached = min(  # `history.csv` has six digits, so that the same share of photos can be a little less there
        (seconds for seconds, accuracy in history(options.runs / f"seed{seed}") if accuracy >= round(goal, 6)),
        default=float("inf"),
    )
    return Round(goal, end, reached, first, second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    seeds = range(1, options.rounds + 1)
    if options.baseline is None:
        print(f"median: second run {statistics.median(list(map(partial(pair, options), seeds))):.3f} of the first")
        return
    rounds = []
    for seed in seeds:
        rounds.append(measured(options, seed))
        print(f"seed {seed}: {rounds[-1]}", flush=True)
    reached = statistics.median(one.reached_s / one.baseline_s for one in rounds)
    again = statistics.median(one.second_s / one.first_s for one in rounds)
    print(f"medians: reached after {reached:.3f} of the baseline's time; second run {again:.3f} of the first")


def pair(options: argparse.Namespace, seed: int) -> float:
    """What part of the first run's time the second takes."""
    with tempfile.TemporaryDirectory() as scratch:
        first, second = runs(options, seed, Path(scratch))
    print(f"seed {seed}: {first:.0f} s, again {second:.0f} s ({second / first:.3f})", flush=True)
    return second / first


if __name__ == "__main__":
    main()
