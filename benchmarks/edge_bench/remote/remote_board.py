"""A board over SSH: files and processes there, until the `with` block ends."""

import base64
import json
import queue
import zlib
from collections.abc import Iterator, Sequence
from importlib import resources
from itertools import count
from typing import Final, Self

from edge_bench.remote.connection import SshAddress, SshConnection
from edge_core.codec import JsonObject
from edge_core.errors import HostError
from edge_core.progress import Track, silently

OLDEST_PYTHON: Final = (3, 11)


class RemoteBoard:
    """A folder on a board and processes in it; `{folder}` in an argument of theirs is the folder.

    After the `with` block neither is left. The board keeps to that by itself, too: when the connection breaks, or
    nothing is heard from here for 90 s, it ends what was started and removes the folder
    (`edge_bench.remote.remote_agent`).

    Args:
        address: Where it is.
        password: Password that is tried besides the user's keys.

    Attributes:
        about: `folder`, `python` (a list), `machine`, `cores`, `free_bytes` in the folder, and whether it has `venv`.
        broken: Why it cannot be asked any more; empty while it can.

    Raises:
        HostError: On entering or later, one line.
        RuntimeMissingError: Asyncssh is not installed.
    """

    about: JsonObject

    def __init__(self, address: SshAddress, password: str | None = None) -> None:
        self.address = address
        self._connection = SshConnection(address, _command(), self._received, self.give_up, password)
        self._numbers = count(1)
        self._replies: dict[int, queue.SimpleQueue[JsonObject]] = {0: queue.SimpleQueue()}
        self.broken = ""

    def __enter__(self) -> Self:
        self._connection.__enter__()
        try:
            self.about = self.next_reply(0)
        except BaseException:
            self._connection.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.__exit__()

    def run(self, arguments: Sequence[str], track: Track = silently, label: str = "") -> tuple[int, list[str]]:
        """Runs a program there to its end: its exit status, and what it wrote to either output, line by line."""
        number = self.start(arguments, log=False)
        status = 0

        def told() -> Iterator[str]:
            nonlocal status
            while "line" in (reply := self.next_reply(number)):
                yield reply["line"]
            status = reply["status"]
            if reply["log"]:
                yield reply["log"]

        lines = list(track(told(), label))
        return status, lines

    def check_output(self, arguments: Sequence[str]) -> str:
        """What a program prints there.

        Raises:
            HostError: It ended with another status than 0.
        """
        status, lines = self.run(arguments)
        if status:
            raise HostError(f"{self.address}: {lines[-1].strip() if lines else f'{arguments[0]} ended with {status}'}")
        return "\n".join(lines)

    def start(self, arguments: Sequence[str], *, log: bool) -> int:
        """Starts a program there; the number is for `ask`, `write` and `kill`."""
        number = next(self._numbers)
        self._replies[number] = queue.SimpleQueue()
        self._connection.send({"do": "start", "id": number, "argv": list(arguments), "log": log})
        return number

    def write(self, number: int, text: str) -> None:
        """To the standard input of what was started."""
        self._connection.send({"do": "write", "id": number, "text": text})

    def kill(self, number: int) -> None:
        """Ends what was started."""
        self._connection.send({"do": "kill", "id": number})

    def put(self, name: str, data: bytes) -> str:
        """Writes a file below the board's folder; its whole path there."""
        number = next(self._numbers)
        self._replies[number] = queue.SimpleQueue()
        self._connection.send({"do": "put", "id": number, "path": name, "size": len(data)}, data)
        reply = self.next_reply(number)
        if "error" in reply:
            raise HostError(
                f"{self.address}: {name.rsplit('/')[-1]} of {len(data) / 1e6:.1f} MB cannot be written to"
                f" {self.about['folder']}: {reply['error']}"
            )
        return str(reply["path"])

    def _received(self, line: bytes) -> None:
        try:
            reply = json.loads(line)
        except ValueError:
            return  # what the user's shell greets with
        if isinstance(reply, dict) and "edge-bench" in reply:
            self._replies[0].put(reply)
        elif isinstance(reply, dict) and reply.get("id") in self._replies:
            self._replies[reply["id"]].put(reply)

    def give_up(self, reason: str) -> None:
        """Lets everybody who waits for an answer, in whatever thread, have a HostError with this reason."""
        self.broken = self.broken or reason
        for replies in list(self._replies.values()):
            replies.put({"gone": True})

    def next_reply(self, number: int) -> JsonObject:
        """The next {"line": …} of what was started, or in the end its {"status": …, "log": …}."""
        replies = self._replies[number]
        if self.broken and replies.empty():
            raise HostError(f"{self.address}: {self.broken}")
        reply = replies.get()
        # The mark stays in the queue for whoever asks next.
        if "gone" in reply:
            replies.put(reply)
            raise HostError(f"{self.address}: {self.broken}")
        return reply


def _command() -> str:
    """Runs `edge_bench.remote.remote_agent` there, in any shell: nothing in it needs quoting but the program itself."""
    source = resources.files("edge_bench.remote").joinpath("remote_agent.py").read_bytes()
    packed = base64.b64encode(zlib.compress(source, 9)).decode()
    oldest = ".".join(map(str, OLDEST_PYTHON))
    too_old = f'"it has Python %d.%d; {oldest} or newer is needed"%sys.version_info[:2]'
    program = (
        f"import base64,sys,zlib;sys.version_info>={OLDEST_PYTHON} or sys.exit({too_old});"
        f'exec(zlib.decompress(base64.b64decode("{packed}")))'
    )
    return f"exec python3 -c '{program}'"
