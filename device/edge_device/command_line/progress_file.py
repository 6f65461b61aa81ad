"""Progress as lines of JSON in a file, for a program that runs a command and shows how far it is."""

import json
import os
import time
from collections.abc import Generator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

PROGRESS_VARIABLE: Final = "EDGE_PROGRESS_FILE"
"""Environment variable that names the file."""

EVERY_S: Final = 1.0
"""Seconds between two lines of a step: an hour makes 300 kB."""


def recorded(items: Iterable[T], label: str, total: int | None, file: Path) -> Generator[T, None, None]:
    """Passes items through and appends to a file how many have gone by: at the start, once a second and at the end.

    A line is `{"step": label, "done": 3, "total": 8, "elapsed_s": 1.5, "ended": false}`. Work does not fail because its
    progress cannot be written.
    """
    # The first line is due at once, whatever the monotonic clock begins with.
    began, written, done = time.monotonic(), -EVERY_S, 0

    def note(now: float, ended: bool) -> None:
        fields = {"step": label, "done": done, "total": total, "elapsed_s": round(now - began, 2), "ended": ended}
        with suppress(OSError):
            # One write to a file that is opened to append: lines of several processes do not mix.
            opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.write(opened, json.dumps(fields).encode() + b"\n")
            finally:
                os.close(opened)

    for item in items:
        now = time.monotonic()
        if now - written >= EVERY_S:
            note(now, False)
            written = now
        yield item
        done += 1
    note(time.monotonic(), True)
