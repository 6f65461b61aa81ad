"""The boards of all projects: added, looked at, given models, started here."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge_core.artifact.seal import check_seal
from edge_core.errors import CheckFailedError, SettingsError
from edge_device.live.update.update_state import UpdateFolder, roll_back
from edge_studio.devices.board_list import BoardList, StudioBoard, check_board
from edge_studio.devices.board_state import BoardState, read_state
from edge_studio.devices.deployment import copy_command, take_back_command, way_of
from edge_studio.devices.local_device import LocalDevice
from edge_studio.devices.update_site import UpdateSite
from edge_studio.jobs.commands import publish_command
from edge_studio.jobs.job import Job
from edge_studio.jobs.job_queue import JobQueue
from edge_studio.jobs.signing import public_key, signing_key
from edge_studio.project import Project, check_name

_AT_ONCE: Final = 16


class Fleet:
    """Boards, and what is done with them. May be used from any thread.

    Attributes:
        boards: The boards that are known.
        site: Serves what is published.
    """

    def __init__(self, projects: Path, state: Path, jobs: JobQueue) -> None:
        """Names the folders.

        Args:
            projects: Folder of the projects.
            state: Folder of what the studio has to remember.
            jobs: Publishes and copies.
        """
        self._state, self._jobs = state, jobs
        self.boards = BoardList(state / "boards.json")
        self.site = UpdateSite(projects, state)

    def add(self, board: StudioBoard) -> StudioBoard:
        """Adds a board that can be reached by what is known of it.

        Raises:
            SettingsError: It cannot, or its name is taken.
        """
        return self.boards.add(check_board(board))

    def board_names(self, project: Project) -> dict[str, str]:
        """The name of each board of a project by its id."""
        return {board.id: board.name for board in self.boards.of(project.name)}

    def states(self, project: Project) -> list[tuple[StudioBoard, BoardState]]:
        """What the boards of a project are doing, all asked at once."""
        boards = self.boards.of(project.name)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(zip(boards, pool.map(self.state_of, boards), strict=True))

    def state_of(self, board: StudioBoard) -> BoardState:
        """What a board is doing."""
        if board.is_local and not self.device(board).process.alive():
            ended = [line for line in self.device(board).process.log().splitlines() if line.strip()]
            return BoardState(False, f"it does not run; it said last: {ended[-1]}" if ended else "it does not run")
        return read_state(board)

    def device(self, board: StudioBoard) -> LocalDevice:
        """The device of a local board."""
        return LocalDevice(self._state / "devices" / board.id)

    def start_here(
        self, project: Project, file: Path, source: str, address: str, name: str = "this machine"
    ) -> StudioBoard:
        """Starts a device on this machine with a model file.

        Args:
            project: Project whose model it is.
            file: Model file that it is given.
            source: Source of its frames, as `edge-run live --source` takes it.
            address: Address of the studio, at which the device looks for updates; empty for none.
            name: Name of the device.

        Raises:
            SettingsError: The source or the name is none, or the name is taken.
            CheckFailedError: The device ends again at once, with its own reason.
        """
        if not source.strip() or source.startswith("-") or "\0" in source:
            raise SettingsError(f"{source!r} is not a source of frames: 0 is the first camera")
        board = self.boards.add(
            StudioBoard("", check_name(name, "board"), project.name, source=source.strip(), **_given(file))
        )
        try:
            self.device(board).give(file)
            return self.start_again(board, address)
        # A device that did not come up leaves nothing behind.
        except BaseException:
            self.remove(board)
            raise

    def start_again(self, board: StudioBoard, address: str) -> StudioBoard:
        """Starts a local device that has ended, or that should look for updates at another address.

        Raises:
            CheckFailedError: It ends again at once, with its own reason.
        """
        device = self.device(board)
        device.process.stop()
        project = Project(self.site.projects, board.project)
        seal = check_seal(device.model)
        signed = bool(address) and seal is not None and seal.signature is not None
        update_from = f"{address}{self.site.path_of(project)}" if signed else ""
        started = device.start(board, update_from, public_key(self._state) if signed else None)
        self.boards.change(board.id, lambda one: replace(one, address=started.address, token=started.token))
        return started

    def stop(self, board: StudioBoard) -> None:
        """Ends a local device."""
        self.device(board).process.stop()

    def remove(self, board: StudioBoard) -> None:
        """Forgets a board; a local device is ended and removed."""
        if board.is_local:
            self.device(board).remove()
        self.boards.remove(board.id)

    def deploy(self, board: StudioBoard, project: Project, file: Path) -> Job | None:
        """Gives a board a model file; returns the job that does it, None if it is done already.

        Raises:
            SettingsError: There is no way, or one is under way.
        """
        seal = check_seal(file)
        way = way_of(board, self.state_of(board), seal is not None and seal.signature is not None)
        # First what is asked for, on the disk: after a crash the page still compares the board with it.
        self.boards.change(board.id, lambda one: replace(one, **_given(file)))
        if way == "publish":
            return self._jobs.submit(project.name, publish_command(file, project.updates, signing_key(self._state)))
        if way == "copy":
            return self._jobs.submit(project.name, copy_command(board, file))
        self.device(board).give(file)
        return None

    def take_back(self, board: StudioBoard, project: Project) -> Job | None:
        """Has a board go back to the model before; returns the job that does it, None if it is done already.

        Raises:
            SettingsError: There is no way, or no model before.
            CheckFailedError: There is no model before.
        """
        if not board.is_local:
            return self._jobs.submit(project.name, take_back_command(board))
        device = self.device(board)
        if not self.state_of(board).updates:
            device.take_back()
        else:
            roll_back(UpdateFolder(device.updates))
        return None


def _given(file: Path) -> dict[str, str]:
    """The fields of a board that is given a file.

    Raises:
        CheckFailedError: The file has no seal.
    """
    seal = check_seal(file)
    if seal is None:
        raise CheckFailedError(f"{file.name} has no seal; give boards what the studio has exported")
    return {"deployed": seal.digest, "deployed_name": file.name}
