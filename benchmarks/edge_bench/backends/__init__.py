"""What runs a model, behind one face: opened in a worker process, each imported only there."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from edge_bench.backends.contenders import RowSpec
from edge_core.preprocess import Frame
from edge_device.inference.classifier import Timing
from edge_device.inference.interpreter import Scores


class Model(Protocol):
    """What is measured: an `edge_device.inference.classifier.Classifier`, or one of this package."""

    @property
    def runtime(self) -> str:
        """Name and version of what runs it."""
        ...

    def scores(self, frame: Frame) -> tuple[Scores, Timing]:
        """All scores of a decoded frame, and what they took."""
        ...

    def pixel_scores(self, pixels: Frame) -> Scores:
        """All scores of preprocessed pixels."""
        ...


_OPENERS: Final = {
    "keras": "keras",
    "auto": "litert",
    "ai-edge-litert": "litert",
    "tflite-runtime": "litert",
    "tensorflow": "litert",
    "onnxruntime": "onnx",
    "opencv": "opencv_dnn",
    "mediapipe": "mediapipe",
}


def open_model(candidate: RowSpec) -> Model:
    """Opens a candidate in this process.

    Raises:
        RuntimeMissingError: What should run it is not installed here.
        ModelFormatError: It cannot be run by that.
    """
    module: Any = import_module(f"edge_bench.backends.{_OPENERS[candidate.runtime]}")
    model: Model = module.open_model(candidate)
    return model


def check_shapes(path: Path, candidate: RowSpec, taken: tuple[int, ...], given: tuple[int, ...]) -> None:
    """Whether a model takes and gives, batch aside, what its card says.

    Raises:
        ModelFormatError: It does not.
    """
    from edge_core.errors import ModelFormatError

    shapes = candidate.input.shape, (len(candidate.labels),)
    if (taken, given) != shapes:
        raise ModelFormatError(
            f"{path} contradicts its card: it takes {taken} and gives {given}, the card says {shapes[0]} and "
            f"{shapes[1]}"
        )
