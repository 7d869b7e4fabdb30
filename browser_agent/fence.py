"""The epoch under which this agent speaks, saves and writes its status: who has a newer one has taken the session."""

import asyncio
from typing import Any

import redis.asyncio

from whatsapp_contract import event_script
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage

log = get_logger(__name__)


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
        backoff = Backoff(0.1, 5.0)
        away = False
        while True:
            try:
                taken: Any = await self._redis.eval(event_script.TAKE_EPOCH_LUA, 1, self._names.fence, str(at_least))
            except Exception as error:
                if not is_outage(error):
                    raise
                if not away:
                    log.warning("waiting for Redis", error=str(error))
                away = True
                await asyncio.sleep(backoff.next_s())
                continue
            self.epoch = int(taken)
            return
