"""From the scores of frames to what is believed: smoothing, thresholds with hysteresis, events.

One label at most is there at a time, for a classifier's scores are of one thing. Only the best label of the smoothed
scores can enter: where it misses its own threshold, a lower one of the next best is no reason to believe in that.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_core.data.photo_folder import nfc
from edge_core.errors import SettingsError
from edge_device.inference.interpreter import Scores
from edge_device.results import Decision, Event


@dataclass(frozen=True)
class Exponential:
    """Scores are averaged, a frame's weight falling by e for every `seconds` of its age.

    By time, not by count: a camera that slows down in the dark stays as quick to believe. Seen for the first time with
    0.95, a label passes a threshold of 0.6 after `seconds`; at 30 frames a second, 0.5 s take 82 % off the noise.

    One frame alone makes no event: none weighs more than half, however long the pause before it, and nothing enters
    before frames of `seconds` were seen since the start, the source's return, or a new model.
    """

    seconds: float


@dataclass(frozen=True)
class Vote:
    """A label enters once it was the best of `needed` of the last `frames`, each time above its threshold.

    It leaves when fewer than half of `needed` are left of its votes. Its score is the mean over the frames.
    """

    needed: int
    frames: int


Smoothing = Exponential | Vote | None


@dataclass(frozen=True)
class Rule:
    """When a label is there.

    Attributes:
        smoothing: Over frames, None for each frame by itself.
        threshold: Score from which on a label enters. Above 0.5 no two labels of one softmax can both have it.
        thresholds: Threshold by label, for labels that need another one.
        hysteresis: Share of its threshold that a label's score must fall below it before the label leaves, and that
            another's must be above it to take its place: a quarter of 0.6 holds a label down to 0.45.
        hold_s: Seconds that a label stays at least, so that no input makes more than two events in that time.
        lost_s: Seconds without a source after which the label leaves; most cameras are back sooner.
        known_share: Share of the frames, smoothed as scores are, that must be known to the model for a label to be
            there. None counts a frame that is not known as one without any label.
        lasting_s: Seconds over which an exponential average may grow with the time since its first frame: what is
            followed stays what it is, so that all its frames speak for it. 0 for what may be replaced at any time.
    """

    smoothing: Smoothing = Exponential(0.5)
    threshold: float = 0.6
    thresholds: Mapping[str, float] = field(default_factory=dict)
    hysteresis: float = 0.25
    hold_s: float = 1.0
    lost_s: float = 5.0
    known_share: float | None = None
    lasting_s: float = 0.0

    def check(self, labels: Sequence[str]) -> None:
        """Checks that every threshold is of a label of the model.

        Raises:
            SettingsError: One is not.
        """
        for label in self.missing(labels):
            few = ", ".join(labels[:12]) + (", ..." if len(labels) > 12 else "")
            raise SettingsError(f"there is a threshold for {label!r}, but the model's labels are {few}")

    def missing(self, labels: Sequence[str]) -> list[str]:
        """The labels that have a threshold of their own and are not among `labels`."""
        composed = {nfc(label) for label in labels}
        return [label for label in self.thresholds if nfc(label) not in composed]


def parse_thresholds(texts: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    """Takes `["0.6", "cat=0.8"]` to the threshold of all labels, None if not given, and those by label.

    Raises:
        SettingsError: No number from 0 to 1, or two for the same.
    """
    default: float | None = None
    by_label: dict[str, float] = {}
    for text in texts:
        label, _, number = nfc(text).rpartition("=")  # a label may have a = in it
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1 or ("=" in text and not label):
            raise SettingsError(f"a threshold is a number from 0 to 1, or LABEL=NUMBER, not {text!r}")
        if label in by_label or (not label and default is not None):
            raise SettingsError(f"two thresholds are given for {label or 'all labels'}")
        if label:
            by_label[label] = value
        else:
            default = value
    return default, by_label


def parse_smoothing(text: str) -> Smoothing:
    """Takes `0.5s` to a time constant, `3/5` to a vote of three in five frames, `none` to None.

    Raises:
        SettingsError: It is none of these, or out of range: 0.01 to 3600 seconds, 1 to 1000 frames.
    """
    if text == "none":
        return None
    if (by_time := re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", text, re.ASCII)) and 0.01 <= float(by_time[1]) <= 3600:
        return Exponential(float(by_time[1]))
    if by_vote := re.fullmatch(r"(\d{1,4})/(\d{1,4})", text, re.ASCII):
        needed, frames = int(by_vote[1]), int(by_vote[2])
        if 1 <= needed <= frames <= 1000:
            return Vote(needed, frames)
    raise SettingsError(f"smoothing is a time (0.5s), a vote of frames (3/5) or none, not {text!r}")


class Decider:
    """What is believed of one zone.

        decider = Decider(card.labels, Rule(), numbers=itertools.count(1))
        decision, events = decider.update(scores, time.monotonic(), time.time())

    Times are in seconds: `now_s` by `time.monotonic`, at any intervals, and `wall_s` since the epoch, for the events.
    """

    def __init__(self, labels: Sequence[str], rule: Rule, zone: str = "", *, numbers: Iterator[int]) -> None:
        """Begins with no label.

        Args:
            labels: Labels of the model, in the order of its scores.
            rule: Its thresholds of labels that the model lacks have no effect.
            zone: Name, for events.
            numbers: Numbers of events, shared by all zones.
        """
        self._rule = rule
        self._zone = zone
        self._numbers = numbers
        self._current: int | None = None
        # Both are of the label that is there.
        self._entered_s: float
        self._peak: float
        self._began_s: float | None = None
        self._updated_s: float | None = None
        self._lost_since: float | None = None
        self._begin(tuple(labels))

    def update(
        self, scores: Scores, now_s: float, wall_s: float, *, known: bool = True
    ) -> tuple[Decision, list[Event]]:
        """Takes a frame's scores in.

        Args:
            scores: float32, shape (labels,), 0..1. A frame with a NaN or infinity among them counts as not seen.
            now_s, wall_s: When the frame was there.
            known: Whether the frame is of the kind that the model was trained on; one that is not speaks for no label,
                whatever its scores are.

        Returns:
            What is believed now, and the events that this made, in order.
        """
        self._lost_since = None
        # Finite only if every score is: one product in place of an array of truth values.
        if math.isfinite(scores.dot(scores)):
            weight = self._smooth(
                scores if known or self._rule.known_share is not None else np.zeros_like(scores), now_s
            )
            self._known += weight * (known - self._known)
        if self._updated_s is None:
            return Decision(None, 0.0), []
        best = int(self._smoothed.argmax())
        score = float(self._smoothed[best])
        current = self._current
        events: list[Event] = []
        if current is not None:
            held = float(self._smoothed[current])
            self._peak = max(self._peak, held)
            # Twice hysteresis: against its own threshold, and against the best other label.
            stays = self._keeps(current) and held >= self._rest * score
            if stays or now_s - self._entered_s < self._rule.hold_s:
                return Decision(self.labels[current], held), events
            events += self.leave(now_s, wall_s)
        if self._passes(best):
            self._current, self._entered_s, self._peak = best, now_s, score
            events.append(Event("entered", self.labels[best], self._zone, wall_s, score, 0.0, next(self._numbers)))
            return Decision(self.labels[best], score), events
        return Decision(None, score), events

    @property
    def decision(self) -> Decision:
        """What was believed last."""
        if self._current is None:
            return Decision(None, float(self._smoothed.max()) if self._updated_s is not None else 0.0)
        return Decision(self.labels[self._current], float(self._smoothed[self._current]))

    def lost(self, now_s: float, wall_s: float) -> list[Event]:
        """To be called now and then while the source is away: after `lost_s` of that, the label leaves."""
        if self._lost_since is None:
            self._lost_since = now_s
        if now_s - self._lost_since < self._rule.lost_s:
            return []
        events = self.leave(now_s, wall_s)
        self._begin(self.labels)
        return events

    def leave(self, now_s: float, wall_s: float) -> list[Event]:
        """Makes the label leave that is there, if any; at the end of a run, say."""
        if self._current is None:
            return []
        label, self._current = self.labels[self._current], None
        duration_s = max(0.0, now_s - self._entered_s)
        return [Event("left", label, self._zone, wall_s, self._peak, duration_s, next(self._numbers))]

    def relabel(self, labels: Sequence[str], now_s: float, wall_s: float) -> list[Event]:
        """To be called when the model was replaced: unless its labels are the same, what was there leaves."""
        if tuple(labels) == self.labels:
            return []
        events = self.leave(now_s, wall_s)
        self._begin(tuple(labels))
        return events

    def _begin(self, labels: tuple[str, ...]) -> None:
        rule = self._rule
        self.labels = labels
        self._rest = 1 - rule.hysteresis
        thresholds = {nfc(label): value for label, value in rule.thresholds.items()}
        self._enter = [thresholds.get(nfc(label), rule.threshold) for label in labels]
        self._smoothed = np.zeros(len(labels), np.float64)  # a float32 sum of a vote's frames would drift over months
        self._change = np.zeros(len(labels), np.float64)
        self._known = 0.0
        self._current = self._began_s = self._updated_s = self._lost_since = None
        if isinstance(rule.smoothing, Vote):
            self._latest = np.zeros((rule.smoothing.frames, len(labels)))  # float64, or NumPy subtracts in float32
            self._votes: list[int | None] = [None] * rule.smoothing.frames
            self._count = 0

    def _smooth(self, scores: Scores, now_s: float) -> float:
        """Takes the scores of a frame in; the weight that they have."""
        weight = 1.0
        smoothing, smoothed, change = self._rule.smoothing, self._smoothed, self._change
        if isinstance(smoothing, Vote):
            place = self._count % smoothing.frames
            self._count += 1
            # The mean of a window that slides: once it is full, the new frame takes the place of the oldest one.
            np.subtract(scores, smoothed if self._count <= smoothing.frames else self._latest[place], out=change)
            weight = 1 / min(self._count, smoothing.frames)
            np.multiply(change, weight, out=change)
            smoothed += change
            self._latest[place] = scores
            self._votes[place] = self._vote(scores)
        elif smoothing is None or self._updated_s is None:
            smoothed[:] = scores
        else:
            # 1 - exp(-ln 2) = 1/2: no frame weighs more than half, however long nothing came before it.
            passed_s = min(max(0.0, now_s - self._updated_s), math.log(2) * smoothing.seconds)
            weight = -math.expm1(-passed_s / max(smoothing.seconds, min(self._seen_s(), self._rule.lasting_s)))
            np.subtract(scores, smoothed, out=change)
            np.multiply(change, weight, out=change)
            smoothed += change
        if self._began_s is None:
            self._began_s = now_s
        self._updated_s = now_s
        return weight

    def _vote(self, scores: Scores) -> int | None:
        """The best label of a frame by itself, None if it is not good enough."""
        best = int(scores.argmax())
        # A label that is there keeps its votes down to the lower threshold.
        needed = self._enter[best] * (self._rest if best == self._current else 1)
        return best if scores[best] >= needed else None

    def _passes(self, label: int) -> bool:
        smoothing = self._rule.smoothing
        if self._known < (self._rule.known_share or 0.0):
            return False
        if isinstance(smoothing, Vote):
            return self._votes.count(label) >= smoothing.needed
        if isinstance(smoothing, Exponential) and self._seen_s() < smoothing.seconds:
            return False
        return bool(self._smoothed[label] >= self._enter[label])

    def _seen_s(self) -> float:
        """Seconds of frames that the average is of; a clock's rounding is no reason to wait for one more frame."""
        if self._began_s is None or self._updated_s is None:
            return 0.0
        return self._updated_s - self._began_s + 1e-6

    def _keeps(self, label: int) -> bool:
        if self._known < self._rest * (self._rule.known_share or 0.0):
            return False
        if isinstance(self._rule.smoothing, Vote):
            return 2 * self._votes.count(label) >= self._rule.smoothing.needed
        return bool(self._smoothed[label] >= self._rest * self._enter[label])
