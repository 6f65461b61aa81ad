"""A live run from its options: everything opened, the loop, everything closed."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from edge_device.command_line.console import say
from edge_device.live.cameras.camera_run import CameraRun, watched
from edge_device.live.cameras.run_host import RunHost
from edge_device.live.options import LiveOptions
from edge_device.notices import Notice, Notifier
from edge_device.results import Status
from edge_device.sinks.sink import Sink
from edge_device.sinks.terminal import notice_line
from edge_device.system.interrupts import StopRequest


def print_notice(notice: Notice, /) -> None:
    """Prints a notice to standard error."""
    say(notice_line(notice))


def run_live(
    options: LiveOptions,
    *,
    sinks: Sequence[Sink] = (),
    stopped: Callable[[], bool] = lambda: False,
    notify: Notifier = print_notice,
) -> Status:
    """Classifies the frames of a source until it ends, is asked to stop, or the window is closed.

    In the main thread, Ctrl-C and SIGTERM end the run in order, and SIGHUP looks at the model file at once. In another
    thread `stopped` alone ends it.

    Args:
        options: What is run on what, and where results go.
        sinks: Further sinks, not opened yet; they are opened before those of the options, and closed at the end.
        stopped: Function that says whether to end; it is called several times a second.
        notify: Gets what went wrong while the sinks were closed; prints it to standard error by default.

    Returns:
        The statistics of the whole run.

    Raises:
        SettingsError: The text of an option is not what it should be, or two options contradict each other.
        CheckFailedError: The model is not signed by the key that is asked for.
        ModelFormatError: The file is no complete model.
        SourceError: The source cannot be opened, has failed for good, or gave no frame.
        OutputError: A sink can never work.
        RuntimeMissingError: An interpreter, or a package that a sink needs, is not installed.
    """
    asked, closed = StopRequest(), threading.Event()

    def ended() -> bool:
        return asked() or closed.is_set() or stopped()

    run = CameraRun(options, RunHost(asked, ended, closed.set), sinks=sinks)
    run.open_model()
    with ExitStack() as opened:
        source = opened.enter_context(run.source())
        opened.enter_context(awaiting_signals(asked, run.ask_for_model))  # from here on no output may be cut in two
        run.open_sinks(source)
        loop = opened.enter_context(run.loop(source, notify))
        return watched(loop, ended, run.updates)


@contextmanager
def awaiting_signals(asked: StopRequest, hung_up: Callable[[], None]) -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM set `asked`, and SIGHUP calls `hung_up`.

    Does nothing in another thread than the main one, which alone may set handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What `systemctl reload` sends, by the unit's ExecReload.
    before = signal.signal(signal.SIGHUP, lambda number, frame: hung_up())
    try:
        with asked.awaited():
            yield
    finally:
        signal.signal(signal.SIGHUP, before)
