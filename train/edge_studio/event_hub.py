"""What parts of the studio tell the pages that are open, as server-sent events."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

HEARTBEAT_S: Final = 15.0
"""A comment at least as often, by which a server notices that a page has gone."""

WAITING: Final = 256
"""Events that wait for one page; one that takes fewer is told to load its state anew."""


@dataclass(frozen=True, eq=False)
class Listener:
    """An open page: the project that it shows, and the events that wait for it, in the loop that sends them."""

    project: str
    events: asyncio.Queue[bytes]
    loop: asyncio.AbstractEventLoop


class EventHub:
    """Hands events to the pages of a project. `publish` may be called from any thread, and never waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()

    def publish(self, project: str, kind: str, value: Mapping[str, object]) -> None:
        """Tells all pages of a project.

        Args:
            project: Name of the project.
            kind: Name of the event, for `addEventListener`.
            value: What is told, as JSON.
        """
        message = event_message(kind, value)
        # Copied under the lock, as pages come and go in another thread.
        with self._lock:
            listeners = [one for one in self._listeners if one.project == project]
        for listener in listeners:
            # The loop is closed between the last page and the end of the server.
            if not listener.loop.is_closed():
                listener.loop.call_soon_threadsafe(_put, listener.events, message)

    async def listen(self, project: str) -> AsyncIterator[bytes]:
        """The events of a project from now on, for a response of the type text/event-stream.

        The first one is "reload": what happened before was told to nobody, while the page was loading, or while its
        connection was lost.
        """
        listener = Listener(project, asyncio.Queue(WAITING), asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
        try:
            yield b"retry: 2000\n\n" + event_message("reload", {})
            while True:
                try:
                    yield await asyncio.wait_for(listener.events.get(), HEARTBEAT_S)
                except TimeoutError:
                    yield b":\n\n"
        finally:
            with self._lock:
                self._listeners.discard(listener)


def event_message(kind: str, value: Mapping[str, object]) -> bytes:
    """A server-sent event: its data is JSON in one line, as JSON escapes line breaks."""
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()


def _put(events: asyncio.Queue[bytes], message: bytes) -> None:
    # Runs in the loop's own thread, where nobody takes an event out in between.
    if events.full():
        while not events.empty():
            events.get_nowait()
        message = event_message("reload", {})
    events.put_nowait(message)
