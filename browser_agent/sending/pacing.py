"""How fast messages go out: pure functions over epoch seconds.

Whoever is at the head of a chat's queue gets a slot: the first moment at which neither all chats together, nor this
chat, nor (where it is a stranger's) all strangers together would be written to faster than their rate. So however much
is accepted at once, it goes out evenly. A slot that was not used in time, because the link was down, is lost: else all
that waited would go out at once when it is back.
"""

from collections.abc import Mapping
from dataclasses import dataclass

ALL, STRANGERS = "all", "strangers"

SLOT_GOOD_FOR_S = 10.0
HORIZON_S = 3600.0  # slots are given out for so long; who comes later comes again
WAIT_AT_MOST_S = 60.0


@dataclass(frozen=True)
class Rates:
    """Messages per minute: all chats together, each chat, and all people together who never wrote to the account."""

    all: float
    per_chat: float
    strangers: float


@dataclass(frozen=True)
class Slot:
    """When a message may go out, and from when on the next ones may, by the names in the pace's hash."""

    at: float
    next_at: dict[str, float]


def slot(pace: Mapping[str, float], chat_id: str, rates: Rates, now: float, *, stranger: bool) -> Slot:
    """The next slot of a chat."""
    intervals = {ALL: 60 / rates.all, chat_id: 60 / rates.per_chat}
    if stranger:
        intervals[STRANGERS] = 60 / rates.strangers
    at = max([now, *(_bounded(pace.get(name), now, interval) for name, interval in intervals.items())])
    return Slot(at, {name: at + interval for name, interval in intervals.items()})


def wait_for_slot_s(slot_at: float | None, now: float) -> float | None:
    """How long to wait for a slot that was given, None where it cannot be used any more."""
    if slot_at is None or now > slot_at + SLOT_GOOD_FOR_S:
        return None
    return max(0.0, slot_at - now)


def is_too_far(slot: Slot, now: float) -> bool:
    """Whether a slot is not to be given out yet."""
    return slot.at - now > HORIZON_S


def wait_in_chat_s(position: int, rates: Rates) -> float:
    """How long whoever is not at the head of its chat waits; its predecessor's end wakes it before that."""
    return min(WAIT_AT_MOST_S, max(1.0, position * 60 / rates.per_chat))


def wait_for_session_s(waiting: int) -> float:
    """How long to wait while nothing can go out. It ends all waiting when it is ready, so that many who wait may do
    so for longer, rather than ask all the time."""
    return min(10 * WAIT_AT_MOST_S, max(15.0, waiting / 10))


def _bounded(next_at: float | None, now: float, interval: float) -> float:
    """A clock that was set back must not stop everything for as long as that was."""
    if next_at is None or next_at - now > HORIZON_S + 2 * interval:
        return now
    return next_at
