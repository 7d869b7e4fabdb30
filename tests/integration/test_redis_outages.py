"""The bus and the event log through what happens to a real Redis: restarted, frozen, emptied, busy with junk."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel
from redis.exceptions import RedisError

from browser_agent.command_bus import CommandBus
from browser_agent.event_log import EventLog
from browser_agent.fence import Fence
from tests.harness.redis_server import RedisServer
from whatsapp_contract.client import AsyncAgentClient
from whatsapp_contract.commands import CommandSpec
from whatsapp_contract.errors import ContractError
from whatsapp_contract.events import AlertData, EventType
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import connect_async, is_outage
from whatsapp_contract.results import LogoutResult

NAMES = SessionNames("s1")


async def answer(_spec: CommandSpec, _args: Any) -> BaseModel:
    return LogoutResult(took_ms=0)


@contextlib.asynccontextmanager
async def serving_bus(server: RedisServer) -> AsyncIterator[CommandBus]:
    async with connect_async(server.url, decode_responses=False) as raw:
        bus = CommandBus(raw, NAMES, answer)
        task = asyncio.create_task(bus.serve())
        try:
            yield bus
        finally:
            assert not task.done(), "the bus ended"
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def event_log(redis: Any, epoch: int = 1) -> EventLog:
    fence = Fence(redis, NAMES)
    await fence.take(at_least=epoch)
    return EventLog(redis, NAMES, fence)


async def answered_within(server: RedisServer, within_s: float) -> float:
    """Seconds until a command is answered."""
    started = time.monotonic()
    async with connect_async(server.url) as redis:
        client = AsyncAgentClient(redis, "s1")
        while time.monotonic() - started < within_s:
            try:
                await client.call("logout", reply_within_s=1)
                return time.monotonic() - started
            except Exception as error:
                if not isinstance(error, ContractError) and not is_outage(error):
                    raise
            await asyncio.sleep(0.05)
    raise AssertionError(f"no answer within {within_s:g} s")


async def test_the_bus_is_back_after_redis_was_restarted(redis_server: RedisServer) -> None:
    async with serving_bus(redis_server):
        await answered_within(redis_server, 30)
        for end in (redis_server.stop, redis_server.kill):
            await asyncio.to_thread(end)
            await asyncio.sleep(1)  # an outage of a second
            await asyncio.to_thread(redis_server.start)
            await answered_within(redis_server, 30)


async def test_the_bus_notices_a_frozen_redis_and_is_back_after_it(redis_server: RedisServer) -> None:
    async with serving_bus(redis_server):
        await answered_within(redis_server, 30)
        redis_server.freeze()
        await asyncio.sleep(8)  # long enough for the old connection to be given up
        redis_server.thaw()
        await answered_within(redis_server, 30)


async def test_a_quiet_bus_keeps_its_connection(redis_server: RedisServer) -> None:
    async with serving_bus(redis_server), connect_async(redis_server.url) as redis:
        await answered_within(redis_server, 30)
        before = [client["id"] for client in await redis.client_list(_type="pubsub")]
        await asyncio.sleep(7)  # over two signs of life
        assert [client["id"] for client in await redis.client_list(_type="pubsub")] == before
        await answered_within(redis_server, 30)


async def test_a_redis_that_is_not_there_at_first_is_waited_for(redis_server: RedisServer) -> None:
    redis_server.stop()
    async with serving_bus(redis_server):
        await asyncio.sleep(0.5)
        await asyncio.to_thread(redis_server.start)
        await answered_within(redis_server, 30)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_no_event_is_lost_or_doubled_over_restarts_of_redis(redis_server: RedisServer, how: str) -> None:
    async with connect_async(redis_server.url) as redis:
        log = await event_log(redis)
        running = asyncio.create_task(log.run())
        published = 0
        for _ in range(3):
            for _ in range(400):
                log.publish(EventType.ALERT, AlertData(code=str(published), message="m"))
                published += 1
                if published % 40 == 0:
                    await asyncio.sleep(0.001)
            # With the file synced before the kill, what was answered is kept.
            if how == "kill":
                assert await log.flushed(60)
                await asyncio.sleep(1.1)
            await asyncio.to_thread(getattr(redis_server, how))
            log.publish(EventType.ALERT, AlertData(code=str(published), message="while away"))
            published += 1
            await asyncio.to_thread(redis_server.start)
        assert await log.flushed(60)
        entries: Any = await redis.xrange(NAMES.events)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    codes = [json.loads(fields["event"])["data"]["code"] for _id, fields in entries]
    assert codes == [str(n) for n in range(published)]
    assert log.dropped == 0


# How a real Redis is brought to refuse us, and how it is mended.
REFUSALS: dict[str, tuple[list[str], list[str]]] = {
    "OOM": (["CONFIG SET maxmemory 1"], ["CONFIG SET maxmemory 0"]),
    "READONLY": (["REPLICAOF 127.0.0.1 1"], ["REPLICAOF NO ONE"]),
    "MASTERDOWN": (["CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"], ["REPLICAOF NO ONE"]),
    "NOREPLICAS": (["CONFIG SET min-replicas-to-write 1"], ["CONFIG SET min-replicas-to-write 0"]),
    "NOPERM": (["ACL SETUSER default resetkeys ~other"], ["ACL SETUSER default ~*"]),
    "WRONGTYPE": ([f"SET {NAMES.fence} text", f"SET {NAMES.status} text"], [f"DEL {NAMES.fence} {NAMES.status}"]),
}


async def carry_out(redis: Any, commands: list[str]) -> None:
    for command in commands:
        await redis.execute_command(*command.split(" "))


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_redis_that_answers_but_refuses_is_waited_for(redis_server: RedisServer, refusal: str) -> None:
    spoil, mend = REFUSALS[refusal]
    async with serving_bus(redis_server), connect_async(redis_server.url) as redis:
        await answered_within(redis_server, 30)
        log = await event_log(redis)
        running = asyncio.create_task(log.run())
        await carry_out(redis, spoil)
        for code in ("first", "second"):
            log.publish(EventType.ALERT, AlertData(code=code, message="m"))
        with pytest.raises((RedisError, OSError)) as caught:
            await redis.hset(NAMES.status, "state", "ready")
        assert is_outage(caught.value)
        await redis.publish(NAMES.commands, json.dumps({"name": "logout", "id": str(uuid4())}))
        assert not await log.flushed(1)
        assert not running.done()
        await carry_out(redis, mend)
        assert await log.flushed(60)
        await answered_within(redis_server, 30)
        entries: Any = await redis.xrange(NAMES.events)
        assert [json.loads(fields["event"])["data"]["code"] for _id, fields in entries] == ["first", "second"]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_emptied_redis_gets_the_script_and_the_fence_again(redis_server: RedisServer) -> None:
    async with connect_async(redis_server.url) as redis:
        log = await event_log(redis, epoch=5)
        running = asyncio.create_task(log.run())
        log.publish(EventType.ALERT, AlertData(code="before", message="m"), occurred_at=datetime.now(UTC))
        assert await log.flushed(20)
        await redis.flushall()
        await redis.script_flush()
        log.publish(EventType.ALERT, AlertData(code="after", message="m"))
        assert await log.flushed(20)
        entries: Any = await redis.xrange(NAMES.events)
        assert [json.loads(fields["event"])["epoch"] for _id, fields in entries] == [5]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
