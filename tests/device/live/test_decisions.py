import unicodedata
from itertools import count
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.errors import SettingsError
from edge_device.live.decisions import Decider, Exponential, Rule, Vote, parse_smoothing, parse_thresholds
from edge_device.results import Event

LABELS = ("cat", "dog", "bird")
WALL = 1_700_000_000.0
RULES = [
    Rule(),
    Rule(None),
    Rule(None, hold_s=0.0),
    Rule(Vote(3, 5)),
    Rule(Vote(1, 4), threshold=0.2, hysteresis=0.0),
    Rule(Exponential(2.0), thresholds={"dog": 0.1}, hysteresis=0.5),
    Rule(threshold=0.0),
]


def decider(rule: Rule, zone: str = "") -> Decider:
    return Decider(LABELS, rule, zone, numbers=count(1))


def scores(cat: float, dog: float = 0.0) -> np.ndarray:
    return np.array([cat, dog, max(0.0, 1 - cat - dog)], np.float32)


def shown(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.kind, event.label) for event in events]


def feed(it: Decider, frames: list[np.ndarray], start_s: float = 0.0, step_s: float = 0.1) -> list[Event]:
    return [
        event
        for number, frame in enumerate(frames)
        for event in it.update(frame, start_s + number * step_s, WALL + number * step_s)[1]
    ]


def test_a_label_enters_at_its_threshold_and_leaves_below_the_hysteresis() -> None:
    it = decider(Rule(None, threshold=0.6, thresholds={"dog": 0.8}, hysteresis=0.25, hold_s=0))
    assert it.update(scores(0.59), 0, WALL) == (it.update(scores(0.59), 0.1, WALL)[0], [])
    decision, events = it.update(scores(0.61), 1, WALL)
    assert decision.label == "cat"
    assert decision.score == pytest.approx(0.61)
    assert events == [Event("entered", "cat", "", WALL, decision.score, 0.0, 1)]
    assert it.update(scores(0.9), 2, WALL)[1] == []
    assert it.update(scores(0.46), 3, WALL)[0].label == "cat"
    decision, (left,) = it.update(scores(0.44, 0.5), 4.5, WALL + 3.5)
    assert decision.label is None
    assert (left.kind, left.label, left.duration_s, left.number) == ("left", "cat", 3.5, 2)
    assert left.score == pytest.approx(0.9)  # the highest meanwhile
    assert it.update(scores(0.1, 0.79), 5, WALL)[0].label is None
    assert it.update(scores(0.1, 0.81), 6, WALL)[0].label == "dog"


def test_the_rule_that_is_used_unless_told_otherwise() -> None:
    assert Rule() == Rule(Exponential(0.5), threshold=0.6, thresholds={}, hysteresis=0.25, hold_s=1.0, lost_s=5.0)
    assert (Rule().known_share, Rule().lasting_s) == (None, 0.0)


def test_a_label_enters_at_its_threshold_itself_and_stays_at_the_end_of_its_hysteresis() -> None:
    it = decider(Rule(None, threshold=0.5, hysteresis=0.5, hold_s=0))
    assert shown(feed(it, [scores(0.5, 0.25)])) == [("entered", "cat")]
    assert feed(it, [scores(0.25, 0.25)], 1) == []  # half of its threshold, and half of the best at least
    assert shown(feed(it, [scores(0.2499, 0.25)], 2)) == [("left", "cat"), ("entered", "bird")]
    assert shown(feed(decider(Rule(None, threshold=0.5)), [scores(0.4999)])) == [("entered", "bird")]


def test_another_label_takes_over_only_once_it_is_better_by_the_hysteresis() -> None:
    it = decider(Rule(None, threshold=0.2, hysteresis=0.5, hold_s=0))
    feed(it, [scores(0.25, 0.1)])
    it = decider(Rule(None, threshold=0.2, hysteresis=0.5, hold_s=0))
    feed(it, [scores(0.5, 0.4)])
    assert feed(it, [scores(0.25, 0.5)], 1) == []
    assert shown(feed(it, [scores(0.2499, 0.5)], 2)) == [("left", "cat"), ("entered", "dog")]


def test_a_decision_gives_the_smoothed_score_of_the_label_that_is_there() -> None:
    it = decider(Rule(None, threshold=0.3, hysteresis=0.5, hold_s=0))
    feed(it, [scores(0.5, 0.4)])
    decision, _ = it.update(scores(0.4, 0.5), 1, WALL)
    assert decision.label == "cat" and decision.score == pytest.approx(0.4)
    decision, _ = decider(Rule(None)).update(scores(0.3, 0.45), 0, WALL)
    assert decision.label is None and decision.score == pytest.approx(0.45)


