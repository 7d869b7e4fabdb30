"""How webhooks stand, and their dead letters: for whoever shows them, or has letters tried again.

What is asked of Redis is written once; `carry_out` does it for threads, `carry_out_async` for asyncio:

    for state in carry_out(redis, states(names)): ...
    for letter in await carry_out_async(redis, dead_letters(names, last=50)): ...
"""

from collections.abc import Callable, Collection, Generator, Mapping
from datetime import UTC, datetime
from operator import methodcaller
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict
from redis.exceptions import ResponseError

from .names import SessionNames

if TYPE_CHECKING:
    import redis
    import redis.asyncio

_T = TypeVar("_T")

# Each step is given a client of either kind; its answer comes back.
Reading = Generator[Callable[[Any], Any], Any, _T]

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

    def is_served(self, now: datetime) -> bool:
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
    """The newest, of one webhook or of all; the oldest of them first."""
    found: list[DeadLetter] = []
    for one in [hook] if hook else (yield from _hooks(names)):
        ids: Any = yield methodcaller("zrange", names.webhook_dead(one), -last, -1)
        if ids:
            letters = yield methodcaller("hmget", names.webhook_letters(one), ids)
            found += [DeadLetter.model_validate_json(letter) for letter in letters if letter]
    return sorted(found, key=lambda letter: (letter.died_at, letter.id))[-last:]


def request_replay(names: SessionNames, ids: Collection[str]) -> Reading[list[str]]:
    """Have these letters tried again, soon, in this order. Each stays a dead letter until it is taken. Answers those
    that are none."""
    unknown: list[str] = []
    by_hook: dict[str, list[str]] = {}
    for one in dict.fromkeys(ids):
        by_hook.setdefault(one.partition("-")[0], []).append(one)
    for hook, wanted in by_hook.items():
        keys = (names.webhook_letters(hook), names.webhook_replays(hook))
        known = yield methodcaller("eval", REPLAY_LUA, len(keys), *keys, *wanted)
        unknown += [one for one, is_there in zip(wanted, known, strict=True) if not is_there]
    return unknown


def request_replay_of_all(names: SessionNames) -> Reading[int]:
    """As request_replay, with all letters of all webhooks. Answers how many that are."""
    ids: list[str] = []
    for hook in (yield from _hooks(names)):
        ids += yield methodcaller("zrange", names.webhook_dead(hook), 0, -1)
    for start in range(0, len(ids), 500):
        yield from request_replay(names, ids[start : start + 500])
    return len(ids)


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


def carry_out(redis: "redis.Redis", reading: Reading[_T]) -> _T:
    """For threads. Raises redis' own errors."""
    try:
        ask = next(reading)
        while True:
            try:
                answer = ask(redis)
            except ResponseError as error:
                ask = reading.throw(error)
            else:
                ask = reading.send(answer)
    except StopIteration as done:
        result: _T = done.value
        return result


async def carry_out_async(redis: "redis.asyncio.Redis", reading: Reading[_T]) -> _T:
    """As carry_out."""
    try:
        ask = next(reading)
        while True:
            try:
                answer = await ask(redis)
            except ResponseError as error:
                ask = reading.throw(error)
            else:
                ask = reading.send(answer)
    except StopIteration as done:
        result: _T = done.value
        return result


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
