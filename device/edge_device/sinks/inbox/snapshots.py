"""Pictures of the frames that a model is unsure of, to be labelled and trained on."""

import json
import os
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_core.artifact.card import ModelCard
from edge_core.data.photo_folder import NEGATIVES_FOLDER
from edge_core.errors import OutputError
from edge_core.files import written_whole
from edge_core.images import encode_jpeg
from edge_device.frames.regions import WHOLE, Region, cut
from edge_device.results import FrameResult
from edge_device.sinks.inbox.collection import JPEG_QUALITY
from edge_device.sinks.inbox.folder_names import folder_name
from edge_device.sinks.sink import Sink


@dataclass(frozen=True)
class Kept:
    """A picture in the folder: its name without suffix, and the size of its files in bytes."""

    name: Path
    size: int


class Snapshots(Sink):
    """Writes FOLDER/LABEL/TIME.jpg, and what the model said of it beside it as TIME.json.

    LABEL is the model's best, right or wrong, or `_nothing` of a frame that is foreign to it. Move the pictures to where they belong, and `edge-train fit FOLDER` reads
    them. A picture that was moved, or whose .json was removed, is never removed by this sink; of the others the oldest
    are, beyond `max_files` and `max_bytes`.
    """

    name = "snapshots"
    wants_image = True

    def __init__(
        self,
        folder: Path,
        regions: Mapping[str, Region] | None = None,
        *,
        below: float = 0.6,
        margin: float = 0.2,
        every_s: float = 10.0,
        foreign_only: bool = False,
        max_files: int = 1000,
        max_bytes: int = 500_000_000,
    ) -> None:
        """Names the folder.

        Args:
            folder: made if it is not there.
            regions: of the zones, by name: of a zone only its part of the frame is kept.
            below: a best score under this is unsure.
            margin: a lead of the best over the next under this is, too.
            every_s: between two pictures of a zone, at least.
            foreign_only: whether only frames that are foreign to the model are kept.
            max_files: pictures in the folder.
            max_bytes: of these pictures and their .json.
        """
        self._folder = folder
        self._regions = regions or {}
        self._below = below
        self._margin = margin
        self._every_s = every_s
        self._foreign_only = foreign_only
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._kept: deque[Kept] = deque()
        self._bytes = 0
        self._taken_s: dict[str, float] = {}
        self._decided: dict[str, str | None] = {}

    def open(self, card: ModelCard) -> None:
        self._decided.clear()
        if self._kept:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._kept = deque(sorted(_ours(self._folder), key=lambda kept: kept.name.name))
        except OSError as error:
            raise OutputError(f"{self._folder} cannot be written: {error.strerror or error}") from error
        if not os.access(self._folder, os.W_OK):
            raise OutputError(f"{self._folder} cannot be written: it is not permitted")
        self._bytes = sum(kept.size for kept in self._kept)

    def frame(self, result: FrameResult) -> None:
        reason = self._reason(result)
        now_s = time.monotonic()
        if reason and now_s - self._taken_s.get(result.zone, -self._every_s) >= self._every_s:
            self._taken_s[result.zone] = now_s
            self._write(result, reason)
            self._remove_oldest()

    def _reason(self, result: FrameResult) -> str:
        """Why a frame is worth a picture; empty if it is not."""
        changed = False
        if result.decision:
            label = result.decision.label
            changed = self._decided.get(result.zone, label) != label
            self._decided[result.zone] = label
        best = [one.score for one in result.top[:2]]
        if result.known is False:
            return "foreign to the model"
        if not best or self._foreign_only:
            return ""
        if best[0] < self._below:
            return f"score below {self._below:g}"
        if len(best) == 2 and best[0] - best[1] < self._margin:
            return f"lead below {self._margin:g}"
        return "decision changed" if changed else ""

    def _write(self, result: FrameResult, reason: str) -> None:
        label = NEGATIVES_FOLDER if result.known is False else folder_name(result.top[0].label)
        taken = datetime.now(UTC)
        zone = f"-{result.zone}" if result.zone else ""
        name = self._folder / label / f"{taken:%Y%m%dT%H%M%S.%f}Z{zone}"
        told: dict[str, Any] = {"folder": label, "reason": reason, "taken": taken.isoformat(), **result.to_json()}
        text = json.dumps(told, ensure_ascii=False, indent=2) + "\n"
        picture = encode_jpeg(cut(result.frame.image, self._regions.get(result.zone, WHOLE)), JPEG_QUALITY)
        # The .json first: without it a picture would count as somebody's own, and stay for ever.
        for suffix, data in ((".json", text.encode(errors="backslashreplace")), (".jpg", picture)):
            with written_whole(name.with_name(name.name + suffix)) as beside:
                beside.write_bytes(data)
        kept = Kept(name, len(text) + len(picture))
        self._kept.append(kept)
        self._bytes += kept.size

    def _remove_oldest(self) -> None:
        while self._kept and (len(self._kept) > self._max_files or self._bytes > self._max_bytes):
            oldest = self._kept.popleft()
            self._bytes -= oldest.size
            for suffix in (".jpg", ".json"):
                with suppress(OSError):
                    oldest.name.with_name(oldest.name.name + suffix).unlink()


def _ours(folder: Path) -> list[Kept]:
    """The pictures with a .json beside them that says that they are where we put them; what is left of others goes."""
    found = []
    for path in folder.glob("*/*.json"):
        picture = path.with_suffix(".jpg")
        with suppress(OSError, ValueError, AttributeError):
            if json.loads(path.read_bytes()).get("folder") != path.parent.name:
                continue
            if not picture.exists():
                path.unlink()
            else:
                found.append(Kept(path.with_suffix(""), path.stat().st_size + picture.stat().st_size))
    return found
