"""What 200 slow clients of the live page cost the loop: its rate with and without them, measured in turn.

    python benchmarks/experiments/slow_clients.py flowers-int8.tflite

A loop classifies 1280x720 frames in memory with one thread as fast as it can and hands each to the live page. The
clients are a process of their own; each asks for the pictures and takes 20 kB of them a second, a fifth of one. Once
the page serves 20 of them, as it does unless told otherwise, and tells 180 to come again in 10 s, which they do; once
it serves all 200. Prints for every round the frames a second and the CPU time that the whole process took for a frame,
page included, without and with the clients, and the medians of the ratios. The machine should have nothing else to do.
Needs the extra [web].
"""

import argparse
import select
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from edge_core.preprocess import Frame
from edge_device import Classifier
from edge_device.inference.classifier import top
from edge_device.results import FrameResult, Latency
from edge_device.sinks.sink_queue import SinkQueues
from edge_device.sinks.web import Address, WebPage
from edge_device.sources import SourceFrame

CLIENTS = 200
ROUNDS = 15
SECONDS = 1.0
SETTLE_S = 3.0
AGAIN_S = 10
TAKEN = 2000
"""Bytes, every 0.1 s."""


def be_slow_clients(port: int) -> None:
    """Holds `CLIENTS` connections and takes little of each; one that is closed is opened again when it may be."""
    due = [0.0] * CLIENTS
    ready = selectors.DefaultSelector()
    told = False
    while True:
        now = time.monotonic()
        for _ in range(sum(when <= now for when in due)):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
            ready.register(client, selectors.EVENT_READ)
        due = [when for when in due if when > now]
        if not told:
            told = True
            print("all have asked", flush=True)
        for key, _ in ready.select(0):
            client = key.fileobj  # type: ignore[assignment]
            try:
                alive = bool(client.recv(TAKEN))
            except ConnectionError:
                alive = False
            if not alive:
                ready.unregister(client)
                client.close()
                due.append(time.monotonic() + AGAIN_S)
        time.sleep(0.1)


def smooth_noise(count: int) -> list[Frame]:
    """Frames whose JPEGs are as large as a detailed photo's, 110 kB at the size of the page."""
    small = np.random.default_rng(0).integers(0, 256, (count, 72, 128, 3), np.uint8)
    return [cv2.resize(one, (1280, 720), interpolation=cv2.INTER_CUBIC) for one in small]


def run(classifier: Classifier, queues: SinkQueues, frames: list[Frame], seconds: float) -> tuple[float, float]:
    """Frames a second, and CPU milliseconds a frame, of a loop that classifies and hands over."""
    labels = classifier.card.labels
    start, cpu_start = time.perf_counter(), time.process_time()
    count = 0
    while (now := time.perf_counter()) - start < seconds:
        frame = SourceFrame(frames[count % len(frames)], "memory", count, now - start, 0.0)
        scores, timing = classifier.scores(frame.image)
        took = Latency(0.0, timing.preprocess_ms, timing.invoke_ms, timing.preprocess_ms + timing.invoke_ms)
        queues.frame(FrameResult(frame, tuple(top(scores, labels, 3)), took))
        count += 1
    return count / (time.perf_counter() - start), 1e3 * (time.process_time() - cpu_start) / count


def compare(model: Path, served: int) -> None:
    """Prints the rounds of a page that serves so many clients, and their medians."""
    classifier = Classifier(model, threads=1)
    frames = smooth_noise(8)
    page = WebPage(Address(port=0), clients=served)
    queues = SinkQueues([page], classifier.card)
    rates, costs = [], []
    try:
        run(classifier, queues, frames, 1.0)
        for _ in range(ROUNDS):
            fps, cpu_ms = run(classifier, queues, frames, SECONDS)
            command = [sys.executable, __file__, "--clients-of", page.url.rpartition(":")[2]]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as clients:
                assert clients.stdout
                while not select.select([clients.stdout], [], [], 0)[0]:  # until all have asked
                    run(classifier, queues, frames, 0.2)
                run(classifier, queues, frames, SETTLE_S)
                crowded_fps, crowded_cpu_ms = run(classifier, queues, frames, SECONDS)
                clients.kill()
            run(classifier, queues, frames, 0.3)
            rates.append(crowded_fps / fps)
            costs.append(cpu_ms / crowded_cpu_ms)
            print(
                f"{served:3} served: {fps:6.1f} and {crowded_fps:6.1f} fps, ratio {rates[-1]:.3f}; "
                f"{cpu_ms:.2f} and {crowded_cpu_ms:.2f} ms of CPU a frame, ratio {costs[-1]:.3f}",
                flush=True,
            )
    finally:
        queues.close()
    print(f"{served:3} served: median ratio of rates {median(rates):.3f}, of CPU times {median(costs):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--clients-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.clients_of:
        be_slow_clients(options.clients_of)
    if options.model is None:
        parser.error("name a model")
    for served in (20, CLIENTS):
        compare(options.model, served)


if __name__ == "__main__":
    main()
