"""The frames of a project's boards that nobody has labeled yet."""

import json
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError, SettingsError
from edge_core.files import append_line
from edge_device.sinks.inbox.collection import MANIFEST
from edge_device.sinks.inbox.live_page import SNAPSHOT_KEY
from edge_device.sinks.inbox.pull import Pulled, pull_snapshots
from edge_studio.devices.board_list import StudioBoard
from edge_studio.jobs.supervised import read_json
from edge_studio.photos.photo_store import PhotoStore
from edge_studio.project import Project, check_class

_TOLD: Final = ("top", "familiarity", "known")


@dataclass(frozen=True)
class InboxFrame:
    """A frame that a board has kept.

    Attributes:
        key: BOARD/LABEL/TIME, its path in the inbox without ending.
        board: Id of the board.
        kind: Why it was kept: "uncertain", "unknown", "changed" or "asked".
        reason: The same for people.
        taken: When it was taken, as ISO 8601 has it.
        top: Labels that the board's model gave it, best first, with their scores.
        familiarity: P-value that it is of the kind that the model knows; None if the model cannot tell.
    """

    key: str
    board: str
    kind: str
    reason: str
    taken: str
    top: tuple[tuple[str, float], ...]
    familiarity: float | None


@dataclass(frozen=True)
class Labeled:
    """What became of frames that a person has labeled.

    Attributes:
        added: Paths of the photos that they have become, relative to the photos' folder.
        known: Number of frames whose content was among the photos already, and that only left the inbox.
        refused: Frames that stay in the inbox, and why.
    """

    added: tuple[str, ...]
    known: int
    refused: tuple[tuple[str, str], ...]


def note_origin(project: Project, entry: JsonObject) -> None:
    """Adds a line to the manifest beside the class folders, which says where a photo is from; it is on the disk then.

    Args:
        project: Project whose photo it is.
        entry: Fields of the line, as `edge-run collect` writes them: `file`, `label`, `time`, `camera`.

    Raises:
        OutputError: The line cannot be written.
    """
    append_line(project.photos / MANIFEST, json.dumps(entry, ensure_ascii=False))


