"""A live run from its options: everything opened, the loop, everything closed."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.errors import CheckFailedError, EdgeError, ModelFormatError, SettingsError, SourceError
from edge_core.preprocess import InputSpec
from edge_device.command_line.console import extra_needed, say
from edge_device.frames.focus import Focus
from edge_device.frames.motion import MotionRule
from edge_device.frames.regions import WHOLE, Orientation, Region, covering, parse_region, parse_zones
from edge_device.inference.accelerator import open_classifier, parse_device
from edge_device.inference.classifier import SOFTMAX_ONLY, Classifier
from edge_device.inference.threads import choose_threads, parse_threads
from edge_device.inference.verify import verify
from edge_device.live.decisions import Rule, parse_smoothing, parse_thresholds
from edge_device.live.loop import Live, LiveSettings
from edge_device.live.make_focus import make_focus
from edge_device.live.make_sinks import make_sinks, wants_whole_frames
from edge_device.live.model_watcher import ModelWatcher
from edge_device.live.options import SOURCE_PASSWORD, DecisionOptions, LiveOptions, ModelOptions, SourceOptions
from edge_device.live.update.session import UpdateSession
from edge_device.notices import Notice, Notifier, notice
from edge_device.results import Status
from edge_device.sinks.sink import Sink
from edge_device.sinks.sink_queue import SinkQueues
from edge_device.sinks.terminal import notice_line
from edge_device.sources import CameraMode, Pictures, Source, open_source, parse_controls, redact
from edge_device.sources.network.addresses import with_password
from edge_device.system.interrupts import StopRequest
from edge_device.system.lasting import why_not_lasting

PAGE_SIDE: Final = 360
"""Of the live page's and of Home Assistant's picture, the shorter side in pixels at least: half of 1280x720, which
decodes in half the time."""


def _print(notice: Notice, /) -> None:
    say(notice_line(notice))


def run_live(
    options: LiveOptions,
    *,
    sinks: Sequence[Sink] = (),
    stopped: Callable[[], bool] = lambda: False,
    notify: Notifier = _print,
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
    asked, closed, kept = StopRequest(), threading.Event(), KeptNotices()
    plan = _planned(options)

    def ended() -> bool:
        return asked() or closed.is_set() or stopped()

    with ExitStack() as opened:
        outputs = [*sinks, *make_sinks(options.sinks, plan.regions, plan.name, closed.set)]
        for one in _not_lasting(options):
            kept(one)
        key = _signing_key(options.file, options.model)
        updates = UpdateSession(options, plan.regions, kept) if options.updates.update_from else None
        models = Models(options, kept, asked)
        if updates:
            outputs += [updates.sink] if updates.sink else []
            models.file = updates.file
        classifier = _opened_model(models, updates)
        if classifier.softmax_only:
            kept(notice("info", "model", f"{options.file.name}: {SOFTMAX_ONLY}"))
        plan.rule.check(classifier.card.labels)
        source = opened.enter_context(_opened_source(options, plan, classifier.card.input, kept))
        if threading.current_thread() is threading.main_thread():
            opened.enter_context(asked.awaited())  # from here on there are outputs that must not be cut in two
        queues = SinkQueues(
            outputs,
            classifier.card,
            zones=len(plan.regions) if plan.focus is None else max(len(plan.regions), options.focus.subjects),
            patience=None if source.live else lambda: not ended(),
        )
        kept.pass_on(queues.notice)
        limit = None if wants_whole_frames(options) else plan.covering(classifier.card.input)
        watcher = ModelWatcher(
            models.file,
            lambda: models.replacement(lambda spec: limit is None or plan.covering(spec) <= limit),
            kept,
            digest=classifier.digest,
            key=updates.key if updates else key,
            runtime=options.model.runtime,
        )
        if updates:
            updates.follow = _follower(models, watcher)
        opened.enter_context(watcher)
        opened.enter_context(_at_hangup(watcher.ask))
        loop = Live(
            classifier,
            source,
            queues,
            _settings(options, plan, source),
            name=plan.name,
            model=options.file,
            watcher=watcher,
            notify=notify,
        )
        if updates:
            loop.update_status = updates.told
        opened.callback(loop.close)
        return _run(loop, ended, updates)


def _opened_model(models: "Models", updates: UpdateSession | None) -> Classifier:
    """The model to begin with; one that came as an update and opens no more gives way to the one before."""
    while True:
        try:
            return models.open()
        except EdgeError as error:
            if updates is None or not updates.go_back(f"it cannot be opened: {error}"):
                raise
            models.file = updates.file


def _run(loop: Live, ended: Callable[[], bool], updates: UpdateSession | None) -> Status:
    """Runs the loop; an end that is no fault of the model is noted, or a trial would count it as a crash."""
    try:
        status = loop.run(ended)
    except SourceError:
        if updates:
            updates.end_in_order()
        raise
    if updates:
        updates.end_in_order()
    return status


def _follower(models: "Models", watcher: ModelWatcher[Classifier]) -> Callable[[Path, bytes], None]:
    """What goes on with the model in another file, once that has been proven."""

    def follow(path: Path, key: bytes) -> None:
        models.file = path
        watcher.follow(path, key)

    return follow


class KeptNotices:
    """Passes notices on; keeps those from before there is anybody to pass them on to."""

    def __init__(self) -> None:
        self._kept: list[Notice] = []
        self._notify: Notifier = self._kept.append

    def __call__(self, notice: Notice, /) -> None:
        self._notify(notice)

    def pass_on(self, notify: Notifier) -> None:
        """From now on notices go to `notify`, which gets those that were kept at once."""
        self._notify = notify
        for one in self._kept:
            notify(one)


class Models:
    """Opens the model file, and what takes its place, on the device that was asked for.

    Attributes:
        file: Path of the model; may be replaced at any time, as the model may.
    """

    def __init__(self, options: LiveOptions, notify: Notifier, stopped: Callable[[], bool]) -> None:
        """Chooses the number of threads.

        Args:
            options: What is run, and on what.
            notify: Gets that an accelerator is lost, and that it is back.
            stopped: Whether the run is to end: an accelerator that hangs is not waited for then.

        Raises:
            SettingsError: A device or a number of threads is not a valid one.
        """
        self.file, self._options, self._notify, self._stopped = options.file, options.model, notify, stopped
        self._familiar = options.decisions.familiar
        self._coral = parse_device(options.model.device)
        self._threads = parse_threads(options.model.threads) or choose_threads(self._on_cpu)

    def open(self, at_once: bool = True) -> Classifier:
        """Opens the file as it is now.

        Args:
            at_once: Whether the accelerator is opened before this returns; see `open_classifier`.

        Raises:
            EdgeError: See `open_classifier`.
        """
        return open_classifier(
            self.file,
            self._coral,
            fallback=self._options.fallback,
            runtime=self._options.runtime,
            threads=self._threads,
            notify=self._notify,
            at_once=at_once,
            stopped=self._stopped,
            familiar=self._familiar,
        )

    def replacement(self, fits: Callable[[InputSpec], bool]) -> Classifier:
        """Opens the file that has taken the place of the one before.

        Args:
            fits: Whether frames, as the source decodes them now, are large enough for an input.

        Raises:
            ModelFormatError: They are not.
        """
        newer = self.open(at_once=False)
        if not fits(newer.card.input):
            newer.close()
            raise ModelFormatError(f"{self.file} takes larger pictures than the one before; start edge-run anew for it")
        return newer

    def _on_cpu(self, threads: int) -> Classifier:
        return Classifier(self._options.fallback or self.file, runtime=self._options.runtime, threads=threads)


@dataclass(frozen=True)
class _Plan:
    """What the texts of the options mean, found out before anything is opened."""

    name: str
    regions: Mapping[str, Region]
    mode: CameraMode
    orientation: Orientation
    rule: Rule
    focus: Focus | None

    def covering(self, spec: InputSpec) -> int:
        """The shorter side in pixels that a frame needs for an input."""
        return covering(spec, list(self.regions.values()))


def _planned(options: LiveOptions) -> _Plan:
    source = options.source
    regions = _regions(source)
    parse_device(options.model.device)
    return _Plan(
        name=redact(source.source),
        regions=regions,
        focus=make_focus(options, list(regions.values())),
        rule=_rule(options.decisions),
        mode=CameraMode(
            source.width,
            source.height,
            source.fps or source.max_fps,
            source.pixel_format,
            parse_controls(source.controls),
            source.tuning_file,
            source.buffers,
        ),
        orientation=Orientation(source.rotate, source.mirror),  # type: ignore[arg-type]
    )


def _regions(source: SourceOptions) -> dict[str, Region]:
    if source.roi and source.zones:
        raise SettingsError("--roi is for one part of the frame, --zone for several by name; use one of both")
    named = {zone.name: zone.region for zone in parse_zones(source.zones)}
    return named or {"": parse_region(source.roi) if source.roi else WHOLE}


def _rule(decisions: DecisionOptions) -> Rule:
    common, by_label = parse_thresholds(decisions.thresholds)
    usual = Rule()
    return Rule(parse_smoothing(decisions.smoothing), usual.threshold if common is None else common, by_label)


def _signing_key(model: Path, options: ModelOptions) -> bytes | None:
    """The public key that is asked for, once it has been found to have signed the model."""
    if options.key is None:
        return None
    with extra_needed("sign", "cryptography"):
        from edge_device.inference.signature import read_public_key
    public_key = read_public_key(options.key)
    found = verify(model, key=public_key, runtime=options.runtime)
    if found.divergence:
        raise CheckFailedError(f"{model} diverges at {found.divergence.stage}: {found.divergence.reason}")
    return public_key


def _opened_source(
    options: LiveOptions, plan: _Plan, spec: InputSpec, notify: Notifier
) -> AbstractContextManager[Source]:
    return open_source(
        with_password(options.source.source, os.environ.get(SOURCE_PASSWORD)),
        plan.mode,
        lambda path, error: say(f"warning: {error}"),
        covering=_smallest_side(options, plan.covering(spec)),
        levels=spec.levels,
        realtime=options.source.realtime,
        reconnect=True,
        wait=options.source.wait,
        notify=notify,
    )


def _smallest_side(options: LiveOptions, needed: int) -> int | None:
    """The shorter side in pixels that decoded frames must keep; None: all of it."""
    if wants_whole_frames(options):
        return None
    sinks = options.sinks
    return max(needed, PAGE_SIDE if sinks.web or (sinks.mqtt and sinks.mqtt_picture) else 0)


def _not_lasting(options: LiveOptions) -> list[Notice]:
    """Warnings of what is written to a place that is gone after the next start of the machine."""
    sinks, updates = options.sinks, options.updates
    places = {
        "--jsonl": sinks.jsonl,
        "--record": sinks.record,
        "--snapshots": sinks.snapshots,
        "--collect": sinks.collect,
        "--update-folder": updates.update_folder if updates.update_from else None,
    }
    return [
        notice("warning", "loop", f"{name} {path} will not last beyond the next start of this machine: {why}")
        for name, path in places.items()
        if path and (why := why_not_lasting(path))
    ]


def _settings(options: LiveOptions, plan: _Plan, source: Source) -> LiveSettings:
    return LiveSettings(
        count=options.decisions.top,
        regions=plan.regions,
        orientation=plan.orientation,
        rule=None if isinstance(source, Pictures) else plan.rule,  # a picture is no moment of a scene
        motion=MotionRule() if options.source.on_motion else None,
        max_fps=options.source.max_fps,
        frames=options.source.frames,
        focus=plan.focus,
    )


@contextmanager
def _at_hangup(call: Callable[[], None]) -> Iterator[None]:
    """Within it SIGHUP calls `call`; does nothing in another thread than the main one, which alone may set handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda number, frame: call())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
