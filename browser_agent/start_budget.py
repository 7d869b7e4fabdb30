"""At most so many starts of a browser in a window of time, over all lives of the agent: a loop of crashes must not
wear out the account or the machine. The times are in Redis; while it is away, this life's own starts count alone.
"""

import time
from collections import deque
from typing import Any

import redis.asyncio

from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import InstanceNames
from whatsapp_contract.redis_connection import is_outage

log = get_logger(__name__)


class StartBudget:
    """`budget` starts in any `window_s` seconds."""

    def __init__(self, redis: "redis.asyncio.Redis", names: InstanceNames, budget: int, window_s: float) -> None:
        self._redis = redis
        self._key = names.starts
        self._budget = budget
        self._window_s = window_s
        self._own: deque[float] = deque(maxlen=budget + 1)

    async def held_until(self) -> float | None:
        """Epoch seconds until when no browser may be started; None when one may."""
        now = time.time()
        starts = await self._starts(now)
        return starts[-self._budget] + self._window_s if len(starts) >= self._budget else None

    async def count(self) -> int:
        """How many starts lie in the window."""
        return len(await self._starts(time.time()))

    async def spend(self) -> None:
        """Note a start, now."""
        now = time.time()
        self._own.append(now)
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zadd(self._key, {f"{now:.6f}": now})
                pipeline.zremrangebyscore(self._key, "-inf", now - self._window_s)
                pipeline.expire(self._key, int(self._window_s) + 60)
                await pipeline.execute()
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("a start could not be noted", error=str(error))

    async def forgive(self) -> None:
        """The last start ended as it should, because somebody stopped the service: it was no sign of trouble."""
        if not self._own:
            return
        noted = self._own.pop()
        try:
            await self._redis.zrem(self._key, f"{noted:.6f}")
        except Exception as error:
            if not is_outage(error):
                raise

    async def _starts(self, now: float) -> list[float]:
        """Times of the starts in the window, oldest first. A time in the future, left by a clock that was set
        back, counts for nothing: it would hold the browser back for as long as the clock was stepped."""
        try:
            members: Any = await self._redis.zrange(self._key, 0, -1, withscores=True)
            noted = [score for _member, score in members]
        except Exception as error:
            if not is_outage(error):
                raise
            noted = list(self._own)
        return sorted(moment for moment in noted if now - self._window_s < moment <= now)