def test_a_label_that_left_for_another_was_there_as_long_as_it_was() -> None:
    it = decider(Rule(None, hold_s=0))
    entered = it.update(scores(0.9), 10.0, WALL)[1]
    left, entered_2 = it.update(scores(0.0, 0.8), 12.5, WALL + 9)[1]
    assert (entered[0].number, left.number, entered_2.number) == (1, 2, 3)
    assert (left.duration_s, left.time) == (2.5, WALL + 9) and left.score == pytest.approx(0.9)
    assert entered_2.duration_s == 0.0 and entered_2.score == pytest.approx(0.8)
    (left,) = it.leave(11.0, WALL)  # a clock that ran back
    assert (left.label, left.duration_s) == ("dog", 0.0) and left.score == pytest.approx(0.8)


def test_the_highest_score_is_that_of_the_label_that_was_there_alone() -> None:
    it = decider(Rule(None, hold_s=0))
    feed(it, [scores(0.99)])
    assert [event.score for event in feed(it, [scores(0.0, 0.7), scores(0.0, 0.65)], 1)] == pytest.approx([0.99, 0.7])
    (left,) = it.leave(5, WALL)
    assert left.score == pytest.approx(0.7)


def test_a_source_that_is_back_in_time_starts_the_wait_anew() -> None:
    it = decider(Rule(None, lost_s=5))
    feed(it, [scores(0.9)])
    assert it.lost(1.0, WALL) == it.lost(5.999, WALL) == []
    it.update(scores(0.9), 6.0, WALL)
    assert it.lost(6.5, WALL) == it.lost(11.499, WALL) == []
    assert shown(it.lost(11.5, WALL)) == [("left", "cat")]


def test_after_a_loss_nothing_is_left_of_a_vote() -> None:
    it = decider(Rule(Vote(2, 3), hold_s=0, lost_s=1))
    feed(it, [scores(0.9), scores(0.9)])
    it.lost(1, WALL)
    assert shown(it.lost(2, WALL)) == [("left", "cat")]
    assert feed(it, [scores(0.9)], 3) == []
    assert shown(feed(it, [scores(0.7)], 4)) == [("entered", "cat")]
    decision, _ = it.update(scores(0.8), 5, WALL)
    assert decision.score == pytest.approx((0.9 + 0.7 + 0.8) / 3)


def test_no_frame_yet_is_no_label_and_no_score() -> None:
    decision, events = decider(Rule()).update(np.array([np.nan, 0.9, 0.1], np.float32), 0, WALL)
    assert (decision.label, decision.score, events) == (None, 0.0, [])


def test_the_first_frame_counts_in_full_and_a_clock_that_runs_back_changes_nothing() -> None:
    it = decider(Rule(Exponential(1.0), threshold=0.1, hold_s=0))
    assert it.update(scores(0.8), 5.0, WALL)[0].score == pytest.approx(0.8)
    assert it.update(scores(0.2), 4.0, WALL)[0].score == pytest.approx(0.8)
    it.update(scores(0.2), 4.5, WALL)
    assert it._smoothed[0] == pytest.approx(0.2 + 0.6 * np.exp(-0.5))  # half a second after 4.0


def test_exponential_smoothing_forgets_by_e_in_its_time() -> None:
    it = decider(Rule(Exponential(2.0), threshold=0.01, hold_s=0))
    it.update(scores(1.0), 0, WALL)
    for step in range(1, 5):
        assert it.update(scores(0.0), step, WALL)[0].label != "dog"
    assert it._smoothed[0] == pytest.approx(np.exp(-4 / 2))
    assert it._smoothed[2] == pytest.approx(1 - np.exp(-4 / 2))


def test_an_average_that_lasts_grows_with_the_time_since_its_first_frame() -> None:
    it = decider(Rule(Exponential(0.5), threshold=0.01, hold_s=0, lasting_s=4.0))
    feed(it, [scores(1.0)] * 31)
    it.update(scores(0.0), 3.1, WALL)
    assert it._smoothed[0] == pytest.approx(np.exp(-0.1 / 3.0))
    feed(it, [scores(1.0)] * 100, 3.2)
    before = it._smoothed[0]
    it.update(scores(0.0), 13.2, WALL)
    assert it._smoothed[0] == pytest.approx(before * np.exp(-0.1 / 4.0))


