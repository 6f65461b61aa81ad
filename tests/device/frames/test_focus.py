"""What a focus finds in frames, without a model."""

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.preprocess import Frame
from edge_device.frames.focus import FocusSubject, MotionFocus, MotionFocusRule, square_around
from edge_device.frames.focus.changes import Background, area, boxes, small_picture
from edge_device.frames.focus.subject import MARGIN, Corners
from edge_device.frames.focus.tracker import SubjectTrack, Tracker
from edge_device.frames.regions import Region

from ...moving import across, scene, stays

pytestmark = pytest.mark.timeout(300)


@given(
    st.floats(0, 0.99),
    st.floats(0, 0.99),
    st.floats(0.001, 1),
    st.floats(0.001, 1),
    st.integers(16, 4000),
    st.integers(16, 4000),
)
def test_a_view_is_a_square_inside_the_frame_that_holds_its_subject(
    x: float, y: float, wide: float, high: float, width: int, height: int
) -> None:
    box = Region(x, y, min(wide, 1 - x), min(high, 1 - y))
    view = square_around(box, width, height)
    assert view.width * width == pytest.approx(view.height * height)
    longer = max(box.width * width, box.height * height)
    assert view.width * width == pytest.approx(min((1 + 2 * MARGIN) * longer, width, height))
    if longer <= min(width, height):
        assert view.x <= box.x + 1e-6 and view.x + view.width >= box.x + box.width - 1e-6
        assert view.y <= box.y + 1e-6 and view.y + view.height >= box.y + box.height - 1e-6


def test_the_view_of_a_subject_at_the_edge_is_moved_into_the_frame() -> None:
    view = square_around(Region(0.0, 0.9, 0.1, 0.1), 1000, 1000, margin=0.5)
    assert view.x == 0.0
    assert view.width == view.height == pytest.approx(0.2)
    assert view.y == pytest.approx(0.8)


def seen(focus: MotionFocus, frames: Iterator[tuple[float, Frame]]) -> list[tuple[float, Sequence[FocusSubject]]]:
    return [(now_s, focus.subjects(frame, now_s)) for now_s, frame in frames]


def numbers(found: list[tuple[float, Sequence[FocusSubject]]]) -> set[int]:
    return {one.track for _, subjects in found for one in subjects}


def test_what_moves_is_one_subject_whose_view_holds_it() -> None:
    found = seen(MotionFocus(), scene([path := across(0.5)], 6))
    assert numbers(found) == {1}
    inside = [(one, path(now_s)) for now_s, subjects in found for one in subjects]
    well = [
        one.view.x <= place[0] <= one.view.x + one.view.width and one.view.y <= place[1] <= one.view.y + one.view.height
        for one, place in inside
        if place and 0.1 < place[0] < 0.9
    ]
    assert len(well) > 20
    assert sum(well) > 0.95 * len(well)
    assert all(0.15 < one.box.height < 0.45 for one, place in inside if place and 0.2 < place[0] < 0.8)
    assert all(subjects[0].age_s > 0 for _, subjects in found if subjects)


def test_nothing_is_followed_in_a_still_frame_whose_light_changes() -> None:
    def light(now_s: float) -> float:
        return (1 + 0.2 * math.sin(now_s)) * (0.8 if now_s > 5 else 1.0)

    assert numbers(seen(MotionFocus(), scene([], 8, light))) == set()


def rainy(frames: Iterator[tuple[float, Frame]], streaks: int) -> Iterator[tuple[float, Frame]]:
    """The frames behind streaks, others in each."""
    rng = np.random.default_rng(0)
    for now_s, frame in frames:
        for x, y in rng.integers(0, (frame.shape[1], frame.shape[0]), (streaks, 2)):
            cv2.line(frame, (int(x), int(y)), (int(x), int(y) + 6), (200, 200, 200), 1)
        yield now_s, frame


def test_rain_is_no_subject() -> None:
    assert numbers(seen(MotionFocus(), rainy(scene([], 20), 200))) == set()


