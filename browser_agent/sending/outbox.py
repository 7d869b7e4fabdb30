"""The sends as Redis keeps them. Whatever changes of one is written through the event log: fenced, in order with what
is told, and together with it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from pydantic import ValidationError

from browser_agent.event_log import EventLog
from browser_agent.fence import Fence
from whatsapp_contract.errors import NotReady
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import EventType, MessageAckData
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.send_queue import around_key, message_of
from whatsapp_contract.send_record import KEPT_AFTER_END_S, SendRecord

from .pacing import Ages, Slot
from .scripts import ACCEPT_LUA, POSITION_LUA, WAKE_LUA

log = get_logger(__name__)

WRITTEN_WITHIN_S = 10.0
RECENT_S = 3 * 24 * 3600
PACE_KEPT_S = 3600
PACES_AT_MOST = 2000
WOKEN_AT_ONCE = 500
READ_AT_ONCE = 100
PAUSED = "paused: "


@dataclass(frozen=True)
class Gate:
    """What a send has to be told before it goes out: when it is, by Redis' clock; why all sending is stopped, if it
    is; and whether there is anybody who is never written to."""

    now: float
    stopped: str | None
    any_suppressed: bool


class Outbox:
    """One per agent."""

    def __init__(self, client: "redis.asyncio.Redis", names: SessionNames, event_log: EventLog, fence: Fence) -> None:
        self._redis: Any = client  # its types know neither of awaiting nor of decoding
        self._names = names
        self._event_log = event_log
        self._fence = fence
        self._ages = Ages()
        self.restore: Callable[[], Awaitable[None]] = _nothing
        self.changed: Callable[[], Awaitable[None]] = _nothing

    # -- one send ----------------------------------------------------------------------------------------------------

    async def load(self, key: str) -> SendRecord | None:
        """The record, None where there is none (any more)."""
        return _record(await self._redis.get(self._names.send(key)))

    async def gate(self, *, has_restored: bool = False) -> Gate:
        """What is asked right before a send goes out. A Redis that has lost it is given it again."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.hmget(self._names.sending, "stopped", "known")
            pipeline.exists(self._names.suppressed)
            time_of, (stopped, known), any_suppressed = await pipeline.execute()
        if known is None and not has_restored:
            await self.restore()
            return await self.gate(has_restored=True)
        return Gate(self._saw(time_of), _text_or_none(stopped), bool(any_suppressed))

    async def now(self) -> float:
        """Epoch seconds by Redis' clock: the one that all who accept and carry sends have in common."""
        return self._saw(await self._redis.time())

    def age_s(self, record: SendRecord, now: float) -> float:
        """How long ago a send was accepted."""
        return self._ages.age_s(record.accepted_at, now)

    def _saw(self, time_of: Sequence[int]) -> float:
        now = time_of[0] + time_of[1] / 1e6
        self._ages.saw(now, time.clock_gettime(time.CLOCK_BOOTTIME))
        return now

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
            5,
            *(names.send(record.idempotency_key), names.sends_of(record.chat_id), names.sends_open, names.send_queue),
            names.sends_chats,
            *(
                record.model_dump_json(),
                record.idempotency_key,
                record.accepted_at,
                message_of(record.idempotency_key),
                record.chat_id,
            ),
        )
        return record if kept is None else SendRecord.model_validate_json(kept)

    async def position(self, record: SendRecord) -> int:
        """Its place in its chat, 0 at the head; -1 where it has ended meanwhile. One that has lost its place gets the
        last. Raises NotReady where another agent holds the session."""
        names = self._names
        keys = [names.fence, names.sends_of(record.chat_id), names.sends_open, names.sends_chats]
        args = [self._fence.epoch, record.idempotency_key, record.chat_id, names.send("")]
        place = int(await self._redis.eval(POSITION_LUA, len(keys), *keys, *args))
        if place == -2:
            raise NotReady("another agent holds the session")
        return place

    async def waiting(self, record: SendRecord) -> tuple[int | None, float | None]:
        """How many sends of its chat go first, and when it is to be tried next; None where that is not known."""
        names, key = self._names, record.idempotency_key
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.lpos(names.sends_of(record.chat_id), key)
            pipeline.zscore(names.send_queue_due, message_of(key))
            place, due_at = await pipeline.execute()
        return place, due_at

    async def save(self, record: SendRecord) -> None:
        """Write an open send's record. Raises NotReady where Redis has not taken it in time."""
        await self._written([self._set(record)])

    async def end(self, record: SendRecord, ack: MessageAckData) -> None:
        """Write a send's end and tell of it, both once. The next of its chat is carried."""
        key, names = record.idempotency_key, self._names
        end: list[RedisCommand] = [
            [*self._set(record), "EX", KEPT_AFTER_END_S],
            ["LREM", names.sends_of(record.chat_id), 0, key],
            ["ZREM", names.sends_open, key],
        ]
        if record.status == "sent":
            sent_at = record.sent_at or time.time()
            end += [
                ["SET", names.send_of(record.message_id), key, "EX", KEPT_AFTER_END_S],
                ["ZADD", names.sends_recent, sent_at, key],
                ["ZREMRANGEBYSCORE", names.sends_recent, "-inf", sent_at - RECENT_S],
            ]
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        claim = ack_claim(record, ack.ack, None)
        self._event_log.publish(EventType.MESSAGE_ACK, ack, claim=claim, also=end, sent=_settle(done))
        await _within(done)
        left = await self.load(key)
        if left is not None and left.status == "queued":
            await self._written(end)  # it was told before, by a life that did not come to write this
        await self.wake_next(record.chat_id)

    # -- many --------------------------------------------------------------------------------------------------------

    async def open_count(self) -> int:
        return int(await self._redis.zcard(self._names.sends_open))

    async def recent(self) -> AsyncIterator[list[SendRecord]]:
        """What went out in the last days and has not come to its last acknowledgement, some at a time."""
        since = await self.now() - RECENT_S
        keys = await self._redis.zrangebyscore(self._names.sends_recent, since, "+inf")
        for start in range(0, len(keys), READ_AT_ONCE):
            yield await self.load_all(keys[start : start + READ_AT_ONCE])

    def at_its_last(self, record: SendRecord) -> RedisCommand:
        """The command that has a send's acknowledgements not read back any more."""
        return ["ZREM", self._names.sends_recent, record.idempotency_key]

    async def claimed(self, claims: Sequence[str]) -> set[str]:
        """Those of them that were told before."""
        if not claims:
            return set()
        scores = await self._redis.zmscore(self._names.claims, list(claims))
        return {claim for claim, score in zip(claims, scores, strict=True) if score is not None}

    async def keys_of_messages(self, message_ids: Sequence[str]) -> dict[str, str]:
        """For messages' ids the idempotency keys of those that are of ours."""
        kept = await self._redis.mget([self._names.send_of(message_id) for message_id in message_ids])
        return {message_id: key for message_id, key in zip(message_ids, kept, strict=True) if key}

    async def wake_next(self, chat_id: str) -> None:
        """Carry the head of a chat now, where there is one."""
        await self._wake([chat_id])

    async def wake_all(self) -> None:
        """Carry the heads of all chats now, also one whose task was lost; each wakes the one behind it at its end."""
        cursor: Any = 0
        while True:
            cursor, chats = await self._redis.sscan(self._names.sends_chats, cursor, count=WOKEN_AT_ONCE)
            if chats:
                await self._wake(chats)
            if not int(cursor):
                return

    # -- pace and stops ----------------------------------------------------------------------------------------------

    async def pace(self) -> tuple[float, dict[str, float]]:
        """What time it is, and from when on the next message may go out, by name."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.hgetall(self._names.pace)
            time_of, kept = await pipeline.execute()
        return self._saw(time_of), {name: float(at) for name, at in kept.items()}

    async def reserve(self, slot: Slot, now: float, pace: dict[str, float]) -> None:
        """Take a slot: the next ones are later."""
        pairs = [part for name, at in slot.next_at.items() for part in (name, f"{at:.3f}")]
        kept_s = max(slot.next_at.values()) - now + PACE_KEPT_S
        commands: list[RedisCommand] = [
            ["HSET", self._names.pace, *pairs],
            ["EXPIRE", self._names.pace, round(kept_s)],
        ]
        if len(pace) > PACES_AT_MOST:
            past = [name for name, at in pace.items() if at < now and name not in slot.next_at]
            commands += [["HDEL", self._names.pace, *past]] if past else []
        await self._written(commands)

    async def stopped(self) -> str | None:
        """Why nothing is sent at present."""
        return _text_or_none(await self._redis.hget(self._names.sending, "stopped"))

    async def stop(self, reason: str) -> None:
        await self._written([self.stopping(reason)])
        await self.changed()

    async def resume(self) -> None:
        await self._written([["HDEL", self._names.sending, "stopped", "since"]])
        await self.changed()

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
            suppressed = sorted((await pipeline.execute())[-1])
        if add or remove:
            await self.changed()
        return suppressed

    # -- details -----------------------------------------------------------------------------------------------------

    def _set(self, record: SendRecord) -> list[str | int | float]:
        return ["SET", self._names.send(record.idempotency_key), record.model_dump_json()]

    async def _wake(self, chats: Sequence[str]) -> None:
        names = self._names
        keys = [names.send_queue, names.send_queue_due, names.sends_chats]
        await self._redis.eval(WAKE_LUA, len(keys), *keys, names.sends_of(""), *around_key(), *chats)

    async def _written(self, commands: Sequence[RedisCommand]) -> None:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._event_log.write(commands, sent=_settle(done))
        await _within(done)


def ack_claim(record: SendRecord, ack: str, by: str | None) -> str:
    """What is told once of a send; a key that is used again when its send is forgotten is another send's."""
    return f"ack:{record.idempotency_key}:{record.accepted_at:.3f}:{ack}:{by or ''}"


async def _nothing() -> None:
    """Nobody has a copy."""


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
