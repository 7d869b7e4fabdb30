"""What stands before the store: while it cannot be used one file at a time tries again, and the others wait.

Only the store's own trouble shuts it, and what fails again and again while others get through is none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from browser_agent.session.errors import ObjectRefused, StoreUnavailable
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.logs import get_logger

log = get_logger(__name__)

_T = TypeVar("_T")

UPLOADS_AT_ONCE = 8
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 300.0
FAILURES_AMONG_SUCCESSES = 3  # of one file, each with another one's success since the last: then they are its own
ALERTS_APART_S = 600.0


class FailsAlone(Exception):
    """The store takes other files, and this one it does not."""


class StoreGate:
    """One per agent. `on_trouble` is called once when it begins, but not more often than every ALERTS_APART_S."""

    def __init__(self, on_trouble: Callable[[Exception], None], backoff: Backoff | None = None) -> None:
        self.trouble: Exception | None = None
        self._on_trouble = on_trouble
        self._backoff = backoff or Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        self._at_once = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._one = asyncio.Lock()
        self._successes = 0
        self._is_told = False  # of this trouble
        self._told_at: float | None = None  # of whichever, in time.monotonic()

    async def through(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """What the work answers, tried until the store can be used; never given up for the store's sake.

        Raises FailsAlone, and whatever the work raises but for StoreUnavailable.
        """
        failures, successes = 0, self._successes
        async with self._at_once:
            while True:
                try:
                    return await self._once(work)
                except ObjectRefused:
                    raise
                except StoreUnavailable as error:
                    if successes != self._successes:
                        failures, successes = failures + 1, self._successes
                    if failures >= FAILURES_AMONG_SUCCESSES:
                        raise FailsAlone(str(error)) from error

    async def _once(self, work: Callable[[], Awaitable[_T]]) -> _T:
        if self.trouble is None:
            return await self._tried(work)
        async with self._one:
            if self.trouble is not None:
                await asyncio.sleep(self._backoff.next_s())
                return await self._tried(work)
        return await self._tried(work)

    async def _tried(self, work: Callable[[], Awaitable[_T]]) -> _T:
        try:
            answer = await work()
        except ObjectRefused:
            raise
        except StoreUnavailable as error:
            self._begin(error)
            raise
        self._successes += 1
        self._end()
        return answer

    def _begin(self, error: Exception) -> None:
        if self.trouble is None:
            log.warning("files cannot be stored; it is tried again", error=str(error))
            self._is_told = False
        self.trouble = error
        now = time.monotonic()
        if not self._is_told and (self._told_at is None or now - self._told_at >= ALERTS_APART_S):
            self._is_told, self._told_at = True, now
            self._on_trouble(error)

    def _end(self) -> None:
        if self.trouble is not None:
            log.info("files are stored again")
            self.trouble = None
            self._backoff.reset()
