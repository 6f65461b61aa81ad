"""What an exported file makes of a picture: labels, familiarity, and where in the picture it is."""

import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge_core.codec import JsonObject
from edge_core.images import decode_picture
from edge_core.preprocess import Frame
from edge_device.frames.focus.subject import TileTrial
from edge_device.frames.focus.tile_focus import TileFocus, TileFocusRule, tiles
from edge_device.frames.regions import WHOLE, Region, cut
from edge_device.inference.classifier import Classifier
from edge_device.results import Box

OPENED: Final = 4
"""Model files that stay open, those that were asked for last."""

_BUDGET_MS: Final = 1000.0
"""Milliseconds of a step of the search, as a board takes them of a frame; a single picture is searched to the end."""


@dataclass(frozen=True)
class TriedFrame:
    """What a file makes of a picture.

    Attributes:
        top: Best labels, best first, with their scores.
        familiarity: P-value, 0..1, that the picture is of the kind that the model knows; None if it cannot tell.
        known: Whether that is enough; None if it cannot tell.
        box: Part of the picture that was classified: left, top, width and height as shares of the picture's.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        preprocess_ms: Milliseconds that preprocessing took.
        invoke_ms: Milliseconds that the inference took.
    """

    top: tuple[tuple[str, float], ...]
    familiarity: float | None
    known: bool | None
    box: Box
    width: int
    height: int
    preprocess_ms: float
    invoke_ms: float

    def to_json(self) -> JsonObject:
        return asdict(self)


class FileTrials:
    """Model files that are open for pictures. May be used from any thread; one picture is classified at a time."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, int], Classifier] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, file: Path, picture: bytes, *, search: bool = False) -> TriedFrame:
        """Classifies a picture.

        Args:
            file: The exported file.
            picture: Content of a picture file.
            search: Whether to look for the square of the picture that the model is surest of and knows, as
                `edge-run live --focus tiles` does; the whole picture counts if there is none.

        Raises:
            PictureError: The picture cannot be decoded.
            ModelFormatError: The file is damaged.
        """
        with self._lock:
            classifier = self._opened(file)
            frame = decode_picture(picture, levels=classifier.card.input.levels)
            region = find_subject(classifier, frame) if search else WHOLE
            look = classifier.look(cut(frame, region))
        return TriedFrame(
            tuple((one.label, one.score) for one in look.predictions),
            look.familiarity,
            look.known,
            (region.x, region.y, region.width, region.height),
            frame.shape[1],
            frame.shape[0],
            look.timing.preprocess_ms,
            look.timing.invoke_ms,
        )

    def close(self) -> None:
        """Closes all files."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _opened(self, file: Path) -> Classifier:
        # With its time, since a new export replaces a file of the same name.
        key = str(file), file.stat().st_mtime_ns
        if key not in self._open:
            self._open[key] = Classifier(file)
            if len(self._open) > OPENED:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]


def find_subject(classifier: Classifier, frame: Frame) -> Region:
    """The square of a frame that a model is surest of, by the search that boards do; the whole frame if there is
    none."""
    focus = TileFocus(TileFocusRule(budget_ms=_BUDGET_MS))
    tried: set[Region] = set()
    while len(tried) < len(tiles(frame.shape[1], frame.shape[0])):
        trials = []
        for view in {subject.view for subject in focus.subjects(frame, 0.0)}:
            look = classifier.look(cut(frame, view), 1)
            took_ms = look.timing.preprocess_ms + look.timing.invoke_ms
            trials.append(TileTrial(view, look.predictions[0].score, look.familiarity, look.known, took_ms))
        focus.tried(trials)
        tried |= {one.view for one in trials}
    found = next((one for one in focus.subjects(frame, 0.0) if one.track), None)
    return found.view if found else WHOLE
