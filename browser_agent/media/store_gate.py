"""What stands before the store: while it cannot be used one file at a time tries again, and the others wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from browser_agent.session.errors import StoreUnavailable
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.logs import get_logger

from .requests import WorkFailed

log = get_logger(__name__)

_T = TypeVar("_T")

UPLOADS_AT_ONCE = 8
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 300.0
STORE_TROUBLE = (StoreUnavailable, WorkFailed)


class StoreGate:
    """One per agent. `on_trouble` is called once when it begins."""

    def __init__(self, on_trouble: Callable[[Exception], None], backoff: Backoff | None = None) -> None:
        self.trouble: Exception | None = None
        self._on_trouble = on_trouble
        self._backoff = backoff or Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        self._at_once = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._one = asyncio.Lock()

    async def through(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """What the work answers, tried until the store can be used; never given up for the store's sake."""
        async with self._at_once:
            while True:
                if self.trouble is None:
                    try:
                        return await work()
                    except STORE_TROUBLE as error:
                        self._begin(error)
                    continue
                async with self._one:
                    if self.trouble is None:
                        continue
                    await asyncio.sleep(self._backoff.next_s())
                    try:
                        return self._over(await work())
                    except STORE_TROUBLE as error:
                        self.trouble = error

    def _begin(self, error: Exception) -> None:
        if self.trouble is None:
            log.warning("files cannot be stored; it is tried again", error=str(error))
            self._on_trouble(error)
        self.trouble = error

    def _over(self, answer: _T) -> _T:
        log.info("files are stored again")
        self.trouble = None
        self._backoff.reset()
        return answer
