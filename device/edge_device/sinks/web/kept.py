"""What a person keeps by the live page: frames as training pictures of a label, and snapshots."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import NEGATIVES_FOLDER
from edge_device.frames.regions import WHOLE, Region, classified_part
from edge_device.results import FrameResult
from edge_device.sinks.inbox.collection import Collection
from edge_device.sinks.inbox.folder_names import folder_name
from edge_device.sinks.inbox.snapshot_store import SnapshotStore


class LabelTeacher(Protocol):
    """What the page needs of whoever teaches the model: `edge_device.teaching.teacher.Teacher`.

    Attributes:
        known: Labels of the model that runs.
        changed: Functions that are called when `to_json` may tell something else, from any thread.
    """

    known: tuple[str, ...]
    changed: list[Callable[[], None]]

    def labels(self) -> list[str]:
        """Labels that can be taught."""

    def name(self, text: str) -> str:
        """Adds a label that the model does not have."""

    def start(self) -> None:
        """Teaches what there are new pictures of."""

    def undo(self) -> None:
        """Brings the file back that was replaced last."""

    def to_json(self) -> JsonObject:
        """What the page is told."""


@dataclass
class KeptPictures:
    """What the page's buttons fill.

    Attributes:
        collection: Class folders; None: the page has no buttons for labels.
        store: Snapshots; None: none are kept.
        labels: Labels that have a button, beside the class folders that are there.
        reason: Why a picture that was asked for was not kept; empty if it was.
        regions: Zones by name. Of a single one, or of a subject that is followed, the picture is of that part.
        camera: Name of the camera whose frames are kept, where it has one.
        teacher: Teaches the model from the collection; None: the page has no buttons for that.
    """

    collection: Collection | None = None
    store: SnapshotStore | None = None
    labels: Sequence[str] = ()
    reason: str = ""
    regions: Mapping[str, Region] = field(default_factory=dict)
    camera: str = ""
    teacher: LabelTeacher | None = None

    def offered(self) -> list[str]:
        """Labels that have a button: the model's, those named to be taught, other class folders, and `_nothing`."""
        if self.collection is None:
            return []
        if self.teacher:
            return [*self.teacher.labels(), NEGATIVES_FOLDER]
        named = {folder_name(label) for label in (*self.labels, NEGATIVES_FOLDER)}
        # A copy, as a camera's thread may add a folder meanwhile.
        others = sorted(name for name in list(self.collection.counts) if name not in named)
        return [*self.labels, *others, NEGATIVES_FOLDER]

    def ask(self, label: str) -> bool:
        """Has the next frame kept as a picture of a label; returns whether it has a button."""
        if self.collection is None or label not in self.offered():
            return False
        self.collection.ask(label, self.camera)
        return True

    def answer(self, result: FrameResult) -> bool:
        """Keeps a frame for whoever has asked for one; returns whether anything has changed.

        Raises:
            OutputError: A picture cannot be written.
        """
        if self.collection is None or not self.collection.is_asked(result.camera):
            return False
        # Of several zones nobody knows which one the person means.
        several = len(self.regions) > 1 and result.subject is None
        self.reason = self.collection.answer(result, WHOLE if several else classified_part(result, self.regions))
        return True

    def to_json(self) -> JsonObject:
        """What the page is told."""
        counts = self.collection.counts if self.collection else {}
        return {
            "labels": [{"label": label, "count": counts.get(folder_name(label), 0)} for label in self.offered()],
            "reason": self.reason,
            "snapshots": self.store is not None,
            "teaching": self.teacher.to_json() if self.teacher else None,
        }
