"""The benchmark's end of `edge_bench.worker`."""

import json
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from edge_core.errors import ModelFormatError, RuntimeMissingError

COMMAND: Final = (sys.executable, "-P", "-m", "edge_bench.worker")  # -P: nothing in the current folder shadows a module


class WorkerProcess:
    """A worker that runs while its `with` block does.

    Attributes:
        file: the model it is for, named in every error.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            process_group=0,  # Ctrl-C reaches the command alone, which then ends its workers
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with suppress(BrokenPipeError):  # a request that the worker did not live to read
                stream.close()  # type: ignore[union-attr]
        self._process.wait()

    def ask(self, do: str, **fields: object) -> dict[str, Any]:
        """Sends a request and waits for its reply.

        Raises:
            RuntimeMissingError: the worker lacks an interpreter or an extra.
            ModelFormatError: the model cannot be run, or running it ended the process.
        """
        assert self._process.stdin and self._process.stdout
        try:
            print(json.dumps({"do": do, **fields}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise ModelFormatError(self._last_words())
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise (RuntimeMissingError if reply["missing"] else ModelFormatError)(reply["error"])
        return reply

    def _last_words(self) -> str:
        status = self._process.wait()
        if status == -signal.SIGKILL:
            how = "was killed, most likely because memory ran out"
        else:
            how = f"crashed with {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self._log.seek(0)
        log = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return f"{self.file}: the process that ran it {how}" + (f"; it said: {log[-1].strip()}" if log else "")
