"""What a try amounts to, and what follows from it: no clock, no Redis, no network."""

import random
from dataclasses import dataclass
from enum import StrEnum

TRIES = 5  # of an event that is refused, while others are taken
LONELY_TRIES = 20  # of an event that gets no answer, while others are taken: over half an hour
DEAD_IN_A_ROW = 5  # then it is not the events: one is given up each PATIENCE_S, so that each has an end
PATIENCE_S = 3600.0
MOST_WAIT_S = 300.0
FIRST_WAIT_S = 1.0
LEAST_WAIT_S = 0.1

# The receiver, or what stands before it, is away, whatever the event is, or says that it has too much to do.
_AWAY = frozenset({408, 502, 504})
_BUSY = frozenset({425, 429, 503})


class Verdict(StrEnum):
    """On one try."""

    TAKEN = "taken"
    AWAY = "away"
    BUSY = "busy"  # away, and not because of this event
    REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """Of one try. `error` is for people: a status, or why there was no answer; never what was answered."""

    verdict: Verdict
    error: str = ""
    retry_after_s: float | None = None


class Step(StrEnum):
    """What to do with the event."""

    DONE = "done"
    HOLD_ALL = "hold_all"  # the others wait as well, and one of them finds out when it works again
    TRY_AGAIN = "try_again"  # after a while; its chat waits, others go on
    BURY = "bury"


def answered(status: int, retry_after_s: float | None) -> Outcome:
    """By the status."""
    if 200 <= status < 300:
        return Outcome(Verdict.TAKEN)
    redirect = ", and redirects are not followed" if 300 <= status < 400 else ""
    verdict = Verdict.AWAY if status in _AWAY else Verdict.BUSY if status in _BUSY else Verdict.REFUSED
    return Outcome(verdict, f"answers {status}{redirect}", retry_after_s)


def unanswered(why: str) -> Outcome:
    """There was none."""
    return Outcome(Verdict.AWAY, why)


@dataclass
class History:
    """Of one event, since it is in hand."""

    refusals: int = 0
    lonely: int = 0  # tries without an answer, between which others were taken
    taken_before: int | None = None  # how many were taken when it failed last


def next_step(verdict: Verdict, history: History, taken: int, dead_in_a_row: int, since_last_dead_s: float) -> Step:
    """What a try amounts to, which goes into the event's history. `taken` counts all events that were taken,
    `dead_in_a_row` those that were given up since the last one of these, the last of them so long ago."""
    if verdict is Verdict.TAKEN:
        return Step.DONE
    if verdict is Verdict.BUSY:
        return Step.HOLD_ALL
    was_taken_before, history.taken_before = history.taken_before, taken
    if verdict is Verdict.AWAY:
        if was_taken_before in (None, taken):
            return Step.HOLD_ALL
        history.lonely += 1
        return Step.BURY if history.lonely >= LONELY_TRIES else Step.TRY_AGAIN
    history.refusals += 1
    refusals = history.refusals
    if dead_in_a_row >= DEAD_IN_A_ROW and (since_last_dead_s < PATIENCE_S or refusals < TRIES):
        return Step.HOLD_ALL
    return Step.BURY if refusals >= TRIES else Step.TRY_AGAIN


def wait_s(failures: int, retry_after_s: float | None = None) -> float:
    """Before the next try, after so many failed ones in a row: anything up to a bound that doubles, and not less than
    the receiver asked for."""
    bound_s = min(MOST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 20))
    drawn_s = max(LEAST_WAIT_S, random.uniform(0, bound_s))  # noqa: S311  # no secret
    return max(drawn_s, min(retry_after_s or 0.0, MOST_WAIT_S))
