"""Jobs: real commands in processes of their own, which outlive who started them."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

import edge_convert.cli
import edge_train.cli
from edge_core.codec import JsonObject
from edge_core.errors import OutputError, SettingsError
from edge_studio.jobs import supervised
from edge_studio.jobs.commands import EXPORT, TRAIN, JobCommand, export_command, publish_command, train_command
from edge_studio.jobs.job import Job
from edge_studio.jobs.job_queue import JobQueue
from edge_studio.jobs.supervised import (
    PROCESS_FILE,
    RESULT_FILE,
    SupervisedProcess,
    read_json,
    start_time,
    write_json,
)
from edge_train.training.checkpoints import CheckpointStore

from ..programs import Started

PATIENCE_S = 240.0


def script(folder: Path, name: str, code: str) -> JobCommand:
    """A job that runs a few lines of Python."""
    return JobCommand("curve", name, (sys.executable, "-c", textwrap.dedent(code)), folder / name)


def until(true: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    end_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end_s, f"never: {what}"
        time.sleep(0.05)


def ended(queue: JobQueue, job: Job, seconds: float = PATIENCE_S) -> Job:
    until(lambda: queue.job(job.id).state not in ("queued", "running"), f"{job.record.title} ends", seconds)
    return queue.job(job.id)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    with JobQueue(tmp_path / "jobs", tmp_path) as queue:
        yield queue
        for job in queue.jobs():
            queue.cancel(job.id)


def test_jobs_run_one_after_the_other_and_tell_how_they_ended(queue: JobQueue, tmp_path: Path) -> None:
    together = """
        import os, time
        assert not os.path.exists("busy")
        open("busy", "w").close(); time.sleep(0.3); os.remove("busy")
        print("bytes that are no text: \\udcff".encode("utf-8", "surrogateescape"))
    """
    jobs = [queue.submit("flowers", script(tmp_path, f"job-{number}", together)) for number in range(3)]
    assert [ended(queue, job).state for job in jobs] == ["done"] * 3
    failed = ended(queue, queue.submit("flowers", script(tmp_path, "bad", "raise SystemExit('error: no photos')")))
    assert (failed.state, failed.exit_status, failed.message) == ("failed", 1, "error: no photos")
    lost = ended(queue, queue.submit("flowers", JobCommand("deploy", "none", ("no-such-program",), tmp_path / "x")))
    assert (lost.state, lost.exit_status) == ("failed", 127) and "no-such-program cannot be started" in lost.message


def test_a_job_that_is_cancelled_ends_with_all_that_it_has_started(queue: JobQueue, tmp_path: Path) -> None:
    deaf = """
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sleeper = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(3600)"
        child = subprocess.Popen([sys.executable, "-c", sleeper])
        open("child", "w").write(str(child.pid))
        time.sleep(3600)
    """
    job = queue.submit("flowers", script(tmp_path, "deaf", deaf))
    waiting = queue.submit("flowers", script(tmp_path, "waiting", "open('ran', 'w')"))
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text() != "", "its child runs")
    assert queue.cancel(waiting.id).state == "cancelled"
    assert queue.cancel(job.id).state == "cancelled"
    until(lambda: start_time(int((tmp_path / "child").read_text())) is None, "the child's end")
    assert ended(queue, queue.submit("flowers", script(tmp_path, "next", "pass"))).state == "done"
    assert not (tmp_path / "ran").exists()
    again = queue.again(waiting.id)
    assert ended(queue, again).state == "done" and (tmp_path / "ran").exists()
    with pytest.raises(SettingsError, match="there is no job"):
        queue.job(waiting.id)


SERVER = """
import sys, time
from pathlib import Path
from edge_studio.jobs.commands import JobCommand
from edge_studio.jobs.job_queue import JobQueue

folder = Path(sys.argv[1])
with JobQueue(folder / "jobs", folder) as queue:
    if sys.argv[2:]:
        print(queue.submit("flowers", JobCommand("train", "long", tuple(sys.argv[2:]), folder / "out")).id, flush=True)
    time.sleep(300)
"""


def serve(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SERVER, str(folder), *words]
    return Started(command, stdout=subprocess.PIPE, text=True, env=environment)


COUNTING = """
import os, time
open("starts", "a").write("begun\\n")
while not os.path.exists("go"):
    time.sleep(0.02)
