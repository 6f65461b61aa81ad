"""The boards that a studio knows, in one file that its owner alone may read: it holds their tokens."""

import json
import os
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_core.codec import JsonObject, from_fields
from edge_core.errors import SettingsError
from edge_core.files import written_whole
from edge_device.sinks.web.address import check_token
from edge_studio.jobs.supervised import read_json
from edge_studio.project import check_name

_PATH: Final = re.compile(r"~?/[^\0\n]*")
_SSH: Final = re.compile(r"([A-Za-z0-9_.][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?")


@dataclass(frozen=True)
class StudioBoard:
    """A board of a project.

    Attributes:
        id: Name of its folders here.
        name: Name that a person gave it.
        project: Name of the project whose model it runs.
        address: Address of its live page, http://porch:8080; empty if it has none.
        token: Token of that page; empty if it asks for none.
        ssh: Host for the user's own ssh, pi@porch; empty if it is not reached so.
        model_file: Path on the board of the model file that it watches.
        snapshot_folder: Path on the board of the snapshots, where there is no live page.
        update_folder: Path on the board of what came as updates.
        source: Source of the frames of a device on this machine; empty for a board.
        deployed: Digest of the file that it was given last, hexadecimal; empty if it was given none.
        deployed_name: Name of that file.
    """

    id: str
    name: str
    project: str
    address: str = ""
    token: str = ""
    ssh: str = ""
    model_file: str = ""
    snapshot_folder: str = ""
    update_folder: str = ""
    source: str = ""
    deployed: str = ""
    deployed_name: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is a process on this machine."""
        return bool(self.source)

    def to_json(self) -> JsonObject:
        """What a page is told: all but the token."""
        fields = asdict(self) | {"local": self.is_local, "has_token": bool(self.token)}
        del fields["token"]
        return fields


def check_board(board: StudioBoard) -> StudioBoard:
    """Returns a board that can be reached by what is known of it.

    Raises:
        SettingsError: Its name, address, token or host is none, or it has neither address nor host.
    """
    name, address = check_name(board.name, "board"), check_address(board.address)
    if board.token:
        check_token(board.token, "the board")
    if board.ssh and not _SSH.fullmatch(board.ssh):
        raise SettingsError(f"{board.ssh!r} is not a host for ssh, such as pi@porch")
    if not address and not board.ssh:
        raise SettingsError("a board needs the address of its live page, or a host for ssh")
    for path in (board.model_file, board.snapshot_folder, board.update_folder):
        if path and not _PATH.fullmatch(path):
            raise SettingsError(f"{path!r} is not a path on the board: it begins with / or ~/")
    return replace(board, name=name, address=address)


def check_address(text: str) -> str:
    """Returns the address of a live page, `http://porch:8080`; empty if there is none.

    Raises:
        SettingsError: It is another address.
    """
    address = text.strip()
    if not address:
        return ""
    address = address if "//" in address else f"http://{address}"
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingsError(f"{text!r} is not the address of a live page, such as http://porch:8080")
    return address.rstrip("/")


class BoardList:
    """The boards of all projects of a studio. May be used from any thread."""

    def __init__(self, file: Path) -> None:
        """Names the file; it is made with the first board."""
        self._file = file
        # Reentrant, since what writes reads first.
        self._lock = threading.RLock()

    def of(self, project: str) -> list[StudioBoard]:
        """The boards of a project, in the order in which they were added."""
        return [one for one in self._read() if one.project == project]

    def get(self, project: str, name: str) -> StudioBoard:
        """A board of a project by its id.

        Raises:
            SettingsError: There is none.
        """
        found = next((one for one in self.of(project) if one.id == name), None)
        if found is None:
            raise SettingsError(f"there is no board {name!r} in {project}")
        return found

    def add(self, board: StudioBoard) -> StudioBoard:
        """Adds a board under a new id; it is on the disk when this returns.

        Raises:
            SettingsError: The project has a board of that name.
            OutputError: The file cannot be written.
        """
        with self._lock:
            if board.name in {one.name for one in self.of(board.project)}:
                raise SettingsError(f"there is a board {board.name!r} already; choose another name")
            added = replace(board, id=secrets.token_hex(6))
            self._write([*self._read(), added])
            return added

    def change(self, name: str, change: Callable[[StudioBoard], StudioBoard]) -> None:
        """Replaces a board by what `change` makes of it; nothing happens if it is gone."""
        with self._lock:
            self._write([change(one) if one.id == name else one for one in self._read()])

    def remove(self, name: str) -> None:
        """Forgets a board; what it has sent stays."""
        with self._lock:
            self._write([one for one in self._read() if one.id != name])

    def _read(self) -> list[StudioBoard]:
        with self._lock:
            found = []
            for fields in read_json(self._file).get("boards", ()):
                try:
                    found.append(from_fields(StudioBoard, fields))
                except ValueError:  # of another version
                    continue
            return found

    def _write(self, boards: list[StudioBoard]) -> None:
        with written_whole(self._file, durable=True) as beside:
            # Secret from its first byte, as it holds tokens.
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump({"boards": [asdict(one) for one in boards]}, file, indent=2)
