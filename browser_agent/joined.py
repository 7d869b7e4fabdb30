"""A question that is asked once at a time, however many ask it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Joined:
    """`ask` is called unless it is under way; whoever calls meanwhile gets its end, the same error included. It must
    have an end of its own: it goes on where those who asked give up."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._ask = ask
        self._under_way: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._ask())
            self._under_way.add_done_callback(self._is_over)
        await asyncio.shield(self._under_way)

    def _is_over(self, asked: "asyncio.Task[None]") -> None:
        self._under_way = None
        if not asked.cancelled():
            asked.exception()  # it was looked at, also where nobody waits for it any more
