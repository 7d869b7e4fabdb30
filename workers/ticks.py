"""Whether the ticks of the scheduler come, and in time.

Counted from the first tick that this process takes: what was missed before it, while the container was down, was
nobody's to take. Ticks are seconds of the wall clock; where that was stepped, or the machine slept, nothing can be
said of those in between, and none is counted.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from whatsapp_contract import counters

LATE_AFTER_S = 2.0
# A tick is not taken later than this (see tasks.py): what seems later comes of a clock that was stepped meanwhile.
LATEST_S = 9.0
LOOKED_BACK_S = 3600  # so many seconds are looked through at most


@dataclass(frozen=True)
class Tick:
    """`second` is what it was due for; `at` when it was taken, by a clock that nobody steps and that does not count a
    machine's sleep."""

    second: int
    at: float


def second_of(task: Any) -> int | None:
    """The second of the tick for which one of Huey's tasks was enqueued, as the scheduler names it; None where it was
    enqueued by somebody else."""
    named = re.fullmatch(r"check:(\d{1,12})", str(getattr(task, "id", "")), re.ASCII)
    return int(named[1]) if named else None


def missed(before: Tick, now: Tick, is_due: Callable[[int], bool]) -> int:
    """How many were due between two that were taken. Pure."""
    gap_s = now.second - before.second
    if abs(gap_s - (now.at - before.at)) > LATEST_S + 1:
        return 0
    return sum(map(is_due, range(max(before.second + 1, now.second - LOOKED_BACK_S), now.second)))


def is_late(late_s: float) -> bool:
    return LATE_AFTER_S < late_s <= LATEST_S + 1


class Ticks:
    """One for each worker process, whose threads share it. `is_due` says whether a second is one of the cron's."""

    def __init__(
        self,
        is_due: Callable[[int], bool],
        *,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_due = is_due
        self._wall_clock = wall_clock
        self._clock = clock
        self._last: Tick | None = None
        self._lock = threading.Lock()

    def taken(self, second: int) -> list[str]:
        """The counters that this tick moves."""
        moved = [counters.ticks(counters.TAKEN)]
        if is_late(self._wall_clock() - second):
            moved.append(counters.ticks(counters.LATE))
        with self._lock:
            before, now = self._last, Tick(second, self._clock())
            if before is None or not 0 < before.second - second <= LATEST_S + 1:  # that one the next thread has taken
                self._last = now
        if before is not None:
            moved += [counters.ticks(counters.MISSED)] * missed(before, now, self._is_due)
        return moved
