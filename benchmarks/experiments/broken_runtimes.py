"""Which broken runtimes `edge-run verify` notices, by what a file allows and by what every file allowed before.

    python benchmarks/experiments/broken_runtimes.py flowers-int8.tflite ...

A runtime is broken by breaking the model instead, one operator at a time, in ways that a wrong kernel would: a bias
that is not added, an activation that is not clipped, a result that is halved or twice as large, input whose zero point
is one off, the last bits of its pixels lost. The golden vectors of the file are measured anew, so that older files show
it, too.
"""

import copy
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import flatbuffers
import numpy as np
import typer
from ai_edge_litert import schema_py_generated as schema

from edge_core import Frame
from edge_core.artifact.golden import QUANTIZED, GoldenVectors, read_golden
from edge_core.errors import ModelFormatError
from edge_core.images import decode_picture
from edge_core.preprocess import preprocess
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import Interpreter
from edge_device.inference.verify import OTHER_KERNELS, record


def main(models: Annotated[list[Path], typer.Argument(help="Sealed int8 files.")]) -> None:
    """Prints, for each file, how many are noticed."""
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            compare(model, Path(folder) / "broken.tflite")


def compare(model: Path, scratch: Path) -> None:
    classifier = Classifier(model)
    frames = [decode_picture(one.jpeg) for one in read_golden(model).frames]
    golden = record(classifier, frames, [Interpreter(model, kernels=kernels) for kernels in OTHER_KERNELS])
    pixels = [preprocess(decode_picture(one.jpeg), classifier.card.input) for one in golden.frames]
    apart = [difference(scratch, broken, golden, pixels) for broken in broken_models(model.read_bytes())]
    apart += [
        largest(Interpreter(model).scores, golden, [one & np.uint8(mask) for one in pixels])
        for mask in (0xFE, 0xF8, 0xF0)
    ]
    allowed = golden.tolerance.other_runtime
    changed = [one for one in apart if one > 0]
    noticed = {limit: sum(not one <= limit for one in changed) for limit in (QUANTIZED.other_runtime, allowed)}
    figures = ", ".join(f"{255 * limit:.0f}/255 notices {count}" for limit, count in noticed.items())
    print(f"{model}: of {len(changed)} that change a golden score {figures} ({len(apart) - len(changed)} change none)")


def difference(scratch: Path, broken: bytes, golden: GoldenVectors, pixels: list[Frame]) -> float:
    scratch.write_bytes(broken)
    try:
        return largest(Interpreter(scratch, threads=1, tensors=()).scores, golden, pixels)
    except ModelFormatError:  # it does not get as far as a score
        return 0.0


def largest(scores: Any, golden: GoldenVectors, pixels: list[Frame]) -> float:
    return max(
        float(np.abs(scores(one) - np.array(frame.scores, np.float32)).max())
        for one, frame in zip(pixels, golden.frames, strict=True)
    )


def broken_models(data: bytes) -> Iterator[bytes]:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    for index in range(len(model.subgraphs[0].operators)):
        for breaking in (no_bias, no_clipping, partial(scaled, 0.5), partial(scaled, 2.0), one_off):
            changed = copy.deepcopy(model)
            if breaking(changed, changed.subgraphs[0].operators[index]):
                yield packed(changed)


def no_bias(model: Any, operator: Any) -> bool:
    if len(operator.inputs) != 3:
        return False
    buffer = model.buffers[model.subgraphs[0].tensors[operator.inputs[2]].buffer]
    buffer.data = np.zeros_like(np.asarray(buffer.data))
    return True


def no_clipping(model: Any, operator: Any) -> bool:
    """In integers an activation is a bound of the result: without it, what the quantization holds goes through."""
    if getattr(operator.builtinOptions, "fusedActivationFunction", 0) == 0:
        return False
    operator.builtinOptions.fusedActivationFunction = 0
    return True


def scaled(factor: float, model: Any, operator: Any) -> bool:
    """As if the multiplier of its result were another: its weights' scales are."""
    if len(operator.inputs) != 3:
        return False
    weights = model.subgraphs[0].tensors[operator.inputs[1]].quantization
    bias = model.subgraphs[0].tensors[operator.inputs[2]].quantization
    for one in (weights, bias):
        one.scale = np.asarray(one.scale, np.float32) * np.float32(factor)
    return True


def one_off(model: Any, operator: Any) -> bool:
    """A zero point of its input that is one off: of all that read that tensor."""
    quantization = model.subgraphs[0].tensors[operator.inputs[0]].quantization
    if quantization is None or quantization.zeroPoint is None or len(operator.inputs) != 3:
        return False
    quantization.zeroPoint = np.asarray(quantization.zeroPoint) + np.where(
        np.asarray(quantization.zeroPoint) < 127, 1, -1
    )
    return True


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 22)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    typer.run(main)
