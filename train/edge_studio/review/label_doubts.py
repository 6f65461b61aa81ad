"""Photos whose label may be wrong, for a person to decide; what was decided is remembered by the photo's content."""

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge_core.codec import JsonObject
from edge_core.files import append_line, make_folders
from edge_studio.photos.photo_flags import FlagSet
from edge_studio.photos.photo_index import IndexedPhoto
from edge_studio.review.run_review import RunReview, sha256_of

CONFIDENT: Final = 0.5
"""Score of a wrong label from which a test photo is asked about: a guess below it says little of the label."""


@dataclass(frozen=True)
class LabelDoubt:
    """A photo whose label a person should look at.

    Attributes:
        path: Path of the photo below the folder of the photos.
        version: Version of the photo.
        label: Label that it has.
        suggested: Label that speaks against it.
        reason: Why, as a page says it.
    """

    path: str
    version: str
    label: str
    suggested: str
    reason: str

    def to_json(self) -> JsonObject:
        return asdict(self)


class CheckedLabels:
    """Labels that a person has looked at and found right, a line each in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def add(self, photo: IndexedPhoto, folder: Path) -> None:
        """Remembers that a photo's label is right; on the disk when this returns.

        Raises:
            OutputError: It cannot be written.
        """
        with self._lock:
            make_folders(self._file.parent)
            append_line(self._file, json.dumps({"sha256": sha256_of(folder / photo.path), "label": photo.label}))

    def all(self) -> set[tuple[str, str]]:
        """SHA-256 and label of each."""
        with self._lock:
            try:
                lines = self._file.read_text("utf-8").splitlines()
            except FileNotFoundError:
                return set()
        found = set()
        for line in lines:
            try:
                value = json.loads(line)
                found.add((value["sha256"], value["label"]))
            except (ValueError, KeyError, TypeError):  # half a line, which a power cut left
                continue
        return found


def find_doubts(
    photos: Sequence[IndexedPhoto],
    review: RunReview | None,
    flags: FlagSet,
    checked: set[tuple[str, str]],
    folder: Path,
) -> list[LabelDoubt]:
    """Confident mistakes of a run that still have their label, then suspects; none that a person has found right.

    Args:
        photos: Photos of the project.
        review: Review of the run; None without one.
        flags: What was found to be odd.
        checked: SHA-256 and label of each photo whose label was found right.
        folder: Folder of the photos.
    """
    doubts: dict[str, LabelDoubt] = {}
    for one in review.mistakes() if review else ():
        if one.path and one.label_now == one.label and one.predicted_score >= CONFIDENT:
            reason = f"the run takes it for {one.predicted}, {100 * one.predicted_score:.0f} %"
            doubts[one.path] = LabelDoubt(one.path, one.version, one.label, one.predicted, reason)
    for photo in flags.sorted_by(photos, "suspect"):
        detail = next(str(flag["detail"]) for flag in flags.of(photo) if flag["kind"] == "suspect")
        reason = f"most photos that look like it are {detail}"
        doubts.setdefault(photo.path, LabelDoubt(photo.path, photo.version, photo.label, detail, reason))
    # Hashing reads each photo, which is spared where nothing has been checked.
    if not checked:
        return list(doubts.values())
    return [one for one in doubts.values() if (sha256_of(folder / one.path), one.label) not in checked]
