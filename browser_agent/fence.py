"""The epoch under which this agent speaks, saves and writes its status: who has a newer one has taken the session."""

from typing import Any

import redis.asyncio

from whatsapp_contract import event_script
from whatsapp_contract.names import SessionNames

from .redis_wait import once_redis_answers


class Fenced(Exception):
    """A newer agent holds the session: this one may not speak any more."""


class Fence:
    """`epoch` is 0 until `take`. It rises once more where the session's store has seen more starts than this Redis."""

    def __init__(self, redis: "redis.asyncio.Redis", names: SessionNames) -> None:
        self.epoch = 0
        self._redis = redis
        self._names = names

    async def take(self, at_least: int = 1) -> None:
        """Take an epoch above all that Redis knows of. Waits for Redis as long as it takes."""
        taken = await once_redis_answers(lambda: self._take(at_least))
        self.epoch = int(taken)

    async def _take(self, at_least: int) -> Any:
        is_first = "1" if self.epoch == 0 else "0"
        answer: Any = self._redis.eval(event_script.TAKE_EPOCH_LUA, 1, self._names.fence, str(at_least), is_first)
        return await answer
