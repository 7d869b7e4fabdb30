"""The sends as Redis keeps them. Whatever changes of one is written through the event log: fenced, in order with what
is told, and together with it."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

import redis.asyncio
from pydantic import ValidationError

from browser_agent.event_log import EventLog
from whatsapp_contract.errors import NotReady
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import EventType, MessageAckData
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.send_queue import message_of

from .pacing import Slot
from .record import KEPT_AFTER_END_S, SendRecord
from .scripts import ACCEPT_LUA, WAKE_LUA

log = get_logger(__name__)

WRITTEN_WITHIN_S = 10.0
RECENT_S = 3 * 24 * 3600
PACE_KEPT_S = 3600
PACES_AT_MOST = 2000
WOKEN_AT_ONCE = 500


class Outbox:
    """One per agent."""

    def __init__(self, client: "redis.asyncio.Redis", names: SessionNames, event_log: EventLog) -> None:
        self._redis: Any = client  # its types know neither of awaiting nor of decoding
        self._names = names
        self._event_log = event_log

    # -- one send ----------------------------------------------------------------------------------------------------

    async def load(self, key: str) -> SendRecord | None:
        """The record, None where there is none (any more)."""
        return _record(await self._redis.get(self._names.send(key)))

    async def load_all(self, keys: Sequence[str]) -> list[SendRecord]:
        """Those that there are."""
        if not keys:
            return []
        kept = await self._redis.mget([self._names.send(key) for key in keys])
        return [record for record in map(_record, kept) if record is not None]

    async def accept(self, record: SendRecord) -> SendRecord:
        """Keep it and have it carried, unless its key is known: then the send that is known."""
        names = self._names
        kept = await self._redis.eval(
            ACCEPT_LUA,
            4,
            *(names.send(record.idempotency_key), names.sends_of(record.chat_id), names.sends_open, names.send_queue),
            *(
                record.model_dump_json(),
                record.idempotency_key,
                record.accepted_at,
                message_of(record.idempotency_key),
            ),
        )
        return record if kept is None else SendRecord.model_validate_json(kept)

    async def position(self, record: SendRecord) -> int:
        """Its place in its chat, 0 at the head. One that has lost its place gets the last."""
        place = await self._redis.lpos(self._names.sends_of(record.chat_id), record.idempotency_key)
        if place is None:
            length = await self._redis.rpush(self._names.sends_of(record.chat_id), record.idempotency_key)
            place = length - 1
        return int(place)

    async def save(self, record: SendRecord) -> None:
        """Write an open send's record. Raises NotReady where Redis has not taken it in time."""
        await self._written([self._set(record)])

    async def end(self, record: SendRecord, ack: MessageAckData) -> None:
        """Write a send's end and tell of it, both once. The next of its chat is carried."""
        key, names = record.idempotency_key, self._names
        end: list[RedisCommand] = [
            [*self._set(record), "EX", KEPT_AFTER_END_S],
            ["LREM", names.sends_of(record.chat_id), 1, key],
            ["ZREM", names.sends_open, key],
        ]
        if record.status == "sent":
            end += [
                ["SET", names.send_of(record.message_id), key, "EX", KEPT_AFTER_END_S],
                ["ZADD", names.sends_recent, record.sent_at or time.time(), key],
                ["ZREMRANGEBYSCORE", names.sends_recent, "-inf", time.time() - RECENT_S],
            ]
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        claim = ack_claim(key, ack.ack, None)
        self._event_log.publish(EventType.MESSAGE_ACK, ack, claim=claim, also=end, sent=_settle(done))
        await _within(done)
        left = await self.load(key)
        if left is not None and left.status == "queued":
            await self._written(end)  # it was told before, by a life that did not come to write this
        await self.wake_next(record.chat_id)

    # -- many --------------------------------------------------------------------------------------------------------

    async def open_count(self) -> int:
        return int(await self._redis.zcard(self._names.sends_open))

    async def open_keys(self, limit: int) -> list[str]:
        """The oldest first."""
        return list(await self._redis.zrange(self._names.sends_open, 0, limit - 1))

    async def recent(self) -> list[SendRecord]:
        """What went out in the last days."""
        return await self.load_all(
            await self._redis.zrangebyscore(self._names.sends_recent, time.time() - RECENT_S, "+inf")
        )

    async def keys_of_messages(self, message_ids: Sequence[str]) -> dict[str, str]:
        """For messages' ids the idempotency keys of those that are of ours."""
        kept = await self._redis.mget([self._names.send_of(message_id) for message_id in message_ids])
        return {message_id: key for message_id, key in zip(message_ids, kept, strict=True) if key}

    async def wake_next(self, chat_id: str) -> None:
        """Carry the head of a chat now, if it waits."""
        head = await self._redis.lindex(self._names.sends_of(chat_id), 0)
        if head is not None:
            await self._wake("waiting", [head])

    async def wake_all(self) -> None:
        """Carry all that are open now, the oldest first; also one whose task was lost."""
        keys = await self._redis.zrange(self._names.sends_open, 0, -1)
        for start in range(0, len(keys), WOKEN_AT_ONCE):
            await self._wake("all", keys[start : start + WOKEN_AT_ONCE])

    # -- pace and stops ----------------------------------------------------------------------------------------------

    async def pace(self) -> dict[str, float]:
        """From when on the next message may go out, by name."""
        kept = await self._redis.hgetall(self._names.pace)
        return {name: float(at) for name, at in kept.items()}

    async def reserve(self, slot: Slot, record: SendRecord, pace: dict[str, float]) -> None:
        """Keep a slot: in the pace, and in the record whose it is."""
        pairs = [part for name, at in slot.next_at.items() for part in (name, f"{at:.3f}")]
        kept_s = max(slot.next_at.values()) - time.time() + PACE_KEPT_S
        commands: list[RedisCommand] = [
            ["HSET", self._names.pace, *pairs],
            ["EXPIRE", self._names.pace, round(kept_s)],
            self._set(record),
        ]
        if len(pace) > PACES_AT_MOST:
            past = [name for name, at in pace.items() if at < time.time() and name not in slot.next_at]
            commands += [["HDEL", self._names.pace, *past]] if past else []
        await self._written(commands)

    async def stopped(self) -> str | None:
        """Why nothing is sent at present."""
        return _text_or_none(await self._redis.hget(self._names.sending, "stopped"))

    async def stop(self, reason: str) -> None:
        await self._written([self.stopping(reason)])

    async def resume(self) -> None:
        await self._written([["DEL", self._names.sending]])

    def stopping(self, reason: str) -> RedisCommand:
        """The command that stops all sending."""
        return ["HSET", self._names.sending, "stopped", reason, "since", f"{time.time():.3f}"]

    # -- who is never written to -------------------------------------------------------------------------------------

    async def is_suppressed(self, addresses: Iterable[str]) -> bool:
        """Whether one of them is on the list."""
        return any(await self._redis.smismember(self._names.suppressed, list(addresses)))

    async def change_suppressed(self, add: Sequence[str], remove: Sequence[str]) -> list[str]:
        """The list afterwards."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            if add:
                pipeline.sadd(self._names.suppressed, *add)
            if remove:
                pipeline.srem(self._names.suppressed, *remove)
            pipeline.smembers(self._names.suppressed)
            return sorted((await pipeline.execute())[-1])

    # -- details -----------------------------------------------------------------------------------------------------

    def _set(self, record: SendRecord) -> list[str | int | float]:
        return ["SET", self._names.send(record.idempotency_key), record.model_dump_json()]

    async def _wake(self, which: str, keys: Sequence[str]) -> None:
        messages = [message_of(key) for key in keys]
        await self._redis.eval(WAKE_LUA, 2, self._names.send_queue, self._names.send_queue_due, which, *messages)

    async def _written(self, commands: Sequence[RedisCommand]) -> None:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._event_log.write(commands, sent=_settle(done))
        await _within(done)


def ack_claim(key: str, ack: str, by: str | None) -> str:
    """What is told once of a send."""
    return f"ack:{key}:{ack}:{by or ''}"


def _settle(done: "asyncio.Future[bool]") -> Any:
    def settle(told: bool) -> None:
        if not done.done():
            done.set_result(told)

    return settle


async def _within(done: "asyncio.Future[bool]") -> bool:
    try:
        async with asyncio.timeout(WRITTEN_WITHIN_S):
            return await done
    except TimeoutError:
        raise NotReady("Redis has not taken it in time") from None


def _record(kept: str | None) -> SendRecord | None:
    if kept is None:
        return None
    try:
        return SendRecord.model_validate_json(kept)
    except ValidationError as error:
        log.error("a send's record cannot be read", problems=error.error_count())
        return None


def _text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)
