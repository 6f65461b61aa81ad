"""What teaching comes to on a class that a file was not trained on.

    python benchmarks/experiments/taught_labels.py FILE.tflite RUN CLASS_FOLDER [DRAWS [COUNT...]]
    python benchmarks/experiments/taught_labels.py trade FILE.tflite RUN CLASS_FOLDER [DRAWS [COUNT]]
    python benchmarks/experiments/taught_labels.py nothing BACKBONE.tflite PHOTOS [DRAWS [COUNT]]
    python benchmarks/experiments/taught_labels.py beside RUN CLASS_FOLDER OUT [DRAW [COUNT]]

FILE was exported from RUN, whose training left out the class in CLASS_FOLDER. A hundred of the class's photos are for
judging; the label is taught with 5, 10, 20 and 50 of the others, drawn anew each time. Prints of each draw how many of
the run's test photos are told right before and after, of the class's photos, and of all, each label counting the same;
what the gate finds on left-out frames, and whether it lets the file pass. The whole taught file is made and checked as
`edge-run teach` does; photos are judged by its last layer on features that are computed once. Where CLASS_FOLDER holds
folders `train` and `test`, the label is taught with photos of the one and judged on the first hundred of the other.

The second tells what the old labels' accuracy costs the new one: the bias of the taught label is moved up and down.

The third teaches all classes of PHOTOS to what `edge-convert export-backbone` wrote, ten photos of each, and tells how
many of a hundred others of each class are told right.

The fourth writes the folder of a full training beside it, for `edge-train fit OUT`: RUN's own training, validation and
test photos, and of the class the photos of one draw (a fifth of them to validate) and the hundred that are for judging.
The recall of each class in that run's report is then of the same photos.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.artifact.container import read_card, without_archive
from edge_core.artifact.last_layer import LastLayer, read_last_layer
from edge_core.data.photo_folder import Split, pictures_below
from edge_core.images import decode_picture
from edge_core.preprocess import preprocess
from edge_core.run_folder import read_run
from edge_device.inference.interpreter import Interpreter
from edge_device.teaching.lesson import Judgement, Lesson, TeachSettings
from edge_device.teaching.teach import teach

COUNTS: Final = (5, 10, 20, 50)
JUDGED: Final = 100
SHIFTS: Final = (-2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


class Features:
    """Features of photos by a file, each computed once."""

    def __init__(self, file: Path) -> None:
        self.layer = read_last_layer(without_archive(file.read_bytes()))
        self.spec = read_card(file).input
        self.file = file

    def of(self, photos: Sequence[Path]) -> Floats:
        rows = []
        with closing(Interpreter(self.file, tensors=[self.layer.features])) as interpreter:
            for photo in photos:
                interpreter.scores(preprocess(decode_picture(photo.read_bytes()), self.spec))
                rows.append(interpreter.read_features()[0] * self.layer.scale)
        return np.array(rows, np.float32)


def told(layer: LastLayer, features: Floats) -> Numbers:
    """Number of the label that a last layer gives each photo."""
    numbers: Numbers = (features @ layer.weights.T + layer.bias).argmax(axis=1)
    return numbers


def parted(folder: Path) -> tuple[list[Path], Numbers, Numbers]:
    """Photos of a class, and the numbers of those for judging and of the others."""
    if (folder / "test").is_dir():
        parts = [sorted(pictures_below(folder / split)) for split in ("test", "train")]
        judged = parts[0][:JUDGED]
        return [*judged, *parts[1]], np.arange(len(judged)), np.arange(len(judged), len(judged) + len(parts[1]))
    photos = sorted(pictures_below(folder))
    order = np.random.default_rng(1).permutation(len(photos))
    return photos, order[:JUDGED], order[JUDGED:]


def drawn(others: Numbers, draw: int, count: int) -> Numbers:
    """Numbers of the photos that a label is taught with."""
    return np.random.default_rng([draw, count]).choice(others, count, replace=False)


class Trial:
    """What a class's photos and those of a run's test are told by a file that was taught the class.

    Attributes:
        label: The class.
        before: Percentage of the run's test photos that the untaught file tells right.
    """

    def __init__(self, file: Path, run_folder: Path, folder: Path) -> None:
        run, features = read_run(run_folder), Features(file)
        tested = run.splits["test"]
        self.label, self._file, self._number = folder.name, file, len(run.card.labels)
        self._photos, judged, self._others = parted(folder)
        self._targets = np.array([run.label_number(photo.label) for photo in tested])
        self._old = features.of([photo.path for photo in tested])
        self._new = features.of([self._photos[number] for number in judged])
        self.before = 100 * float((told(features.layer, self._old) == self._targets).mean())

    def taught(self, draw: int, count: int) -> tuple[LastLayer, Judgement]:
        """The last layer of the file taught with one draw of photos, and what the gate found."""
        frames = [decode_picture(self._photos[number].read_bytes()) for number in drawn(self._others, draw, count)]
        made = teach(self._file, Lesson({self.label: frames}), TeachSettings(force=True))
        if made.judgement is None:
            raise AssertionError("nothing was taught")
        return read_last_layer(without_archive(made.artifact)), made.judgement

    def shares(self, layer: LastLayer, shift: float = 0.0) -> tuple[float, float, float]:
        """Percentages of old photos, of new ones and of all, each label counting the same, that are told right.

        Args:
            layer: Last layer of the taught file.
            shift: Logits that the bias of the new label is moved by.
        """
        bias = layer.bias.copy()
        bias[self._number] += shift
        moved = replace(layer, bias=bias)
        old = 100 * float((told(moved, self._old) == self._targets).mean())
        new = 100 * float((told(moved, self._new) == self._number).mean())
        return old, new, (self._number * old + new) / (self._number + 1)


def left_out(file: Path, run_folder: Path, folder: Path, draws: int = 3, *counts: int) -> None:
    trial = Trial(file, run_folder, folder)
    for count in counts or COUNTS:
        rows = []
        for draw in range(draws):
            layer, found = trial.taught(draw, count)
            gate = 100 * found.taught[trial.label].value
            rows.append((*trial.shares(layer), gate))
            after, right, every, _ = rows[-1]
            print(
                f"{trial.label} {count:3} photos, draw {draw}: old {trial.before:.1f} -> {after:.1f} %, "
                f"new {right:.1f} %, all {every:.1f} %; gate: {gate:.0f} % right, loss {found.loss:.1f}, "
                f"{'refused' if found.missed(TeachSettings()) else 'passes'}",
                flush=True,
            )
        after, right, every, gate = (mean(column) for column in zip(*rows, strict=True))
        print(
            f"{trial.label} {count:3} photos, mean of {draws}: old {trial.before:.1f} -> {after:.1f} % "
            f"(loses {trial.before - after:.2f}), new {right:.1f} %, all {every:.1f} %, gate {gate:.0f} %",
            flush=True,
        )


def traded(file: Path, run_folder: Path, folder: Path, draws: int = 3, count: int = 20) -> None:
    """What the old labels' accuracy costs the new one."""
    trial = Trial(file, run_folder, folder)
    layers = [trial.taught(draw, count)[0] for draw in range(draws)]
    print(f"{trial.label}, {count} photos, mean of {draws} draws; bias moved by: points lost by old labels, new, all")
    for shift in SHIFTS:
        old, new, every = np.mean([trial.shares(layer, shift) for layer in layers], axis=0)
        print(f"{shift:+5.2f}: {trial.before - old:5.2f}, {new:5.1f} %, {every:5.1f} %")


