"""Teaches a complete .tflite another label: its last layer is solved anew on features, everything else stays."""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_core.artifact.card import UNTAUGHT, ModelCard, check_labels
from edge_core.artifact.container import EXEMPLARS_FILE, TAUGHT_FILE, complete, is_compiled, read_card, without_archive
from edge_core.artifact.exemplars import Exemplars, keep_exemplars, read_exemplars
from edge_core.artifact.familiarity import Detector, Layer, read_detectors
from edge_core.artifact.golden import FRAMES, read_golden
from edge_core.artifact.last_layer import LastLayer, read_last_layer, with_last_layer
from edge_core.artifact.seal import Signer, check_seal
from edge_core.errors import CardError, CheckFailedError, ModelFormatError, SettingsError
from edge_core.images import decode_picture
from edge_core.preprocess import Frame, preprocess
from edge_core.progress import Track, silently, tracked
from edge_core.statistics import accuracy
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import Interpreter
from edge_device.inference.verify import sealed
from edge_device.teaching.familiar import fit_taught
from edge_device.teaching.lesson import FEWEST, Judgement, Lesson, TeachSettings
from edge_device.teaching.solver import solve
from edge_device.teaching.views import views

TAUGHT: Final = "taught"
"""Key in the card's `conversion` of the list of what was taught, the first lesson first."""

FOLDS: Final = 5

MOST_TAKEN: Final = 0.0065
"""Share of the photos of other labels that taught labels may take away, as `_Pupil._bar` estimates it: above, their
bias is lowered. Taught 20 photos, with 480 exemplars, mean of five draws, points of accuracy that the four other
flowers lose and accuracy on all five: with 0.5 %, tulips 0.3 and 87.5 %, daisies 0.1 and 88.2; with 0.65 %, 0.3 and
88.6, 0.2 and 89.1; with 0.75 %, 0.6 and 88.9, 0.3 and 89.3; without a bar, 1.5 and 91.0, 0.4 and 89.7."""

_TAIL: Final = 0.05
_FEWEST_IN_TAIL: Final = 5

_LOGIT_MARGIN: Final = 1.1
"""By how much the range of the last layer's output goes beyond the logits of all examples."""

