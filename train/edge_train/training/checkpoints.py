"""An unfinished run: what `fit` needs to go on where it was interrupted, by Ctrl-C, kill -9 or a power cut.

Beside the run folder to be, a hidden folder holds what was asked for and the state after the last epoch. States are
written beside and renamed into place, so the newest is always whole. It goes when the run folder is there.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge_core.errors import OutputError
from edge_core.files import folder_written_whole, require_free, written_whole
from edge_train.evaluation.history import Epoch

_REQUEST: Final = "request.json"
_STATE: Final = "epoch-"

HISTORY_FILE: Final = "history.json"
"""In the folder of a state: the epochs so far."""


def check_out(out: Path) -> None:
    """Checks, before any work is done, that a run folder can be written at `out`, or was nearly finished there.

    Raises:
        OutputError: Something is there already.
    """
    if not _folder(out).is_dir():
        require_free(out)


def epochs_so_far(out: Path) -> list[Epoch]:
    """The epochs of a training that is under way or was interrupted, after the last one that is on the disk."""
    states = {int(path.name.removeprefix(_STATE)): path for path in _folder(out).glob(f"{_STATE}[0-9]*")}
    for number in sorted(states, reverse=True):
        with suppress(OSError, ValueError, TypeError):  # the trainer lets go of old states meanwhile
            return [Epoch(**epoch) for epoch in json.loads((states[number] / HISTORY_FILE).read_text("utf-8"))]
    return []


def _folder(out: Path, suffix: str = "") -> Path:
    return out.with_name(f".{out.name}.training{suffix}")


class CheckpointStore:
    """The hidden folder of an unfinished run.

    Attributes:
        folder: Where it is.
        same_request: Whether it was there already, made by the same request.
    """

    def __init__(self, out: Path, request: Mapping[str, object], suffix: str = "") -> None:
        """Opens the store of the run folder `out`; one that another request left is cleared.

        Args:
            out: The run folder to be.
            request: All that the result depends on; JSON.
            suffix: Suffix of the hidden folder where several processes train together.

        Raises:
            OutputError: Another process works on the same run folder, or it cannot be written.
        """
        self.folder = _folder(out, suffix)
        with ExitStack() as undo:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT)
                undo.callback(os.close, self._lock)
                # Held as long as the store is open; the system lets go of it however the process ends.
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.same_request = self._take(json.dumps(request, sort_keys=True, indent=1))
            except BlockingIOError as error:
                raise OutputError(f"{out} is being trained by another process") from error
            except OSError as error:
                raise OutputError(f"{self.folder} cannot be written: {error.strerror or error}") from error
            undo.pop_all()

    def _take(self, text: str) -> bool:
        """Whether the folder is of this request; clears it for it if not."""
        found = self.folder / _REQUEST
        if found.is_file() and found.read_bytes() == text.encode():
            return True
        for child in self.folder.iterdir():
            if child.is_dir():  # the lock is a file, and is held
                shutil.rmtree(child)
        with written_whole(found) as beside:
            beside.write_text(text, "utf-8")
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes it unless the work was interrupted or failed after an epoch."""
        # Before the lock goes: another process could have begun in the folder by then.
        if kind is None or self.newest() is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def newest(self) -> tuple[int, Path] | None:
        """Number and folder of the newest state, if there is one."""
        return max(self.states().items(), default=None)

    def states(self) -> dict[int, Path]:
        """The folder of each state by its number: the last two, for another worker may be killed before its last."""
        return {int(path.name.removeprefix(_STATE)): path for path in self.folder.glob(f"{_STATE}[0-9]*")}

    def forget_after(self, epoch: int | None) -> None:
        """Lets go of states newer than that after `epoch`; None for all."""
        for number, path in self.states().items():
            if epoch is None or number > epoch:
                shutil.rmtree(path)

    def save(self, epoch: int, write: Callable[[Path], None]) -> None:
        """Writes the state after an epoch with `write(folder)`, and lets go of all but that and the one before."""
        with folder_written_whole(self.folder / f"{_STATE}{epoch}", replace=True) as beside:
            write(beside)
        for number in sorted(self.states())[:-2]:
            shutil.rmtree(self.folder / f"{_STATE}{number}")