def from_nothing(backbone: Path, folder: Path, draws: int = 10, count: int = 10) -> None:
    """Two or more classes taught to a backbone that knows none."""
    features = Features(backbone)
    classes = {one.name: sorted(pictures_below(one)) for one in sorted(folder.iterdir()) if one.is_dir()}
    shuffled = {
        name: [photos[number] for number in np.random.default_rng(1).permutation(len(photos))]
        for name, photos in classes.items()
    }
    judged = {name: features.of(photos[:JUDGED]) for name, photos in shuffled.items()}
    shares = []
    for draw in range(draws):
        rng = np.random.default_rng([draw, count])
        examples = {
            name: [
                decode_picture(photos[JUDGED + int(number)].read_bytes())
                for number in rng.choice(len(photos) - JUDGED, count, replace=False)
            ]
            for name, photos in shuffled.items()
        }
        taught = teach(backbone, Lesson(examples), TeachSettings(force=True))
        layer = read_last_layer(without_archive(taught.artifact))
        right = [told(layer, judged[name]) == number for number, name in enumerate(taught.card.labels)]
        shares.append(100 * float(np.concatenate(right).mean()))
        print(f"draw {draw}: {shares[-1]:.1f} %", flush=True)
    span = f"{min(shares):.1f} to {max(shares):.1f}"
    print(f"mean of {draws} draws of {count} photos a class: {np.mean(shares):.1f} % ({span})")


def beside(run_folder: Path, folder: Path, out: Path, draw: int = 0, count: int = 20) -> None:
    """The photos of a full training with what one draw teaches."""
    photos, judged, others = parted(folder)
    taken = drawn(others, draw, count)
    learned = count - count // 5
    chosen: dict[Split, list[tuple[str, Path]]] = {
        "train": [(folder.name, photos[number]) for number in taken[:learned]],
        "val": [(folder.name, photos[number]) for number in taken[learned:]],
        "test": [(folder.name, photos[number]) for number in judged],
    }
    for split, old in read_run(run_folder).splits.items():
        chosen[split] += [(photo.label, photo.path) for photo in old]
    for split, links in chosen.items():
        for number, (label, photo) in enumerate(links):
            link = out / split / label / f"{number}{photo.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(photo.resolve())


def main() -> None:
    kinds: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
        "trade": (traded, ("file", "run", "folder")),
        "nothing": (from_nothing, ("backbone", "photos")),
        "beside": (beside, ("run", "folder", "out")),
    }
    words = sys.argv[1:]
    kind = words.pop(0) if words and words[0] in kinds else ""
    do, places = kinds.get(kind, (left_out, ("file", "run", "folder")))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for place in places:
        parser.add_argument(place, type=Path)
    parser.add_argument("numbers", type=int, nargs="*")
    asked = parser.parse_args(words)
    do(*(getattr(asked, place) for place in places), *asked.numbers)


if __name__ == "__main__":
    main()
