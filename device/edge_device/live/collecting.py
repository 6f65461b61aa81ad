"""Pictures of one label from the camera that the model will look through, to train on or to teach with."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from edge_core.artifact.card import UNTAUGHT
from edge_core.artifact.container import read_card
from edge_core.codec import JsonObject
from edge_core.errors import SourceError
from edge_core.progress import Track, silently
from edge_device.frames.regions import WHOLE, Orientation, Region, cut
from edge_device.inference.classifier import Classifier, top
from edge_device.live.options import with_secret
from edge_device.notices import Notifier, ignore
from edge_device.results import FrameResult, Latency
from edge_device.sinks.inbox.collection import Collection, CollectionLimits
from edge_device.sinks.inbox.folder_names import folder_name
from edge_device.sources import CameraMode, Pictures, Source, SourceFrame, open_source, redact
from edge_device.sources.source import ANY_MODE
from edge_device.teaching.examples import Examples, photo_examples


@dataclass(frozen=True)
class CollectSettings:
    """What is collected from where.

    Attributes:
        source: Names a source, as `open_source` has it.
        label: What the frames show; its class folder gets them.
        every_s: Seconds between two frames that are looked at; of a video file, by its own time.
        count: Number of pictures after which it ends.
        mode: Requested of a camera.
        orientation: How frames are turned upright.
        region: Part of the frame that is the picture; the whole frame is kept beside it.
        wait: Whether a camera that is not there yet is waited for.
    """

    source: str
    label: str
    every_s: float = 0.5
    count: int = 200
    mode: CameraMode = ANY_MODE
    orientation: Orientation = field(default_factory=Orientation)
    region: Region = WHOLE
    wait: bool = False


@dataclass(frozen=True)
class Collected:
    """How a collection went.

    Attributes:
        folder: Class folder that the pictures are in.
        taken: Number of pictures that were kept.
        alike: Number of frames left out, as they show the same as a picture that is there.
        ended: Why it ended: as many as asked for, no more frames, no more room, or Ctrl-C.
        reason: Explanation of an end for lack of room; empty otherwise.
    """

    folder: Path
    taken: int
    alike: int
    ended: Literal["count", "source", "full", "interrupted"]
    reason: str = ""

    def to_json(self) -> JsonObject:
        """The object that `edge-run collect --json` prints."""
        return asdict(self) | {"folder": str(self.folder)}


class _Run:
    """One run of `collect`, with what it has counted so far."""

    def __init__(self, settings: CollectSettings, collection: Collection, classifier: Classifier | None) -> None:
        self._settings, self._collection, self._classifier = settings, collection, classifier
        self.taken = self.alike = 0
        self.ended: Literal["count", "source", "full", "interrupted"] = "source"
        self._looked = False

    def pictures(self, source: Source) -> Iterator[None]:
        """Keeps pictures, and gives a step of the progress for each."""
        pictures, due_s = isinstance(source, Pictures), -math.inf
        for frame in source:
            self._looked = True
            if not pictures and frame.time_s < due_s:
                continue
            # By the time of the frame, not of the clock, so that a video file is sampled as it was filmed.
            due_s = frame.time_s + self._settings.every_s
            outcome = self._collection.add(self._looked_at(frame), self._settings.label, self._settings.region)
            if outcome == "full":
                self.ended = "full"
                return
            self.alike += outcome == "alike"
            if outcome == "taken":
                self.taken += 1
                yield
            if self.taken >= self._settings.count:
                self.ended = "count"
                return
        if not self._looked:
            raise SourceError(f"{redact(self._settings.source)} gave no frame that can be read")

    def _looked_at(self, frame: SourceFrame) -> FrameResult:
        """A frame as it is kept, with what the model says of it."""
        upright = self._settings.orientation.apply(frame.image)
        kept = SourceFrame(upright, frame.source, frame.index, frame.time_s, frame.capture_ms, frame.taken_s)
        if self._classifier is None:
            return FrameResult(kept, (), Latency(frame.capture_ms, 0.0, 0.0, frame.capture_ms))
        scores, timing = self._classifier.scores(cut(upright, self._settings.region))
        familiarity = self._classifier.familiarity()
        took = Latency(frame.capture_ms, timing.preprocess_ms, timing.invoke_ms, 0.0)
        best = tuple(top(scores, self._classifier.card.labels, 3))
        return FrameResult(kept, best, took, familiarity=familiarity, known=self._classifier.knows(familiarity))


def collect(
    settings: CollectSettings,
    folder: Path,
    *,
    limits: CollectionLimits | None = None,
    classifier: Classifier | None = None,
    track: Track = silently,
    notify: Notifier = ignore,
    ready: Callable[[], None] = lambda: None,
) -> Collected:
    """Keeps frames of a source as pictures of one label, each different from those before, until there are enough.

    A network camera gets the password that `SOURCE_PASSWORD` of the environment has, where its address names a user
    alone.

    Args:
        settings: What is collected.
        folder: Folder that holds the class folders.
        limits: When the folder is full.
        classifier: Says in the manifest what it makes of each picture; None: no scores.
        track: Shows the progress.
        notify: Gets that the camera is lost, and that it is back.
        ready: Called once the source is open.

    Raises:
        SourceError: The source cannot be opened, or gave no frame.
        OutputError: The folder cannot be written.
    """
    collection = Collection(folder, limits)
    run = _Run(settings, collection, classifier)
    opened = open_source(
        with_secret(settings.source),
        settings.mode,
        lambda path, error: None,
        reconnect=True,
        wait=settings.wait,
        notify=notify,
    )
    try:
        with opened as source:
            ready()
            for _ in track(run.pictures(source), f"Pictures of {settings.label}", settings.count):
                pass
    except KeyboardInterrupt:  # what is there is whole, and what a person wanted
        run.ended = "interrupted"
    name = folder_name(settings.label)
    reason = collection.full(name, 0) or f"{folder} has no room for one more" if run.ended == "full" else ""
    return Collected(folder / name, run.taken, run.alike, run.ended, reason)


def taken_examples(
    model: Path,
    source: CollectSettings,
    folder: Path,
    track: Track = silently,
    notify: Notifier = ignore,
    ready: Callable[[], None] = lambda: None,
) -> Examples:
    """Takes frames of a camera into a photo folder, and gives all pictures of the label there, earlier ones, too.

    Args:
        model: The file that is taught.
        source: What is collected.
        folder: The photo folder; `edge-train fit` takes it as it is.
        track: Receives the progress.
        notify: Gets that the camera is lost, and that it is back.
        ready: Called once the source is open.

    Raises:
        SourceError: The source cannot be opened, or gives too few different frames.
        OutputError: The folder cannot be written.
    """
    taken = collect(source, folder, track=track, notify=notify, ready=ready)
    if taken.ended == "interrupted":
        raise KeyboardInterrupt
    if not taken.taken and not taken.folder.is_dir():
        raise SourceError(f"{redact(source.source)} gave no frame that could be kept")
    if read_card(model).conversion.get(UNTAUGHT):
        return photo_examples(model, folder, None, track)  # all that it is to know, from its first lesson on
    return photo_examples(model, taken.folder, source.label, track)
