"""Pictures from a camera into class folders, for training: what `edge-run collect` and the live page's buttons take."""

import json
import os
import shutil
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import numpy as np

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import pictures_below
from edge_core.errors import PictureError
from edge_core.files import append_line, remove_unfinished, require_writable, written_whole
from edge_core.images import encode_jpeg, read_picture
from edge_core.images.likeness import SIDE, Sketch, shows_one_of, sketch
from edge_device.frames.regions import WHOLE, Region, cut
from edge_device.results import FrameResult
from edge_device.sinks.inbox.folder_names import folder_name

MANIFEST: Final = "manifest.jsonl"

JPEG_QUALITY: Final = 95
"""Of a JPEG for training, 0 to 100."""

WHOLE_FRAMES: Final = ".frames"

REMEMBERED: Final = 200
"""Pictures of a label that a new one is compared with, the latest: 0.8 MB, and at most eight of them in full."""

Outcome = Literal["taken", "alike", "full"]


@dataclass(frozen=True)
class CollectionLimits:
    """When a collection is full.

    Attributes:
        total_bytes: Size of all pictures in the folder, in bytes.
        free_bytes: Space that stays free on the disk, in bytes.
        label_count: Number of pictures in the folder of one label; None allows any.
    """

    total_bytes: int = 5_000_000_000
    free_bytes: int = 500_000_000
    label_count: int | None = None


