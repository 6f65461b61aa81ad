"""What the live page knows, and the JSON that it is told in. Written by a sink's thread, read by the server's."""

import json
import math
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from edge_core.codec import JsonObject
from edge_device.frames.view_state import TOLD
from edge_device.notices import Notice
from edge_device.results import Box, Event, FrameResult, Status

REMEMBERED: Final = 50
"""Events, and notices, that a page is told of."""

HISTORY_S: Final = 120.0
"""Of scores, for a page that was just opened."""

_SAMPLE_S: Final = 0.5
"""Between two scores of the history."""

_STILL_S: Final = 12.0
"""Statistics come every 5 s: unless two of them failed to come, "nothing moves" is still true."""

_PATIENCE_S: Final = (3.0, 120.0)
"""Without a frame for so long, at least and at most, it is late; between them it is thrice the longest wait so far."""

State = Literal[
    "starting", "live", "still", "late", "lost", "frozen", "ended", "dark", "overexposed", "covered", "blurred", "moved"
]


@dataclass(frozen=True)
class Health:
    """Whether frames are classified.

    Attributes:
        ok: What a monitor should make of it: true until nothing was classified for `Feed.health_s`.
        state: "starting" before the first frame, "live", "still" (nothing moves, so nothing is classified), "late" (no
            frames, for no known reason), "lost" (the source is, and is being reopened), "frozen" (the source sends one
            and the same picture), "ended", or why the picture shows nothing: "dark", "overexposed", "covered",
            "blurred", "moved".
        reason: One line; empty if "live".
    """

    ok: bool
    state: State
    reason: str = ""


