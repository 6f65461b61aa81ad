"""What becomes of `edge-run live` when something around it fails: injected faults.

Every test is a process of its own, on the tiny model and a camera on the network whose label changes every 1.3 seconds,
with console, JSON lines and webhook (and what else it is about). The process lives and classifies frames afterwards, or
ends as it should; every event that a sink counted as delivered is with its receiver, and every other is reported as
lost.
"""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import cv2
import pytest

from ..doubles import (
    MOSQUITTO,
    TESTS,
    Broker,
    NetworkCamera,
    Receiver,
    free_port,
    jpeg,
    picture,
    tiny,
    until,
)
from ..programs import missing, program

GERMAN: Final = ("rot", "grün", "blau", "dunkel")
END_S: Final = 5.0
"""Longer than SIGTERM may take, for a busy machine: `benchmarks/experiments/start_up.py` measures how long it does."""

GCC: Final = program("gcc", "cc")

CLOCK: Final = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
/* The wall clock is off by as many seconds as the file says that CLOCK_SHIFT names;
   the other clocks are as they are. */
static long shift(void) {
  char text[32] = "";
  const char* path = getenv("CLOCK_SHIFT");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return 0;
  if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
  close(file);
  return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec* now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
  return failed;
}
int gettimeofday(struct timeval* now, void* zone) {
  struct timespec exact;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec, now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}
time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
"""


class Broken(AssertionError):
    """A promise was not kept."""


def hold(true: object, promise: str) -> None:
    if not true:
        raise Broken(promise)


class Written:
    """The JSON lines that are appended to a file from now on; parts that are renamed or deleted are read to their
    end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._half = b""
        self._objects: list[dict[str, Any]] = []
        self._begin()
        if self._file:
            data = self._file.read()
            self._file.seek(data.rfind(b"\n") + 1)  # the runner cuts half a line off

    def read(self) -> list[dict[str, Any]]:
        """All objects so far."""
        if self._file is None:
            self._begin()
        if self._file:
            self._take(self._file)
            with suppress(OSError):
                if os.stat(self._path).st_ino != os.fstat(self._file.fileno()).st_ino:
                    self._take(self._file)  # what came just before it was renamed
                    self._begin()
                    self._take(self._file)
        return self._objects

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _begin(self) -> None:
        with suppress(OSError):
            file = self._path.open("rb")
            if self._file:
                self._file.close()
            self._file, self._half = file, b""

    def _take(self, file: BinaryIO) -> None:
        *lines, self._half = (self._half + file.read()).split(b"\n")
        self._objects += [json.loads(line) for line in lines]


