"""Several machines that train one model: who they are, how they meet, and what happens when one is lost.

Each runs the same command with its own `TF_CONFIG`, as TensorFlow has it. TensorFlow itself waits for ever for a worker
that is not there, and has no word for which state they all have; so before it is asked, they meet here: each tells the
first what it was asked to do and which states it has kept, and is told at which to go on. One JSON line each way, to
the port that TensorFlow will use next.
"""

import contextlib
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from edge_core.codec import JsonObject
from edge_core.errors import SettingsError, WorkerLostError

WAIT_S: Final = 1800.0
"""For a worker that is not there yet, or was lost, before the others give up."""

RESTARTS: Final = 50
"""After that many losses a command ends: one that is lost again and again is not brought back by waiting."""

_TRY_S: Final = 1.0
_LINE: Final = 65536
_COUNTER: Final = "EDGE_TRAIN_RESTARTS"


@dataclass(frozen=True)
class Worker:
    """One of several processes that train together.

    Attributes:
        addresses: Addresses "host:port" of all workers; the first, the chief, writes the run folder.
        number: Which of them this process is.
    """

    addresses: tuple[str, ...]
    number: int

    @property
    def suffix(self) -> str:
        """Of the folder of the unfinished run: two workers on one machine do not share it."""
        return f"-{self.number}" if self.number else ""


def read_worker() -> Worker | None:
    """What the environment variable `TF_CONFIG` says; None if it is not set or names one process only.

    Raises:
        SettingsError: It cannot be understood.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster") or {}, config.get("task") or {}
        kinds = {kind: list(cluster[kind]) for kind in ("chief", "worker") if cluster.get(kind)}
        unknown = sorted(set(cluster) - {"chief", "worker"})
        addresses = tuple(address for members in kinds.values() for address in members)
        for address in addresses:
            _host_and_port(address)
        if len(addresses) < 2 and not unknown:
            return None
        kind, index = task["type"], int(task["index"])
        number = index + (len(kinds.get("chief", [])) if kind == "worker" else 0)
        known = kind in kinds and 0 <= index < len(kinds[kind]) and len(kinds.get("chief", [])) < 2
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsError(f"TF_CONFIG cannot be understood: {_reason(error)}; {_EXAMPLE}") from None
    if unknown:
        raise SettingsError(f"TF_CONFIG names {', '.join(map(repr, unknown))}: here are workers alone; {_EXAMPLE}")
    if not known or len(set(addresses)) < len(addresses):
        raise SettingsError(f"TF_CONFIG names no such task, or one twice: {text}; {_EXAMPLE}")
    return Worker(addresses, number)


_EXAMPLE: Final = (
    'an example: {"cluster": {"worker": ["one:9000", "two:9000"]}, "task": {"type": "worker", "index": 0}}'
)


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = str(address).rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


@dataclass(frozen=True)
class WorkerAgreement:
    """Where the workers go on.

    Attributes:
        state: Number of the epoch whose state all take up; None: from the beginning.
        alone: Whether what is left is for the chief alone.
    """

    state: int | None
    alone: bool = False


def agree(requests: Sequence[str], states: Sequence[Sequence[int]], alone: int | None) -> WorkerAgreement:
    """Finds where several workers go on.

    Args:
        requests: What each was asked to do, in digest.
        states: Which each has kept of what all train together.
        alone: The chief's newest state if that is of something that it trains alone.

    Raises:
        SettingsError: They were not asked to do the same.
    """
    for number, request in enumerate(requests):
        if request != requests[0]:
            raise SettingsError(
                f"worker {number} was started with other photos, settings, devices or another version than worker 0"
            )
    if alone is not None:
        return WorkerAgreement(alone, True)
    return WorkerAgreement(max(set(states[0]).intersection(*states[1:]), default=None))


def meet(
    worker: Worker,
    request: Mapping[str, object],
    states: Sequence[int],
    alone: int | None = None,
    wait_s: float = WAIT_S,
) -> WorkerAgreement:
    """Waits until all workers are there, and finds where they go on.

    Args:
        worker: Which of them this is.
        request: All that the result depends on; JSON.
        states: Numbers of the states that this one has kept, of what all train together.
        alone: The chief's newest state of what it trains alone, see `agree`.
        wait_s: How long, in seconds.

    Raises:
        SettingsError: They were not asked to do the same.
        WorkerLostError: One of them did not come.
    """
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    hello = {"number": worker.number, "request": digest, "states": list(states)}
    until = time.monotonic() + wait_s
    answer = _gather(worker, hello, alone, until) if worker.number == 0 else _report(worker, hello, until)
    if "error" in answer:
        raise SettingsError(str(answer["error"]))
    return WorkerAgreement(answer["state"], answer["alone"])


def _gather(worker: Worker, hello: JsonObject, alone: int | None, until: float) -> JsonObject:
    """The chief's side: hears all, answers all."""
    there: dict[Any, tuple[JsonObject, socket.socket]] = {}
    missing = set(range(1, len(worker.addresses)))
    try:
        listening = socket.create_server(("", _host_and_port(worker.addresses[0])[1]))
    except OSError as error:
        raise WorkerLostError(f"{worker.addresses[0]} cannot be listened at: {error.strerror}") from error
    with listening, contextlib.ExitStack() as opened:
        # Short, so that the time is looked at in between.
        listening.settimeout(_TRY_S)
        while missing:
            if time.monotonic() > until:
                raise WorkerLostError(_not_there(worker, missing))
            with contextlib.suppress(TimeoutError):
                connection = opened.enter_context(listening.accept()[0])
                told = _heard(connection)
                number = told.get("number")
                named = isinstance(number, int) and 0 < number < len(worker.addresses)
                if named and isinstance(told.get("request"), str) and _are_numbers(told.get("states")):
                    there[number] = (told, connection)  # a later one takes the place of one that was killed
                else:
                    connection.close()  # a worker whose words were too slow to come tells again
            missing = set(range(1, len(worker.addresses))) - {n for n, (_, c) in there.items() if _open(c)}
        tellers = [hello, *(there[number][0] for number in range(1, len(worker.addresses)))]
        try:
            agreement = agree([t["request"] for t in tellers], [t["states"] for t in tellers], alone)
            answer: JsonObject = {"state": agreement.state, "alone": agreement.alone}
        except SettingsError as error:
            answer = {"error": str(error)}
        for _, connection in there.values():
            # Who is gone by now is missed again when TensorFlow joins the workers.
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(answer).encode() + b"\n")
    return answer


