"""How soon `edge-run` answers and ends, and how much memory `edge-run live` takes at most.

    python -m benchmarks.experiments.start_up flowers-int8.tflite photo.jpg [--frames 300] [--stops 20]

From the start of the process to its end of `edge-run images` on one picture, file caches warm: the median of 10. The
peak resident memory (the kernel's VmHWM) of `edge-run live` on frames of 1280x720, 30 a second, from memory and as
Motion JPEG over HTTP, console only; and with the live page and a client that takes its pictures. From SIGTERM to the
end of the process with every sink but the window, MQTT where mosquitto is installed. Exit status 1 if a figure is over
its limit; the first wants a machine that has nothing else to do.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from statistics import median
from typing import Final

import cv2
from tests.doubles import MOSQUITTO, Broker, NetworkCamera, Receiver, free_port, until

from edge_core.images import read_picture

IMAGES_S: Final = 0.6
MEMORY_MB: Final = 150
STOP_S: Final = 1.0
ROUNDS: Final = 10
SIZE: Final = (1280, 720)


def edge_run(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edge_device", *(str(argument) for argument in arguments)]


def images_s(model: Path, picture: Path) -> list[float]:
    """Seconds of each round, after one that warms the caches."""
    took = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        subprocess.run(edge_run("images", model, picture), check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - start)
    return took[1:]


@contextmanager
def running(*options: object) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`edge-run live`, and the file with what it has printed."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        with out.open("wb") as stdout:
            process = subprocess.Popen(edge_run("live", *options), stdout=stdout, stderr=subprocess.DEVNULL)
        try:
            yield process, out
        finally:
            process.kill()
            process.wait()


def lines_of(process: subprocess.Popen[bytes], out: Path, count: int) -> None:
    def there() -> bool:
        if process.poll() is not None:
            raise SystemExit(f"edge-run live ended with status {process.returncode}")
        return out.read_bytes().count(b"\n") >= count

    until(there, f"{count} lines", 120)


def peak_mb(frames: int, *options: object) -> float:
    with running(*options) as (process, out):
        lines_of(process, out, frames)
        text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) / 1e3


@contextmanager
def client_of(port: int) -> Iterator[None]:
    """A browser's part: takes all pictures of the live page as they come."""
    ended = threading.Event()

    def take() -> None:
        while not ended.is_set():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/stream.mjpg", timeout=10) as answer:
                    while not ended.is_set() and answer.read1(1 << 16):
                        pass
            except (OSError, HTTPException):
                ended.wait(0.2)

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def stops_s(model: Path, times: int) -> list[float]:
    """Seconds from SIGTERM to the end of the process, all sinks on."""
    took = []
    with ExitStack() as parts, tempfile.TemporaryDirectory() as scratch:
        folder, receiver = Path(scratch), Receiver()
        parts.callback(receiver.close)
        options: list[object] = [model, "--source", "fake:1280x720@30", "--threads", 1, "--json"]
        options += ["--jsonl", folder / "live.jsonl", "--record", folder / "live.mp4", "--snapshots", folder / "unsure"]
        options += ["--webhook", receiver.url, "--on-event", "true"]
        if MOSQUITTO:
            broker = Broker(folder)
            parts.callback(broker.close)
            options += ["--mqtt", broker.address]
        for _ in range(times):
            port = free_port()
            with running(*options, "--web", port, "--prometheus", free_port()) as (process, out), client_of(port):
                lines_of(process, out, 60)
                start = time.perf_counter()
                process.send_signal(signal.SIGTERM)
                process.wait()
                took.append(time.perf_counter() - start)
                if process.returncode:
                    raise SystemExit(f"SIGTERM ended it with status {process.returncode}")
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--stops", type=int, default=20)
    options = parser.parse_args()
    held = True

    def told(what: str, value: float, unit: str, limit: float | None = None, more: str = "") -> None:
        nonlocal held
        within = limit is None or value <= limit
        held = held and within
        verdict = f"   at most {limit:g} {'held' if within else 'BROKEN'}" if limit else ""
        print(f"{what:<58} {value:7.2f} {unit}{verdict}{more}", flush=True)

    print(f"load average {os.getloadavg()[0]:.1f}")
    took = images_s(options.model, options.picture)
    told("edge-run images, one picture, median of 10", median(took), "s ", IMAGES_S, f"   fastest {min(took):.2f}")
    frames, live = options.frames, (options.model, "--json", "--source")
    told("live, fake:1280x720@30, peak memory", peak_mb(frames, *live, "fake:1280x720@30"), "MB", MEMORY_MB)
    shown = cv2.resize(read_picture(options.picture), SIZE)
    camera = NetworkCamera(jpegs=[cv2.imencode(".jpg", shown)[1].tobytes()], fps=30)
    told("live, MJPEG 1280x720 over HTTP, peak memory", peak_mb(frames, *live, camera.url), "MB", MEMORY_MB)
    port = free_port()
    with client_of(port):
        mb = peak_mb(frames, *live, camera.url, "--web", port)
    told("the same with the live page and a client", mb, "MB")
    camera.stop()
    took = stops_s(options.model, options.stops)
    told(
        f"SIGTERM to the end, all sinks, longest of {len(took)}",
        max(took),
        "s ",
        STOP_S,
        f"   median {median(took):.2f}",
    )
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
