"""Teaches the model of a live run from its page: pictures by label, then a lesson in a thread of its own."""

import contextlib
import os
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, TypeVar

from edge_core.artifact.container import read_card
from edge_core.codec import JsonObject
from edge_core.data.photo_folder import NEGATIVES_FOLDER
from edge_core.errors import CheckFailedError, EdgeError, SettingsError
from edge_device.sinks.inbox.collection import Collection
from edge_device.sinks.inbox.folder_names import folder_name
from edge_device.teaching.examples import Examples, latest_examples
from edge_device.teaching.label_text import new_label
from edge_device.teaching.lesson import FEWEST, Judgement, Lesson, TeachSettings
from edge_device.teaching.teach import teach
from edge_device.teaching.write import previous_file, undo, write_taught

T = TypeVar("T")

State = Literal["idle", "teaching", "written", "refused", "undone", "not undone"]

MOST_NAMES: Final = 20
"""New labels that a page may name before one of them is taught."""

MOST_PICTURES: Final = 100
"""Pictures of a label that a lesson learns from, the latest: a lesson of more takes a Pi longer than a person waits."""

NICENESS: Final = 10
"""Of the thread that teaches: frames come first."""


class Teacher:
    """What the live page teaches with.

        teacher = Teacher(Path("flowers.tflite"))
        teacher.learn_from(Collection(Path("flowers-taught")))
        teacher.written.append(watcher.ask)
        teacher.name("my mug")
        ...  # pictures of it come into the collection
        teacher.start()

    Attributes:
        known: Labels of the model that runs.
        written: Functions that are called when the model's file was replaced, in the thread that did it.
        changed: Functions that are called when `to_json` may tell something else, from any thread.
    """

    def __init__(self, model: Path, settings: TeachSettings | None = None) -> None:
        """Begins with nothing to teach.

        Args:
            model: File that is taught, and replaced.
            settings: How it is taught, and what it must come to.
        """
        self.known = read_card(model).labels
        self.written: list[Callable[[], None]] = []
        self.changed: list[Callable[[], None]] = []
        self._model, self._settings = model, settings or TeachSettings()
        self._names = list[str]()
        self._collections = list[Collection]()
        self._learned = Counter[str]()
        # Guards what is told of the lesson, or the step back, that goes on or was the last; there is one at a time.
        self._telling = threading.Lock()
        self._state: State = "idle"
        self._text = self._step = ""

    def learn_from(self, collection: Collection) -> None:
        """Learns from the pictures that come into class folders, too; one camera may have others than the next.

        What lies in them already is learned from with the first new picture of its label.
        """
        if collection not in self._collections:
            self._collections.append(collection)
            self._learned.update(collection.counts)

    def name(self, text: str) -> str:
        """Adds a label that the model does not have; returns it as it is written.

        Raises:
            SettingsError: It cannot be a label, is there already, or there are too many.
        """
        label = new_label(text)
        there = {folder_name(one).casefold(): one for one in self.labels()}
        if alike := there.get(folder_name(label).casefold()):
            raise SettingsError(f"there is a label {alike!r} already; hold its button")
        if len(set(self._names) - set(self.known)) >= MOST_NAMES:
            raise SettingsError(f"{MOST_NAMES} new labels are there already; teach them first")
        self._names.append(label)
        self._tell()
        return label

    def labels(self) -> list[str]:
        """Labels that can be taught: those of the model, those that were named, and other class folders."""
        named = dict.fromkeys([*self.known, *self._names])
        folders = {folder_name(label) for label in named}
        return [*named, *sorted(set(self._counts()) - folders - {NEGATIVES_FOLDER})]

    def fresh(self, label: str) -> int:
        """Number of pictures of a label that were taken since it was taught last."""
        return self._pictures(label) - self._learned[folder_name(label)]

    def start(self) -> None:
        """Teaches what there are new pictures of, in a thread; `to_json` then tells what has come of it.

        Raises:
            SettingsError: There is nothing new, too little of a label, or a lesson goes on already.
        """
        lesson = {label: self._pictures(label) for label in self.labels() if self.fresh(label) > 0}
        if not lesson:
            raise SettingsError("there are no new pictures; press and hold a label while the camera sees it")
        for label, count in lesson.items():
            if count < FEWEST:
                raise SettingsError(f"{count} of {FEWEST} pictures of {label!r} that are needed; 20 are better")
        self._begin()
        try:
            threading.Thread(target=self._teach, args=(tuple(lesson),), name="lesson", daemon=True).start()
        except RuntimeError as error:  # no thread could be started, so that none ends the lesson
            self._end("refused", f"nothing was written: {error}")
            raise SettingsError(f"a lesson cannot begin now: {error}") from error

    def undo(self) -> None:
        """Brings the file back that was replaced last.

        Raises:
            EdgeError: There is none, it is damaged, or a lesson goes on.
        """
        self._begin()
        try:
            undo(self._model)
        except Exception as error:  # a disk that cannot be read, too: the next lesson must not wait for this for ever
            self._end("not undone", str(error))
            raise
        _call(self.written)
        self._end("undone", f"{self._model.name} is again what it was before")

    def to_json(self) -> JsonObject:
        """What the page is told."""
        with self._telling:
            state, step, text = self._state, self._step, self._text
        return {
            "state": state,
            "step": step,
            "text": text,
            "new": {label: count for label in self.labels() if (count := self.fresh(label)) > 0},
            "fewest": FEWEST,
            "undo": previous_file(self._model).is_file(),
        }

    def _pictures(self, label: str) -> int:
        return self._counts()[folder_name(label)]

    def _counts(self) -> Counter[str]:
        """Number of pictures by class folder, of all collections together."""
        # Copies, as a camera's thread may add a folder meanwhile.
        return sum((Counter(dict(one.counts)) for one in self._collections), Counter[str]())

    def _begin(self) -> None:
        # What is told says whether one goes on: who is told of the end may begin the next at once.
        with self._telling:
            if self._state == "teaching":
                raise SettingsError("a lesson goes on already; wait for its end")
            self._state, self._text, self._step = "teaching", "", ""
        self._tell()

    def _end(self, state: State, text: str) -> None:
        with self._telling:
            self._state, self._text, self._step = state, text, ""
        self._tell()

    def _teach(self, labels: tuple[str, ...]) -> None:
        """A lesson, in a thread of its own."""
        with contextlib.suppress(OSError, AttributeError):  # Linux has a niceness for each thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        taken = {label: self._pictures(label) for label in labels}
        try:
            found = self._taught(labels)
        except CheckFailedError as error:
            self._end("refused", f"nothing was written: {error}")
        except Exception as error:  # noqa: BLE001 - whatever a lesson brings about, the frames go on
            told = str(error) if isinstance(error, EdgeError) else f"{type(error).__name__}: {error}"
            self._end("refused", f"nothing was written: {told}")
        else:
            for label, count in taken.items():
                self._learned[folder_name(label)] = count
            _call(self.written)
            self._end("written", in_words(found))

    def _taught(self, labels: Iterable[str]) -> Judgement:
        examples: Examples = {}
        for label in labels:
            name = folder_name(label)
            folders = [one.folder / name for one in self._collections if name in one.counts]
            examples |= latest_examples(self._model, folders, label, MOST_PICTURES, self._track)
        taught = teach(self._model, Lesson(examples), self._settings, track=self._track)
        write_taught(taught, self._model)
        assert taught.judgement
        return taught.judgement

    def _track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Tells the page which step it is."""
        del total
        self._step = label
        self._tell()
        yield from items

    def _tell(self) -> None:
        _call(self.changed)


def _call(functions: Iterable[Callable[[], None]]) -> None:
    """Calls each, whatever the others do: a lesson that one of them could break off would go on for ever."""
    for function in functions:
        try:
            function()
        except Exception:  # noqa: BLE001 - the log has it, and the lesson goes on
            traceback.print_exc()


def in_words(found: Judgement) -> str:
    """What the gate has found, a sentence for each label and one for the others."""
    lines = [f"{label} is told right in {share.percent()} of its pictures" for label, share in found.taught.items()]
    if found.before and found.after:
        lines.append(f"the other labels in {found.after.percent()} of their examples, {found.before.percent()} before")
    return "; ".join(lines)
