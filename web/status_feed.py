"""The status for those who follow it: asked for once a second, for all of them, while there are any."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

EVERY_S = 1.0


class StatusFeed:
    """`ask` gives the status as JSON. What has not changed is not told again."""

    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        self._ask = ask
        self._told = ""
        self._news = asyncio.Event()
        self._followers = 0
        self._asker: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Around whatever waits for changes."""
        self._followers += 1
        try:
            await self._look()  # whoever comes knows more than was told a second ago: the page was served with it
            if self._asker is None or self._asker.done():
                self._asker = asyncio.create_task(self._go_on())
                self._asker.add_done_callback(lambda _asker: self._tell())
            yield
        finally:
            self._followers -= 1
            if not self._followers and self._asker is not None:
                self._asker.cancel()
                self._asker = None

    async def other_than(self, known: str) -> str:
        """The status, as soon as it is another. Within `followed`. Raises what ended the asking, which is a bug."""
        while self._told == known:
            if self._asker is not None and self._asker.done():
                self._asker.result()
            await self._news.wait()
        return self._told

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self._look()

    async def _look(self) -> None:
        now = await self._ask()
        if now != self._told:
            self._told = now
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
