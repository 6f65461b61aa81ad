"""Pictures of the frames that a model is unsure of, to be labeled and trained on."""

import time
from collections.abc import Mapping
from pathlib import Path

from edge_core.artifact.card import ModelCard
from edge_core.data.photo_folder import NEGATIVES_FOLDER
from edge_core.images import encode_jpeg
from edge_device.frames.regions import Region, classified_part, cut
from edge_device.results import UNKNOWN, FrameResult
from edge_device.sinks.inbox.collection import JPEG_QUALITY
from edge_device.sinks.inbox.snapshot_store import Kind, SnapshotStore
from edge_device.sinks.sink import Sink


class Snapshots(Sink):
    """Writes FOLDER/LABEL/TIME.jpg, and what the model said of it beside it as TIME.json.

    LABEL is the model's best, right or wrong, or `_nothing` of a frame that is foreign to it. Move the pictures to
    where they belong, and `edge-train fit FOLDER` reads them. What goes beyond the limits: see `SnapshotStore`.

    Attributes:
        store: The pictures that are kept.
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
            folder: Made if it is not there.
            regions: Zones by name; of a zone, or of a subject that is followed, only its part of the frame is kept.
            below: Best score under which the model counts as unsure.
            margin: Lead of the best label over the next under which it does, too.
            every_s: Seconds between two pictures of a zone, at least.
            foreign_only: Whether only frames that are foreign to the model are kept, and what a person asks for.
            max_files: Number of pictures in the folder.
            max_bytes: Size of these pictures and their .json, in bytes.
        """
        self.store = SnapshotStore(folder, max_files=max_files, max_bytes=max_bytes)
        self._camera = ""
        self._regions = regions or {}
        self._below = below
        self._margin = margin
        self._every_s = every_s
        self._foreign_only = foreign_only
        self._opened = False
        self._taken_s: dict[str, float] = {}
        self._decided: dict[str, tuple[int | None, str | None]] = {}

    def join(self, first: "Snapshots", camera: str) -> None:
        """Keeps the pictures of a camera of several in the store of the first one's; to be called before `open`."""
        self.store, self._camera = first.store, camera

    def open(self, card: ModelCard) -> None:
        # The model was replaced: another decision after that is no change of the scene.
        self._decided.clear()
        if not self._opened:
            self.store.open()
            self._opened = True

    def frame(self, result: FrameResult) -> None:
        why, now_s = self._why(result), time.monotonic()
        if self.store.take_asked(self._camera):
            why = ("asked", "a person asked for it")
        elif now_s - self._taken_s.get(result.zone, -self._every_s) < self._every_s:
            return
        if why is None:
            return
        self._taken_s[result.zone] = now_s
        label = NEGATIVES_FOLDER if result.known is False else result.top[0].label if result.top else UNKNOWN
        picture = encode_jpeg(cut(result.frame.image, classified_part(result, self._regions)), JPEG_QUALITY)
        shows = "-".join(name for name in (result.camera, result.zone) if name)
        self.store.add(picture, label, result.to_json(), why, shows)

    def _why(self, result: FrameResult) -> tuple[Kind, str] | None:
        """Why a frame is worth a picture; None if it is not."""
        changed = self._decided_otherwise(result)  # also of a frame that is kept for another reason
        best = [one.score for one in result.top[:2]]
        if result.known is False:
            return "unknown", "foreign to the model"
        if not best or self._foreign_only:
            return None
        if best[0] < self._below:
            return "uncertain", f"score below {self._below:g}"
        if len(best) == 2 and best[0] - best[1] < self._margin:
            return "uncertain", f"lead below {self._margin:g}"
        return ("changed", "decision changed") if changed else None

    def _decided_otherwise(self, result: FrameResult) -> bool:
        """Whether something else is decided about the same subject than before; remembers what is."""
        if not result.decision:
            return False
        label = result.decision.label
        track = result.subject.track if result.subject else None
        before, self._decided[result.zone] = self._decided.get(result.zone), (track, label)
        return before is not None and before[0] == track and before[1] != label
