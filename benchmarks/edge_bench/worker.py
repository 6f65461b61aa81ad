"""One row of a benchmark in a process of its own: `python -m edge_bench.worker`.

So its peak memory is its own, and a runtime that crashes takes nothing else with it. It reads JSON lines from standard
input and answers each with one on standard output; pictures go by the names of .npy files.

    {"do": "open", "kind": "keras" or "tflite", "file": …, "input": InputSpec, "labels": 5, "runtime": …, "threads": 2}
        -> {"runtime": "ai-edge-litert 2.3.0"}
    {"do": "burst", "frames": [FILE, …], "seconds": 0.25}  -> {"preprocess_ms": […], "invoke_ms": […]}
    {"do": "classify", "pixels": FILE}                     -> {"top1": […]}
    {"do": "memory"}                                       -> {"peak_mb": 61.3}
    anything that fails                                    -> {"error": "one line", "missing": true or false}
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import numpy as np

from edge_core.errors import EdgeError, RuntimeMissingError
from edge_core.preprocess import Frame, InputSpec
from edge_device.classifier import Classifier, Timing
from edge_device.interpreter import Scores

SETTLE_SECONDS: Final = 0.02
"""After another process had its turn, the first six frames of 0.8 ms took up to 1.3 times as long."""


class Model(Protocol):
    """What is measured: `Classifier`, or `KerasModel`."""

    runtime: str

    def scores(self, frame: Frame) -> tuple[Scores, Timing]: ...

    def pixel_scores(self, pixels: Frame) -> Scores: ...


def serve(requests: Iterable[str], replies: TextIO) -> None:
    """Answers requests until there are no more."""
    model: Model | None = None
    file = ""
    for line in requests:
        request = json.loads(line)
        try:
            match request:
                case {"do": "open"}:
                    file = request["file"]
                    model = open_model(request)
                    reply: dict[str, Any] = {"runtime": model.runtime}
                case {"do": "burst"} if model:
                    reply = burst(model, request["frames"], request["seconds"])
                case {"do": "classify"} if model:
                    pixels = np.load(request["pixels"], allow_pickle=False)
                    reply = {"top1": [int(model.pixel_scores(photo).argmax()) for photo in pixels]}
                case {"do": "memory"}:
                    reply = {"peak_mb": peak_mb()}
                case _:
                    raise ValueError(f"no such request, or no model open: {line.strip()}")
        except EdgeError as error:
            reply = {"error": str(error), "missing": isinstance(error, RuntimeMissingError)}
        except Exception as error:  # noqa: BLE001 - whatever a runtime may raise, the other side has to hear of it
            first_line = (str(error).strip() or "no message").splitlines()[0]
            reply = {"error": f"{file}: {type(error).__name__}: {first_line}", "missing": False}
        print(json.dumps(reply), file=replies, flush=True)


def open_model(request: dict[str, Any]) -> Model:
    """Opens what an "open" request names; TensorFlow is imported for a Keras model only."""
    path, threads = Path(request["file"]), request["threads"]
    if request["kind"] == "tflite":
        return Classifier(path, runtime=request["runtime"], threads=threads)
    from edge_bench.keras_model import KerasModel

    return KerasModel(path, InputSpec.from_json(request["input"]), request["labels"], threads)


def burst(model: Model, frames: Sequence[str], seconds: float) -> dict[str, list[float]]:
    """Times frame after frame for some seconds, one at least.

    Each frame is loaded just before its turn, as it comes from a camera, and outside of what is timed. The first one
    and those within `SETTLE_SECONDS` of it are not counted: they find the caches and the clock as others left them.
    """
    timings: list[Timing] = []
    begin = 0.0
    for index, file in enumerate(cycle(frames)):
        timing = model.scores(np.load(file, allow_pickle=False))[1]
        now = time.perf_counter()
        if index == 0:
            begin = now + SETTLE_SECONDS
        elif now >= begin:
            timings.append(timing)
            if now >= begin + seconds:
                break
    return {
        "preprocess_ms": [timing.preprocess_ms for timing in timings],
        "invoke_ms": [timing.invoke_ms for timing in timings],
    }


def peak_mb() -> float:
    """The most memory (MB, 1e6 bytes) that this process has had resident: Python, libraries, model and one frame.

    The kernel's VmHWM, because `ru_maxrss` survives exec: after a parent of 300 MB it is 300 MB or more.
    """
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("the kernel does not tell the peak memory of a process (VmHWM in /proc/self/status)")


def main() -> None:
    """Serves standard input, with the real standard output put aside: what a library prints goes to standard error."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as replies:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
