"""What comes out of the loop: results of frames, events, notices and statistics. Values alone; sinks render them."""

from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from edge_core.codec import JsonObject
from edge_device.sources import SourceFrame

UNKNOWN: Final = "unknown"
"""Shown to people where no label reached its threshold; in JSON the label is null there."""


View = Literal["clear", "dark", "overexposed", "covered", "blurred", "moved"]
"""What a camera's picture shows: something, or why not; `edge_device.frames.view_state` says when which holds."""

NOTHING_TO_SEE: Final = "nothing to see"
"""Shown to people where a focus finds nothing to classify."""

Box = tuple[float, float, float, float]
"""Left, top, width and height of a part of a frame, 0..1 of the frame's width and height."""


@dataclass(frozen=True)
class Followed:
    """A subject that a focus follows.

    Attributes:
        track: Number of the subject; it keeps the number from frame to frame.
        box: Part of the frame that the subject fills.
        view: Part of the frame that was classified, a square around the box.
        rank: Place among the subjects of its zone, from 0 on, by how long they have been followed.
        of: Number of subjects in the frame.
    """

    track: int
    box: Box
    view: Box
    rank: int = 0
    of: int = 1


def box_to_json(box: Box) -> list[float]:
    """A box as JSON has it: `[x, y, width, height]`."""
    return [round(part, 4) for part in box]


def camera_to_json(camera: str) -> JsonObject:
    """The field that names a camera of several; none of one without a name."""
    return {"camera": camera} if camera else {}


@dataclass(frozen=True)
class Prediction:
    """A label and the model's score for it, 0..1."""

    label: str
    score: float


@dataclass(frozen=True)
class Latency:
    """What a frame took, in milliseconds.

    Attributes:
        capture_ms: Waiting for it, reading and decoding.
        preprocess_ms, invoke_ms: Milliseconds for all zones together.
        total_ms: Milliseconds from end to end, capture included; what ran at the same time as another frame's
            counts, too.
    """

    capture_ms: float
    preprocess_ms: float
    invoke_ms: float
    total_ms: float


