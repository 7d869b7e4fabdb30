"""Who fetches next: the newest file and the oldest in turn, and what the page may have died over last and alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class _Waiting:
    sent_at: float
    alone: bool
    turn: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Slots:
    """So many at once. A person waits for the photo that was just sent; what has been due for long gets on, too."""

    def __init__(self, at_once: int) -> None:
        self._free = self._at_once = at_once
        self._waiting: list[_Waiting] = []
        self._newest_next = True

    @property
    def waiting(self) -> int:
        """How many wait, but for those that wait to be alone."""
        return sum(not one.alone for one in self._waiting)

    @property
    def are_taken(self) -> bool:
        """Whether anyone fetches now."""
        return self._free < self._at_once

    @contextlib.asynccontextmanager
    async def taken(self, sent_at: float, *, alone: bool = False) -> AsyncIterator[None]:
        """With `alone`: when nobody else waits, and with nobody beside."""
        one = _Waiting(sent_at, alone)
        self._waiting.append(one)
        self._give()
        try:
            await one.turn
            yield
        finally:
            if one in self._waiting:
                self._waiting.remove(one)
            else:
                self._free += self._needed(one)
            self._give()

    def _give(self) -> None:
        while (one := self._next()) is not None and self._free >= self._needed(one):
            self._waiting.remove(one)
            self._free -= self._needed(one)
            if not one.turn.done():  # else it was cancelled, and gives its turn back
                one.turn.set_result(None)

    def _next(self) -> _Waiting | None:
        if not self._waiting:
            return None
        others = [one for one in self._waiting if not one.alone]
        if not others:
            return min(self._waiting, key=lambda one: one.sent_at)
        if self._free:
            self._newest_next = not self._newest_next
        pick = min if self._newest_next else max
        return pick(others, key=lambda one: one.sent_at)

    def _needed(self, one: _Waiting) -> int:
        return self._at_once if one.alone else 1
