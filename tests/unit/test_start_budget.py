"""At most five starts in ten minutes, over all lives of the agent."""

import time
from typing import Any

import fakeredis
import pytest

from browser_agent.start_budget import StartBudget
from whatsapp_contract.names import InstanceNames

NAMES = InstanceNames("s1", "i1")


@pytest.fixture
def redis() -> Any:
    return fakeredis.FakeAsyncRedis(decode_responses=True)


def budget(redis: Any) -> StartBudget:
    return StartBudget(redis, NAMES, budget=5, window_s=600)


async def note(redis: Any, *ages_s: float) -> float:
    """Starts of so long ago; the time from which that is reckoned."""
    now = time.time()
    await redis.zadd(NAMES.starts, {f"{now - age:.6f}": now - age for age in ages_s})
    return now


async def test_five_starts_are_free_and_the_sixth_waits_for_the_oldest_to_leave_the_window(redis: Any) -> None:
    before = time.time()
    for _ in range(5):
        assert await budget(redis).held_until() is None
        await budget(redis).spend()  # each by another life of the agent
    held_until = await budget(redis).held_until()
    assert held_until is not None
    assert before + 595 < held_until <= time.time() + 600
    assert await budget(redis).count() == 5


async def test_starts_before_the_window_count_for_nothing(redis: Any) -> None:
    await note(redis, 601, 602, 603, 10, 20, 30, 40)
    assert await budget(redis).held_until() is None


async def test_it_is_held_until_one_more_start_fits(redis: Any) -> None:
    now = await note(redis, 500, 400, 300, 200, 100, 50)
    held_until = await budget(redis).held_until()
    assert held_until is not None
    assert 199 < held_until - now < 201


async def test_a_clock_set_back_does_not_hold_the_browser_back(redis: Any) -> None:
    await note(redis, -3600, -3601, -3602, -3603, -3604)
    assert await budget(redis).held_until() is None


async def test_what_somebody_else_wrote_into_the_key_ends_nothing(redis: Any) -> None:
    await redis.zadd(NAMES.starts, {"no time": time.time(), "never": float("inf")})
    assert await budget(redis).count() == 1
    await redis.delete(NAMES.starts)
    await redis.set(NAMES.starts, "a text")
    await budget(redis).spend()
    assert await budget(redis).held_until() is None


async def test_with_redis_away_this_life_s_own_starts_count() -> None:
    server = fakeredis.FakeServer()
    mine = budget(fakeredis.FakeAsyncRedis(server=server, decode_responses=True))
    server.connected = False
    for _ in range(5):
        assert await mine.held_until() is None
        await mine.spend()
    assert await mine.held_until() is not None


async def test_a_start_that_ended_as_it_should_counts_for_nothing(redis: Any) -> None:
    for _ in range(9):
        life = budget(redis)
        await life.spend()
        await life.forgive()
        await life.forgive()
    assert await budget(redis).count() == 0
    await note(redis, 10)
    await budget(redis).forgive()
    assert await budget(redis).count() == 1