def _are_numbers(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(one, int) for one in found)


def _report(worker: Worker, hello: JsonObject, until: float) -> JsonObject:
    """The side of the others: tells the chief, hears its answer."""
    while True:
        left = until - time.monotonic()
        if left < 0:
            raise WorkerLostError(_not_there(worker, {0}))
        try:
            with socket.create_connection(_host_and_port(worker.addresses[0]), timeout=_TRY_S) as connection:
                connection.sendall(json.dumps(hello).encode() + b"\n")
                answer = _heard(connection, left)
            if "state" in answer or "error" in answer:
                return answer
        # The chief is not there yet, or was lost: tried again until the time is over.
        except OSError:
            pass
        time.sleep(_TRY_S)


def _heard(connection: socket.socket, wait_s: float = _TRY_S) -> JsonObject:
    """A JSON line from the other side; empty if it is no such thing: TensorFlow of an earlier try, say."""
    connection.settimeout(wait_s)
    try:
        with connection.makefile("rb") as file:
            found = json.loads(file.readline(_LINE))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _open(connection: socket.socket) -> bool:
    """Whether the other side is still there: it says nothing more before it is answered."""
    connection.setblocking(False)
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _not_there(worker: Worker, missing: set[int]) -> str:
    names = ", ".join(f"worker {number} ({worker.addresses[number]})" for number in sorted(missing))
    return f"{names} cannot be reached; start the same command on every machine, and training goes on"


@contextlib.contextmanager
def ended_at_once() -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM end the process without a word: TensorFlow waits where Python hears no signal.

    While workers join, it even takes SIGTERM for itself and does nothing about it; it is Python's again on leaving.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set from Python


@contextlib.contextmanager
def restarted_when_lost(say: Callable[[str], None]) -> Iterator[None]:
    """Around a command: if another worker is lost, starts it again in this process, to wait for it and go on.

    TensorFlow cannot join a second time in the life of a process, so the program is replaced by itself.
    """
    try:
        yield
    except WorkerLostError as error:
        # The environment outlives execv, so this counts over all restarts.
        count = int(os.environ.get(_COUNTER, "0")) + 1
        if not error.comes_back or count > RESTARTS:
            raise
        say(f"{error}; waiting for it: start the same command there again")
        os.environ[_COUNTER] = str(count)
        restart()


def restart() -> NoReturn:
    """Replaces this program by itself, with the same arguments; open files are closed."""
    sys.stdout.flush()
    sys.stderr.flush()
    # orig_argv has the interpreter's own options, too, `-m` among them.
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
