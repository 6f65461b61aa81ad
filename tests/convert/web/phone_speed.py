"""How fast the page for phones is on this machine, and what it takes, with a camera of 1280x720 at 30 frames a second.

    python -m tests.convert.web.phone_speed flowers-int8.tflite --photos photos/

On a machine that does something else meanwhile the figures are of both.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from edge_convert.web.litert_js import find_litert_js
from edge_convert.web.phone_site import site_files

from ...browser import Browser
from .phone import Clip, opened, sampled, serving, start_phone, write_clip

SIZE: Final = (1280, 720)
FPS: Final = 30
WARM_UP_S: Final = 3.0

LISTEN: Final = """
window.took = [];
document.addEventListener("classified", ({ detail }) => took.push([performance.now(), detail.tookMs]));
document.getElementById("camera").click();
"""

TRANSFERRED: Final = (
    "[...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
    ".reduce((sum, entry) => sum + entry.transferSize, 0)"
)


def measured(file: Path, clip: Clip, profile: Path, seconds: float) -> str:
    """A line of figures, of a browser that has never been at the page."""
    began = time.monotonic()
    files = site_files(file, find_litert_js()).content
    export_s = time.monotonic() - began
    phone = start_phone(profile, clip)
    try:
        with serving(files) as address:
            began = time.monotonic()
            opened(phone, address)
            proven_s = time.monotonic() - began
            phone.wait("document.documentElement.dataset.offline === 'ready'")
            transferred = phone.ask(TRANSFERRED)
            phone.ask(LISTEN)
            phone.wait("took.length > 0")
            time.sleep(WARM_UP_S)
            phone.ask("window.took = []")
            time.sleep(seconds)
            times, took = np.array(phone.ask("took")).T
            heap = phone.ask("performance.memory.usedJSHeapSize")
            memory = largest_renderer(phone)
    finally:
        phone.close()
    fps = (len(times) - 1) / (times[-1] - times[0]) * 1e3
    return (
        f"{file.name}: {fps:.1f} of {FPS} frames a second at {SIZE[0]}x{SIZE[1]}, {np.median(took):.1f} ms a frame, "
        f"95 % within {np.quantile(took, 0.95):.1f} ms; the page takes {memory / 1e6:.0f} MB of memory, JavaScript "
        f"{heap / 1e6:.0f} of them; first visit {transferred / 1e6:.2f} MB, proven after {proven_s:.1f} s; exported in "
        f"{export_s:.1f} s"
    )


def largest_renderer(phone: Browser) -> int:
    """Memory in bytes of the process that shows the page: its own, and its share of what others use, too."""
    return max(
        _proportional(process)
        for process in Path("/proc").glob("[0-9]*")
        if _descends(process, phone.pid) and b"--type=renderer" in (process / "cmdline").read_bytes()
    )


def _descends(process: Path, ancestor: int) -> bool:
    pid = int(process.name)
    try:
        while pid > 1 and pid != ancestor:
            status = Path(f"/proc/{pid}/stat").read_text()
            pid = int(status.rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return False
    return pid == ancestor


def _proportional(process: Path) -> int:
    lines = (process / "smaps_rollup").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="Sealed .tflite files.")
    parser.add_argument("--photos", type=Path, required=True, help="Photo folder.")
    parser.add_argument("--seconds", type=float, default=15.0, help="Seconds for which frames are counted.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        clip = write_clip(Path(folder) / "clip.y4m", sampled(options.photos, 30, SIZE), 2 / FPS, FPS)
        for number, file in enumerate(options.files):
            profile = Path(folder) / f"profile-{number}"
            profile.mkdir()
            print(measured(file, clip, profile, options.seconds), flush=True)


if __name__ == "__main__":
    main()
