"""The checks of `edge_device.doctor.install_check`, made on a board over SSH."""

import json
from collections.abc import Sequence
from pathlib import Path

from edge_bench.remote.connection import SshAddress
from edge_bench.remote.install import Setup, install, read_wheels
from edge_bench.remote.remote_board import RemoteBoard
from edge_core.errors import HostError
from edge_core.progress import Track, silently
from edge_device.doctor.install_check import InstallReport


def check_board(
    host: str,
    models: Sequence[Path],
    source: str | None = None,
    *,
    setup: Setup | None = None,
    password: str | None = None,
    track: Track = silently,
) -> InstallReport:
    """Installs the product on a board, makes all checks there, and leaves nothing behind.

    Args:
        host: `user@board` or `user@board:port`.
        models: Complete .tflite files, here.
        source: The board's camera; none is looked through if None.
        setup: How the board is made ready.
        password: Password that is tried besides the user's keys.
        track: Receives the progress of each step.

    Raises:
        HostError: The board cannot be reached, not be made ready, or breaks off; or a model cannot be read.
        RuntimeMissingError: Asyncssh is not installed.
    """
    setup = setup or Setup()
    wheel = read_wheels(setup)
    files = [(model.name, _read(model)) for model in models]
    with RemoteBoard(SshAddress.parse(host), password) as board:
        python = install(board, setup, *wheel, track)
        there = [board.put(f"files/{number}/{name}", data) for number, (name, data) in enumerate(files)]
        command = [python, "-P", "-m", "edge_device.doctor.install_check", source or "", *there]
        status, lines = board.run(command, track, f"Checking {host}")
    try:
        return InstallReport.from_json(json.loads(lines[-1]))
    except (IndexError, ValueError, KeyError, TypeError):
        said = lines[-1].strip() if lines else "nothing"
        raise HostError(f"{host}: the checks ended with {status} and said: {said}") from None


def _read(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except OSError as error:
        raise HostError(f"{model} cannot be read: {error.strerror}") from None
