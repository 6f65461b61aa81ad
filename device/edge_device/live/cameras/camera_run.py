"""One camera of a live run: its model, its source, its loop and its sinks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Final

from edge_core.errors import EdgeError, SourceError
from edge_core.preprocess import InputSpec
from edge_device.command_line.console import say
from edge_device.inference.classifier import SOFTMAX_ONLY, Classifier
from edge_device.live.cameras.camera_model import Models, signing_key
from edge_device.live.cameras.camera_plan import live_settings, planned
from edge_device.live.cameras.camera_teacher import make_teacher, taught_folder
from edge_device.live.cameras.run_host import RunHost
from edge_device.live.loop import Live
from edge_device.live.make_sinks import make_sinks, wants_whole_frames
from edge_device.live.model_watcher import ModelWatcher
from edge_device.live.options import LiveOptions, with_secret
from edge_device.live.update.session import UpdateSession
from edge_device.notices import Notice, Notifier, notice
from edge_device.results import Status
from edge_device.sinks.sink import Sink
from edge_device.sinks.sink_queue import SinkQueues
from edge_device.sources import Decoding, Source, open_source
from edge_device.system.lasting import why_not_lasting

PAGE_SIDE: Final = 360
"""Of the live page's and of Home Assistant's picture, the shorter side in pixels at least: half of 1280x720, which
decodes in half the time."""


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


class CameraRun:
    """Takes a camera from its options to its loop, in steps, for whoever runs one camera or several.

        run = CameraRun(options, host)
        run.open_model()
        with run.source() as source:
            run.open_sinks(source)
            with run.loop(source) as loop:
                loop.watch(host.ended)

    Attributes:
        name: Name of the camera; empty where a process reads but one that has no name.
        options: What is run on what, and where results go.
        notify: Passes a notice on to the sinks of this camera, once there are any.
        queues: The sinks, once they are open.
        updates: Updates of the model; None where there are none, or another camera with the same model has them.
        followers: Cameras with the same model, which share the updates of this one.
    """

    def __init__(self, options: LiveOptions, host: RunHost, *, name: str = "", sinks: Sequence[Sink] = ()) -> None:
        """Finds out what the options mean, and makes the sinks; nothing is opened.

        Args:
            options: What is run on what, and where results go.
            host: The process, with what its cameras share.
            name: Name of the camera, where it has one.
            sinks: Further sinks, not opened yet; they are opened before those of the options.

        Raises:
            SettingsError: The text of an option is not what it should be, or two options contradict each other.
            RuntimeMissingError: A sink needs a package that is not installed.
        """
        self.name, self.options, self._host = name, options, host
        self.notify = KeptNotices()
        self.queues: SinkQueues | None = None
        self.updates: UpdateSession | None = None
        self.followers: list[CameraRun] = []
        self._leader: CameraRun | None = None
        self._plan = planned(options)
        self._teacher = make_teacher(options, host, self.ask_for_model)
        made = make_sinks(options.sinks, self._plan.regions, self._plan.name, host, name, self._teacher)
        self._outputs = [*sinks, *made]
        self._watcher: ModelWatcher[Classifier] | None = None
        for one in _not_lasting(options):
            self.notify(one)

    def follow_updates_of(self, leader: "CameraRun") -> None:
        """Runs the model that another camera runs, and tries its updates out, too; to be called before `open_model` of
        both."""
        self._leader = leader
        leader.followers.append(self)

    def open_model(self) -> None:
        """Opens the model.

        Raises:
            CheckFailedError: The model is not signed by the key that is asked for.
            ModelFormatError: The file is no complete model.
            SettingsError: A threshold is for a label that the model does not have.
        """
        options = self.options
        self._key = signing_key(options.file, options.model)
        if options.updates.update_from and self._leader is None:
            self.updates = UpdateSession(options, self.notify)
        self._models = Models(options, self.notify, self._host)
        if self.updates:
            self.updates.follow = self._followed
        if session := self._session:
            self._outputs += session.sinks(self.name, self._plan.regions)
            self._models.file, self._key = session.file, session.key
        self._classifier: Classifier | None = self._opened_model()
        if self._classifier.softmax_only:
            self.notify(notice("info", "model", f"{options.file.name}: {SOFTMAX_ONLY}"))
        # Only now: the labels are those of the model that runs, which may be an update with others.
        self._plan.rule.check(self._classifier.card.labels)
        self._card = self._classifier.card

    def source(self, wait: bool = False) -> AbstractContextManager[Source]:
        """Opens the source.

        Args:
            wait: Whether a camera that is not there is waited for, whatever the options say.

        Raises:
            SourceError: It cannot be opened.
        """
        options = self.options
        return open_source(
            with_secret(options.source.source),
            self._plan.mode,
            lambda path, error: say(f"warning: {error}"),
            decoding=Decoding(self._smallest_side(self._card.input), self._card.input.levels),
            realtime=options.source.realtime,
            reconnect=True,
            wait=wait or options.source.wait,
            notify=self.notify,
        )

    def open_sinks(self, source: Source) -> SinkQueues:
        """Opens the sinks.

        Raises:
            OutputError: A sink can never work.
        """
        plan, ended = self._plan, self._host.ended
        self.queues = SinkQueues(
            self._outputs,
            self._card,
            zones=len(plan.regions) if plan.focus is None else max(len(plan.regions), self.options.focus.subjects),
            patience=None if source.live else lambda: not ended(),
            camera=self.name,
        )
        self.notify.pass_on(self.queues.notice)
        return self.queues

    @contextmanager
    def loop(self, source: Source, notify: Notifier) -> Iterator[Live]:
        """A loop on an open source, and what watches the model file meanwhile.

        Args:
            source: Closed by the loop.
            notify: Gets what went wrong while the sinks were closed.
        """
        assert self.queues
        # The loop closes the model; a loop that is begun anew opens its own.
        classifier, self._classifier = self._classifier or self._models.open(), None
        watcher = self._watching(classifier)
        loop = Live(
            classifier,
            source,
            self.queues,
            live_settings(self.options, self._plan, source),
            name=self._plan.name,
            model=self.options.file,
            watcher=watcher,
            notify=notify,
        )
        if session := self._session:
            loop.update_status = session.told
        try:
            with closing(loop), watcher:
                yield loop
        finally:
            # A turn at a model that cameras share must be given up, or what computes is never closed.
            if late := watcher.take():
                late.model.close()

    def ask_for_model(self) -> None:
        """Has the model file looked at, now; may be called by a signal handler."""
        if watcher := self._watcher:
            watcher.ask()

    def begin_anew(self) -> None:
        """Forgets what a loop that has failed had found out about its frames."""
        self._plan = planned(self.options)

    @property
    def on_trial(self) -> bool:
        """Whether the model that runs may still be taken back."""
        return self._session is not None and self._session.told().phase == "trial"

    @property
    def _session(self) -> UpdateSession | None:
        return self._leader.updates if self._leader else self.updates

    def _opened_model(self) -> Classifier:
        """The model to begin with; one that came as an update and opens no more gives way to the one before."""
        while True:
            try:
                return self._models.open()
            except EdgeError as error:
                if self.updates is None or not self.updates.go_back(f"it cannot be opened: {error}"):
                    raise
                self._models.file, self._key = self.updates.file, self.updates.key

    def _watching(self, classifier: Classifier) -> ModelWatcher[Classifier]:
        # Frames are decoded at a size that this model's input needs, and must not be enlarged for another's.
        limit = None if wants_whole_frames(self.options) else self._plan.covering(classifier.card.input)
        self._watcher = ModelWatcher(
            self._models.file,
            lambda: self._models.replacement(lambda spec: limit is None or self._plan.covering(spec) <= limit),
            self.notify,
            digest=classifier.digest,
            key=self._key,
            runtime=self.options.model.runtime,
            discard=Classifier.close,
        )
        return self._watcher

    def _followed(self, path: Path, key: bytes) -> None:
        """Goes on with the model in another file, once that has been proven, and so do all that follow this camera."""
        # The leader's own watcher among them: each proves the file by itself before it swaps.
        for run in (self, *self.followers):
            run._models.file, run._key = path, key
            if run._watcher:
                run._watcher.follow(path, key)

    def _smallest_side(self, spec: InputSpec) -> int | None:
        """The shorter side in pixels that decoded frames must keep; None: all of it."""
        if wants_whole_frames(self.options):
            return None
        sinks = self.options.sinks
        return max(self._plan.covering(spec), PAGE_SIDE if sinks.web or (sinks.mqtt and sinks.mqtt_picture) else 0)


def watched(loop: Live, ended: Callable[[], bool], updates: UpdateSession | None) -> Status:
    """Runs a loop; an end that is no fault of the model is noted, or a trial would count it as a crash."""
    if updates is None:
        return loop.run(ended)

    def ended_for_updates() -> bool:
        """A candidate that hangs must not hold up the sinks, which are closed next."""
        if not ended():
            return False
        updates.stop()
        return True

    try:
        status = loop.run(ended_for_updates)
    # A camera that is gone is no fault of the model on trial.
    except SourceError:
        updates.end_in_order()
        raise
    finally:
        updates.close()
    updates.end_in_order()
    return status


def _not_lasting(options: LiveOptions) -> list[Notice]:
    """Warnings of what is written to a place that is gone after the next start of the machine."""
    sinks, updates = options.sinks, options.updates
    places = {
        "--jsonl": sinks.jsonl,
        "--record": sinks.record,
        "--snapshots": sinks.snapshots,
        "--collect": sinks.collect,
        "--teach": taught_folder(options) if sinks.teach else None,
        "--update-folder": updates.update_folder if updates.update_from else None,
    }
    return [
        notice("warning", "loop", f"{name} {path} will not last beyond the next start of this machine: {why}")
        for name, path in places.items()
        if path and (why := why_not_lasting(path))
    ]
