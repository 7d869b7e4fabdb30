"""Somebody who answers a session's commands in an agent's place, on a thread of its own."""

import asyncio
import threading
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel

from browser_agent.command_bus import CommandBus
from whatsapp_contract.commands import CommandSpec
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import connect_async


class OnTheBus:
    """A context manager. Subclasses say what is answered."""

    def __init__(self, redis_url: str, session_id: str) -> None:
        self._url = redis_url
        self._names = SessionNames(session_id)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._stop = asyncio.Event()

    async def answer(self, spec: CommandSpec, args: Any) -> BaseModel:
        """A result, or raise."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        async with connect_async(self._url, decode_responses=False) as raw:
            serving = asyncio.create_task(CommandBus(raw, self._names, self.answer).serve())
            await self._stop.wait()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
