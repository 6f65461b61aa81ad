"""Photos rendered in several processes at once: drawing holds Python's lock, so that two threads are as fast as one.

Each reads a line of JSON for a photo, the arguments of `render_jpeg`, and answers with the number of bytes and the
bytes. A photo depends on its arguments alone. Not `multiprocessing`, which runs a user's script again in every process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from queue import SimpleQueue
from typing import BinaryIO, Final

import cv2

from edge_core.errors import DatasetError
from edge_train.data.signs.render import render_jpeg

FEW: Final = 100
"""Photos that are rendered in this process: another one takes as long to start as 20 to render."""

COMMAND: Final = [sys.executable, "-P", "-c", f"from {__name__} import main; main()"]

_COUNT_BYTES: Final = 4


@dataclass(frozen=True)
class PhotoTask:
    """The arguments of `render_jpeg`."""

    label: str
    seed: int
    width: int
    height: int


def render_all(tasks: Sequence[PhotoTask]) -> Generator[bytes]:
    """JPEG files in the order of the tasks, the same bytes however many processes make them.

    Raises:
        DatasetError: A process ended before its time.
    """
    if len(tasks) <= FEW:
        yield from (render_jpeg(*astuple(task)) for task in tasks)
        return
    with ExitStack() as started:
        free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        count = len(os.sched_getaffinity(0))
        for _ in range(count):
            # In a group of its own, where Ctrl-C at the terminal does not reach it: it ends when no more is asked.
            worker = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)
            free.put(started.enter_context(worker))

        def render(task: PhotoTask) -> bytes:
            worker = free.get()
            try:
                return _ask(worker, task)
            finally:
                free.put(worker)

        pool = started.enter_context(ThreadPoolExecutor(count))
        started.callback(pool.shutdown, cancel_futures=True)  # an interruption need not wait for what is still queued
        yield from pool.map(render, tasks)


def _ask(worker: subprocess.Popen[bytes], task: PhotoTask) -> bytes:
    assert worker.stdin and worker.stdout
    try:
        os.write(worker.stdin.fileno(), json.dumps(astuple(task)).encode() + b"\n")
        count = int.from_bytes(worker.stdout.read(_COUNT_BYTES))
        jpeg = worker.stdout.read(count)
    except BrokenPipeError:
        count, jpeg = 0, b""
    if not jpeg or len(jpeg) < count:
        raise DatasetError(
            "a process that renders photos was ended, perhaps because memory ran out; the same command begins anew"
        )
    return jpeg


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Renders until there are no more requests."""
    cv2.setNumThreads(1)  # every core has a process
    for line in requests:
        jpeg = render_jpeg(*json.loads(line))
        replies.write(len(jpeg).to_bytes(_COUNT_BYTES) + jpeg)
        replies.flush()


def main() -> None:
    """Serves the process that started this one."""
    serve(sys.stdin.buffer, sys.stdout.buffer)
