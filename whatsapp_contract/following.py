"""Following the events, alone or as a consumer of a group.

What is asked of Redis, and in which order, is written once, as steps (steps.py). A group's consumer loses nothing: an
event is acknowledged when it is done with, and what is not acknowledged comes again, to the consumer of the same name
first of all, or to another one when it was left alone for long enough.
"""

import json
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from redis.exceptions import ResponseError

from .backoff import Backoff
from .events import Event
from .logs import get_logger
from .redis_connection import is_outage
from .steps import Ask, Beside, Steps, Wait

log = get_logger(__name__)

# Blocking reads are made in slices, each well inside the connection's own deadline.
SLICE_S = 2.0
ALONE_AT_ONCE = 500
# A consumer that is stuck with one event for so long no longer keeps it from the others.
HOLD_AT_MOST_S = 3600.0

# KEYS: events. ARGV: group, consumer, entries' ids. Sets back the idle clocks of those that are still this consumer's:
# who was frozen for long must not take back what another has taken over.
HOLD_LUA = """
for index = 3, #ARGV do
  local id = ARGV[index]
  if #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2]) > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
  end
end
"""

_Entries = list[tuple[str, dict[str, str]]]


def event_from_entry(entry_id: str, fields: dict[str, str]) -> Event:
    """The event in a stream entry, with its id."""
    return Event.model_validate({**json.loads(fields["event"]), "id": entry_id})


def alone(events: str, after: str, types: Collection[str] | None) -> Steps[None]:
    """Every event after the one with the id `after`, for ever. Errors of Redis end it."""
    last = after
    if after == "$":  # XREAD's own `$` would lose what comes between two reads
        newest = yield Ask(lambda redis: redis.xrevrange(events, count=1))
        last = str(newest[0][0]) if newest else "0"
    while True:
        found = yield Ask(partial(_read_alone, events, last))
        for entry_id, fields in _entries(found):
            last = entry_id
            event = readable_event(entry_id, fields)
            if event is not None and (types is None or event.type in types):
                yield event


def _read_alone(events: str, after: str, redis: Any) -> Any:
    return redis.xread({events: after}, ALONE_AT_ONCE, int(SLICE_S * 1000))


