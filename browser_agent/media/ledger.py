"""The ledger in Redis: which files are known, which are due, which are stored, which were given up.

What moves a file is a list of Redis commands that goes with an event through the event log: the message and its file's
entry are one step, and so are the `media` event and the file's end. Whoever has a key in `due` works it off; a record
that has ended there is told once more, since its message was.
"""

import asyncio
import time
from collections.abc import Awaitable, Container, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import redis.asyncio
from pydantic import BaseModel, ConfigDict, ValidationError

from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import MessageData
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames

from .record import MediaRecord, MediaState

log = get_logger(__name__)

STORED_FOR_S = 30 * 24 * 3600.0
FAILED_AT_MOST = 10_000
BATCH = 500


class StoredFile(BaseModel):
    """Where a file of some content is stored, and when a message last named it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    size: int
    used_at: float


class Due(NamedTuple):
    """What may be tried now, oldest first. Unless `is_all`, there may be more."""

    records: list[MediaRecord]
    is_all: bool


class Ledger:
    """One per agent. Reading asks Redis; changing is commands for the event log."""

    def __init__(
        self, redis: "redis.asyncio.Redis", names: SessionNames, failed_at_most: int = FAILED_AT_MOST
    ) -> None:
        self._redis = redis
        self._names = names
        self._failed_at_most = failed_at_most
        self._asking: set[asyncio.Future[Any]] = set()

    # -- changing ----------------------------------------------------------------------------------------------------

    def commands_for(self, *messages: MessageData) -> list[RedisCommand]:
        """What goes with the `message` events into one step: their files are known, and due.

        One that is known already stays as it is; its end, or the one it comes to, is told again.
        """
        now = time.time()
        commands: list[RedisCommand] = []
        for message in messages:
            if message.media is None or message.media.status != "pending":
                continue
            record = MediaRecord.of(message, now)
            commands.append(("HSETNX", self._names.media, record.key, record.model_dump_json()))
            commands.append(("ZADD", self._names.media_due, "NX", now, record.key))
        return commands

    def kept(self, record: MediaRecord) -> list[RedisCommand]:
        """The record as it is now; it stays due as it was."""
        return [("HSET", self._names.media, record.key, record.model_dump_json())]

    def due_again(self, record: MediaRecord, at: float) -> list[RedisCommand]:
        return [*self.kept(record), ("ZADD", self._names.media_due, at, record.key)]

    def ended(self, record: MediaRecord) -> list[RedisCommand]:
        """Stored, or given up: what goes with its `media` event."""
        assert record.ended_at is not None
        stored = record.state is MediaState.STORED
        mine, other = self._names.media_stored, self._names.media_failed
        if not stored:
            mine, other = other, mine
        commands = [
            *self.kept(record),
            ("ZREM", self._names.media_due, record.key),
            ("ZREM", other, record.key),
            ("ZADD", mine, record.ended_at, record.key),
        ]
        if stored and record.sha256 and record.url is not None and record.size is not None:
            file = StoredFile(url=record.url, size=record.size, used_at=record.ended_at)
            commands.append(("HSET", self._names.media_urls, record.sha256, file.model_dump_json()))
        return commands

    def told_again(self, record: MediaRecord) -> list[RedisCommand]:
        """Nothing is due any more for a record that had ended."""
        return [("ZREM", self._names.media_due, record.key)]

    def tried_anew(self, records: Sequence[MediaRecord], now: float) -> list[list[RedisCommand]]:
        """Dead letters back among the living, some at a time."""
        return [
            [command for record in some for command in self._one_anew(record, now)] for some in _in_batches(records)
        ]

    def _one_anew(self, record: MediaRecord, now: float) -> list[RedisCommand]:
        anew = record.changed(
            state=MediaState.SEEN,
            attempts=0,
            interrupted=0,
            asked_again=0,
            round=record.round + 1,
            error=None,
            ended_at=None,
        )
        return [*self.due_again(anew, now), ("ZREM", self._names.media_failed, record.key)]

    # -- reading -----------------------------------------------------------------------------------------------------

    async def due(self, until: float, at_most: int, besides: Container[str] = ()) -> Due:
        """Those of the first so many that may be tried now that are not in somebody's hand."""
        found: Any = await self._asked(
            self._redis.zrangebyscore(self._names.media_due, "-inf", until, start=0, num=at_most)
        )
        keys = [key for key in found if key not in besides]
        records = await self.records(keys)
        lost = [key for key in keys if key not in records]
        if lost:
            # Not of our making: somebody's hand, or a half-restored Redis. Nothing is known that could be fetched.
            log.error("files are due of which nothing is known; they are dropped", files=len(lost))
            await self._asked(self._redis.zrem(self._names.media_due, *lost))
        return Due([records[key] for key in keys if key in records], len(found) < at_most)

    async def next_due_after(self, moment: float) -> float | None:
        """When the next one falls due that was not yet."""
        first: Any = await self._asked(
            self._redis.zrangebyscore(self._names.media_due, f"({moment}", "+inf", start=0, num=1, withscores=True)
        )
        return float(first[0][1]) if first else None

    async def due_keys(self) -> list[str]:
        """Of all that are not done."""
        keys: Any = await self._asked(self._redis.zrange(self._names.media_due, 0, -1))
        return list(keys)

    async def records(self, keys: Sequence[str]) -> dict[str, MediaRecord]:
        """Those of them that are known."""
        found: dict[str, MediaRecord] = {}
        for some in _in_batches(keys):
            values: Any = await self._asked(self._redis.hmget(self._names.media, some))
            for key, value in zip(some, values, strict=True):
                if (record := _record(value)) is not None:
                    found[key] = record
        return found

    async def record(self, key: str) -> MediaRecord | None:
        return (await self.records([key])).get(key)

    async def stored_file(self, sha256: str) -> StoredFile | None:
        """Where a file of this content is stored already."""
        value: Any = await self._asked(self._redis.hget(self._names.media_urls, sha256))
        try:
            return StoredFile.model_validate_json(value) if value else None
        except ValidationError:
            return None

    async def failed(self, keys: Iterable[str] | None = None) -> list[MediaRecord]:
        """The dead letters, oldest first: those among the keys, or all."""
        every: list[str] = await self._asked(self._redis.zrange(self._names.media_failed, 0, -1))
        wanted = None if keys is None else set(keys)
        records = await self.records([key for key in every if wanted is None or key in wanted])
        return [record for record in records.values() if record.state is MediaState.FAILED]

    async def counts(self) -> dict[str, int]:
        """How many files are due, stored (of the last 30 days) and failed."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zcard(self._names.media_due)
            pipeline.zcard(self._names.media_stored)
            pipeline.zcard(self._names.media_failed)
            due, stored, failed = await self._asked(pipeline.execute())
        return {"due": int(due), "stored": int(stored), "failed": int(failed)}

    async def settled(self, within_s: float) -> None:
        """Wait for the answers to what was asked by those who were cancelled meanwhile."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=within_s)

    async def _asked(self, command: Awaitable[Any]) -> Any:
        """Shielded: redis waits with asyncio.wait_for, which may swallow a cancellation (Python 3.11)."""
        asking = asyncio.ensure_future(command)
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        return await asyncio.shield(asking)

    # -- forgetting --------------------------------------------------------------------------------------------------

    async def forgettable(self, now: float) -> list[list[RedisCommand]]:
        """Commands, some at a time, that forget what was stored long ago and the oldest of too many dead letters."""
        until = now - STORED_FOR_S
        stored: Any = await self._asked(self._redis.zrangebyscore(self._names.media_stored, "-inf", until))
        failed: Any = await self._asked(self._redis.zrange(self._names.media_failed, 0, -(self._failed_at_most + 1)))
        commands: list[list[RedisCommand]] = [
            [("HDEL", self._names.media, *some), ("ZREM", zset, *some)]
            for zset, keys in ((self._names.media_stored, stored), (self._names.media_failed, failed))
            for some in _in_batches(keys)
        ]
        unused = await self._unused_urls(stored, until)
        commands += [[("HDEL", self._names.media_urls, *some)] for some in _in_batches(unused)]
        return commands

    async def _unused_urls(self, keys: Sequence[str], until: float) -> list[str]:
        records = await self.records(keys)
        unused = []
        for sha256 in {record.sha256 for record in records.values() if record.sha256}:
            file = await self.stored_file(sha256)
            if file is not None and file.used_at <= until:
                unused.append(sha256)
        return unused


def _record(value: str | None) -> MediaRecord | None:
    try:
        return MediaRecord.model_validate_json(value) if value else None
    except ValidationError as error:
        log.error("a file's record cannot be read", problems=error.error_count())
        return None


def _in_batches(items: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), BATCH):
        yield list(items[start : start + BATCH])
