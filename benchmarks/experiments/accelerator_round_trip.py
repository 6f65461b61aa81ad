"""What it costs that the Edge TPU has a process of its own, `python benchmarks/experiments/accelerator_round_trip.py`;
needs gcc.

The double of libedgetpu that the tests have, on an input of 224x224: write pixels, invoke, read scores, in this process
and in the other, in turn.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_device.inference.accelerator import AcceleratorProcess, Coral
from edge_device.inference.accelerator.edgetpu import LIBRARY_VARIABLE, load
from edge_device.inference.interpreter import Interpreter, Runner

TESTS = Path(__file__).parents[2] / "tests"
SIDE = 224
ROUNDS = 3000


def compiled_model() -> bytes:
    """The tests' tiny model as Google's compiler would leave it, for a larger picture."""
    model = schema.ModelT.InitFromPackedBuf((TESTS / "models" / "tiny-uint8.tflite").read_bytes())
    (graph,) = model.subgraphs
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = "edgetpu-custom-op", 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, list(graph.inputs), list(graph.outputs)
    model.operatorCodes, graph.operators = [code], [operator]
    graph.tensors[graph.inputs[0]].shape = [1, SIDE, SIDE, 3]
    graph.tensors[graph.inputs[0]].shapeSignature = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        library, told, model = (Path(folder) / name for name in ("double.so", "told", "model.tflite"))
        source = TESTS / "device" / "inference" / "edgetpu_double.c"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", source, "-o", library, "-lm"], check=True)
        os.environ |= {LIBRARY_VARIABLE: str(library), "EDGETPU_DOUBLE": str(told)}
        told.write_text("works")
        model.write_bytes(compiled_model())
        here = Interpreter(model, threads=1, delegate=lambda tflite: load(tflite, Coral()))
        with model.open("rb") as file:
            there = AcceleratorProcess(file, Coral())
        pixels = np.random.default_rng(0).integers(0, 256, here.input_shape, np.uint8)
        runners: tuple[Runner, Runner] = (here, there)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for runner, taken in zip(runners, times, strict=True):
                start = time.perf_counter()
                runner.scores(pixels)
                taken.append(1e3 * (time.perf_counter() - start))
        there.close()
    more = [other - own for own, other in zip(*times, strict=True)]
    print(f"in this process  {median(times[0]):.3f} ms, median of {ROUNDS}")
    print(f"in the other     {median(times[1]):.3f} ms")
    print(f"difference       {median(more):.3f} ms, 95 % of them below {quantiles(more, n=20)[-1]:.3f} ms")


if __name__ == "__main__":
    main()