def test_a_vote_counts_the_best_label_of_each_frame_at_its_own_threshold() -> None:
    it = decider(Rule(Vote(2, 4), thresholds={"dog": 0.8}, hysteresis=0.5, hold_s=0))
    assert feed(it, [scores(0.2, 0.79)] * 4) == []
    assert shown(feed(it, [scores(0.2, 0.8)] * 2, 1)) == [("entered", "dog")]
    assert shown(feed(decider(Rule(Vote(1, 1), threshold=0.5)), [scores(0.5, 0.25)])) == [("entered", "cat")]
    # what is there needs half of its threshold for a vote, and half of the votes to stay
    assert feed(it, [scores(0.3, 0.41)] * 8, 2) == []
    assert feed(it, [scores(0.3, 0.39)] * 3, 3) == []
    assert shown(feed(it, [scores(0.3, 0.39)], 4)) == [("left", "dog")]


def test_the_score_of_a_vote_stays_the_mean_of_its_frames() -> None:
    it = decider(Rule(Vote(3, 5), threshold=0.0))
    frames = np.random.default_rng(0).dirichlet((1, 1, 1), 3000).astype(np.float32)
    for number, frame in enumerate(frames):
        decision, _ = it.update(frame, float(number), WALL)
    mean = frames[-5:].mean(axis=0, dtype=np.float64)
    assert decision.score == pytest.approx(mean[LABELS.index(decision.label or "")], abs=1e-12)


def test_a_vote_forgets_the_oldest_frame() -> None:
    it = decider(Rule(Vote(3, 3), hold_s=0))
    yes, no = scores(0.9), scores(0.1, 0.2)
    assert feed(it, [yes, yes, no, yes, yes]) == []
    assert shown(feed(it, [yes], 1)) == [("entered", "cat")]


def test_a_label_that_misses_its_threshold_gives_no_way_to_the_next_best() -> None:
    it = decider(Rule(None, thresholds={"cat": 0.9, "dog": 0.1}))
    assert it.update(scores(0.7, 0.3), 0, WALL)[0].label is None


def test_another_label_takes_over_in_one_step_once_it_is_clearly_better() -> None:
    it = decider(Rule(None, threshold=0.3, hysteresis=0.25, hold_s=0))
    feed(it, [scores(0.5, 0.4)])
    assert feed(it, [scores(0.44, 0.46), scores(0.46, 0.44)] * 9, 1) == []
    assert shown(feed(it, [scores(0.35, 0.5)], 9)) == [("left", "cat"), ("entered", "dog")]


def test_a_label_stays_for_the_minimum_hold() -> None:
    it = decider(Rule(None, hold_s=1.0))
    feed(it, [scores(0.9)])
    assert feed(it, [scores(0.1, 0.9)] * 9, 0.1) == []
    assert shown(feed(it, [scores(0.1, 0.9)], 1.0)) == [("left", "cat"), ("entered", "dog")]


@pytest.mark.parametrize("fps", [2, 10, 30, 400])
def test_exponential_smoothing_takes_the_same_time_at_every_frame_rate(fps: int) -> None:
    it = decider(Rule(Exponential(2.0), threshold=0.6))
    it.update(scores(0.0, 0.5), 0, WALL)
    for frame in range(1, 4 * fps):
        if it.update(scores(0.95), frame / fps, WALL)[1]:
            break
    assert frame / fps == pytest.approx(2.0, abs=1 / fps + 0.01)


def test_one_wrong_frame_changes_nothing() -> None:
    for rule in (Rule(), Rule(Vote(3, 5))):
        it = decider(rule)
        assert shown(feed(it, [scores(0.9)] * 20)) == [("entered", "cat")]
        assert feed(it, [scores(0.0, 1.0)], 2.0) == []
        assert feed(it, [scores(0.9)] * 20, 2.1) == []


@pytest.mark.parametrize("pause_s", [0.1, 0.3, 1.0, 4.9])
def test_one_frame_makes_no_event_after_the_start_or_after_a_pause(pause_s: float) -> None:
    it = decider(Rule())
    wrong, right = scores(0.996), scores(0.0, 0.4)
    assert it.update(wrong, 0, WALL)[1] == []
    assert feed(it, [right] * 20, pause_s) == []
    assert it.update(wrong, pause_s + 9, WALL)[1] == []  # seldom classified, as a scene that stands still
    assert feed(it, [right] * 20, pause_s + 9 + pause_s) == []


