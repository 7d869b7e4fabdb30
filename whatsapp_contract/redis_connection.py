"""Connections to Redis with deadlines of their own.

Retries are left to the callers: a library that sends a command twice on its own would publish it twice.
"""

import re
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

CONNECT_WITHIN_S = 2.0
ANSWER_WITHIN_S = 5.0

# What an outage of Redis looks like from here. LOADING, NOAUTH and WRONGPASS are redis-py's ConnectionErrors.
REDIS_AWAY = (RedisConnectionError, RedisTimeoutError, OSError)

# It answers, but will not serve us until it, or the person who runs it, has moved on. redis-py has classes for some of
# these, and strips the code from their text; MASTERDOWN is a ClusterDownError.
_UNUSABLE = (ClusterDownError, NoPermissionError, OutOfMemoryError, ReadOnlyError, TryAgainError)
# The others keep their code: at the text's start, in the error of a pipeline, or in a script's before Redis 7.
_UNUSABLE_CODE = re.compile(
    r"""(?:^|of\ pipeline\ caused\ error:\ (?:\(['"])?|Error\ running\ script\ .*:\ -)
    (?:BUSY|MISCONF|NOREPLICAS|WRONGTYPE|OOM|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOPERM)\ """,
    re.VERBOSE,
)


def check_url(url: str) -> None:
    """Raises ValueError for what `connect` cannot use, and repeats nothing of it: any part may be a password's."""
    try:
        redis.ConnectionPool.from_url(url).make_connection()
        parts = urlsplit(url)
        usable = len(parts.path) > 1 if parts.scheme == "unix" else re.fullmatch(r"/?\d*", parts.path, re.ASCII)
        usable = usable and parts.port != 0
    except (ValueError, TypeError, RedisError):
        usable = False
    if not usable:
        raise ValueError(
            "should be redis://, rediss:// or unix://, with a number as port and as database, options that are known, "
            "and a password in percent-encoding"
        )


def connect(url: str) -> "redis.Redis":
    """A client for threads. Nothing is sent before the first command."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **_OPTIONS)


def connect_async(
    url: str, *, decode_responses: bool = True, most_connections: int | None = None
) -> "redis.asyncio.Redis":
    """A client for the event loop it is first used on. Without decoding it also survives what is not UTF-8.

    Where more than `most_connections` are wanted at once, one waits for another, for as long as for an answer; without
    it redis-py opens a hundred, and calls an outage what is more.
    """
    options = {**_OPTIONS, "decode_responses": decode_responses, "retry": AsyncRetry(NoBackoff(), 0)}
    if most_connections is None:
        return redis.asyncio.Redis.from_url(url, **options)
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url, max_connections=most_connections, timeout=ANSWER_WITHIN_S, **options
    )
    return redis.asyncio.Redis.from_pool(pool)


def is_outage(error: BaseException) -> bool:
    """Whether waiting and trying again is the answer to this error.

    Also where only a person can mend it: rights that are missing, or (WRONGTYPE) a key of ours that somebody else
    has written. A program that ended for that would be started again into the same, and the container with it.
    """
    if isinstance(error, (*REDIS_AWAY, *_UNUSABLE)):
        return True
    return isinstance(error, ResponseError) and _UNUSABLE_CODE.search(str(error)) is not None


_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "socket_connect_timeout": CONNECT_WITHIN_S,
    "socket_timeout": ANSWER_WITHIN_S,
    "health_check_interval": 0,
}
