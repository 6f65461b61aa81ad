"""A phone for tests: a browser whose camera plays a clip, and a site that is served to it.

`make verify-phone MODELS="a.tflite b.tflite" PHOTOS=photos/` holds what the page makes of photos against the device.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from edge_convert.web.litert_js import find_litert_js
from edge_convert.web.phone_site import site_files
from edge_convert.web.site_server import SiteServer
from edge_core import Frame, read_picture
from edge_core.data.photo_folder import find_photos
from edge_device.inference.classifier import Classifier
from edge_device.sinks.web.address import Address, listen
from edge_device.sources.video import Video

from ...browser import Browser, Page
from ...doubles import free_port

SELF_TEST = "document.documentElement.dataset.selfTest"
FPS = 10
SIZE = (640, 480)


_SERVED: Final[set[int]] = set()


def new_port() -> int:
    """A port that no page was served at before: a browser keeps what the one there has stored, its worker above all."""
    while (port := free_port()) in _SERVED:
        pass
    _SERVED.add(port)
    return port


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[str]:
    """The address of files that are served."""
    server = SiteServer(listen(Address(port=new_port())), files)
    try:
        yield f"http://127.0.0.1:{server.port}/"
    finally:
        server.stop()


@dataclass(frozen=True)
class Clip:
    """A video, and its frames as OpenCV makes them of a camera's."""

    path: Path
    frames: list[Frame]


def write_clip(path: Path, frames: Sequence[Frame], seconds: float = 2.0, fps: int = FPS) -> Clip:
    """A clip in which each frame stays for some time: uncompressed in .y4m, pictures in JPEG in .mjpeg.

    Args:
        path: File to write, by its suffix.
        frames: uint8, shape (height, width, 3) with even sides, all of one size, B, G, R.
        seconds: How long each frame stays.
        fps: Frames per second of the camera.
    """
    height, width = frames[0].shape[:2]
    as_jpeg = path.suffix == ".mjpeg"
    decoded: list[Any] = []
    with path.open("wb") as file:
        if not as_jpeg:
            file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420\n".encode())
        for frame in frames:
            if as_jpeg:
                data = cv2.imencode(".jpg", frame)[1].tobytes()
                decoded.append(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
            else:
                planes = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
                data = b"FRAME\n" + planes.tobytes()
                decoded.append(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420))
            file.write(data * round(seconds * fps))
    return Clip(path, decoded)


def start_phone(profile: Path, clip: Clip) -> Browser:
    """A browser whose camera plays a clip, over and over; nobody is asked whether it may."""
    browser = Browser(
        profile,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip.path}",
        "--autoplay-policy=no-user-gesture-required",
    )
    browser.resize(390, 844)
    return browser


def opened(phone: Page, url: str) -> None:
    """Opens a page, and waits until the model there has proven itself."""
    phone.open(url)
    phone.wait(f"{SELF_TEST} === 'passed' && !document.getElementById('camera').disabled")


def watched(phone: Page, count: int, seconds: float = 60) -> list[dict[str, Any]]:
    """What the page says of the camera's frames, once for each different row of scores, until there are `count`."""
    phone.ask("window.seen = new Map()")
    phone.ask(
        "document.addEventListener('classified', ({ detail: { scores, top, known, tookMs } }) => "
        "seen.set(scores.join(), { scores: [...scores], label: top[0].label, known, tookMs }))"
    )
    phone.ask("document.getElementById('camera').click()")
    end = time.monotonic() + seconds
    while phone.ask("seen.size") < count and time.monotonic() < end:
        time.sleep(0.2)
    phone.ask("document.getElementById('camera').click()")
    seen: list[dict[str, Any]] = phone.ask("[...seen.values()]")
    return seen


def sampled(photos: Path, count: int, size: tuple[int, int] = SIZE) -> list[Frame]:
    """Photos of a folder, spread evenly, of one width and height."""
    every = find_photos(photos).files
    chosen = [every[index][0] for index in np.linspace(0, len(every) - 1, count).astype(int)]
    return [cv2.resize(read_picture(path), size, interpolation=cv2.INTER_AREA) for path in chosen]  # type: ignore[misc]


def compare(phone: Browser, file: Path, clip: Clip) -> str:
    """A line of figures: the page on a camera that plays a clip, against the device on the same frames."""
    classifier = Classifier(file)
    rows = [classifier.scores(frame)[0] for frame in clip.frames]
    began = time.process_time()
    files = site_files(file, find_litert_js()).content
    took_s = time.process_time() - began
    with serving(files) as address:
        opened(phone, address)
        seen = watched(phone, len({row.tobytes() for row in rows}))
        heap_mb = phone.ask("Math.round(performance.memory.usedJSHeapSize / 1e6)")
    found = np.array([one["scores"] for one in seen])
    nearest = [int(np.abs(found - row).max(axis=1).argmin()) for row in rows]
    apart = max(float(np.abs(found[index] - row).max()) for index, row in zip(nearest, rows, strict=True))
    labels = [classifier.card.labels[int(row.argmax())] for row in rows]
    equal = sum(seen[index]["label"] == label for index, label in zip(nearest, labels, strict=True))
    played = {frame.index * len(rows) // _length(clip): frame.image for frame in Video(clip.path)}
    live = [classifier.classify(played[index])[0].label for index in sorted(played)]
    same = sum(seen[index]["label"] == label for index, label in zip(nearest, live, strict=True))
    return (
        f"{file.name}, {clip.path.suffix[1:]}: labels equal to a camera's on the device {equal}/{len(rows)}, to "
        f"edge-run live's on the clip {same}/{len(live)}; scores differ by {apart:.2g} at most; "
        f"{np.median([one['tookMs'] for one in seen]):.0f} ms a frame; exported in {took_s:.1f} s of processor; "
        f"heap {heap_mb} MB"
    )


def _length(clip: Clip) -> int:
    return sum(1 for _ in Video(clip.path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="Sealed .tflite files.")
    parser.add_argument("--photos", type=Path, required=True, help="Photo folder.")
    parser.add_argument("--count", type=int, default=20, help="Number of photos.")
    options = parser.parse_args()
    frames = sampled(options.photos, options.count)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("y4m", "mjpeg"):
            clip = write_clip(Path(folder) / f"clip.{kind}", frames, 1.0)
            profile = Path(folder) / kind
            profile.mkdir()
            phone = start_phone(profile, clip)
            try:
                for file in options.files:
                    print(compare(phone, file, clip), flush=True)
            finally:
                phone.close()


if __name__ == "__main__":
    main()
