"""How a board gets another model: published, for boards that look for updates; copied over ssh, for others."""

import shlex
from pathlib import Path
from typing import Literal

from edge_core.errors import SettingsError
from edge_studio.devices.board_list import StudioBoard
from edge_studio.devices.board_state import BoardState
from edge_studio.jobs.commands import JobCommand

Way = Literal["publish", "copy", "replace"]


def way_of(board: StudioBoard, state: BoardState, signed: bool) -> Way:
    """How a board is given a file.

    Args:
        board: The board.
        state: What it is doing.
        signed: Whether the file is signed.

    Raises:
        SettingsError: There is no way.
    """
    if state.updates and signed:
        return "publish"
    if state.updates:
        raise SettingsError(f"{board.name} takes signed files alone: export one with a signature")
    if board.is_local:
        return "replace"
    if board.ssh and board.model_file:
        return "copy"
    raise SettingsError(
        f"there is no way to give {board.name} a model: start it with --update-from, or tell its ssh host and the path "
        "of its model file"
    )


def copy_command(board: StudioBoard, file: Path) -> JobCommand:
    """Copies a file over ssh beside the one that a board watches and renames it into place; that one is kept.

    The board proves the new file before it runs it, and goes on with the old one if it does not pass.
    """
    model = quoted(board.model_file)
    # The size tells a whole file from one that a broken connection has cut.
    whole = f'[ "$(wc -c < {model}.new)" -eq {file.stat().st_size} ]'
    keep = f"{{ [ ! -e {model} ] || cp -pf {model} {model}.before; }}"
    there = f"cat > {model}.new && {whole} && {keep} && mv -f {model}.new {model}"
    line = shlex.join([*ssh_words(board), there]) + f" < {shlex.quote(str(file))}"
    return JobCommand("deploy", f"Give {board.name} {file.name}", ("sh", "-c", line), Path(board.id))


def take_back_command(board: StudioBoard) -> JobCommand:
    """Puts the model before back on a board that is reached over ssh.

    Raises:
        SettingsError: It is not known where its model or its updates lie.
    """
    if not board.ssh:
        raise SettingsError(f"{board.name} is not reached over ssh: run edge-run update rollback on it")
    if board.update_folder:
        there = f"edge-run update rollback --folder {quoted(board.update_folder)}"
    elif board.model_file:
        model = quoted(board.model_file)
        there = f"cp -pf {model}.before {model}.new && mv -f {model}.new {model}"
    else:
        raise SettingsError(f"it is not known where the model of {board.name} lies: tell its model file")
    return JobCommand("deploy", f"Take back the model of {board.name}", (*ssh_words(board), there), Path(board.id))


def ssh_words(board: StudioBoard) -> list[str]:
    """The user's own ssh, with keys and configuration, which asks nothing: nobody could answer."""
    user, _, address = board.ssh.rpartition("@")
    name, _, port = address.partition(":")
    host = f"{user}@{name}" if user else name
    return ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *(["-p", port] if port else []), "--", host]


def quoted(path: str) -> str:
    """A path for a shell on the board; ~/ is its user's home."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)
