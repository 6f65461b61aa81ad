"""What a person should know while something runs, and who passes it on. Standard library alone."""

import time
from dataclasses import asdict, dataclass
from typing import Final, Literal, Protocol

Level = Literal["info", "warning"]

UPDATE: Final = "update"
"""What notices of model updates are about."""


@dataclass(frozen=True)
class Notice:
    """Something a person should know: a source was lost, an accelerator is back, a model was swapped.

    Attributes:
        level: "warning" for what is worse than before, "info" for what is better or as asked.
        about: "source", "view", "model", "accelerator", "update", "sink NAME" or "loop".
        text: One line of plain text.
        time: Seconds since the epoch.
        camera: Name of the camera that it is about; empty where a process reads but one that has no name.
    """

    level: Level
    about: str
    text: str
    time: float
    camera: str = ""

    def to_json(self) -> dict[str, object]:
        fields = {**asdict(self), "time": round(self.time, 3)}
        if not self.camera:
            del fields["camera"]
        return fields


class Notifier(Protocol):
    """Takes notices: a function of one notice, which any thread may call, returns soon and raises nothing."""

    def __call__(self, notice: Notice, /) -> None: ...


def notice(level: Level, about: str, text: str) -> Notice:
    """A notice of this moment."""
    return Notice(level, about, text, time.time())


def ignore(notice: Notice, /) -> None:
    """The notifier of who does not want to know."""
