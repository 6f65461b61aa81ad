"""The process that libedgetpu lives in, and dies in: `python -m edge_device.inference.accelerator.edgetpu_worker JSON`.

Standard input is a lifeline: its other end closes with the parent, however that ends, and the kernel then sends
SIGIO, which ends this process even while libedgetpu hangs with Python's lock in its hand. (PR_SET_PDEATHSIG would
end it with the parent's *thread* that started it.)
"""

import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from statistics import median
from typing import Final

from edge_core.codec import JsonObject
from edge_core.errors import AcceleratorError, EdgeError
from edge_device.inference.accelerator import shared_memory as shared
from edge_device.inference.accelerator.edgetpu import Coral, load
from edge_device.inference.interpreter import Interpreter

LIFELINE: Final = 0
WARM_UP: Final = 5
"""Inferences before the first that counts; the first of all takes the weights to the Edge TPU."""


def main() -> None:
    """Opens a model on an accelerator and answers until the parent is gone.

    A message is a number; pixels are in the shared memory then. The answer is that number, and why there are no scores.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # sent to all: the parent decides
        signal.signal(number, signal.SIG_IGN)
    _end_with_parent()
    asked = json.loads(sys.argv[1])
    # A descriptor that the parent has passed on: standard output stays free for what libraries print.
    channel = socket.socket(fileno=asked["channel"])
    try:
        interpreter = _open(asked)
        widths = [len(layer) for layer in interpreter.read_features()]
        sizes = interpreter.input_shape, interpreter.outputs, widths
        memory = shared.create(*sizes)
        pixels, scores, features = shared.arrays(memory, *sizes)
        try:
            # A test as well: the first inference sends the weights, and a transfer that fails raises a RuntimeError.
            usual_s = _usual_s(interpreter)
        except RuntimeError as error:
            raise AcceleratorError(f"{Coral(asked['port'])} gave no scores: {error}") from error
    except EdgeError as error:
        channel.send(json.dumps({"error": _one_line(error)}).encode())
        return
    opened = {
        "runtime": interpreter.runtime,
        "input_shape": interpreter.input_shape,
        "outputs": interpreter.outputs,
        "widths": widths,
        "quantized": interpreter.quantized,
        "usual_s": usual_s,
    }
    # The memory goes along as a descriptor, since it has no name by which the parent could open it.
    socket.send_fds(channel, [json.dumps(opened).encode()], [memory])
    # Empty once the parent has closed its end.
    while message := channel.recv(8):
        reason = ""
        try:
            interpreter.write_pixels(pixels)
            interpreter.invoke()
            scores[:] = interpreter.read_scores()
            for shown, layer in zip(features, interpreter.read_features(), strict=True):
                shown[:] = layer
        except (RuntimeError, ValueError) as error:
            reason = _one_line(error) or "the inference failed"
        channel.send(message + reason.encode("utf-8", "replace"))


def _end_with_parent() -> None:
    # The kernel sends SIGIO to this process when its standard input changes; its default action is to end it.
    fcntl.fcntl(LIFELINE, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(LIFELINE, fcntl.F_SETFL, fcntl.fcntl(LIFELINE, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([LIFELINE], [], [], 0)[0]:  # it ended before
        sys.exit()


def _open(asked: JsonObject) -> Interpreter:
    coral, file = Coral(asked["port"]), Path(f"/proc/self/fd/{asked['model']}")
    try:
        # What the Edge TPU leaves to the CPU is little.
        return Interpreter(file, runtime=asked["runtime"], threads=1, delegate=lambda tflite: load(tflite, coral))
    except EdgeError as error:
        # The path is one of this process's descriptors, which means nothing to a person.
        raise type(error)(str(error).replace(str(file), asked["name"])) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:4000]


def _usual_s(interpreter: Interpreter) -> float:
    times = []
    for _ in range(WARM_UP):
        start = time.monotonic()
        interpreter.invoke()
        times.append(time.monotonic() - start)
    return median(times)


if __name__ == "__main__":
    main()
