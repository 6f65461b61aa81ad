"""One face for the TFLite interpreters of ai-edge-litert and tflite-runtime."""

import math
import os
import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self, get_args

import numpy as np
import numpy.typing as npt

from edge_core.artifact.container import CPU_MODEL_FILE, is_compiled, read_cpu_model, unreadable_model
from edge_core.artifact.familiarity import Features, read_detector
from edge_core.artifact.flatbuffer import is_tflite, not_tflite
from edge_core.artifact.model_outputs import with_outputs
from edge_core.errors import ModelFormatError, RuntimeMissingError
from edge_core.native_stderr import silenced
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_device.system.packages import older_numpy

RuntimeName = Literal["auto", "ai-edge-litert", "tflite-runtime"]
RUNTIMES: Final = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
"""Distribution and import names, the preferred one first: 34 ms against 2.3 ms for the same int8 file on x86-64."""

Kernels = Literal["default", "built-in", "reference"]
"""Which code computes: XNNPACK where it can and the runtime chooses it, TFLite's own optimized kernels, or those that
define what each operator does. The latter are what other versions and machines compute by."""

_RESOLVERS: Final = {"built-in": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}

Scores = npt.NDArray[np.float32]
"""A score per label, shape (labels,), 0..1."""


class Runner(Protocol):
    """What a classifier needs of whoever runs its model: an `Interpreter`, or something with an accelerator."""

    @property
    def runtime(self) -> str: ...
    @property
    def device(self) -> str:
        """What computes: `cpu`, or `coral usb:0`."""

    @property
    def fallback_reason(self) -> str:
        """Why the CPU stands in for the accelerator that was asked for; empty if it does not."""

    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def outputs(self) -> int: ...
    @property
    def quantized(self) -> bool: ...
    def write_frame(self, frame: Frame, spec: InputSpec) -> None: ...
    def write_pixels(self, pixels: Frame) -> None: ...
    def invoke(self) -> None: ...
    def read_scores(self) -> Scores: ...
    def read_features(self) -> tuple[Features, ...]:
        """Of the last run, of each layer that the detector in the file looks at; empty where they are not to be had."""

    def scores(self, pixels: Frame) -> Scores: ...
    def close(self) -> None: ...