class Trial:
    """A folder, the parts around the runner, and the process."""

    def __init__(self, folder: Path, parts: ExitStack) -> None:
        self.folder, self.parts = folder, parts
        self.model = folder / "model.tflite"
        self.model.write_bytes(tiny())
        self.jsonl = folder / "lines" / "live.jsonl"
        self.camera = NetworkCamera()
        self.receiver = Receiver()
        self.broker: Broker | None = None
        self.lines: list[Written] = []
        self.happened = ""
        self._notices_before = 0
        self.before = self.after = 0
        self.counts: dict[str, tuple[int, int, int]] = {}
        self.exit = ""
        self.ended_by_itself = False
        parts.callback(self._clean)

    def _clean(self) -> None:
        if hasattr(self, "process") and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.camera.stop()
        self.receiver.close()
        if self.broker:
            self.broker.close()

    def with_broker(self) -> Broker:
        if MOSQUITTO is None:
            pytest.skip(missing("mosquitto"))
        self.broker = Broker(self.folder)
        return self.broker

    def start(
        self,
        *options: str,
        source: str | None = None,
        out: Any = None,
        stdin: Any = subprocess.DEVNULL,
        environment: dict[str, str] | None = None,
        rule: tuple[str, ...] = ("--smoothing", "none"),
    ) -> None:
        """Starts the runner; `out` in place of the file that is read for standard output."""
        self.errors = self.folder / "errors.txt"
        self.out = Written(self.folder / "out.jsonl")
        self.file = Written(self.jsonl)
        self.parts.callback(self.out.close)
        self.parts.callback(self.file.close)
        self.seen = self.file if out is not None else self.out
        command = [sys.executable, "-m", "edge_device", "live", str(self.model)]
        command += ["--source", source or self.camera.url, "--json", "--threads", "1", *rule]
        command += ["--jsonl", str(self.jsonl), "--webhook", self.receiver.url]
        if self.broker:
            command += ["--mqtt", self.broker.address]
        with (self.folder / "out.jsonl").open("ab") as stdout, self.errors.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*command, *options],
                stdin=stdin,
                stdout=stdout if out is None else out,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
            )

    # What it has told so far.

    def frames(self) -> int:
        return sum("frame" in told for told in self.seen.read())

    def events(self) -> list[int]:
        return numbers(self.seen.read())

    def notices(self) -> list[str]:
        return [f"{told['about']}: {told['text']}" for told in self.seen.read() if told.get("type") == "notice"]

    def status(self) -> dict[str, Any]:
        return next((told for told in reversed(self.seen.read()) if told.get("type") == "status"), {})

    def said(self) -> str:
        return self.errors.read_text(errors="replace").strip()

    # Waiting.

    def until(self, true: Callable[[], object], what: str, within_s: float = 120.0) -> None:
        def settled() -> object:
            if self.process.poll() is not None and not true():
                raise Broken(f"it ended with status {self.process.returncode} before: {what}; {self.said()[-300:]}")
            return true()

        try:
            until(settled, what, within_s)
        except TimeoutError as error:
            raise Broken(f"{error}; {self.notices()[-3:]} {self.said()[-300:]}") from None

    def lives(self, frames: int = 20, events: int = 2) -> None:
        """Waits until so many more frames and events were there."""
        frames += self.frames()
        self.until(lambda: self.frames() >= frames, f"{frames} frames")
        number = max(self.events(), default=0) + events
        self.until(lambda: max(self.events(), default=0) >= number, f"event {number}")

    def told(self, text: str, within_s: float = 120.0) -> None:
        self.until(lambda: any(text in notice for notice in self.notices()), f"a notice of {text!r}", within_s)

    def fault(self) -> None:
        """Call right before something is broken."""
        self.before = self.frames()
        self.file.read()  # so that it is read to its end, whatever becomes of its name
        self._notices_before = len(self.notices())

    def mended(self, events: int = 2) -> None:
        """Call when all is well again: waits for what comes then."""
        start = self.frames()
        self.lives(events=events)
        self.after = self.frames() - start

    # The end.

    def end(self, how: int = signal.SIGTERM) -> None:
        """Asks it to end, and looks what is with the receivers."""
        started = time.monotonic()
        self.process.send_signal(how)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            raise Broken(f"{signal.Signals(how).name} has not ended it within {END_S:g} s") from None
        hold(self.process.returncode == 0, f"it ended with status {self.process.returncode}: {self.said()[-300:]}")
        self.exit = f"{signal.Signals(how).name}: 0 after {time.monotonic() - started:.1f} s"
        self.look()

    def ends(self, status: int, within_s: float = 120.0) -> None:
        """Waits until it has ended by itself."""
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise Broken("it has not ended") from None
        hold(self.process.returncode == status, f"it ended with status {self.process.returncode}: {self.said()[-300:]}")
        self.ended_by_itself, self.exit = True, f"by itself: {status}"
        self.happened = self.happened or (self.said().splitlines() or [""])[-1]
        self.look()

    def look(self, killed: bool = False) -> None:
        """Compares what was counted as delivered with what is there, and what is missing with what was told of it."""
        self.after = self.after or max(0, self.frames() - self.before)
        received = {
            **({} if self.seen is self.file else {"console": set(numbers(self.out.read()))}),
            "jsonl": set(numbers(self.file.read())),
            "webhook": set(self.receiver.received),
        }
        if self.broker:
            received["mqtt"] = set(self.broker.received)
        received["command"] = set()  # the commands here do nothing but fail
        status = self.status()
        sinks = status.get("sinks", {})
        made = max((number for numbers_ in received.values() for number in numbers_), default=0)
        undelivered: Counter[str] = Counter()
        for sink, told in re.findall(r"sink (\w+): (.*)", self.said()):
            undelivered[sink] += sum(map(int, re.findall(r"(\d+) events were (?:not delivered|lost)", told)))
        for sink, got in received.items():
            if sink not in sinks:
                continue
            delivered, lost = sinks[sink]["events"], sinks[sink]["events_lost"] + undelivered[sink]
            if sink == "mqtt" and self.broker:
                got = _in_the_end(self.broker, delivered)
            self.counts[sink] = delivered, len(got), lost
            hold(delivered <= len(got), f"{sink} counted {delivered} events as delivered and {len(got)} are there")
            if not killed:
                hold(len(got) + lost >= made, f"of {made} events {sink} has {len(got)} and tells of {lost} lost")
        if not self.happened:
            told = self.notices()[self._notices_before :]
            self.happened = "; ".join(dict.fromkeys(told)) or "nothing to be seen"


