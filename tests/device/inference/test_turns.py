"""Turns at one runner: in the order in which they were asked for, and each with what is its own."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from edge_core import Frame
from edge_core.artifact.familiarity import Features
from edge_core.errors import AcceleratorError
from edge_core.preprocess import InputSpec
from edge_device.inference.interpreter import Scores
from edge_device.inference.turns import RunnerPool, RunnerTurn, Turnstile
from edge_device.notices import Notice, Notifier, ignore, notice

RED, BLUE = (np.full((4, 4, 3), level, np.uint8) for level in (10, 200))


class Adder:
    """A runner whose scores and feature are the sum of the pixels."""

    device = runtime = "adder"
    fallback_reason = ""
    input_shape, outputs, quantized = (4, 4, 3), 1, True

    def __init__(self) -> None:
        self.opened, self.fails = True, False
        self.busy = threading.Lock()
        self._sum = 0.0

    def write_frame(self, frame: Frame, spec: InputSpec) -> None:
        raise NotImplementedError

    def write_pixels(self, pixels: Frame) -> None:
        raise NotImplementedError

    def invoke(self) -> None:
        raise NotImplementedError

    def read_scores(self) -> Scores:
        raise NotImplementedError

    def read_features(self) -> tuple[Features, ...]:
        return (np.array([self._sum]),)

    def scores(self, pixels: Frame) -> Scores:
        assert self.busy.acquire(blocking=False), "two at a time"
        try:
            if self.fails:
                raise AcceleratorError("it is gone")
            self._sum = float(pixels.sum())
            return np.array([self._sum], np.float32)
        finally:
            self.busy.release()

    def close(self) -> None:
        assert self.opened, "closed twice"
        self.opened = False


def pool_of() -> tuple[list[Adder], Callable[..., RunnerTurn]]:
    made: list[Adder] = []
    pool = RunnerPool()

    def open_it(tell: Notifier) -> Adder:
        made.append(Adder())
        tell(notice("info", "accelerator", f"number {len(made)}"))
        return made[-1]

    return made, lambda key="a", notify=ignore: pool.turn(key, open_it, notify)


def test_who_waits_first_is_served_first() -> None:
    turnstile, order = Turnstile(), list[int]()

    def take(number: int) -> None:
        with turnstile:
            order.append(number)

    threads = []
    with turnstile:
        for number in range(20):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while turnstile.waiting <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join(60)
    assert order == list(range(20))


def test_an_error_within_a_turn_passes_it_on() -> None:
    turnstile = Turnstile()
    with pytest.raises(ValueError), turnstile:
        raise ValueError
    with turnstile:
        pass


def test_scores_and_features_are_of_the_own_frame_whatever_others_run_meanwhile() -> None:
    _, turn = pool_of()
    porch, gate = turn(), turn()
    porch.scores(RED)
    gate.scores(BLUE)
    assert porch.read_scores() == porch.read_features()[0] == RED.sum()
    assert gate.read_scores() == gate.read_features()[0] == BLUE.sum()
    porch.write_pixels(BLUE)
    porch.invoke()
    assert porch.read_scores() == BLUE.sum()


def test_many_threads_never_run_it_at_the_same_time() -> None:
    _, turn = pool_of()
    wrong: list[int] = []

    def work(level: int) -> None:
        mine, pixels = turn(), np.full((4, 4, 3), level, np.uint8)
        for _ in range(200):
            if mine.scores(pixels) != pixels.sum() or mine.read_features()[0] != pixels.sum():
                wrong.append(level)

    threads = [threading.Thread(target=work, args=(level,)) for level in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_what_is_the_same_is_opened_once_and_closed_by_the_last() -> None:
    made, turn = pool_of()
    porch, gate, other = turn("a"), turn("a"), turn("b")
    assert len(made) == 2
    porch.close()
    porch.close()
    assert made[0].opened
    gate.close()
    assert not made[0].opened and made[1].opened
    turn("a")
    assert len(made) == 3
    other.close()


def test_one_that_fails_fails_for_all_and_who_asks_anew_has_a_new_one() -> None:
    made, turn = pool_of()
    porch, gate = turn(), turn()
    made[0].fails = True
    for one in (porch, gate):
        with pytest.raises(AcceleratorError, match="it is gone"):
            one.scores(RED)
    assert not made[0].opened  # a Coral cannot be opened twice: the old one must not hold it
    again = turn()
    assert again.scores(RED) == RED.sum()
    for one in (porch, gate, again):
        one.close()
    assert len(made) == 2 and not made[1].opened


def test_all_who_share_an_accelerator_hear_what_becomes_of_it() -> None:
    told: dict[str, list[Notice]] = {"porch": [], "gate": []}
    tells, made = list[Notifier](), list[Adder]()
    pool = RunnerPool()

    def open_it(tell: Notifier) -> Adder:
        tells.append(tell)
        tell(notice("warning", "accelerator", "the CPU stands in"))
        made.append(Adder())
        made[-1].fallback_reason = "it is away"
        return made[-1]

    porch = pool.turn("a", open_it, told["porch"].append)
    gate = pool.turn("a", open_it, told["gate"].append)  # comes later
    made[0].fallback_reason = ""
    tells[0](notice("info", "accelerator", "it is in use"))
    porch.close()
    tells[0](notice("info", "accelerator", "again"))
    assert [one.text for one in told["porch"]] == ["the CPU stands in", "it is in use"]
    assert [one.text for one in told["gate"]] == ["the CPU stands in", "it is in use", "again"]
    late = list[Notice]()
    for one in (pool.turn("a", open_it, late.append), gate):
        one.close()
    assert not late  # nothing is away now
