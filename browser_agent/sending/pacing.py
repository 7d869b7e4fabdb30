"""How fast messages go out: pure functions, and a line to stand in.

Every message that is given to the page needs a slot: a moment at which neither all chats together, nor this chat, nor
(where it is a stranger's) all strangers together would be written to faster than their rate. A slot is given out when
it is due and not before, so that nobody's far slot holds up others; nothing is given for the time before now, so that
what has waited does not go out at once. Whoever comes too early stands in line, and is told when to come again: so
they come one after the other, and not all at once for each slot. Strangers have a line of their own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

ALL, STRANGERS = "all", "strangers"

SOON_S = 0.25  # so long a slot is waited for on the spot
WAIT_AT_MOST_S = 600.0
WAIT_IN_CHAT_AT_MOST_S = 3600.0
ABSENT_FOR_S = 60.0  # who comes later than that stands at the end of the line


@dataclass(frozen=True)
class Rates:
    """Messages per minute: all chats together, each chat, and all people together who never wrote to the account."""

    all: float
    per_chat: float
    strangers: float


@dataclass(frozen=True)
class Slot:
    """When a message may go out, and from when on the next ones may, by the names in the pace's hash. `chat_at` is
    what its own chat waits for, whatever others do."""

    at: float
    chat_at: float
    next_at: dict[str, float]


def slot(pace: Mapping[str, float], chat_id: str, rates: Rates, now: float, *, stranger: bool) -> Slot:
    """The next slot of a chat."""
    intervals = {ALL: 60 / rates.all, chat_id: 60 / rates.per_chat}
    if stranger:
        intervals[STRANGERS] = 60 / rates.strangers
    at = {name: max(now, _bounded(pace.get(name), now, interval)) for name, interval in intervals.items()}
    given = max(at.values())
    return Slot(given, at[chat_id], {name: given + interval for name, interval in intervals.items()})


class Line:
    """Who waits for a slot, and when each is to come again: one in each interval of all, a stranger only in every so
    many; others come between them. Nothing of it binds: the pace does, and a life that ends takes its line with it.

    Times are those of a clock that does not jump.
    """

    def __init__(self, rates: Rates) -> None:
        self._interval_s = 60 / rates.all
        self._strangers_interval_s = 60 / rates.strangers
        self._places: dict[str, int] = {}
        self._taken: dict[int, str] = {}
        self._last: dict[bool, int] = {}

    def turn(self, key: str, earliest: float, now: float, *, stranger: bool) -> float:
        """When it is `key`'s turn, where it cannot be before `earliest`. It keeps its place when it asks again."""
        earliest = max(earliest, now)
        place = self._places.get(key)
        if place is not None and now > place * self._interval_s + ABSENT_FOR_S:
            self.leave(key)
            place = None
        if place is None:
            place = self._free_place(earliest, stranger)
            self._places[key], self._taken[place], self._last[stranger] = place, key, place
        return max(place * self._interval_s, earliest)

    def leave(self, key: str) -> None:
        """It has had its turn, or has its end."""
        place = self._places.pop(key, None)
        if place is not None:
            del self._taken[place]

    def _free_place(self, earliest: float, stranger: bool) -> int:
        place = math.floor(earliest / self._interval_s)
        if (last := self._last.get(stranger)) is not None:
            apart = math.ceil(self._strangers_interval_s / self._interval_s) if stranger else 1
            # Of others only those who still wait are before us: who has left early has made room.
            if stranger or last in self._taken:
                place = max(place, last + apart)
        while place in self._taken:
            place += 1
        return place


def wait_in_chat_s(position: int, rates: Rates) -> float:
    """How long whoever is not at the head of its chat waits; its predecessor's end wakes it before that."""
    return min(WAIT_IN_CHAT_AT_MOST_S, max(1.0, position * 60 / rates.per_chat))


def wait_for_session_s(waiting: int) -> float:
    """How long to wait while nothing can go out. It ends all waiting when it is ready, so that many who wait may do
    so for longer, rather than ask all the time."""
    return min(WAIT_AT_MOST_S, max(15.0, waiting / 10))


def _bounded(next_at: float | None, now: float, interval: float) -> float:
    """Slots are given out when they are due: a later one is of a clock that was set back since, and is none."""
    if next_at is None or next_at - now > interval + 2 * SOON_S:
        return now
    return next_at


class Ages:
    """How old sends are, by Redis' clock, which may be set while they wait: a step forward makes none of them old.

    `elapsed` is a clock that cannot be set, and goes on while the machine is suspended.
    """

    JITTER_S = 300.0

    def __init__(self) -> None:
        self._seen: tuple[float, float] | None = None
        self._steps: list[tuple[float, float]] = []  # until when it was, and how far it went

    def saw(self, now: float, elapsed: float) -> None:
        """Redis says that it is `now`."""
        if self._seen is not None:
            then, elapsed_then = self._seen
            step = (now - then) - (elapsed - elapsed_then)
            if step > self.JITTER_S:
                self._steps.append((then, step))
        self._seen = (now, elapsed)

    def age_s(self, accepted_at: float, now: float) -> float:
        return now - accepted_at - sum(step for until, step in self._steps if accepted_at <= until)