class Consumer:
    """One consumer of a group. Its name must be its own: two that share it are given each other's events."""

    def __init__(
        self,
        events: str,
        group: str,
        name: str,
        *,
        after: str = "0",
        types: Collection[str] | None = None,
        claim_idle_s: float = 60.0,
        batch: int = 10,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hand = _Hand(events, group, name, clock)
        # So often that a clock is set back well before it says claim_idle_s, one lost answer included.
        self.beside = Beside(claim_idle_s / 3, self._hand.hold)
        self._events, self._group, self._name = events, group, name
        self._after = after
        self._types = types
        self._claim_idle_s = claim_idle_s
        self._batch = batch
        self._clock = clock
        self._claim_at = clock()
        self._backoff = Backoff(0.1, 5.0)
        self._away = False

    def steps(self) -> Steps[None]:
        """First what this consumer was given before and did not acknowledge, then what dead ones left, then what is
        new; for ever, through every outage of Redis."""
        yield from self._make_group(self._after)
        while True:
            try:
                yield from self._own()
                yield from self._others_and_new()
            except _AnswerLost:
                continue  # what the lost answer gave us is among our own now
            except _GroupGone:
                log.warning("the consumer group is gone and is made anew", group=self._group)
                yield from self._make_group("0")  # whatever the stream holds now, this group has not seen it

    def _make_group(self, after: str) -> Steps[None]:
        try:
            yield from self._ask(lambda redis: redis.xgroup_create(self._events, self._group, after, mkstream=True))
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _own(self) -> Steps[None]:
        last = "0"
        while entries := (yield from self._read(last)):
            yield from self._work(entries)
            last = entries[-1][0]

    def _others_and_new(self) -> Steps[None]:
        while True:
            if self._clock() >= self._claim_at:
                yield from self._take_over()
                self._claim_at = self._clock() + self._claim_idle_s / 2
            yield from self._work((yield from self._read(">")))

    def _take_over(self) -> Steps[None]:
        start, told = "0-0", False
        while True:
            answer = yield from self._ask(partial(self._autoclaim, start), again=False)
            start, entries = answer[0], [entry for entry in answer[1] if entry[0] is not None]
            _tell_trimmed(answer[2] if len(answer) > 2 else [])
            if entries and not told:
                log.info("taking over what a consumer left alone", group=self._group)
                told = True
            yield from self._work(entries)
            if start == "0-0":
                return

    def _autoclaim(self, start: str, redis: Any) -> Any:
        idle_ms = int(self._claim_idle_s * 1000)
        return redis.xautoclaim(self._events, self._group, self._name, idle_ms, start, self._batch)

    def _read(self, after: str) -> Steps[_Entries]:
        found = yield from self._ask(
            lambda redis: redis.xreadgroup(
                self._group, self._name, {self._events: after}, self._batch, int(SLICE_S * 1000)
            ),
            again=False,
        )
        return _entries(found)

    def _work(self, entries: _Entries) -> Steps[None]:
        """Give them, one after another, and acknowledge each before the next is given."""
        ids = tuple(entry_id for entry_id, _fields in entries)
        _tell_trimmed([entry_id for entry_id, fields in entries if not fields])
        self._hand.take(ids)
        done: list[str] = []
        for index, (entry_id, fields) in enumerate(entries):
            event = readable_event(entry_id, fields) if fields else None
            if event is not None and (self._types is None or event.type in self._types):
                yield from self._acknowledge(done)
                self._hand.take(ids[index:])
                yield event
                done = []
            done.append(entry_id)
        yield from self._acknowledge(done)
        self._hand.take(())

    def _acknowledge(self, ids: list[str]) -> Steps[None]:
        if ids:
            yield from self._ask(lambda redis: redis.xack(self._events, self._group, *ids))

    def _ask(self, send: Callable[[Any], Any], *, again: bool = True) -> Steps[Any]:
        """The answer, however long Redis is away. A read is not made again as it was: raises _AnswerLost."""
        while True:
            try:
                answer = yield Ask(send)
            except Exception as error:
                if not is_outage(error):
                    if says_group_gone(error):
                        raise _GroupGone from error
                    raise
                if not self._away:
                    log.warning("waiting for Redis", group=self._group, error=str(error))
                self._away = True
            else:
                if self._away:
                    log.info("Redis is back", group=self._group)
                self._away = False
                self._backoff.reset()
                return answer
            # The others could not hold what is theirs either.
            self._claim_at = self._clock() + self._claim_idle_s
            yield Wait(self._backoff.next_s())
            if not again:
                raise _AnswerLost


class _Hand:
    """What a consumer has in hand: it is held, beside the work on it, so that no other takes it over meanwhile."""

    def __init__(self, events: str, group: str, consumer: str, clock: Callable[[], float]) -> None:
        self._events, self._group, self._consumer = events, group, consumer
        self._clock = clock
        self._held: tuple[tuple[str, ...], float] = ((), 0.0)  # replaced as one: threads look at it

    def take(self, ids: tuple[str, ...]) -> None:
        """These it has now, and is about to work on the first."""
        self._held = (ids, self._clock())

    def hold(self) -> Ask | None:
        """What to ask of Redis so that they stay in hand. Where that fails another may take them over: then they come
        twice, not never."""
        ids, since = self._held
        if not ids or self._clock() - since > HOLD_AT_MOST_S:
            return None
        return Ask(lambda redis: redis.eval(HOLD_LUA, 1, self._events, self._group, self._consumer, *ids))


class _AnswerLost(Exception):
    """Redis may have given us entries in an answer that never came."""


class _GroupGone(Exception):
    """Redis lost the group, or all of its data."""


def says_group_gone(error: Exception) -> bool:
    """As Redis answers a read where the group, or the whole stream, is gone."""
    return str(error).startswith(("NOGROUP", "UNBLOCKED"))


def readable_event(entry_id: str, fields: dict[str, str]) -> Event | None:
    """None, and a line in the log, for what can never be read: it must not stop whoever follows for ever."""
    try:
        return event_from_entry(entry_id, fields)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        log.error("an event cannot be read and is passed over", id=entry_id, error=type(error).__name__)
        return None


def _tell_trimmed(ids: list[str]) -> None:
    if ids:
        log.error("events were trimmed away before they were done with", count=len(ids), first=ids[0], last=ids[-1])


def _entries(found: Any) -> _Entries:
    """The entries of the one stream that was read."""
    return [entry for _stream, entries in found or [] for entry in entries]