def _in_the_end(broker: Broker, count: int) -> set[int]:
    """The events that a broker has passed on, once there are so many, or after 60 s."""
    with suppress(TimeoutError):
        until(lambda: len(set(broker.received)) >= count, "messages", 60)
    return set(broker.received)


def numbers(told: list[dict[str, Any]]) -> list[int]:
    return [one["number"] for one in told if one.get("type") == "event"]


@dataclass(frozen=True)
class Fault:
    what: str
    inject: Callable[[Trial], None]


FAULTS: Final[list[Fault]] = []


def fault(what: str) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    def add(inject: Callable[[Trial], None]) -> Callable[[Trial], None]:
        FAULTS.append(Fault(what, inject))
        return inject

    return add


# Source.


@fault("source: connection cut")
def cut(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.camera.cut()
    trial.told("is back")
    trial.mended()
    trial.end()


@fault("source: away for 8 s")
def away(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.camera.stop()
    trial.told("trying to open it again")
    time.sleep(8)
    trial.until(
        lambda: [told["kind"] for told in trial.out.read() if told.get("type") == "event"][-1] == "left",
        "a label goes though the camera is away",
    )
    trial.camera.start()
    trial.told("is back")
    trial.mended()
    trial.end()


@fault("source: connected, sends nothing for 7 s")
def stalled(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.camera.sends = "nothing"
    trial.told("trying to open it again")
    time.sleep(2)
    trial.camera.sends = "pictures"
    trial.told("is back")
    trial.mended()
    trial.end()


@fault("source: garbage between the pictures")
def rubbish(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.camera.sends = "rubbish"
    trial.lives()
    trial.camera.sends = "pictures"
    trial.mended()
    trial.end()
    trial.happened = (
        f"{trial.status()['frames_unreadable']} pieces of garbage counted as unreadable, the pictures classified"
    )


@fault("source: damaged pictures only, for 6 s")
def damaged(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.camera.sends = "damaged"
    trial.told("trying to open it again")
    time.sleep(3)
    trial.camera.sends = "pictures"
    trial.mended()
    trial.end()


@fault("source: headers of pictures of 65500x65500")
def huge(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    before = peak_mb(trial.process.pid)
    trial.camera.sends = "huge"
    time.sleep(3)
    trial.camera.sends = "pictures"
    trial.mended()
    grown = peak_mb(trial.process.pid) - before
    hold(grown < 100, f"memory grew by {grown:.0f} MB")
    trial.end()
    trial.happened = f"{trial.status()['frames_unreadable']} counted as unreadable, peak memory {grown:+.0f} MB"


@fault("source: another size")
def resized(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.camera.size = (1280, 720)
    trial.lives()
    trial.camera.size = (320, 240)
    trial.mended()
    trial.end()


@fault("source: refuses, 503, for 5 s")
def refuses(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.camera.sends = "503"
    trial.camera.cut()
    trial.told("503")
    time.sleep(3)
    trial.camera.sends = "pictures"
    trial.told("is back")
    trial.mended()
    trial.end()


@fault("source: not there")
def absent(trial: Trial) -> None:
    trial.camera.stop()
    trial.start()
    trial.ends(2)


@fault("source: not there for 4 s, --wait-for-source")
def awaited(trial: Trial) -> None:
    trial.camera.stop()
    trial.start("--wait-for-source")
    trial.told("waiting for it")
    trial.fault()
    time.sleep(4)
    trial.camera.start()
    trial.told("is there")
    trial.mended()
    trial.end()


@fault("source: no such /dev/video99")
def no_device(trial: Trial) -> None:
    trial.start(source="/dev/video99")
    trial.ends(2)


@fault("source: a video that breaks off in the middle")
def truncated(trial: Trial) -> None:
    path = trial.folder / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (320, 240))
    for number in range(200):
        writer.write(picture("red" if number // 30 % 2 else "blue", 320, 240))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    trial.start(source=str(path))
    trial.ends(0)
    hold(80 <= trial.frames() <= 120, f"{trial.frames()} of 100 frames")


@fault("source: pictures that are empty, text, or cut off")
def unreadable(trial: Trial) -> None:
    folder = trial.folder / "pictures"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(jpeg("red"))
    (folder / "1.jpg").write_bytes(b"")
    (folder / "2.jpg").write_text("404 not found")
    (folder / "3.jpg").write_bytes(jpeg("red")[:300])
    trial.start(source=str(folder))
    trial.ends(0)
    hold(trial.frames() == 3, f"{trial.frames()} of 3 frames")


@fault("source: standard input ends within a picture")
def cut_input(trial: Trial) -> None:
    trial.start(source="-", stdin=subprocess.PIPE)
    assert trial.process.stdin
    for number in range(90):
        trial.process.stdin.write(jpeg("red" if number // 30 % 2 else "blue"))
        trial.process.stdin.flush()
        time.sleep(0.05)
    trial.process.stdin.write(jpeg("red")[:400])
    trial.process.stdin.close()
    trial.ends(0)
    hold(trial.frames() > 30, f"{trial.frames()} frames of 90")


# Model.


def replaced(trial: Trial, data: bytes) -> None:
    (trial.folder / "next").write_bytes(data)
    (trial.folder / "next").replace(trial.model)


@fault("model: replaced by one with other labels")
def swapped(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    replaced(trial, tiny(GERMAN))
    trial.told("passed")
    trial.until(lambda: any(told.get("label") == "rot" for told in trial.out.read()), "an event of the new model")
    trial.mended()
    trial.end()
    hold(trial.status()["model_swaps"] == 1, "one swap is counted")


@fault("model: SIGHUP, the file is the same")
def hung_up(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.process.send_signal(signal.SIGHUP)
    trial.told("runs already")
    trial.mended()
    trial.end()


def refused(trial: Trial, data: bytes | None, because: str) -> None:
    """The model is replaced by what cannot run; the old one goes on, and a good one is taken up afterwards."""
    trial.start()
    trial.lives()
    trial.fault()
    if data is None:
        trial.model.unlink()
    else:
        replaced(trial, data)
    trial.told(because)
    trial.mended()
    replaced(trial, tiny(GERMAN))
    trial.told("passed")
    trial.lives()
    trial.end()


@fault("model: replaced by one with a bit flipped")
def flipped(trial: Trial) -> None:
    data = tiny(GERMAN)
    refused(trial, data[:700] + bytes([data[700] ^ 1]) + data[701:], "the old one goes on")


@fault("model: replaced by a page of text")
def no_model(trial: Trial) -> None:
    refused(trial, b"404 not found", "the old one goes on")


@fault("model: deleted")
def deleted(trial: Trial) -> None:
    refused(trial, None, "is gone")


@fault("model: replaced by one with a larger input than the camera decodes for")
def larger(trial: Trial) -> None:
    refused(trial, tiny(side=300), "takes larger pictures")


@fault("model: copied over in place, in two halves 5 s apart")
def half_copied(trial: Trial) -> None:
    data = tiny(GERMAN)
    trial.start()
    trial.lives()
    trial.fault()
    trial.model.write_bytes(data[: len(data) // 2])
    time.sleep(5)
    trial.lives()
    with trial.model.open("ab") as file:
        file.write(data[len(data) // 2 :])
    trial.told("passed")
    trial.mended()
    trial.end()


# Sinks.


@fault("MQTT: broker killed, back after 5 s")
def killed_broker(trial: Trial) -> None:
    broker = trial.with_broker()
    trial.start()
    trial.lives()
    trial.fault()
    broker.kill()
    trial.told("sink mqtt")
    time.sleep(5)
    broker.start()
    trial.told("works again")
    trial.mended()
    trial.end()


@fault("MQTT: broker stopped for 5 s, connections open")
def frozen_broker(trial: Trial) -> None:
    broker = trial.with_broker()
    trial.start()
    trial.lives()
    trial.fault()
    broker.process.send_signal(signal.SIGSTOP)
    time.sleep(5)
    trial.told("sink mqtt")
    broker.process.send_signal(signal.SIGCONT)
    trial.told("works again")
    trial.mended()
    trial.end()


@fault("MQTT: no broker at the start, nor at the end")
def no_broker(trial: Trial) -> None:
    trial.with_broker().kill()
    trial.start()
    trial.mended()
    trial.end()
    trial.happened += "; " + trial.said().splitlines()[0]


@fault("webhook: answers 500 for 4 s")
def server_error(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.receiver.does = "500"
    time.sleep(4)
    trial.told("sink webhook")
    trial.receiver.does = "accept"
    trial.told("works again")
    trial.mended()
    trial.end()


@fault("webhook: takes a request and never answers, for 8 s")
def silent_server(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.receiver.does = "hang"
    time.sleep(8)
    trial.told("sink webhook")
    trial.receiver.does = "accept"
    trial.told("works again")
    trial.mended()
    trial.end()


@fault("webhook: closes the connection without an answer")
def rude_server(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.receiver.does = "close"
    time.sleep(4)
    trial.told("sink webhook")
    trial.receiver.does = "accept"
    trial.told("works again")
    trial.mended()
    trial.end()


@fault("webhook: 404")
def not_found(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.receiver.does = "404"
    trial.lives(events=3)
    trial.receiver.does = "accept"
    trial.mended()
    trial.end()


@fault("command: hangs")
def hanging_command(trial: Trial) -> None:
    trial.start("--on-event", "sleep 77")
    trial.told("was killed after")
    trial.mended()
    trial.end()


@fault("command: fails")
def failing_command(trial: Trial) -> None:
    trial.start("--on-event", "false")
    trial.told("status 1")
    trial.mended()
    trial.end()


@fault("JSON lines: file deleted")
def deleted_lines(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.jsonl.unlink()
    trial.mended()
    trial.end()


@fault("JSON lines: file renamed, as logrotate does")
def renamed_lines(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.jsonl.rename(trial.jsonl.with_name("yesterday.jsonl"))
    trial.mended()
    trial.end()
    hold(trial.jsonl.exists(), "a new file is begun")


@fault("JSON lines: a file in place of the folder for 5 s")
def no_folder(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    folder = trial.jsonl.parent
    folder.rename(trial.folder / "aside")
    folder.touch()
    trial.told("sink jsonl")
    time.sleep(5)
    folder.unlink()
    trial.told("works again")
    trial.mended()
    trial.end()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own; takes root."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "trial", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@fault("JSON lines: disk full for 5 s")
def full_disk(trial: Trial) -> None:
    disk = trial.parts.enter_context(small_disk(trial.folder / "disk", 2))
    trial.jsonl = disk / "live.jsonl"
    trial.start()
    trial.lives()
    trial.fault()
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1000))
    trial.told("No space left")
    time.sleep(5)
    (disk / "filler").unlink()
    trial.told("works again")
    trial.mended()
    trial.end()


@fault("snapshots: folder removed")
def no_snapshots(trial: Trial) -> None:
    folder = trial.folder / "snapshots"
    trial.start("--snapshots", str(folder))
    trial.lives()
    trial.fault()
    shutil.rmtree(folder)
    trial.mended()
    trial.end()


@fault("recording: less than 200 MB free")
def no_room(trial: Trial) -> None:
    disk = trial.parts.enter_context(small_disk(trial.folder / "disk", 50))
    trial.start("--record", str(disk / "live.mp4"))
    trial.told("MB are free")
    trial.mended()
    trial.end()


@fault("recording: folder removed")
def no_record(trial: Trial) -> None:
    folder = trial.folder / "video"
    trial.start("--record", str(folder / "live.mp4"))
    trial.lives()
    trial.fault()
    shutil.rmtree(folder)
    trial.told("sink recording")
    trial.told("works again")
    trial.mended()
    trial.end()
    hold(list(folder.glob("live-*.mp4")), f"a video is there {trial.notices()}")


@fault("live page: 60 clients that take nothing")
def stuck_clients(trial: Trial) -> None:
    port = free_port()
    trial.start("--web", str(port))
    trial.lives()
    trial.fault()
    with ExitStack() as clients:
        for path in ("stream.mjpg", "api/events") * 30:
            client = clients.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        trial.mended()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60) as answer:
            hold(answer.status == 200, "the page is healthy")
    trial.end()
    trial.happened = "/healthz answers meanwhile"


@fault("metrics: 30 clients that never finish their request")
def dripping_clients(trial: Trial) -> None:
    port = free_port()
    trial.start("--prometheus", str(port))
    trial.lives()
    trial.fault()
    with ExitStack() as clients:
        for _ in range(30):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
        trial.mended()
        time.sleep(3)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        hold(b"edge_frames_total" in answer.read(), "metrics answer afterwards")
    trial.end()
    trial.happened = "hung up after 5 s; /metrics answers afterwards"


@fault("console: the reader of the pipe leaves")
def reader_leaves(trial: Trial) -> None:
    trial.start(out=subprocess.PIPE)
    assert trial.process.stdout
    for _ in range(50):
        trial.process.stdout.readline()
    trial.fault()
    trial.process.stdout.close()
    trial.ends(0)
    trial.happened = "ends in silence, as after `| head`"


@fault("console: the reader stops reading")
def reader_stops(trial: Trial) -> None:
    trial.start(out=subprocess.PIPE)
    trial.lives()
    trial.fault()
    trial.until(lambda: trial.status().get("sinks", {}).get("console", {}).get("frames_dropped"), "dropped lines")
    trial.mended()
    trial.end()
    trial.happened = f"{trial.status()['sinks']['console']['frames_dropped']} lines dropped and counted"
    assert trial.process.stdout
    trial.process.stdout.close()


@fault("console: standard output on a full disk")
def full_output(trial: Trial) -> None:
    with open("/dev/full", "wb") as full:
        trial.start(out=full)
    trial.mended()
    trial.end()


# Signals.


@fault("SIGTERM")
def terminated(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.end()
    trial.happened = "sinks flushed"


@fault("SIGINT")
def interrupted(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.end(signal.SIGINT)
    trial.happened = "sinks flushed"


@fault("SIGPIPE")
def piped(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.process.send_signal(signal.SIGPIPE)
    trial.mended()
    trial.end()


@fault("SIGKILL, and started again")
def shot(trial: Trial) -> None:
    trial.start()
    trial.lives(events=8)
    trial.until(lambda: len([one for one in trial.out.read() if one.get("type") == "status"]) >= 2, "statistics")
    trial.fault()
    trial.process.kill()
    trial.process.wait()
    trial.look(killed=True)
    counts, trial.counts = trial.counts, {}
    with trial.jsonl.open("ab") as file:
        file.write(b'{"source": "half a li')  # what a power cut leaves
    trial.receiver.received.clear()
    trial.start()
    trial.mended()
    trial.end()
    trial.counts = {**{f"killed {sink}": counted for sink, counted in counts.items()}, **trial.counts}
    trial.happened = "what was counted before is there; half a line is cut off; goes on in the same file"


@fault("SIGSTOP for 5 s, then SIGCONT")
def suspended(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    trial.process.send_signal(signal.SIGSTOP)
    time.sleep(5)
    trial.process.send_signal(signal.SIGCONT)
    trial.mended()
    trial.end()


# Clock, memory.


def clock_jumps(trial: Trial, seconds: int) -> None:
    if GCC is None:
        pytest.skip(missing("gcc"))
    source, library, told = (trial.folder / name for name in ("clock.c", "clock.so", "shift"))
    source.write_text(CLOCK)
    subprocess.run([GCC, "-shared", "-fPIC", source, "-o", library], check=True)
    told.write_text("0")
    trial.start(environment={"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(told)})
    trial.lives()
    trial.fault()
    told.write_text(str(seconds))
    trial.mended(events=4)
    trial.end()
    events = [told for told in trial.out.read() if told.get("type") == "event"]
    jumped = events[-1]["time"] - events[0]["time"]
    hold(abs(jumped - seconds) < 60, f"the clock has jumped by {jumped:.0f} s")
    longest = max(event["duration_s"] for event in events)
    hold(0 <= longest < 30, f"a label was there for {longest} s")
    trial.happened = f"times of events jump, durations do not: {longest:.1f} s at most"


@fault("clock: a day forwards")
def forwards(trial: Trial) -> None:
    clock_jumps(trial, 86_400)


@fault("clock: a day backwards")
def backwards(trial: Trial) -> None:
    clock_jumps(trial, -86_400)


@fault("descriptors: none left for 5 s")
def no_descriptors(trial: Trial) -> None:
    trial.start()
    trial.lives()
    trial.fault()
    process = trial.process.pid
    before = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (3, before[1]))
    trial.camera.cut()
    time.sleep(5)
    resource.prlimit(process, resource.RLIMIT_NOFILE, before)
    trial.mended()
    trial.end()


# Accelerator.


def accelerated(trial: Trial, *options: str) -> Callable[[str], None]:
    """Starts it on the double of libedgetpu; gives what tells that what is to happen."""
    if GCC is None:
        pytest.skip(missing("gcc"))
    library, told = trial.folder / "double.so", trial.folder / "told"
    source = TESTS / "device" / "inference" / "edgetpu_double.c"
    subprocess.run([GCC, "-O2", "-shared", "-fPIC", source, "-o", library, "-lm"], check=True)
    told.write_text("works")
    trial.model.write_bytes(tiny(for_accelerator=True))
    environment = {"EDGETPU_LIBRARY": str(library), "EDGETPU_DOUBLE": str(told)}
    trial.start("--device", "coral:usb:0", *options, environment=environment)

    def happens(word: str) -> None:
        (trial.folder / "next").write_text(word)
        (trial.folder / "next").replace(told)

    trial.lives()
    hold(trial.status()["device"] == "coral usb:0", f"it begins on {trial.status()['device']}")
    return happens


def falls_back(trial: Trial, word: str) -> None:
    happens = accelerated(trial)
    trial.fault()
    happens(word)
    trial.told("the CPU stands in")
    trial.lives()
    happens("works")
    trial.told("is in use")
    trial.mended()
    trial.end()


@fault("accelerator: its library crashes, SIGSEGV")
def crashes(trial: Trial) -> None:
    falls_back(trial, "invoke-segfault")


@fault("accelerator: hangs")
def hangs(trial: Trial) -> None:
    falls_back(trial, "invoke-hang")


@fault("accelerator: reports an error")
def errs(trial: Trial) -> None:
    falls_back(trial, "invoke-fail")


@fault("accelerator: hangs, and SIGTERM")
def hangs_at_the_end(trial: Trial) -> None:
    happens = accelerated(trial)
    trial.fault()
    happens("invoke-hang")
    time.sleep(0.5)
    trial.end()
    trial.happened = "the wait for it is cut short"


def peak_mb(process: int) -> float:
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) / 1e3


ENDS: Final = ("SIGTERM", "SIGINT", "accelerator: hangs, and SIGTERM")
"""Faults after which there are no frames to wait for."""


@pytest.mark.slow
@pytest.mark.parametrize("one", FAULTS, ids=lambda one: one.what)
def test_it_goes_on_or_ends_as_it_should(
    one: Fault, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with ExitStack() as parts:
        trial = Trial(tmp_path, parts)
        one.inject(trial)
        record_property("happened", trial.happened)  # for the table of a JUnit file
        record_property("events", trial.counts)
        assert trial.ended_by_itself or trial.after > 0 or one.what in ENDS, "no frames afterwards"
