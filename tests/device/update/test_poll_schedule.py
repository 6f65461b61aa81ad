"""When a board asks for updates, and how much rarer where nobody answers."""

from random import Random

import pytest

from edge_device.live.update.schedule import LONGEST_S, PollSchedule


@pytest.mark.parametrize(("every_s", "longest_s"), [(2.0, 64.0), (60.0, 1920.0), (3600.0, LONGEST_S)])
def test_failures_make_polls_rarer_but_not_by_more_than_a_board_of_that_pace_can_wait(
    every_s: float, longest_s: float
) -> None:
    schedule = PollSchedule(every_s, Random(0))
    pauses = [schedule.after(succeeded=False) for _ in range(40)]
    assert pauses[0] <= 3 * every_s < pauses[3]
    assert longest_s / 2 <= min(pauses[10:]) and max(pauses) <= 1.5 * longest_s
    assert schedule.after(succeeded=True) <= 1.5 * every_s
    assert schedule.first() <= min(60.0, every_s)
