"""How the studio's photos scale: `python benchmarks/experiments/studio_photos.py [PHOTOS] [--folder FOLDER]`.

Makes a project of so many photos of two classes (20,000), serves it, and measures, in this order: photos indexed a
second at a first start without a cache; the first page, which is the list's first window and the thumbnails in view,
with the index there; the same after a restart; thumbnails a second; the server's largest resident memory.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from urllib.request import Request, urlopen

import cv2
import numpy as np

from edge_device.doctor.probe import processor_s

TILES: Final = 60
"""Thumbnails in view of a screen of 1280 x 900."""

SIDE: Final = (500, 375)
CLASSES: Final = ("roses", "tulips")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("photos", nargs="?", type=int, default=20_000)
    arguments.add_argument("--folder", type=Path, help="Folder for the photos. Default: a temporary one.")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root = Path(folder)
        write_photos(root / "projects" / "many", given.photos)
        found = measure(root, given.photos)
    print(json.dumps(found, indent=2))


def write_photos(folder: Path, count: int) -> None:
    """Photos of different contents: 200 pictures of noise, told apart by bytes behind their end."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(200):
        coarse = rng.integers(0, 255, (24, 32, 3), np.uint8)
        pictures.append(cv2.imencode(".jpg", cv2.resize(coarse, SIDE))[1].tobytes())
    for number in range(count):
        file = folder / CLASSES[number % len(CLASSES)] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pictures[number % len(pictures)] + str(number).encode())


def measure(root: Path, photos: int) -> dict[str, float]:
    """The figures of a project that lies in `root`."""
    with served(root) as studio:
        began = time.perf_counter()
        assert studio.json("photos?count=60")["total"] == photos
        index_s = time.perf_counter() - began
        index_processor_s = studio.processor_s()
        page_s, paths = studio.first_page()
        page_processor_s = studio.processor_s() - index_processor_s
        began = time.perf_counter()
        with ThreadPoolExecutor(6) as pool:
            shown = list(pool.map(studio.thumbnail, studio.json("photos?start=1000&count=600")["photos"]))
        thumbnails = len(shown) / (time.perf_counter() - began)
        for start in range(0, photos, 1000):
            studio.json(f"photos?start={start}&count=1000")
        moved = [one["path"] for one in studio.json("photos?label=roses&count=1000")["photos"]]
        began = time.perf_counter()
        studio.send("photos/move", {"paths": moved, "label": "daisies"})
        move_s = time.perf_counter() - began
        memory_mb = studio.memory_mb()
    with served(root) as studio:
        began_s = studio.processor_s()
        again_s, _ = studio.first_page()
        again_processor_s = studio.processor_s() - began_s
        memory_mb = max(memory_mb, studio.memory_mb())
    return {
        "photos": photos,
        "index_photos_per_s": round(photos / index_s),
        "index_and_start_processor_s": round(index_processor_s, 3),
        "first_page_s": round(page_s, 3),
        "first_page_processor_s": round(page_processor_s, 3),
        "first_page_after_restart_s": round(again_s, 3),
        "first_page_after_restart_processor_s": round(again_processor_s, 3),
        "tiles": len(paths),
        "thumbnails_per_s": round(thumbnails),
        "move_1000_s": round(move_s, 3),
        "memory_mb": round(memory_mb),
    }


class Client:
    """Asks a studio that is being served."""

    def __init__(self, process: subprocess.Popen[str], base: str, token: str) -> None:
        self._process, self._base = process, base
        self._headers = {"Authorization": f"Bearer {token}", "X-Requested-By": "experiment"}

    def fetch(self, path: str, body: bytes | None = None) -> bytes:
        with urlopen(Request(self._base + path, body, self._headers), timeout=600) as answer:
            data: bytes = answer.read()
            return data

    def json(self, path: str) -> Any:
        return json.loads(self.fetch(f"/api/p/many/{path}"))

    def send(self, path: str, value: object) -> None:
        self.fetch(f"/api/p/many/{path}", json.dumps(value).encode())

    def thumbnail(self, photo: Any) -> int:
        return len(self.fetch(f"/api/p/many/thumbnail?path={quote(photo['path'])}&version={photo['version']}"))

    def first_page(self) -> tuple[float, list[Any]]:
        """Seconds until the page, its list and the thumbnails in view are there."""
        began = time.perf_counter()
        self.fetch("/p/many/photos")
        photos = self.json("photos?count=200")["photos"][:TILES]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(self.thumbnail, photos))
        return time.perf_counter() - began, photos

    def processor_s(self) -> float:
        """Seconds of processor that the server has taken; on a busy machine they tell more than the clock."""
        return processor_s(self._process.pid)

    def memory_mb(self) -> float:
        """The largest resident memory that the server has had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        assert found
        return int(found[1]) / 1024


@contextmanager
def served(root: Path) -> Iterator[Client]:
    """Runs the studio without a cache at its first start."""
    environment = os.environ | {"XDG_CACHE_HOME": str(root / "cache"), "XDG_STATE_HOME": str(root / "state")}
    program = "from edge_studio.cli import app; app()"
    command = [sys.executable, "-c", program, str(root / "projects"), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr
        found = re.search(r"(http://\S+)/login\?token=(\S+)", process.stderr.readline())
        assert found
        yield Client(process, found[1], found[2])
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(root / "projects" / ".studio", ignore_errors=True)


if __name__ == "__main__":
    main()