class Inbox:
    """The inbox of a project. May be used from any thread."""

    def __init__(self, project: Project, photos: PhotoStore, names: Callable[[], Mapping[str, str]]) -> None:
        """Names the folder; it is made with the first frame.

        Args:
            project: Project whose inbox it is.
            photos: Photos of the project, which labeled frames become.
            names: Tells the name of each board by its id.
        """
        self._project, self._photos, self._names = project, photos, names
        self._lock = threading.Lock()
        self._tidied = False

    def fetch(self, board: StudioBoard) -> Pulled:
        """Brings the frames of a board here; it lets go of each once that is on this disk.

        Raises:
            SettingsError: It is not known where the board keeps its frames.
            HostError: The board cannot be reached, refuses, or keeps none.
            OutputError: The inbox cannot be written.
        """
        if board.address:
            source = board.address
        elif board.ssh and board.snapshot_folder:
            path = board.snapshot_folder
            source = f"ssh://{board.ssh}{path if path.startswith('/') else f'/{path}'}"
        else:
            raise SettingsError(f"it is not known where {board.name} keeps its frames: tell its snapshot folder")
        try:
            return pull_snapshots(source, self._project.inbox / board.id, token=board.token or None, ask=False)
        finally:
            self._tidied = False  # a board that was not told so gives a frame again that is a photo by now

    def frames(self) -> list[InboxFrame]:
        """All frames, the latest first."""
        with self._lock:
            if not self._tidied:
                self._tidy()
                self._tidied = True
        found = [one for path in self._project.inbox.glob("*/*/*.jpg") if (one := self._read(path))]
        return sorted(found, key=lambda one: one.taken, reverse=True)

    def picture(self, key: str) -> Path:
        """The path of a frame's picture.

        Raises:
            SettingsError: There is no such frame.
        """
        board, _, rest = key.partition("/")
        path = self._project.inbox / board / f"{rest}.jpg"
        # The key comes from a page: it must not lead out of the inbox.
        if (
            not board
            or board.startswith(".")
            or "\0" in key
            or not SNAPSHOT_KEY.fullmatch(rest)
            or ".." in key.split("/")
        ):
            raise SettingsError(f"there is no frame {key!r} in the inbox")
        if not path.is_file():
            raise SettingsError(f"the frame {key!r} is no longer in the inbox")
        return path

    def label(self, keys: Sequence[str], label: str) -> Labeled:
        """Puts frames among the photos of a class, with where they came from in `manifest.jsonl`.

        A frame leaves the inbox last, when the photo and its line are on the disk: whatever ends this process, no frame
        is lost. One that is a photo already gets its line at the next look into the inbox, and is not asked for again.

        Args:
            keys: Keys of the frames.
            label: Class that they show; `_nothing` for none.

        Raises:
            SettingsError: The label cannot be a class.
        """
        check_class(label)
        added: list[str] = []
        refused: list[tuple[str, str]] = []
        known = 0
        with self._lock:
            for key in keys:
                try:
                    path = self.picture(key)
                    photo = self._photos.add(path.read_bytes(), f"{path.stem}.jpg", label)
                except (EdgeError, OSError) as error:
                    refused.append((key, str(error)))
                    continue
                if photo.is_new:
                    added.append(photo.path)
                    self._note(photo.path, label, key)
                else:
                    known += 1
                self._forget(path)
        return Labeled(tuple(added), known, tuple(refused))

    def drop(self, keys: Sequence[str]) -> int:
        """Throws frames away; returns how many were there."""
        with self._lock:
            paths = []
            for key in keys:
                with suppress(SettingsError):
                    paths.append(self.picture(key))
            for path in paths:
                self._forget(path)
            return len(paths)

    def forget_board(self, name: str) -> None:
        """Throws away the frames of a board."""
        with self._lock:
            shutil.rmtree(self._project.inbox / name, ignore_errors=True)

    def _note(self, photo: str, label: str, key: str) -> None:
        """A line of the manifest as `edge-run collect` writes them, with the board and the frame's name there."""
        told = read_json(self._told(key))
        board = key.partition("/")[0]
        entry: JsonObject = {
            "file": photo,
            "label": label,
            "time": told.get("taken", ""),
            "camera": told.get("source", ""),
            "board": self._names().get(board, board),
            "inbox": key,
            "why": told.get("kind", ""),
        }
        entry |= {name: told[name] for name in _TOLD if name in told}
        note_origin(self._project, entry)

    def _tidy(self) -> None:
        """Lets go of frames that are among the photos already: the process was ended before it could.

        One that was ended between a photo and its line in the manifest is known by the photo's content.
        """
        noted = self._noted()
        for path in list(self._project.inbox.glob("*/*/*.jpg")):
            key = self._key(path)
            with suppress(OSError):  # labeled meanwhile
                same = [] if key in noted else self._photos.same_content(path.read_bytes())
                if same and not noted & set(same):
                    self._note(same[0], same[0].partition("/")[0], key)
                if same or key in noted:
                    self._forget(path)

    def _noted(self) -> set[str]:
        """Keys of frames and paths of photos that the manifest has a line for."""
        found: set[str] = set()
        with suppress(OSError):
            for line in (self._project.photos / MANIFEST).read_bytes().splitlines():
                with suppress(ValueError, AttributeError):
                    told = json.loads(line)
                    found |= {str(told.get("inbox")), str(told.get("file"))}
        return found

    def _key(self, path: Path) -> str:
        return str(path.relative_to(self._project.inbox).with_suffix(""))

    def _told(self, key: str) -> Path:
        return self._project.inbox / f"{key}.json"

    def _forget(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)

    def _read(self, path: Path) -> InboxFrame | None:
        key = self._key(path)
        board, _, rest = key.partition("/")
        if not SNAPSHOT_KEY.fullmatch(rest):
            return None
        told = read_json(path.with_suffix(".json"))
        try:
            top = tuple((str(one["label"]), float(one["score"])) for one in told.get("top", ()))
            familiarity = told.get("familiarity")
            return InboxFrame(
                key,
                board,
                str(told.get("kind", "")),
                str(told.get("reason", "")),
                str(told.get("taken", "")),
                top,
                None if familiarity is None else float(familiarity),
            )
        except (TypeError, ValueError, KeyError):
            return InboxFrame(key, board, "", "", "", (), None)
