"""Following in asyncio ends when it is cancelled, whatever the client of Redis does with a cancellation."""

import asyncio
import contextlib
from typing import Any

from whatsapp_contract.steps import Ask, Steps, for_asyncio


async def test_a_cancellation_that_the_client_swallows_ends_it_all_the_same() -> None:
    asked: list[int] = []

    async def answer(_redis: Any) -> None:
        asked.append(len(asked))
        with contextlib.suppress(asyncio.CancelledError):  # as asyncio.wait_for of Python 3.11, at a bad moment
            await asyncio.sleep(0.05)

    def steps() -> Steps[None]:
        while True:
            yield Ask(answer)

    async def follow() -> None:
        async for _event in for_asyncio(None, steps(), None):  # type: ignore[arg-type]
            pass

    following = asyncio.create_task(follow())
    while not asked:
        await asyncio.sleep(0)
    following.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(following, return_exceptions=True)
    assert following.cancelled()
    assert len(asked) == 1
