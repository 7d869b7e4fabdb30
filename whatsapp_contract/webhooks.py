"""How webhooks stand, and their dead letters: for whoever shows them, or has letters tried again.

What is asked of Redis is written once, and carried out for threads or for asyncio (reading.py):

    for state in carry_out(redis, states(names)): ...
    for letter in await carry_out_async(redis, dead_letters(names, last=50)): ...
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from operator import methodcaller
from typing import Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict
from redis.exceptions import ResponseError

from .kept_records import read_kept
from .names import SessionNames
from .reading import Reading

SEEN_WITHIN_S = 30.0  # whoever delivers says so every few seconds

# KEYS: letters, replays. ARGV: letters' ids. Answers, for each, whether there is such a letter.
REPLAY_LUA = """
local answers = {}
for index, id in ipairs(ARGV) do
  answers[index] = redis.call('HEXISTS', KEYS[1], id)
  if answers[index] == 1 and not redis.call('LPOS', KEYS[2], id) then redis.call('RPUSH', KEYS[2], id) end
end
return answers
"""

# KEYS: webhooks, dead, letters, replays. ARGV: hook, letters' ids. Answers, for each, whether there was such a letter.
DISCARD_LUA = """
local answers = {}
for index = 2, #ARGV do
  answers[index - 1] = redis.call('HDEL', KEYS[3], ARGV[index])
  redis.call('ZREM', KEYS[2], ARGV[index])
  redis.call('LREM', KEYS[4], 0, ARGV[index])
end
local left = redis.call('ZCARD', KEYS[2])
redis.call('HSET', KEYS[1], ARGV[1] .. '.dead', left)
if left == 0 then redis.call('HDEL', KEYS[1], ARGV[1] .. '.dead_at', ARGV[1] .. '.dead_since') end
return answers
"""


class WebhookState(BaseModel):
    """One webhook. It is called by its `id`, which stays the same for an address; of that only the `host` is shown.

    `seen_at` is the last sign of life of a process that delivers to it; `failing_since` is null while events get
    through, or none has come. `behind` is how many events are not acknowledged; null where Redis does not know.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    host: str
    seen_at: AwareDatetime | None
    delivered: int
    failures: int  # tries that failed
    dead: int  # dead letters now
    lost: int  # dead letters that had to make room
    succeeded_at: AwareDatetime | None
    failing_since: AwareDatetime | None
    failed_at: AwareDatetime | None
    error: str | None  # of the last try that failed
    behind: int | None

    def is_served_at(self, now: datetime) -> bool:
        """Whether a process delivers to it, or waits until that is possible."""
        return self.seen_at is not None and (now - self.seen_at).total_seconds() < SEEN_WITHIN_S


class DeadLetter(BaseModel):
    """An event that a webhook did not take. `body` is what it is given: the event as JSON, its id included."""

    model_config = ConfigDict(frozen=True)

    id: str
    hook: str
    host: str
    body: str
    reason: str  # what it answered, by status, or why there was no answer
    attempts: int
    died_at: AwareDatetime


class Handled(NamedTuple):
    """With how many letters it was done, and which ids are those of none."""

    letters: int
    unknown: list[str]


def group_of(hook: str) -> str:
    """The consumer group in which a webhook keeps its place in the stream."""
    return f"webhook:{hook}"


def letter_id(hook: str, entry_id: str) -> str:
    """Of the letter that the event with that id becomes."""
    return f"{hook}-{entry_id}"


def states(names: SessionNames) -> Reading[list[WebhookState]]:
    """All webhooks that were ever served and not forgotten, by host."""
    facts: Mapping[str, str] = yield methodcaller("hgetall", names.webhooks)
    behind = yield from _behind(names)
    by_hook: dict[str, dict[str, str]] = {}
    for field, value in facts.items():
        hook, _, fact = field.partition(".")
        by_hook.setdefault(hook, {})[fact] = value
    found = [_state(hook, known, behind.get(group_of(hook))) for hook, known in by_hook.items() if "host" in known]
    return sorted(found, key=lambda state: (state.host, state.id))


def dead_letters(names: SessionNames, *, last: int = 50, hook: str | None = None) -> Reading[list[DeadLetter]]:
    """The newest, of one webhook or of all; the oldest of them first. One that cannot be read is passed over."""
    found: list[DeadLetter] = []
    for one in [hook] if hook else (yield from _hooks(names)):
        ids: Any = yield methodcaller("zrange", names.webhook_dead(one), -last, -1)
        if ids:
            letters = yield methodcaller("hmget", names.webhook_letters(one), ids)
            found += [read for kept in letters if (read := read_kept(DeadLetter, kept))]
    return sorted(found, key=lambda letter: (letter.died_at, letter.id))[-last:]


