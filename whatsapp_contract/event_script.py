"""How an event gets its number and reaches the stream and the channel: one Lua script, for every publisher.

The script fences and never repeats: an agent of an older epoch is refused, and an event whose number was
published already (a retry after a lost answer) is skipped. `seq` and `id` are only known inside, so an event
comes in two halves between which they are put.
"""

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from .names import SessionNames

# KEYS: fence, sequence, events. ARGV: epoch ("" = whoever holds it), number of this publisher in this epoch
# ("" = not counted), maximum length, head, tail.
# Answers the entry's id, "fenced" or "repeated". A fence that is missing or behind is moved up: a Redis that lost
# its memory must not silence the agent that runs.
PUBLISH_LUA = """
local held = redis.call('HMGET', KEYS[1], 'epoch', 'published')
local holder, epoch = tonumber(held[1] or '0') or 0, tonumber(ARGV[1])
if epoch then
  if holder > epoch then return 'fenced' end
  if holder < epoch then
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'published', '0')
    held[2] = '0'
  end
  if ARGV[2] ~= '' then
    if tonumber(ARGV[2]) <= (tonumber(held[2] or '0') or 0) then return 'repeated' end
  end
end
local seq = redis.call('INCR', KEYS[2])
local body = ARGV[4] .. '"epoch":' .. (epoch and ARGV[1] or tostring(holder)) .. ',"seq":' .. seq .. ARGV[5]
local id = redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 'event', body)
-- Only now: an XADD that fails ends the script, and the event must come again.
if epoch and ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'published', ARGV[2]) end
redis.call('PUBLISH', KEYS[3], string.sub(body, 1, -2) .. ',"id":"' .. id .. '"}')
return id
"""

# KEYS: fence. Takes the next epoch and forgets the former holder's numbers. ARGV: the least it may be.
TAKE_EPOCH_LUA = """
local epoch = math.max(tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') or 0, tonumber(ARGV[1]) - 1) + 1
redis.call('HSET', KEYS[1], 'epoch', tostring(epoch), 'published', '0')
return epoch
"""

# KEYS: fence, status. ARGV: epoch, then fields and values. Writes the status unless a newer agent holds the fence.
WRITE_STATUS_LUA = """
if (tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') or 0) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return 1
"""

FENCED, REPEATED = "fenced", "repeated"


def publish_keys(names: SessionNames) -> list[str]:
    return [names.fence, names.sequence, names.events]


def publish_args(
    session_id: str,
    event_type: str,
    data: BaseModel,
    *,
    epoch: int | None,
    number: int | None,
    occurred_at: datetime,
    observed_at: datetime,
    maxlen: int,
) -> list[str]:
    """Arguments of PUBLISH_LUA. `epoch` None speaks in the name of whoever holds the session."""
    opening: dict[str, Any] = {"v": 1, "type": event_type, "session_id": session_id}
    times = {"occurred_at": rfc3339(occurred_at), "observed_at": rfc3339(observed_at)}
    head = json.dumps(opening, separators=(",", ":"))[:-1] + ","
    tail = "," + json.dumps(times, separators=(",", ":"))[1:-1] + ',"data":' + data.model_dump_json() + "}"
    return [
        "" if epoch is None else str(epoch),
        "" if number is None else str(number),
        str(maxlen),
        head,
        tail,
    ]


def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds, as in every payload. Takes aware times only."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
