"""Pictures that a network takes for something else: made, saved, read again as a device reads them, and judged."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Reading, Unusable, Walk, read_photos, walk
from edge_core.errors import CheckFailedError, DatasetError, ModelFormatError, SettingsError
from edge_core.files import names_of
from edge_core.images import read_picture
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, evenly_spaced, read_held_out
from edge_core.statistics import Estimate, accuracy
from edge_device.inference.classifier import Classifier, top
from edge_device.results import Prediction
from edge_keras.tf import keras
from edge_train.evaluation.evaluate import open_model, scores_of
from edge_train.explain.pixel_files import save_pixels
from edge_train.training.attacks import Attack, attack_pictures, largest_change, logits_of

PICTURES: Final = "pictures"
"""Folder of the adversarial pictures."""
TOP: Final = 3
_LONGEST_NAME: Final = 100
"""Bytes of the name of an original that its adversarial picture keeps."""


@dataclass(frozen=True)
class AttackedPicture:
    """A picture that is to be taken for something else.

    Attributes:
        source: Path of the picture file.
        label: What it shows, as the full-size model says, too.
        pixels: Pixels that the model sees, uint8, shape (height, width, 3).
    """

    source: Path
    label: str
    pixels: Frame


@dataclass(frozen=True)
class Said:
    """What a model says, best first.

    Attributes:
        model: Name of the run or of the .tflite.
        before: Predictions for the original.
        after: Predictions for the adversarial picture, read from its file.
    """

    model: str
    before: tuple[Prediction, ...]
    after: tuple[Prediction, ...]


@dataclass(frozen=True)
class Example:
    """An original and its adversarial picture.

    Attributes:
        source: File of the original.
        label: What it shows.
        file: Name of the adversarial picture's file.
        original, changed: uint8, shape (height, width, 3), in the model's color order; `changed` as read from the file.
        fooled_as_made: Whether the full-size model was fooled before the picture was a file.
        said: What the full-size model says, then what each .tflite says.
    """

    source: Path
    label: str
    file: str
    original: Frame
    changed: Frame
    fooled_as_made: bool
    said: tuple[Said, ...]

    def to_json(self) -> JsonObject:
        return {
            "source": str(self.source),
            "label": self.label,
            "file": self.file,
            "largest_change": largest_change(self.original, self.changed, "linf"),
            "length_of_change": largest_change(self.original, self.changed, "l2"),
            "fooled_as_made": self.fooled_as_made,
            "models": [asdict(said) for said in self.said],
        }


@dataclass(frozen=True)
class Share:
    """How many of how many, with Wilson's 95 % interval."""

    count: int
    of: int
    share: Estimate

    def __str__(self) -> str:
        return f"{self.count} of {self.of}, {self.share.percent()}"


@dataclass(frozen=True)
class Outcome:
    """What came of an attack.

    Attributes:
        attack: That made the pictures.
        target: What they shall be taken for; None for anything else.
        examples: One for each picture that the full-size model had right.
        passed_over: Pictures that it had wrong, or takes for the target as they are.
        unusable: Files that could not be decoded.
    """

    attack: Attack
    target: str | None
    examples: tuple[Example, ...]
    passed_over: int
    unusable: tuple[Unusable, ...]

    def is_fooled(self, label: str, said: str) -> bool:
        """Whether a picture of `label` that a model calls `said` is a success."""
        return said == self.target if self.target else said != label

    @property
    def as_made(self) -> Share | None:
        """What fooled the full-size model before it was a file."""
        return _share([example.fooled_as_made for example in self.examples])

    @property
    def still_fooling(self) -> Share | None:
        """Of what fooled the full-size model as made, what does so from its file; None if nothing did."""
        return _share(
            [
                self.is_fooled(example.label, example.said[0].after[0].label)
                for example in self.examples
                if example.fooled_as_made
            ]
        )

    def read_again(self, model: int = 0) -> Share | None:
        """What fools a model from its file, of the pictures whose original it has right; None if it has none right."""
        pairs = [(example.label, example.said[model]) for example in self.examples]
        return _share(
            [self.is_fooled(label, said.after[0].label) for label, said in pairs if said.before[0].label == label]
        )

    def to_json(self) -> JsonObject:
        models = [said.model for said in self.examples[0].said]
        return {
            "attack": asdict(self.attack),
            "target": self.target,
            "pictures": len(self.examples),
            "passed_over": self.passed_over,
            "unusable": [str(file.path) for file in self.unusable],
            "fooled_as_made": _fields(self.as_made),
            "still_fooled_when_read_again": _fields(self.still_fooling),
            "fooled_when_read_again": {name: _fields(self.read_again(number)) for number, name in enumerate(models)},
            "examples": [example.to_json() for example in self.examples],
        }