def request_replay(names: SessionNames, ids: Collection[str] | None = None) -> Reading[Handled]:
    """Have these letters, or all, tried again, soon, in this order. Each stays a dead letter until it is taken."""

    def ask(hook: str, wanted: list[str]) -> Callable[[Any], Any]:
        return methodcaller("eval", REPLAY_LUA, 2, names.webhook_letters(hook), names.webhook_replays(hook), *wanted)

    return _with_letters(names, ids, ask)


def discard(names: SessionNames, ids: Collection[str] | None = None) -> Reading[Handled]:
    """Take these letters, or all, away for good."""

    def ask(hook: str, wanted: list[str]) -> Callable[[Any], Any]:
        keys = (names.webhook_dead(hook), names.webhook_letters(hook), names.webhook_replays(hook))
        return methodcaller("eval", DISCARD_LUA, 4, names.webhooks, *keys, hook, *wanted)

    return _with_letters(names, ids, ask)


def forget(names: SessionNames, hook: str) -> Reading[bool]:
    """Take away a webhook that is not served any more, its place in the stream and its dead letters. Answers whether
    there was one."""
    facts: Mapping[str, str] = yield methodcaller("hgetall", names.webhooks)
    fields = [field for field in facts if field.startswith(f"{hook}.")]
    try:
        group: Any = yield methodcaller("xgroup_destroy", names.events, group_of(hook))
    except ResponseError as error:
        if not says_no_stream(error):
            raise
        group = 0
    keys = [names.webhook_dead(hook), names.webhook_letters(hook), names.webhook_replays(hook)]
    yield methodcaller("delete", *keys)
    if fields:
        yield methodcaller("hdel", names.webhooks, *fields)
    return bool(fields or group)


def says_no_stream(error: ResponseError) -> bool:
    """As Redis answers where there is no stream."""
    return "no such key" in str(error).lower() or "requires the key to exist" in str(error).lower()


def _with_letters(
    names: SessionNames, ids: Collection[str] | None, ask: Callable[[str, list[str]], Callable[[Any], Any]]
) -> Reading[Handled]:
    """`ask` is given a webhook and ids of its letters; Redis answers, for each, whether there is such a letter."""
    by_hook: dict[str, list[str]] = {}
    if ids is None:
        for hook in (yield from _hooks(names)):
            by_hook[hook] = yield methodcaller("zrange", names.webhook_dead(hook), 0, -1)
    for one in dict.fromkeys(ids or ()):
        by_hook.setdefault(one.partition("-")[0], []).append(one)
    count, unknown = 0, []
    for hook, all_of_it in by_hook.items():
        for start in range(0, len(all_of_it), 500):
            wanted = all_of_it[start : start + 500]
            known = yield ask(hook, wanted)
            count += sum(known)
            unknown += [one for one, is_there in zip(wanted, known, strict=True) if not is_there]
    return Handled(count, unknown)


def _hooks(names: SessionNames) -> Reading[list[str]]:
    facts: Any = yield methodcaller("hkeys", names.webhooks)
    return sorted({str(field).partition(".")[0] for field in facts})


def _behind(names: SessionNames) -> Reading[dict[str, int | None]]:
    """For each group how many events it has not acknowledged."""
    try:
        groups: Any = yield methodcaller("xinfo_groups", names.events)
    except ResponseError as error:
        if not says_no_stream(error):
            raise
        return {}
    return {
        str(group["name"]): None if group.get("lag") is None else int(group["lag"]) + int(group["pending"])
        for group in groups
    }


def _state(hook: str, known: Mapping[str, str], behind: int | None) -> WebhookState:
    def moment(fact: str) -> datetime | None:
        return datetime.fromtimestamp(float(known[fact]), UTC) if fact in known else None

    return WebhookState(
        id=hook,
        host=known["host"],
        seen_at=moment("seen_at"),
        delivered=int(known.get("delivered", 0)),
        failures=int(known.get("failures", 0)),
        dead=int(known.get("dead", 0)),
        lost=int(known.get("lost", 0)),
        succeeded_at=moment("succeeded_at"),
        failing_since=moment("failing_since"),
        failed_at=moment("failed_at"),
        error=known.get("error"),
        behind=behind,
    )
