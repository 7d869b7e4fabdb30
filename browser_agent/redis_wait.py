"""Waiting for Redis where nothing can go on without its answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from whatsapp_contract.backoff import Backoff
from whatsapp_contract.logs import get_logger
from whatsapp_contract.redis_connection import is_outage

log = get_logger(__name__)

_Answer = TypeVar("_Answer")


async def once_redis_answers(ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """What `ask` answers, tried again through every outage, as long as that takes; other errors are raised."""
    backoff = Backoff(0.1, 5.0)
    away = False
    while True:
        try:
            return await ask()
        except Exception as error:
            if not is_outage(error):
                raise
            if not away:
                log.warning("waiting for Redis", error=str(error))
            away = True
            await asyncio.sleep(backoff.next_s())
