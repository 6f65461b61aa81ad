"""Model updates: what is published is polled, a candidate runs beside the model on the frames that come, its trial is
watched."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Final, Literal

from edge_core.artifact.card import ModelCard
from edge_core.artifact.familiarity import FAMILIAR
from edge_core.artifact.rollout import Offer, newest_for
from edge_core.errors import EdgeError, HostError, UpdateError
from edge_device.frames.regions import Region
from edge_device.inference.interpreter import RuntimeName
from edge_device.inference.signature import is_by
from edge_device.inference.verify import verify
from edge_device.live.update.schedule import PollSchedule
from edge_device.live.update.seats import Seats
from edge_device.live.update.shadow import Shadow, ShadowLimits, ShadowProcess, worker_command
from edge_device.live.update.trial_health import HealthLimits, TrialReading
from edge_device.live.update.tuf_client import UpdateClient
from edge_device.live.update.update_state import InstalledModel, UpdateFolder, UpdateState, boot_id
from edge_device.notices import UPDATE, Level, Notifier, notice
from edge_device.results import FrameResult, Status, UpdateStatus
from edge_device.sinks.sink import Sink

LOAD_S: Final = 60.0
"""Seconds within which a model that took over must serve."""

WRITE_S: Final = 60.0
"""Seconds between two notes of how long a trial went well."""

Start = Callable[[Path], ShadowProcess]


@dataclass(frozen=True)
class UpdateSettings:
    """How a board is updated.

    Attributes:
        factory: Model file that the board was given by hand.
        key: Public key that signed it, 32 bytes.
        device: Name of the board in rollouts.
        group: Group of boards that it is in; empty for none.
        every_s: Seconds between two polls, on average; infinite: only `poll` looks.
        trial_s: Seconds for which a model that took over can be taken back.
        limits: How a candidate may differ from the model that runs.
        health: How a model on trial may differ from the one before.
        runtime: Interpreter that candidates are proven on.
        threads: Number of threads for one inference of a candidate.
        familiar: Familiarity from which on a frame is known.
        in_shadow: Whether a candidate can run on the CPU, beside the model that runs.
        boot: Identifies this start of the machine.
    """

    factory: Path
    key: bytes
    device: str
    group: str = ""
    every_s: float = 3600.0
    trial_s: float = 600.0
    limits: ShadowLimits = field(default_factory=ShadowLimits)
    health: HealthLimits = field(default_factory=HealthLimits)
    runtime: RuntimeName = "auto"
    threads: int = 1
    familiar: float = FAMILIAR
    in_shadow: bool = True
    boot: str = field(default_factory=boot_id)


class ModelUpdater:
    """Brings in what is published for this board, unless it is worse than what runs.

    Cameras hand over what they see by a `sink` each, from threads of their own.

    The state in `folder` changes before the model does: whatever ends the process, and whenever, `begin` finds out at
    the next start what to run.
    """

    def __init__(
        self,
        settings: UpdateSettings,
        folder: UpdateFolder,
        client: UpdateClient,
        *,
        follow: Callable[[Path, bytes], None],
        notify: Notifier,
        start: Start | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepares updates; `open` begins to poll.

        Args:
            settings: How the board is updated.
            folder: Holds the state that `begin` has returned.
            client: Knows what is published.
            follow: Swaps the model for the one in a file, signed by a key.
            notify: Gets what became of an update.
            start: Starts a worker with a candidate.
            clock: Function that gives seconds and does not jump.
        """
        self._settings, self._folder, self._client = settings, folder, client
        self._follow, self._notify, self._clock = follow, notify, clock
        self._start = start or self._worker
        # The copy in memory of what is on the disk: the file is written first, and then the model follows.
        self._state, self._boot = folder.read(), settings.boot
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._labels: Sequence[str] = ()
        self._shadow: tuple[Shadow, InstalledModel] | None = None
        self._candidate: ShadowProcess | None = None
        self._seats = Seats(clock)
        self._trial_began_s = self._noted_s = clock()
        self._trial_base_s = self._state.trial.seconds if self._state.trial else 0.0
        self._thread = threading.Thread(target=self._poll_for_ever, name="update", daemon=True)
        self._opened = False

    # --- What the loops hand over

    def sink(self, camera: str, regions: Mapping[str, Region]) -> "UpdateSink":
        """A sink for what a camera sees; its zones are given by name."""
        self._seats[camera].regions = regions
        return UpdateSink(self, camera)

    def open(self, card: ModelCard, camera: str = "") -> None:
        """The loop of a camera begins, or goes on with another model."""
        with self._lock:
            self._labels = card.labels
            self._seats[camera].unknown.clear()
            if not self._opened and math.isfinite(self._settings.every_s):
                self._thread.start()
            self._opened = True

    def frame(self, result: FrameResult) -> None:
        """A zone of a camera's frame was classified."""
        with self._lock:
            if self._ended.is_set():
                return
            seat = self._seats[result.camera]
            seat.unknown.append(result.known is False)
            if not self._seats.leads(result.camera) or self._shadow is None:
                return
            shadow, candidate = self._shadow
            try:
                if not shadow.add(result, seat.regions):
                    return
                if reason := shadow.verdict():
                    raise UpdateError(reason)
            except UpdateError as error:
                self._end_shadow()
                self._refuse(candidate.digest, str(error))
            else:
                self._end_shadow()
                self._take_over(candidate)

    def status(self, status: Status) -> None:
        """Statistics of a camera."""
        with self._lock:
            if self._ended.is_set():
                return
            self._take_up_what_a_person_did()
            seat = self._seats[status.camera]
            reading = TrialReading.of(status, seat.unknown)
            if self._state.trial is None:
                # Not while another model is still in use: it would be measured against itself.
                if status.model_sha256 == self._state.running:
                    seat.baseline = reading
            elif self._seats.leader in (None, status.camera):
                self._judge(status, reading.worse_than(seat.baseline, self._settings.health))

    def stop(self) -> None:
        """Has polls end, and kills a candidate, also one that whoever holds the lock waits for; waits for nothing."""
        self._ended.set()
        if candidate := self._candidate:
            candidate.kill()

    def close(self) -> None:
        """Ends polls, and a candidate that runs beside the model."""
        self.stop()
        with self._lock:
            self._end_shadow()

    def restart(self) -> None:
        """Takes up a state that was written before the run began."""
        self._state = self._folder.read()

    def end_in_order(self) -> None:
        """Notes that the run ends for another reason than its model; without it the next start takes it for a crash.

        Statistics that sinks still hand over count no more: a note that the trial goes on would undo this one.
        """
        self._ended.set()
        with self._lock, suppress(OSError):
            self._note_trial(ended_in_order=True)

    def told(self) -> UpdateStatus:
        """How updates stand."""
        state = self._state
        phase: Literal["idle", "shadow", "trial", "pinned"] = (
            "trial" if state.trial else "shadow" if self._shadow else "pinned" if state.pinned else "idle"
        )
        return UpdateStatus(phase, state.told, len(state.refused))

    # --- What is published

    def _poll_for_ever(self) -> None:
        schedule = PollSchedule(self._settings.every_s)
        pause_s, said = schedule.first(), ""
        while not self._ended.wait(pause_s):
            reason = ""
            try:
                self.poll()
            except (UpdateError, HostError) as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - whatever a server brings about, the board goes on
                reason = f"{type(error).__name__}: {error}"
            if reason and reason != said:  # once, not at every poll of an outage
                self._say("warning", reason)
            said = reason
            pause_s = schedule.after(not reason)

    def poll(self) -> None:
        """Looks once at what is published, and lets a new model run beside the one that runs.

        Raises:
            UpdateError: What is published is refused.
            HostError: It cannot be reached.
        """
        with self._lock:
            self._take_up_what_a_person_did()
            if self._state.trial or self._shadow or self._state.pinned:
                return
        # Without the lock: the network may take minutes, and frames go on meanwhile.
        published = self._client.published()
        offer = newest_for(published.offers, self._settings.device, self._settings.group)
        if offer is None or offer.digest == self._state.running or offer.digest in self._state.refused:
            return
        try:
            candidate = self._proven(offer, published.keys)
            shadow = self._shadowed(candidate) if self._settings.in_shadow else None
        except HostError:
            raise
        except EdgeError as error:
            with self._lock:
                self._refuse(offer.digest, str(error))
            return
        with self._lock:
            if self._ended.is_set():  # a trial that began now would look to the next start as if it had crashed
                if shadow:
                    shadow.close()
            elif shadow is None:
                self._take_over(candidate)
            else:
                self._shadow = (shadow, candidate)
                self._tell(f"{candidate.digest[:12]} runs beside the model for {self._settings.limits.frames} frames")

    def _proven(self, offer: Offer, keys: Sequence[bytes]) -> InstalledModel:
        """An offered file, on this disk, with seal, signature and golden vectors checked.

        Raises:
            EdgeError: It cannot be had, or one of them is not right.
        """
        path = self._folder.model(offer.digest)
        if not self._folder.whole(InstalledModel(offer.digest, offer.sequence, "")):
            self._client.fetch(offer, path)
        found = verify(path, runtime=self._settings.runtime, threads=1)
        if found.divergence or found.seal is None:
            raise UpdateError(found.divergence.reason if found.divergence else "it has no seal")
        # A sound file, but not the one that this offer is for.
        if found.seal.digest != offer.digest:
            raise UpdateError("its seal is not the one that was published")
        signature = found.seal.signature
        for key in keys if signature else ():
            if signature and is_by(signature, key):
                return InstalledModel(offer.digest, offer.sequence, key.hex())
        raise UpdateError("it is not signed by a key that is trusted")

    # --- Beside the model that runs

    def _worker(self, model: Path) -> ShadowProcess:
        current, settings = self._state.current, self._settings
        running = self._folder.model(current.digest) if current else settings.factory
        return ShadowProcess(worker_command(model, running, settings.runtime, settings.threads, settings.familiar))

    def _shadowed(self, candidate: InstalledModel) -> Shadow:
        """A candidate in a worker, open.

        Raises:
            UpdateError: It cannot be opened, or has other labels.
        """
        path = self._folder.model(candidate.digest)
        process = self._candidate = self._start(path)
        if self._ended.is_set():  # `stop` has come too early to see it
            process.kill()
        try:
            return Shadow(path, process, self._labels, self._settings.limits)
        except BaseException:
            process.close()
            raise

    def _end_shadow(self) -> None:
        if self._shadow:
            self._shadow[0].close()
            self._shadow = None

    # --- In its place

    def _take_over(self, candidate: InstalledModel) -> None:
        if not self._change(lambda there: there.taken_over_by(candidate, self._boot)):
            return
        self._trial_began_s = self._noted_s = self._clock()
        self._trial_base_s = 0.0
        self._follow_state()
        self._say("info", self._state.told)

    def _judge(self, status: Status, worse: str) -> None:
        """Whether a model on trial stays, goes, or goes on, given why it is worse than the one before."""
        now_s = self._clock()
        if status.model_sha256 != self._state.running:
            if now_s - self._trial_began_s > LOAD_S:
                self._take_back(f"it did not begin to run within {LOAD_S:.0f} s")
            return
        if worse:
            self._take_back(worse)
        elif self._trial_base_s + now_s - self._trial_began_s >= self._settings.trial_s:
            if self._change(UpdateState.settled):
                self._say("info", self._state.told)
        elif now_s - self._noted_s >= WRITE_S:
            self._noted_s = now_s
            self._note_trial(ended_in_order=False)

    def _note_trial(self, ended_in_order: bool) -> None:
        seconds = self._trial_base_s + self._clock() - self._trial_began_s

        def noted(there: UpdateState) -> UpdateState:
            if not there.trial:
                return there
            return replace(there, trial=replace(there.trial, seconds=seconds, ended_in_order=ended_in_order))

        self._change(noted)

    def _take_back(self, reason: str) -> None:
        if self._change(lambda there: there.rolled_back(reason)):
            self._follow_state()
            self._say("warning", self._state.told)

    def _refuse(self, digest: str, reason: str) -> None:
        if self._ended.is_set():  # it was killed, and is not to blame
            return
        if self._change(lambda there: there.refuse(digest, reason)):
            self._folder.tidy(self._state)
            self._say("warning", self._state.told)

    def _change(self, step: Callable[[UpdateState], UpdateState]) -> bool:
        """Makes a step from what is on the disk, where a person may have stopped updates a moment ago.

        Returns:
            Whether it was made; not where a person has put another model in charge, which is followed then.

        Raises:
            OutputError: It cannot be written.
        """
        moved = False

        def made(there: UpdateState) -> UpdateState:
            nonlocal moved
            # A state without a factory's model is what `read` gives of a file that cannot be read.
            if not there.factory:
                return step(self._state)
            moved = there.running != self._state.running
            return there if moved else step(there)

        self._state = self._folder.change(made)
        if moved:
            self._follow_person()
        return not moved

    def _take_up_what_a_person_did(self) -> None:
        """Follows what `edge-run update` has written meanwhile."""
        there = self._folder.read()
        if not there.factory or there == self._state:
            return
        moved, self._state = there.running != self._state.running, there
        if moved:
            self._follow_person()

    def _follow_person(self) -> None:
        self._end_shadow()
        self._follow_state()
        self._say("info", self._state.told)

    def _follow_state(self) -> None:
        current = self._state.current
        if current:
            self._follow(self._folder.model(current.digest), bytes.fromhex(current.key))
        else:
            self._follow(self._settings.factory, self._settings.key)

    def _tell(self, text: str) -> None:
        if self._change(lambda there: replace(there, told=text)):
            self._say("info", text)

    def _say(self, level: Level, text: str) -> None:
        self._notify(notice(level, UPDATE, text))


class UpdateSink(Sink):
    """What one camera hands over to a `ModelUpdater`."""

    name = "update"
    frames: ClassVar[Literal["all", "newest", "none"]] = "newest"
    wants_image = True

    def __init__(self, updater: ModelUpdater, camera: str) -> None:
        """See `ModelUpdater.sink`."""
        self._updater, self._camera = updater, camera

    def open(self, card: ModelCard) -> None:
        self._updater.open(card, self._camera)

    def frame(self, result: FrameResult) -> None:
        self._updater.frame(result)

    def status(self, status: Status) -> None:
        self._updater.status(status)
