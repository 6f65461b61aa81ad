"""A board that is measured over SSH: made ready, asked, and left as it was."""

import json
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge_bench.measure.worker_process import how_it_ended
from edge_bench.remote.connection import SshAddress
from edge_bench.remote.install import Setup, install, read_wheels
from edge_bench.remote.remote_board import RemoteBoard
from edge_bench.results.environment import Environment
from edge_core.codec import JsonObject, from_fields
from edge_core.errors import ModelFormatError, RuntimeMissingError
from edge_core.progress import Track, silently

SENT: Final = (".tflite", ".npy", ".onnx")
"""Files of ours that a request may name; anything else, such as a delegate's library, is the board's own."""


class RemoteHost:
    """A board, ready to be measured on while its `with` block does; after it nothing is left there.

    Args:
        address: `user@board` or `user@board:port`; the rest is the user's own ~/.ssh/config, keys and known_hosts.
        setup: How to make it ready.
        password: Password that is tried besides the user's keys.
        track: Receives the progress of each step.

    Attributes:
        name: The address, as it names rows.
        board: Where it is.
        track: Receives the progress of each step.

    Raises:
        HostError: On entering or later, one line.
        RuntimeMissingError: Asyncssh is not installed.
    """

    def __init__(
        self, address: str, setup: Setup | None = None, *, password: str | None = None, track: Track = silently
    ) -> None:
        self.name = address
        self.board = RemoteBoard(SshAddress.parse(address), password)
        self._setup, self.track = setup or Setup(), track
        self._sending = threading.Lock()
        self._sent: dict[Path, tuple[int, tuple[int, int] | None]] = {}

    def __enter__(self) -> Self:
        wheel = read_wheels(self._setup)
        with ExitStack() as stack:
            board = stack.enter_context(self.board)
            self._python = install(board, self._setup, *wheel, self.track)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def worker(self, file: Path) -> "RemoteWorker":
        """A worker for this model on the board, as `WorkerProcess` is one here."""
        return RemoteWorker(self, file)

    def environment(self) -> Environment:
        """What the board is."""
        with self.worker(Path()) as worker:
            return from_fields(Environment, worker.ask("environment")["environment"])

    def start_worker(self) -> int:
        """Starts `edge_bench.measure.bench_worker` there; its number on the board."""
        return self.board.start([self._python, "-P", "-m", "edge_bench.measure.bench_worker"], log=True)

    def send(self, path: Path) -> str:
        """Copies a file to the board, unless it is there as it is here; its path there."""
        path = path.resolve()
        about = path.stat()
        state = about.st_mtime_ns, about.st_size
        with self._sending:
            # The same path keeps its number, so that a file that has changed replaces its older copy.
            number, known = self._sent.setdefault(path, (len(self._sent), None))
            name = f"files/{number}/{path.name}"
            if known != state:
                self.board.put(name, path.read_bytes())
                self._sent[path] = number, state
            return f"{self.board.about['folder']}/{name}"


class RemoteWorker:
    """A worker on a board that runs while its `with` block does; it stands in for `WorkerProcess`.

    Attributes:
        file: The model it is for, here.
    """

    def __init__(self, host: RemoteHost, file: Path) -> None:
        self.file = file
        self._host, self._board = host, host.board

    def __enter__(self) -> Self:
        self._number = self._host.start_worker()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._board.kill(self._number)

    def ask(self, do: str, **fields: object) -> JsonObject:
        """Sends a request and waits for its reply; models and arrays that it names are copied to the board first.

        Raises:
            RuntimeMissingError: The worker lacks an interpreter or an extra.
            ModelFormatError: The model cannot be run there, or running it ended the process.
            HostError: The board is gone, or full.
        """
        request = {"do": do} | {name: self._there(value) for name, value in fields.items()}
        self._board.write(self._number, json.dumps(request) + "\n")
        said = self._board.next_reply(self._number)
        if "line" not in said:
            how = how_it_ended(said["status"], said["log"])
            raise ModelFormatError(f"{self.file}: the process that ran it on {self._host.name} {how}")
        reply: JsonObject = json.loads(said["line"])
        if "error" in reply:
            kind = RuntimeMissingError if reply["missing"] else ModelFormatError
            raise kind(f"on {self._host.name}: {reply['error']}")
        return reply

    def _there(self, value: object) -> object:
        """The value, with files of ours replaced by their copies on the board."""
        if isinstance(value, list | tuple):
            return [self._there(item) for item in value]
        if isinstance(value, str) and value.endswith(SENT) and Path(value).is_file():
            return self._host.send(Path(value))
        return value
