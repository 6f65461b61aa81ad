"""What runs on a board while it is measured: a folder, a few processes in it, and nothing left of either afterwards.

The text of this module goes to the board as an argument of `python3 -c`, so it needs Python's own library and no
installation. It reads JSON lines from standard input and writes JSON lines to standard output; `id` is the asker's.

    at the start                                          <- {"edge-bench": 1, "folder": …, "python": [3, 11, 2], …}
    {"do": "put", "id": 1, "path": …, "size": N} + N bytes  -> {"id": 1, "path": …}, or {"id": 1, "error": …}
    {"do": "start", "id": 2, "argv": […], "log": true}      -> {"id": 2, "line": …}, …, {"id": 2, "status": 0, "log": …}
    {"do": "write", "id": 2, "text": …}                     to the standard input of what was started
    {"do": "kill", "id": 2}
    {"do": "beat"}                                          I am still there

A path is below the folder, and `{folder}` in an argument is the folder. With `log`, standard error is kept for
`status`; without, it is part of what is told line by line.

Two processes: one serves, and dies when its input ends, is silent for too long, or cannot be answered: the connection
is gone. The other only waits for that, kills what is left of the first one's session, and removes the folder.
"""

import ctypes
import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from types import FrameType
from typing import IO, Any

PATIENCE_S = 90.0
"""Without a word for so long, the other side is taken for dead: a cut cable closes nothing. It speaks every 15 s."""

PR_SET_CHILD_SUBREAPER = 36


class Gone(Exception):
    """Nobody is listening any more."""


class Input:
    """Standard input as lines and as bytes, given up after `PATIENCE_S`."""

    def __init__(self) -> None:
        self._kept = b""

    def line(self) -> bytes:
        while b"\n" not in self._kept:
            self._kept += self._more()
        line, self._kept = self._kept.split(b"\n", 1)
        return line

    def take(self, size: int) -> Iterator[bytes]:
        while size:
            data = self._kept or self._more()
            part, self._kept = data[:size], data[size:]
            size -= len(part)
            yield part

    def _more(self) -> bytes:
        data = os.read(0, 1 << 20) if select.select([0], [], [], PATIENCE_S)[0] else b""
        if not data:
            raise Gone
        return data


class AgentServer:
    """Answers requests about a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._speaking = threading.Lock()
        for name in ("tmp", "cache"):
            os.mkdir(os.path.join(folder, name))
        self._environment = os.environ | {
            "TMPDIR": os.path.join(folder, "tmp"),
            "XDG_CACHE_HOME": os.path.join(folder, "cache"),
            "PYTHONNOUSERSITE": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def serve(self) -> None:
        incoming = Input()
        self._say(hello(self._folder))
        while True:
            request = json.loads(incoming.line())
            do = request["do"]
            if do == "put":
                self._put(request, incoming)
            elif do == "start":
                self._start(request)
            elif do == "write":
                self._write(request)
            elif do == "kill" and request["id"] in self._processes:
                self._processes[request["id"]].kill()

    def _say(self, reply: dict[str, Any]) -> None:
        data = json.dumps(reply).encode() + b"\n"
        with self._speaking:
            try:
                while data:
                    data = data[os.write(1, data) :]
            except OSError:
                os._exit(1)  # the connection is gone; what follows is up to the process that waits for this one

    def _put(self, request: dict[str, Any], incoming: Input) -> None:
        path = os.path.join(self._folder, request["path"])
        error = None
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            file: IO[bytes] | None = open(path, "wb")  # noqa: SIM115 - closing it may fail, too
        except OSError as caught:
            error, file = caught.strerror, None
        for part in incoming.take(request["size"]):  # to the end, whatever happens: a request follows
            try:
                if file:
                    file.write(part)
            except OSError as caught:
                error, file = caught.strerror, None
        try:
            if file:
                file.close()
        except OSError as caught:
            error = caught.strerror
        self._say({"id": request["id"]} | ({"error": error} if error else {"path": path}))

    def _start(self, request: dict[str, Any]) -> None:
        number = request["id"]
        below = os.path.join(self._folder, "tmp")
        log = tempfile.TemporaryFile(dir=below) if request["log"] else None  # noqa: SIM115 - it outlives this
        try:
            process = subprocess.Popen(
                [part.replace("{folder}", self._folder) for part in request["argv"]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log or subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
            )
        except OSError as error:
            self._say({"id": number, "status": 127, "log": str(error)})
            return
        self._processes[number] = process
        threading.Thread(target=self._relay, args=(number, process, log), daemon=True).start()

    def _relay(self, number: int, process: "subprocess.Popen[bytes]", log: IO[bytes] | None) -> None:
        assert process.stdout
        for line in process.stdout:
            if line.endswith(b"\n"):
                self._say({"id": number, "line": line.decode("utf-8", "replace").rstrip("\n")})
        status = process.wait()
        said = ""
        if log:
            log.seek(0)
            said = log.read().decode("utf-8", "replace")[-4000:]
            log.close()
        self._say({"id": number, "status": status, "log": said})

    def _write(self, request: dict[str, Any]) -> None:
        process = self._processes.get(request["id"])
        try:
            if process and process.stdin:
                process.stdin.write(request["text"].encode())
                process.stdin.flush()
        except (OSError, ValueError):
            pass  # it has ended; its status says how


def hello(folder: str) -> dict[str, Any]:
    """What there is to know before anything is installed."""
    return {
        "edge-bench": 1,
        "folder": folder,
        "python": list(sys.version_info[:3]),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "free_bytes": shutil.disk_usage(folder).free,
        "venv": bool(find_spec("venv") and find_spec("ensurepip")),
    }


def place() -> str:
    """Where temporary folders go: not where they would take memory, as /tmp does on Raspberry Pi OS since Debian 13."""
    for folder in (os.environ.get("TMPDIR"), "/var/tmp", "/tmp"):
        if folder and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return tempfile.gettempdir()


def clean_up(session: int, folder: str) -> None:
    """Kills what is left of the session, waits for it, and removes the folder."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            # Again and again, as a process that forks while this runs would be missed; waitpid also takes orphans away.
            os.killpg(session, signal.SIGKILL)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except OSError:  # none is left
            break
        time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Serves in a session of its own, and cleans up after it."""
    os.umask(0o077)
    try:
        folder = tempfile.mkdtemp(prefix="edge-bench-", dir=place())
    except OSError as error:
        sys.exit(f"no folder can be made in {place()}: {error.strerror}")
    # What the server leaves behind becomes this process's child, to be waited for.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    session = os.fork()
    if session == 0:
        try:
            os.setsid()
            AgentServer(folder).serve()
        except Gone:
            pass
        except OSError as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(1)

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        os.kill(session, signal.SIGKILL)

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    os.waitpid(session, 0)
    clean_up(session, folder)


if __name__ == "__main__":
    main()