class Interpreter:
    """A classifier's .tflite, opened: one picture in, scores out.

    Attributes:
        device: Device that computes, always `cpu`.
        fallback_reason: Always empty, because nothing fell back.
        runtime: Name and version of the interpreter, `ai-edge-litert 2.3.0`, say.
        input_shape: (height, width, 3) of the pixels it takes.
        outputs: How many scores it gives.
        quantized: Whether any of its arithmetic is in integers.
        signed: Whether all of its arithmetic is in signed integers, as of files that TensorFlow makes today.
    """

    device = "cpu"
    fallback_reason = ""

    def __init__(
        self,
        path: Path,
        *,
        runtime: RuntimeName = "auto",
        threads: int | None = None,
        delegate: Callable[[Any], Any] | None = None,
        tensors: Sequence[int] | None = None,
        kernels: Kernels = "default",
    ) -> None:
        """Opens a file; of one compiled for an Edge TPU the model for the CPU that it carries.

        Args:
            path: Path of a .tflite with one image input (batch 1, uint8 or float32) and one output.
            runtime: Which interpreter; `auto` takes the first of `RUNTIMES` that is installed.
            threads: Number of threads for one inference; all cores unless told otherwise.
            delegate: Function that makes a delegate for an interpreter of the runtime's module; the file's own
                model is run with it.
            tensors: Tensors that `read_features` gives the values of; by default those that the detector in the
                file looks at. With a delegate, they are the file's own outputs after the first.
            kernels: Which code computes.

        Raises:
            ModelFormatError: No such file, not a .tflite, not a classifier, or not loadable by this runtime.
            RuntimeMissingError: The interpreter is not installed, or does not work with this NumPy.
        """
        data = _read_model(path)
        tensors = _tensors_of(path) if tensors is None else tensors
        if delegate is None:
            data = _with_features(path, _for_cpu(path) if is_compiled(data) else data, tensors)
        self.runtime, module = load_runtime(runtime)
        delegates = [delegate(module)] if delegate else None
        try:
            with nullcontext() if delegate else silenced():  # XNNPACK announces itself, at every start
                self._interpreter = module.Interpreter(
                    model_content=data,
                    num_threads=threads or len(os.sched_getaffinity(0)),
                    experimental_delegates=delegates,
                    **_resolver(module, kernels),
                )
                self._interpreter.allocate_tensors()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            details = self._interpreter.get_tensor_details()
        except (ValueError, RuntimeError) as error:  # an operator version that it does not know, or a damaged file
            raise ModelFormatError(f"{path} cannot be loaded by {self.runtime}: {error}") from error
        self._features = [_FeatureTensor.of(detail) for detail in outputs[1:]]
        # Further outputs are features if there are as many as were asked for; else the check below refuses the file.
        if len(outputs) == 1 + len(tensors) and all(_holds_features(detail) for detail in outputs[1:]):
            outputs = outputs[:1]
        self.input_shape, self.outputs = _classifier_shapes(path, inputs, outputs)
        self.quantized = computes_in_integers(details)
        self.signed = _computes_in_signed_integers(details, {one["index"] for one in (*inputs, *outputs)})
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._takes_uint8 = inputs[0]["dtype"] == np.uint8
        self._pixels = np.empty(self.input_shape, np.uint8)
        scale, zero_point = outputs[0]["quantization"]
        self._scale = np.float32(scale or 1)  # a float output has scale 0: not quantized
        self._zero_point = np.float32(zero_point)

    def write_frame(self, frame: Frame, spec: InputSpec) -> None:
        """Preprocesses a frame straight into the input tensor."""
        if self._takes_uint8:
            # The view is dropped at once: the interpreter refuses to run while one is held.
            preprocess(frame, spec, out=self._interpreter.tensor(self._input)()[0])
        else:
            self.write_pixels(preprocess(frame, spec, out=self._pixels))

    def write_pixels(self, pixels: Frame) -> None:
        """Writes preprocessed pixels, uint8 of shape `input_shape`, into the input tensor."""
        # A float input takes the bytes as whole numbers 0..255: scaling is inside the model.
        self._interpreter.tensor(self._input)()[0] = pixels

    def invoke(self) -> None:
        """Runs the model on what was written."""
        self._interpreter.invoke()

    def read_scores(self) -> Scores:
        """The scores of the last run, dequantized."""
        raw: Scores = self._interpreter.get_tensor(self._output)[0].astype(np.float32)
        return (raw - self._zero_point) * self._scale

    def read_features(self) -> tuple[Features, ...]:
        """The tensors of the last run that it was opened to give: without zero point, summed over the picture."""
        return tuple([one.pooled(self._interpreter.get_tensor(one.index)) for one in self._features])

    def scores(self, pixels: Frame) -> Scores:
        """Scores for preprocessed pixels, uint8 of shape `input_shape`."""
        self.write_pixels(pixels)
        self.invoke()
        return self.read_scores()

    def close(self) -> None:
        """Frees the model; nothing can be run after."""
        del self._interpreter


def _read_model(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable_model(path, error) from error
    if not is_tflite(data):
        raise ModelFormatError(f"{path} is {not_tflite(data)}")
    return data


def _with_features(path: Path, data: bytes, tensors: Sequence[int]) -> bytes:
    """The model with tensors among its outputs: an interpreter keeps the values of no others after a run."""
    try:
        return with_outputs(data, tensors)
    except ModelFormatError as error:
        raise ModelFormatError(f"{path} is {error}") from error


def _classifier_shapes(
    path: Path, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]
) -> tuple[tuple[int, ...], int]:
    """Height, width and channels of the one input, and the number of scores.

    Raises:
        ModelFormatError: The tensors are not those of an image classifier.
    """
    shapes = [tuple(int(side) for side in detail["shape"]) for detail in (*inputs, *outputs)]
    if [len(shape) for shape in shapes] == [4, 2] and inputs[0]["dtype"] in (np.uint8, np.float32):
        (batch, *sides), (answers, scores) = shapes
        if batch == answers == 1 and sides[2] == 3:
            return tuple(sides), scores
    kinds = [f"{np.dtype(one['dtype'])} {shape}" for one, shape in zip((*inputs, *outputs), shapes, strict=True)]
    raise ModelFormatError(
        f"{path} is not an image classifier that takes uint8 or float32 pixels: its inputs and outputs are "
        f"{', '.join(kinds)}"
    )


