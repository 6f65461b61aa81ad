"""Files and folders of a project moved, many at once, whole or not at all, and moved back.

What is to be moved is on the disk, in a line of the journal, before the first is: whoever opens the project after a
crash completes what was begun. A move never replaces anything.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge_core.codec import from_fields
from edge_core.errors import OutputError
from edge_core.files import append_line, cut_half_line

JOURNAL: Final = "journal.jsonl"


@dataclass(frozen=True)
class Move:
    """A file or folder that changes its place; both paths lie below the folder of the projects."""

    source: str
    target: str


@dataclass(frozen=True)
class Operation:
    """Moves that a person has asked for as one.

    Attributes:
        number: Number of the operation in its project, from 1.
        title: What was done, as a page says it: "3 photos moved to roses".
        moves: What was moved.
        undoes: Number of the operation that this one takes back; 0 for none.
        done: Whether all moves have been made.
    """

    number: int
    title: str
    moves: tuple[Move, ...]
    undoes: int = 0
    done: bool = False


class MoveJournal:
    """The operations of a project. One thread at a time.

    Attributes:
        file: File of the journal, a line for each operation begun and for each one done.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        """Opens a journal, and completes what a crash has left half done.

        Args:
            root: Folder of the projects, below which everything moved lies.
            folder: Folder of the journal, which the first operation makes.

        Raises:
            OutputError: What was begun cannot be completed.
        """
        self.file = folder / JOURNAL
        self._root = root
        self._operations: dict[int, Operation] = {}
        for operation in self._read():
            self._operations[operation.number] = operation
        for operation in list(self._operations.values()):
            if not operation.done:
                self._complete(operation)

    @property
    def next_number(self) -> int:
        """Number that the next operation will have."""
        return max(self._operations, default=0) + 1

    def move(self, title: str, moves: Sequence[Move], undoes: int = 0) -> Operation:
        """Moves files and folders as one operation.

        Args:
            title: What is done, as a page says it.
            moves: What is moved; a target must be free.
            undoes: Number of the operation that this one takes back; 0 for none.

        Raises:
            OutputError: A source is gone, a target is taken, or the disk refuses; nothing has been moved then, unless
                the disk refused half-way, which the next opening completes.
        """
        for one in moves:
            if not os.path.lexists(self._root / one.source):
                raise OutputError(f"{one.source} is no longer there; load the page again")
            if os.path.lexists(self._root / one.target):
                raise OutputError(f"{one.target} is there already; rename one of the two")
        operation = Operation(self.next_number, title, tuple(moves), undoes)
        if not moves:
            return operation
        self.file.parent.mkdir(parents=True, exist_ok=True)
        append_line(self.file, json.dumps(asdict(operation)))
        self._operations[operation.number] = operation
        return self._complete(operation)

    def last(self) -> Operation | None:
        """The last operation that has not been taken back and can be; None if there is none."""
        undone = {operation.undoes for operation in self._operations.values()}
        for operation in reversed(self._operations.values()):
            if operation.number not in undone and not operation.undoes:
                return operation
        return None

    def undo(self) -> Operation:
        """Moves back what the last operation has moved.

        Raises:
            OutputError: There is nothing to undo, or what was moved is no longer where it was moved to.
        """
        last = self.last()
        if last is None:
            raise OutputError("there is nothing to undo")
        back = [Move(one.target, one.source) for one in reversed(last.moves)]
        return self.move(f"undone: {last.title}", back, undoes=last.number)

    def forget(self) -> None:
        """Starts anew, once what was deleted is gone for good and cannot be moved back."""
        self.file.unlink(missing_ok=True)
        self._operations.clear()

    def _complete(self, operation: Operation) -> Operation:
        """Makes the moves that have not been made yet."""
        try:
            for one in operation.moves:
                source, target = self._root / one.source, self._root / one.target
                # What was moved before the crash has no source any more, and is passed over.
                if os.path.lexists(source) and not os.path.lexists(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.rename(source, target)
        except OSError as error:
            raise OutputError(f"{one.source} cannot be moved to {one.target}: {error.strerror or error}") from error
        done = Operation(operation.number, operation.title, operation.moves, operation.undoes, done=True)
        append_line(self.file, json.dumps({"number": operation.number, "done": True}))
        self._operations[operation.number] = done
        return done

    def _read(self) -> list[Operation]:
        if not self.file.is_file():
            return []
        with self.file.open("r+b") as file:
            cut_half_line(file.fileno())  # of an operation of which nothing had been moved
        found: dict[int, Operation] = {}
        for line in self.file.read_text("utf-8").splitlines():
            try:
                value = json.loads(line)
                if "moves" in value:
                    operation = from_fields(Operation, value)
                    found[operation.number] = operation
                elif begun := found.get(value["number"]):
                    found[begun.number] = Operation(begun.number, begun.title, begun.moves, begun.undoes, done=True)
            except (ValueError, TypeError, KeyError):
                raise OutputError(
                    f"{self.file} is damaged; move it away to go on without what could be undone"
                ) from None
        return list(found.values())
