"""How late the agent's event loop is: what blocks it keeps every answer, and every look, waiting."""

import asyncio
from collections import deque

EVERY_S = 0.25
WITHIN_S = 10.0


class LoopLag:
    """`worst_ms` is right to EVERY_S: what blocked the loop may have begun that long before the look it delayed."""

    def __init__(self, every_s: float = EVERY_S, within_s: float = WITHIN_S) -> None:
        self._every_s = every_s
        self._within_s = within_s
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None  # loop time of the next look
        self._late: deque[tuple[float, float]] = deque()  # when, and by how much; what is outdone is not kept

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

    def _forget(self, now: float) -> None:
        while self._late and now - self._late[0][0] > self._within_s:
            self._late.popleft()
