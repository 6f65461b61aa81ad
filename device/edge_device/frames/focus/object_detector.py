"""Somebody's object detector in a .tflite: the four outputs of `TFLite_Detection_PostProcess`, with or without
metadata."""

import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.artifact.container import DAMAGED_ARCHIVE, MAX_TEXT_BYTES
from edge_core.artifact.flatbuffer import GRAPH_OPERATORS, MODEL_CODES, Flatbuffer
from edge_core.errors import ModelFormatError, SettingsError
from edge_core.native_stderr import silenced
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_device.frames.regions import Region
from edge_device.inference.interpreter import RuntimeName, load_runtime

OPERATOR: Final = b"TFLite_Detection_PostProcess"
"""Custom operator whose outputs are, in this order, boxes, classes, scores and their number."""

_CODE_CUSTOM, _OPERATOR_CODE, _OPERATOR_OUTPUTS = 1, 0, 2  # fields of OperatorCode and Operator in schema.fbs


@dataclass(frozen=True)
class Detection:
    """An object in a frame.

    Attributes:
        label: Name of its class; the number of the class where the file has no names.
        score: Score, 0..1.
        box: Part of the frame that it fills.
    """

    label: str
    score: float
    box: Region


class ObjectDetector:
    """An object detector, opened: a frame in, objects out.

    Attributes:
        labels: Names of its classes; empty where the file has none.
        spec: What its input is: the whole frame, stretched.
    """

    def __init__(self, path: Path, *, runtime: RuntimeName = "auto", threads: int = 2) -> None:
        """Opens a file.

        Args:
            path: A .tflite whose outputs are boxes, classes, scores and a number, and whose input is a picture (uint8,
                int8 or float32).
            runtime: Interpreter that runs it.
            threads: Number of threads for one inference.

        Raises:
            ModelFormatError: There is no such file, or it is no such model.
            RuntimeMissingError: No interpreter is installed.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelFormatError(f"{path}: {error.strerror or error}") from error
        tensors = _tensors(data, path)
        self.labels = _labels(path)
        name, module = load_runtime(runtime)
        try:
            with silenced():
                self._interpreter = module.Interpreter(model_content=data, num_threads=threads)
                self._interpreter.allocate_tensors()
            (picture,) = self._interpreter.get_input_details()
            outputs = {one["index"] for one in self._interpreter.get_output_details()}
        except (ValueError, RuntimeError) as error:
            raise ModelFormatError(f"{path} cannot be loaded by {name}: {error}") from error
        shape = [int(side) for side in picture["shape"]]
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or not outputs.issuperset(tensors):
            raise ModelFormatError(f"{path} is no object detector that takes one picture: its input is {shape}")
        self.spec = InputSpec(shape[2], shape[1], crop="stretch")
        self._input, self._dtype = picture["index"], np.dtype(picture["dtype"])
        self._tensors = tensors

    def classes(self, names: Sequence[str]) -> frozenset[str]:
        """Checks names of classes to look for.

        Raises:
            SettingsError: The detector has no class of a name, or has no names.
        """
        if self.labels and (unknown := [name for name in names if name not in self.labels]):
            few = ", ".join(self.labels[:12]) + (", ..." if len(self.labels) > 12 else "")
            raise SettingsError(f"--detect {unknown[0]!r} is not a class of the detector; its classes are {few}")
        if not self.labels and not all(name.isdecimal() for name in names):
            raise SettingsError(
                f"the detector has no names for its classes; give --detect their numbers, not {names[0]!r}"
            )
        return frozenset(names)

    def detect(self, frame: Frame, least: float) -> list[Detection]:
        """The objects in a frame, the highest score first.

        Args:
            frame: uint8, shape (height, width, 3), B, G, R, of any size.
            least: Score from which on an object counts.
        """
        pixels = preprocess(frame, self.spec)
        self._interpreter.tensor(self._input)()[0] = _scaled(pixels, self._dtype)
        self._interpreter.invoke()
        boxes, classes, scores, count = (self._interpreter.get_tensor(index)[0] for index in self._tensors)
        found = []
        # The number may be larger than what the outputs have room for.
        for number in range(min(int(np.ravel(count)[0]), len(scores))):
            box = _region(boxes[number])
            if box is not None and scores[number] >= least:
                found.append(Detection(self._name(classes[number]), float(scores[number]), box))
        return sorted(found, key=lambda one: -one.score)

    def _name(self, number: float) -> str:
        index = int(number)
        return self.labels[index] if 0 <= index < len(self.labels) else str(index)


def _scaled(pixels: Frame, dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
    """Pixels as the detectors of TensorFlow's model zoo take them: raw in 8 bits, -1..1 in float."""
    if dtype == np.uint8:
        return pixels
    if dtype == np.int8:
        return (pixels.astype(np.int16) - 128).astype(np.int8)
    return (pixels.astype(np.float32) - 127.5) / 127.5


def _region(box: npt.NDArray[np.float32]) -> Region | None:
    """The part of the frame of (top, left, bottom, right), which may reach out; None where nothing of it is inside."""
    if not np.isfinite(box).all():
        return None
    top, left, bottom, right = (min(max(float(side), 0.0), 1.0) for side in box)
    return Region(left, top, right - left, bottom - top) if left + 0.005 < right and top + 0.005 < bottom else None


def _tensors(data: bytes, path: Path) -> tuple[int, ...]:
    """The tensors of boxes, classes, scores and their number."""
    try:
        model = Flatbuffer(data)
        codes = [
            model.optional_field(code, _CODE_CUSTOM) for code in model.tables(model.field(model.root, MODEL_CODES))
        ]
        ours = [number for number, field in enumerate(codes) if field is not None and model.data(field) == OPERATOR]
        graph = model.first_subgraph()
        for operator in model.tables(model.field(graph, GRAPH_OPERATORS)):
            code = model.optional_field(operator, _OPERATOR_CODE)
            outputs = model.ints(model.field(operator, _OPERATOR_OUTPUTS))
            if (model.uint(code) if code is not None else 0) in ours and len(outputs) == 4:
                return outputs
    except (ModelFormatError, struct.error) as error:
        raise ModelFormatError(f"{path} is not a .tflite model, or a damaged one") from error
    raise ModelFormatError(f"{path} is no object detector: it does not end with {OPERATOR.decode()}")


def _labels(path: Path) -> tuple[str, ...]:
    """The class names that a file carries as TFLite Metadata does, in a text behind the model; none are no error."""
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [one for one in archive.infolist() if one.filename.endswith(".txt")]
            if not texts or texts[0].file_size > MAX_TEXT_BYTES:
                return ()
            lines = archive.read(texts[0]).decode(errors="replace").splitlines()
    except DAMAGED_ARCHIVE:
        return ()
    return tuple(lines[1:] if lines and lines[0] == "???" else lines)  # the background, which is no class
