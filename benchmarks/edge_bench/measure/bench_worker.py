"""One row of a benchmark in a process of its own: `python -m edge_bench.measure.bench_worker`.

So its peak memory is its own, and a runtime that crashes takes nothing else with it. It reads JSON lines from standard
input and answers each with one on standard output; pictures go by the names of .npy files. All that is asked of the
machine is asked here, since a worker may run on another one.

    {"do": "open", …Candidate, "frame": FILE}              -> {"runtime": "ai-edge-litert 2.3.0", "cold_start_ms": …,
    "first_ms": …} {"do": "burst", "frames": [FILE, …], "seconds": 0.25}  -> {"preprocess_ms": […], "invoke_ms": […],
    "readings": Readings, "watts": …} {"do": "classify", "pixels": [FILE, …]}                -> {"scores": float32 as
    base64, photo by photo} {"do": "square", "pixels": FILE, "label": 0, "epsilons": [1, …], "queries": 500, "seed": [0,
    1], "steps": null}
                                                           -> {"queries": [null, 12, …]}
    {"do": "memory"}                                       -> {"peak_mb": 61.3}
    {"do": "environment"}                                  -> {"environment": Environment}
    anything that fails                                    -> {"error": "one line", "missing": true or false}
"""

import base64
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from edge_bench.backends import Model, open_model
from edge_bench.backends.contenders import RowSpec
from edge_bench.measure.power import find_meter
from edge_bench.perturb.square_attack import in_steps, queries_to_fool
from edge_bench.results.environment import read_environment
from edge_core.codec import JsonObject
from edge_core.errors import EdgeError, RuntimeMissingError
from edge_device.inference.classifier import Timing
from edge_device.system.board import Sensors

SETTLE_SECONDS: Final = 0.02
"""After another process had its turn, the first six frames of 0.8 ms took up to 1.3 times as long."""


def serve(requests: Iterable[str], replies: TextIO) -> None:
    """Answers requests until there are no more."""
    worker = _Worker(age_ms())
    for line in requests:
        try:
            reply = worker.answer(json.loads(line))
        except EdgeError as error:
            reply = {"error": str(error), "missing": isinstance(error, RuntimeMissingError)}
        except Exception as error:  # noqa: BLE001 - whatever a runtime may raise, the other side has to hear of it
            first_line = (str(error).strip() or "no message").splitlines()[0]
            reply = {"error": f"{worker.file}: {type(error).__name__}: {first_line}", "missing": False}
        print(json.dumps(reply), file=replies, flush=True)


class _Worker:
    """What a worker keeps from one request to the next.

    Attributes:
        file: Name of the model's file, empty before one is opened.
    """

    def __init__(self, ready_ms: float) -> None:
        """`ready_ms`: age of the process when it could take its first request, part of a cold start."""
        self.file = ""
        self._ready_ms = ready_ms
        self._model: Model | None = None
        self._sensors, self._meter = Sensors(), find_meter()

    def answer(self, request: JsonObject) -> JsonObject:
        """The reply to a request, as the module's text describes them."""
        match request:
            case {"do": "open"}:
                return self._open(request)
            case {"do": "burst"} if self._model:
                return self._burst(self._model, request)
            case {"do": "classify"} if self._model:
                return _classify(self._model, request)
            case {"do": "square"} if self._model:
                return _attack(self._model, request)
            case {"do": "memory"}:
                return {"peak_mb": peak_mb()}
            case {"do": "environment"}:
                return {"environment": asdict(read_environment(self._meter.source if self._meter else None))}
        raise ValueError(f"no such request, or no model open: {json.dumps(request)}")

    def _open(self, request: JsonObject) -> JsonObject:
        self.file = request["file"]
        start = time.perf_counter()
        self._model = model = open_model(RowSpec.from_json(request))
        timing = model.scores(np.load(request["frame"], allow_pickle=False))[1]
        return {
            "runtime": model.runtime,
            "cold_start_ms": self._ready_ms + 1e3 * (time.perf_counter() - start),
            "first_ms": timing.preprocess_ms + timing.invoke_ms,
        }

    def _burst(self, model: Model, request: JsonObject) -> JsonObject:
        meter = self._meter
        begin = meter.sample() if meter else None
        reply = burst(model, request["frames"], request["seconds"])
        reply["watts"] = meter.mean_watts(begin, meter.sample()) if meter and begin else None
        reply["readings"] = asdict(self._sensors.read())
        return reply


def _classify(model: Model, request: JsonObject) -> JsonObject:
    pixels = (np.load(name, allow_pickle=False) for name in request["pixels"])
    # Little-endian floats, whatever this machine has: the other end may be another one.
    scores = np.array([model.pixel_scores(photo) for photo in pixels], "<f4")
    return {"scores": base64.b64encode(scores.tobytes()).decode()}


def _attack(model: Model, request: JsonObject) -> JsonObject:
    pixels = np.load(request["pixels"], allow_pickle=False)
    asked = in_steps(model.pixel_scores, request["steps"]) if request["steps"] else model.pixel_scores
    budget = request["epsilons"], request["queries"], request["seed"]
    return {"queries": queries_to_fool(asked, pixels, request["label"], *budget)}


def burst(model: Model, frames: Sequence[str], seconds: float) -> JsonObject:
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


def age_ms() -> float:
    """How long this process has been running, to the hundredth of a second that the kernel counts in."""
    fields = Path("/proc/self/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc_pid_stat(5), from the system's start
    return 1e3 * (time.clock_gettime(time.CLOCK_BOOTTIME) - started)


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
