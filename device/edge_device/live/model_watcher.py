"""A model that is replaced while it runs: the new file is proven first, and the old one stays until it is."""

import os
import queue
import stat
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, NamedTuple, Self, TypeVar

from edge_core.artifact.seal import check_seal
from edge_core.errors import EdgeError, ModelFormatError
from edge_device.inference.interpreter import RuntimeName
from edge_device.inference.verify import verify
from edge_device.notices import Level, Notifier, notice

T = TypeVar("T")

EVERY_S: Final = 2.0
"""How often the file is looked at; one that is the same at two looks is taken for wholly copied."""


class _State(NamedTuple):
    """What changes when a file does; the time of change (ctime) cannot be set back by who writes it."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


_NEVER: Final = _State(-1, -1, -1, -1, -1)


@dataclass(frozen=True)
class Replacement(Generic[T]):
    """A model that passed, ready to run.

    Attributes:
        model: Value that `load` made of the file.
        digest: SHA-256 of the file, as its seal has it, hexadecimal.
    """

    model: T
    digest: str


class ModelWatcher(Generic[T]):
    """Watches a model file in a thread of its own; what replaces it is verified and loaded there.

        with ModelWatcher(path, lambda: Classifier(path), notify) as watcher:
            for frame in source:
                if (new := watcher.take()) is not None:
                    classifier = new.model  # its labels and its input may differ

    A file that does not pass is told of once, and so is one that vanished; what runs keeps running.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[], T],
        notify: Notifier,
        *,
        digest: str | None = None,
        key: bytes | None = None,
        runtime: RuntimeName = "auto",
        every_s: float = EVERY_S,
        discard: Callable[[T], None] = lambda model: None,
    ) -> None:
        """Prepares to watch; entering the context starts it.

        Args:
            path: Path of the model that runs.
            load: Opens the file at `path`; called in this class's thread, for a file that passed `verify`.
            notify: Gets what a person should know, in this class's thread.
            digest: Digest of the model that runs, which its seal has; None if it has no seal.
            key: The public key, 32 bytes, that must have signed it; any or none by default.
            runtime: That it is verified on.
            every_s: How often the file is looked at, in seconds.
            discard: Closes what `load` opened where it is not taken: the file had changed meanwhile, or a newer one
                came before anybody took it.
        """
        self._path, self._load, self._notify = path, load, notify
        self._digest, self._key, self._runtime, self._every_s = digest, key, runtime, every_s
        self._discard = discard
        self._seen = _state(path)
        self._done = _NEVER if digest else self._seen  # it may have been replaced since it was loaded
        self._answer_due = False
        self._taken: deque[Replacement[T]] = deque(maxlen=1)
        self._followed: deque[tuple[Path, bytes | None]] = deque()
        # A SimpleQueue, because only its `put` may be called by a signal handler at any time.
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name="model swap", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asked.put(False)
        self._thread.join(0.2)  # if it verifies just now it is left to itself: it holds nothing that must be closed

    def follow(self, path: Path, key: bytes | None) -> None:
        """Watches another file from now on, and looks at it at once; it is proven as any other.

        Args:
            path: The file, which `load` has to open from now on.
            key: Public key, 32 bytes, that must have signed it; None: any or none.
        """
        self._followed.append((path, key))
        self._asked.put(True)

    def ask(self) -> None:
        """Looks at the file at once, changed or not, and tells what came of it; may be called by a signal handler."""
        self._asked.put(True)

    def take(self) -> Replacement[T] | None:
        """The model to go on with, once; None if there is nothing new. Costs next to nothing."""
        if not self._taken:
            return None
        with suppress(IndexError):  # the watching thread may discard it in between
            return self._taken.popleft()
        return None

    def _watch(self) -> None:
        while True:
            try:
                asked = self._asked.get(timeout=self._every_s)
            except queue.Empty:
                self.look()
            else:
                if not asked:
                    return
                self._answer_due = not self._followed
                while self._followed:
                    self._path, self._key = self._followed.popleft()
                self._exchange(_state(self._path))

    def look(self) -> None:
        """Looks at the file once, as the thread does every `every_s`; what has settled since the last look is tried."""
        now = _state(self._path)
        # Two looks that agree: a copy that is under way still grows between them.
        settled, self._seen = now == self._seen, now
        if settled and (now != self._done or self._answer_due):
            self._exchange(now)

    def _exchange(self, state: _State | None) -> None:
        """Brings in what is there now, or tells why not; a file that changes meanwhile is looked at again."""
        new: Replacement[T] | None = None
        refused = ""
        try:
            new = self._proven(state)
        except EdgeError as error:
            refused = str(error)
        except Exception as error:  # noqa: BLE001 - whatever a file brings about, the loop goes on
            refused = f"{self._path}: {type(error).__name__}: {error}"
        # It was replaced while it was verified: what was opened may be of neither file.
        if _state(self._path) != state:
            if new is not None:
                self._discard(new.model)
            return
        self._seen = self._done = state
        if refused:
            self._notify_of("warning", f"the new model is not taken, the old one goes on: {refused}")
        elif new is not None:
            self._digest = new.digest
            if superseded := self.take():
                self._discard(superseded.model)
            self._taken.append(new)
            self._notify_of("info", f"{self._path.name} was replaced; the new one, sha256:{new.digest[:16]}..., passed")
        elif self._answer_due:
            self._notify_of("info", f"{self._path.name} is the model that runs already")
        self._answer_due = False

    def _proven(self, state: _State | None) -> Replacement[T] | None:
        """The model in the file; None if it is the one that runs.

        Raises:
            EdgeError: It does not pass.
        """
        if state is None:
            raise ModelFormatError(f"{self._path} is gone, or no file; the next start needs it")
        if self._digest is not None and _digest(self._path) == self._digest:
            return None
        # One thread: the others are the running model's.
        found = verify(self._path, key=self._key, runtime=self._runtime, threads=1)
        if found.divergence is not None or found.seal is None:
            raise ModelFormatError(f"{self._path}: {found.divergence.reason if found.divergence else 'it has no seal'}")
        return Replacement(self._load(), found.seal.digest)

    def _notify_of(self, level: Level, text: str) -> None:
        self._notify(notice(level, "model", text))


def _digest(path: Path) -> str | None:
    """The digest in the seal of a file; None if it has no seal that fits."""
    try:
        found = check_seal(path)
    except ModelFormatError:
        return None
    return found.digest if found else None


def _state(path: Path) -> _State | None:
    """The state of a file; None if there is none, or it is something else than a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return _State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
