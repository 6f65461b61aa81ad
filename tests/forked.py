"""Commands in processes of their own, but without what each would import anew: forked from one that has imported it."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from socket import AF_UNIX, SOCK_SEQPACKET, recv_fds, send_fds, socket, socketpair
from tempfile import TemporaryFile

TIME_LIMIT_S = 300
_WORDS = 1 << 17
"""Bytes of the longest request."""


class Forks:
    """A process that has imported modules, and is forked for each command that it is asked for; one at a time.

    It runs nothing itself, so it has none of TensorFlow's threads, which a fork would lose. What only a fresh process
    shows (how a command begins, signals, how long it takes) is for `start`.

    Args:
        modules: Names of the modules to import; one that cannot be is for the command to tell of.
    """

    def __init__(self, *modules: str) -> None:
        self._ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        self._ours.settimeout(TIME_LIMIT_S)
        command = [sys.executable, __file__, str(theirs.fileno()), *modules]
        path = os.pathsep.join(sys.path)
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )
        theirs.close()

    def run(self, module: str, arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Runs `module`'s `app` to its end.

        Raises:
            TimeoutError: it took longer than `TIME_LIMIT_S`.
        """
        with TemporaryFile() as output, TemporaryFile() as errors:
            request = json.dumps([module, arguments, environment, os.getcwd()]).encode()
            send_fds(self._ours, [request], [output.fileno(), errors.fileno()])
            status = int(self._ours.recv(99))
            output.seek(0), errors.seek(0)
            texts = [file.read().decode(errors="surrogateescape") for file in (output, errors)]
        return subprocess.CompletedProcess(["edge", *arguments], status, *texts)

    def close(self) -> None:
        """Ends the process, and a command that still runs."""
        self._ours.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _serve(requests: socket) -> None:
    while True:
        request, files, _, _ = recv_fds(requests, _WORDS, 2)
        if not request:
            return
        child = os.fork()
        if child == 0:
            requests.close()
            _become(request, *files)
            return
        for file in files:
            os.close(file)
        requests.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _become(request: bytes, output: int, errors: int) -> None:
    module, arguments, environment, folder = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for file, stream in ((output, 1), (errors, 2)):
        os.dup2(file, stream)
        os.close(file)
    sys.argv[1:] = arguments
    import_module(module).app(prog_name="edge")


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose modules are a package's
    for name in sys.argv[2:]:
        with suppress(ImportError):
            import_module(name)
    _serve(socket(fileno=int(sys.argv[1])))
