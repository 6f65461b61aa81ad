"""Good and bad candidates beside a real model: `python benchmarks/experiments/update_trials.py OLD NEW OTHER PHOTOS`.

OLD and NEW are .tflite files with the same labels, OTHER one with others. Each candidate runs in the product's own
worker on photos that OLD is given, too, until the product's limits give a verdict. The bad ones are NEW with a fault:
five times the work a frame, no frame familiar, an end after 50 frames, 2 MB more at each frame. A line each.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from edge_core.data.photo_folder import pictures_below
from edge_core.errors import UpdateError
from edge_core.images import read_picture
from edge_core.preprocess import preprocess
from edge_device.frames.regions import WHOLE
from edge_device.inference.classifier import Classifier
from edge_device.live.update.shadow import Shadow, ShadowLimits, ShadowProcess
from edge_device.results import FrameResult, Latency
from edge_device.sources import SourceFrame

WORKER: Final = """
import sys
from edge_device.inference.classifier import Classifier
real, frames, leaked = Classifier.pixel_scores, [], []
def scores(self, pixels):
    if pixels.any():  # the model that runs is given black
        frames.append(0)
        {fault}
    return real(self, pixels)
Classifier.pixel_scores = scores
from edge_device.live.update.shadow_worker import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Candidate:
    """A file, the fault that its worker has, and the familiarity from which on it knows a frame."""

    name: str
    file: Path
    fault: str = "pass"
    familiar: float = 0.05


def candidates(new: Path, other: Path) -> list[Candidate]:
    return [
        Candidate("good", new),
        Candidate("other labels", other),
        Candidate("too slow", new, "[real(self, pixels) for _ in range(4)]"),
        Candidate("too unsure", new, familiar=2.0),
        Candidate("crashes", new, "len(frames) <= 50 or sys.exit(9)"),
        Candidate("leaks", new, "leaked.append(b'x' * (2 << 20))"),
    ]


def outcome(
    old: Path, candidate: Candidate, results: list[FrameResult], labels: tuple[str, ...], limits: ShadowLimits
) -> str:
    """What becomes of a candidate."""
    code = WORKER.format(fault=candidate.fault)
    words = [str(candidate.file), str(old), "auto", "1", str(candidate.familiar)]
    process = ShadowProcess([sys.executable, "-c", code, *words])
    regions = {"": WHOLE}
    try:
        shadow = Shadow(candidate.file, process, labels, limits)
        for result in results:
            if shadow.add(result, regions):
                break
        took = median(one.ms for one in shadow.frames) / median(one.was_ms for one in shadow.frames)
        compared = [one.same for one in shadow.frames if one.same is not None]
        told = f"agrees on {sum(compared)} of {len(compared)}, {took:.2f} times as long"
        reason = shadow.verdict()
        return f"refused: {reason}" if reason else f"takes over ({told})"
    except UpdateError as error:
        return f"refused: {error}"
    finally:
        process.close()


def watched(old: Path, photos: list[Path]) -> tuple[list[FrameResult], tuple[str, ...]]:
    """What the model that runs makes of photos, and its labels."""
    classifier = Classifier(old, threads=1)
    results = []
    for index, path in enumerate(photos):
        frame = read_picture(path)
        pixels = preprocess(frame, classifier.card.input)
        look = classifier.look(frame)
        start = time.perf_counter()
        classifier.pixel_scores(pixels)
        ms = 1e3 * (time.perf_counter() - start)
        source = SourceFrame(frame, "photos", index, float(index), 1.0)
        results.append(FrameResult(source, tuple(look.predictions), Latency(0, 0, ms, ms), known=look.known))
    return results, classifier.card.labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("old", "new", "other", "photos"):
        parser.add_argument(name, type=Path)
    asked = parser.parse_args()
    limits = ShadowLimits(per_s=1e6)
    found = sorted(pictures_below(asked.photos))
    results, labels = watched(asked.old, found[:: max(1, len(found) // limits.frames)][: limits.frames])
    for one in candidates(asked.new, asked.other):
        print(f"{one.name:13} {outcome(asked.old, one, results, labels, limits)}", flush=True)


if __name__ == "__main__":
    main()