def _resolver(module: Any, kernels: Kernels) -> dict[str, Any]:
    """Arguments of an interpreter that choose its kernels."""
    resolver = _RESOLVERS.get(kernels)
    return {"experimental_op_resolver_type": module.OpResolverType[resolver]} if resolver else {}


def computes_in_integers(tensors: Iterable[dict[str, Any]]) -> bool:
    """Whether any of a model's tensors is quantized; pixels that its graph casts to floats are integers without a
    scale."""
    return any(
        tensor["dtype"] in (np.int8, np.uint8, np.int16) and len(tensor["quantization_parameters"]["scales"]) > 0
        for tensor in tensors
    )


def _computes_in_signed_integers(tensors: Iterable[dict[str, Any]], ends: Collection[int]) -> bool:
    return all(np.issubdtype(tensor["dtype"], np.signedinteger) for tensor in tensors if tensor["index"] not in ends)


def _tensors_of(path: Path) -> tuple[int, ...]:
    """Tensors that the detector in a file looks at; none where there is no detector."""
    detector = read_detector(path)
    return tuple(detector.tensors) if detector else ()


def _holds_features(detail: dict[str, Any]) -> bool:
    return len(detail["shape"]) in (2, 4) and detail["shape"][0] == 1 and detail["dtype"] != np.bool_


@dataclass(frozen=True, eq=False)
class _FeatureTensor:
    """A tensor whose values are features.

    Attributes:
        index: Its index in the first subgraph.
        zero: What its zero point adds to a sum over the picture.
        places: A one for each place of the picture.
    """

    index: int
    zero: float
    places: Features

    @classmethod
    def of(cls, detail: dict[str, Any]) -> Self:
        """From what the interpreter tells of an output."""
        places = math.prod(int(side) for side in detail["shape"][:-1])
        return cls(detail["index"], float(int(detail["quantization"][1]) * places), np.ones(places))

    def pooled(self, values: npt.NDArray[np.generic]) -> Features:
        """Sums over the picture, shape (width,), of integers exactly.

        The mean would do as well: the detector looks at directions. Summed by a product, as the detector's matrices are
        applied: other code of NumPy's is not in the caches after a run, and takes longer to fetch than to run.
        """
        features: Features = values.reshape(len(self.places), -1).astype(np.float64)
        features = self.places.dot(features) if len(self.places) > 1 else features[0]
        features -= self.zero
        return features


def _for_cpu(path: Path) -> bytes:
    model = read_cpu_model(path)
    if model is None:
        raise ModelFormatError(
            f"{path} is compiled for an Edge TPU and has no {CPU_MODEL_FILE} inside; put in what it was compiled from: "
            f"{shlex.join(['edge-convert', 'adopt', str(path), '--cpu', 'MODEL.tflite'])}"
        )
    return model


def load_runtime(runtime: RuntimeName) -> tuple[str, Any]:
    """Name with version, and module, of the interpreter asked for.

    Raises:
        RuntimeMissingError: The interpreter is not installed, or does not work with this NumPy.
    """
    if runtime not in get_args(RuntimeName):
        raise RuntimeMissingError(f"no runtime is called {runtime!r}; there are {', '.join(get_args(RuntimeName))}")
    for name in RUNTIMES if runtime == "auto" else (runtime,):
        try:
            module = import_module(f"{RUNTIMES[name]}.interpreter")
        except ModuleNotFoundError as error:
            # The package is there and lacks a dependency, which another interpreter would not mend.
            if (error.name or "").split(".")[0] != RUNTIMES[name]:
                raise
        except (ImportError, SystemError, AttributeError) as error:
            raise RuntimeMissingError(f"{name} is installed but does not load: {error}{_hint(name)}") from error
        else:
            return f"{name} {metadata.version(name)}", module
    wanted = " or ".join(RUNTIMES) if runtime == "auto" else runtime
    raise RuntimeMissingError(f"{wanted} is not installed; pip install {wanted.split()[0]}")


def _hint(name: str) -> str:
    """What may be wrong with an interpreter that does not load."""
    # tflite-runtime 2.14 was built for NumPy 1 and raises a bare SystemError under NumPy 2.
    mismatched = name == "tflite-runtime" and int(np.__version__.split(".")[0]) >= 2
    return f"; it needs NumPy 1: {older_numpy()}" if mismatched else ""
