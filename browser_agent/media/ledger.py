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
from whatsapp_contract.media_record import MediaRecord, MediaState
from whatsapp_contract.names import SessionNames

log = get_logger(__name__)

STORED_FOR_S = 30 * 24 * 3600.0
FAILED_AT_MOST = 10_000
BATCH = 500


class StoredFile(BaseModel):
    """Where a file of some content is stored, when a message last named it, and when it was last known to be there."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    url: str
    size: int
    used_at: float
    checked_at: float = 0.0


class Due(NamedTuple):
    """What may be tried now, the newest and the oldest in turn. Unless `is_all`, there may be more.

    Of those that are `lost` nothing is known, or nothing that could be read.
    """

    records: list[MediaRecord]
    lost: list[str]
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
            # By its age, so that what was just sent can be told from what was found later.
            commands.append(("ZADD", self._names.media_due, "NX", min(now, record.sent_at), record.key))
        return commands

    def kept(self, record: MediaRecord) -> list[RedisCommand]:
        """The record as it is now; it stays due as it was."""
        return [("HSET", self._names.media, record.key, record.model_dump_json())]

    def due_again(self, record: MediaRecord, at: float) -> list[RedisCommand]:
        again: list[RedisCommand] = [*self.kept(record), ("ZADD", self._names.media_due, at, record.key)]
        if record.url is not None:
            again.append(("ZREM", self._names.media_stored, record.key))
        return again

    def ended(self, record: MediaRecord, checked_at: float = 0.0) -> list[RedisCommand]:
        """Stored, or given up: what goes with its `media` event. `checked_at`: when it was last known to be stored."""
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
            file = StoredFile(url=record.url, size=record.size, used_at=record.ended_at, checked_at=checked_at)
            commands.append(("HSET", self._names.media_urls, record.sha256, file.model_dump_json()))
        return commands

    def told_again(self, record: MediaRecord) -> list[RedisCommand]:
        """Nothing is due any more for a record that had ended."""
        return [("ZREM", self._names.media_due, record.key)]

    def reopened(self, record: MediaRecord) -> MediaRecord:
        """One that was stored, to be stored once more where that is necessary."""
        return _anew(record)

    def tried_anew(self, records: Sequence[MediaRecord], now: float) -> list[list[RedisCommand]]:
        """Dead letters back among the living, some at a time."""
        return [
            [command for record in some for command in self._one_anew(record, now)] for some in _in_batches(records)
        ]

    def _one_anew(self, record: MediaRecord, now: float) -> list[RedisCommand]:
        return [*self.due_again(_anew(record), now), ("ZREM", self._names.media_failed, record.key)]

    # -- reading -----------------------------------------------------------------------------------------------------

    async def due(self, until: float, at_most: int, besides: Container[str] = ()) -> Due:
        """So many of those that may be tried now and are not in somebody's hand."""
        due = self._names.media_due
        oldest: Any = await self._asked(self._redis.zrangebyscore(due, "-inf", until, start=0, num=at_most))
        newest: Any = oldest[::-1]
        if len(oldest) == at_most:
            newest = await self._asked(self._redis.zrevrangebyscore(due, until, "-inf", start=0, num=at_most))
        in_turn = dict.fromkeys(key for pair in zip(newest, oldest, strict=False) for key in pair)
        keys = [key for key in in_turn if key not in besides][:at_most]
        records = await self.records(keys)
        return Due(
            [records[key] for key in keys if key in records],
            [key for key in keys if key not in records],
            is_all=len(oldest) < at_most,
        )

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
        due = set(await self.due_keys()) if stored else ()  # to be told again
        stored = [key for key in stored if key not in due]
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


def _anew(record: MediaRecord) -> MediaRecord:
    return record.changed(
        state=MediaState.SEEN,
        attempts=0,
        interrupted=0,
        crashed=0,
        asked_again=0,
        round=record.round + 1,
        error=None,
        ended_at=None,
    )


def _record(value: str | None) -> MediaRecord | None:
    try:
        return MediaRecord.model_validate_json(value) if value else None
    except ValidationError as error:
        log.error("a file's record cannot be read", problems=error.error_count())
        return None


def _in_batches(items: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), BATCH):
        yield list(items[start : start + BATCH])
