"""A device on this machine: `edge-run live` in a process of its own, for trying out what a board will do."""

import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge_core.errors import CheckFailedError
from edge_core.files import written_whole
from edge_device.sinks.web.address import TOKEN_VARIABLE, new_token
from edge_studio.devices.board_list import StudioBoard
from edge_studio.jobs.commands import program
from edge_studio.jobs.supervised import SupervisedProcess

MODEL_FILE: Final = "model.tflite"
UPDATES: Final = "updates"

UP_S: Final = 20.0
"""Seconds within which a device's page must answer; a slow machine takes ten to import and open a model."""

SNAPSHOTS_S: Final = 3.0
"""Seconds between two frames that a device keeps: who tries it out does not want to wait for ten. With 2, the frames of
a minute are one burst to `edge-train fit`, and all of them to train on or none."""

TRIAL: Final = ("--update-every", "2", "--update-frames", "20", "--update-trial", "15", "--update-labels")
"""A board polls once an hour and tries for ten minutes; here a person looks on."""


class LocalDevice:
    """The device of a local board.

    Attributes:
        folder: Holds its model, its snapshots and its updates.
        process: The process that runs it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = SupervisedProcess(folder)

    @property
    def model(self) -> Path:
        """The model file that it was given by hand, and watches."""
        return self.folder / MODEL_FILE

    @property
    def updates(self) -> Path:
        """Folder of the models that came as updates."""
        return self.folder / UPDATES

    def give(self, file: Path) -> None:
        """Puts a model file in place of the one that it runs, whole or not at all; the one before is kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.model.exists():
            with written_whole(self._before) as beside:
                shutil.copyfile(self.model, beside)
        with written_whole(self.model, durable=True) as beside:
            shutil.copyfile(file, beside)

    def take_back(self) -> None:
        """Puts the model file before back in its place.

        Raises:
            CheckFailedError: There is none.
        """
        if not self._before.exists():
            raise CheckFailedError("there is no model before this one")
        with written_whole(self.model, durable=True) as beside:
            shutil.copyfile(self._before, beside)

    def words(self, board: StudioBoard, port: int, update_from: str, key: Path | None) -> list[str]:
        """The command that runs it.

        Args:
            board: The board that it is.
            port: Port of its live page.
            update_from: Address that it looks for updates at; empty for none.
            key: Public key that must have signed its models; None: any or none.
        """
        words = ["edge-run", "live", str(self.model), "--source", board.source, "--web", f"127.0.0.1:{port}"]
        words += ["--snapshots", str(self.folder / "snapshots"), "--snapshots-every", f"{SNAPSHOTS_S:g}"]
        if Path(board.source).is_file():
            words.append("--realtime")
        if update_from and key:
            words += ["--key", str(key), "--update-from", update_from, "--update-folder", str(self.updates), *TRIAL]
        return words

    def start(self, board: StudioBoard, update_from: str = "", key: Path | None = None) -> StudioBoard:
        """Starts it; returns the board with the address of its page, which answers by then.

        Args:
            board: The board that it is.
            update_from, key: See `words`.

        Raises:
            CheckFailedError: It ends again at once, with its own reason.
        """
        # Another program may take the port meanwhile; the device then ends and says so.
        port, token = free_port(), new_token()
        words = self.words(board, port, update_from, key)
        self.process.forget()
        self.process.start(program(words), {TOKEN_VARIABLE: token}, self.folder, results=False)
        end_s = time.monotonic() + UP_S
        while self.process.alive() and time.monotonic() < end_s and not answers(port):
            time.sleep(0.1)
        if not self.process.alive():
            lines = [line for line in self.process.log().splitlines() if line.strip()]
            raise CheckFailedError(f"the device has ended: {lines[-1] if lines else 'it printed nothing'}")
        return replace(board, address=f"http://127.0.0.1:{port}", token=token)

    def remove(self) -> None:
        """Ends it and removes its folder."""
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _before(self) -> Path:
        return self.folder / f"before-{MODEL_FILE}"


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
