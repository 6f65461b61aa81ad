"""The server's side of `analysis_worker`: one request at a time, and a new process where one has died."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import IO, Final

from edge_core.codec import JsonObject
from edge_core.errors import CheckFailedError

IDLE_S: Final = 300.0
"""Seconds without a request after which the process, and the model that it holds, go."""

Progress = Callable[[JsonObject], None]


class AnalysisProcess:
    """Runs what takes TensorFlow or long. `ask` may be called from any thread, and waits for its turn."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._idle: threading.Timer | None = None

    def ask(self, request: Mapping[str, str], progress: Progress = lambda told: None) -> JsonObject:
        """The result of a request.

        Args:
            request: What to do, "do", and with what; see `analysis_worker.WORK`.
            progress: Receives `label`, `done` and `total` several times a second.

        Raises:
            CheckFailedError: It cannot be done, or the process has died; the message says why.
        """
        with self._turn:
            if self._idle:
                self._idle.cancel()
            process = self._running()
            try:
                return _conversation(process, request, progress)
            except (OSError, ValueError) as error:
                raise CheckFailedError("the analysis has ended without an answer: is there memory left?") from error
            finally:
                self._idle = threading.Timer(IDLE_S, self._rest)
                self._idle.daemon = True
                self._idle.start()

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        if self._idle:
            self._idle.cancel()
        if self._process:
            self._process.kill()
            self._process.communicate()

    def _rest(self) -> None:
        # Waits for its turn, so that it never ends a request that is under way.
        with self._turn:
            self.stop()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self._process.communicate()  # closes its pipes
            self._process = None
        if self._process is None:
            command = [sys.executable, "-m", "edge_studio.analysis.analysis_worker"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        return self._process


def _conversation(process: subprocess.Popen[str], request: Mapping[str, str], progress: Progress) -> JsonObject:
    questions, answers = _ends(process)
    questions.write(json.dumps(dict(request)) + "\n")
    questions.flush()
    for line in answers:
        answer: JsonObject = json.loads(line)
        if "error" in answer:
            raise CheckFailedError(answer["error"])
        if "result" in answer:
            result: JsonObject = answer["result"]
            return result
        progress(answer)
    raise OSError("the process has ended")


def _ends(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise OSError("the process has no pipes")
    return process.stdin, process.stdout
