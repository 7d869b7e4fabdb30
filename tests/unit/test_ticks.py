"""Ticks that are late, or never came; and what is none of the scheduler's faults."""

from typing import Any

import pytest

from workers.cron import Cron
from workers.ticks import Tick, Ticks, missed, second_of

BEGAN = 1_800_000_000
EVERY_10_S = Cron.parse("*/10 * * * * *").matches


class Clocks:
    """A machine's, one of which may be stepped."""

    def __init__(self) -> None:
        self.wall, self.steady = float(BEGAN), 500.0
        self.ticks = Ticks(EVERY_10_S, wall_clock=lambda: self.wall, clock=lambda: self.steady)
        self.counted: dict[str, int] = {"ticks:taken": 0, "ticks:late": 0, "ticks:missed": 0}

    def take(self, second: int, after_s: float = 0.1) -> None:
        """Take the tick of that second, so long after it."""
        passed_s = BEGAN + second + after_s - self.wall
        self.wall, self.steady = self.wall + passed_s, self.steady + passed_s
        for name in self.ticks.taken(BEGAN + second):
            self.counted[name] += 1

    def counts(self) -> tuple[int, int, int]:
        return (self.counted["ticks:taken"], self.counted["ticks:late"], self.counted["ticks:missed"])


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_ticks_in_time_are_taken_and_no_more(clocks: Clocks) -> None:
    for second in range(0, 300, 10):
        clocks.take(second)
    assert clocks.counts() == (30, 0, 0)


def test_one_that_is_taken_more_than_two_seconds_later_is_late(clocks: Clocks) -> None:
    for second, after_s in ((0, 0.1), (10, 1.9), (20, 2.1), (30, 8.9), (40, 0.1)):
        clocks.take(second, after_s)
    assert clocks.counts() == (5, 2, 0)


def test_those_that_never_came_are_missed(clocks: Clocks) -> None:
    for second in (0, 10, 40, 50, 100):
        clocks.take(second)
    assert clocks.counts() == (5, 0, 2 + 4)


def test_one_that_comes_after_the_next_is_not_where_the_next_is_counted_from(clocks: Clocks) -> None:
    """Two threads take them."""
    for second, after_s in ((0, 0.1), (10, 0.1), (30, 0.1), (20, 10.2), (40, 0.3)):
        clocks.take(second, after_s)
    assert clocks.counts() == (5, 0, 1)


def test_a_worker_counts_from_its_own_first_tick(clocks: Clocks) -> None:
    clocks.take(86_400)
    assert clocks.counts() == (1, 0, 0)


@pytest.mark.parametrize("step_s", [3600, -3600, 60, -60])
def test_a_clock_that_steps_misses_nothing(clocks: Clocks, step_s: int) -> None:
    for second in (0, 10, 20):
        clocks.take(second)
    clocks.wall += step_s
    for second in (30, 40, 50):
        clocks.take(second + step_s)
    assert clocks.counts() == (6, 0, 0)


def test_a_machine_that_slept_misses_nothing(clocks: Clocks) -> None:
    clocks.take(0)
    clocks.wall += 7200  # the steady clock stands still meanwhile
    clocks.take(7210)
    assert clocks.counts() == (2, 0, 0)


def test_a_stop_of_days_is_counted_for_an_hour_at_most() -> None:
    days = 5 * 86_400
    assert missed(Tick(BEGAN, 0), Tick(BEGAN + days, days), EVERY_10_S) == 360


class Named:
    def __init__(self, task_id: Any) -> None:
        self.id = task_id


@pytest.mark.parametrize(
    ("task", "second"),
    [
        (Named("check:1800000000"), 1_800_000_000),
        (Named("7a1c9a3e-1d0c-4c54-9d3f-2f6a2a1f0b11"), None),  # enqueued by somebody else
        (Named("reset:1800000000"), None),
        (Named("check:"), None),
        (Named(None), None),
        (None, None),
    ],
)
def test_a_task_s_name_tells_its_second(task: Any, second: int | None) -> None:
    assert second_of(task) == second
