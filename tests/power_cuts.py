"""A disk that remembers in which order things reached it, and what is on it after the power was cut at any moment.

While `Disk.recording` is on, every write, sync, rename and removal below a folder is done and written down.
`Disk.after_cuts` then makes the folder anew as a power cut after each of these steps could have left it:

* content that was not synced is there, is not there, or is there in part, or as zeros;
* names (creation, rename, removal) that were not synced are there up to some moment and not beyond it: journalling file
  systems keep them in order, but may bring a new name to the disk before the content of its file.

What does not go by way of `os` (a video that OpenCV writes) is not seen; a file that Python's `open` writes is refused.
"""

import io
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch


@dataclass(frozen=True)
class Step:
    """One thing that was done.

    Attributes:
        kind: "create", "mkdir", "rename", "unlink" and "rmdir" are about names; "content", "sync" about a file;
            "syncdir" about a folder; "note" is what the test wrote down.
        path: What it was done to.
        file: Number of the file, where it is about one.
        content: All that is in the file after the step, or the note.
        target: Where a rename leads.
    """

    kind: str
    path: Path
    file: int = -1
    content: Any = None
    target: Path | None = None

    @property
    def named(self) -> bool:
        return self.kind in ("create", "mkdir", "rename", "unlink", "rmdir")

    def touches(self, folder: Path) -> bool:
        return folder in (self.path.parent, self.target.parent if self.target else None)