def test_a_label_that_is_there_from_the_start_enters_after_the_time_constant() -> None:
    it = decider(Rule(Exponential(0.5)))
    assert feed(it, [scores(0.9)] * 5) == []
    assert shown(feed(it, [scores(0.9)], 0.5)) == [("entered", "cat")]


def test_a_vote_takes_as_many_frames_as_it_needs_and_leaves_below_half_of_them() -> None:
    it = decider(Rule(Vote(3, 5), hold_s=0))
    yes, no = scores(0.9), scores(0.4, 0.4)
    assert feed(it, [yes, no, yes, no]) == []
    assert shown(feed(it, [yes], 1)) == [("entered", "cat")]
    assert feed(it, [no, no], 2) == []  # one of the last five was forgotten: two are left
    assert shown(feed(it, [no], 3)) == [("left", "cat")]


def test_a_vote_scores_the_mean_of_its_frames() -> None:
    it = decider(Rule(Vote(2, 4), hold_s=0))
    given_ = [0.9, 0.7, 0.8, 0.2, 0.6, 0.7]
    means = [it.update(scores(value), number, WALL)[0].score for number, value in enumerate(given_)]
    assert means[0] == pytest.approx(0.9)
    assert means[1] == pytest.approx(0.8)
    assert means[-1] == pytest.approx(np.mean(given_[-4:]))


def test_a_lost_source_makes_the_label_leave_after_a_while_and_begins_anew() -> None:
    it = decider(Rule(lost_s=5))
    feed(it, [scores(0.9)] * 9)
    assert it.lost(1.0, WALL) == []
    assert it.update(scores(0.9), 5.5, WALL)[1] == []  # back in time
    assert it.lost(8.0, WALL) == it.lost(12.9, WALL) == []
    (left,) = it.lost(13.0, WALL + 13)
    assert (left.kind, left.label, left.duration_s) == ("left", "cat", 12.5)
    assert it.lost(99.0, WALL) == []
    assert it.update(scores(0.0, 0.9), 100, WALL)[0].score == pytest.approx(0.9)  # nothing of the cat is left
    assert it.update(scores(0.0, 0.9), 100.5, WALL)[0].label == "dog"


def test_frames_without_motion_in_between_change_nothing() -> None:
    it = decider(Rule())
    feed(it, [scores(0.9)] * 9)
    assert it.update(scores(0.9), 3600, WALL)[1] == []


def test_a_replaced_model_with_other_labels_lets_leave_what_was_there() -> None:
    it = decider(Rule(thresholds={"cat": 0.7}))
    feed(it, [scores(0.9)] * 9)
    assert it.relabel(LABELS, 1, WALL) == []
    assert shown(it.relabel(("red", "cat"), 2, WALL)) == [("left", "cat")]
    assert it.relabel(("red", "blue"), 2, WALL) == []
    it.update(np.array([0.1, 0.9], np.float32), 3, WALL)
    assert it.update(np.array([0.1, 0.9], np.float32), 4, WALL)[0].label == "blue"
    assert shown(it.leave(4, WALL)) == [("left", "blue")]
    assert it.leave(5, WALL) == []


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_frame_that_is_not_a_number_counts_as_not_seen(rule: Rule, bad: float) -> None:
    it, other = decider(rule), decider(rule)
    damaged = np.array([0.2, bad, 0.1], np.float32)
    assert it.update(damaged, 0, WALL)[0].label is None
    for number in range(9):
        frame = scores(0.1 * number)
        expected = other.update(frame, 1 + number, WALL)
        assert it.update(frame, 1 + number, WALL) == expected
        assert it.update(damaged, 1.5 + number, WALL)[0].label == expected[0].label


def test_events_are_numbered_over_all_zones() -> None:
    numbers = count(1)
    zones = [Decider(LABELS, Rule(None, hold_s=0), zone, numbers=numbers) for zone in ("door", "yard")]
    events = [event for now in range(4) for zone in zones for event in feed(zone, [scores(now % 2)], now)]
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert {event.zone for event in events} == {"door", "yard"}


