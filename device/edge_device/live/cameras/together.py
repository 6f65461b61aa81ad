"""Several cameras in one process, each in a thread of its own.

    process       signals, service manager, models and their turns, ports, files
    porch         source ─▶ loop ─▶ sinks, one thread each
    feeder        source ─▶ loop ─▶ sinks, one thread each

What is wrong at the start ends the run. What fails later is begun anew by itself, as the service manager does with a
single camera, and the others go on meanwhile.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge_core.errors import EdgeError, SettingsError, SourceError
from edge_device.inference.accelerator import Coral, attached, parse_device
from edge_device.inference.turns import RunnerPool
from edge_device.live.cameras.camera_run import CameraRun
from edge_device.live.cameras.pulse import LoopPulse, ProcessPulse
from edge_device.live.cameras.run_host import RunHost, SharedParts
from edge_device.live.loop import CLOSE_S, close_sinks
from edge_device.live.options import LiveOptions
from edge_device.live.run import awaiting_signals, print_notice
from edge_device.notices import Notifier, notice
from edge_device.results import Status
from edge_device.sinks.sink import Sink
from edge_device.system.interrupts import StopRequest

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
"""Between the failure of a loop and the next one: at first, and doubled up to this."""

TRUSTED_S: Final = 60.0
"""A loop that has run for so long is begun anew after the first pause."""

LOOK_S: Final = 0.1
"""Between two looks at the threads."""

END_S: Final = 1.0
"""For a camera to end: SIGTERM leaves a second or so in all."""

MakeSinks = Callable[[str], Sequence[Sink]]
"""Makes the sinks of a camera, beside those of its options, given its name."""


class CameraThread:
    """One of several cameras.

    Attributes:
        run: The camera.
        pulse: What its loop tells of itself.
        status: Statistics of its last loop; None before its end.
        error: What has ended it; None if nothing but its source or the run did.
        fatal: Whether the error ends the others, too.
    """

    def __init__(self, run: CameraRun, host: RunHost, notify: Notifier) -> None:
        """Prepares a thread; `start` begins it."""
        self.run, self.pulse = run, LoopPulse()
        self.status: Status | None = None
        self.error: Exception | None = None
        self.fatal = False
        self._host, self._notify = host, notify
        self._camera = False
        self._thread = threading.Thread(target=self._work, name=f"camera {run.name}", daemon=True)
        self.start = self._thread.start
        self.join = self._thread.join

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        try:
            self.status = self._loops()
        except Exception as error:  # noqa: BLE001 - raised again in the thread that has begun this one
            self.error = error
        finally:
            if self.run.queues:
                # Once, at the end of the thread: sinks stay open while a loop is begun anew.
                for one in close_sinks(self.run.queues, self._host.ended):
                    self._notify(one)

    def _loops(self) -> Status | None:
        """Runs one loop after the other until one ends in order."""
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = time.monotonic()
            try:
                return self._loop()
            except Exception as error:
                # One more start with a model that may be at fault is the next process's: it counts them.
                self.fatal = self.run.queues is None or (self.run.on_trial and not isinstance(error, SourceError))
                if self.fatal or not self._camera:
                    raise
                # After a long run the next failure is a new one, not a repetition.
                pause_s = FIRST_PAUSE_S if time.monotonic() - began_s > TRUSTED_S else pause_s
                reason = " ".join(str(error).split()) or type(error).__name__
                self.run.notify(notice("warning", "loop", f"{reason}; the camera is begun anew in {pause_s:.0f} s"))
            until_s = time.monotonic() + pause_s
            while time.monotonic() < until_s:
                # In slices, so that the end of the run is noticed within a pause of a minute.
                if self._host.ended():
                    return self.status
                time.sleep(LOOK_S)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self.run.begin_anew()

    def _loop(self) -> Status:
        with self.run.source(wait=True) as source:
            self._camera = source.live
            if self.run.queues is None:
                self.run.open_sinks(source)
            with self.run.loop(source, self._notify) as loop:
                # In place of systemd, which one process has once: `ProcessPulse` tells it for all loops.
                loop.manager = self.pulse
                return loop.watch(self._host.ended)


def run_cameras(
    cameras: Mapping[str, LiveOptions],
    *,
    sinks: MakeSinks = lambda name: (),
    stopped: Callable[[], bool] = lambda: False,
    notify: Notifier = print_notice,
) -> dict[str, Status]:
    """Classifies the frames of several cameras until all have ended, or the run is asked to stop.

    A camera that is not there is waited for. Signals are taken as `run_live` takes them.

    Args:
        cameras: What is run on what, by the name of the camera.
        sinks: Makes further sinks of a camera.
        stopped: Function that says whether to end; it is called several times a second by every camera.
        notify: Gets what went wrong while sinks were closed.

    Returns:
        The statistics of each camera's last loop.

    Raises:
        EdgeError: What `run_live` raises, of the first camera for which something is wrong; its message begins with
            the camera's name.
    """
    cameras = _sharing_corals(cameras)
    asked, closed, failed = StopRequest(), threading.Event(), threading.Event()

    def ended() -> bool:
        return asked() or failed.is_set() or closed.is_set() or stopped()

    host = RunHost(asked, ended, closed.set, SharedParts(), RunnerPool())
    runs = []
    for name, options in cameras.items():
        with _naming(name):
            runs.append(CameraRun(options, host, name=name, sinks=sinks(name)))
    # Before the models are opened: a follower opens the model that its leader's updates have chosen.
    _share_updates(runs)
    for run in runs:
        with _naming(run.name):
            run.open_model()
    threads = [CameraThread(run, host, notify) for run in runs]
    pulse = ProcessPulse({one.run.name: one.pulse for one in threads})

    def hung_up() -> None:
        for run in runs:
            run.ask_for_model()

    with awaiting_signals(asked, hung_up):
        for one in threads:
            one.start()
        _wait(threads, pulse, host, failed)
    _end(threads)
    return {one.run.name: one.status for one in threads if one.status}


def _end(threads: Sequence[CameraThread]) -> None:
    """Notes that the run ends for another reason than a model, and raises what has ended a camera, the fatal first."""
    # Polls end first, or one could begin a trial that the next start takes for a crash.
    for one in threads:
        if one.run.updates:
            one.run.updates.close()
    # The fatal one is raised: the others may well have failed because the run ended.
    failures = sorted((one for one in threads if one.error), key=lambda one: not one.fatal)
    if not any(one.fatal for one in failures):
        for one in threads:
            if one.run.updates:
                one.run.updates.end_in_order()
    for one in failures:
        with _naming(one.run.name):
            assert one.error
            raise one.error


def _wait(threads: Sequence[CameraThread], pulse: ProcessPulse, host: RunHost, failed: threading.Event) -> None:
    """Until all have ended; once the end was asked for, for `END_S` and what the sinks may take."""
    while any(one.alive for one in threads) and not host.ended():
        pulse.beat()
        time.sleep(LOOK_S)
        # The others end, too, through `RunHost.ended`.
        if any(one.fatal for one in threads):
            failed.set()
    pulse.stopping()
    for one in threads:
        if one.run.updates:
            one.run.updates.stop()  # a candidate that hangs would hold up the sinks
    until_s = time.monotonic() + END_S + CLOSE_S
    for one in threads:
        one.join(max(0.0, until_s - time.monotonic()))


def _sharing_corals(cameras: Mapping[str, LiveOptions]) -> Mapping[str, LiveOptions]:
    """Has cameras whose Corals may be one, by whatever names, name it alike: by its name what is open is shared.

    Raises:
        SettingsError: Two models are to run on one. It holds the weights of one model, and another's would be loaded
            anew at each turn.
    """
    found, named, shared = attached(), list[tuple[Coral, str]](), dict(cameras)
    for name, options in cameras.items():
        with _naming(name):
            coral = parse_device(options.model.device)
        if coral is None:
            continue
        places = coral.places(found)
        other = next((other for theirs, other in named if places & theirs.places(found)), None)
        if other is None:
            named.append((coral, name))
            continue
        theirs = shared[other]
        shared[name] = replace(options, model=replace(options.model, device=theirs.model.device))
        if options.file.resolve() != theirs.file.resolve():
            raise SettingsError(
                f"{name}: {coral} computes the model of {other}, {theirs.file}; a Coral runs one model: have both "
                f"cameras name the same one, or give {name} a device of its own"
            )
    return shared


def _share_updates(runs: Sequence[CameraRun]) -> None:
    """Has the cameras that keep updates of the same model in a folder try them out together."""
    leaders: dict[Path, CameraRun] = {}
    for run in runs:
        if not run.options.updates.update_from:
            continue
        leader = leaders.setdefault(run.options.updates.update_folder.resolve(), run)
        if leader is run:
            continue
        ours, theirs = ((one.options.file, one.options.model.key, one.options.updates) for one in (run, leader))
        if ours != theirs:
            raise SettingsError(
                f"{leader.name} and {run.name} keep updates of different models, or in different ways, in one "
                f"folder, {run.options.updates.update_folder}; give each camera an update-folder of its own"
            )
        run.follow_updates_of(leader)


@contextmanager
def _naming(camera: str) -> Iterator[None]:
    """Within it, the message of an error begins with the name of a camera."""
    try:
        yield
    except EdgeError as error:
        # The same error with another text: its class decides the exit status.
        error.args = (f"{camera}: {error}",)
        raise
