"""Between the loop, which must never wait, and the sinks, which may: a thread and bounded queues for each."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import numpy as np

from edge_core.artifact.card import ModelCard
from edge_core.preprocess import Frame
from edge_device.notices import Level, Notice, Notifier, ignore, notice
from edge_device.results import Event, FrameResult, SinkCounts, Status
from edge_device.sinks.sink import Later, Refused, Sink
from edge_device.sources import SourceFrame

FRAMES: Final = 256
"""Frame results that a queue holds, without images: 8 s at 30 frames a second, 0.2 MB."""

IMAGES: Final = 4
"""Frames that a queue of whole images holds: 11 MB at 1280x720."""

LOOK_S: Final = 0.05
"""Between two looks at whether closing is in a hurry."""

EVENTS: Final = 10_000
"""Events that are kept for a sink that is down: a week at one a minute, 3 MB."""

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 30.0
LONGEST_WISH_S: Final = 300.0
"""What the pause is cut to that a sink asks for."""

SETTLED_S: Final = 2.0
"""A sink is told to be back once it has worked for so long: one that fails now and then must not fill the logs."""

NO_IMAGE: Final[Frame] = np.zeros((0, 0, 3), np.uint8)
# One array for all results, which nobody may write into.
NO_IMAGE.flags.writeable = False

Patience = Callable[[], bool]


class _All:
    """Frame results that wait, the oldest of which makes room for a new one."""

    def __init__(self, room: int) -> None:
        self._waiting: deque[FrameResult] = deque(maxlen=room)
        self._room = room
        self.put = self._waiting.append
        self.take = self._waiting.popleft

    def __len__(self) -> int:
        return len(self._waiting)

    def full(self) -> bool:
        return len(self._waiting) >= self._room


class _Newest:
    """The newest frame result of each zone, or subject in it; they take turns, so that none starves."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int], FrameResult] = {}
        self._turn: list[tuple[str, int]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def full(self) -> bool:
        return False

    def put(self, result: FrameResult) -> None:
        self._waiting[result.zone, result.subject.rank if result.subject else 0] = result

    def take(self) -> FrameResult:
        if not self._turn:
            self._turn = list(self._waiting)[::-1]
        return self._waiting.pop(self._turn.pop())


class SinkQueue:
    """One sink with its thread and queues. No public method but `closed` waits, and none raises.

    Only single operations on deques and dicts, which the interpreter does as a whole, pass between the threads: a lock
    would let the loop wait. Every count has one thread that writes it.
    """

    def __init__(self, sink: Sink, notify: Notifier, zones: int = 1) -> None:
        """Starts the thread.

        Args:
            sink: Sink that is open already.
            notify: Gets, in the sink's thread, that the sink begins to fail, and that it is back.
            zones: How many results a frame has.
        """
        self.sink = sink
        self._notify = notify
        self._frames = _Newest() if sink.frames == "newest" else _All(IMAGES * zones if sink.wants_image else FRAMES)
        self._events: deque[Event] = deque(maxlen=EVENTS)
        self._notices: deque[Notice] = deque(maxlen=100)
        self._status: deque[Status] = deque(maxlen=1)
        self._card: deque[ModelCard] = deque(maxlen=1)
        self._frames_put = self._events_put = 0  # by the loop; the other counts by the sink's thread
        self._frames_taken = self._frames_accepted = self._frames_failed = 0
        self._events_taken = self._events_accepted = self._events_refused = 0
        self._failures = 0
        self._error = ""
        self._failing_since: float | None = None
        self._failed_s = 0.0
        self._in_hand: Event | None = None
        self._pause_s = FIRST_PAUSE_S
        self._again_s = 0.0
        self._close_by: float | None = None
        self._idle = False
        self._asleep = threading.Lock()  # released to wake it: 5 microseconds, a threading.Event takes 11
        # Held while it sleeps; whoever releases it wakes the thread.
        self._asleep.acquire()
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)
        self._thread.start()

    def frame(self, result: FrameResult, patience: Patience | None = None) -> None:
        while patience and self._frames.full() and patience():
            time.sleep(0.002)
        self._frames_put += 1
        self._frames.put(result)
        if self._idle:
            self._wake()

    def event(self, event: Event) -> None:
        self._events_put += 1
        self._events.append(event)
        self._wake()

    def notice(self, notice: Notice) -> None:
        self._notices.append(notice)
        self._wake()

    def status(self, status: Status) -> None:
        self._status.append(status)
        self._wake()

    def swapped(self, card: ModelCard) -> None:
        self._card.append(card)
        self._wake()

    def counts(self) -> SinkCounts:
        # What is taken is counted before it leaves its queue, so the differences may be one too small for a moment.
        frames_dropped = self._frames_put - self._frames_taken - len(self._frames)
        events_dropped = self._events_put - self._events_taken - len(self._events)
        return SinkCounts(
            frames=self._frames_accepted,
            events=self._events_accepted,
            frames_dropped=max(0, frames_dropped) + self._frames_failed,
            events_lost=max(0, events_dropped) + self._events_refused,
            failures=self._failures,
            error=self._error,
        )

    def events_waiting(self) -> int:
        return len(self._events) + (self._in_hand is not None)

    def ask_to_close(self, by_s: float) -> None:
        """Lets the sink take until `by_s`, by `time.monotonic`, what waits, each event once, and closes it then."""
        self._close_by = by_s
        self._wake()

    def closed(self, by_s: float) -> bool:
        """Waits until `by_s` at most, and tells whether the sink is closed."""
        self._thread.join(max(0.0, by_s - time.monotonic()))
        return not self._thread.is_alive()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # it was woken already
            self._asleep.release()

    def _run(self) -> None:
        while self._close_by is None:
            if not self._work():
                self._sleep()
            if self._failing_since is not None and not self._error and time.monotonic() >= self._failed_s + SETTLED_S:
                self._recovered(self._failing_since)
        # At the end a waiting event is due at once, whatever its pause is.
        self._again_s = 0.0
        while time.monotonic() < self._close_by and self._work():
            pass
        try:
            self.sink.close()
        except Exception as error:  # noqa: BLE001 - a sink may raise anything
            self._failed(error)

    def _sleep(self) -> None:
        """Until there is work. `frame` looks at `_idle` after it has put something in, so it is set before looking."""
        self._idle = True
        self._asleep.acquire(blocking=False)
        ready = self._frames or self._notices or self._status or self._card or (self._events and not self._in_hand)
        if not ready and self._close_by is None:
            until = self._again_s if self._in_hand else math.inf
            if self._failing_since is not None and not self._error:
                until = min(until, self._failed_s + SETTLED_S)
            self._asleep.acquire(timeout=-1 if math.isinf(until) else max(0.0, until - time.monotonic()))
        self._idle = False

    def _work(self) -> bool:
        """Hands over what is next; False if there is nothing, or only an event whose time has not come again."""
        if self._card:
            self._handed(self.sink.open, self._card.popleft())
        elif self._event_due():
            self._hand_event()
        elif self._notices:
            self._handed(self.sink.notice, self._notices.popleft())
        elif self._status:
            self._handed(self.sink.status, self._status.popleft())
        elif self._frames:
            self._frames_taken += 1
            accepted = self._handed(self.sink.frame, self._frames.take())
            self._frames_accepted += accepted
            self._frames_failed += not accepted
        else:
            return False
        return True

    def _event_due(self) -> bool:
        if self._in_hand is None and self._events:
            self._events_taken += 1
            self._in_hand = self._events.popleft()
            return True
        return self._in_hand is not None and time.monotonic() >= self._again_s

    def _hand_event(self) -> None:
        assert self._in_hand
        try:
            self.sink.event(self._in_hand)
        except Refused as error:
            self._events_refused += 1
            self._in_hand = None
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - as above
            wish_s = min(error.after_s, LONGEST_WISH_S) if isinstance(error, Later) else 0.0
            # At the end each event is tried once.
            pause_s = math.inf if self._close_by else max(self._pause_s, wish_s)
            self._again_s = time.monotonic() + pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._failed(error)
        else:
            # Counted last: who sees the event delivered must not find the error of an attempt before.
            self._error = ""
            self._in_hand = None
            self._pause_s, self._again_s = FIRST_PAUSE_S, 0.0
            self._events_accepted += 1

    def _handed(self, take: Callable[..., None], what: FrameResult | Notice | Status | ModelCard) -> bool:
        try:
            take(what)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
            return False
        # A sink with an event that it did not accept still fails, even if it takes frames.
        if self._in_hand is None:
            self._error = ""
        return True

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._error = " ".join(str(error).split()) or type(error).__name__
        self._failed_s = time.monotonic()
        if self._failing_since is None:
            self._failing_since = self._failed_s
            self._notify_of("warning", self._error)

    def _recovered(self, since: float) -> None:
        self._failing_since = None
        lost = self.counts().events_lost
        so_far = f"; {lost} events were lost so far" if lost else ""
        self._notify_of("info", f"works again after {self._failed_s - since:.1f} s{so_far}")

    def _notify_of(self, level: Level, text: str) -> None:
        self._notify(notice(level, f"sink {self.sink.name}", text))


