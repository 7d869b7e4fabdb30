"""The loop's lag: what blocks it shows, while it goes on and for a while after, and is forgotten then."""

import asyncio
import time

from browser_agent.loop_lag import LoopLag


async def test_a_blocked_loop_shows_and_is_forgotten() -> None:
    lag = LoopLag(every_s=0.01, within_s=0.5)
    assert lag.worst_ms is None
    running = asyncio.create_task(lag.run())
    async with asyncio.timeout(30):
        while lag.worst_ms is None:
            await asyncio.sleep(0.01)
        time.sleep(0.3)  # noqa: ASYNC251  # it blocks the loop, as it should
        assert 280 <= lag.worst_ms < 30_000  # it goes on for whoever asks before the next look
        await asyncio.sleep(0.05)
        assert lag.worst_ms >= 280
        while lag.worst_ms >= 280:
            await asyncio.sleep(0.01)
    running.cancel()


async def test_only_what_may_still_be_the_worst_is_kept() -> None:
    lag = LoopLag(every_s=0.001, within_s=10)
    running = asyncio.create_task(lag.run())
    await asyncio.sleep(0.3)
    assert len(lag._late) < 60
    running.cancel()


async def test_what_was_lost_counts_from_when_it_is_asked_for() -> None:
    loop = asyncio.get_running_loop()
    lag = LoopLag(every_s=0.01)
    assert lag.lost_s(loop.time()) == 0.0
    running = asyncio.create_task(lag.run())
    await asyncio.sleep(0.1)
    started = loop.time()
    assert lag.lost_s(started) == 0.0
    time.sleep(1.2)  # noqa: ASYNC251  # it blocks the loop, as it should
    lost_s = lag.lost_s(started)  # it goes on
    assert 1.15 < lost_s <= loop.time() - started  # a busy machine may have blocked it for longer
    await asyncio.sleep(0.02)
    lost_s = lag.lost_s(started)  # it is over, and counted once
    assert 1.15 < lost_s <= loop.time() - started
    assert lag.lost_s(loop.time() - 0.2) < 0.2
    assert lag.lost_s(loop.time()) == 0.0
    running.cancel()
