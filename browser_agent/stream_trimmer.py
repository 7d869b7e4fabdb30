"""Keeps the stream of events short: behind what every consumer group has acknowledged, and within EVENTS_MAXLEN.

What all groups have acknowledged goes, except for the last KEEP_LAST events, which people look at. Where no group is
known, nothing is known to be acknowledged. Above the maximum the oldest events go whoever has not read them, in steps,
so that the alert that names those is rare; it is told in the same step in which they go. Where there is no group
nobody is known to have read them: then one alert an hour names all that went.

Groups, and the stream, may go in any moment: what was to be done about them is looked at again the next time.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from redis.exceptions import ResponseError

from whatsapp_contract.events import AlertData, EventType
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage

from .event_log import EventLog
from .fence import Fence, Fenced

log = get_logger(__name__)

EVENTS_LOST = "events_lost"

INTERVAL_S = 5.0
KEEP_LAST = 1000
CUT_AT_MOST = 10_000  # in one step
PAGE = 500
UNREAD_TOLD_EVERY_S = 3600.0
CLAIMS_KEPT_S = 30 * 24 * 3600
CLAIMS_AT_MOST = 500_000

# KEYS: fence, events, claims. ARGV: epoch, events to be kept, time (epoch seconds) before which claims go, claims at
# most.
# Answers the stream's length, or -1 where a newer agent holds the session. It is one step, so that no group can be
# made or read between the look at the groups and the cut.
# Every group has acknowledged what is before its oldest pending entry that is still there, or before the last one it
# was given.
TRIM_LUA = """
if (tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') or 0) > tonumber(ARGV[1]) then return -1 end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[4]))
local length, keep = redis.call('XLEN', KEYS[2]), tonumber(ARGV[2])
if length <= keep then return length end

local function before(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][1]
local acknowledged
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
  local facts = {}
  for index = 1, #group, 2 do facts[group[index]] = group[index + 1] end
  local upto = facts['last-delivered-id']
  local oldest = redis.call('XPENDING', KEYS[2], facts['name'], first, '+', 1)[1]
  if oldest and before(oldest[1], upto) then upto = oldest[1] end
  if not acknowledged or before(upto, acknowledged) then acknowledged = upto end
end
if not acknowledged or not before(first, acknowledged) then return length end
local last = keep > 0 and redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', keep)
local kept = last and last[#last][1] or acknowledged
return length - redis.call('XTRIM', KEYS[2], 'MINID', '=', before(kept, acknowledged) and kept or acknowledged)
"""


@dataclass(frozen=True)
class _Gone:
    """Events that went while there was no group, not told yet."""

    count: int
    first: str
    last: str


class StreamTrimmer:
    """A task of the agent."""

    def __init__(
        self,
        redis: "redis.asyncio.Redis",
        names: SessionNames,
        fence: Fence,
        event_log: EventLog,
        maxlen: int,
        *,
        interval_s: float = INTERVAL_S,
        keep_last: int = KEEP_LAST,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._names = names
        self._fence = fence
        self._event_log = event_log
        self._maxlen = maxlen
        self._interval_s = interval_s
        self._keep_last = min(keep_last, maxlen)
        self._clock = clock
        self._gone: _Gone | None = None
        self._gone_told_at: float | None = None

    async def run(self) -> None:
        """Trim until cancelled. Raises Fenced."""
        away = False
        while True:
            try:
                await self.trim()
            except Exception as error:
                if not is_outage(error):
                    raise
                if not away:
                    log.warning("the stream cannot be trimmed", error=str(error))
                away = True
            else:
                away = False
            await asyncio.sleep(self._interval_s)

    async def trim(self) -> None:
        """Trim once. Raises Fenced, and Redis' own errors."""
        try:
            while await self._trim_acknowledged() > self._maxlen:
                if not await self._cut():
                    break
        except ResponseError as error:
            if not _says_gone(error):
                raise
            log.info("a group or the stream went while it was looked at", error=str(error))
        self._tell_gone()

    async def _trim_acknowledged(self) -> int:
        """The stream's length then."""
        keys = [self._names.fence, self._names.events, self._names.claims]
        while True:
            epoch = self._fence.epoch
            oldest_claim = self._clock() - CLAIMS_KEPT_S
            args = [str(epoch), str(self._keep_last), f"{oldest_claim:.3f}", str(CLAIMS_AT_MOST)]
            length: Any = await self._redis.eval(TRIM_LUA, len(keys), *keys, *args)
            if length >= 0:
                return int(length)
            if epoch == self._fence.epoch:
                raise Fenced

    async def _cut(self) -> bool:
        """Take the oldest above the maximum, a step's worth more. Whether there may be more to take.

        What they are is found out before they go. Meanwhile a group can only acknowledge more, so that the alert names
        too much rather than too little.
        """
        events = self._names.events
        # Some room, or each event to come would be an alert of its own.
        room = max(1, self._maxlen // 100, min(10, self._maxlen // 2))
        excess = int(await self._redis.xlen(events)) - self._maxlen + room
        count = min(excess, CUT_AT_MOST)
        if count < 1:
            return False
        oldest = await self._oldest(count)
        if not oldest:
            return False  # somebody has emptied it meanwhile
        cut = ["XTRIM", events, "MINID", "=", _next(oldest[-1])]
        told = asyncio.Event()
        groups: Any = await self._redis.xinfo_groups(events)
        behind = await self._behind(oldest, groups)
        if not groups:
            await self._note_gone(oldest)
        if behind:
            message = await self._message(oldest, behind)
            log.error("events are lost that not all groups had acknowledged", groups=sorted(behind))
            data = AlertData(code=EVENTS_LOST, message=message)
            self._event_log.publish(EventType.ALERT, data, also=[cut], sent=lambda _told: told.set())
        else:
            self._event_log.write([cut], sent=lambda _told: told.set())
        while not told.is_set() and not await self._event_log.flushed(1):
            pass
        return count < excess

    async def _oldest(self, count: int) -> list[str]:
        """The ids of the oldest entries."""
        ids: list[str] = []
        while len(ids) < count:
            start = f"({ids[-1]}" if ids else "-"
            page: Any = await self._redis.xrange(self._names.events, start, "+", min(PAGE, count - len(ids)))
            if not page:
                break
            ids += [entry_id for entry_id, _fields in page]
        return ids

    async def _behind(self, ids: list[str], groups: list[Any]) -> dict[str, set[str]]:
        """The groups that have not acknowledged all of these, with those that they have not."""
        behind = {}
        for facts in groups:
            name, given, count = facts["name"], _as_numbers(facts["last-delivered-id"]), int(facts["pending"])
            pending: Any = []
            if count:
                pending = await self._redis.xpending_range(self._names.events, name, ids[0], ids[-1], count)
            lacking = {str(entry["message_id"]) for entry in pending}.intersection(ids)
            lacking.update(entry_id for entry_id in ids if _as_numbers(entry_id) > given)
            if lacking:
                behind[name] = lacking
        return behind

    async def _note_gone(self, ids: list[str]) -> None:
        first, last = [f"{entry_id} (seq {await self._seq(entry_id)})" for entry_id in (ids[0], ids[-1])]
        before = self._gone
        self._gone = _Gone(len(ids) + (before.count if before else 0), before.first if before else first, last)

    def _tell_gone(self) -> None:
        gone, now = self._gone, self._clock()
        if gone is None or (self._gone_told_at is not None and now - self._gone_told_at < UNREAD_TOLD_EVERY_S):
            return
        self._gone, self._gone_told_at = None, now
        message = (
            f"The stream was longer than EVENTS_MAXLEN ({self._maxlen}), and its oldest events went, {gone.count}: "
            f"from {gone.first} to {gone.last}. There is no consumer group: nobody is known to have read them. "
            "A backend that follows without one must be quicker than that; one that follows as a group holds them."
        )
        log.error("events went that nobody is known to have read", events=gone.count)
        self._event_log.publish(EventType.ALERT, AlertData(code=EVENTS_LOST, message=message))

    async def _message(self, oldest: list[str], behind: dict[str, set[str]]) -> str:
        lost = [entry_id for entry_id in oldest if any(entry_id in lacking for lacking in behind.values())]
        first, last = [f"{entry_id} (seq {await self._seq(entry_id)})" for entry_id in (lost[0], lost[-1])]
        return (
            f"The stream was longer than EVENTS_MAXLEN ({self._maxlen}), and its oldest events went, {len(lost)} of "
            f"which were not acknowledged: from {first} to {last}. Behind: {', '.join(sorted(behind))}. Start the "
            "backend that follows as that group; a group that nobody uses any more is removed by XGROUP DESTROY."
        )

    async def _seq(self, entry_id: str) -> str:
        entries: Any = await self._redis.xrange(self._names.events, entry_id, entry_id)
        try:
            return str(json.loads(entries[0][1]["event"])["seq"])
        except (ValueError, LookupError, TypeError):
            return "unknown"


def _says_gone(error: ResponseError) -> bool:
    """NOGROUP, or `no such key` of what needs a stream."""
    return str(error).startswith("NOGROUP") or "no such key" in str(error).lower()


def _next(entry_id: str) -> str:
    milliseconds, number = _as_numbers(entry_id)
    return f"{milliseconds}-{number + 1}"


def _as_numbers(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
