"""The jobs of one machine, one at a time: they go on without a page, without the server, and after a power cut."""

import fcntl
import os
import shutil
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge_core.errors import OutputError, SettingsError
from edge_device.command_line.progress_file import PROGRESS_VARIABLE
from edge_studio.jobs.commands import JobCommand
from edge_studio.jobs.job import ATTEMPTS, Job, JobProgress, JobRecord, read_job, read_progress, write_record
from edge_studio.jobs.supervised import (
    LOG_FILE,
    LOST,
    PROCESS_FILE,
    PROGRESS_FILE,
    RESULT_FILE,
    SupervisedProcess,
    write_json,
)

LOOK_S: Final = 0.25
"""Seconds between two looks at the job that runs."""

ENDED: Final = ("done", "failed", "cancelled")

KEPT: Final = 200
"""Jobs that have ended and are remembered."""


class JobQueue:
    """Jobs as folders of JSON files, and a thread that begins the next one when none runs.

        with JobQueue(Path("studio/.studio/jobs"), Path("studio")) as queue:
            job = queue.submit("flowers", train_command({}, photos, run))

    What runs is a process of its own, which does not end with this one; another queue on the same folder finds it
    again. A job whose process is lost without a result (kill -9, a power cut) is begun again: a training goes on after
    its last epoch, as the same command does in a terminal.
    """

    def __init__(self, folder: Path, cwd: Path) -> None:
        """Names the folder; entering the context begins to work.

        Args:
            folder: Folder of the jobs; made if it is not there.
            cwd: Folder that commands run in.
        """
        self._folder, self._cwd = folder, cwd
        self._ended: dict[str, Job] = {}
        # Reentrant: `again` submits, and all of them read, while they hold it.
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._held = -1

    def __enter__(self) -> Self:
        """Begins to work.

        Raises:
            OutputError: Another studio works on the same folder, or it cannot be written.
        """
        with ExitStack() as undo:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                # Not inherited: a job that outlives the server must not keep its lock.
                self._held = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                undo.callback(os.close, self._held)
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                taken = f"{self._folder} belongs to a studio that runs already; end that one first"
                raise OutputError(taken) from error
            except OSError as error:
                raise OutputError(f"{self._folder} cannot be written: {error.strerror or error}") from error
            self._thread.start()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops looking; the job that runs goes on."""
        self._closing.set()
        self._thread.join()
        os.close(self._held)

    def submit(self, project: str, command: JobCommand) -> Job:
        """Adds a job, which is on the disk when this returns.

        Args:
            project: Name of the project that it is for.
            command: What it runs.

        Raises:
            SettingsError: A job that has not ended writes the same.
            OutputError: The job cannot be written.
        """
        with self._lock:
            output = str(command.output)
            same = [one for one in self.jobs() if one.record.output == output and one.state in ("queued", "running")]
            if same and command.kind != "publish":
                raise SettingsError(f"{same[0].record.title} is {same[0].state} already; wait for it or cancel it")
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z"
            folder = self._folder / name
            folder.mkdir()
            write_record(folder, JobRecord(project, command.kind, command.title, command.words, output, time.time()))
            return self.job(name)

    def jobs(self) -> list[Job]:
        """All jobs, the oldest first."""
        found = (self._read(path.name) for path in sorted(self._folder.glob("*Z")))
        return [one for one in found if one]

    def job(self, name: str) -> Job:
        """A job by its id.

        Raises:
            SettingsError: There is none.
        """
        found = self._read(name) if name == Path(name).name and name.endswith("Z") else None
        if found is None:
            raise SettingsError(f"there is no job {name!r}")
        return found

    def progress(self, name: str) -> JobProgress | None:
        """How far a job is; None if it does not run or has not said yet."""
        return read_progress(self._folder / name) if self.job(name).state == "running" else None

    def log(self, name: str) -> str:
        """The end of what a job has printed."""
        self.job(name)
        return self._process(name).log()

    def cancel(self, name: str) -> Job:
        """Ends a job, in order if its command answers within a second, else by force; it can be begun again."""
        with self._lock:
            job = self.job(name)
            if job.state in ("queued", "running"):
                # First the wish, on the disk: a server that is lost now must not begin it again.
                write_record(self._folder / name, replace(job.record, cancelled=True))
                self._process(name).stop()
                self._note_loss(name)
            return self.job(name)

    def again(self, name: str) -> Job:
        """Puts a job that was cancelled or failed at the end of the queue; a training goes on after its last epoch.

        Raises:
            SettingsError: It has not ended, or it is done.
        """
        with self._lock:
            job = self.job(name)
            if job.state not in ("cancelled", "failed"):
                raise SettingsError(
                    f"{job.record.title} is {job.state}; only what was cancelled or failed is begun again"
                )
            again = self.submit(job.record.project, job.command)
            self._remove(name)
            return again

    def _work(self) -> None:
        while not self._closing.wait(LOOK_S):
            with self._lock, suppress(OSError):  # a disk that is full for now
                self._look()

    def _look(self) -> None:
        """Takes up what was lost, begins the next job if none runs, and forgets the oldest of those that have ended."""
        jobs = self.jobs()
        running = [job for job in jobs if job.state == "running"]
        for job in running:
            if not self._process(job.id).alive():
                self._take_up(job)
        waiting = [job for job in jobs if job.state == "queued"]
        if not running and waiting:
            self._begin(waiting[0])
        ended = [job for job in jobs if job.state in ENDED]
        for job in ended[: max(0, len(ended) - KEPT)]:
            self._remove(job.id)

    def _begin(self, job: Job) -> None:
        folder = self._folder / job.id
        if job.record.attempts >= ATTEMPTS:
            self._fail(job.id, f"its process was not to be seen {ATTEMPTS} times, so it is not begun again")
            return
        write_record(folder, replace(job.record, attempts=job.record.attempts + 1))
        with suppress(FileNotFoundError):
            (folder / PROGRESS_FILE).unlink()
        environment = {PROGRESS_VARIABLE: str(folder / PROGRESS_FILE)}
        try:
            self._process(job.id).start(job.command.program(), environment, self._cwd)
        except OSError as error:
            self._fail(job.id, f"it cannot be started: {error.strerror or error}")

    def _take_up(self, job: Job) -> None:
        """What becomes of a job whose process is no longer there."""
        process = self._process(job.id)
        if process.result() is not None:  # it has ended between two looks
            return
        process.end_orphans()
        if job.record.cancelled:
            self._note_loss(job.id)
        elif job.record.attempts >= ATTEMPTS:
            self._fail(job.id, f"its process was lost {ATTEMPTS} times, so it is not begun again; memory may run out")
        else:
            (self._folder / job.id / PROCESS_FILE).unlink()  # queued again, as the oldest: the next to begin

    def _note_loss(self, name: str) -> None:
        """Writes an end for a runner that could not, so that the job counts as ended."""
        process = self._process(name)
        if process.started and process.result() is None:
            write_json(self._folder / name / RESULT_FILE, {"exit_status": LOST, "time": time.time()})

    def _fail(self, name: str, reason: str) -> None:
        with (self._folder / name / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(f"error: {reason}\n")
        write_json(self._folder / name / RESULT_FILE, {"exit_status": LOST, "time": time.time()})

    def _read(self, name: str) -> Job | None:
        with self._lock:
            found = self._ended.get(name) or read_job(self._folder / name, self._process(name))
            if found and found.state in ENDED:
                self._ended[name] = found  # nothing changes any more
            return found

    def _process(self, name: str) -> SupervisedProcess:
        return SupervisedProcess(self._folder / name)

    def _remove(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)
        self._ended.pop(name, None)
