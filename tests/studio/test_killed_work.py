"""The studio killed while frames are labeled, a device is given a model, or jobs are asked for."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_core.artifact.seal import check_seal
from edge_device.sinks.inbox.snapshot_store import SnapshotStore
from edge_studio import Project, Studio
from edge_studio.devices.local_device import LocalDevice
from edge_studio.jobs.job_queue import JobQueue

from ..device.update.vendor import signed_model
from ..programs import Started
from .test_killed import ROUNDS

FRAMES = 60

WORK = """
import sys
from pathlib import Path
from edge_studio import Studio, StudioSettings
from edge_studio.devices.local_device import LocalDevice
from edge_studio.jobs.commands import JobCommand
folder, work = Path(sys.argv[1]), sys.argv[2]
studio = Studio(StudioSettings(folder, cache=folder.parent / "cache"))
project = studio.project("flowers")

def label():
    inbox = studio.inbox(project)
    for number, frame in enumerate(inbox.frames()):
        yield inbox.label([frame.key], ("roses", "tulips")[number % 2]).added[0]

def deploy():
    device = LocalDevice(folder / "device")
    for number in range(100_000):
        device.give(folder / ("a.tflite", "b.tflite")[number % 2])
        yield str(number)

def submit():
    with studio.jobs:
        for number in range(8):
            words = ("sh", "-c", f"echo {number} >> ran; sleep 0.1")
            yield studio.jobs.submit("flowers", JobCommand("curve", "x", words, folder / str(number))).id
        import time; time.sleep(60)

for told in {"label": label, "deploy": deploy, "submit": submit}[work]():
    print(told, flush=True)
"""


def killed(folder: Path, work: str, seed: int) -> list[str]:
    """What a process has confirmed until it was killed, at some moment of its work."""
    with Started(
        [sys.executable, "-c", WORK, str(folder), work], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        first = process.stdout.readline()
        assert first, process.stderr.read()
        time.sleep(random.Random(seed).random() / 3)
        process.send_signal(signal.SIGKILL)
        lines = [first, *process.stdout.read().splitlines(keepends=True)]
    return [line.strip() for line in lines if line.endswith("\n")]


def contents(*folders: Path) -> Counter[bytes]:
    return Counter(path.read_bytes() for folder in folders for path in folder.rglob("*.jpg"))


@pytest.mark.parametrize("seed", ROUNDS)
def test_no_frame_is_lost_or_in_two_classes_when_the_labeling_is_killed(
    studio: Studio, project: Project, jpeg: Callable[..., bytes], seed: int
) -> None:
    store = SnapshotStore(project.inbox / "board")
    store.open()
    for number in range(FRAMES):
        store.add(jpeg(number), "roses", {"source": "0"}, ("uncertain", "unsure"))
    before = contents(project.inbox)
    confirmed = killed(project.root, "label", seed)
    assert confirmed and all((project.photos / path).is_file() for path in confirmed)
    inbox = studio.inbox(project)
    waiting = inbox.frames()
    found = contents(project.photos, project.inbox)
    assert set(found) == set(before)
    # One frame may be a photo already that was not confirmed: it has left the inbox by now, and is not asked for again.
    assert found.total() == FRAMES and len(waiting) <= FRAMES - len(confirmed)
    for number, frame in enumerate(waiting, FRAMES - len(waiting)):
        inbox.label([frame.key], ("roses", "tulips")[number % 2])
    assert inbox.frames() == [] and set(contents(project.photos)) == set(before)
    lines = [json.loads(line) for line in (project.photos / "manifest.jsonl").read_text().splitlines()]
    assert len({line["file"] for line in lines}) == len(lines) == FRAMES
    assert not list(project.photos.rglob(".*.tmp*"))


def test_a_frame_that_became_a_photo_and_got_no_line_is_not_asked_for_again(
    studio: Studio, project: Project, jpeg: Callable[..., bytes]
) -> None:
    store = SnapshotStore(project.inbox / "board")
    store.open()
    for number in range(2):
        store.add(jpeg(number), "roses", {"source": "0"}, ("uncertain", "unsure"))
    last, first = studio.inbox(project).frames()
    studio.photo_store(project).add(jpeg(0), "x.jpg", "tulips")  # all that was done when the power failed
    (waiting,) = Studio(studio.settings).inbox(project).frames()
    assert waiting == last
    (line,) = [json.loads(line) for line in (project.photos / "manifest.jsonl").read_text().splitlines()]
    assert (line["file"], line["label"], line["inbox"], line["camera"]) == ("tulips/x.jpg", "tulips", first.key, "0")


@pytest.mark.parametrize("seed", ROUNDS)
def test_a_device_has_a_whole_model_when_the_deployment_is_killed(studio: Studio, project: Project, seed: int) -> None:
    files = {signed_model(project.root / f"{name}.tflite", None, name).read_bytes() for name in ("a", "b")}
    assert killed(project.root, "deploy", seed)
    device = LocalDevice(project.root / "device")
    assert device.model.read_bytes() in files and check_seal(device.model)
    device.take_back()
    assert device.model.read_bytes() in files


@pytest.mark.parametrize("seed", ROUNDS)
def test_every_job_that_was_confirmed_runs_once(studio: Studio, project: Project, seed: int) -> None:
    confirmed = killed(project.root, "submit", seed)
    with JobQueue(studio.state / "jobs", project.root) as queue:
        end_s = time.monotonic() + 240  # eight jobs, each in two processes of its own
        while any(job.state in ("queued", "running") for job in queue.jobs()):
            assert time.monotonic() < end_s
            time.sleep(0.1)
        assert {job.id for job in queue.jobs()} >= set(confirmed)
        assert {job.state for job in queue.jobs()} == {"done"}
        jobs = len(queue.jobs())
    assert sorted((project.root / "ran").read_text().split(), key=int) == [str(number) for number in range(jobs)]
