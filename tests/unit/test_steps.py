"""Following in asyncio ends when it is cancelled, whatever the client of Redis does with a cancellation."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

from whatsapp_contract.events import Event
from whatsapp_contract.steps import Ask, Beside, Steps, for_asyncio


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
    async with asyncio.timeout(30):
        await asyncio.gather(following, return_exceptions=True)
    assert following.cancelled()
    assert len(asked) == 1


async def test_closing_ends_what_is_asked_beside_whatever_the_client_does() -> None:
    now = datetime.now(UTC)
    event = Event(type="alert", session_id="s1", epoch=1, seq=1, occurred_at=now, observed_at=now, data={})
    asked: list[int] = []

    async def answer(_redis: Any) -> None:
        asked.append(len(asked))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    def steps() -> Steps[None]:
        yield event

    events = for_asyncio(None, steps(), Beside(0.0, lambda: Ask(answer)))  # type: ignore[arg-type]
    await anext(events)
    while not asked:
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await events.aclose()
    assert len(asked) == 1