class Collection:
    """Class folders that grow by one frame at a time, and `manifest.jsonl`, which says of each picture where it is
    from.

        collection = Collection(Path("photos"))
        collection.add(result, "cat")  # photos/cat/20260301T101500.123456Z.jpg

    A frame that shows the same as a picture of its label that is there already is left out: see
    `edge_core.images.likeness`. Each picture is on the disk before it is counted.

    Attributes:
        folder: Folder that holds the class folders.
        counts: Number of pictures by class folder.
        asked: Labels that a person has asked a frame for, and that no frame was kept for yet, with their cameras.
    """

    def __init__(self, folder: Path, limits: CollectionLimits | None = None) -> None:
        """Looks at what is in the folder already.

        Args:
            folder: Made with the first picture.
            limits: When it is full.

        Raises:
            OutputError: Nothing can be written there.
        """
        require_writable(folder, folder=True)
        self.folder, self._limits = folder, limits or CollectionLimits()
        self.counts: dict[str, int] = {}
        self._bytes = 0
        self._seen: dict[str, Sketch] = {}
        # Bounded: a button that is pressed while the camera is away must not fill a folder when it is back.
        self.asked: deque[tuple[str, str]] = deque(maxlen=8)
        self._lock = threading.RLock()  # several cameras may fill it
        for child in sorted(folder.iterdir()) if folder.is_dir() else ():
            if child.is_dir() and not child.name.startswith("."):
                remove_unfinished(child)
                self.counts[child.name] = len(pictures_below(child))
        for path in folder.rglob("*.jpg"):
            with suppress(OSError):  # a link that leads nowhere, or a picture that a person moves just now
                self._bytes += path.stat().st_size
        for child in (folder / WHOLE_FRAMES).glob("*/"):
            remove_unfinished(child)

    def add(self, result: FrameResult, label: str, region: Region = WHOLE) -> Outcome:
        """Keeps a frame as a picture of a label, if it shows something new and there is room.

        Args:
            result: The frame, and what a model said of it; `top` is empty where no model looked at it.
            label: What the frame shows, as a person says.
            region: Part of the frame that a model looks at, which becomes the picture; the whole frame lies in
                `.frames/LABEL/` then, where training does not look.

        Raises:
            OutputError: The picture cannot be written.
        """
        with self._lock:
            return self._add(result, label, region)

    def _add(self, result: FrameResult, label: str, region: Region) -> Outcome:
        name, image = folder_name(label), cut(result.frame.image, region)
        small = sketch(image)
        seen = self._seen_of(name)
        if shows_one_of(small, seen):
            return "alike"
        picture = encode_jpeg(image, JPEG_QUALITY)
        whole = encode_jpeg(result.frame.image, JPEG_QUALITY) if region != WHOLE else b""
        size = len(picture) + len(whole)
        if self.full(name, size):
            return "full"
        taken = datetime.now(UTC)
        path = self.folder / name / f"{taken:%Y%m%dT%H%M%S.%f}Z.jpg"
        entry = _entry(path, taken, label, result)
        if whole:
            entry |= {"frame": f"{WHOLE_FRAMES}/{name}/{path.name}", "part": str(region)}
            _write(self.folder / WHOLE_FRAMES / name / path.name, whole)
        # After the whole frame and before the manifest's line: each refers to what is on the disk already.
        _write(path, picture)
        append_line(self.folder / MANIFEST, json.dumps(entry, ensure_ascii=False))
        self._seen[name] = np.concatenate([seen, small[None]])[-REMEMBERED:]
        self.counts[name] = self.counts.get(name, 0) + 1
        self._bytes += size
        return "taken"

    def full(self, name: str, size: int) -> str:
        """Why a picture of a label has no room any more, for people; empty if it has.

        Args:
            name: Name of the label's folder.
            size: Size of the picture in bytes.
        """
        limits = self._limits
        if limits.label_count is not None and self.counts.get(name, 0) >= limits.label_count:
            return f"{self.folder / name} has its {limits.label_count} pictures"
        if self._bytes + size > limits.total_bytes:
            return f"{self.folder} has reached {limits.total_bytes / 1e6:,.0f} MB, which is its limit"
        above = next(one for one in (self.folder, *self.folder.absolute().parents) if one.exists())
        if shutil.disk_usage(above).free - size < limits.free_bytes:
            return f"less than {limits.free_bytes / 1e6:,.0f} MB would be free on the disk of {self.folder}"
        return ""

    def ask(self, label: str, camera: str = "") -> None:
        """Has the next frame of a camera that `answer` is given kept as a picture of a label; from any thread."""
        self.asked.append((label, camera))

    def is_asked(self, camera: str) -> bool:
        """Whether a frame of a camera was asked for."""
        return any(one == camera for _, one in list(self.asked))

    def answer(self, result: FrameResult, region: Region = WHOLE) -> str:
        """Keeps a frame for each label that was asked for since the last one.

        Args:
            result: The frame, and what a model said of it.
            region: Part of the frame that the model looks at.

        Returns:
            Why a picture was not kept, for people; empty if all were, or none was asked for.

        Raises:
            OutputError: A picture cannot be written.
        """
        reason = ""
        for asked in [one for one in list(self.asked) if one[1] == result.camera]:
            self.asked.remove(asked)
            label = asked[0]
            outcome = self.add(result, label, region)
            if outcome == "alike":
                reason = f"{label}: the frame shows the same as a picture that is there"
            elif outcome == "full":
                reason = self.full(folder_name(label), 0) or f"{self.folder} is full"
        return reason

    def _seen_of(self, name: str) -> Sketch:
        """Sketches of the latest pictures of a label, from the disk at the first time."""
        if name not in self._seen:
            made = [np.empty((0, SIDE, SIDE, 3), np.uint8)]
            folder = self.folder / name
            for path in sorted(pictures_below(folder))[-REMEMBERED:] if folder.is_dir() else ():
                try:
                    made.append(sketch(read_picture(path))[None])
                except PictureError:
                    continue  # somebody's own, and damaged: training will tell of it
            self._seen[name] = np.concatenate(made)
        return self._seen[name]


def _write(path: Path, picture: bytes) -> None:
    with written_whole(path, durable=True) as beside:
        beside.write_bytes(picture)


def _entry(path: Path, taken: datetime, label: str, result: FrameResult) -> JsonObject:
    """A line of the manifest."""
    said = result.to_json()
    entry: JsonObject = {
        "file": os.path.join(path.parent.name, path.name),
        "label": label,
        "time": taken.isoformat(),
        "camera": result.camera or result.frame.source,
        "width": result.frame.image.shape[1],
        "height": result.frame.image.shape[0],
    }
    if result.top:
        entry |= {name: said[name] for name in ("top", "familiarity", "known") if name in said}
    return entry
