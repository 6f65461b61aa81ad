"""The benchmark's end of `edge_bench.measure.bench_worker`."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import edge_bench
import edge_core
import edge_device
import edge_keras
from edge_core.codec import JsonObject
from edge_core.errors import ModelFormatError, RuntimeMissingError

COMMAND: Final = ("-P", "-m", "edge_bench.measure.bench_worker")  # -P: nothing in the current folder shadows a module


def link_packages(folder: Path) -> None:
    """Makes a folder for PYTHONPATH out of which another Python imports what a worker needs, and nothing else of ours.

    That Python has NumPy, OpenCV and the like of its own, so `site-packages` itself must not be on its path.
    """
    folder.mkdir()
    for package in (edge_bench, edge_core, edge_device, edge_keras):
        (folder / package.__name__).symlink_to(Path(package.__path__[0]).resolve())


class BenchWorker(Protocol):
    """What answers requests, here or on another machine, while its `with` block runs."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def ask(self, do: str, **fields: object) -> JsonObject: ...


class WorkerProcess:
    """A worker that runs while its `with` block does.

    Attributes:
        file: The model it is for, named in every error.
    """

    def __init__(self, file: Path, python: str = sys.executable, packages: Path | None = None) -> None:
        """Starts nothing yet.

        Args:
            file: The model that it is for.
            python: That runs it.
            packages: Folder that `link_packages` made; needed where `python` is another interpreter than this one.
        """
        self.file = file
        self._command = [python, *COMMAND]
        other = packages is not None and python != sys.executable
        self._environment = {**os.environ, **({"PYTHONPATH": str(packages)} if other else {})}

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        self._scratch = tempfile.TemporaryDirectory(prefix="edge-bench-worker-")
        try:
            self._process = self._start()
        except OSError as error:
            self._log.close()
            self._scratch.cleanup()
            raise RuntimeMissingError(f"{self._command[0]} cannot be run: {error.strerror}") from error
        return self

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env={**self._environment, "TMPDIR": self._scratch.name},  # TensorFlow's own files outlive a kill
            process_group=0,  # Ctrl-C reaches the command alone, which then ends its workers
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with suppress(BrokenPipeError):  # a request that the worker did not live to read
                stream.close()  # type: ignore[union-attr]
        self._process.wait()
        self._scratch.cleanup()

    def ask(self, do: str, **fields: object) -> JsonObject:
        """Sends a request and waits for its reply.

        Raises:
            RuntimeMissingError: The worker lacks an interpreter or an extra.
            ModelFormatError: The model cannot be run, or running it ended the process.
        """
        assert self._process.stdin and self._process.stdout
        try:
            print(json.dumps({"do": do, **fields}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        # A line that breaks off is the end of the process, too.
        if not line.endswith("\n"):
            raise ModelFormatError(self._last_words())
        reply: JsonObject = json.loads(line)
        if "error" in reply:
            raise (RuntimeMissingError if reply["missing"] else ModelFormatError)(reply["error"])
        return reply

    def _last_words(self) -> str:
        status = self._process.wait()
        self._log.seek(0)
        log = self._log.read().decode("utf-8", "replace")
        return f"{self.file}: the process that ran it {how_it_ended(status, log)}"


def how_it_ended(status: int, log: str) -> str:
    """The end of a process in words, from its status, negative for a signal, and what it wrote to standard error."""
    if status == -signal.SIGKILL:
        how = "was killed, most likely because memory ran out"
    else:
        how = f"crashed with {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    lines = log.strip().splitlines()
    return how + (f"; it said: {lines[-1].strip()}" if lines else "")
