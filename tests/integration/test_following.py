"""A group's consumers: what is done with is acknowledged, what is not comes again. On a real Redis,
since fakeredis does not block as it does."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from tests.harness.redis_server import RedisServer
from tests.harness.stream import add_event
from tests.harness.waiting import wait_until
from whatsapp_contract.client import AgentClient, AsyncAgentClient
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import connect_async

NAMES = SessionNames("s1")
EVENTS = NAMES.events


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Any]:
    async with connect_async(redis_server.url) as client:
        yield client


@pytest.fixture
def client(redis: Any) -> AsyncAgentClient:
    return AsyncAgentClient(redis, "s1")


async def add(redis: Any, *codes: str, event_type: str = "alert") -> list[str]:
    return [str(await add_event(redis, NAMES, code, event_type)) for code in codes]


async def pending(redis: Any, group: str = "g") -> int:
    return int((await redis.xpending(EVENTS, group))["pending"])


async def somebody_waits(redis: Any) -> None:
    """For an event that is not there yet: whoever was to follow does."""
    async with asyncio.timeout(20):
        while not (await redis.info("clients"))["blocked_clients"]:
            await asyncio.sleep(0.01)


async def given(client: AsyncAgentClient, count: int, **options: Any) -> list[str]:
    """Codes of the first events; the last is left unacknowledged."""
    codes: list[str] = []
    async with asyncio.timeout(40), aclosing(client.follow(**{"group": "g", "consumer": "a"} | options)) as events:
        async for event in events:
            codes.append(event.data.get("code") or event.data["reason"])
            if len(codes) == count:
                return codes
    raise AssertionError(codes)


async def test_a_group_is_made_from_the_stream_s_beginning(redis: Any, client: AsyncAgentClient) -> None:
    await add(redis, "1", "2", "3")
    assert await given(client, 3) == ["1", "2", "3"]


async def test_a_group_may_begin_with_what_comes(redis: Any, client: AsyncAgentClient) -> None:
    await add(redis, "old")
    task = asyncio.create_task(given(client, 1, after="$"))
    await somebody_waits(redis)
    await add(redis, "new")
    assert await task == ["new"]


async def test_a_group_waits_for_a_stream_that_is_not_there_yet(redis: Any, client: AsyncAgentClient) -> None:
    task = asyncio.create_task(given(client, 1))
    await somebody_waits(redis)
    await add(redis, "first")
    assert await task == ["first"]


async def test_an_event_is_acknowledged_when_the_next_is_asked_for(redis: Any, client: AsyncAgentClient) -> None:
    ids = await add(redis, "1", "2", "3")
    events = client.follow(group="g", consumer="a")
    seen = []
    for left in (3, 2, 1):
        seen.append((await anext(events)).id)
        assert await pending(redis) == left  # the one in hand is always among them
    await events.aclose()
    assert seen == ids
    assert await pending(redis) == 1


async def test_what_a_body_did_not_finish_comes_again_to_the_same_consumer(
    redis: Any, client: AsyncAgentClient
) -> None:
    await add(redis, "1", "2", "3", "4")

    async def fail_at_two() -> None:
        async for event in client.follow(group="g", consumer="a"):
            if event.data["code"] == "2":
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_at_two()
    assert await given(client, 3) == ["2", "3", "4"]


async def test_what_is_pending_comes_before_what_is_new(redis: Any, client: AsyncAgentClient) -> None:
    await add(redis, *map(str, range(25)))
    assert await given(client, 1) == ["0"]
    await add(redis, "new")
    assert await given(client, 26) == [*map(str, range(25)), "new"]


async def test_two_consumers_share_and_two_groups_do_not(redis: Any, client: AsyncAgentClient) -> None:
    codes = [str(n) for n in range(60)]
    await add(redis, *codes)
    taken: dict[str, list[str]] = {"a": [], "b": []}

    async def consume(name: str) -> None:
        async for event in client.follow(group="g", consumer=name):
            taken[name].append(event.data["code"])
            await asyncio.sleep(0.001)

    tasks = [asyncio.create_task(consume(name)) for name in taken]
    async with asyncio.timeout(40):
        while len(taken["a"]) + len(taken["b"]) < 60 or await pending(redis):
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(taken["a"] + taken["b"], key=int) == codes
    assert min(len(taken["a"]), len(taken["b"])) >= 10
    assert await given(client, 60, group="other") == codes


async def test_what_a_dead_consumer_left_is_taken_over(redis: Any, client: AsyncAgentClient) -> None:
    await add(redis, "1", "2")
    assert await given(client, 1, consumer="dead", claim_idle_s=0.2) == ["1"]
    await add(redis, "3")
    await asyncio.sleep(0.3)
    assert await given(client, 3, consumer="b", claim_idle_s=0.2) == ["1", "2", "3"]


async def test_what_is_left_while_another_waits_is_taken_over_too(redis: Any, client: AsyncAgentClient) -> None:
    task = asyncio.create_task(given(client, 2, consumer="b", claim_idle_s=0.5, batch=1))
    await somebody_waits(redis)
    await redis.xgroup_createconsumer(EVENTS, "g", "dead")
    await add(redis, "mine")
    await asyncio.sleep(0.1)
    await add(redis, "left")  # b has not acknowledged `mine` before it asks for more
    await redis.xreadgroup("g", "dead", {EVENTS: ">"})
    assert sorted(await task) == ["left", "mine"]


async def test_a_slow_body_keeps_what_it_has_in_hand(redis: Any, client: AsyncAgentClient) -> None:
    codes = [str(n) for n in range(5)]
    await add(redis, *codes)
    slow = client.follow(group="g", consumer="slow", claim_idle_s=4)  # which this process may be stopped for
    seen = [(await anext(slow)).data["code"]]
    other = asyncio.create_task(given(client, 1, consumer="other", claim_idle_s=4))
    await asyncio.sleep(9)  # twice what an idle one is given
    assert not other.done()
    async with asyncio.timeout(20):
        while len(seen) < 5:
            seen.append((await anext(slow)).data["code"])
    await slow.aclose()
    assert seen == codes
    assert await other == ["4"]  # which was not acknowledged


async def test_who_was_taken_for_dead_does_not_take_back(redis: Any, client: AsyncAgentClient) -> None:
    (first,) = await add(redis, "1")
    frozen = client.follow(group="g", consumer="frozen", claim_idle_s=0.3)
    await anext(frozen)
    await redis.xclaim(EVENTS, "g", "other", 0, [first])
    await asyncio.sleep(0.4)
    assert [entry["consumer"] for entry in await redis.xpending_range(EVENTS, "g", "-", "+", 9)] == ["other"]
    await frozen.aclose()


async def test_other_types_are_acknowledged_without_being_given(redis: Any, client: AsyncAgentClient) -> None:
    await add(redis, "1", "2")
    await add(redis, "3", event_type="auth_failure")
    await add(redis, *map(str, range(30)))
    await add(redis, "4", event_type="auth_failure")
    assert await given(client, 2, types={"auth_failure"}) == ["3", "4"]
    assert await pending(redis) == 1


async def test_what_was_trimmed_away_while_pending_is_passed_over(redis: Any, client: AsyncAgentClient) -> None:
    await add(redis, "1", "2", "3")
    assert await given(client, 1) == ["1"]
    await redis.xtrim(EVENTS, maxlen=1, approximate=False)
    assert await given(client, 1) == ["3"]
    assert await pending(redis) == 1


@pytest.mark.parametrize("fields", [{"other": "x"}, {"event": "{"}, {"event": "[]"}, {"event": '{"v": 2}'}])
async def test_what_cannot_be_read_does_not_stop_the_loop(
    redis: Any, client: AsyncAgentClient, fields: dict[str, str]
) -> None:
    await add(redis, "1")
    await redis.xadd(EVENTS, fields)
    await add(redis, "2")
    assert await given(client, 2) == ["1", "2"]
    assert await pending(redis) == 1
    assert await given(client, 2, group=None, consumer=None, after="0") == ["1", "2"]


async def test_a_lost_group_is_made_anew_and_nothing_is_lost(redis: Any, client: AsyncAgentClient) -> None:
    await add(redis, "1", "2")
    events = client.follow(group="g", consumer="a")
    assert (await anext(events)).data["code"] == "1"
    await redis.flushall()
    await add(redis, "3")
    async with asyncio.timeout(40):
        # What is in hand is not in Redis any more; it is given all the same.
        assert [(await anext(events)).data["code"] for _ in range(2)] == ["2", "3"]
    await events.aclose()


async def test_without_a_group_events_are_read_from_where_one_says(redis: Any, client: AsyncAgentClient) -> None:
    ids = await add(redis, "1", "2", "3")
    assert await given(client, 2, group=None, consumer=None, after=ids[0]) == ["2", "3"]
    task = asyncio.create_task(given(client, 1, group=None, consumer=None))
    await somebody_waits(redis)
    await add(redis, "4")
    assert await task == ["4"]


@pytest.mark.parametrize("options", [{"group": "g"}, {"consumer": "a"}, {"group": "", "consumer": "a"}])
async def test_group_and_consumer_go_together(client: AsyncAgentClient, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="group"):
        client.follow(**options)  # type: ignore[arg-type]


async def test_breaking_off_leaves_nothing_running(redis: Any, client: AsyncAgentClient) -> None:
    await add(redis, "1", "2")
    before = asyncio.all_tasks()
    async for _event in client.follow(group="g", consumer="a"):
        break
    waiting = asyncio.create_task(given(client, 9))
    await somebody_waits(redis)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    gc.collect()
    async with asyncio.timeout(20):
        while asyncio.all_tasks() != before:
            await asyncio.sleep(0.02)


def test_threads_follow_in_the_same_way(redis_server: RedisServer) -> None:
    redis: Any = redis_server.client()
    client = AgentClient(redis, "s1")
    for n in range(30):
        add_event(redis, NAMES, str(n))
    before = threading.active_count()
    seen = []
    for event in client.follow(group="g", consumer="a"):
        seen.append(event.data["code"])
        if len(seen) == 20:
            break
    wait_until(lambda: threading.active_count() == before, 20, "its thread has ended")
    for event in client.follow(group="g", consumer="a"):
        seen.append(event.data["code"])
        if len(seen) == 31:
            break
    assert seen == [*map(str, range(20)), *map(str, range(19, 30))]
    assert redis.xpending(EVENTS, "g")["pending"] == 1
    wait_until(lambda: threading.active_count() == before, 20, "its thread has ended")
    redis.close()


def test_a_slow_thread_keeps_what_it_has_in_hand(redis_server: RedisServer) -> None:
    redis: Any = redis_server.client()
    client = AgentClient(redis, "s1")
    for code in "12":
        add_event(redis, NAMES, code)
    slow = client.follow(group="g", consumer="slow", claim_idle_s=0.3)
    next(slow)
    threading.Event().wait(1.0)

    def idle_ms() -> list[int]:
        return [entry["time_since_delivered"] for entry in redis.xpending_range(EVENTS, "g", "-", "+", 9)]

    assert len(idle_ms()) == 2
    wait_until(lambda: max(idle_ms()) < 300, 20, "it was held a moment ago")
    slow.close()
    redis.close()
