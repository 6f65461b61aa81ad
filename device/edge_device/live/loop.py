"""The loop: newest frame in, results, events, notices and statistics out, for months.

    capture thread   source.read ─ decode ─ upright ─ zones ─ preprocess ─▶ newest frame
    this thread      ─▶ input tensor ─ invoke ─ smooth ─ decide ─▶ queues, one thread each

Nothing here waits for a sink, a broker or a disk. What may fail for a while (source, accelerator, sinks) is brought
back by its own part; a failure that reaches this loop ends it, for the service manager to start it anew.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import median
from typing import Final, Literal, Protocol

from edge_core.errors import SourceError
from edge_core.preprocess import Frame, preprocess
from edge_device.frames.focus import Focus, TileTrial, TryingFocus
from edge_device.frames.frozen import FROZEN_S, FrozenPicture
from edge_device.frames.motion import Motion, MotionRule
from edge_device.frames.regions import WHOLE, Orientation, Region, cut
from edge_device.frames.view_state import TOLD, ViewWatch
from edge_device.inference.classifier import Classifier, top
from edge_device.inference.interpreter import Scores
from edge_device.live.capture import UPRIGHT, Capture, Prepared
from edge_device.live.deciders import Deciders, Part, parts_of
from edge_device.live.decisions import Rule
from edge_device.live.model_watcher import ModelWatcher
from edge_device.notices import Notice, Notifier, ignore, notice
from edge_device.results import Decision, Event, FrameResult, Latency, Status, UpdateStatus
from edge_device.sinks.sink_queue import SinkQueues
from edge_device.sources import Source, SourceFrame
from edge_device.system.board import Sensors
from edge_device.system.systemd import ServiceManager

LATEST: Final = 300
"""Frames that medians look back on: ten seconds of a camera."""

STATUS_S: Final = 5.0
"""Between two statistics; thermal zones and memory are read as often."""

WAIT_S: Final = 0.1
"""At most, for a frame, before signals, swaps and statistics have their turn."""

CLOSE_S: Final = 0.5
"""For the sinks once the end was asked for: SIGTERM has a second in all."""

LAST_S: Final = 20.0
"""For the sinks after a source that ended by itself: on a busy board the last of a film's results may take so long."""

AWAY_S: Final = 1.0
"""Without a frame for so long, the source counts as away."""

REST_S: Final = 1.0
"""Between two results that say that a focus finds nothing."""

RATE_S: Final = 10.0
"""The frame rate looks back so far; a longer pause is not part of it."""


@dataclass(frozen=True)
class LiveSettings:
    """How a source is looked at.

    Attributes:
        count: Number of labels in a result.
        regions: Regions by the name of their zone, classified one by one in every frame.
        orientation: How the camera is turned.
        rule: How labels become decisions and events; None: every frame speaks for itself.
        motion: What counts as motion; None: every frame is classified.
        max_fps: Frames classified a second, at most.
        frames: Number of frames after which the loop ends.
        focus: Finds what is classified in each frame; None: the regions, whole.
    """

    count: int = 3
    regions: Mapping[str, Region] = field(default_factory=lambda: {"": WHOLE})
    orientation: Orientation = UPRIGHT
    rule: Rule | None = None
    motion: MotionRule | None = None
    max_fps: float | None = None
    frames: int | None = None
    focus: Focus | None = None


class LoopManager(Protocol):
    """What a loop tells of itself: the face of a `ServiceManager`."""

    def ready(self) -> None: ...
    def alive(self) -> None: ...
    def stopping(self) -> None: ...
    def status(self, text: str, /) -> None: ...


