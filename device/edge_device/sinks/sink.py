"""What a sink is."""

from typing import ClassVar, Literal

from edge_core.artifact.card import ModelCard
from edge_device.notices import Notice
from edge_device.results import Event, FrameResult, Status


class Refused(Exception):
    """Raised by `Sink.event`: this event will never be accepted. It counts as lost, and the next one is taken up."""


class Later(Exception):
    """Raised by `Sink.event`: the event is not to be handed over again before so many seconds have passed."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class Sink:
    """Takes what comes out of the loop; a subclass overrides what it cares for.

    All methods of a sink are called from one thread of its own, one after the other, so a sink may block and needs no
    lock against itself. Any exception is counted and told of once; a frame, notice or status is then given up, an event
    is handed over again, with growing pauses, until it is accepted: `event` returns only once it was delivered as
    well as this sink can know.

    Attributes:
        name: One word, for statistics and messages.
        frames: Which frame results it is given: all that its queue holds, only the newest one of each zone, or none.
        wants_image: Whether `result.frame.image` is needed. Such a sink's queue is short, and the image must not be
            changed; no other sink is given one.
    """

    name: str
    frames: ClassVar[Literal["all", "newest", "none"]] = "all"
    wants_image: ClassVar[bool] = False

    def open(self, card: ModelCard) -> None:
        """Called once before all else, and again when the model was swapped.

        Raises:
            EdgeError: At the first call only, in the caller's thread: it can never work (a bad address, a folder that
                cannot be written). What may come later, a broker that is down, say, is no error.
        """

    def frame(self, result: FrameResult) -> None:
        """A zone of a frame was classified."""

    def event(self, event: Event) -> None:
        """A label entered or left."""

    def notice(self, notice: Notice) -> None:
        """Something to tell a person."""

    def status(self, status: Status) -> None:
        """Statistics, every few seconds and at the end."""

    def close(self) -> None:
        """Called once at the end; nothing is called after it. Must return within half a second."""

    def abandon(self) -> None:
        """Called at the end if the sink has not returned in time, from another thread: ends what it started
        elsewhere."""
