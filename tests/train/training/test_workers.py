"""Several machines that train one model; here, several processes on this one."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_core.codec import JsonObject
from edge_core.errors import SettingsError, WorkerLostError
from edge_train.training.workers import Worker, WorkerAgreement, agree, meet, read_worker

from ...doubles import free_port

EPOCHS = 6

PROGRAM = """
from edge_keras.models.architectures import ARCHITECTURES
from tests.train.small_network import SMALL_NETWORK
ARCHITECTURES["mobilenet_v2"] = SMALL_NETWORK
from edge_train.cli import app
app(prog_name="edge-train")
"""
"""`edge-train`, which trains a small network by default."""


def free_addresses(count: int) -> tuple[str, ...]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return tuple(f"127.0.0.1:{port}" for port in ports)


def test_the_chief_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 1}}))
    assert read_worker() == Worker(("a:1", "b:1", "c:1"), 2)


@pytest.mark.parametrize("text", ["", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'])
def test_a_single_worker_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert read_worker() is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "7",
        '{"cluster": 7}',
        '{"cluster": {"worker": "ab"}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_malformed_tf_config_is_one_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(SettingsError, match="TF_CONFIG") as caught:
        read_worker()
    assert "\n" not in str(caught.value)


def test_workers_go_on_where_all_have_a_state() -> None:
    assert agree(["r", "r"], [[3, 4], [2, 3]], None) == WorkerAgreement(3)
    assert agree(["r", "r"], [[3, 4], []], None) == WorkerAgreement(None)
    assert agree(["r", "r"], [[8], [8]], 9) == WorkerAgreement(9, alone=True)


def test_workers_with_other_photos_are_refused() -> None:
    with pytest.raises(SettingsError, match="worker 1"):
        agree(["r", "other"], [[], []], None)


def test_workers_meet() -> None:
    addresses = free_addresses(3)
    found: dict[int, WorkerAgreement] = {}

    def go(number: int, states: list[int]) -> None:
        found[number] = meet(Worker(addresses, number), {"seed": 1}, states, wait_s=120)

    threads = [threading.Thread(target=go, args=given) for given in ((1, [4, 5]), (0, [5, 6]), (2, [5]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(150)
    assert found == {0: WorkerAgreement(5), 1: WorkerAgreement(5), 2: WorkerAgreement(5)}


def test_a_worker_that_does_not_come_is_named() -> None:
    addresses = free_addresses(2)
    for number, other in ((0, "worker 1"), (1, "worker 0")):
        with pytest.raises(WorkerLostError, match=other):
            meet(Worker(addresses, number), {}, [], wait_s=0.5)


@pytest.mark.parametrize("told", [{"request": "r", "states": 7}, {"request": 7, "states": []}])
def test_what_is_no_worker_is_not_taken_for_one(told: JsonObject) -> None:
    addresses = free_addresses(2)
    with ThreadPoolExecutor(1) as pool:
        chief = pool.submit(meet, Worker(addresses, 0), {}, [], wait_s=3)
        host, port = addresses[0].split(":")
        end_s = time.monotonic() + 3
        while True:
            try:
                stranger = socket.create_connection((host, int(port)))
                break
            except ConnectionRefusedError:
                assert time.monotonic() < end_s
                time.sleep(0.02)
        with stranger:
            stranger.sendall(json.dumps(told | {"number": 1}).encode() + b"\n")
            # Hung up on: a worker that could not be heard in time tells again, and does not wait for an answer.
            assert stranger.recv(1) == b"" and not chief.done()
            with pytest.raises(WorkerLostError, match="worker 1"):
                chief.result(30)


def losses(run: Path) -> list[tuple[float, float]]:
    with (run / "history.csv").open(newline="") as file:
        return [(float(row["train_loss"] or 0), float(row["val_loss"])) for row in csv.DictReader(file)][1:]


class Workers:
    """Two `edge-train fit` on this machine, with the same photos and the same `--out`."""

    def __init__(self, photos: Path, folder: Path) -> None:
        self.folder, self.addresses = folder, free_addresses(2)
        arguments = ["fit", str(photos), "--out", str(folder / "run"), "--weights", "none", "--image-size", "32"]
        self.command = [sys.executable, "-c", PROGRAM, *arguments, "--epochs", str(EPOCHS)]
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, number: int) -> subprocess.Popen[bytes]:
        config = {"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": number}}
        more = {
            "TF_CONFIG": json.dumps(config),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "XDG_CACHE_HOME": str(self.folder / f"cache-{number}"),
        }
        with (self.folder / f"log-{number}").open("ab") as log:
            process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | more
            )
        self.running.append(process)
        return process

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("log-*")))


@pytest.fixture
def workers(color_photos: Path, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(color_photos, tmp_path)
    yield started
    for process in started.running:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_worker_that_waits_for_another_ends_on_ctrl_c(workers: Workers) -> None:
    process = workers.start(0)
    until_listening(workers, 0)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130, workers.log()
    assert workers.log().splitlines()[-1] == "interrupted"


@pytest.mark.slow
def test_a_worker_that_tensorflow_lets_wait_ends_on_ctrl_c(workers: Workers) -> None:
    host, port = workers.addresses[0].split(":")
    with socket.create_server((host, int(port))) as chief:
        chief.settimeout(300)
        process = workers.start(1)
        with chief.accept()[0] as connection:
            connection.sendall(b'{"state": null, "alone": false}\n')
            until_listening(workers, 1)  # TensorFlow has begun to wait
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == -signal.SIGINT, workers.log()


def until_listening(workers: Workers, number: int) -> None:
    """Waits until a worker listens at its address."""
    host, port = workers.addresses[number].split(":")
    until = time.monotonic() + 300
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < until and workers.running[-1].poll() is None, workers.log()
            time.sleep(0.1)


@pytest.mark.slow
def test_two_workers_one_killed_in_epoch_2_end_with_the_losses_of_one(workers: Workers, color_photos: Path) -> None:
    from edge_core.preprocess import InputSpec
    from edge_keras.models.pretrained import Weights
    from edge_train.data.dataset import open_photos
    from edge_train.settings import Settings
    from edge_train.training.fit import FitOptions, fit

    from ..small_network import SMALL_NETWORK

    first, second = workers.start(0), workers.start(1)
    until = time.monotonic() + 300
    while not (workers.folder / ".run.training-1" / "epoch-1").is_dir():
        assert first.poll() is None and second.poll() is None and time.monotonic() < until, workers.log()
        time.sleep(0.02)
    second.kill()
    second.wait()
    second = workers.start(1)
    alone = fit(
        open_photos(str(color_photos), seed=1, cache=workers.folder),
        workers.folder / "alone",
        FitOptions(
            spec=InputSpec(32, 32),
            weights=Weights("none (random)"),
            cache=workers.folder / "cache",
            architecture=SMALL_NETWORK,
            settings=Settings(epochs=EPOCHS),
        ),
    )
    for process in (first, second):
        assert process.wait(300) == 0, workers.log()
    assert "worker was lost" in workers.log()
    together = losses(workers.folder / "run")
    assert len(together) == EPOCHS
    for one, other in zip(losses(alone.folder), together, strict=True):
        assert other == pytest.approx(one, abs=1e-4)
    assert not list(workers.folder.glob(".run*")), "both have cleared up"
