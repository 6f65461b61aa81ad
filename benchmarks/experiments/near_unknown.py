"""What scores make of a class that a file was not trained on, and how much its features could tell.

    python benchmarks/experiments/near_unknown.py FILE.tflite RUN CLASS_FOLDER [FOREIGN_FOLDER...]

FILE was exported from RUN, whose training left out the class in CLASS_FOLDER. For each score, how much of the class,
and of each folder of foreign pictures, is let in where just 95 % of the run's test photos are known, and the AUROC of
the class. Scores need nothing but the run's training photos, but for the last ones: a ridge regression that has seen
20 or 100 photos of the class itself and is judged by the others is what the features hold at best.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_convert.foreign.measure import auroc
from edge_core.artifact.container import read_card, without_archive
from edge_core.artifact.familiarity import Detector, read_detector, unit_rows
from edge_core.artifact.last_layer import read_last_layer
from edge_core.data.photo_folder import pictures_below
from edge_core.images import decode_picture
from edge_core.preprocess import preprocess
from edge_core.run_folder import evenly_spaced, read_run
from edge_device.inference.interpreter import Interpreter

MOST: Final = 1000
KEPT: Final = 0.95
RIDGE: Final = 3.0

Rows = npt.NDArray[np.float64]
Score = Callable[[Sequence[Rows]], Rows]
"""From the features of pictures, one array a layer, to how odd each picture is."""


def layers_of(file: Path, detector: Detector, photos: Sequence[Path]) -> list[Rows]:
    """Features of photos: an array for each layer that the detector looks at."""
    spec = read_card(file).input
    rows = []
    with closing(Interpreter(file, tensors=detector.tensors)) as interpreter:
        for photo in evenly_spaced(photos, MOST):
            interpreter.scores(preprocess(decode_picture(photo.read_bytes()), spec))
            rows.append(interpreter.read_features())
    return [np.stack(layer) for layer in zip(*rows, strict=True)]


class Known:
    """Scores that know a run's training photos."""

    def __init__(self, file: Path, detector: Detector, train: Sequence[Rows], labels: npt.NDArray[np.int64]) -> None:
        self.detector, self.layer = detector, read_last_layer(without_archive(file.read_bytes()))
        self.rows, self.labels = unit_rows(train[0]), labels
        self.means = np.stack([self.rows[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
        self.within = self._whitened(self.rows - self.means[labels])
        self.around = self._whitened(self.rows - self.rows.mean(axis=0))

    @staticmethod
    def _whitened(rows: Rows) -> Rows:
        """Directions that make the spread of rows a unit, shrunk by half."""
        values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
        whitened: Rows = vectors / np.sqrt(np.maximum(values, 0) + values.mean())
        return whitened

    def logits(self, layers: Sequence[Rows]) -> Rows:
        logits: Rows = layers[0] * self.layer.scale @ self.layer.weights.T + self.layer.bias
        return logits

    def softmax(self, layers: Sequence[Rows]) -> Rows:
        logits = self.logits(layers)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        odd: Rows = 1 - shares.max(axis=1) / shares.sum(axis=1)
        return odd

    def energy(self, layers: Sequence[Rows]) -> Rows:
        odd: Rows = -np.log(np.exp(self.logits(layers)).sum(axis=1))
        return odd

    def anomaly(self, layers: Sequence[Rows]) -> Rows:
        """The chosen detector's."""
        return np.array(
            [
                sum(term.anomaly(layers[term.shape.layer][row]) for term in self.detector.terms)
                for row in range(len(layers[0]))
            ]
        )

    def neighbor(self, layers: Sequence[Rows]) -> Rows:
        """One less the cosine to the 5th nearest training photo of the label that the head says."""
        likeness = unit_rows(layers[0]) @ self.rows.T
        likeness[self.logits(layers).argmax(axis=1)[:, None] != self.labels] = -1
        return 1 - np.sort(likeness, axis=1)[:, -5]

    def relative(self, layers: Sequence[Rows]) -> Rows:
        """Mahalanobis distance to the mean of the head's label, less that to the mean of all (Ren et al., 2021)."""
        rows = unit_rows(layers[0])
        own = ((rows - self.means[self.logits(layers).argmax(axis=1)]) @ self.within) ** 2
        odd: Rows = own.sum(axis=1) - (((rows - self.rows.mean(axis=0)) @ self.around) ** 2).sum(axis=1)
        return odd


def summed(known: Sequence[Rows], first: Score, second: Score) -> Score:
    """Two scores, each in units of its spread over known photos."""
    spreads = [one(known).std() for one in (first, second)]
    return lambda layers: first(layers) / spreads[0] + second(layers) / spreads[1]


def probe(known: Sequence[Rows], foreign: Sequence[Rows]) -> Score:
    """Ridge regression of known and foreign photos, both sides weighing the same."""
    both = [np.concatenate(pair) for pair in zip(known, foreign, strict=True)]
    joined = np.concatenate([unit_rows(rows) for rows in both], axis=1)
    mean, spread = joined[: len(known[0])].mean(axis=0), joined[: len(known[0])].std(axis=0) + 1e-6
    side = np.repeat([-1.0, 1.0], [len(known[0]), len(foreign[0])])
    weight = np.sqrt(np.repeat([0.5 / len(known[0]), 0.5 / len(foreign[0])], [len(known[0]), len(foreign[0])]))
    rows = weight[:, None] * (joined - mean) / spread
    gram = rows @ rows.T
    direction = rows.T @ np.linalg.solve(gram + RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)), weight * side)
    return lambda layers: (np.concatenate([unit_rows(one) for one in layers], axis=1) - mean) / spread @ direction


def main(file: Path, run_folder: Path, near_folder: Path, *foreign_folders: Path) -> None:
    run, detector = read_run(run_folder), read_detector(file)
    if detector is None:
        sys.exit(f"{file} has no detector; edge-convert export makes one")
    train = evenly_spaced(run.splits["train"], MOST)
    learned = layers_of(file, detector, [photo.path for photo in train])
    tested = layers_of(file, detector, [photo.path for photo in run.splits["test"]])
    near = layers_of(file, detector, sorted(pictures_below(near_folder)))
    others = [layers_of(file, detector, sorted(pictures_below(folder))) for folder in foreign_folders]
    known = Known(file, detector, learned, np.array([run.label_number(photo.label) for photo in train]))

    def tell(name: str, score: Score, judged: Sequence[Rows]) -> None:
        kept = score(tested)
        threshold = np.quantile(kept, KEPT)
        odd = score(judged)
        shares = [f"{100 * float((one <= threshold).mean()):5.1f}" for one in (odd, *map(score, others))]
        print(f"{name:<36}{' '.join(shares)}   {auroc(-kept, -odd).value:.3f}", flush=True)

    print(f"let in of {near_folder.name}, {', '.join(folder.name for folder in foreign_folders)}; AUROC of the first")
    for name, score in (
        ("largest softmax score", known.softmax),
        ("energy", known.energy),
        ("5th neighbor of the label", known.neighbor),
        ("relative Mahalanobis of the label", known.relative),
        ("the detector", known.anomaly),
        ("the detector and energy", summed(tested, known.anomaly, known.energy)),
    ):
        tell(name, score, near)
    order = np.random.default_rng(1).permutation(len(near[0]))
    for count in (20, 100):
        shown, rest = ([rows[part] for rows in near] for part in (order[:count], order[count:]))
        tell(f"ridge that saw {count} of the class", probe(learned, shown), rest)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("file", "run", "near"):
        parser.add_argument(name, type=Path)
    parser.add_argument("foreign", type=Path, nargs="*")
    asked = parser.parse_args()
    main(asked.file, asked.run, asked.near, *asked.foreign)
