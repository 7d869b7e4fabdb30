"""What is asked of Redis, and comes to an end, written once for both kinds of clients.

For what goes on for ever, as following the events, see steps.py.
"""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    import redis
    import redis.asyncio

_T = TypeVar("_T")

# Each step is given a client, of either kind; its answer comes back, or is raised where Redis answers with an error.
Reading = Generator[Callable[[Any], Any], Any, _T]


def carry_out(redis: "redis.Redis", reading: Reading[_T]) -> _T:
    """For threads. Raises redis' own errors."""
    try:
        ask = next(reading)
        while True:
            try:
                answer = ask(redis)
            except ResponseError as error:
                ask = reading.throw(error)
            else:
                ask = reading.send(answer)
    except StopIteration as done:
        result: _T = done.value
        return result


async def carry_out_async(redis: "redis.asyncio.Redis", reading: Reading[_T]) -> _T:
    """As carry_out."""
    try:
        ask = next(reading)
        while True:
            try:
                answer = await ask(redis)
            except ResponseError as error:
                ask = reading.throw(error)
            else:
                ask = reading.send(answer)
    except StopIteration as done:
        result: _T = done.value
        return result
