"""What a camera does to a program, done by the driver to `edge-run live`."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.pi.guest import vivid
from tests.pi.guest.live import WatchedLive

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Recovery:
    """What became of a fault.

    Attributes:
        fault: in words.
        noticed: the line that `edge-run live` wrote of it; None if it wrote none, or none was due.
        recovered: whether it gave frames again.
    """

    fault: str
    noticed: str | None
    recovered: bool


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

    def recovered(noticed: bool = True) -> bool:
        back = live.notice("is back", "is there") if noticed else "frames"
        return bool(back and len(live.next_frames(3)) == 3)

    fault = begin("the camera comes late: its driver is bound after the start")
    noticed = live.notice("waiting for it")
    vivid.bind()
    yield Recovery(fault, noticed, recovered())

    fault = begin("it is unplugged while it streams, and plugged in again")
    noticed = unplug()
    vivid.bind()
    yield Recovery(fault, noticed, recovered())

    fault = begin("it comes back with another resolution and rate")
    noticed = unplug()
    vivid.bind()
    with vivid.Node("vid-cap") as camera:
        camera.choose(vivid.HDMI)
        camera.timings(720, 576)
    yield Recovery(fault, noticed, recovered())
    unplug()
    vivid.bind()
    recovered()

    fault = begin("it delivers no frames")
    with vivid.Node("vid-cap") as camera:
        camera.control("Percentage of Dropped Buffers", 100)
        noticed = live.notice("trying to open it again")
        camera.control("Percentage of Dropped Buffers", 0)
    yield Recovery(fault, noticed, recovered())

    fault = begin("a frame is marked as damaged")
    with vivid.Node("vid-cap") as camera:
        camera.control("Inject V4L2_BUF_FLAG_ERROR")
    yield Recovery(fault, None, recovered(noticed=False))

    fault = begin("streaming ends with an error that only opening it anew mends")
    with vivid.Node("vid-cap") as camera:
        camera.control("Inject Fatal Streaming Error")
    noticed = live.notice("trying to open it again")
    yield Recovery(fault, noticed, recovered())

    for name, what in (
        ("Inject VIDIOC_REQBUFS Error", "it gives no buffers"),
        ("Inject VIDIOC_QBUF Error", "it takes no buffers"),
        ("Inject VIDIOC_STREAMON Error", "it does not begin to stream"),
    ):
        fault = begin(f"{what} when it is opened again")
        with vivid.Node("vid-cap") as camera:
            camera.control(name)
            camera.control("Inject Fatal Streaming Error")
        noticed = live.notice("trying to open it again")
        yield Recovery(fault, noticed, recovered())

    fault = begin("the bus says that it is gone (ENODEV)")
    with vivid.Node("vid-cap") as camera:
        camera.control("Disconnect")
    noticed = live.notice("trying to open it again")
    yield Recovery(fault, noticed, recovered())
