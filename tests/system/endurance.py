"""Does the runner grow? A million frames through `FakeCamera` with faults, and every sink at once.

    python -m tests.system.endurance [--frames 1000000]

The loop runs in a process of its own, on the tests' tiny model and pictures of 160x120: console (JSON to nowhere), JSON
lines with rotation, MQTT, Prometheus, webhook, a command for each event, recording, snapshots, live page with a client,
window where there is a display. The camera stalls, gives garbage, changes its size and is unplugged once every 8,000
frames. Every 100,000, the broker is killed and started again, the web server answers 500 for three seconds, and the
model is replaced.
All of that happens once before the first 10,000 frames are over, too: code that runs for the first time takes memory.
Prints resident memory, threads and descriptors; exit status 1 if memory grows by 2 % or more after the first 10,000
frames, or the median of threads or descriptors by one. Needs mosquitto.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack
from http.client import HTTPException
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import ClassVar, Final, Literal

from tests.doubles import LABELS, Broker, Receiver, free_port, picture, tiny
from tests.programs import Started

from edge_device.inference.accelerator import open_classifier
from edge_device.live.decisions import Rule
from edge_device.live.loop import Live, LiveSettings
from edge_device.live.model_watcher import ModelWatcher
from edge_device.notices import Notice
from edge_device.results import Status
from edge_device.sinks import Sink
from edge_device.sinks.exec import Command
from edge_device.sinks.inbox.snapshots import Snapshots
from edge_device.sinks.jsonl import JsonLines
from edge_device.sinks.mqtt.broker import parse_broker
from edge_device.sinks.mqtt.publisher import Mqtt
from edge_device.sinks.prometheus import Prometheus
from edge_device.sinks.recording import Recording
from edge_device.sinks.sink_queue import SinkQueues
from edge_device.sinks.terminal import JsonConsole
from edge_device.sinks.web import Address, WebPage
from edge_device.sinks.webhook import Webhook
from edge_device.sinks.window import Window
from edge_device.sources import FakeCamera, Reconnecting
from edge_device.sources.fake import ChangedSize, Garbage, Show, Stall, Step, Unplugged

FIRST: Final = 10_000
EVERY: Final = 100_000
GROWTH: Final = 0.02
SIZE: Final = (160, 120)
OTHER_LABELS: Final = ("rot", "grün", "blau", "dunkel")


class Measured(Sink):
    """Writes to standard error, for the parent, what this process holds: soon, after `FIRST` frames, and every
    `EVERY`."""

    name = "measured"
    frames: ClassVar[Literal["all", "newest", "none"]] = "none"

    def __init__(self, frames: int, every: int) -> None:
        self._due = [1, FIRST, *range(every, frames, every)]

    def status(self, status: Status) -> None:
        if self._due and status.frames >= self._due[0]:
            self._due.pop(0)
            self.tell(status)

    def tell(self, status: Status) -> None:
        tasks, descriptors = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")) - 1  # the list's own
        told = {**status.to_json(), "threads": tasks, "descriptors": descriptors}
        print(json.dumps(told), file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> None:
    """The measured process."""
    folder: Path = options.folder
    model = folder / "model.tflite"
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open
    measured = Measured(options.frames, options.every)
    page = WebPage(Address(port=options.web))
    sinks: list[Sink] = [
        measured,
        JsonConsole(),
        JsonLines(folder / "lines" / "live.jsonl", max_bytes=10_000_000, keep=2),
        Mqtt(parse_broker(options.mqtt)),
        page,
        Prometheus(port=options.metrics),
        Webhook(options.webhook),
        Command(("true",)),
        Recording(folder / "video" / "live.mp4", minutes=0.5, keep=3),
        Snapshots(folder / "snapshots", below=1.1, every_s=0.5, max_files=50, max_bytes=1_000_000),
    ]
    if os.environ.get("DISPLAY"):
        sinks.append(Window({}, lambda: None))
    frames = [picture(label, *SIZE) for label in LABELS[:2]]
    each = 1000
    script: list[Step] = [Show(frames[number % 2], each) for number in range(8)]
    faults: list[Step] = [Stall(0.5), Garbage(7), ChangedSize(64, 48), Garbage(60), ChangedSize(), Unplugged(2)]
    for place, fault in enumerate(faults, 1):
        script.insert(2 * place - 1, fault)
    camera = FakeCamera(script, fps=options.fps or None, repeat=True)
    source = Reconnecting(camera.open, pause_s=lambda attempt: 0.1)

    classifier = open_classifier(model, None, threads=1)
    queues = SinkQueues(sinks, classifier.card)
    swap = ModelWatcher(model, lambda: open_classifier(model, None, threads=1), queues.notice, digest=classifier.digest)
    settings = LiveSettings(rule=Rule(), frames=options.frames)
    with swap:
        status = Live(
            classifier, source, queues, settings, name="fake", model=model, watcher=swap, notify=complain
        ).run(lambda: False)
    measured.tell(status)


def complain(notice: Notice) -> None:
    print(json.dumps({"notice": notice.text, "about": notice.about}), file=sys.stderr, flush=True)


def watch(url: str, ended: threading.Event) -> None:
    """A client of the live page that takes all pictures, and reads the metrics now and then."""
    while not ended.is_set():
        try:
            with urllib.request.urlopen(f"{url}/stream.mjpg", timeout=10) as answer:
                while not ended.is_set() and answer.read1(1 << 16):
                    pass
        except (OSError, HTTPException):
            time.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=EVERY, help="frames between two measurements")
    parser.add_argument("--fps", type=float, default=0, help="of the camera; 0: as fast as it goes")
    for name in ("--mqtt", "--webhook", "--folder", "--web", "--metrics"):
        kind = {"--folder": Path, "--web": int, "--metrics": int}.get(name, str)
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        run(options)
        return 0
    with tempfile.TemporaryDirectory() as name, ExitStack() as parts:
        return supervise(Path(name), options, parts)


def supervise(folder: Path, asked: argparse.Namespace, parts: ExitStack) -> int:
    """Starts the measured process and the parts around it, prints what it tells, brings about what is outside of it."""
    frames = asked.frames
    models = cycle([tiny(OTHER_LABELS), tiny()])
    (folder / "model.tflite").write_bytes(tiny())
    broker, receiver = Broker(folder), Receiver()
    parts.callback(broker.close)
    parts.callback(receiver.close)
    ended = threading.Event()
    web, metrics = free_port(), free_port()
    options = [
        *(
            "--folder",
            str(folder),
            "--frames",
            str(frames),
            "--fps",
            str(asked.fps),
            "--every",
            str(asked.every),
            "--mqtt",
            broker.address,
        ),
        *("--webhook", receiver.url, "--web", str(web), "--metrics", str(metrics)),
    ]
    start_s = time.monotonic()
    with Started(
        [sys.executable, "-m", "tests.system.endurance", *options], stderr=subprocess.PIPE, text=True
    ) as process:
        client = threading.Thread(target=watch, args=(f"http://127.0.0.1:{web}", ended))
        client.start()
        print(
            "    frames  minutes  memory MB  threads  descriptors     fps  losses  swaps  dropped by the camera's queue"
        )
        rows = []
        assert process.stderr
        for line in process.stderr:
            try:
                row = json.loads(line)
            except ValueError:
                print(line, end="")
                continue
            if "notice" in row:
                print(f"{row['about']}: {row['notice']}")
                continue
            rows.append(row)
            print(
                f"{row['frames']:10,} {(time.monotonic() - start_s) / 60:8.1f} {row['memory_mb']:10.2f} "
                f"{row['threads']:8} {row['descriptors']:12} {row['fps']:7.0f} {row['source_losses']:7} "
                f"{row['model_swaps']:6} "
                f"{row['frames_dropped']:,}",
                flush=True,
            )
            if row["frames"] < frames:
                broker.kill()
                receiver.does = "500"
                (folder / "next.tflite").write_bytes(next(models))
                (folder / "next.tflite").replace(folder / "model.tflite")
                with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10) as answer:
                    answer.read()
                time.sleep(3)
                broker.start()
                receiver.does = "accept"
        ended.set()
        client.join()
    if len(rows) < 3:
        return 1
    for sink, counts in rows[-1]["sinks"].items():
        print(
            f"{sink:<12} {counts['frames']:10,} frames, {counts['frames_dropped']:,} dropped; {counts['events']} "
            f"events, "
            f"{counts['events_lost']} lost; {counts['failures']} failures"
        )
    print(f"received: webhook {len(set(receiver.received))}, MQTT {len(set(broker.received))} events")
    first, steady = rows[1], rows[2:-1] or rows[2:]  # at the end, sinks are being closed
    growth = max(row["memory_mb"] for row in steady) / first["memory_mb"] - 1
    # A command that runs, or a request, has some for a moment: the median.
    more = {what: median(row[what] for row in steady) - first[what] for what in ("threads", "descriptors")}
    print(f"memory {100 * growth:+.2f} %, threads {more['threads']:+g}, descriptors {more['descriptors']:+g}")
    held = growth < GROWTH and max(more.values()) <= 0 and process.returncode == 0 and rows[-1]["frames"] == frames
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
