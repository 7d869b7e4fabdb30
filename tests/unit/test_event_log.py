"""Events into the stream and onto the channel: numbered, fenced, never twice. On fakeredis with Lua."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import fakeredis
import pytest

from browser_agent.event_log import EventLog
from browser_agent.fence import Fence, Fenced
from whatsapp_contract import event_script
from whatsapp_contract.events import AlertData, AuthenticatedData, Event, EventType
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")


@pytest.fixture
async def redis() -> AsyncIterator[Any]:
    async with fakeredis.FakeAsyncRedis(decode_responses=True) as client:
        yield client


@contextlib.asynccontextmanager
async def event_log(redis: Any, epoch: int) -> AsyncIterator[EventLog]:
    log = EventLog(redis, NAMES, fence_at(redis, epoch))
    running = asyncio.create_task(log.run())
    try:
        yield log
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def fence_at(redis: Any, epoch: int) -> Fence:
    fence = Fence(redis, NAMES)
    fence.epoch = epoch
    return fence


async def take_epoch(redis: Any, least: int = 1) -> int:
    return int(await redis.eval(event_script.TAKE_EPOCH_LUA, 1, NAMES.fence, str(least)))


async def test_an_agent_that_takes_the_store_s_epoch_as_well_is_one_life(redis: Any) -> None:
    """As one with an empty Redis does; what counts lives must not take it for many."""
    for life, epoch in ((1, 58), (2, 70)):
        fence = Fence(redis, NAMES)
        await fence.take()
        await fence.take(epoch)
        assert (fence.epoch, await redis.hget(NAMES.fence, "lives")) == (epoch, str(life))


async def stream(redis: Any) -> list[Event]:
    entries = await redis.xrange(NAMES.events)
    return [Event.model_validate({**json.loads(fields["event"]), "id": entry_id}) for entry_id, fields in entries]


def alert(code: str) -> AlertData:
    return AlertData(code=code, message="m")


async def test_events_are_in_the_stream_in_order_and_numbered(redis: Any) -> None:
    epoch = await take_epoch(redis)
    async with event_log(redis, epoch) as log:
        for n in range(200):
            log.publish(EventType.ALERT, alert(str(n)))
        assert await log.flushed(5)
    events = await stream(redis)
    assert [event.data["code"] for event in events] == [str(n) for n in range(200)]
    assert [event.seq for event in events] == list(range(1, 201))
    assert {(event.v, event.type, event.session_id, event.epoch) for event in events} == {(1, "alert", "s1", epoch)}


async def test_the_channel_carries_the_stream_s_entry_with_its_id(redis: Any) -> None:
    async with redis.pubsub() as pubsub, event_log(redis, await take_epoch(redis)) as log:
        await pubsub.subscribe(NAMES.events)
        log.publish(EventType.ALERT, alert("a"))
        assert await log.flushed(5)
        message = None
        while message is None or message["type"] != "message":
            message = await pubsub.get_message(timeout=5)
    assert Event.model_validate_json(message["data"]) == (await stream(redis))[0]


async def test_an_event_tells_when_it_happened_and_when_it_was_seen(redis: Any) -> None:
    happened = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    async with event_log(redis, await take_epoch(redis)) as log:
        log.publish(EventType.ALERT, alert("a"), occurred_at=happened)
        assert await log.flushed(5)
    (event,) = await stream(redis)
    assert event.occurred_at == happened
    assert (datetime.now(UTC) - event.observed_at).total_seconds() < 60


async def test_epochs_only_grow(redis: Any) -> None:
    assert [await take_epoch(redis) for _ in range(3)] == [1, 2, 3]
    assert await take_epoch(redis, least=10) == 10
    assert await take_epoch(redis, least=2) == 11


async def test_an_old_agent_cannot_speak(redis: Any) -> None:
    old, new = await take_epoch(redis), await take_epoch(redis)
    log = EventLog(redis, NAMES, fence_at(redis, old))
    log.publish(EventType.ALERT, alert("from the past"))
    with pytest.raises(Fenced):
        await log.run()
    async with event_log(redis, new) as log:
        log.publish(EventType.ALERT, alert("now"))
        assert await log.flushed(5)
    assert [event.data["code"] for event in await stream(redis)] == ["now"]


async def test_a_redis_that_lost_its_memory_does_not_silence_the_agent_that_runs(redis: Any) -> None:
    await take_epoch(redis, least=7)
    async with event_log(redis, 7) as log:
        await redis.flushall()
        log.publish(EventType.ALERT, alert("a"))
        assert await log.flushed(5)
        assert [event.epoch for event in await stream(redis)] == [7]
        assert await take_epoch(redis) == 8


async def test_an_event_sent_again_after_a_lost_answer_is_not_doubled(redis: Any) -> None:
    epoch = await take_epoch(redis)
    now = datetime.now(UTC)

    async def send(number: int) -> str:
        args = event_script.event_args(
            "s1", "alert", alert(str(number)), number=number, occurred_at=now, observed_at=now
        )
        keys = event_script.publish_keys(NAMES)
        (answer,) = await redis.eval(event_script.PUBLISH_LUA, len(keys), *keys, str(epoch), *args)
        return str(answer)

    first, again, second = [await send(number) for number in (1, 1, 2)]
    assert again == event_script.REPEATED
    assert [event.id for event in await stream(redis)] == [first, second]
    assert [event.seq for event in await stream(redis)] == [1, 2]


async def test_another_process_speaks_in_the_name_of_the_holder(redis: Any) -> None:
    epoch = await take_epoch(redis, least=5)
    now = datetime.now(UTC)
    args = event_script.event_args("s1", "alert", alert("a"), number=None, occurred_at=now, observed_at=now)
    keys = event_script.publish_keys(NAMES)
    await redis.eval(event_script.PUBLISH_LUA, len(keys), *keys, event_script.epoch_arg(None), *args)
    async with event_log(redis, epoch) as log:
        log.publish(EventType.ALERT, alert("b"))
        assert await log.flushed(5)
    assert [(event.epoch, event.seq) for event in await stream(redis)] == [(5, 1), (5, 2)]


async def test_messages_that_do_not_fit_are_not_taken_and_the_audit_is_told(redis: Any) -> None:
    log = EventLog(redis, NAMES, fence_at(redis, await take_epoch(redis)), queue_at_most=100)
    refused = []
    log.on_dropped = lambda: refused.append(True)
    for n in range(105):
        log.publish(EventType.ALERT, alert(str(n)), claim=f"key {n}")
    log.publish(EventType.ALERT, alert("no message"))
    assert (log.dropped, len(refused)) == (5, 5)
    running = asyncio.create_task(log.run())
    assert await log.flushed(5)
    running.cancel()
    codes = [event.data["code"] for event in await stream(redis)]
    assert codes == [*(str(n) for n in range(100)), "no message"]


async def test_a_claim_is_told_once_whoever_comes_with_it_and_what_goes_with_it_is_done_once(redis: Any) -> None:
    told: list[bool] = []
    for epoch in (1, 2):
        await take_epoch(redis, least=epoch)
        async with event_log(redis, epoch) as log:
            also = [("HINCRBY", "counted", "k", "1"), ("SADD", "set", "a b", 'c"d')]
            log.publish(EventType.ALERT, alert(str(epoch)), claim="k", also=also, sent=told.append)
            assert await log.flushed(5)
    assert told == [True, False]
    assert [event.data["code"] for event in await stream(redis)] == ["1"]
    assert await redis.hgetall("counted") == {"k": "1"}
    assert await redis.smembers("set") == {"a b", 'c"d'}
    assert float(await redis.zscore(NAMES.claims, "k")) > 1_700_000_000


async def test_commands_without_an_event_keep_their_place_and_are_fenced(redis: Any) -> None:
    await take_epoch(redis)
    async with event_log(redis, 1) as log:
        log.publish(EventType.ALERT, alert("a"))
        log.write([("SET", "x", "1")])
        log.publish(EventType.ALERT, alert("b"))
        assert await log.flushed(5)
    assert await redis.get("x") == "1"
    assert [event.seq for event in await stream(redis)] == [1, 2]
    await take_epoch(redis)
    log = EventLog(redis, NAMES, fence_at(redis, 1))
    log.write([("SET", "x", "2")])
    with pytest.raises(Fenced):
        await log.run()
    assert await redis.get("x") == "1"


async def test_an_epoch_that_rises_while_events_wait_silences_none_and_doubles_none(redis: Any) -> None:
    """The store has seen more starts than this Redis: the fence rises between two events of one batch."""
    fence = Fence(redis, NAMES)
    await fence.take()
    log = EventLog(redis, NAMES, fence)
    for text in "abc":
        log.publish(EventType.ALERT, alert(text))
    running = asyncio.create_task(log.run())
    await asyncio.gather(fence.take(50), log.flushed(5))
    log.publish(EventType.ALERT, alert("d"))
    assert await log.flushed(5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    events = await stream(redis)
    assert [event.data["code"] for event in events] == ["a", "b", "c", "d"]
    assert events[-1].epoch == 50
    assert [event.epoch for event in events] == sorted(event.epoch for event in events)


async def test_an_event_that_could_not_be_added_is_not_taken_for_a_repeated_one(redis: Any) -> None:
    """Somebody else's value lies where the stream should be, until it is deleted."""
    fence = Fence(redis, NAMES)
    await fence.take()
    await redis.set(NAMES.events, "in the way")
    log = EventLog(redis, NAMES, fence)
    log.publish(EventType.ALERT, alert("a"))
    running = asyncio.create_task(log.run())
    assert not await log.flushed(0.3)
    await redis.delete(NAMES.events)
    assert await log.flushed(10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [event.data["code"] for event in await stream(redis)] == ["a"]


async def test_what_must_be_written_with_an_event_and_cannot_be_keeps_it_and_all_later_ones_back(redis: Any) -> None:
    """Somebody else's value lies where the ledger should be, until it is deleted."""
    await take_epoch(redis)
    await redis.set("ledger", "in the way")
    told: list[bool] = []
    async with event_log(redis, 1) as log:
        log.publish(EventType.ALERT, alert("a"))
        log.publish(EventType.ALERT, alert("b"), claim="b", also=[("ZADD", "ledger", 1, "b")], sent=told.append)
        log.publish(EventType.ALERT, alert("c"), sent=told.append)
        assert not await log.flushed(0.5)
        assert [event.data["code"] for event in await stream(redis)] == ["a"]
        assert told == []
        await redis.delete("ledger")
        assert await log.flushed(10)
    assert [event.data["code"] for event in await stream(redis)] == ["a", "b", "c"]
    assert told == [True, True]
    assert await redis.zrange("ledger", 0, -1) == ["b"]


# -- counted by type --------------------------------------------------------------------------------------------------


async def counted(redis: Any) -> dict[str, str]:
    return dict(await redis.hgetall(NAMES.event_counts))


async def test_events_are_counted_by_type_and_kind_each_once(redis: Any) -> None:
    async with event_log(redis, await take_epoch(redis)) as log:
        for code in ("a", "b", "a"):
            log.publish(EventType.ALERT, alert(code))
        for _ in range(2):  # the second is not told, and not counted
            log.publish(EventType.ALERT, alert("c"), claim="c")
        log.publish(EventType.AUTHENTICATED, AuthenticatedData(restored=True))
        log.write([["SET", "other", "1"]])  # tells nothing
        assert await log.flushed(5)
    assert await counted(redis) == {"alert:a": "2", "alert:b": "1", "alert:c": "1", "authenticated": "1"}
    assert sum(map(int, (await counted(redis)).values())) == len(await stream(redis))


async def test_a_batch_that_is_sent_again_is_counted_once(redis: Any) -> None:
    epoch, keys = await take_epoch(redis), event_script.publish_keys(NAMES)
    now = datetime.now(UTC)
    args = event_script.event_args(
        "s1", "alert", alert("a"), number=1, occurred_at=now, observed_at=now, claim=None, also=()
    )
    for _ in range(2):
        await redis.eval(event_script.PUBLISH_LUA, len(keys), *keys, str(epoch), *args)
    assert await counted(redis) == {"alert:a": "1"}


async def test_counts_that_cannot_be_kept_keep_no_event_back(redis: Any) -> None:
    await redis.set(NAMES.event_counts, "somebody else's")
    async with event_log(redis, await take_epoch(redis)) as log:
        log.publish(EventType.ALERT, alert("a"))
        assert await log.flushed(5)
    assert [event.data["code"] for event in await stream(redis)] == ["a"]
