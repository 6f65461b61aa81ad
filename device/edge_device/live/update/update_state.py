"""What a board knows of its updates, in one file: which model runs, which came before, which is on trial, which were
refused.

Models lie beside it as `models/DIGEST.tflite` and are never renamed or rewritten: replacing `state.json` is the only
step by which a board goes from one model to another, and that is done whole or not at all.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from edge_core.artifact.seal import check_seal
from edge_core.codec import JsonObject
from edge_core.errors import ModelFormatError, SettingsError
from edge_core.files import remove_unfinished, written_whole

STATE_FILE: Final = "state.json"
SCHEMA: Final = 1

ATTEMPTS: Final = 3
"""Starts within one trial that a power cut or a person may bring about; one more, and the model is taken for the
cause."""

REFUSED_KEPT: Final = 50


@dataclass(frozen=True)
class InstalledModel:
    """A model that came as an update.

    Attributes:
        digest: SHA-256 as the file's seal has it, hexadecimal; names its file.
        sequence: Number of its offer.
        key: Public key that signed it, hexadecimal.
    """

    digest: str
    sequence: int
    key: str


@dataclass(frozen=True)
class ModelTrial:
    """A model that has taken over and may still be taken back.

    Attributes:
        attempts: Starts so far in which it was to run.
        boot: Identifies the start of the machine at which it was begun last: a power cut is no fault of a model.
        ended_in_order: Whether the run before ended as it was asked to.
        seconds: Time for which it has run well so far.
    """

    attempts: int = 1
    boot: str = ""
    ended_in_order: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class UpdateState:
    """All that outlives the process.

    Attributes:
        factory: Digest of the model that was installed with the board; it is run where there is no other.
        current: Model that runs; None: the factory's.
        previous: Model that it would go back to; None: the factory's.
        trial: Whether and how `current` is on trial.
        refused: Reasons by digest of models that are not tried again.
        pinned: Whether a person has stopped updates.
        told: Latest thing that happened, for people.
    """

    factory: str = ""
    current: InstalledModel | None = None
    previous: InstalledModel | None = None
    trial: ModelTrial | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    pinned: bool = False
    told: str = ""

    @property
    def running(self) -> str:
        """Digest of the model that runs."""
        return self.current.digest if self.current else self.factory

    def taken_over_by(self, new: InstalledModel, boot: str) -> "UpdateState":
        """The state in which a new model is on trial."""
        told = f"{new.digest[:12]} has taken over for a trial"
        return replace(self, current=new, previous=self.current, trial=ModelTrial(boot=boot), told=told)

    def settled(self) -> "UpdateState":
        """The state after a trial that went well."""
        return replace(self, trial=None, told=f"{self.running[:12]} has passed its trial")

    def rolled_back(self, reason: str) -> "UpdateState":
        """The state after the model that runs was taken back."""
        # From there the way back leads to the factory's model: older files are not kept.
        back = replace(self.refuse(self.running, reason), current=self.previous, previous=None, trial=None)
        return replace(back, told=f"{self.running[:12]} was taken back: {reason}")

    def refuse(self, digest: str, reason: str) -> "UpdateState":
        """The state in which a model is not tried again; the latest `REFUSED_KEPT` are remembered."""
        others = [(one, why) for one, why in self.refused.items() if one != digest]
        refused = dict([*others, (digest, reason)][-REFUSED_KEPT:])
        return replace(self, refused=refused, told=f"{digest[:12]} is refused: {reason}")

    def to_json(self) -> JsonObject:
        return {"schema": SCHEMA, **asdict(self), "refused": dict(self.refused)}


class UpdateFolder:
    """The folder that a board keeps its updates in.

    Attributes:
        path: Path of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def metadata(self) -> Path:
        """Where the trusted metadata of The Update Framework lies."""
        return self.path / "metadata"

    def model(self, digest: str) -> Path:
        """Where a model lies."""
        return self.path / "models" / f"{digest}.tflite"

    def read(self) -> UpdateState:
        """The state; a new one where there is none, or it cannot be understood: the factory's model runs then."""
        try:
            return _parsed(json.loads((self.path / STATE_FILE).read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return UpdateState()

    def write(self, state: UpdateState) -> UpdateState:
        """Replaces the state; it is on the disk when this returns.

        Raises:
            OutputError: It cannot be written.
        """
        return self.change(lambda _: state)

    def change(self, step: Callable[[UpdateState], UpdateState]) -> UpdateState:
        """Replaces the state by what a function makes of it, and returns that; no other process writes in between.

        Raises:
            OutputError: It cannot be written.
            SettingsError: What the function raises; the state stays.
        """
        with self._locked():
            there = self.read()
            state = step(there)
            if state != there:
                text = json.dumps(state.to_json(), indent=2, ensure_ascii=False) + "\n"
                with written_whole(self.path / STATE_FILE, durable=True) as beside:
                    beside.write_bytes(text.encode(errors="backslashreplace"))
        return state

    def whole(self, model: InstalledModel | None) -> bool:
        """Whether a model's file is there, and is what was installed."""
        if model is None:
            return False
        try:
            seal = check_seal(self.model(model.digest))
        except ModelFormatError:
            return False
        return seal is not None and seal.digest == model.digest

    def tidy(self, state: UpdateState) -> None:
        """Removes models that nothing refers to, and what was being written when the power failed."""
        kept = {one.digest for one in (state.current, state.previous) if one}
        with self._locked():
            for folder in (self.path, self.path / "models"):
                remove_unfinished(folder)
        for path in (self.path / "models").glob("*.tflite"):
            if path.stem not in kept:
                with suppress(OSError):
                    path.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Has a run and `edge-run update` change the state one after the other, and neither tidy away what the other
        is writing."""
        with ExitStack() as stack:
            with suppress(OSError):  # a folder that is yet to be made, or lies where there are no locks
                held = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, held)
                fcntl.flock(held, fcntl.LOCK_EX)
            yield


def begin(folder: UpdateFolder, factory: str, boot: str) -> UpdateState:
    """The state at the start of a run, with an open trial counted before its model is loaded.

    Args:
        folder: Update folder of the board.
        factory: Digest of the model file that the board was given by hand. Another than before is a person's choice,
            and takes the place of what came as an update.
        boot: Identifies this start of the machine, see `boot_id`.

    Raises:
        OutputError: The state cannot be written.
    """

    def begun(state: UpdateState) -> UpdateState:
        if state.factory != factory:
            state = UpdateState(
                factory, refused=state.refused, pinned=state.pinned, told="the board was given a model by hand"
            )
        if state.trial:
            state = _counted(state, state.trial, boot)
        if state.current and not folder.whole(state.current):
            state = state.rolled_back("its file is damaged or gone")
        if state.current and not folder.whole(state.current):  # the one before is, too
            state = replace(state, current=None)
        return state

    state = folder.change(begun)
    folder.tidy(state)
    return state


def _counted(state: UpdateState, trial: ModelTrial, boot: str) -> UpdateState:
    """An open trial at a start: gone on with, or the model that ended the run before it is taken back."""
    # The same start of the machine, and no orderly end: the process crashed, or was killed.
    if trial.boot == boot and not trial.ended_in_order:
        return state.rolled_back("the run ended by a crash, or was killed, during its trial")
    if trial.attempts > ATTEMPTS:
        return state.rolled_back(f"its trial did not come to an end in {trial.attempts} starts")
    attempts = trial.attempts + (not trial.ended_in_order)
    return replace(state, trial=replace(trial, attempts=attempts, boot=boot, ended_in_order=False))


def pin(folder: UpdateFolder, pinned: bool) -> UpdateState:
    """Stops updates, or lets them go on."""
    told = "updates are stopped by a person" if pinned else "updates go on"
    return folder.change(lambda there: replace(there, pinned=pinned, told=told))


def roll_back(folder: UpdateFolder) -> UpdateState:
    """Goes back to the model before, which a run takes up at once.

    Raises:
        SettingsError: No update is installed.
    """

    def taken_back(there: UpdateState) -> UpdateState:
        if there.current is None:
            raise SettingsError(
                f"no update is installed in {folder.path}: the model that runs is the one given by hand"
            )
        return there.rolled_back("a person has taken it back")

    return folder.change(taken_back)


def boot_id() -> str:
    """Identifies this start of the machine; empty where the kernel does not tell."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _parsed(fields: Mapping[str, Any]) -> UpdateState:
    if fields["schema"] != SCHEMA:
        raise ValueError("it is of another version")

    def model(value: Mapping[str, Any] | None) -> InstalledModel | None:
        return (
            None if value is None else InstalledModel(str(value["digest"]), int(value["sequence"]), str(value["key"]))
        )

    trial = fields["trial"]
    return UpdateState(
        factory=str(fields["factory"]),
        current=model(fields["current"]),
        previous=model(fields["previous"]),
        trial=None if trial is None else ModelTrial(**trial),
        refused={str(digest): str(reason) for digest, reason in fields["refused"].items()},
        pinned=bool(fields["pinned"]),
        told=str(fields["told"]),
    )
