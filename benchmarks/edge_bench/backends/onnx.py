"""ONNX Runtime, on what tf2onnx makes of the .tflite; the conversion is done before the clock starts."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np

from edge_bench.backends import check_shapes
from edge_bench.backends.contenders import RowSpec
from edge_bench.backends.pixels import PixelModel, dequantized
from edge_core.errors import ModelFormatError, RuntimeMissingError
from edge_core.preprocess import Frame
from edge_device.inference.interpreter import Scores

OPSET: Final = 17
DTYPES: Final = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


def convert(file: Path, out: Path, python: str = sys.executable) -> None:
    """Makes an ONNX file of a .tflite, in a process of its own: tf2onnx imports all of TensorFlow.

    Raises:
        RuntimeMissingError: That Python has no tf2onnx.
        ModelFormatError: tf2onnx cannot convert it.
    """
    program = [python, "-W", "ignore", "-m", "tf2onnx.convert"]
    command = [*program, "--tflite", str(file), "--output", str(out), "--opset", str(OPSET)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named" in done.stderr:
        raise RuntimeMissingError(f"{python} has no tf2onnx; pip install onnxruntime tf2onnx, or name another Python")
    if done.returncode or not out.is_file():
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise ModelFormatError(f"{file} cannot be converted by tf2onnx, which said: {said[-1].strip()}")


def open_model(candidate: RowSpec) -> PixelModel:
    """Opens the ONNX file that the candidate names."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise RuntimeMissingError("onnxruntime is not installed; pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = candidate.threads
    session = onnxruntime.InferenceSession(str(candidate.file), options, providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    check_shapes(candidate.file, candidate, tuple(taken.shape[1:]), tuple(given.shape[1:]))
    batch = np.empty((1, *candidate.input.shape), DTYPES[taken.type])
    scale = 1 / 256 if given.type == "tensor(uint8)" else 0  # the quantization that TFLite prescribes for softmax

    def write(pixels: Frame) -> None:
        batch[0] = pixels

    def invoke() -> Scores:
        return dequantized(session.run(None, {taken.name: batch})[0][0], scale, 0)

    return PixelModel(f"onnxruntime {onnxruntime.__version__}", candidate.input, write, invoke)
