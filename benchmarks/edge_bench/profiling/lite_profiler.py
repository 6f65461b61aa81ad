"""LiteRT's own profiler, which its Python interface does not show: `python -m edge_bench.profiling.lite_profiler`.

A process of its own, because a library that is called through ctypes may end it. It reads one JSON line from standard
input and answers with one:

    {"file": …, "threads": 1, "xnnpack": true, "runs": 50, "inputs": ["uint8"]}
        -> {"invoke_ms": […], "runs": [{"invoke_us": 1386, "events": [[tag, kind, index, microseconds], …]}, …]}
    what fails  -> {"error": "one line", "missing": true or false}

`invoke_ms` are runs without the profiler. Kind 2 is an operator that the interpreter ran, and `index` its place in the
graph; kind 8 a kernel inside a delegate, and `index` its place in there (`tflite::Profiler::EventType`).
"""

import ctypes
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from importlib import metadata
from typing import Final

import numpy as np

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError, ModelFormatError, RuntimeMissingError

WARM_UP_RUNS: Final = 10
CPU: Final = 1
WRITE: Final = 1
RANKED_TENSOR_TYPE_BYTES: Final = 512
"""Far more than it takes; what is in it goes from one function to another."""

KERNELS_OF_THE_INTERPRETER: Final = 2
"""`LiteRtCpuKernelMode`: the builtin kernels, without XNNPACK."""

OLDEST: Final = (2, 2)
"""2.1 takes other arguments: the C functions are no public interface of the Python package."""

RUN, OPERATOR, KERNEL = 1, 2, 8
KINDS: Final = tuple(1 << bit for bit in range(9))
"""All that there are; the others are telemetry."""


class _Event(ctypes.Structure):
    """`ProfiledEventData` of litert/c/litert_profiler_event.h, as LiteRT 2.2 and 2.3 have it."""

    _fields_ = (
        ("tag", c_void_p),
        ("kind", c_uint32),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory", c_uint64 * 6),
        ("index", c_uint64),
        ("more", c_uint64),
        ("source", c_uint32),
    )


class Library:
    """LiteRT's C functions; each returns 0, or it is an error."""

    def __init__(self) -> None:
        try:
            version = tuple(int(part) for part in metadata.version("ai-edge-litert").split(".")[:2])
            found = importlib.util.find_spec("ai_edge_litert")
            assert version >= OLDEST and found and found.submodule_search_locations
            self._functions = ctypes.CDLL(os.path.join(found.submodule_search_locations[0], "libLiteRt.so"))
        except (metadata.PackageNotFoundError, AssertionError, ValueError, OSError):
            raise RuntimeMissingError(
                "times per operator take the profiler of ai-edge-litert 2.2 or newer; pip install 'ai-edge-litert>=2.2'"
            ) from None

    def __call__(self, name: str, *arguments: object) -> None:
        status = getattr(self._functions, name)(*arguments)
        if status:
            raise ModelFormatError(f"LiteRT cannot run it ({name} ended with status {status})")

    def make(self, name: str, *arguments: object) -> c_void_p:
        """Calls a function whose last argument is where it puts what it made."""
        made = c_void_p()
        self(name, *arguments, byref(made))
        return made