@dataclass
class _Meter:
    """Statistics of the latest frames."""

    frames: int = 0
    still: int = 0
    _times: deque[tuple[float, float, float, float, float, float]] = field(default_factory=lambda: deque(maxlen=LATEST))

    def add(self, now_s: float, age_ms: float, latency: Latency) -> None:
        self.frames += 1
        self._times.append(
            (now_s, age_ms, latency.capture_ms, latency.preprocess_ms, latency.invoke_ms, latency.total_ms)
        )

    def fps(self, now_s: float) -> float:
        """Frames a second, over the last `RATE_S`; 0 before the second frame, and once no more come."""
        times = [frame[0] for frame in self._times]
        lately = [time_s for time_s in times if time_s > times[-1] - RATE_S]
        lately = times[-2:] if len(lately) < 2 else lately
        if len(lately) < 2 or lately[-1] <= lately[0]:
            return 0.0
        rate = (len(lately) - 1) / (lately[-1] - lately[0])
        return rate if now_s - lately[-1] <= max(AWAY_S, 2 / rate) else 0.0

    def age_p95_ms(self) -> float:
        ages = sorted(times[1] for times in self._times)
        # The value that 95 % of the sorted ages are not above; exact enough for 300 of them.
        return ages[min(len(ages) - 1, len(ages) * 95 // 100)] if ages else 0.0

    def latency(self) -> Latency:
        """Medians."""
        columns = list(zip(*self._times, strict=True))[2:]
        return Latency(*(median(column) for column in columns)) if columns else Latency(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class _Look:
    """What the model gave of a part of a frame."""

    part: Part
    scores: Scores
    familiarity: float | None
    took_ms: float


class Live:
    """Classifies what a source gives until it ends or `stopped` says so.

    Attributes:
        update_status: Tells how model updates stand, for statistics.
        manager: Is told that the loop is ready, lives and stops.
    """

    def __init__(
        self,
        classifier: Classifier,
        source: Source,
        queues: SinkQueues,
        settings: LiveSettings,
        *,
        name: str,
        model: Path,
        watcher: ModelWatcher[Classifier] | None = None,
        notify: Notifier = ignore,
    ) -> None:
        """Prepares a loop.

        Args:
            classifier: Classifier to begin with.
            source: Open; closed at the end.
            queues: Where results go; closed at the end.
            settings: How the source is looked at.
            name: Name of the source, for people, without credentials.
            model: The file that `classifier` was opened from.
            watcher: Finds out when that file is replaced; open, and not closed here.
            notify: Gets, at the end, which sink did not come to its end: no sink is left to take it then.
        """
        self._classifier, self._source, self._queues, self._settings = classifier, source, queues, settings
        self._name, self._model, self._watcher, self._notify = name, model, watcher, notify
        self._motion = Motion(settings.motion) if settings.motion else None
        self._deciders = Deciders(classifier.card.labels, settings.rule)
        self._zones = [Part(zone, region) for zone, region in settings.regions.items()]
        self._told_s = -inf
        self._frozen = FrozenPicture()
        self._view = ViewWatch()
        self._state_before = self._source.state
        self._seen_s = 0.0
        self._due_s = -inf
        self._meter = _Meter()
        self._sensors = Sensors()
        self._swaps = 0
        self.manager: LoopManager = ServiceManager()
        self.update_status: Callable[[], UpdateStatus | None] = lambda: None

    def run(self, stopped: Callable[[], bool]) -> Status:
        """Runs, closes the sinks, and returns the statistics of the end.

        Args:
            stopped: Function that says whether to end; it is called between two frames, every `WAIT_S` at least.

        Raises:
            SourceError: A source that does not come back by itself has failed, or gave no frame at all.
        """
        try:
            return self.watch(stopped)
        finally:
            for one in close_sinks(self._queues, stopped):
                self._notify(one)

    def watch(self, stopped: Callable[[], bool]) -> Status:
        """Runs as `run` does, and leaves the sinks open for what comes next."""
        self._began = self._frame_s = time.monotonic()
        self._status_due = self._began + 1.0
        spec, settings = self._classifier.card.input, self._settings
        capture = Capture(self._source, spec, list(settings.regions.values()), settings.orientation, settings.focus)
        try:
            # Once the source, the model and the sinks are open: systemd counts the service as started from here on.
            self.manager.ready()
            while not stopped() and self._seen_frames() != settings.frames:
                self._between_frames(capture)
                if (early_s := self._due_s - time.monotonic()) > 0:
                    time.sleep(min(early_s, WAIT_S))
                    continue
                # Even without a frame the loop comes around every `WAIT_S`: signals and the watchdog depend on it.
                prepared = capture.take(WAIT_S)
                if prepared is not None:
                    self._look_at(prepared)
                elif capture.ended:
                    break
            # After the loop, so that what the source gave before it failed has been looked at.
            if capture.error:
                raise capture.error
            if not self._seen_frames() and capture.ended:
                raise SourceError(f"{self._name} gave no frame that can be read")
        finally:
            self.manager.stopping()
            # In this order: no frame comes any more, then labels leave, then the last statistics tell of it.
            capture.close()
            self._hand_on(self._deciders.leave(self._seen_s, time.time()))
            status = self._status(capture)
            self._queues.status(status)
        return status

    def _seen_frames(self) -> int:
        """Frames that `--frames` counts: those that were classified, and with a focus those with nothing to
        classify."""
        return self._meter.frames + (self._meter.still if self._settings.focus else 0)

    def close(self) -> None:
        """Closes the model that was in use last."""
        self._classifier.close()

    def _look_at(self, prepared: Prepared) -> None:
        settings, frame = self._settings, prepared.frame
        self._frame_s = time.monotonic()
        self._seen_s = self._frame_s if self._source.live else frame.time_s  # a file has a time of its own
        if self._source.live:
            self._watch(frame.image)
        focused = prepared.subjects is not None
        parts = parts_of(prepared.subjects, settings.regions) if prepared.subjects is not None else self._zones
        seen = [part for part in parts if part.seen]
        pixels = self._pixels(prepared, seen)
        if self._motion and not self._motion.moves(pixels, self._seen_s):
            self._meter.still += 1
            return
        # A subject that is not seen because the picture is dark has not gone.
        if focused and not self._is_doubtful:
            self._hand_on(self._deciders.gone(parts, self._seen_s, time.time()))
        if not seen:
            self._rest(prepared, is_followed=bool(parts))
            return
        start = time.perf_counter()
        looks = [self._look(part, one) for part, one in zip(seen, pixels, strict=True)]
        invoke_ms = 1e3 * (time.perf_counter() - start)
        now_s = time.monotonic()
        age_ms = 1e3 * (now_s - frame.taken_s)
        took = Latency(
            frame.capture_ms,
            prepared.preprocess_ms,
            invoke_ms,
            frame.capture_ms + prepared.preprocess_ms + 1e3 * (time.perf_counter() - start),
        )
        self._meter.add(now_s, age_ms, took)
        for look in looks:
            if not look.part.tried:
                self._tell(look, frame, took, age_ms)
        if focused:
            self._try(looks)
            if all(part.tried for part in seen):
                self._tell_nothing(frame, took, age_ms)
        if settings.max_fps:
            self._due_s = self._frame_s + 1 / settings.max_fps

    def _rest(self, prepared: Prepared, is_followed: bool) -> None:
        """Counts a frame of which nothing is classified; tells of it unless what is followed was lost a moment ago."""
        self._meter.still += 1
        if is_followed:
            return
        frame = prepared.frame
        took_ms = frame.capture_ms + prepared.preprocess_ms
        latency = Latency(frame.capture_ms, prepared.preprocess_ms, 0.0, took_ms)
        self._tell_nothing(frame, latency, 1e3 * (time.monotonic() - frame.taken_s))

    def _pixels(self, prepared: Prepared, parts: Sequence[Part]) -> Sequence[Frame]:
        """What the model is given of each part of a frame."""
        spec = self._classifier.card.input
        if prepared.spec != spec:  # it was prepared for the model before
            return [preprocess(cut(prepared.frame.image, part.region), spec) for part in parts]
        if prepared.subjects is None:
            return prepared.pixels
        # A subject whose middle is in no zone is no part, and those that are only tried come last among the parts.
        views = [one.view for one in prepared.subjects if one.seen]
        made = dict(zip(views, prepared.pixels, strict=True))
        return [made[part.region] for part in parts]

    def _look(self, part: Part, pixels: Frame) -> _Look:
        start = time.perf_counter()
        scores = self._classifier.pixel_scores(pixels)
        return _Look(part, scores, self._classifier.familiarity(), 1e3 * (time.perf_counter() - start))

    def _tell(self, look: _Look, frame: SourceFrame, took: Latency, age_ms: float) -> None:
        """Decides of a part, and hands on what came of it."""
        part, wall_s = look.part, time.time()
        known = self._classifier.knows(look.familiarity)
        if self._is_doubtful:
            decision, events = self._deciders.held(part), list[Event]()
        else:
            decision, events = self._deciders.update(part, look.scores, self._seen_s, wall_s, known=known is not False)
        best = tuple(top(look.scores, self._classifier.card.labels, self._settings.count))
        self._queues.frame(
            FrameResult(
                *(frame, best, took, part.zone, decision, age_ms),
                familiarity=look.familiarity,
                known=known,
                subject=part.subject,
                view=self._view.state,
            )
        )
        self._hand_on(events)

    def _try(self, looks: Sequence[_Look]) -> None:
        """Gives back to the focus what it wanted to try."""
        trials = [
            TileTrial(
                one.part.region,
                float(one.scores.max()),
                one.familiarity,
                self._classifier.knows(one.familiarity),
                one.took_ms,
            )
            for one in looks
            if one.part.tried
        ]
        if trials and isinstance(self._settings.focus, TryingFocus):
            self._settings.focus.tried(trials)

    def _tell_nothing(self, frame: SourceFrame, took: Latency, age_ms: float) -> None:
        """Tells now and then that a focus finds nothing: who watches sees that it lives."""
        if self._seen_s < self._told_s + REST_S:
            return
        self._told_s = self._seen_s
        nothing = Decision(None, 0.0) if self._settings.rule else None
        for zone in self._settings.regions:
            self._queues.frame(FrameResult(frame, (), took, zone, nothing, age_ms, view=self._view.state))

    def _between_frames(self, capture: Capture) -> None:
        now_s = time.monotonic()
        self.manager.alive()
        if self._source.live and now_s - self._frame_s > AWAY_S:
            self._hand_on(self._deciders.lost(now_s, time.time()))
        if self._watcher and (replacement := self._watcher.take()):
            self._adopt(replacement.model, capture)
        if self._source.state != self._state_before:
            self._state_before, self._status_due = self._source.state, now_s
            self._view.settle(now_s)
        if now_s >= self._status_due:
            self._status_due = now_s + STATUS_S
            self._queues.status(self._status(capture))

    def _adopt(self, classifier: Classifier, capture: Capture) -> None:
        """Goes on with another model, from the next frame on."""
        self._swaps += 1
        # The old one first: of a Coral there is one, and the new model waits for it.
        self._classifier.close()
        self._classifier = classifier
        capture.prepare_for(classifier.card.input)
        self._hand_on(self._deciders.relabel(classifier.card.labels, self._seen_s, time.time()))
        self._queues.swapped(classifier.card)
        # At once: who watches wants to see that another model runs.
        self._status_due = 0.0
        rule = self._settings.rule
        for label in rule.missing(classifier.card.labels) if rule else ():
            self._warn("model", f"it has no label {label!r}: the threshold given for that has no effect")

    def _watch(self, image: Frame) -> None:
        """Looks whether a camera's picture shows anything; what was there leaves when it no longer does."""
        if self._view.look(image, self._frame_s):
            state, self._status_due = self._view.state, self._frame_s
            if state != "clear":
                self._hand_on(self._deciders.rest(self._seen_s, time.time()))
            self._queues.notice(
                notice("info" if state == "clear" else "warning", "view", f"{self._name}: {TOLD[state]}")
            )
        was_frozen = self._is_frozen
        self._frozen.look(image, self._frame_s)
        if self._is_frozen != was_frozen:
            self._notice_frozen()

    @property
    def _is_frozen(self) -> bool:
        """Black and white pictures may well be the same byte for byte: clipped, a sensor's noise is gone."""
        return self._frozen.frozen and self._view.state not in ("dark", "overexposed")

    @property
    def _is_doubtful(self) -> bool:
        """Whether no label may enter or leave now."""
        return self._source.live and (self._view.doubtful or self._is_frozen)

    def _notice_frozen(self) -> None:
        frozen, self._status_due = self._is_frozen, self._frame_s
        if frozen:
            self._hand_on(self._deciders.rest(self._seen_s, time.time()))
            self._warn(
                "source",
                f"{self._name} has sent one and the same picture, byte for byte, for {FROZEN_S:.0f} s: it is frozen; "
                "start the camera anew",
            )
        else:
            self._queues.notice(notice("info", "source", f"{self._name} sends new pictures again"))

    def _warn(self, about: str, text: str) -> None:
        self._queues.notice(notice("warning", about, text))

    @property
    def _state(self) -> Literal["open", "waiting", "frozen"]:
        return "frozen" if self._is_frozen and self._source.state == "open" else self._source.state

    def _hand_on(self, events: Sequence[Event]) -> None:
        for event in events:
            self._queues.event(event)

    def _status(self, capture: Capture) -> Status:
        classifier, readings = self._classifier, self._sensors.read()
        now_s = time.monotonic()
        status = Status(
            time=time.time(),
            uptime_s=now_s - self._began,
            frames=self._meter.frames,
            frames_dropped=capture.dropped,
            frames_still=self._meter.still,
            frames_unreadable=self._source.unreadable,
            frames_cut=self._source.cut,
            fps=self._meter.fps(now_s),
            latency=self._meter.latency(),
            age_p95_ms=self._meter.age_p95_ms(),
            source=self._name,
            source_mode=self._source.mode,
            source_state="ended" if capture.ended else self._state,
            source_losses=self._source.losses,
            model=self._model.name,
            model_sha256=classifier.digest or "",
            model_swaps=self._swaps,
            runtime=classifier.runtime,
            device=classifier.device,
            threads=classifier.threads,
            fallback=classifier.fallback_reason,
            temperature_c=readings.temperature_c,
            throttled=readings.throttled,
            memory_mb=readings.memory_mb,
            sinks=self._queues.counts(),
            update=self.update_status(),
            view=self._view.state,
        )
        view = "" if status.view == "clear" else f", view {status.view}"
        self.manager.status(f"{status.frames} frames, {status.fps:.1f} fps, source {status.source_state}{view}")
        return status


def close_sinks(queues: SinkQueues, stopped: Callable[[], bool]) -> list[Notice]:
    """Closes sinks at the end of a run: in no time from the moment on at which `stopped` says that the end was asked
    for, which may be while they close; returns what went wrong."""
    return queues.close(CLOSE_S if stopped() else LAST_S, lambda: CLOSE_S if stopped() else inf)