@dataclass(frozen=True)
class Decision:
    """What is believed of a zone, over several frames.

    Attributes:
        label: The label that is there; None if no label has reached its threshold.
        score: Its smoothed score, 0..1; the highest smoothed score if `label` is None.
    """

    label: str | None
    score: float


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What a zone of a frame gave.

    Attributes:
        frame: The frame, whole and as the source gave it.
        top: Best labels of this frame alone, best first.
        latency: Time that the frame took.
        zone: Name of the zone, empty for the whole frame.
        decision: What is believed, where there is smoothing or a threshold.
        age_ms: Milliseconds between the capture of the frame and its result.
        familiarity: P-value, 0..1, that the zone shows what the model was trained on; None of a model that cannot tell.
        known: Whether that is enough; None of a model that cannot tell.
        subject: The subject that was classified, where there is a focus. Without one, and with no label in `top`, the
            focus has found nothing to classify.
        view: What the picture of a camera shows; while it is not "clear", nothing is decided.
        camera: Name of the camera; empty where a process reads but one that has no name.
    """

    frame: SourceFrame
    top: tuple[Prediction, ...]
    latency: Latency
    zone: str = ""
    decision: Decision | None = None
    age_ms: float = 0.0
    familiarity: float | None = None
    known: bool | None = None
    subject: Followed | None = None
    view: View = "clear"
    camera: str = ""

    def to_json(self) -> JsonObject:
        """The object that `--json` prints for a frame."""
        fields: JsonObject = {
            "source": self.frame.source,
            **camera_to_json(self.camera),
            "frame": self.frame.index,
            "time_s": round(self.frame.time_s, 6),
        }
        if self.zone:
            fields["zone"] = self.zone
        if self.subject:
            fields |= {"track": self.subject.track, "box": box_to_json(self.subject.box)}
        fields["top"] = [{"label": best.label, "score": round(best.score, 6)} for best in self.top]
        if self.view != "clear":
            fields["view"] = self.view
        if self.familiarity is not None:
            fields |= {"familiarity": round(self.familiarity, 6), "known": self.known}
        if self.decision:
            fields["decision"] = {"label": self.decision.label, "score": round(self.decision.score, 6)}
        took = self.latency
        fields["latency_ms"] = {
            "capture": round(took.capture_ms, 3),
            "preprocess": round(took.preprocess_ms, 3),
            "invoke": round(took.invoke_ms, 3),
            "total": round(took.total_ms, 3),
        }
        return fields


@dataclass(frozen=True)
class Event:
    """A label came into a zone or went out of it.

    Attributes:
        kind: Which of both.
        label: Label of the model.
        zone: Name of the zone, empty for the whole frame.
        time: Seconds since the epoch, by the wall clock, which may jump.
        score: Smoothed, 0..1, when it entered; the highest that it had meanwhile, when it left.
        duration_s: Seconds between entering and leaving, by a clock that does not jump; 0 when it enters.
        number: Consecutive over all zones from 1 on, so that a receiver sees what it missed.
        track: Number of the subject that it is about, where there is a focus.
        box: Part of the frame that the subject filled then.
        camera: Name of the camera; empty where a process reads but one that has no name.
    """

    kind: Literal["entered", "left"]
    label: str
    zone: str
    time: float
    score: float
    duration_s: float
    number: int
    track: int | None = None
    box: Box | None = None
    camera: str = ""

    def to_json(self) -> JsonObject:
        fields = asdict(self) | {"time": round(self.time, 3), "score": round(self.score, 6)}
        fields |= {"duration_s": round(self.duration_s, 3), "box": box_to_json(self.box) if self.box else None}
        fields["camera"] = self.camera or None
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class SinkCounts:
    """How a sink fares: frames and events that it took, that were dropped, and attempts that failed.

    Attributes:
        frames, events: Handed over and accepted.
        frames_dropped, events_lost: Never handed over, because the sink was too slow or down for too long.
        failures: Attempts that raised an error.
        error: The latest of them, one line; empty once something was accepted again.
    """

    frames: int = 0
    events: int = 0
    frames_dropped: int = 0
    events_lost: int = 0
    failures: int = 0
    error: str = ""


@dataclass(frozen=True)
class UpdateStatus:
    """How model updates stand.

    Attributes:
        phase: "idle", "shadow" (a candidate runs beside the model), "trial" (a new model has taken over and may be
            taken back) or "pinned" (a person has stopped updates).
        told: Latest thing that happened, for people.
        refused: Number of models that are not tried again.
    """

    phase: Literal["idle", "shadow", "trial", "pinned"]
    told: str
    refused: int


@dataclass(frozen=True)
class Status:
    """How the loop fares; every few seconds, and at the end.

    Attributes:
        time: Seconds since the epoch; `uptime_s` by a clock that does not jump.
        frames: Classified. `frames_dropped`: superseded by a newer one before they were looked at. `frames_still`: not
            classified because nothing moved. `frames_unreadable`: could not be decoded.
            `frames_cut`: JPEGs that lacked their end, and were decoded as far as they go.
        fps: Frames classified a second, lately.
        latency: Medians, lately. `age_p95_ms`: 95 % of the results were there that soon after the frame.
        source, source_mode: What was asked for, and what was granted ("1280x720 MJPG 30 fps").
        source_state: "open", "waiting" (lost, being reopened), "frozen" (it sends one and the same picture) or "ended".
        source_losses: How often it was lost.
        model, model_sha256: File name and digest of the model in use; `model_swaps`: how often it was replaced.
        runtime: Name and version of the interpreter; `device`: "cpu", or "coral usb:0"; `threads`: of an inference.
        fallback: Why the CPU stands in for the accelerator that was asked for; empty if it does not.
        temperature_c: Temperature of the processor; None where it cannot be read. `throttled`: what holds the
            processor back now.
        memory_mb: Resident memory of the process.
        sinks: State of each sink by its name.
        update: How model updates stand; None where none are asked for.
        view: What the picture of a camera shows: "clear", or why it shows nothing.
        camera: Name of the camera; empty where a process reads but one that has no name.
    """

    time: float
    uptime_s: float
    frames: int
    frames_dropped: int
    frames_still: int
    fps: float
    latency: Latency
    age_p95_ms: float
    source: str
    source_mode: str
    source_state: Literal["open", "waiting", "frozen", "ended"]
    source_losses: int
    model: str
    model_sha256: str
    model_swaps: int
    runtime: str
    device: str
    threads: int
    frames_unreadable: int = 0
    frames_cut: int = 0
    fallback: str = ""
    temperature_c: float | None = None
    throttled: tuple[str, ...] = ()
    memory_mb: float = 0.0
    sinks: dict[str, SinkCounts] = field(default_factory=dict)
    update: UpdateStatus | None = None
    view: View = "clear"
    camera: str = ""

    def to_json(self) -> JsonObject:
        fields = asdict(self)
        del fields["camera"]
        return camera_to_json(self.camera) | fields
