"""`edge-train studio` killed ten times during real trainings, and some of the trainings with it."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from edge_core.codec import JsonObject
from edge_core.run_folder import read_run
from edge_studio import Project
from edge_studio.jobs.supervised import PROCESS_FILE
from edge_train.training.checkpoints import epochs_so_far

from .served import served

KILLS = 10
WITH_THE_TRAINING = (2, 5, 8)
"""Kills after which the machine, as it were, comes up without the training either."""

OPTIONS = {"alpha": 0.35, "weights": "none", "image_size": 64, "epochs": 60}


def ask(address: str, path: str, **fields: object) -> JsonObject:
    """What the studio answers to its page."""
    origin, _, token = address.partition("/login?token=")
    headers = {"authorization": f"Bearer {token}", "x-requested-by": "studio"}
    body = json.dumps(fields).encode() if fields else None
    with urlopen(Request(f"{origin}/api/p/colors/{path}", body, headers), timeout=60) as answer:
        found: JsonObject = json.load(answer)
        return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("patient")
def test_trainings_outlive_ten_servers_and_go_on_where_they_were_lost(
    start: Callable[..., subprocess.Popen[str]], color_photos: Path, tmp_path: Path
) -> None:
    project = Project(tmp_path / "projects", "colors")
    project.root.mkdir()
    project.photos.symlink_to(color_photos)
    draw, kills, finished = random.Random(1), 0, 0
    while kills < KILLS:
        with served(start, project.root) as (address, server):
            jobs = ask(address, "jobs")["jobs"]
            if not jobs or jobs[0]["state"] not in ("queued", "running"):
                ask(address, "train", **OPTIONS)
            (job, *earlier) = ask(address, "jobs")["jobs"]
            assert all(one["state"] == "done" for one in earlier), earlier
            finished, run = len(earlier), Path(job["output"])
            so_far = len(epochs_so_far(run))
            end_s = time.monotonic() + 300
            while len(epochs_so_far(run)) < so_far + 2 and job["state"] in ("queued", "running"):
                assert time.monotonic() < end_s, ask(address, f"jobs/{job['id']}/log")
                time.sleep(draw.random())
                job = ask(address, "jobs")["jobs"][0]
            if job["state"] == "running":
                server.send_signal(signal.SIGKILL)
                kills += 1
                if kills in WITH_THE_TRAINING:
                    told = json.loads((project.root / ".studio" / "jobs" / job["id"] / PROCESS_FILE).read_text())
                    os.killpg(told["pid"], signal.SIGKILL)
            else:
                assert job["state"] == "done", job
    with served(start, project.root) as (address, server):
        end_s = time.monotonic() + 300
        while (job := ask(address, "jobs")["jobs"][0])["state"] in ("queued", "running"):
            assert time.monotonic() < end_s
            time.sleep(0.5)
        assert job["state"] == "done", ask(address, f"jobs/{job['id']}/log")
        numbers = [one["epoch"] for one in job["epochs"]]
        assert numbers == list(range(len(numbers))) and len(numbers) > 4
        assert read_run(Path(job["output"])).card.labels == ("blue", "green", "red")
    print(f"{kills} kills, {len(WITH_THE_TRAINING)} of them with the training, over {finished + 1} trainings")
