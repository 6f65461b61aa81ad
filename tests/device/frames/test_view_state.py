from collections.abc import Callable
from typing import get_args

import cv2
import numpy as np
import pytest

from edge_core import Frame
from edge_device.frames.view_state import ACCEPTED_S, LOOK_S, SETTLED_S, TOLD, ViewWatch
from edge_device.results import View

SIZE = (180, 320)
NOISE = np.random.default_rng(0).normal(0, 3, (2 * SIZE[0], 2 * SIZE[1], 3)).astype(np.int8)

Change = Callable[[float], Frame]


def ground(seed: int) -> Frame:
    """Something still with large and small parts."""
    rng = np.random.default_rng(seed)
    large, small = (rng.integers(40, 200, (*size, 3), np.uint8) for size in ((9, 16), (60, 107)))
    parts = [cv2.resize(one, SIZE[::-1], interpolation=cv2.INTER_NEAREST) for one in (large, small)]
    return np.asarray(cv2.addWeighted(parts[0], 0.6, parts[1], 0.4, 0), np.uint8)


GROUND, OTHER = ground(1), ground(2)


def flat(level: int) -> Frame:
    return np.full((*SIZE, 3), level, np.uint8)


def lit(frame: Frame, gain: float) -> Frame:
    return np.asarray(cv2.convertScaleAbs(frame, alpha=gain), np.uint8)


class Camera:
    """Shows frames in virtual time, with noise of their own, and notes what is told of them."""

    def __init__(self) -> None:
        self.watch, self.now_s, self.told = ViewWatch(), 0.0, list[tuple[float, View]]()
        self._rng = np.random.default_rng(3)

    def show(self, what: Frame | Change, seconds: float) -> list[View]:
        """The states that were told meanwhile."""
        before, began_s = len(self.told), self.now_s
        while self.now_s < began_s + seconds:
            frame = what(self.now_s) if callable(what) else what
            down, right = self._rng.integers(0, SIZE)
            noise = NOISE[down : down + SIZE[0], right : right + SIZE[1]]
            if self.watch.look(np.asarray(cv2.add(frame, noise, dtype=cv2.CV_8U), np.uint8), self.now_s):
                self.told.append((self.now_s, self.watch.state))
            self.now_s += LOOK_S
        return [state for _, state in self.told[before:]]


LIGHT = np.asarray(cv2.addWeighted(GROUND, 0.55, flat(255), 0.45, 0), np.uint8)
"""Three quarters of it are white with half as much exposure again; what is before the light ground is still seen."""

BLURRED = np.asarray(cv2.GaussianBlur(GROUND, (0, 0), 2.5), np.uint8)


@pytest.mark.parametrize(
    ("state", "picture"),
    [
        ("dark", flat(0)),
        ("dark", flat(12)),
        ("overexposed", flat(255)),
        ("overexposed", lit(GROUND, 8)),
        ("covered", flat(170)),
        ("covered", flat(60)),
        ("blurred", BLURRED),
        ("moved", OTHER),
        ("moved", np.roll(GROUND, 100, 1)),
    ],
)
def test_a_camera_that_shows_nothing_is_told_of_within_a_minute_and_so_is_its_return(
    state: View, picture: Frame
) -> None:
    camera = Camera()
    assert camera.show(GROUND, 30) == []
    assert camera.show(picture, 60) == [state]
    assert camera.watch.doubtful
    assert camera.show(GROUND, 15) == ["clear"]
    assert not camera.watch.doubtful


@pytest.mark.parametrize(
    "picture",
    [
        lambda now_s: lit(GROUND, 1 + 0.4 * np.sin(now_s / 20)),
        lambda now_s: lit(GROUND, 1.0 if int(now_s / 20) % 2 else 0.6),
        lambda now_s: lit(LIGHT, 1.0 if now_s < 30 else 1.5),
        lambda now_s: lit(GROUND, 0.12),
        lambda now_s: lit(GROUND, 10 ** -(now_s / 150)),
        lambda now_s: flat(205),
        lambda now_s: _subject(GROUND, 110 if now_s > 40 else -200),
        lambda now_s: _subject(flat(205), int(10 * now_s % 500) - 100),
    ],
    ids=[
        "drift",
        "steps",
        "a light ground, half as much again",
        "night",
        "dusk",
        "blank wall",
        "a large subject that stays",
        "subjects before a wall",
    ],
)
def test_nothing_is_told_of_an_ordinary_picture(picture: Change) -> None:
    assert Camera().show(picture, 150) == []


def _subject(still: Frame, left: int) -> Frame:
    """A subject of the frame's height and half its width."""
    frame = still.copy()
    x0, x1 = max(left, 0), min(left + 160, SIZE[1])
    if x0 < x1:
        frame[:, x0:x1] = OTHER[:, x0 - left : x1 - left]
    return frame


def test_a_hand_before_the_lens_keeps_labels_from_entering_at_once_and_is_told_only_if_it_stays() -> None:
    camera = Camera()
    camera.show(GROUND, 30)
    assert camera.show(flat(90), 8) == [] and camera.watch.doubtful
    assert camera.show(GROUND, 8) == [] and not camera.watch.doubtful


def test_where_a_camera_was_turned_to_is_its_background_after_a_while() -> None:
    camera = Camera()
    camera.show(GROUND, 30)
    assert camera.show(OTHER, ACCEPTED_S + 30) == ["moved", "clear"]
    assert camera.show(GROUND, 60) == ["moved"]


def test_pictures_that_all_differ_are_no_camera_that_was_moved() -> None:
    pictures = [ground(seed) for seed in range(10, 20)]
    camera = Camera()
    camera.show(GROUND, 60)
    assert camera.show(lambda now_s: pictures[int(now_s / 4) % 10], 120) == []


def test_a_start_and_a_step_of_the_exposure_take_a_second_to_settle() -> None:
    camera = Camera()
    camera.show(GROUND, LOOK_S)
    assert camera.watch.doubtful
    camera.show(GROUND, SETTLED_S + LOOK_S)
    assert not camera.watch.doubtful
    camera.show(lit(GROUND, 0.6), LOOK_S)
    assert camera.watch.doubtful
    camera.show(lit(GROUND, 0.6), SETTLED_S + LOOK_S)
    assert not camera.watch.doubtful
    camera.show(lit(_subject(GROUND, 0), 0.6), LOOK_S)
    assert not camera.watch.doubtful  # half of the picture is another one: a subject


def test_another_size_is_another_camera_and_the_smallest_frame_is_looked_at() -> None:
    watch = ViewWatch()
    for now_s, shape in enumerate([(180, 320, 3), (1, 1, 3), (7, 400, 3), (720, 1280, 3)]):
        assert not watch.look(np.full(shape, 128, np.uint8), float(now_s))


def test_every_state_has_words() -> None:
    assert set(TOLD) == set(get_args(View))
