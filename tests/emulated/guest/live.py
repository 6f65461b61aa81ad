"""`edge-run live` on the emulated camera, watched line by line."""

import json
import os
import queue
import threading
import time
from pathlib import Path
from typing import Any, Final, Self

from tests.emulated.guest.commands import Forked, Tell, edge_run

PATIENCE_S: Final = 60.0
"""For a frame or a notice. Emulated time is slow."""


class WatchedLive:
    """Runs the command; what it says is told, each line with when, in seconds since its start."""

    def __init__(self, model: Path, *options: str, tell: Tell) -> None:
        self._arguments = ["live", str(model), "--json", *options]
        self._tell = tell
        self.frames: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.notices: queue.SimpleQueue[str] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._tell(f"$ edge-run {' '.join(self._arguments)}")
        self._process = Forked(edge_run, self._arguments)
        self._began = time.monotonic()
        self._readers = [threading.Thread(target=read) for read in (self._read_lines, self._read_errors)]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self.status = self._process.ended(PATIENCE_S)
        for reader in self._readers:
            reader.join()
        self._tell(f"ended with {self.status}")

    def next_frames(self, count: int, patience_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """The frames classified from now on; fewer if no more came in time."""
        while not self.frames.empty():
            self.frames.get()
        found: list[dict[str, Any]] = []
        try:
            while len(found) < count:
                found.append(self.frames.get(timeout=patience_s))
        except queue.Empty:
            pass
        return found

    def notice(self, *words: str, patience_s: float = PATIENCE_S) -> str | None:
        """The first notice, of those not yet asked for, that has one of these words in it."""
        until = time.monotonic() + patience_s
        try:
            while True:
                line = self.notices.get(timeout=max(0.0, until - time.monotonic()))
                if any(word in line for word in words):
                    return line
        except queue.Empty:
            return None

    def wait_until_released(self, device: str) -> None:
        """Waits until the process has closed a device; one that comes back earlier gets another number."""
        folder = Path(f"/proc/{self._process.pid}/fd")
        until = time.monotonic() + PATIENCE_S
        while any(_target(link).startswith(device) for link in folder.iterdir()) and time.monotonic() < until:
            time.sleep(0.1)

    def _read_lines(self) -> None:
        for line in self._process.stdout:
            fields = json.loads(line)
            if "type" not in fields:
                self.frames.put(fields)
            elif fields["type"] == "notice":
                self._say(f"{fields['level']}: {fields['text']}")
                self.notices.put(fields["text"])

    def _read_errors(self) -> None:
        for line in self._process.stderr:
            self._say(line.rstrip())

    def _say(self, text: str) -> None:
        self._tell(f"{time.monotonic() - self._began:6.1f} s  {text}")


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed meanwhile
        return ""
