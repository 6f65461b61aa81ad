"""What the page believes is what `edge-run live` believes of the same scores."""

import itertools
from collections.abc import Mapping
from typing import Any, Final

import pytest

from edge_core.codec import JsonObject
from edge_device.live.decisions import Decider, Exponential, Rule, Vote
from edge_device.results import Decision, Event

from .node_engine import NodeEngine
from .recorded_scores import LABELS, Step, recorded

RULES: Final[dict[str, Rule]] = {
    "as live": Rule(),
    "each frame by itself": Rule(smoothing=None),
    "quick": Rule(smoothing=Exponential(0.05), hold_s=0.0, hysteresis=0.0),
    "vote": Rule(smoothing=Vote(3, 5), hold_s=0.3),
    "long vote": Rule(smoothing=Vote(10, 17), threshold=0.4, hysteresis=0.5),
    "own thresholds": Rule(smoothing=None, thresholds={"cafe\u0301": 0.3, "dog": 0.9, "nobody": 0.1}, hold_s=0.1),
    "mostly known": Rule(smoothing=Exponential(0.3), known_share=0.5),
    "known votes": Rule(smoothing=Vote(2, 3), known_share=0.9, lost_s=1.0),
}


def in_javascript(rule: Rule) -> JsonObject:
    smoothing: Mapping[str, float] | None = None
    if isinstance(rule.smoothing, Exponential):
        smoothing = {"seconds": rule.smoothing.seconds}
    elif rule.smoothing:
        smoothing = {"needed": rule.smoothing.needed, "frames": rule.smoothing.frames}
    return {
        "smoothing": smoothing,
        "threshold": rule.threshold,
        "thresholds": dict(rule.thresholds),
        "hysteresis": rule.hysteresis,
        "holdS": rule.hold_s,
        "lostS": rule.lost_s,
        "knownShare": rule.known_share,
    }


def told(step: Step) -> JsonObject:
    scores = [str(float(one)).replace("inf", "Infinity") for one in step.scores]
    return {"do": step.action, "now": step.now_s, "scores": scores, "known": step.known, "labels": step.labels}


def by_python(decider: Decider, step: Step) -> tuple[Decision, list[Event]]:
    if step.action == "update":
        return decider.update(step.scores, step.now_s, 0.0, known=step.known)
    if step.action == "relabel":
        events = decider.relabel(step.labels, step.now_s, 0.0)
    else:
        events = (decider.lost if step.action == "lost" else decider.leave)(step.now_s, 0.0)
    return decider.decision, events


def plain(decision: Decision, events: list[Event]) -> tuple[Any, ...]:
    return (decision.label, *((one.kind, one.label) for one in events))


@pytest.mark.parametrize("name", RULES)
def test_decisions_and_events_are_those_of_the_device(engine: NodeEngine, name: str) -> None:
    labels_seen, events_seen = set(), 0
    for seed in range(4):
        steps = list(recorded(seed))
        answers = engine.ask("decide", labels=LABELS, rule=in_javascript(RULES[name]), steps=list(map(told, steps)))
        decider = Decider(LABELS, RULES[name], numbers=itertools.count(1))
        for step, answer in zip(steps, answers, strict=True):
            decision, events = by_python(decider, step)
            found, made = answer["decision"], answer["events"]
            assert (found["label"], *((one["kind"], one["label"]) for one in made)) == plain(decision, events), step
            assert found["score"] == pytest.approx(decision.score, abs=1e-9)
            assert [(one["score"], one["durationS"]) for one in made] == [
                pytest.approx((one.score, one.duration_s), abs=1e-9) for one in events
            ]
            labels_seen.add(decision.label)
            events_seen += len(events)
    assert len(labels_seen) > 2  # something happened
    assert events_seen > 10


def test_the_default_rule_is_that_of_the_device(engine: NodeEngine) -> None:
    steps = list(map(told, recorded(9)))
    assert engine.ask("decide", labels=LABELS, rule={}, steps=steps) == engine.ask(
        "decide", labels=LABELS, rule=in_javascript(Rule()), steps=steps
    )
