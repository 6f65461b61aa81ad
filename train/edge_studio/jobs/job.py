"""A job: a command that waits, runs or has ended, as its folder tells."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from edge_core.codec import JsonObject, from_fields
from edge_studio.jobs.commands import JobCommand, JobKind
from edge_studio.jobs.supervised import PROGRESS_FILE, SupervisedProcess, read_json, tail, write_json

JobState = Literal["queued", "running", "done", "failed", "cancelled"]

JOB_FILE: Final = "job.json"

ATTEMPTS: Final = 5
"""Times that a job is begun again after the machine or the process was lost; one more, and it is taken for the
cause."""

_STEPS: Final = 32 << 10
_EPOCH: Final = re.compile(r", epoch (\d+) of (\d+)$")


@dataclass(frozen=True)
class JobRecord:
    """What is known of a job before it runs, and what a person wants of it; `job.json`.

    Attributes:
        project: Name of the project that it is for.
        kind: What it does.
        title: What it does, for people.
        words: The command and its arguments.
        output: Path of what it writes.
        created: When it was asked for, in seconds since the epoch.
        cancelled: Whether a person has ended it.
        attempts: Times that it was begun.
    """

    project: str
    kind: str
    title: str
    words: tuple[str, ...]
    output: str
    created: float
    cancelled: bool = False
    attempts: int = 0


@dataclass(frozen=True)
class JobProgress:
    """How far a job is.

    Attributes:
        step: What is being done, as the command calls it.
        done: Number of parts of the step that are done.
        total: Number of parts of the step; None if that is not known.
        left_s: Seconds until the step ends, or of a training until its last epoch ends; None if that is not known.
    """

    step: str
    done: int
    total: int | None
    left_s: float | None


@dataclass(frozen=True)
class Job:
    """A job as a page shows it.

    Attributes:
        id: Name of its folder; jobs are in the order of these.
        record: What it is.
        state: Where it stands.
        ended: When it ended, in seconds since the epoch; None if it has not.
        message: Last line that it has printed.
        exit_status: Exit status of the command; None if it has not ended.
    """

    id: str
    record: JobRecord
    state: JobState
    ended: float | None = None
    message: str = ""
    exit_status: int | None = None

    @property
    def command(self) -> JobCommand:
        """The command that it runs."""
        record = self.record
        kind: JobKind = record.kind  # type: ignore[assignment]
        return JobCommand(kind, record.title, record.words, Path(record.output))

    def to_json(self) -> JsonObject:
        fields = asdict(self.record) | {"words": list(self.record.words), "shell": self.command.shell()}
        return {
            "id": self.id,
            **fields,
            "state": self.state,
            "ended": self.ended,
            "message": self.message,
            "exit_status": self.exit_status,
        }


def write_record(folder: Path, record: JobRecord) -> None:
    """Replaces what is known of a job; it is on the disk when this returns.

    Raises:
        OutputError: It cannot be written.
    """
    write_json(folder / JOB_FILE, asdict(record) | {"words": list(record.words)})


def read_job(folder: Path, process: SupervisedProcess) -> Job | None:
    """A job as its folder and its process tell; None if the folder holds none."""
    try:
        record = from_fields(JobRecord, read_json(folder / JOB_FILE))
    except ValueError:
        return None
    message = _last_line(process.log())
    ended = process.result()
    if ended is not None:
        status = int(ended["exit_status"])
        state: JobState = "done" if status == 0 else "cancelled" if record.cancelled else "failed"
        return Job(folder.name, record, state, float(ended["time"]), message, status)
    if process.started:
        return Job(folder.name, record, "running", None, message)
    return Job(folder.name, record, "cancelled" if record.cancelled else "queued", None, message)


def read_progress(folder: Path) -> JobProgress | None:
    """How far a running job is; None if it has not said yet."""
    steps = _read_steps(folder / PROGRESS_FILE)
    if not steps:
        return None
    now = steps[-1]
    return JobProgress(now["step"], now["done"], now["total"], _left_in_all(steps))


def _read_steps(file: Path) -> list[JsonObject]:
    """The latest steps that a job has told of, the one that runs last; none if there is no such file yet."""
    found = []
    with suppress(OSError), file.open("rb") as opened:
        for line in tail(opened, _STEPS).splitlines():
            with suppress(ValueError):  # half a line, of a machine that lost its power
                found.append(json.loads(line))
    return found


def _left_in_all(steps: Sequence[JsonObject]) -> float | None:
    """Seconds until the running step ends, or if it is an epoch, until the last one does."""
    now = steps[-1]
    left_s = 0.0 if now["ended"] else _left(now)
    epoch = _EPOCH.search(now["step"])
    if not epoch or left_s is None or epoch[1] == epoch[2]:
        return left_s
    seconds = _epoch_seconds(steps)
    return None if seconds is None else left_s + (int(epoch[2]) - int(epoch[1])) * seconds


def _left(step: JsonObject) -> float | None:
    """Seconds that a step still takes if it goes on as it has."""
    if not step["done"] or not step["total"]:
        return None
    return float(step["elapsed_s"]) / float(step["done"]) * max(0.0, float(step["total"] - step["done"]))


def _epoch_seconds(steps: Sequence[JsonObject]) -> float | None:
    """What an epoch takes: the latest whole one, else as much as the running one promises."""
    epochs = [one for one in steps if _EPOCH.search(one["step"])]
    whole = [float(one["elapsed_s"]) for one in epochs if one["ended"]]
    if whole:
        return whole[-1]
    left = _left(epochs[-1])
    return None if left is None else float(epochs[-1]["elapsed_s"]) + left


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
