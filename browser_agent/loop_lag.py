"""How late the agent's event loop is: what blocks it keeps every answer, and every look, waiting.

Loop times are of a clock that stands still while the machine sleeps, so that no time passes then for anybody. It goes
on while the agent alone, or every process here, is stopped: that time is what is lost.
"""

import asyncio
from collections import deque

EVERY_S = 0.25
WITHIN_S = 10.0
LOST_FROM_S = 1.0  # what is late by less is a busy machine
LOST_AT_MOST = 1000  # the latest are remembered


class LoopLag:
    """`worst_ms` is right to EVERY_S: what blocked the loop may have begun that long before the look it delayed."""

    def __init__(self, every_s: float = EVERY_S, within_s: float = WITHIN_S) -> None:
        self._every_s = every_s
        self._within_s = within_s
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None  # loop time of the next look
        self._late: deque[tuple[float, float]] = deque()  # when, and by how much; what is outdone is not kept
        self._lost: deque[tuple[float, float]] = deque(maxlen=LOST_AT_MOST)  # likewise, all from LOST_FROM_S on

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._due = self._loop.time() + self._every_s
            await asyncio.sleep(self._every_s)
            now = self._loop.time()
            late = now - self._due
            while self._late and self._late[-1][1] <= late:
                self._late.pop()
            self._late.append((now, late))
            if late >= LOST_FROM_S:
                self._lost.append((now, late))
            self._forget(now)

    @property
    def worst_ms(self) -> float | None:
        """The longest delay of the last `within_s`, one that goes on included; None before the first look."""
        if self._due is None:
            return None
        now = self._loop.time()
        self._forget(now)
        worst = self._late[0][1] if self._late else 0.0
        return round(max(worst, now - self._due, 0.0) * 1000, 1)

    def lost_s(self, since: float) -> float:
        """For how long in all the loop did not run since that loop time, a delay that goes on included."""
        now = self._loop.time()
        late = 0.0 if self._due is None else now - self._due
        lost = [*self._lost, (now, late)] if late >= LOST_FROM_S else self._lost
        return sum(min(late, at - since) for at, late in lost if at > since)

    def _forget(self, now: float) -> None:
        while self._late and now - self._late[0][0] > self._within_s:
            self._late.popleft()