def test_a_subject_is_followed_in_the_rain() -> None:
    found = seen(MotionFocus(), rainy(scene([path := across(0.5)], 6), 60))
    there = [now_s for now_s, _ in found if (place := path(now_s)) and 0.2 < place[0] < 0.9]
    followed = [now_s for now_s, subjects in found if subjects and now_s in there]
    assert len(followed) > 0.8 * len(there)


def test_a_subject_that_is_only_expected_was_not_seen() -> None:
    found = seen(MotionFocus(), scene([across(0.5)], 7))
    last_s = max(now_s for now_s, subjects in found for one in subjects if one.seen)
    assert any(not one.seen for now_s, subjects in found for one in subjects if now_s > last_s)
    assert last_s < 5.2  # it has left after five seconds


def test_two_that_cross_keep_their_numbers() -> None:
    back = across(0.75, start_s=2.2, to=0.25)

    def returning(now_s: float) -> tuple[float, float] | None:
        place = back(now_s)
        return place and (1 - place[0], place[1])

    paths = across(0.25, to=0.75), returning
    found = seen(MotionFocus(), scene(paths, 6))
    assert numbers(found) == {1, 2}
    for number, path in zip((1, 2), paths, strict=True):
        off = [
            abs(one.box.y + one.box.height / 2 - place[1])
            for now_s, subjects in found
            for one in subjects
            if one.track == number and (place := path(now_s)) and not 0.3 < place[0] < 0.7
        ]
        assert len(off) > 10
        assert np.median(off) < 0.08


def test_only_so_many_are_given_those_first_that_are_followed_for_longest() -> None:
    found = seen(MotionFocus(MotionFocusRule(subjects=1)), scene([across(0.25), across(0.75, start_s=2.5)], 5))
    assert max(len(subjects) for _, subjects in found) == 1
    assert {subjects[0].track for now_s, subjects in found if subjects and now_s < 4.5} == {1}


@pytest.mark.parametrize("linger_s", [1.0, 3.0])
def test_what_stops_is_followed_for_a_while_and_is_background_then(linger_s: float) -> None:
    found = seen(MotionFocus(MotionFocusRule(linger_s=linger_s)), scene([stays], 9))
    last_s = max(now_s for now_s, subjects in found if subjects)
    assert last_s == pytest.approx(3 + linger_s, abs=0.5)
    assert numbers(found) == {1}


def test_ground_that_a_subject_uncovers_is_no_subject() -> None:
    def leaves(now_s: float) -> tuple[float, float] | None:
        """Is there from the start, and goes after three seconds."""
        return (0.5 + max(0.0, now_s - 3) * 0.4, 0.5) if now_s < 5 else None

    found = seen(MotionFocus(), scene([leaves], 9))
    assert numbers(found) == {1}
    assert all(subjects == () or not subjects for now_s, subjects in found if now_s > 6.5)


def test_parts_to_ignore_count_as_still_and_regions_leave_out_the_rest() -> None:
    upper, lower = Region(0, 0, 1, 0.5), Region(0, 0.5, 1, 0.5)
    for rule in (MotionFocusRule(ignored=(upper,)), MotionFocusRule(regions=(lower,))):
        assert numbers(seen(MotionFocus(rule), scene([across(0.25)], 6))) == set()
        assert numbers(seen(MotionFocus(rule), scene([across(0.75)], 6))) == {1}


def test_a_camera_that_is_turned_makes_no_subject() -> None:
    def turned(frames: Iterator[tuple[float, Frame]]) -> Iterator[tuple[float, Frame]]:
        for now_s, frame in frames:
            yield now_s, frame if now_s < 3 else np.ascontiguousarray(frame[::-1, ::-1])

    assert numbers(seen(MotionFocus(), turned(scene([], 7)))) == set()


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3000, 3), (3000, 2, 3), (48, 64, 3), (720, 1280, 3)])
def test_frames_of_any_shape_are_taken(shape: tuple[int, int, int]) -> None:
    focus = MotionFocus()
    rng = np.random.default_rng(0)
    for number in range(20):
        for subject in focus.subjects(rng.integers(0, 256, shape, np.uint8), number / 5):
            assert 0 < subject.view.width <= 1


