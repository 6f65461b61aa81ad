"""`edge-run live`."""

import threading
from collections.abc import Mapping
from typing import Final

from edge_device.cli.live_parameters import command_of, words_of
from edge_device.command_line.console import one_line_errors, say
from edge_device.command_line.next_step import as_root, say_next, say_next_live
from edge_device.live.configuration import LiveRun
from edge_device.live.options import ConsoleOptions, LiveOptions, described
from edge_device.notices import Notice
from edge_device.sinks.sink import Sink
from edge_device.sinks.terminal import console, notice_line
from edge_device.sources import is_camera

_FOR_ONCE: Final = frozenset({"frames", "realtime", *(one.name for one in described(ConsoleOptions))})
"""Options of one look at a source, which say nothing of how the model is to be run from then on."""

_NOT_IN_SERVICE: Final = frozenset({"window", "teach"})
"""Options that a service cannot have: it has no screen, and does not write its model."""


def _live(asked: LiveRun, given: Mapping[str, object]) -> None:
    """Classify the frames of a camera or a video as they come, until Ctrl-C.

    Made to run for months: a camera that is lost is opened again, a file that takes MODEL's place is verified and taken
    up, a sink that fails is tried again. `edge-run service install` makes a service of it.

    Options may stand in a file, --config porch.toml; those on the command line take precedence.

    Example: edge-run live flowers-int8.tflite --source 0 --threshold 0.7 --web 8080 --jsonl events.jsonl
    """
    with one_line_errors(asked.console.debug):
        from edge_device.live.cameras.together import run_cameras  # late: `edge-run images` does without the loop
        from edge_device.live.run import run_live

        unread = threading.Event()  # nobody reads standard output any more

        def notify(notice: Notice, /) -> None:
            if not unread.is_set():
                say(notice_line(notice))

        consoles: list[Sink] = []

        # Dashboards share one screen, that of the first camera.
        def sinks(name: str) -> list[Sink]:
            consoles.append(console(asked.console.as_json, unread.set, consoles[0] if consoles else None))
            return consoles[-1:]

        if list(asked.cameras) == [""]:
            statuses = {"": run_live(asked.cameras[""], sinks=sinks(""), stopped=unread.is_set, notify=notify)}
        else:
            statuses = run_cameras(asked.cameras, sinks=sinks, stopped=unread.is_set, notify=notify)
        # Nobody reads standard output any more, and `| head` expects no word after that.
        if unread.is_set():
            return
        for name, status in statuses.items():
            about = f"{name}: " if name else ""
            latency_ms = status.latency.total_ms
            say(f"{about}{status.frames} frames, {status.fps:.1f} fps, median {latency_ms:.1f} ms, {status.runtime}")
        if len(asked.cameras) == 1:
            _say_next(next(iter(asked.cameras.values())), given)


def _say_next(options: LiveOptions, given: Mapping[str, object]) -> None:
    """After a camera a service of it, after anything else a camera, with what the command line asked for."""
    kept = {name: value for name, value in given.items() if name not in _FOR_ONCE}
    if is_camera(options.source.source):
        from edge_device.system.unit_file import WRITTEN  # late: a run that goes on for months has no use for it

        kept = {name: value for name, value in kept.items() if name not in _NOT_IN_SERVICE}
        # The default, too, so that the line says which camera it will be.
        source = {} if "config" in kept else {"source": options.source.source}
        say_next(as_root("service", "install", *words_of(source | kept, WRITTEN)))
    else:
        kept = {name: value for name, value in kept.items() if name not in ("file", "source")}
        say_next_live(options.file, *words_of(kept))


live = command_of(_live)