@dataclass(frozen=True)
class Wanted:
    """Which pictures are attacked, and what for.

    Attributes:
        pictures: Files and folders. They show what `label` or else the model says. Without any, the photos that the run
            has never seen.
        label: Only pictures of this class.
        target: What they shall be taken for; anything else than what they show if it is None.
        data: Photo folder as `read_held_out` takes it.
        most: Pictures at most, at even distances.
    """

    pictures: Sequence[Path] = ()
    label: str | None = None
    target: str | None = None
    data: Path | None = None
    most: int | None = None

    def check(self, run: Run) -> None:
        """Whether the run knows the labels.

        Raises:
            SettingsError: No such label, or the target is the label.
        """
        for name in (self.label, self.target):
            if name is not None:
                run.label_number(name)
        if self.target is not None and self.target == self.label:
            raise SettingsError(f"photos of {self.label} are taken for {self.target} as they are; name another target")


ANY_PHOTO: Final = Wanted()


def make_adversarial(
    run: Run,
    attack: Attack,
    folder: Path,
    wanted: Wanted = ANY_PHOTO,
    *,
    files: Sequence[Path] = (),
    seed: int = 0,
    track: Track = silently,
) -> Outcome:
    """Attacks the full-size model of a run with pictures that it has right, and saves what comes out as PNG.

    Args:
        run: Run whose full-size model is attacked.
        attack: What may be changed, and how it is searched.
        folder: Exists; the pictures go into its subfolder `PICTURES`.
        wanted: Which pictures, and what they shall be taken for.
        files: .tflite that are shown the same pictures.
        seed: Random seed for the starts.
        track: Receives the progress of each step.

    Raises:
        SettingsError: No such label, or the target is the label.
        DatasetError, RunFolderError: Nothing to attack.
        ModelFormatError: A .tflite that cannot be run, or has other labels.
        CheckFailedError: The model has none of the pictures right.
        OutputError: A picture cannot be written.
    """
    wanted.check(run)
    classifiers = [_open(file, run) for file in files]
    model = open_model(run)
    subjects, passed_over, unusable = _subjects(run, model, wanted, track)
    pixels = np.stack([subject.pixels for subject in subjects])
    shown = [wanted.target or subject.label for subject in subjects]
    changed = attack_pictures(
        logits_of(model),
        pixels,
        np.array([run.card.labels.index(one) for one in shown]),
        attack,
        targeted=wanted.target is not None,
        seed=seed,
        track=track,
    )
    as_made = scores_of(model, changed)
    names = file_names([subject.source for subject in subjects])
    (folder / PICTURES).mkdir()
    for name, picture in zip(names, changed, strict=True):
        save_pixels(folder / PICTURES / name, picture, run.card.input)
    # What is judged is the file, read again as a device reads it, not the array that the attack has made.
    frames = [read_picture(folder / PICTURES / name) for name in names]
    reread = np.stack([preprocess(frame, run.card.input) for frame in frames])
    said = [_paired(run.folder.resolve().name, run, scores_of(model, pixels), scores_of(model, reread))]
    for name, classifier in zip(names_of(files), classifiers, strict=True):
        said.append(_asked(name, classifier, run, subjects, frames, track))
    outcome = Outcome(attack, wanted.target, (), passed_over, unusable)
    examples = tuple(
        Example(
            subject.source,
            subject.label,
            name,
            subject.pixels,
            picture,
            outcome.is_fooled(subject.label, run.card.labels[scores.argmax()]),
            by_model,
        )
        for subject, name, picture, scores, by_model in zip(
            subjects, names, reread, as_made, zip(*said, strict=True), strict=True
        )
    )
    return replace(outcome, examples=examples)


