"""Connections to Redis with deadlines of their own.

Retries are left to the callers: a library that sends a command twice on its own would publish it twice.
"""

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

CONNECT_WITHIN_S = 2.0
ANSWER_WITHIN_S = 5.0

# What an outage of Redis looks like from here. A Redis that is loading its file or is read-only for a while answers
# with an error of its own kind, which is an outage too.
REDIS_AWAY = (RedisConnectionError, RedisTimeoutError, OSError)


def connect(url: str) -> "redis.Redis":
    """A client for threads. Nothing is sent before the first command."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **_OPTIONS)


def connect_async(url: str, *, decode_responses: bool = True) -> "redis.asyncio.Redis":
    """A client for the event loop it is first used on. Without decoding it also survives what is not UTF-8."""
    options = {**_OPTIONS, "decode_responses": decode_responses}
    return redis.asyncio.Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **options)


def is_outage(error: BaseException) -> bool:
    """Whether waiting and trying again is the answer to this error."""
    if isinstance(error, REDIS_AWAY):
        return True
    return isinstance(error, ResponseError) and str(error).startswith(("LOADING", "READONLY", "MASTERDOWN", "BUSY "))


_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "socket_connect_timeout": CONNECT_WITHIN_S,
    "socket_timeout": ANSWER_WITHIN_S,
    "health_check_interval": 0,
}
