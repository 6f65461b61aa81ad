"""What is believed of each part of a frame: of each zone, or of each subject that a focus follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from edge_device.frames.focus import FocusSubject
from edge_device.frames.regions import Region
from edge_device.inference.interpreter import Scores
from edge_device.live.decisions import Decider, Rule
from edge_device.results import Box, Decision, Event, Followed

KNOWN_SHARE: Final = 0.2
"""Share of a subject's frames that must be known to the model, for a cut that is a little off is foreign now and then.
Of 110 held-out flowers in eight cuts each, 76 % reach a share of 0.5, 86 % one of 0.25 and 87 % one of 0.1; of 80
things that are no flowers 4, 4 and 5 %. Whole, 90 and 9 % of these photos are known."""

LASTING_S: Final = 5.0
"""Time over which a subject's scores are averaged at most."""


@dataclass(frozen=True)
class Part:
    """A part of a frame that is classified by itself.

    Attributes:
        zone: Name of the zone that it is, or lies in.
        region: Part of the frame that the model is given.
        subject: The subject that it shows; None where the zone itself is classified.
        tried: Whether it is only tried: nothing is decided of it.
        seen: Whether it is there to classify; a subject that is only expected there is not, and keeps its label.
    """

    zone: str
    region: Region
    subject: Followed | None = None
    tried: bool = False
    seen: bool = True


def parts_of(subjects: Sequence[FocusSubject], regions: Mapping[str, Region]) -> list[Part]:
    """The parts of a frame that a focus has found, each in the first zone that holds its middle.

    Args:
        subjects: What the focus has found; one in no zone is left out.
        regions: The zones by name, one empty name where there is but one part to look at.
    """
    found = [(zone, one) for one in subjects if one.track and (zone := _zone_of(one.box, regions)) is not None]
    ranks: dict[str, int] = {}
    parts = []
    for zone, one in found:
        rank = ranks[zone] = ranks.get(zone, -1) + 1
        followed = Followed(one.track, _box(one.box), _box(one.view), rank, len(found))
        parts.append(Part(zone, one.view, followed, seen=one.seen))
    return parts + [Part("", one.view, tried=True) for one in subjects if not one.track]


class Deciders:
    """A `Decider` for each part of the frame; subjects get theirs when they come, and lose it when they go."""

    def __init__(self, labels: Sequence[str], rule: Rule | None) -> None:
        """Knows of no part.

        Args:
            labels: Labels of the model, in the order of its scores.
            rule: How labels become decisions; None: they do not.
        """
        self._labels, self._rule = tuple(labels), rule
        # One counter for all parts, so that a receiver sees by a gap that it has missed an event.
        self._numbers = count(1)
        self._of_zones: dict[str, Decider] = {}
        self._of_tracks: dict[int, Decider] = {}
        self._boxes: dict[int, Box] = {}

    def update(
        self, part: Part, scores: Scores, now_s: float, wall_s: float, *, known: bool
    ) -> tuple[Decision | None, list[Event]]:
        """Takes the scores of a part in; see `Decider.update`. There is no decision without a rule."""
        if self._rule is None:
            return None, []
        decider = self._decider(part, self._rule)
        decision, events = decider.update(scores, now_s, wall_s, known=known)
        if part.subject is None:
            return decision, events
        return decision, [replace(one, track=part.subject.track, box=part.subject.box) for one in events]

    def held(self, part: Part) -> Decision | None:
        """What is believed of a part whose scores are not taken in."""
        return self._decider(part, self._rule).decision if self._rule else None

    def rest(self, now_s: float, wall_s: float) -> list[Event]:
        """Makes all labels leave, and forgets what was seen: the camera shows nothing for now."""
        events = self.leave(now_s, wall_s)
        self._of_zones.clear()
        return events

    def gone(self, parts: Sequence[Part], now_s: float, wall_s: float) -> list[Event]:
        """Makes the labels of subjects leave that are not among the parts of a frame."""
        # A subject that is expected but not seen is a part, too, and keeps its label.
        here = {part.subject.track for part in parts if part.subject}
        return [
            event for track in list(self._of_tracks) if track not in here for event in self._end(track, now_s, wall_s)
        ]

    def leave(self, now_s: float, wall_s: float) -> list[Event]:
        """Makes all labels leave."""
        events = [event for decider in self._of_zones.values() for event in decider.leave(now_s, wall_s)]
        return events + self.gone((), now_s, wall_s)

    def lost(self, now_s: float, wall_s: float) -> list[Event]:
        """To be called now and then while the source is away; see `Decider.lost`."""
        events = [event for decider in self._of_zones.values() for event in decider.lost(now_s, wall_s)]
        for track, decider in self._of_tracks.items():
            events += self._placed(track, decider.lost(now_s, wall_s))
        return events

    def relabel(self, labels: Sequence[str], now_s: float, wall_s: float) -> list[Event]:
        """To be called when the model was replaced; see `Decider.relabel`."""
        self._labels = tuple(labels)
        events = [event for one in self._of_zones.values() for event in one.relabel(labels, now_s, wall_s)]
        for track, decider in self._of_tracks.items():
            events += self._placed(track, decider.relabel(labels, now_s, wall_s))
        return events

    def _decider(self, part: Part, rule: Rule) -> Decider:
        if part.subject is None:
            if part.zone not in self._of_zones:
                self._of_zones[part.zone] = Decider(self._labels, rule, part.zone, numbers=self._numbers)
            return self._of_zones[part.zone]
        track = part.subject.track
        self._boxes[track] = part.subject.box
        if track not in self._of_tracks:
            # A subject stays what it is, so that all of its frames speak for its label; what a zone shows may change.
            of_track = replace(rule, known_share=KNOWN_SHARE, lasting_s=LASTING_S)
            self._of_tracks[track] = Decider(self._labels, of_track, part.zone, numbers=self._numbers)
        return self._of_tracks[track]

    def _end(self, track: int, now_s: float, wall_s: float) -> list[Event]:
        events = self._placed(track, self._of_tracks.pop(track).leave(now_s, wall_s))
        del self._boxes[track]
        return events

    def _placed(self, track: int, events: Sequence[Event]) -> list[Event]:
        return [replace(one, track=track, box=self._boxes[track]) for one in events]


def _zone_of(box: Region, regions: Mapping[str, Region]) -> str | None:
    x, y = box.x + box.width / 2, box.y + box.height / 2
    holding = (
        name for name, one in regions.items() if one.x <= x <= one.x + one.width and one.y <= y <= one.y + one.height
    )
    return next(holding, None)


def _box(region: Region) -> Box:
    return region.x, region.y, region.width, region.height
