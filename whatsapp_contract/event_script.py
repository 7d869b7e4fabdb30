"""How an event gets its number and reaches the stream and the channel: one Lua script, for every publisher.

The script fences and never repeats: an agent of an older epoch is refused, and an event whose number was
published already (a retry after a lost answer) is skipped, as is one whose claim somebody holds (a message that was
told before, by whichever life of the agent). What must become true together with the event, a watermark or an entry in
a ledger, is written in the same step. `seq` and `id` are only known inside, so an event comes in two halves between
which they are put.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from .counters import of_event
from .events import EVENT_DATA, EventType
from .names import SessionNames

# KEYS: fence, sequence, events, claims, counts. ARGV: epoch ("" = whoever holds it), then for each event its number of
# this publisher in this epoch ("" = none), claim ("" = none), time of the claim (epoch seconds), head, tail, further
# commands as JSON, which must be such that carrying them out twice does no harm, and the field of the counts that it
# moves. (By pcall: counts that cannot be kept, where somebody else wrote their key, keep no event back.)
# Answers, for each, the entry's id, "repeated" or "claimed"; or "fenced" for all. A fence that is missing or behind is
# moved up: a Redis that lost its memory must not silence the agent that runs. With an empty head nothing is told: the
# commands alone are carried out, fenced and in their place among the events.
# An error ends the script, and what comes after it has not happened: events keep their order. The commands come before
# their event: what fails leaves nothing told that is not also written.
PUBLISH_LUA = """
local held = redis.call('HMGET', KEYS[1], 'epoch', 'published')
local holder, epoch = tonumber(held[1] or '0') or 0, tonumber(ARGV[1])
local published = tonumber(held[2] or '0') or 0
if epoch then
  if holder > epoch then return {'fenced'} end
  if holder < epoch then
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'published', '0')
    published = 0
  end
end
local answers = {}
for at = 2, #ARGV, 7 do
  local number, claim, head = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 3]
  local id, body = 'claimed', nil
  if epoch and number and number <= published then
    id = 'repeated'
  else
    if claim == '' or not redis.call('ZSCORE', KEYS[4], claim) then
      if ARGV[at + 5] ~= '' then
        for _, command in ipairs(cjson.decode(ARGV[at + 5])) do redis.call(unpack(command)) end
      end
      if head ~= '' then
        local seq = redis.call('INCR', KEYS[2])
        redis.pcall('HINCRBY', KEYS[5], ARGV[at + 6], 1)
        body = head .. '"epoch":' .. (epoch and ARGV[1] or tostring(holder)) .. ',"seq":' .. seq .. ARGV[at + 4]
        id = redis.call('XADD', KEYS[3], '*', 'event', body)
        if claim ~= '' then redis.call('ZADD', KEYS[4], ARGV[at + 2], claim) end
      else
        id = 'written'
      end
    end
    if epoch and number then
      published = number
      redis.call('HSET', KEYS[1], 'published', ARGV[at])
    end
    if body then redis.call('PUBLISH', KEYS[3], string.sub(body, 1, -2) .. ',"id":"' .. id .. '"}') end
  end
  answers[#answers + 1] = id
end
return answers
"""

# KEYS: fence. Takes the next epoch and forgets the former holder's numbers. ARGV: the least it may be.
TAKE_EPOCH_LUA = """
local epoch = math.max(tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') or 0, tonumber(ARGV[1]) - 1) + 1
redis.call('HSET', KEYS[1], 'epoch', tostring(epoch), 'published', '0')
if ARGV[2] == '1' then redis.call('HINCRBY', KEYS[1], 'lives', 1) end
return epoch
"""

# KEYS: fence, status. ARGV: epoch, then fields and values. Writes the status unless a newer agent holds the fence.
WRITE_STATUS_LUA = """
if (tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') or 0) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return 1
"""

FENCED, REPEATED, CLAIMED = "fenced", "repeated", "claimed"

RedisCommand = Sequence[str | int | float]


def publish_keys(names: SessionNames) -> list[str]:
    return [names.fence, names.sequence, names.events, names.claims, names.event_counts]


def epoch_arg(epoch: int | None) -> str:
    """The script's first argument. None speaks in the name of whoever holds the session."""
    return "" if epoch is None else str(epoch)


def event_args(
    session_id: str,
    event_type: str,
    data: BaseModel,
    *,
    number: int | None,
    occurred_at: datetime,
    observed_at: datetime,
    claim: str | None = None,
    also: Sequence[RedisCommand] = (),
) -> list[str]:
    """One event's arguments of PUBLISH_LUA.

    `claim` is told once, whoever comes with it; `also` are Redis commands carried out in the same step.

    Raises TypeError for data that is not this type's.
    """
    if not isinstance(data, EVENT_DATA[EventType(event_type)]):
        raise TypeError(f"an event {event_type} does not have {type(data).__name__}")
    opening: dict[str, Any] = {"v": 1, "type": event_type, "session_id": session_id}
    times = {"occurred_at": rfc3339(occurred_at), "observed_at": rfc3339(observed_at)}
    head = json.dumps(opening, separators=(",", ":"))[:-1] + ","
    tail = "," + json.dumps(times, separators=(",", ":"))[1:-1] + ',"data":' + data.model_dump_json() + "}"
    return _args(number, claim, observed_at, head, tail, also, of_event(event_type, data))


def publish(redis: Any, names: SessionNames, event_type: str, data: BaseModel, *, claim: str | None = None) -> Any:
    """Tell one event in the name of whoever holds the session; the answer, which a client for asyncio has to await.
    The client may be a pipeline."""
    now = datetime.now(UTC)
    args = event_args(names.session_id, event_type, data, number=None, occurred_at=now, observed_at=now, claim=claim)
    keys = publish_keys(names)
    return redis.eval(PUBLISH_LUA, len(keys), *keys, epoch_arg(None), *args)


def write_args(*, number: int | None, also: Sequence[RedisCommand]) -> list[str]:
    """Arguments of PUBLISH_LUA that tell nothing and carry out commands, in their place among the events."""
    return _args(number, None, datetime.now(UTC), "", "", also, "")


def _args(
    number: int | None,
    claim: str | None,
    at: datetime,
    head: str,
    tail: str,
    also: Sequence[RedisCommand],
    counted_as: str,
) -> list[str]:
    return [
        "" if number is None else str(number),
        claim or "",
        str(at.timestamp()),
        head,
        tail,
        json.dumps([[str(part) for part in command] for command in also]) if also else "",
        counted_as,
    ]


def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds, as in every payload. Takes aware times only."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
