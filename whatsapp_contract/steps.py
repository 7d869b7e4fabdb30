"""What is done with Redis, written once as a generator of steps, and carried out for threads or for asyncio.

Beside the steps a question may be asked over and over. It keeps something alive, and its failure is for the steps
themselves to notice.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import RedisError

from .events import Event
from .logs import get_logger

if TYPE_CHECKING:
    import redis
    import redis.asyncio

log = get_logger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Ask:
    """Send a command (`send` takes the client, of either kind) and come back with the answer, or with the error."""

    send: Callable[[Any], Any]


@dataclass(frozen=True)
class Wait:
    """Come back after so long."""

    seconds: float


# An Event is given to whoever follows; coming back from it says that it is done with.
Steps = Generator[Ask | Wait | Event, Any, _T]


@dataclass(frozen=True)
class Beside:
    """`next` tells what to ask of Redis now, if anything."""

    every_s: float
    next: Callable[[], Ask | None]


def for_threads(redis: "redis.Redis", steps: Steps[None], beside: Beside | None) -> Generator[Event, None, None]:
    """Carry the steps out. Closing ends them where they are."""
    ended = threading.Event()
    asking = None if beside is None else threading.Thread(target=_ask_beside, args=(redis, beside, ended), daemon=True)
    if asking is not None:
        asking.start()
    try:
        step = next(steps)
        while True:
            answer = None
            if isinstance(step, Event):
                yield step
            elif isinstance(step, Wait):
                time.sleep(step.seconds)
            else:
                try:
                    answer = step.send(redis)
                except Exception as error:
                    step = steps.throw(error)
                    continue
            step = steps.send(answer)
    finally:
        ended.set()
        steps.close()
        if asking is not None:
            asking.join(1.0)


async def for_asyncio(
    redis: "redis.asyncio.Redis", steps: Steps[None], beside: Beside | None
) -> AsyncGenerator[Event, None]:
    """As for_threads."""
    asking = None if beside is None else asyncio.create_task(_ask_beside_async(redis, beside))
    try:
        step = next(steps)
        while True:
            answer = None
            if isinstance(step, Event):
                yield step
            elif isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            else:
                try:
                    answer = await _answer(step.send(redis))
                except Exception as error:
                    step = steps.throw(error)
                    continue
            step = steps.send(answer)
    finally:
        steps.close()
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def _answer(asked: Awaitable[Any]) -> Any:
    """The answer; or, cancelled, an end. Redis' client waits with `asyncio.wait_for`, which may swallow a cancellation
    (Python 3.11): who follows would then go on for ever."""
    task = asyncio.ensure_future(asked)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=0.2)
        raise


def _ask_beside(redis: "redis.Redis", beside: Beside, ended: threading.Event) -> None:
    while not ended.wait(beside.every_s):
        if (ask := beside.next()) is not None:
            try:
                ask.send(redis)
            except (RedisError, OSError) as error:
                log.debug("nothing was kept alive", error=str(error))


async def _ask_beside_async(redis: "redis.asyncio.Redis", beside: Beside) -> None:
    while True:
        await asyncio.sleep(beside.every_s)
        if (ask := beside.next()) is not None:
            try:
                await _answer(ask.send(redis))
            except (RedisError, OSError) as error:
                log.debug("nothing was kept alive", error=str(error))