class Session:
    """A model that is compiled for the CPU, with buffers for its inputs and outputs; it lives as long as the
    process."""

    def __init__(self, file: str, threads: int, xnnpack: bool, inputs: Sequence[str]) -> None:
        self._do = do = Library()
        self._environment = do.make("LiteRtCreateEnvironment", 0, None)
        self._model = do.make("LiteRtCreateModelFromFile", self._environment, file.encode())
        options = do.make("LiteRtCreateOptions")
        do("LiteRtSetOptionsHardwareAccelerators", options, c_int(CPU))
        kernels = "" if xnnpack else f"kernel_mode = {KERNELS_OF_THE_INTERPRETER}\n"
        self._add(options, b"runtime_options_string", "enable_profiling = true\n")
        self._add(options, b"xnnpack", f"num_threads = {threads}\n{kernels}")  # the CPU's, whatever runs there
        self._compiled = do.make("LiteRtCreateCompiledModel", self._environment, self._model, options)
        self._profiler = do.make("LiteRtCompiledModelGetProfiler", self._compiled)
        signature = do.make("LiteRtGetModelSignature", self._model, c_size_t(0))
        self._inputs = self._buffers(signature, "Input")
        self._outputs = self._buffers(signature, "Output")
        for buffer, dtype in zip(self._inputs, inputs, strict=True):
            self._fill(buffer, dtype)

    def run(self) -> None:
        """One inference."""
        self._do(
            "LiteRtRunCompiledModel",
            self._compiled,
            c_size_t(0),
            c_size_t(len(self._inputs)),
            self._inputs,
            c_size_t(len(self._outputs)),
            self._outputs,
        )

    def profiled_run(self) -> list[_Event]:
        """What the profiler wrote down of one inference.

        Raises:
            RuntimeMissingError: This LiteRT writes its events otherwise than is known here.
        """
        self._do("LiteRtResetProfiler", self._profiler)
        self._do("LiteRtStartProfiler", self._profiler)
        self.run()
        self._do("LiteRtStopProfiler", self._profiler)
        number = c_int()
        self._do("LiteRtGetNumProfilerEvents", self._profiler, byref(number))
        # Twice as many as there are: written beyond its end, an event of another size would fall into this room.
        events = (_Event * (2 * number.value))()  # room, should an event be larger than it is known to be
        self._do("LiteRtGetProfilerEvents", self._profiler, number, byref(events))
        self.events = events  # their tags are the profiler's, until it is reset
        found = events[: number.value]
        if not all(event.tag and event.kind in KINDS and event.source < 3 for event in found):
            raise RuntimeMissingError(
                "this ai-edge-litert has another profiler than 2.2 and 2.3 have; pip install ai-edge-litert==2.3.*"
            )
        return found

    def _add(self, options: c_void_p, name: bytes, text: str) -> None:
        # LiteRT frees the payload with what it is given, so it has to be C's own memory.
        libc = ctypes.CDLL(None)
        libc.strdup.restype = c_void_p
        payload, free = c_void_p(libc.strdup(text.encode())), ctypes.cast(libc.free, c_void_p)
        self._do("LiteRtAddOpaqueOptions", options, self._do.make("LiteRtCreateOpaqueOptions", name, payload, free))

    def _buffers(self, signature: c_void_p, side: str) -> "ctypes.Array[c_void_p]":
        number = c_size_t()
        self._do(f"LiteRtGetNumSignature{side}s", signature, byref(number))
        buffers = (c_void_p * number.value)()
        for place in range(number.value):
            tensor = self._do.make(f"LiteRtGetSignature{side}TensorByIndex", signature, c_size_t(place))
            kind = ctypes.create_string_buffer(RANKED_TENSOR_TYPE_BYTES)
            self._do("LiteRtGetRankedTensorType", tensor, kind)
            where = (self._compiled, c_size_t(0), c_size_t(place))
            needed = self._do.make(f"LiteRtGetCompiledModel{side}BufferRequirements", *where)
            make = "LiteRtCreateManagedTensorBufferFromRequirements"
            buffers[place] = self._do.make(make, self._environment, kind, needed).value
        return buffers

    def _fill(self, buffer: int, dtype: str) -> None:
        size, host = c_size_t(), c_void_p()
        self._do("LiteRtGetTensorBufferPackedSize", c_void_p(buffer), byref(size))
        self._do("LiteRtLockTensorBuffer", c_void_p(buffer), byref(host), c_int(WRITE))
        pixels = np.random.default_rng(0).integers(0, 256, size.value, np.uint8)
        data = pixels[: size.value // 4].astype(np.float32) if dtype == "float32" else pixels
        assert host.value is not None
        ctypes.memmove(host.value, data.ctypes.data, min(data.nbytes, size.value))
        self._do("LiteRtUnlockTensorBuffer", c_void_p(buffer))


def profile(request: JsonObject) -> JsonObject:
    """Answers a request."""
    session = Session(request["file"], request["threads"], request["xnnpack"], request["inputs"])
    for _ in range(WARM_UP_RUNS):
        session.run()
    invoke_ms, runs = [], []
    for _ in range(request["runs"]):  # in turns, so that what slows the machine slows both
        start = time.perf_counter()
        session.run()
        invoke_ms.append(1e3 * (time.perf_counter() - start))
        events = [(_text(event.tag), event) for event in session.profiled_run()]
        runs.append(
            {
                "invoke_us": next(event.elapsed_us for tag, event in events if tag == "Invoke" and event.kind == RUN),
                "events": [
                    [tag, event.kind, event.index, event.elapsed_us]
                    for tag, event in events
                    if event.kind in (OPERATOR, KERNEL)
                ],
            }
        )
    return {"invoke_ms": invoke_ms, "runs": runs}


def _text(tag: int) -> str:
    return (c_char_p(tag).value or b"").decode("utf-8", "replace")


def main() -> None:
    """Answers one request, with the real standard output put aside."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as replies:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            reply = profile(json.loads(sys.stdin.readline()))
        except EdgeError as error:
            reply = {"error": str(error), "missing": isinstance(error, RuntimeMissingError)}
        print(json.dumps(reply), file=replies, flush=True)
    os._exit(0)  # not by way of the library's destructors


if __name__ == "__main__":
    main()
