"""`edge-run live`."""

import threading

from edge_core.errors import SettingsError
from edge_device.cli.live_parameters import command_of
from edge_device.command_line.console import one_line_errors, say
from edge_device.command_line.next_step import as_root, say_next, say_next_live
from edge_device.live.configuration import LiveRun
from edge_device.live.options import LiveOptions
from edge_device.notices import Notice
from edge_device.sinks.terminal import console, notice_line
from edge_device.sources import is_camera


def _live(asked: LiveRun) -> None:
    """Classify the frames of a camera or a video as they come, until Ctrl-C.

    Made to run for months: a camera that is lost is opened again, a file that takes MODEL's place is verified and taken
    up, a sink that fails is tried again. `edge-run service install` makes a service of it.

    Options may stand in a file, and the command line goes before it: --config porch.toml.

    Example: edge-run live flowers-int8.tflite --source 0 --threshold 0.7 --web 8080 --jsonl events.jsonl
    """
    with one_line_errors(asked.console.debug):
        from edge_device.live.run import run_live  # late: `edge-run images` does without the loop

        unread = threading.Event()  # nobody reads standard output any more

        def notify(notice: Notice, /) -> None:
            if not unread.is_set():
                say(notice_line(notice))

        if len(asked.cameras) > 1:
            raise SettingsError(
                f"one edge-run live reads one camera, not {', '.join(asked.cameras)}; start one for each"
            )
        (options,) = asked.cameras.values()
        status = run_live(
            options, sinks=[console(asked.console.as_json, unread.set)], stopped=unread.is_set, notify=notify
        )
        if not unread.is_set():
            latency_ms = status.latency.total_ms
            say(f"{status.frames} frames, {status.fps:.1f} fps, median {latency_ms:.1f} ms, {status.runtime}")
            _say_next(options)


def _say_next(options: LiveOptions) -> None:
    """After a camera a service of it, after anything else a camera."""
    source = options.source.source
    if is_camera(source):
        say_next(as_root("service", "install", str(options.file), "--source", source))
    else:
        say_next_live(options.file)


live = command_of(_live)
