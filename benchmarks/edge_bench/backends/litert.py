"""Files in the TFLite interpreters: the device's own path where it has one, else the same steps on a bare
interpreter."""

import importlib
import importlib.metadata
import os
from functools import partial
from typing import Any, Final, cast

from edge_bench.backends import Model, check_shapes
from edge_bench.backends.contenders import RowSpec
from edge_bench.backends.pixels import PixelModel, dequantized
from edge_core.errors import ModelFormatError, RuntimeMissingError
from edge_core.native_stderr import silenced
from edge_core.preprocess import Frame
from edge_device.command_line.console import extra_needed
from edge_device.inference.accelerator import on_accelerator, parse_device
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import RUNTIMES, RuntimeName, Scores

NO_DELEGATE: Final = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"


def open_model(candidate: RowSpec) -> Model:
    """A `Classifier`, as the device has it; without XNNPACK, or in TensorFlow, an interpreter of its own."""
    delegate, runtime = candidate.delegate or "", cast(RuntimeName, candidate.runtime)
    if candidate.runtime != "tensorflow" and delegate != "none":
        runner = None
        if coral := parse_device(delegate) if delegate.startswith("coral") else None:
            runner = partial(on_accelerator, coral=coral, runtime=runtime)  # with nothing to stand in unnoticed
        return Classifier(candidate.file, runtime=runtime, threads=candidate.threads, runner=runner)
    name, module = _module(candidate.runtime)
    return _bare(candidate, name, module)


def _module(runtime: str) -> tuple[str, Any]:
    """Name with version, and module, of an interpreter."""
    if runtime == "tensorflow":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        with extra_needed("bench", "tensorflow"):
            import tensorflow as tf
        from tensorflow.lite.python import interpreter

        return f"tensorflow {tf.__version__}", interpreter
    for name in RUNTIMES if runtime == "auto" else (runtime,):
        try:
            module = importlib.import_module(f"{RUNTIMES[name]}.interpreter")
        except ModuleNotFoundError:
            continue
        return f"{name} {importlib.metadata.version(name)}", module
    raise RuntimeMissingError(f"{runtime} is not installed; pip install {runtime}")


def _bare(candidate: RowSpec, name: str, module: Any) -> PixelModel:
    options = (
        {} if candidate.delegate == "xnnpack" else {"experimental_op_resolver_type": module.OpResolverType[NO_DELEGATE]}
    )
    try:
        with silenced():
            interpreter = module.Interpreter(str(candidate.file), num_threads=candidate.threads, **options)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelFormatError(f"{candidate.file} cannot be loaded by {name}: {error}") from error
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    shapes = [tuple(int(side) for side in one["shape"][1:]) for one in (taken, given)]
    check_shapes(candidate.file, candidate, *shapes)
    scale, zero_point = given["quantization"]

    def write(pixels: Frame) -> None:
        interpreter.tensor(taken["index"])()[0] = pixels

    def invoke() -> Scores:
        interpreter.invoke()
        return dequantized(interpreter.get_tensor(given["index"])[0], scale, zero_point)

    return PixelModel(name, candidate.input, write, invoke)