class Feed:
    """The latest of everything.

    Times are by `time.monotonic`, and are given, not taken.

    Attributes:
        health_s: Without a frame for so long, it is no longer well.
        boxes: Boxes of the zones, by name.
    """

    def __init__(self, boxes: Mapping[str, Box] = {}, health_s: float = 10.0) -> None:
        self.boxes, self.health_s = dict(boxes), health_s
        self._lock = threading.Lock()
        self._results: dict[tuple[str, int | None], tuple[float, JsonObject]] = {}
        self._history: dict[str, deque[tuple[float, dict[str, float]]]] = {}
        self._events: deque[JsonObject] = deque(maxlen=REMEMBERED)
        self._notices: deque[JsonObject] = deque(maxlen=REMEMBERED)
        self._status: tuple[float, Status] | None = None
        self._model: dict[str, str] = {}
        self._frame: tuple[int, float] | None = None
        self._latest: set[tuple[str, int | None]] = set()
        self._frame_s: float | None = None
        self._waits: deque[float] = deque(maxlen=5)
        self._still_s = -math.inf
        self._version = 0
        self._kept: JsonObject | None = None

    def set_model(self, rows: Mapping[str, str]) -> None:
        """Another model: its rows, and no scores of the one before."""
        with self._lock:
            self._model = dict(rows)
            self._results.clear()
            self._history.clear()
            self._version += 1

    def add_result(self, result: FrameResult, now_s: float) -> None:
        fields = result.to_json() | {"age_ms": round(result.age_ms, 3)}
        with self._lock:
            this = (result.frame.index, result.frame.taken_s)  # every zone comes with the same frame
            if this != self._frame:
                if self._frame_s is not None:
                    self._waits.append(now_s - self._frame_s)
                self._frame, self._frame_s = this, now_s
                self._begin_frame(is_followed=result.subject is not None)
            shown = (result.zone, result.subject.track if result.subject else None)
            self._latest.add(shown)
            self._results[shown] = (now_s, fields)
            if result.subject and result.subject.rank:
                return  # a zone's history is that of the subject it has followed for longest
            history = self._history.setdefault(result.zone, deque(maxlen=round(HISTORY_S / _SAMPLE_S)))
            if not history or now_s - history[-1][0] >= _SAMPLE_S:
                history.append((now_s, {best.label: round(best.score, 4) for best in result.top}))

    def _begin_frame(self, is_followed: bool) -> None:
        """Lets go of subjects that are no longer there.

        A frame's results come one by one, with the making of its picture in between: until the frame after it, the
        subjects of the one before are kept, or all but the first would come and go on a slow board.
        """
        followed = {shown for shown in self._results if shown[1] is not None}
        if is_followed:
            self._results = {shown: self._results[shown] for shown in self._results if shown in followed & self._latest}
        elif followed:
            self._results.clear()
        self._latest = set()

    def add_event(self, event: Event) -> None:
        with self._lock:
            self._events.append(event.to_json())
            self._version += 1

    def add_notice(self, notice: Notice) -> None:
        with self._lock:
            self._notices.append(notice.to_json())
            self._version += 1

    def set_status(self, status: Status, now_s: float) -> None:
        with self._lock:
            if self._status and status.frames_still > self._status[1].frames_still:
                self._still_s = now_s
            self._status = (now_s, status)
            self._version += 1

    def set_kept(self, told: JsonObject) -> None:
        """What the page is told of pictures that a person keeps."""
        with self._lock:
            self._kept = told
            self._version += 1

    @property
    def version(self) -> int:
        """Grows with whatever `state` tells."""
        return self._version

    @property
    def frame_s(self) -> float | None:
        """When a frame was classified last."""
        return self._frame_s

    def health(self, now_s: float) -> Health:
        with self._lock:
            return self._health(now_s)

    def _health(self, now_s: float) -> Health:
        age_s = None if self._frame_s is None else now_s - self._frame_s
        status = self._status[1] if self._status else None
        if status and (trouble := _trouble(status)):
            return trouble
        if age_s is not None and age_s <= self._patience_s():
            return Health(True, "live")
        if now_s - self._still_s <= _STILL_S:
            return Health(True, "still", "nothing moves")
        return self._late(status, age_s)

    def _late(self, status: Status | None, age_s: float | None) -> Health:
        """What it means that no frame came for longer than usual; well for as long as a camera may be away."""
        since = "no frame was classified yet" if age_s is None else f"no frame was classified for {age_s:.0f} s"
        well = age_s is not None and age_s <= self.health_s
        if status and status.source_state == "waiting":
            return Health(well, "lost", f"{status.source} is lost and being reopened; {since}")
        return Health(well, "starting" if age_s is None else "late", since)

    def _patience_s(self) -> float:
        """How long a frame may be waited for: thrice the longest wait of late, within bounds."""
        least_s, most_s = _PATIENCE_S
        return min(max(least_s, 3 * max(self._waits, default=0)), most_s)

    def results(self, now_s: float) -> JsonObject:
        """What changes with every frame: health, and the latest result of each zone with its age."""
        with self._lock:
            health = self._health(now_s)
            # Each subject keeps its place, whichever of a frame's results came first.
            told = sorted(self._results.items(), key=lambda one: one[0][1] or 0)
            latest = [fields | {"age_s": _ago(now_s, then_s)} for _, (then_s, fields) in told]
            frame_age_s = None if self._frame_s is None else _ago(now_s, self._frame_s)
        return {
            "health": {"ok": health.ok, "state": health.state, "reason": health.reason},
            "frame_age_s": frame_age_s,
            "results": latest,
        }

    def state(self, now_s: float) -> JsonObject:
        """What changes now and then: statistics, events and notices (oldest first), zones, model card."""
        with self._lock:
            status, events, notices, model = self._status, list(self._events), list(self._notices), self._model
        return {
            "status": status[1].to_json() if status else None,
            "status_age_s": _ago(now_s, status[0]) if status else None,
            "events": events,
            "notices": notices,
            "zones": self.boxes,
            "model": model,
            "kept": self._kept,
        }

    def history(self, now_s: float) -> dict[str, list[tuple[float, dict[str, float]]]]:
        """Scores of each zone, oldest first, each with its age in seconds."""
        with self._lock:
            return {
                zone: [(_ago(now_s, then_s), scores) for then_s, scores in samples if now_s - then_s <= HISTORY_S]
                for zone, samples in self._history.items()
            }


def to_json(value: Any) -> bytes:
    """JSON as browsers read it: what is no number is null, and a name that is no text is escaped."""
    return json.dumps(_finite(value), separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def _ago(now_s: float, then_s: float) -> float:
    return round(now_s - then_s, 3)


def _trouble(status: Status) -> Health | None:
    """What is wrong with a source that may well give frames; None if nothing is."""
    if status.source_state == "ended":
        return Health(False, "ended", f"{status.source} has ended")
    if status.source_state == "frozen":
        return Health(False, "frozen", f"{status.source} sends one and the same picture: it is frozen")
    if status.view != "clear" and status.source_state == "open":
        return Health(False, status.view, f"{status.source}: {TOLD[status.view]}")
    return None