class SinkQueues:
    """All sinks of a run.

    Every method but `close` takes some ten microseconds a sink, most of it to wake its thread, and raises nothing,
    whatever the sinks do.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        card: ModelCard,
        *,
        zones: int = 1,
        notify: Notifier = ignore,
        patience: Patience | None = None,
        camera: str = "",
    ) -> None:
        """Opens the sinks, in this thread, and starts theirs.

        Args:
            sinks: Not opened yet.
            card: Card of the model.
            zones: How many results a frame has.
            notify: Gets, in any thread, what the other sinks get, too: that a sink fails, or is back.
            patience: Function for a source that can wait, a file: while a full queue holds `frame` up it says
                whether to go on waiting. Without it the oldest frame makes room.
            camera: Name of the camera, which all that the sinks are given is marked with.

        Raises:
            EdgeError: A sink can never work; those before it are closed again.
        """
        self._queues: dict[str, SinkQueue] = {}
        self._notify = notify
        self._patience = patience
        self._camera = camera
        opened: list[Sink] = []
        try:
            for sink in sinks:
                sink.open(card)
                opened.append(sink)
        except BaseException:
            for sink in opened:
                sink.close()
            raise
        for sink in sinks:
            same = sum(queue.sink.name == sink.name for queue in self._queues.values())
            name = f"{sink.name} {same + 1}" if same else sink.name
            self._queues = {
                **self._queues,
                name: SinkQueue(sink, self._pass_on, zones),
            }  # whole, for threads that look on
        taking = [queue for queue in self._queues.values() if queue.sink.frames != "none"]
        self._with_image = [queue for queue in taking if queue.sink.wants_image]
        self._without_image = [queue for queue in taking if not queue.sink.wants_image]

    def frame(self, result: FrameResult) -> None:
        if self._camera:
            result = replace(result, camera=self._camera)
        for queue in self._with_image:
            queue.frame(result, self._patience)
        if self._without_image:
            stripped = without_image(result)
            for queue in self._without_image:
                queue.frame(stripped, self._patience)

    def event(self, event: Event) -> None:
        if self._camera:
            event = replace(event, camera=self._camera)
        for queue in self._queues.values():
            queue.event(event)

    def notice(self, notice: Notice) -> None:
        if self._camera:
            notice = replace(notice, camera=self._camera)
        for queue in self._queues.values():
            queue.notice(notice)

    def status(self, status: Status) -> None:
        if self._camera:
            status = replace(status, camera=self._camera)
        for queue in self._queues.values():
            queue.status(status)

    def swapped(self, card: ModelCard) -> None:
        """The model was replaced: every sink is opened again, with the card of the new one."""
        for queue in self._queues.values():
            queue.swapped(card)

    def counts(self) -> dict[str, SinkCounts]:
        return {name: queue.counts() for name, queue in self._queues.items()}

    def close(self, within_s: float = 0.8, hurry_s: Callable[[], float] = lambda: math.inf) -> list[Notice]:
        """Lets the sinks take what waits, and closes them.

        Args:
            within_s: Seconds that closing may take: after half of that the rest is given up, and after all of it
                the sinks that still do not return.
            hurry_s: Function that is called several times a second, and says how many seconds it may take from then
                on: fewer once the end is asked for.

        Returns:
            What went wrong, for no sink is left to tell it.
        """
        lost_before = {name: queue.counts().events_lost for name, queue in self._queues.items()}
        end_s = self._ask_to_close(within_s)
        for queue in self._queues.values():
            while not queue.closed(min(end_s, time.monotonic() + LOOK_S)) and time.monotonic() < end_s:
                if (soon_s := hurry_s()) < end_s - time.monotonic():
                    end_s = self._ask_to_close(soon_s)
        left = []
        for name, queue in self._queues.items():
            stuck = not queue.closed(end_s)
            if stuck:
                # From this thread: its own is stuck in a call.
                queue.sink.abandon()
            faults = ["did not return and was abandoned"] if stuck else []
            if waiting := queue.events_waiting():
                faults.append(f"{waiting} events were not delivered")
            if lost := queue.counts().events_lost - lost_before[name]:
                faults.append(f"{lost} events were lost: {queue.counts().error}")
            if faults:
                left.append(replace(notice("warning", f"sink {name}", "; ".join(faults)), camera=self._camera))
        return left

    def _ask_to_close(self, within_s: float) -> float:
        """Asks all of them, and returns by when they should have closed."""
        now_s = time.monotonic()
        for queue in self._queues.values():
            queue.ask_to_close(now_s + within_s / 2)
        return now_s + within_s

    def _pass_on(self, notice: Notice, /) -> None:
        notice = replace(notice, camera=self._camera)
        for queue in self._queues.values():
            if notice.about != f"sink {queue.sink.name}":
                queue.notice(notice)
        self._notify(notice)


def without_image(result: FrameResult) -> FrameResult:
    """The same without pixels, so that a queue that holds it does not hold their memory."""
    frame = result.frame
    bare = SourceFrame(NO_IMAGE, frame.source, frame.index, frame.time_s, frame.capture_ms, frame.taken_s)
    stripped = object.__new__(FrameResult)
    stripped.__dict__.update(result.__dict__, frame=bare)  # of every frame: `replace` takes four times as long
    return stripped
