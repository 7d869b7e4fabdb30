"""Hooks that act inside the page. They travel by EventSource: a WebSocket frame would look like a live link."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any


class NoPageAnswered(Exception):
    """No page is open, or none did what the hook asks in time."""


class PageHooks:
    """The open pages, and the answers they owe."""

    def __init__(self) -> None:
        self._pages: set[asyncio.Queue[str | None]] = set()
        self._a_page_is_open = asyncio.Event()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._closed = False

    @property
    def open_pages(self) -> int:
        return len(self._pages)

    async def events(self) -> AsyncIterator[str]:
        """One page's stream of hooks to run."""
        page: asyncio.Queue[str | None] = asyncio.Queue()
        self._pages.add(page)
        self._a_page_is_open.set()
        try:
            yield ": welcome\n\n"
            while not self._closed and (event := await page.get()) is not None:
                yield f"data: {event}\n\n"
        finally:
            self._pages.discard(page)
            if not self._pages:
                self._a_page_is_open.clear()

    async def run(self, hook: str, *args: Any, timeout_s: float = 10.0) -> Any:
        """Run a hook in every open page; the answer is the first page's."""
        hook_id = next(self._ids)
        answer = self._answers[hook_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._a_page_is_open.wait()
                for page in self._pages:
                    page.put_nowait(json.dumps({"id": hook_id, "hook": hook, "args": args}))
                return await answer
        except TimeoutError:
            raise NoPageAnswered(f"no page ran {hook} within {timeout_s} s") from None
        finally:
            del self._answers[hook_id]

    def answer(self, hook_id: int, result: Any) -> None:
        """A page ran a hook."""
        answer = self._answers.get(hook_id)
        if answer is not None and not answer.done():
            answer.set_result(result)

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        self._closed = True
        for page in self._pages:
            page.put_nowait(None)
