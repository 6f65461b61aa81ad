"""What the sinks share that show frames with their labels drawn on them."""

import time
from collections import deque
from collections.abc import Mapping

from edge_core.preprocess import Frame
from edge_device.frames.overlay import annotated
from edge_device.frames.regions import Region
from edge_device.results import Event, FrameResult
from edge_device.sinks.sink import Sink
from edge_device.sources import SourceFrame

SHOWN_S = 4.0
"""How long an event is shown."""


class DrawingSink(Sink):
    """Puts the results of all zones of a frame together and draws them; a subclass shows the picture."""

    wants_image = True

    def __init__(self, regions: Mapping[str, Region] | None = None) -> None:
        """Names the zones.

        Args:
            regions: Regions of all zones, by name; none where the whole frame is classified.
        """
        self._regions = regions or {}
        self._results: list[FrameResult] = []
        self._events: deque[tuple[float, Event]] = deque(maxlen=3)

    def frame(self, result: FrameResult) -> None:
        if self._results and self._results[0].frame is not result.frame:  # a zone's result was dropped
            self._draw()
        self._results.append(result)
        # A frame is drawn once the results of all its zones, or subjects, have come.
        if len(self._results) >= (result.subject.of if result.subject else len(self._regions)):
            self._draw()

    def event(self, event: Event) -> None:
        self._events.append((time.monotonic(), event))

    def _draw(self) -> None:
        results, self._results = self._results, []
        since_s = time.monotonic() - SHOWN_S
        events = [event for shown_s, event in self._events if shown_s >= since_s]
        frame = results[0].frame
        self.drawn(annotated(frame.image, results, events, self._regions), frame)

    def drawn(self, picture: Frame, frame: SourceFrame) -> None:
        """Takes a picture, which is the sink's own, of a frame."""
        raise NotImplementedError
