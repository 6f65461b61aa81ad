"""Frames to labels: the Python API of the device."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_core.artifact.container import read_card
from edge_core.artifact.familiarity import FAMILIAR, Detector, Features, read_detector
from edge_core.artifact.seal import check_seal
from edge_core.errors import ModelFormatError
from edge_core.preprocess import Frame
from edge_device.inference.interpreter import Interpreter, Runner, RuntimeName, Scores
from edge_device.results import Prediction

SOFTMAX_ONLY: Final = (
    "it cannot tell what is foreign to it, so everything is one of its labels; "
    "a file that edge-convert exports anew can"
)


@dataclass(frozen=True)
class Timing:
    """What one frame took, in milliseconds; `invoke_ms` includes reading the scores."""

    preprocess_ms: float
    invoke_ms: float


@dataclass(frozen=True, eq=False)
class Look:
    """All that a frame gives.

    Attributes:
        predictions: Best labels, best first. What the frame is, if it is known; else what it is most like.
        familiarity: P-value, 0..1, that the frame is of the kind that the model was trained on: of such frames, one in
            twenty has less than 0.05. None of a model without a detector.
        known: Whether the familiarity is as much as was asked for; None of a model without a detector.
        features: Features of the layers that the detector looks at, float64, shape (width,) each.
        timing: What it took.
    """

    predictions: list[Prediction]
    familiarity: float | None
    known: bool | None
    features: tuple[Features, ...]
    timing: Timing


def top(scores: Scores, labels: Sequence[str], count: int) -> list[Prediction]:
    """The `count` best labels, best first; equal scores in label order."""
    best = np.argsort(-scores, kind="stable")[:count]
    return [Prediction(labels[index], float(scores[index])) for index in best]


class Classifier:
    """A complete .tflite, ready to classify frames.

        classifier = Classifier(Path("flowers-int8.tflite"))
        frame = cv2.VideoCapture(0).read()[1]
        print(classifier.classify(frame)[0].label)

    Attributes:
        card: The model card inside the file.
        quantized: Whether any of its arithmetic is in integers.
        threads: Number of threads for one inference.
        digest: SHA-256 of the file as its seal has it, hexadecimal; None if it was never sealed.
        detector: Detector of what is foreign to the model; None if the file has none.
        familiar: Familiarity, 0..1, from which on a frame is known.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        runtime: RuntimeName = "auto",
        threads: int | None = None,
        runner: Callable[[Path], Runner] | None = None,
        familiar: float = FAMILIAR,
    ) -> None:
        """Opens a file.

        Args:
            path: Path of a .tflite that carries its card, which `edge-convert export` writes.
            runtime: Name of the interpreter to use, see `Interpreter`.
            threads: Number of threads for one inference; by default as many as there are cores.
            runner: Function that opens the file once its seal was checked; by default `Interpreter`, on the CPU.
            familiar: Familiarity, 0..1, from which on a frame is known.

        Raises:
            ModelFormatError: The file is no .tflite, has no card, or has a card that contradicts the model.
            SealError: The seal does not fit the file. No damaged byte reaches the interpreter.
            RuntimeMissingError: No interpreter is installed.
        """
        path = Path(path)
        # First of all: nothing is parsed, and no interpreter opened, before every byte was held against the seal.
        seal = check_seal(path)
        self.digest = seal.digest if seal else None
        self.card = read_card(path)
        self.threads = threads or len(os.sched_getaffinity(0))
        self.detector: Detector | None = read_detector(path)
        self._interpreter: Runner
        if runner:
            self._interpreter = runner(path)
        else:
            tensors = self.detector.tensors if self.detector else ()
            self._interpreter = Interpreter(path, runtime=runtime, threads=self.threads, tensors=tensors)
        self.quantized = self._interpreter.quantized
        self.familiar = familiar
        if wrong := self._contradiction():
            self.close()
            raise ModelFormatError(f"{path} contradicts itself: {wrong}")

    @property
    def tells_foreign(self) -> bool:
        """Whether it can tell what is foreign to the model: the file has a detector, and its features are to be had."""
        return self.detector is not None and bool(self._features_at_rest())

    @property
    def softmax_only(self) -> bool:
        """Whether it is a file that an older version exported, or of too few photos: worth a word to the user."""
        return bool(self.card.conversion) and not self.tells_foreign

    @property
    def runtime(self) -> str:
        """Name and version of the interpreter that runs it."""
        return self._interpreter.runtime

    @property
    def device(self) -> str:
        """What computes: `cpu`, or `coral usb:0`."""
        return self._interpreter.device

    @property
    def fallback_reason(self) -> str:
        """Why the CPU stands in for the accelerator that was asked for; empty if it does not."""
        return self._interpreter.fallback_reason

    def classify(self, frame: Frame, count: int = 5) -> list[Prediction]:
        """The `count` best labels of a frame, best first.

        Args:
            frame: Frame of any size: uint8, shape (height, width, 3), channels B, G, R as OpenCV gives them.
            count: Largest number of labels.

        Raises:
            ValueError: `frame` is not of that dtype and shape.
        """
        return top(self.scores(frame)[0], self.card.labels, count)

    def look(self, frame: Frame, count: int = 5) -> Look:
        """The `count` best labels of a frame, and whether it is of the kind that the model knows.

        Args:
            frame: Frame that `classify` would take.
            count: Largest number of labels.

        Raises:
            ValueError: `frame` is not of the dtype and shape that `classify` takes.
        """
        scores, timing = self.scores(frame)
        features = self._interpreter.read_features()
        familiarity = self.detector.familiarity(features) if self.detector and features else None
        return Look(
            top(scores, self.card.labels, count),
            familiarity,
            self.knows(familiarity),
            features,
            timing,
        )

    def familiarity(self) -> float | None:
        """Familiarity of the frame that was scored last, 0..1, see `Look`; None of a file without a detector."""
        features = self._interpreter.read_features() if self.detector else ()
        return self.detector.familiarity(features) if self.detector and features else None

    def knows(self, familiarity: float | None) -> bool | None:
        """Whether a familiarity is enough; None if there is none."""
        return None if familiarity is None else familiarity >= self.familiar

    def scores(self, frame: Frame) -> tuple[Scores, Timing]:
        """All scores of a frame, and what they took.

        Args:
            frame: Frame that `classify` would take.

        Returns:
            The scores, float32, shape (labels,), 0..1, in the order of `card.labels`; and milliseconds.

        Raises:
            ValueError: `frame` is not of the dtype and shape that `classify` takes.
        """
        start = time.perf_counter()
        self._interpreter.write_frame(frame, self.card.input)
        written = time.perf_counter()
        self._interpreter.invoke()
        scores = self._interpreter.read_scores()
        return scores, Timing(1e3 * (written - start), 1e3 * (time.perf_counter() - written))

    def pixel_scores(self, pixels: Frame) -> Scores:
        """All scores of pixels that `preprocess` has made already.

        Args:
            pixels: uint8, shape `card.input.shape`, levels 0..255, in the order `card.input.color_order`.

        Returns:
            The scores, float32, shape (labels,), 0..1, in the order of `card.labels`.
        """
        return self._interpreter.scores(pixels)

    def close(self) -> None:
        """Frees the model and the accelerator; nothing can be classified after."""
        self._interpreter.close()

    def _features_at_rest(self) -> tuple[Features, ...]:
        """Features for their number and widths alone: before the first run, their memory may hold anything."""
        with np.errstate(all="ignore"):
            return self._interpreter.read_features()

    def _contradiction(self) -> str:
        # The interpreter would run it all the same, and labels would be wrong without an error.
        if self._interpreter.outputs != len(self.card.labels):
            return f"{len(self.card.labels)} labels, {self._interpreter.outputs} outputs"
        if self._interpreter.input_shape != self.card.input.shape:
            return (
                f"its card says the input is {self.card.input.shape}, the model takes {self._interpreter.input_shape}"
            )
        if self.detector and (features := self._features_at_rest()):
            widths, found = [layer.width for layer in self.detector.header.layers], [len(layer) for layer in features]
            if found != widths:
                return f"its detector looks at layers of {widths} channels, the model's have {found}"
        return ""