frames_of_any_kind = st.lists(
    st.tuples(
        st.floats(0, 10, width=32),
        st.sampled_from(["frame", "frame", "frame", "frame", "lost", "swap", "leave"]),
        st.lists(st.sampled_from([0.0, 0.2, 0.45, 0.6, 0.61, 1.0, float("nan")]), min_size=3, max_size=3),
    ),
    max_size=60,
)


@given(st.sampled_from(RULES), frames_of_any_kind)
def test_entered_and_left_alternate_whatever_comes(rule: Rule, steps: list[tuple[float, str, list[float]]]) -> None:
    it = decider(rule, "door")
    events: list[Event] = []
    now, labels = 0.0, [LABELS, ("bird", "cat", "ant")]
    for wait, kind, values in steps:
        now += wait
        if kind == "frame":
            decision, made = it.update(np.array(values, np.float32), now, WALL - now)  # a wall clock that runs back
            assert 0 <= decision.score <= 1
            last = (events + made)[-1:]
            assert decision.label == (last[0].label if last and last[0].kind == "entered" else None)
        elif kind == "lost":
            made = it.lost(now, WALL)
        elif kind == "leave":
            made = it.leave(now, WALL)
        else:
            made = it.relabel(labels[len(events) % 2], now, WALL)
        events += made
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    for number, event in enumerate(events):
        assert event.kind == ("left" if number % 2 else "entered")
        assert event.zone == "door"
        assert 0 <= event.duration_s <= now
        if event.kind == "left":
            assert event.label == events[number - 1].label
            assert event.score >= events[number - 1].score - 1e-6


@settings(max_examples=40)
@given(st.sampled_from(RULES), st.lists(st.booleans(), min_size=60, max_size=150))
def test_flicker_around_the_threshold_makes_no_storm_of_events(rule: Rule, flicker: list[bool]) -> None:
    it = decider(Rule(rule.smoothing, rule.threshold, rule.thresholds, rule.hysteresis, hold_s=1.0))
    frames = [scores(0.62, 0.38) if high else scores(0.44, 0.56) for high in flicker]
    assert len(feed(it, frames, step_s=1 / 30)) <= 2 * (len(frames) / 30 / it._rule.hold_s + 1)


def test_flicker_within_the_hysteresis_makes_one_event() -> None:
    for rule in (Rule(hold_s=0), Rule(None, hold_s=0), Rule(Vote(3, 5), hold_s=0)):
        it = decider(rule)
        assert shown(feed(it, [scores(0.9)] * 20)) == [("entered", "cat")]
        assert feed(it, [scores(0.61), scores(0.5)] * 200, 2.0) == []


def test_months_of_a_vote_do_not_drift() -> None:
    it = decider(Rule(Vote(3, 5)))
    rng = np.random.default_rng(0)
    latest = rng.random((30_000, 3)).astype(np.float32)
    for number, frame in enumerate(latest):
        decision, _ = it.update(frame, number / 30, WALL)
    best = latest[-5:].mean(axis=0)
    expected = best[LABELS.index(decision.label)] if decision.label else best.max()
    assert decision.score == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], (None, {})),
        (["0.6"], (0.6, {})),
        (["0.6", "cat=0.8", "a=b=1"], (0.6, {"cat": 0.8, "a=b": 1.0})),
        (["0"], (0.0, {})),
        (["1"], (1.0, {})),
        (["cat=0", "dog=1", "0.25"], (0.25, {"cat": 0.0, "dog": 1.0})),
    ],
)
def test_thresholds_are_read(texts: list[str], expected: object) -> None:
    assert parse_thresholds(texts) == expected


@pytest.mark.parametrize(
    "texts",
    [
        ["60"],
        ["1.001"],
        ["cat=1.5"],
        ["0", "0"],
        ["cat"],
        ["=0.5"],
        ["cat=nan"],
        ["-0.1"],
        ["0.5", "0.6"],
        ["a=0", "a=1"],
    ],
)
def test_what_is_no_threshold_is_refused(texts: list[str]) -> None:
    with pytest.raises(SettingsError, match="threshold"):
        parse_thresholds(texts)


@given(st.text())
def test_any_text_is_a_threshold_or_refused(text: str) -> None:
    try:
        default, by_label = parse_thresholds([text])
    except SettingsError:
        return
    assert all(0 <= value <= 1 for value in [*by_label.values(), default or 0.0])