open("starts", "a").write("ended\\n")
"""


def test_a_job_outlives_a_server_that_is_killed_and_is_found_again(tmp_path: Path) -> None:
    with serve(tmp_path, sys.executable, "-c", COUNTING) as server:
        assert server.stdout
        name = server.stdout.readline().strip()
        until(lambda: (tmp_path / "starts").exists() and (tmp_path / "starts").read_text() != "", "it runs")
        with (
            pytest.raises(OutputError, match="belongs to a studio that runs already"),
            JobQueue(tmp_path / "jobs", tmp_path),
        ):
            pass
        server.kill()
    with JobQueue(tmp_path / "jobs", tmp_path) as queue:
        assert queue.job(name).state == "running"
        (tmp_path / "go").touch()
        assert ended(queue, queue.job(name)).state == "done"
    assert (tmp_path / "starts").read_text().split() == ["begun", "ended"]  # once, not twice


def test_a_job_whose_process_was_lost_with_the_machine_is_begun_again(tmp_path: Path) -> None:
    with serve(tmp_path, sys.executable, "-c", COUNTING) as server:
        assert server.stdout
        name = server.stdout.readline().strip()
        until(lambda: (tmp_path / "starts").exists() and (tmp_path / "starts").read_text() != "", "it runs")
        server.kill()
        server.wait()
        told = json.loads((tmp_path / "jobs" / name / PROCESS_FILE).read_text())
        os.killpg(told["pid"], signal.SIGKILL)
    with JobQueue(tmp_path / "jobs", tmp_path) as queue:
        until(lambda: len((tmp_path / "starts").read_text().split()) == 2, "it is begun again")
        (tmp_path / "go").touch()
        job = ended(queue, queue.job(name))
        assert (job.state, job.record.attempts) == ("done", 2)
    assert (tmp_path / "starts").read_text().split() == ["begun", "begun", "ended"]


def test_a_job_whose_process_never_shows_holds_up_no_other(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(SupervisedProcess, "start", lambda *_: None)
        job = ended(queue, queue.submit("flowers", script(tmp_path, "never", "pass")))
    assert job.state == "failed" and "not begun again" in job.message
    assert ended(queue, queue.submit("flowers", script(tmp_path, "next", "pass"))).state == "done"


def test_another_process_that_got_the_number_of_a_lost_job_is_left_alone(tmp_path: Path) -> None:
    with Started([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as stranger:
        with JobQueue(tmp_path / "jobs", tmp_path) as queue:
            job = ended(queue, queue.submit("flowers", script(tmp_path, "short", "pass")))
        folder = tmp_path / "jobs" / job.id
        told = json.loads((folder / PROCESS_FILE).read_text()) | {"pid": stranger.pid}
        (folder / PROCESS_FILE).write_text(json.dumps(told))
        (folder / "result.json").unlink()
        with JobQueue(tmp_path / "jobs", tmp_path) as queue:
            assert ended(queue, queue.job(job.id)).state == "done"  # begun again
        assert stranger.poll() is None
        stranger.communicate("\n")


def test_the_commands_are_those_that_a_person_would_type(tmp_path: Path) -> None:
    photos, run, file = tmp_path / "my photos", tmp_path / "run-1", tmp_path / "a.tflite"
    assert train_command({}, photos, run).shell() == f"edge-train fit '{photos}' --out {run}"
    chosen = {"qat": True, "mirror": False, "epochs": 2, "alpha": 0.35, "image_size": 96}
    assert train_command(chosen, photos, run).words[5:] == (
        *("--image-size", "96", "--alpha", "0.35", "--epochs", "2"),
        *("--no-mirror", "--qat"),
    )
    exported = export_command({"max_drop": 0.5, "target": ["pi", "coral"], "sign": "key"}, run, tmp_path, None)
    assert exported.words[3:] == (
        *("--out", str(tmp_path / "run-1-int8.tflite")),
        *("--max-drop", "0.5", "--target", "pi", "--target", "coral", "--sign", "key"),
    )
    limited = export_command({"recipe": "auto", "max_unknown": 5}, run, tmp_path, photos)
    assert limited.words[4:] == (
        *(str(tmp_path / "run-1-auto.tflite"), "--recipe", "auto", "--max-unknown", "5", "--unknown", str(photos)),
    )
    with pytest.raises(SettingsError, match="put some into _nothing"):
        export_command({"max_unknown": 5}, run, tmp_path, None)
    assert publish_command(file, tmp_path, tmp_path / "key").words[:3] == ("edge-convert", "publish", str(file))


def test_the_pages_offer_what_the_commands_have(tmp_path: Path) -> None:
    # One source: a network, a recipe or a range that a command gets is on its page by the same line.
    assert {"mobilenet_v2", "mobilenet_v4_conv_small"} <= set(TRAIN.fields["backbone"].choices)
    size, epochs = TRAIN.fields["image_size"], TRAIN.fields["epochs"]
    assert (size.default, size.least, size.most, epochs.default, epochs.least, epochs.most) == (0, 32, 1024, 8, 0, None)
    assert "int8-qat" in EXPORT.fields["recipe"].choices and EXPORT.fields["max_drop"].default == 1.0
    parsed = {"edge-train": edge_train.cli.app, "edge-convert": edge_convert.cli.app}
    everything = {"alpha": 0.5, "image_size": 64, "weights": "none", "epochs": 1, "augment": "randaugment"}
    for command in (
        train_command({**everything, "class_weights": True, "backbone": "resnet50"}, tmp_path / "none", tmp_path / "r"),
        export_command({"target": ["android"], "max_drop": 2}, tmp_path / "none", tmp_path, None),
    ):
        # Read to its end by the command itself, which then finds neither photos nor a run.
        found = CliRunner().invoke(parsed[command.words[0]], command.words[1:])
        assert found.exit_code == 2 and "none" in found.stderr and "Usage" not in found.stderr, found.stderr


@pytest.mark.parametrize(
    "form",
    [
        {"backbone": "mobilenet_v9"},
        {"backbone": "--debug"},
        {"epochs": -1},
        {"epochs": "8"},
        {"epochs": True},
        {"alpha": float("nan")},
        {"alpha": 10**400},
        {"epochs": 10**400},
        {"qat": 1},
        {"image_size": 31},
        {"teacher": "/etc"},
        {"backbone": "/etc"},
    ],
)
def test_a_form_that_no_page_sends_is_refused_in_one_line(form: dict[str, object]) -> None:
    with pytest.raises(SettingsError) as refused:
        TRAIN.read(form)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_real_training_tells_its_progress_its_curve_and_goes_on_after_it_was_cancelled(
    color_photos: Path, queue: JobQueue, tmp_path: Path
) -> None:
    from edge_train.training.checkpoints import epochs_so_far

    options = {"alpha": 0.35, "weights": "none", "image_size": 48, "epochs": 40}
    command = train_command(options, color_photos, tmp_path / "run-1")
    job = queue.submit("colors", command)
    with pytest.raises(SettingsError, match="already"):
        queue.submit("colors", command)
    seen: set[str] = set()

    def trained() -> bool:
        progress = queue.progress(job.id)
        seen.add(progress.step if progress else "")
        assert queue.job(job.id).state in ("queued", "running"), queue.log(job.id)
        return len(epochs_so_far(tmp_path / "run-1")) >= 4

    until(trained, "a few epochs are done", 300)
    assert any("epoch" in step for step in seen), seen
    cancelled = queue.cancel(job.id)
    assert (cancelled.state, cancelled.message) == ("cancelled", queue.log(job.id).splitlines()[-1])
    so_far = epochs_so_far(tmp_path / "run-1")
    assert not (tmp_path / "run-1").exists() and len(so_far) >= 4
    again = queue.again(job.id)
    assert ended(queue, again, 300).state == "done", queue.log(again.id)
    assert "going on after epoch" in queue.log(again.id)
    assert (tmp_path / "run-1" / "report.html").exists()


@pytest.mark.parametrize("text", ['{"exit_status": "well"}', '{"time": 1}', "{", "[]", ""])
def test_a_result_that_was_damaged_by_hand_is_that_of_a_lost_job(queue: JobQueue, tmp_path: Path, text: str) -> None:
    job = ended(queue, queue.submit("flowers", script(tmp_path, "first", "pass")))
    (tmp_path / "jobs" / job.id / RESULT_FILE).write_text(text)
    with queue._lock:  # its thread may be about to remember what it has read before
        queue._ended.clear()  # as at the next start
    assert (queue.job(job.id).state, queue.job(job.id).exit_status) == ("failed", 137)
    assert ended(queue, queue.submit("flowers", script(tmp_path, "next", "pass"))).state == "done"


def test_a_result_that_is_written_while_it_is_looked_for_is_no_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def just_before(file: Path) -> JsonObject:
        found = read_json(file)
        write_json(file, {"exit_status": 0, "time": 1.0})
        return found

    monkeypatch.setattr(supervised, "read_json", just_before)
    process = SupervisedProcess(tmp_path)
    assert process.result() is None
    write_json(tmp_path / RESULT_FILE, {"exit_status": 0, "time": 1.0})
    assert process.result() == {"exit_status": 0, "time": 1.0}


def test_a_folder_that_cannot_be_locked_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(OutputError, match="cannot be written: No locks"), JobQueue(tmp_path / "jobs", tmp_path):
        pass
    with pytest.raises(OutputError, match="cannot be written: No locks"):
        CheckpointStore(tmp_path / "run", {})
    assert not [name for name in open_files() if name.startswith(str(tmp_path))]


def open_files() -> list[str]:
    """Names of the files that this process has open. Other threads open and close some meanwhile."""
    names = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            names.append(os.readlink(f"/proc/self/fd/{number}"))
    return names