def test_what_differs_along_an_edge_of_the_picture_has_a_box_with_an_area() -> None:
    mask = np.zeros((90, 160), np.uint8)
    mask[:, 0] = mask[0, :] = mask[89, 60:80] = mask[88, 60:80] = 255
    found = boxes(mask)
    assert found
    assert all(area(one) > 0 for one in found)
    assert max(one[3] for one in found) == 90


def test_a_source_that_changes_its_size_begins_anew() -> None:
    focus = MotionFocus()
    seen(focus, scene([], 2))
    assert focus.subjects(np.zeros((100, 100, 3), np.uint8), 2.0) == ()
    assert focus.subjects(np.zeros((100, 100, 3), np.uint8), 2.1) == []


def followed_into_one(apart: int, step: float) -> tuple[list[SubjectTrack], Corners]:
    """Two squares of 20 pixels that go on as one part after some frames, and look other in each frame."""
    rng, tracker = np.random.default_rng(0), Tracker()
    part: Corners = (0, 0, 0, 0)
    for number in range(apart + 12):
        x = 20 + (3.0 * number if number < apart else 3.0 * apart + step * (number - apart))
        parts: list[Corners] = [(x, 20, x + 20, 40), (x + 12, 44, x + 32, 64)]
        if number >= apart:
            part = (x, 20, x + 32, 64)
            parts = [part]
        picture = rng.integers(0, 255, (90, 160), np.uint8)
        tracker.update(parts, picture, 6.0, number / 15)
    return tracker.tracks, part


def test_two_that_touch_after_three_frames_stay_two_of_their_size() -> None:
    tracks, _ = followed_into_one(3, 3.0)
    assert len(tracks) == 2
    assert all(15 < track.wide < 22 and 15 < track.high < 22 for track in tracks)


@pytest.mark.parametrize("step", [1.0, 5.0])
def test_who_is_hidden_does_not_leave_the_part_that_both_are_in(step: float) -> None:
    tracks, part = followed_into_one(8, step)
    assert len(tracks) == 2
    assert all(track.box[0] >= part[0] - 0.01 and track.box[2] <= part[2] + 0.01 for track in tracks)


def test_ground_is_known_in_another_light_and_something_before_it_is_not() -> None:
    still = next(scene([], 1))[1]
    background, picture = Background(), small_picture(still)
    background.learn(picture, 0.0)
    box = (40.0, 20.0, 80.0, 60.0)
    assert background.is_ground(small_picture((still * 0.6).astype(np.uint8)), box)
    assert not background.is_ground(small_picture(np.roll(still, 30, axis=1)), box)


def test_what_is_expected_outside_of_the_picture_ends_nothing() -> None:
    """Something comes to the edge, and the camera then gives no frame for five seconds."""
    still = next(scene([], 1))[1]
    height, width = still.shape[:2]
    focus = MotionFocus()
    for number in range(20):
        focus.subjects(still, number / 10)
    for number in range(4):
        picture, left = still.copy(), width - height // 4 + number * height // 30
        cv2.rectangle(picture, (left, 10), (width, 10 + height // 3), (20, 20, 240), -1)
        focus.subjects(picture, 2 + number / 10)
    assert focus.subjects(still, 7.3) == []


def test_what_leaves_through_a_corner_ends_nothing() -> None:
    """A single pixel of where it is expected is left at the end."""
    still = np.asarray(cv2.resize(next(scene([], 1))[1], (640, 360)), np.uint8)
    focus = MotionFocus()
    for number in range(60):
        now_s, picture = number / 15, still.copy()
        if now_s >= 1.3:
            x, y = (int(side - 200 + 120 * (now_s - 1.3)) for side in (640, 360))
            cv2.rectangle(picture, (x, y), (x + 60, y + 60), (20, 20, 240), -1)
            cv2.rectangle(picture, (x + 15, y + 15), (x + 45, y + 45), (240, 240, 20), -1)
        found = focus.subjects(picture, now_s)
    assert found == []


def test_a_background_begins_as_the_mean_of_its_pictures() -> None:
    background = Background()
    for level in (10, 30, 50, 70):
        background.learn(np.full((90, 160), level, np.uint8), 0.01)
    assert background.mean is not None and background.mean[0, 0] == pytest.approx(40)