def test_smoothing_is_read() -> None:
    assert parse_smoothing("0.5s") == Exponential(0.5)
    assert parse_smoothing("3/5") == Vote(3, 5)
    assert parse_smoothing("none") is None
    assert (parse_smoothing("0.01s"), parse_smoothing("3600s")) == (Exponential(0.01), Exponential(3600))
    assert (parse_smoothing("1/1"), parse_smoothing("1000/1000")) == (Vote(1, 1), Vote(1000, 1000))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.5",
        "0s",
        "0.009s",
        "3600.1s",
        "1/1001",
        "infs",
        "nans",
        "-1s",
        "6/5",
        "0/3",
        "1/0",
        "3/1001",
        "1e3s",
        "٣/٥",
    ],
)
def test_what_is_no_smoothing_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="smoothing is"):
        parse_smoothing(text)


def test_a_threshold_of_a_label_that_the_model_lacks_is_refused() -> None:
    Rule(thresholds={"cat": 0.5}).check(LABELS)
    with pytest.raises(SettingsError, match=r"'cow'.*cat, dog, bird"):
        Rule(thresholds={"cow": 0.5}).check(LABELS)
    with pytest.raises(SettingsError, match=r"labels are cat, dog, bird$"):
        Rule(thresholds={"cow": 0.5}).check(LABELS)
    many = [f"l{number}" for number in range(1, 14)]
    for labels, end in ((many[:12], "l11, l12"), (many, "l11, l12, ...")):
        with pytest.raises(SettingsError, match=f"{end}$"):
            Rule(thresholds={"cat": 0.5, "cow": 0.5}).check(labels)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("given_as", ["NFC", "NFD"])
def test_a_threshold_is_the_label_s_however_its_accents_are_encoded(
    form: Literal["NFC", "NFD"], given_as: Literal["NFC", "NFD"]
) -> None:
    label, text = unicodedata.normalize(form, "café"), unicodedata.normalize(given_as, "café=0.8")
    rule = Rule(None, 0.2, parse_thresholds([text])[1], hold_s=0)
    rule.check([label, "tea"])
    it = Decider([label, "tea"], rule, "", numbers=count(1))
    assert it.update(np.array([0.7, 0.1], np.float32), 0, WALL)[0].label is None
    assert it.update(np.array([0.9, 0.1], np.float32), 1, WALL)[0].label == label


@pytest.mark.parametrize("smoothing", [Exponential(0.5), Vote(3, 5)])
@pytest.mark.parametrize(("pattern", "there"), [("110", True), ("1", True), ("100", False), ("0", False)])
def test_a_subject_is_believed_if_half_of_its_frames_are_known(
    smoothing: Exponential | Vote, pattern: str, there: bool
) -> None:
    it = decider(Rule(smoothing, hold_s=0.0, known_share=0.5))
    labels = []
    for number in range(60):
        known = pattern[number % len(pattern)] == "1"
        labels.append(it.update(scores(0.9), number / 30, WALL, known=known)[0].label)
    assert labels[-3:] == ["cat" if there else None] * 3


@pytest.mark.parametrize(
    ("rule", "known"),
    [
        (Rule(None, hysteresis=0.0, hold_s=0.0, known_share=1.0), "11"),
        (Rule(Exponential(0.5), hold_s=0.0, known_share=0.5), "1" * 30 + "1101" * 8),
        (Rule(Vote(1, 4), hold_s=0.0), "1000" * 8),
    ],
)
def test_a_share_of_known_frames_is_enough_itself_and_less_the_hysteresis_to_stay(rule: Rule, known: str) -> None:
    it = decider(rule)
    events: list[Event] = []
    for number, one in enumerate(known):
        events += it.update(scores(0.9), number / 30, WALL, known=one == "1")[1]
    assert shown(events) == [("entered", "cat")]


def test_frames_that_are_not_known_speak_for_no_label_unless_a_share_is_asked_for() -> None:
    it = decider(Rule(Exponential(0.5)))
    for number in range(60):
        decision, events = it.update(scores(0.9), number / 30, WALL, known=number % 2 == 1)
        assert events == []
    assert decision.score == pytest.approx(0.45, abs=0.05)


@pytest.mark.parametrize("smoothing", [Exponential(0.5), Vote(3, 5)])
def test_a_few_frames_that_are_not_known_do_no_harm_where_no_share_is_asked_for(smoothing: Exponential | Vote) -> None:
    it = decider(Rule(smoothing))
    labels = [it.update(scores(0.9), number / 30, WALL, known=number % 10 > 0)[0].label for number in range(60)]
    assert labels[-10:] == ["cat"] * 10
