"""What teaching comes to on a class that a file was not trained on.

    python benchmarks/experiments/taught_labels.py FILE.tflite RUN CLASS_FOLDER [DRAWS [COUNT...]]
    python benchmarks/experiments/taught_labels.py nothing BACKBONE.tflite PHOTOS [DRAWS [COUNT]]
    python benchmarks/experiments/taught_labels.py beside RUN CLASS_FOLDER OUT [DRAW [COUNT]]

FILE was exported from RUN, whose training left out the class in CLASS_FOLDER. A hundred of the class's photos are for
judging; the label is taught with 5, 10, 20 and 50 of the others, drawn anew each time. Prints of each draw how many of
the run's test photos are told right before and after, of the class's photos, and of all, each label counting the same;
what the gate finds on left-out frames, and whether it lets the file pass. The whole taught file is made and checked as
`edge-run teach` does; photos are judged by its last layer on features that are computed once.

The second teaches all classes of PHOTOS to what `edge-convert export-backbone` wrote, ten photos of each, and tells how
many of a hundred others of each class are told right.

The third writes the folder of a full training beside it, for `edge-train fit OUT`: RUN's own training, validation and
test photos, and of the class the photos of one draw (a fifth of them to validate) and the hundred that are for judging.
The recall of each class in that run's report is then of the same photos.
"""

import sys
from collections.abc import Sequence
from contextlib import closing
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
from edge_device.teaching.lesson import Lesson, TeachSettings
from edge_device.teaching.teach import teach

COUNTS: Final = (5, 10, 20, 50)
JUDGED: Final = 100

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
    photos = sorted(pictures_below(folder))
    order = np.random.default_rng(1).permutation(len(photos))
    return photos, order[:JUDGED], order[JUDGED:]


def drawn(others: Numbers, draw: int, count: int) -> Numbers:
    """Numbers of the photos that a label is taught with."""
    return np.random.default_rng([draw, count]).choice(others, count, replace=False)


def left_out(file: Path, run_folder: Path, folder: Path, draws: int = 3, *counts: int) -> None:
    run, features = read_run(run_folder), Features(file)
    photos, judged, others = parted(folder)
    tested = run.splits["test"]
    targets = np.array([run.label_number(photo.label) for photo in tested])
    old, new = features.of([photo.path for photo in tested]), features.of([photos[number] for number in judged])
    before = 100 * float((told(features.layer, old) == targets).mean())
    share = 1 / (len(run.card.labels) + 1)  # of the new label among all, each label counting the same
    for count in counts or COUNTS:
        rows = []
        for draw in range(draws):
            frames = [decode_picture(photos[number].read_bytes()) for number in drawn(others, draw, count)]
            settings = TeachSettings(force=True)
            taught = teach(file, Lesson({folder.name: frames}), settings)
            layer = read_last_layer(without_archive(taught.artifact))
            after = 100 * float((told(layer, old) == targets).mean())
            right = 100 * float((told(layer, new) == len(run.card.labels)).mean())
            found = taught.judgement
            if found is None:
                raise AssertionError("nothing was taught")
            gate = 100 * found.taught[folder.name].value
            passes = not found.missed(TeachSettings())
            rows.append((after, right, (1 - share) * after + share * right, gate))
            print(
                f"{folder.name} {count:3} photos, draw {draw}: old {before:.1f} -> {after:.1f} %, new {right:.1f} %, "
                f"all {rows[-1][2]:.1f} %; gate: {gate:.0f} % right, loss {found.loss:.1f}, "
                f"{'passes' if passes else 'refused'}",
                flush=True,
            )
        after, right, every, gate = (mean(column) for column in zip(*rows, strict=True))
        print(
            f"{folder.name} {count:3} photos, mean of {draws}: old {before:.1f} -> {after:.1f} %, new {right:.1f} %, "
            f"all {every:.1f} %, gate {gate:.0f} %",
            flush=True,
        )


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


if __name__ == "__main__":
    if sys.argv[1] == "beside":
        beside(Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), *map(int, sys.argv[5:]))
    elif sys.argv[1] == "nothing":
        from_nothing(Path(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
    else:
        left_out(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
