"""A command run for every event."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, ClassVar, Final, Literal

from edge_core.artifact.card import ModelCard
from edge_core.errors import SettingsError
from edge_device.command_line.console import say
from edge_device.results import Event
from edge_device.sinks.sink import Refused, Sink

TEMPORARY: Final = 75
"""EX_TEMPFAIL of sysexits.h: the exit status with which a command asks to be run again."""

_SHELLS: Final = {"sh", "ash", "bash", "dash", "fish", "ksh", "zsh"}
_PLACEHOLDER: Final = re.compile(r"\{(label|zone|kind|score|duration|camera)\}")
_READS_CODE: Final = {"ssh", "su", "watch", "xargs", "parallel"}
_CODE_OPTIONS: Final = {"-c", "-e", "--command", "--eval"}
"""Programs and options that take their arguments for a shell's or another language's text."""

_PLAIN: Final = re.compile(r"[\w\s.,:;!?=()%°+-]*")
"""What may stand around a placeholder in a word that is neither a path nor code nor JSON."""

_LIKE_ONE: Final = re.compile(r"\{[a-z_]+\}")


def parse_command(text: str) -> tuple[str, ...]:
    """Splits a command as a shell would, and checks its placeholders.

    Raises:
        SettingsError: No command, a quote that is not closed, an unknown placeholder, or one that a shell would read.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise SettingsError(f"--on-event {text!r}: {error}") from error
    # A zero byte cannot be in the argument of a process: execve(2) ends a text at it.
    if not words or not words[0] or "\0" in text:
        raise SettingsError("--on-event takes a command, 'notify-send {kind} {label}', say")
    _check_placeholders(words)
    return words


def _check_placeholders(words: Sequence[str]) -> None:
    """Refuses placeholders that are not known, and those that would let a label choose what is run."""
    known = "{label}, {zone}, {kind}, {score}, {duration} and {camera}"
    for found in (found for word in words for found in _LIKE_ONE.findall(word)):
        if not _PLACEHOLDER.fullmatch(found):
            raise SettingsError(f"--on-event has no placeholder {found}; there are {known}")
    if _PLACEHOLDER.search(words[0]):
        raise SettingsError("--on-event cannot choose the program by a placeholder")
    if words[0].rpartition("/")[2] in _SHELLS and any(_PLACEHOLDER.search(word) for word in words):
        raise SettingsError('a shell would read a label as a command; use "$EDGE_LABEL" in place of {label}, and so on')


class Command(Sink):
    """Runs a command for each event, one at a time, without a shell.

    An event is in its arguments, where placeholders say so, and in its environment: EDGE_LABEL, EDGE_ZONE, EDGE_KIND,
    EDGE_SCORE, EDGE_DURATION_S, EDGE_TIME, EDGE_NUMBER, and EDGE_CAMERA of a camera that has a name. In the environment
    a label is as it is. In an argument it is, too, unless something would read it: see `substituted`. What the command
    prints is passed on to standard error, shortened.

    A command that ends with a status other than 0, or is killed because it took too long, has failed, and is not run
    again, for it may have done half of its work; only status 75 asks for that. A program that cannot be started is
    tried again.
    """

    name = "command"
    frames: ClassVar[Literal["all", "newest", "none"]] = "none"

    def __init__(self, words: Sequence[str], timeout_s: float = 10.0) -> None:
        """Names the command.

        Args:
            words: Program and arguments, see `parse_command`.
            timeout_s: Seconds after which it and all that it has started in its session is killed.
        """
        self._words = tuple(words)
        self._timeout_s = timeout_s
        self._running: subprocess.Popen[bytes] | None = None

    def open(self, card: ModelCard) -> None:
        if shutil.which(self._words[0]) is None:
            raise SettingsError(f"--on-event: there is no program {self._words[0]}, or it is not executable")

    def event(self, event: Event) -> None:
        values = {
            "label": event.label,
            "zone": event.zone,
            "kind": event.kind,
            "score": f"{event.score:.3f}",
            "duration": f"{event.duration_s:.1f}",
            "camera": event.camera,
        }
        words = substituted(self._words, values)
        # Without our own EDGE_ variables: there may be passwords among them.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
        environment |= {f"EDGE_{name.upper()}": value.replace("\0", "") for name, value in values.items()}
        environment |= {"EDGE_DURATION_S": environment.pop("EDGE_DURATION")}
        environment |= {"EDGE_TIME": f"{event.time:.3f}", "EDGE_NUMBER": str(event.number)}
        if not event.camera:
            del environment["EDGE_CAMERA"]
        with (
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
        ):  # a pipe would be held open by what the command leaves running
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=environment,
                # A session of its own, so that what the command starts can be killed with it.
                start_new_session=True,
            )
            self._running = process
            try:
                status = process.wait(self._timeout_s)
            except subprocess.TimeoutExpired:
                # The group, not the process alone: what it has started would go on, and hold the files open.
                self.abandon()
                process.wait()
                raise Refused(f"{words[0]} was killed after {self._timeout_s:g} s") from None
            finally:
                self._running = None
            if status:
                said = _last(errors)
                ended = f"{words[0]} ended with status {status}" + (f": {said}" if said else "")
                raise (OSError if status == TEMPORARY else Refused)(ended)
            if said := " ".join(part for part in (_last(output), _last(errors)) if part):
                say(f"{words[0]}: {said}")

    def abandon(self) -> None:
        if running := self._running:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def _last(file: IO[bytes]) -> str:
    """The last of what a command has printed, on one line."""
    # The last 300 bytes: commands tell the cause of an error last.
    file.seek(max(0, file.seek(0, os.SEEK_END) - 300))
    text = " ".join(file.read().decode(errors="replace").split())
    return "".join(character for character in text if character.isprintable())


def substituted(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The words with an event in place of the placeholders.

    A value stays as it is where nothing reads it: `{label}` alone, or among words as in `saw {label}`. Beside slashes,
    quotes and braces, after an option such as -c, and with a program such as ssh, it is made `harmless`.
    """
    code = words[0].rpartition("/")[2] in _READS_CODE or not _CODE_OPTIONS.isdisjoint(words[1:])

    def made(word: str) -> str:
        plain = not code and _PLAIN.fullmatch(_PLACEHOLDER.sub("", word))
        return _PLACEHOLDER.sub(lambda found: (shown if plain else harmless)(values[found[1]]), word)

    return [made(word) for word in words]


def shown(value: str) -> str:
    """A text as it is, but for control characters, and for a beginning that would make an option or a path of it."""
    value = "".join(character if character.isprintable() else " " for character in value)
    # A label with a slash in it is no path unless it leads upwards.
    if ".." in value.split("/"):
        value = value.replace("/", "_")
    return re.sub(r"^[-+@<>~/.\s]+", "_", value)


def harmless(value: str) -> str:
    """A text that is no option, no path and no file to be read, wherever it stands in a command line."""
    value = re.sub(r"[^\w .,+:()%-]", "_", value)
    return re.sub(r"^\W+", "_", value)
