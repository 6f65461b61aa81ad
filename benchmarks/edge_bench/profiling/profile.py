"""Where a model's time goes, operator by operator, and which operators a delegate did not take."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np

from edge_convert.tflite.graph import Graph, Operator, naming, read_graph
from edge_core.codec import JsonObject
from edge_core.errors import ModelFormatError, RuntimeMissingError

COMMAND: Final = (sys.executable, "-P", "-m", "edge_bench.profiling.lite_profiler")

OPERATOR: Final = 2
"""The kind of event that is an operator run by the interpreter; the others are kernels in a delegate."""


@dataclass(frozen=True)
class ProfiledStep:
    """What ran as one.

    Attributes:
        index: Index of the operator in the graph; None for a delegate's kernel that matches no single operator.
        operator: Its name in the graph, `CONV_2D`; empty where `index` is None.
        layer: The Keras layer that it came from, as far as its tensors' names tell.
        output: Name of its first output tensor; empty where `index` is None.
        shape: Shape of the step's output.
        kernel: What the delegate ran for it, in its words; empty if the interpreter ran it.
        ms: Mean of the middle half of the runs: the profiler counts whole microseconds, and some runs are disturbed.
        share: Share of the time of all steps, 0..1.
    """

    index: int | None
    operator: str
    layer: str
    output: str
    shape: tuple[int, ...]
    kernel: str
    ms: float
    share: float

    @property
    def delegated(self) -> bool:
        return bool(self.kernel)


@dataclass(frozen=True)
class Profile:
    """A profile.

    Attributes:
        runtime: Name and version.
        threads: Number of threads for one inference.
        runs: How many were profiled, and as many not.
        steps: Steps in the order of execution.
        partitions: How many parts of the graph the delegate took; between them tensors change hands.
        steps_ms: All steps together.
        profiled_ms: An inference while it was profiled, as the runtime measured it.
        invoke_ms: An inference without the profiler, as measured from outside. Means of the middle half of the runs.
    """

    runtime: str
    threads: int
    runs: int
    steps: tuple[ProfiledStep, ...]
    partitions: int
    steps_ms: float
    profiled_ms: float
    invoke_ms: float

    @property
    def fallen_out(self) -> tuple[ProfiledStep, ...]:
        """What the interpreter ran itself."""
        return tuple(step for step in self.steps if not step.delegated)

    def to_json(self) -> JsonObject:
        return asdict(self) | {"steps": [asdict(step) | {"delegated": step.delegated} for step in self.steps]}


@dataclass(frozen=True)
class ProfilerEvent:
    """What ran, as the profiler names it."""

    tag: str
    kind: int
    index: int


def profile(file: Path, *, threads: int = 1, xnnpack: bool = True, runs: int = 50) -> Profile:
    """Times a model's operators with LiteRT's own profiler, on pixels of noise.

    Args:
        file: A .tflite, complete or bare.
        threads: Number of threads for one inference.
        xnnpack: Whether that delegate takes what it can.
        runs: How many inferences.

    Raises:
        ModelFormatError: No model, or one that LiteRT cannot run.
        RuntimeMissingError: No ai-edge-litert with a profiler.
    """
    with naming(file):
        graph = read_graph(file.read_bytes())
    if graph.custom_opcodes:
        names = ", ".join(sorted(graph.custom_opcodes))
        raise ModelFormatError(f"{file} has operators that LiteRT does not know on a CPU: {names}")
    request = {"file": str(file), "threads": threads, "xnnpack": xnnpack, "runs": runs}
    request["inputs"] = [tensor.dtype for tensor in graph.inputs]
    reply = _ask(file, request)
    events = [[ProfilerEvent(tag, kind, index) for tag, kind, index, _ in run["events"]] for run in reply["runs"]]
    if any(one != events[0] for one in events):
        raise ModelFormatError(f"{file}: what is run differs from run to run; that cannot be profiled")
    times = np.array([[event[3] for event in run["events"]] for run in reply["runs"]]) / 1e3
    steps = assign(graph, events[0], [midmean(column) for column in times.T])
    return Profile(
        runtime=f"ai-edge-litert {metadata.version('ai-edge-litert')}",
        threads=threads,
        runs=runs,
        steps=tuple(steps),
        partitions=count_partitions(events[0]),
        steps_ms=sum(step.ms for step in steps),
        profiled_ms=midmean([run["invoke_us"] / 1e3 for run in reply["runs"]]),
        invoke_ms=midmean(reply["invoke_ms"]),
    )


def midmean(values: Sequence[float]) -> float:
    """The mean of the middle half: what a quarter of the values on either side are plays no part."""
    ordered = np.sort(np.asarray(values, np.float64))
    quarter = len(ordered) // 4
    return float(ordered[quarter : len(ordered) - quarter].mean())


def count_partitions(events: Sequence[ProfilerEvent]) -> int:
    """How often a delegate was entered: its kernels count from 0 each time."""
    return sum(event.kind != OPERATOR and event.index == 0 for event in events)


def assign(graph: Graph, events: Sequence[ProfilerEvent], ms: Sequence[float]) -> list[ProfiledStep]:
    """Which operator of the graph each event was.

    What the interpreter ran bears the operator's index. A delegate's kernels bear none: they are told by their order
    and kind, kernels that only move data being counted to the next one. If that does not come out even, the kernels
    stay what they are.
    """
    total = sum(ms) or 1.0
    by_interpreter = {event.index for event in events if event.kind == OPERATOR}
    kernels = [event.tag for event in events if event.kind != OPERATOR]
    matched = match(kernels, [one for one in graph.operators if one.index not in by_interpreter])
    operators = iter(matched or ())
    steps: list[ProfiledStep] = []
    carried = 0.0
    for event, time in zip(events, ms, strict=True):
        interpreted = event.kind == OPERATOR
        operator = graph.operators[event.index] if interpreted else next(operators, None)
        if matched and operator is None:  # moves data only
            carried += time
            continue
        steps.append(_step(graph, operator, "" if interpreted else event.tag, time + carried, total))
        carried = 0.0
    return steps


def _step(graph: Graph, operator: Operator | None, kernel: str, ms: float, total_ms: float) -> ProfiledStep:
    """What ran for `ms` of `total_ms`; of a kernel that matches no operator nothing but its name is known."""
    share = ms / total_ms
    if operator is None:
        return ProfiledStep(None, "", "", "", (), kernel, ms, share)
    output = graph.tensors[operator.outputs[0]] if operator.outputs else None
    name, shape = (output.name, output.shape) if output else ("", ())
    return ProfiledStep(operator.index, operator.name, operator.layer, name, shape, kernel, ms, share)


def match(kernels: Sequence[str], operators: Sequence[Operator]) -> list[Operator | None] | None:
    """The operator that each kernel computes, None for one that only moves data; None if they do not fit together."""
    waiting = list(operators)
    found: list[Operator | None] = []
    for kernel in kernels:
        names = next((names for begin, names in COMPUTES if kernel.startswith(begin)), ())
        # What is absorbed has no kernel of its own: it is passed over on the way to the next operator.
        while waiting and waiting[0].name not in names and waiting[0].name in ABSORBED:
            waiting.pop(0)
        if waiting and waiting[0].name in names:
            found.append(waiting.pop(0))
        elif kernel.startswith(MOVES):
            found.append(None)
        else:
            return None
    # Kernels that only move data, at the very end, would have no next operator to be counted to.
    return found if all(one.name in ABSORBED for one in waiting) and (not found or found[-1]) else None


COMPUTES: Final = (
    ("Convolution", ("CONV_2D", "DEPTHWISE_CONV_2D")),
    ("Fully Connected", ("FULLY_CONNECTED", "CONV_2D")),
    ("Batch Matrix Multiply", ("BATCH_MATMUL",)),
    ("Deconvolution", ("TRANSPOSE_CONV",)),
    ("Add", ("ADD",)),
    ("Subtract", ("SUB",)),
    ("Multiply", ("MUL",)),
    ("Divide", ("DIV",)),
    ("Mean", ("MEAN",)),
    ("Global Average Pooling", ("MEAN", "AVERAGE_POOL_2D")),
    ("Average Pooling", ("AVERAGE_POOL_2D",)),
    ("Max Pooling", ("MAX_POOL_2D",)),
    ("Softmax", ("SOFTMAX",)),
    ("Sigmoid", ("LOGISTIC",)),
    ("Tanh", ("TANH",)),
    ("HardSwish", ("HARD_SWISH",)),
    ("Clamp", ("RELU", "RELU6", "RELU_N1_TO_1")),
    ("Leaky ReLU", ("LEAKY_RELU",)),
    ("Concatenate", ("CONCATENATION",)),
    ("Constant Pad", ("PAD", "PADV2")),
    ("Resize Bilinear", ("RESIZE_BILINEAR",)),
    ("Convert", ("QUANTIZE", "DEQUANTIZE")),
    ("Static Reshape", ("RESHAPE",)),
    ("Copy", ("RESHAPE",)),
    ("Static Transpose", ("TRANSPOSE",)),
)
"""XNNPACK's kernels, by the beginning of their names, and the operators they compute; a 1x1 convolution is a matrix
product. Names as in `xnn_operator_type` of XNNPACK's src/operator-type-defs.inc."""

ABSORBED: Final = ("DEQUANTIZE", "QUANTIZE", "RESHAPE", "PAD", "RELU", "RELU6")
"""Operators that may cost a delegate nothing: constants are unpacked beforehand, the rest goes into its neighbor."""

MOVES: Final = ("Static Reshape", "Copy", "Convert", "Static Transpose")


def _ask(file: Path, request: JsonObject) -> JsonObject:
    """Has it done in a process of its own."""
    done = subprocess.run(COMMAND, input=json.dumps(request) + "\n", capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout:
        how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"status {done.returncode}"
        raise ModelFormatError(f"{file}: the process that profiled it ended with {how}")
    reply: JsonObject = json.loads(done.stdout)
    if "error" in reply:
        if reply["missing"]:
            raise RuntimeMissingError(reply["error"])
        raise ModelFormatError(f"{file}: {reply['error']}")
    return reply