def _asked(
    name: str,
    classifier: Classifier,
    run: Run,
    subjects: Sequence[AttackedPicture],
    frames: Sequence[Frame],
    track: Track,
) -> list[Said]:
    """What a .tflite says of each picture before and after."""
    before, after = [], []
    for subject, frame in track(list(zip(subjects, frames, strict=True)), f"Asking {name}"):
        before.append(classifier.scores(read_picture(subject.source, levels=run.card.input.levels))[0])
        after.append(classifier.scores(frame)[0])
    return _paired(name, run, np.stack(before), np.stack(after))


def _open(file: Path, run: Run) -> Classifier:
    classifier = Classifier(file)
    if classifier.card.labels != run.card.labels:
        raise ModelFormatError(f"{file} has other labels than {run.folder}, or in another order")
    return classifier


def _named_files(wanted: Wanted) -> tuple[list[tuple[Path, str]], tuple[Unusable, ...]]:
    """Files to read with their label, at most as many as wanted, and what below the folders is no picture."""
    below = [walk(path) if path.is_dir() else Walk((path,), ()) for path in wanted.pictures]
    found = [file for one in below for file in one.pictures]
    if not found:
        raise DatasetError(f"{wanted.pictures[0]} holds no pictures")
    label = wanted.label or ""
    chosen = [(file, label) for file in evenly_spaced(found, wanted.most or len(found))]
    return chosen, tuple(item for one in below for item in one.dropped)


def _read_named(wanted: Wanted, spec: InputSpec, see: Callable[[int, Frame], Frame], track: Track) -> Reading[Frame]:
    """Reads named files, and pictures below named folders.

    Raises:
        DatasetError: There is none, or a file that was named by itself cannot be decoded.
    """
    chosen, dropped = _named_files(wanted)
    reading = read_photos(chosen, see, levels=spec.levels, track=track)
    named = [file for file in reading.unusable if file.path in wanted.pictures]
    if named or not reading.photos:
        first = (named or reading.unusable)[0]
        raise DatasetError(f"{first.path}: {first.reason}")
    return replace(reading, unusable=(*dropped, *reading.unusable))


def _subjects(
    run: Run,
    model: "keras.Model",
    wanted: Wanted,
    track: Track,
) -> tuple[list[AttackedPicture], int, tuple[Unusable, ...]]:
    """The pictures that can be attacked, how many cannot, and files that cannot be decoded."""

    def see(index: int, frame: Frame) -> Frame:
        return preprocess(frame, run.card.input)

    if wanted.pictures:
        reading = _read_named(wanted, run.card.input, see, track)
    else:
        reading = read_held_out(run, see, wanted.data, track=track)
    said = [run.card.labels[index] for index in scores_of(model, np.stack(reading.values)).argmax(1)]
    candidates = 0
    subjects: list[AttackedPicture] = []
    for photo, pixels, says in zip(reading.photos, reading.values, said, strict=True):
        shows = photo.label or says
        if wanted.label in (None, shows):
            candidates += 1
            if says == shows and says != wanted.target:
                subjects.append(AttackedPicture(photo.path, says, pixels))
    if not subjects:
        raise CheckFailedError(
            f"none of {candidates} pictures is classified {_as_wanted(wanted)}: there is nothing to attack"
        )
    return evenly_spaced(subjects, wanted.most or len(subjects)), candidates - len(subjects), reading.unusable


def _as_wanted(wanted: Wanted) -> str:
    if wanted.label:
        return f"as {wanted.label}"
    return "as what they show" + (f" and not as {wanted.target}" if wanted.target else "")


def file_names(sources: Sequence[Path]) -> list[str]:
    """A name for each picture's file, after its original, each one once and none too long for a file system."""
    names: list[str] = []
    taken: set[str] = set()
    for source in sources:
        stem = name = source.stem.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}~{number}"
        taken.add(name)
        names.append(f"{name}.png")
    return names


def _share(successes: list[bool]) -> Share | None:
    return Share(sum(successes), len(successes), accuracy(np.array(successes))) if successes else None


def _fields(share: Share | None) -> dict[str, float] | None:
    return {"count": share.count, "of": share.of, **asdict(share.share)} if share else None


def _paired(name: str, run: Run, before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> list[Said]:
    return [
        Said(name, tuple(top(one, run.card.labels, TOP)), tuple(top(other, run.card.labels, TOP)))
        for one, other in zip(before, after, strict=True)
    ]