_AHEAD: Final = 1e-3
"""Logits by which an exemplar that stays must be ahead."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Taught:
    """A file that was taught, not written yet.

    Attributes:
        artifact: The complete, sealed .tflite.
        card: Its model card.
        judgement: How good it is, on what was left out in turn; None where nothing new was taught.
    """

    artifact: bytes
    card: ModelCard
    judgement: Judgement | None


def teach(
    path: Path,
    lesson: Lesson,
    settings: TeachSettings,
    *,
    signer: Signer | None = None,
    track: Track = silently,
) -> Taught:
    """Makes a new complete file of a file and a lesson.

    Args:
        path: A complete .tflite with exemplars inside.
        lesson: What the model is to know afterwards.
        settings: How it is taught, and what it must come to.
        signer: Private key that signs the file; without one the file is sealed but not signed.
        track: Receives the progress of each step.

    Raises:
        ModelFormatError: The file cannot be taught, with the reason.
        SettingsError: The lesson names a label that the model does not have, or has too few frames of one.
        CheckFailedError: The result does not keep to a limit.
    """
    parent = _Parent(path)
    labels = _labels_after(parent.labels, lesson)
    examples = parent.look_at(lesson, settings, track)
    pupil = _Pupil(parent, labels, lesson, examples)
    judgement, bar = None, 0.0
    if examples:
        judgement, bar = pupil.judge(track)
        if (missed := judgement.missed(settings)) and not settings.force:
            raise CheckFailedError(f"{path} stays as it is: {'; '.join(missed)}; show it more and different frames")
    weights, bias = tracked(track, "Solving the last layer", lambda: pupil.solve_all(bar))
    model = with_last_layer(parent.model, weights, bias, pupil.logits(weights, bias))
    card = _card_after(parent, labels, lesson, judgement)
    files = {EXEMPLARS_FILE: pupil.exemplars().to_bytes(), **pupil.taught_detectors()}
    artifact = complete(
        model, card, path.stem, detector=parent.detector.to_bytes() if parent.detector else None, files=files
    )
    # What the layer says in floats; the file is held against it below, in the types that it has.
    meant = [int((one.features[0] @ weights.T + bias).argmax()) for one in examples]
    _check_it_does(artifact, examples, meant)
    golden = parent.golden(lesson)
    whole = tracked(track, "Sealing the file", lambda: sealed(artifact, golden, signer, parent.tolerance))
    return Taught(whole, card, judgement)


def require_teachable(path: Path) -> None:
    """Checks, before anybody has taken pictures for it, that a file can be taught.

    Raises:
        ModelFormatError: It cannot, with the reason.
    """
    _Parent(path)


@dataclass(frozen=True, eq=False)
class _Example:
    """A frame of a label.

    Attributes:
        label: What it shows.
        features: Features of its views, float32, shape (views, width), the whole frame first.
        pixels: The whole frame as the model takes it in, uint8.
    """

    label: str
    features: Floats
    pixels: Frame


class _Parent:
    """A file that is to be taught, read and found fit for it."""

    def __init__(self, path: Path) -> None:
        found = check_seal(path)
        if found is None:
            raise ModelFormatError(f"{path} cannot be taught: it has no seal; export it again")
        self.path, self.digest = path, found.digest
        self.card = read_card(path)
        data = path.read_bytes()
        if is_compiled(data):
            raise ModelFormatError(
                f"{path} cannot be taught: it is compiled for an Edge TPU, which takes the compiler; teach the file "
                "for the CPU and compile that anew with edge-convert compile"
            )
        self.model = without_archive(data)
        self.labels = () if self.card.conversion.get(UNTAUGHT) else self.card.labels
        try:
            self.layer: LastLayer = read_last_layer(self.model)
        except ModelFormatError as error:
            raise ModelFormatError(f"{path} cannot be taught: {error}") from error
        exemplars = read_exemplars(path, self.labels)
        if exemplars is None and self.labels:
            raise ModelFormatError(
                f"{path} cannot be taught: it has no exemplars of what it knows, so it would forget it; export it again"
            )
        self.exemplars: Exemplars | None = exemplars
        self.detector, self.taught_detectors = read_detectors(path)
        self._golden = read_golden(path)
        if any(len(frame.scores) != len(self.card.labels) for frame in self._golden.frames):
            raise ModelFormatError(f"{path} cannot be taught: its golden vectors are of other labels; export it again")
        self.tolerance = self._golden.tolerance

    def look_at(self, lesson: Lesson, settings: TeachSettings, track: Track) -> list[_Example]:
        """Features of all frames of a lesson.

        Raises:
            SettingsError: Too few of a label.
        """
        for label, frames in lesson.examples.items():
            if len(frames) < FEWEST:
                raise SettingsError(
                    f"{len(frames)} frames of {label!r} are too few; show it {FEWEST} at least, better 20"
                )
        count = sum(map(len, lesson.examples.values()))
        if not count:
            return []
        # One at a time: they may be decoded only now, and all of them would take more memory than all the rest.
        mirrored = bool(self.card.training.get("mirror", True)) if settings.mirrored is None else settings.mirrored
        shown = ((label, frame) for label, frames in lesson.examples.items() for frame in frames)
        with closing(Interpreter(self.path, tensors=[self.layer.features])) as interpreter:
            return [
                self._looked_at(interpreter, label, views(frame, settings.cuts, mirrored))
                for label, frame in track(shown, "Looking at the frames", count)
            ]

    def _looked_at(self, interpreter: Interpreter, label: str, shown: Iterator[Frame]) -> _Example:
        rows, whole = [], None
        for view in shown:
            pixels = preprocess(view, self.card.input)
            whole = pixels if whole is None else whole
            interpreter.scores(pixels)
            rows.append(interpreter.read_features()[0] * self.layer.scale)
        assert whole is not None
        return _Example(label, np.array(rows, np.float32), whole)

    def golden(self, lesson: Lesson) -> list[Frame]:
        """Frames for the golden vectors: one of each label that is taught, then those that the file has of others.

        Frames of the same label go first: taught four times, it would push out all that the file was exported with.
        """
        taught = [frames[0] for frames in lesson.examples.values()]
        own = [
            decode_picture(frame.jpeg)
            for frame in self._golden.frames
            if not self.labels or self.labels[int(np.argmax(frame.scores))] not in lesson.examples
        ]
        return [*taught[: FRAMES // 2], *own][:FRAMES]


class _Pupil:
    """The last layer that is to be, and what it is solved on: exemplars of what is known, views of what is taught."""

    def __init__(self, parent: _Parent, labels: tuple[str, ...], lesson: Lesson, examples: Sequence[_Example]) -> None:
        self._parent, self._labels, self._examples = parent, labels, examples
        kept = [label for label in parent.labels if label not in lesson.forget]
        rows = [parent.labels.index(label) for label in kept]
        self._old = len(kept)
        width = parent.layer.weights.shape[1]
        new = len(labels) - len(kept)
        self._start = (
            np.concatenate([parent.layer.weights[rows], np.zeros((new, width), np.float32)]),
            np.concatenate([parent.layer.bias[rows], np.zeros(new, np.float32)]),
        )
        self._number_before = {row: number for number, row in enumerate(rows)}
        exemplars = parent.exemplars
        targets = exemplars.targets if exemplars else np.empty(0, np.int64)
        stays = np.isin(targets, rows)
        self._known = exemplars.features[stays] if exemplars else np.empty((0, width), np.float32)
        self._known_targets = np.array([self._number_before[target] for target in targets[stays].tolist()], np.int64)
        self._unseen = exemplars.unseen[stays] if exemplars else np.empty(0, bool)
        self._judged = exemplars.judged[stays] if exemplars else np.empty(0, bool)
        self._targets = np.array([labels.index(one.label) for one in examples], np.int64)
        self._is_taught = np.isin(np.arange(len(labels)), self._targets)

    def judge(self, track: Track) -> tuple[Judgement, float]:
        """Solves it `FOLDS` times, each time without a share of the frames and exemplars, which are then told.

        Returns:
            What came of it, and by how much the bias of taught labels is lowered, chosen on the exemplars left out.
        """
        folds = min(FOLDS, len(self._examples))
        # Exemplars lie label by label, so that dealt out in turn each fold has as many of each.
        known_fold, frame_fold = np.arange(len(self._known)) % folds, self._frame_folds(folds)
        known_logits = np.empty((len(self._known), len(self._labels)), np.float32)
        logits = np.empty((len(self._examples), len(self._labels)), np.float32)
        whole = np.stack([one.features[0] for one in self._examples])
        for fold in track(range(folds), "Testing on what is left out", folds):
            weights, bias = self._solve(known_fold != fold, frame_fold != fold)
            known_logits[known_fold == fold] = self._known[known_fold == fold] @ weights.T + bias
            logits[frame_fold == fold] = whole[frame_fold == fold] @ weights.T + bias
        bar = self._bar(known_logits)
        told_known, told = ((one - bar * self._is_taught).argmax(axis=1) for one in (known_logits, logits))
        before = after = None
        if len(self._known):
            weights, bias = (part[: self._old] for part in self._start)
            right_before = (self._known @ weights.T + bias).argmax(axis=1) == self._known_targets
            before = accuracy(right_before[self._judged])
            after = accuracy((told_known == self._known_targets)[self._judged])
        shares = {
            self._labels[target]: accuracy(told[self._targets == target] == target)
            for target in np.unique(self._targets).tolist()
        }
        return Judgement(shares, before, after), bar

    def _bar(self, logits: Floats) -> float:
        """By how much taught labels must stand back so that they take no more than `MOST_TAKEN` of other photos.

        So small a share is of one or two exemplars, whose lead is chance. An exponential distribution is fitted to the
        leads beyond that of one in twenty instead (peaks over a threshold: Pickands, "Statistical inference using
        extreme order statistics", 1975).

        Args:
            logits: Of each exemplar, by a layer that was solved without it.
        """
        others = ~self._is_taught[self._known_targets] & self._judged
        if not others.any():
            return 0.0
        own = logits[:, ~self._is_taught]
        # Those that the old labels tell right among themselves: the others are lost with or without a taught one.
        right = np.flatnonzero(~self._is_taught)[own.argmax(axis=1)] == self._known_targets
        leads = np.sort((logits[:, self._is_taught].max(axis=1) - own.max(axis=1))[others & right])[::-1]
        count = int(others.sum())
        beyond = max(_FEWEST_IN_TAIL, round(_TAIL * count))
        none_taken = float(leads.max(initial=-_AHEAD)) + _AHEAD
        if len(leads) <= beyond:
            return max(0.0, none_taken)
        mean_excess = float((leads[:beyond] - leads[beyond]).mean())
        bar = float(leads[beyond]) + mean_excess * math.log(beyond / count / MOST_TAKEN)
        return max(0.0, min(bar, none_taken))

    def solve_all(self, bar: float) -> tuple[Floats, Floats]:
        """The last layer; as it was, but for the rows that are lost, where nothing is taught.

        Args:
            bar: By how much the bias of taught labels is lowered.
        """
        if not self._examples:
            return self._start
        weights, bias = self._solve(np.ones(len(self._known), bool), np.ones(len(self._examples), bool))
        return weights, np.where(self._is_taught, bias - np.float32(bar), bias)

    def logits(self, weights: Floats, bias: Floats) -> tuple[float, float]:
        """The range of logits to expect."""
        rows = np.concatenate([self._known, *(one.features for one in self._examples)])
        logits = rows @ weights.T + bias if len(rows) else np.zeros((1, 1), np.float32)
        return float(logits.min()) * _LOGIT_MARGIN, float(logits.max()) * _LOGIT_MARGIN

    def exemplars(self) -> Exemplars:
        """Exemplars of everything that the file then knows."""
        taught = [one.features[:1] for one in self._examples]
        return keep_exemplars(
            np.concatenate([self._known, *taught]),
            np.concatenate([self._known_targets, self._targets]),
            len(self._labels),
            np.append(self._unseen, np.ones(len(taught), bool)),
        )

    def taught_detectors(self) -> dict[str, bytes]:
        """Detectors of taught labels, by their names in the archive."""
        before = self._parent.taught_detectors
        found = {self._number_before[row]: one for row, one in before.items() if row in self._number_before}
        layer = Layer(self._parent.layer.features, self._known.shape[1])
        for target in np.unique(self._targets).tolist():
            found[target] = self._detector(layer, target)
        return {TAUGHT_FILE.format(label=number): one.to_bytes() for number, one in sorted(found.items())}

    def _detector(self, layer: Layer, target: int) -> Detector:
        """Of the frames of a label, and of its exemplars where it was taught before."""
        frames = [one.features for one, number in zip(self._examples, self._targets, strict=True) if number == target]
        was_taught = {self._number_before.get(row) for row in self._parent.taught_detectors}
        earlier = self._known[self._known_targets == target] if target in was_taught else self._known[:0]
        return fit_taught(layer, [*frames, *(row[None] for row in earlier)])

    def _frame_folds(self, folds: int) -> npt.NDArray[np.int64]:
        """The fold of each frame: those of a label are dealt out in turn."""
        dealt = np.empty(len(self._targets), np.int64)
        for target in np.unique(self._targets):
            own = self._targets == target
            dealt[own] = np.arange(own.sum()) % folds
        return dealt

    def _solve(self, known: npt.NDArray[np.bool_], frames: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
        shown = [one.features for one, use in zip(self._examples, frames, strict=True) if use]
        targets = np.concatenate(
            [self._known_targets[known], np.repeat(self._targets[frames], [len(one) for one in shown])]
        )
        # Every label counts the same, whether it has fifty exemplars or the views of three frames.
        shares = 1 / np.bincount(targets, minlength=len(self._labels)).clip(1)[targets]
        features = np.concatenate([self._known[known], *shown])
        # What the other labels have among themselves stays as it was trained, on more photos than there are exemplars.
        return solve(features, targets, shares / shares.sum(), self._start, self._is_taught)


def _labels_after(labels: Sequence[str], lesson: Lesson) -> tuple[str, ...]:
    """The labels that a model then has: those that stay, in their order, then the new ones.

    Raises:
        SettingsError: A label is not there, or what is left cannot name a model's outputs.
    """
    for label in (*lesson.forget, *lesson.rename):
        if label not in labels:
            raise SettingsError(f"the model has no label {label!r}; it has {', '.join(labels) or 'none yet'}")
    stay = [lesson.rename.get(label, label) for label in labels if label not in lesson.forget]
    try:
        return check_labels([*stay, *(label for label in lesson.examples if label not in stay)])
    except CardError as error:
        raise SettingsError(str(error)) from error


def _card_after(parent: _Parent, labels: tuple[str, ...], lesson: Lesson, judgement: Judgement | None) -> ModelCard:
    """The card with the lineage. Figures of the parent are the parent's: its test photos had no label that is new."""
    card = parent.card
    before: Mapping[str, Any] = card.conversion
    entry = {
        "parent": parent.digest,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "examples": {label: len(frames) for label, frames in lesson.examples.items()},
        "forgotten": list(lesson.forget),
        "renamed": dict(lesson.rename),
        "judgement": judgement.to_json() if judgement else None,
        "parent_metrics": {name: vars(estimate) for name, estimate in card.metrics.items()},
    }
    kept = ("recipe", "calibration_photos", "calibration")
    conversion = {name: before[name] for name in kept if name in before}
    metrics = {}
    if judgement:
        metrics = {f"taught {label}": share for label, share in judgement.taught.items()}
        metrics |= {"known labels": judgement.after} if judgement.after else {}
    return replace(
        card,
        labels=labels,
        metrics=metrics,
        conversion={**conversion, TAUGHT: [*before.get(TAUGHT, []), entry]},
    )


def _check_it_does(artifact: bytes, examples: Sequence[_Example], meant: Sequence[int]) -> None:
    """Runs the new file on every frame: it must say what the solved layer says, but for near ties.

    Raises:
        CheckFailedError: It says something else.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "taught.tflite"
        file.write_bytes(artifact)
        with closing(Classifier(file)) as classifier:
            said = [int(classifier.pixel_scores(one.pixels).argmax()) for one in examples]
    if examples and np.mean(np.array(said) != np.array(meant)) > 0.1:
        raise CheckFailedError("the new file does not say what its last layer was solved to say; nothing was written")