@dataclass
class Disk:
    """A folder whose steps are recorded."""

    root: Path
    steps: list[Step] = field(default_factory=list)
    _files: dict[Path, int] = field(default_factory=dict)
    _open: dict[int, tuple[Path, int]] = field(default_factory=dict)
    _contents: dict[int, bytes] = field(default_factory=dict)
    _first: dict[Path, bytes] = field(default_factory=dict)
    _folders: list[Path] = field(default_factory=list)

    def note(self, note: Any) -> None:
        """Writes down what has come so far, `("acknowledged", 7)`, say."""
        self.steps.append(Step("note", self.root, content=note))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Within it what happens below the root is recorded; what was there before counts as on the disk."""
        for path in sorted(self.root.rglob("*")):
            if path.is_dir():
                self._folders.append(path)
            else:
                self._first[path] = path.read_bytes()
                self._files[path] = len(self._files)
                self._contents[self._files[path]] = self._first[path]
        with ExitStack() as patched:
            for name in (
                "open",
                "write",
                "fsync",
                "close",
                "replace",
                "rename",
                "unlink",
                "ftruncate",
                "mkdir",
                "rmdir",
            ):
                patched.enter_context(patch.object(os, name, self._watched(name, getattr(os, name))))
            patched.enter_context(patch.object(Path, "write_bytes", _write_bytes))
            patched.enter_context(
                patch.object(Path, "write_text", lambda path, text: _write_bytes(path, text.encode()))
            )
            patched.enter_context(patch.object(io, "open", self._refusing(io.open)))
            yield

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        see = getattr(self, f"_see_{name}")

        def call(*arguments: Any, **named: Any) -> Any:
            made = name in ("open", "mkdir") and not os.path.lexists(arguments[0])
            result = real(*arguments, **named)
            see(result, made, *arguments)
            return result

        return call

    def _refusing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            inside = not isinstance(file, int) and self.root in Path(file).parents and not os.path.isdir(file)
            assert not (inside and set(mode) & set("wax+")), f"{file} is written in a way that is not seen here"
            return real(file, mode, *arguments, **named)

        return call

    def _inside(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and self.root in Path(path).parents

    def _see_open(self, descriptor: int, made: bool, path: Any, flags: int, *_: Any, **__: Any) -> None:
        path = Path(path) if isinstance(path, str | os.PathLike) else self.root.parent
        if (flags & os.O_TMPFILE) == os.O_TMPFILE or not (self._inside(path) or path == self.root):
            return
        if path.is_dir():
            self._open[descriptor] = (path, -1)
            return
        if made:
            self._files[path] = number = max([-1, *self._contents]) + 1
            self._contents[number] = b""
            self.steps.append(Step("create", path, number))
        self._open[descriptor] = (path, self._files[path])
        if flags & os.O_TRUNC and self._contents[self._files[path]]:
            self._put(path, self._files[path], b"")

    def _put(self, path: Path, number: int, content: bytes) -> None:
        self._contents[number] = content
        self.steps.append(Step("content", path, number, content))

    def _see_write(self, written: int, made: bool, descriptor: int, data: bytes) -> None:
        if descriptor in self._open:
            path, number = self._open[descriptor]
            self._put(path, number, self._contents[number] + bytes(data[:written]))

    def _see_ftruncate(self, _: None, made: bool, descriptor: int, length: int) -> None:
        if descriptor in self._open:
            path, number = self._open[descriptor]
            self._put(path, number, self._contents[number][:length])

    def _see_fsync(self, _: None, made: bool, descriptor: int) -> None:
        if descriptor in self._open:
            path, number = self._open[descriptor]
            self.steps.append(Step("syncdir" if number < 0 else "sync", path, number, self._contents.get(number)))

    def _see_close(self, _: None, made: bool, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def _see_replace(self, _: None, made: bool, source: Any, target: Any, **__: Any) -> None:
        if self._inside(source):
            self.steps.append(Step("rename", Path(source), target=Path(target)))
            if Path(source) in self._files:
                self._files[Path(target)] = self._files.pop(Path(source))

    _see_rename = _see_replace

    def _see_unlink(self, _: None, made: bool, path: Any, **__: Any) -> None:
        if self._inside(path):
            self.steps.append(Step("unlink", Path(path), self._files.pop(Path(path))))

    def _see_mkdir(self, _: None, made: bool, path: Any, *__: Any) -> None:
        if made and self._inside(path):
            self.steps.append(Step("mkdir", Path(path)))

    def _see_rmdir(self, _: None, made: bool, path: Any, **__: Any) -> None:
        if self._inside(path):
            self.steps.append(Step("rmdir", Path(path)))

    def after_cuts(self, seed: int = 0) -> Iterator[tuple[Path, list[Any]]]:
        """The folder as each cut could leave it, at the same path, and the notes from before the cut."""
        lot = random.Random(seed)
        last = None
        for cut in range(len(self.steps) + 1):
            done = self.steps[:cut]
            notes = [step.content for step in done if step.kind == "note"]
            named = [index for index, step in enumerate(done) if step.named]
            least = self._synced_names(done)
            some = lot.choice([index for index in [*named, cut] if index >= least])
            for names, content in ((least, "synced"), (cut, "all"), (cut, "synced"), (some, "torn")):
                state = self._state(done, names, content, lot)
                if (state, notes) != last:
                    last = (state, notes)
                    self._write(*state)
                    yield self.root, notes

    def _synced_names(self, done: list[Step]) -> int:
        """Up to which step names are on the disk for certain."""
        least = 0
        for index, step in enumerate(done):
            if step.kind == "syncdir":
                before = [at for at, one in enumerate(done[:index]) if one.named and one.touches(step.path)]
                least = max([least, *(at + 1 for at in before)])
        return least

    def _state(
        self, done: list[Step], names: int, content: str, lot: random.Random
    ) -> tuple[tuple[Path, ...], tuple[tuple[Path, bytes], ...]]:
        """Folders and files: names up to a step, and content that is synced, or all, or torn."""
        folders, files = dict.fromkeys(self._folders), dict(zip(self._first, range(len(self._first)), strict=True))
        synced = dict(enumerate(self._first.values()))
        current = dict(synced)
        for index, step in enumerate(done):
            if step.kind in ("content", "sync"):
                (current if step.kind == "content" else synced)[step.file] = step.content
            if step.named and index < names:
                _rename(step, folders, files)
        found = []
        for path, number in files.items():
            safe, now = synced.get(number, b""), current.get(number, b"")
            data = {"synced": safe, "all": now}.get(content)
            if data is None:
                pairs = enumerate(zip(safe, now, strict=False))
                common = next((at for at, (one, other) in pairs if one != other), min(len(safe), len(now)))
                cut = lot.randint(common, len(now))
                data = now[:cut] if lot.random() < 0.7 else now[:common] + bytes(len(now) - common)
                data = safe if safe == now else data
            found.append((path, data))
        return tuple(folders), tuple(found)

    def _write(self, folders: tuple[Path, ...], files: tuple[tuple[Path, bytes], ...]) -> None:
        shutil.rmtree(self.root)
        self.root.mkdir()
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for path, data in files:
            path.write_bytes(data)


def _rename(step: Step, folders: dict[Path, None], files: dict[Path, int]) -> None:
    """Does to names what a step did."""
    if step.kind == "mkdir":
        folders[step.path] = None
    elif step.kind == "rmdir":
        folders.pop(step.path, None)
    elif step.kind == "create":
        files[step.path] = step.file
    elif step.kind == "unlink":
        files.pop(step.path, None)
    elif step.target is not None and step.path in files:
        files[step.target] = files.pop(step.path)


def _write_bytes(path: Path, data: bytes) -> int:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        return os.write(file, data)
    finally:
        os.close(file)
