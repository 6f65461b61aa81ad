"""What a camera does to a program, done by the driver to `edge-run live`."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.emulated.guest import vivid
from tests.emulated.guest.commands import Tell
from tests.emulated.guest.live import WatchedLive


@dataclass(frozen=True)
class Recovery:
    """What became of a fault.

    Attributes:
        fault: in words.
        noticed: the line that `edge-run live` wrote of it; None if it wrote none, or none was due.
        recovered: whether it gave frames again.
        after_s: that it did, from when the camera could be used again.
    """

    fault: str
    noticed: str | None
    recovered: bool
    after_s: float


def all_faults(model: Path, tell: Tell) -> list[dict[str, Any]]:
    """One process of `edge-run live` through every fault."""
    vivid.unbind()
    camera = ("--source", "/dev/video0", "--wait-for-source", "--width", "320", "--height", "180", "--fps", "5")
    with WatchedLive(model, *camera, "--smoothing", "none", "--threads", "1", tell=tell) as live:
        return [asdict(recovery) for recovery in _faults(live, tell)]


def _faults(live: WatchedLive, tell: Tell) -> Iterator[Recovery]:
    def begin(text: str) -> str:
        tell(f"# {text}")
        return text

    def unplug() -> str | None:
        vivid.unbind()
        noticed = live.notice("trying to open it again")
        live.wait_until_released("/dev/video0")
        return noticed

    def after(fault: str, noticed: str | None, since: float, reopened: bool = True) -> Recovery:
        back = live.notice("is back", "is there") if reopened else "it was never gone"
        frames = live.next_frames(1) if back else []
        after_s = time.monotonic() - since
        return Recovery(fault, noticed, bool(frames) and len(live.next_frames(2)) == 2, round(after_s, 1))

    fault = begin("it comes late: its driver is bound after the start")
    noticed = live.notice("waiting for it")
    now = time.monotonic()
    vivid.bind()
    yield after(fault, noticed, now)

    fault = begin("it is unplugged while it streams, and plugged in again")
    noticed = unplug()
    now = time.monotonic()
    vivid.bind()
    yield after(fault, noticed, now)

    fault = begin("it delivers no frames")
    with vivid.Node("vid-cap") as camera:
        camera.control("Percentage of Dropped Buffers", 100)
        noticed = live.notice("trying to open it again")
        now = time.monotonic()
        camera.control("Percentage of Dropped Buffers", 0)
    yield after(fault, noticed, now)

    fault = begin("a frame is marked as damaged")
    now = time.monotonic()
    with vivid.Node("vid-cap") as camera:
        camera.control("Inject V4L2_BUF_FLAG_ERROR")
    yield after(fault, None, now, reopened=False)

    for what, controls in (
        ("streaming ends with an error that only opening it anew mends", ("Inject Fatal Streaming Error",)),
        ("then it gives no buffers", ("Inject VIDIOC_REQBUFS Error", "Inject Fatal Streaming Error")),
        ("then it takes no buffers", ("Inject VIDIOC_QBUF Error", "Inject Fatal Streaming Error")),
        ("then it does not begin to stream", ("Inject VIDIOC_STREAMON Error", "Inject Fatal Streaming Error")),
        ("the bus says that it is gone (ENODEV)", ("Disconnect",)),
    ):
        fault = begin(what)
        now = time.monotonic()
        with vivid.Node("vid-cap") as camera:
            for control in controls:
                camera.control(control)
        yield after(fault, live.notice("trying to open it again"), now)

    fault = begin("it comes back with another resolution and rate")
    noticed = unplug()
    vivid.bind()
    now = time.monotonic()
    with vivid.Node("vid-cap") as camera:
        camera.choose(vivid.HDMI)
        camera.timings(720, 576)
    yield after(fault, noticed, now)
