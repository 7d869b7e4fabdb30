"""How an incident follows from what the ladder sees and does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from whatsapp_contract.health import Verdict
from whatsapp_contract.incidents import Incident, RungTaken
from workers import incidents
from workers.memory import Decision, Memory, Observation, Rung

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def seen(verdict: Verdict, at: float, **more: Any) -> Observation:
    return Observation(verdict=verdict, reason="test", at=at, **more)


def rung(name: Rung, after_s: float, error: str | None = None) -> RungTaken:
    at = NOW + timedelta(seconds=after_s)
    return RungTaken(rung=name.value, cause="test", at=at, took_ms=None if error else 1.0, error=error)


def incident(*rungs: RungTaken, person_after_s: float | None = None) -> Incident:
    person_at = None if person_after_s is None else NOW + timedelta(seconds=person_after_s)
    first: dict[str, Any] = {"verdict": Verdict.PAGE_HUNG, "reason": "test", "bad_since": NOW, "found_at": NOW}
    return Incident(id="i", instance="i1", rungs=rungs, person_at=person_at, **first)


@pytest.mark.parametrize(
    ("one", "cured_by"),
    [
        (incident(), "itself"),
        (incident(rung(Rung.RELOAD, 1)), "reload"),
        (incident(rung(Rung.RELOAD, 1), rung(Rung.RESTART_BROWSER, 2, "browser_gone")), "reload"),
        (incident(rung(Rung.RESET, 1, "reset_unproven")), "itself"),
        (incident(rung(Rung.RELOAD, 1), rung(Rung.HOLD, 2), person_after_s=3), "person"),
        (incident(rung(Rung.RELOAD, 1, "page_timeout"), person_after_s=3), "person"),
        (incident(rung(Rung.RELOAD, 5), person_after_s=3), "reload"),
    ],
)
def test_what_cured_it_is_what_was_carried_out_last(one: Incident, cured_by: str) -> None:
    ended = incidents.closed(Memory(incident=one), Memory(), seen(Verdict.HEALTHY, 100), NOW + timedelta(seconds=60))
    assert ended is not None
    assert ended.cured_by == cured_by


def test_it_begins_when_the_fact_began_to_stand_and_not_when_somebody_looked() -> None:
    first = seen(Verdict.PAGE_HUNG, 100, bad_since=65.0)
    memory = Memory(trouble=first)
    decision = Decision(rung=Rung.RELOAD, cause="test", memory=memory)
    found = incidents.opened(memory, decision, seen(Verdict.PAGE_HUNG, 110), "i1", NOW)
    assert found is not None
    assert found.bad_since == NOW - timedelta(seconds=45)
    assert found.found_at == NOW - timedelta(seconds=10)


@pytest.mark.parametrize("verdict", [Verdict.WAITING_FOR_PERSON, Verdict.BLOCKED])
def test_ready_again_after_what_waited_for_a_person_is_not_ready_anew(verdict: Verdict) -> None:
    memory = incidents.noted_ready(Memory(), seen(Verdict.HEALTHY, 100, ready_since=50.0), False, "1-1")
    assert (memory.ready_since, memory.events_read) == (50.0, "1-1")
    again = seen(Verdict.HEALTHY, 900, ready_since=890.0)
    assert incidents.is_ready_anew(memory, again)
    waiting = incidents.noted_ready(memory, seen(verdict, 500), False, "1-1")
    assert not incidents.is_ready_anew(waiting, again)


def test_ready_again_after_an_incident_that_ended_without_it_is_not_ready_anew() -> None:
    memory = Memory(ready_since=50.0)
    on = incidents.noted_ready(memory, seen(Verdict.PAGE_HUNG, 100), False, None)
    assert on.ready_since == 50.0
    over = incidents.noted_ready(memory, seen(Verdict.DISCONNECTED, 100), True, None)
    assert over.ready_since is None


# -- its end ----------------------------------------------------------------------------------------------------------

ASKED_AT = NOW + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("one", "ends"),
    [
        (seen(Verdict.HEALTHY, 100), True),
        (seen(Verdict.WAITING_FOR_PERSON, 100), True),
        (seen(Verdict.HEALTHY, 100, operation="backup"), False),
        (seen(Verdict.DEGRADED, 100), False),
        (seen(Verdict.PAGE_HUNG, 100), False),
    ],
)
def test_neither_what_comes_up_nor_what_is_worked_on_nor_what_is_bad_ends_it(one: Observation, ends: bool) -> None:
    """Nor where nothing is remembered of it but itself, as after a new life of the machine."""
    ended = incidents.closed(Memory(incident=incident()), Memory(incident=incident()), one, ASKED_AT)
    assert (ended is not None) is ends


@pytest.mark.parametrize(
    ("ready_since", "ended_after_s", "not_ready_s"),
    [
        (None, 60.0, 60.0),  # ready, but nobody knows since when
        (80.0, 40.0, 40.0),
        (30.0, 60.0, 60.0),  # before it began: that is not how it ended
        (101.0, 60.0, 60.0),
    ],
)
def test_it_ends_when_the_session_was_ready_and_not_when_somebody_looked(
    ready_since: float | None, ended_after_s: float, not_ready_s: float
) -> None:
    one = seen(Verdict.HEALTHY, 100, ready_since=ready_since)
    ended = incidents.closed(Memory(incident=incident()), Memory(), one, ASKED_AT)
    assert ended is not None
    assert (ended.ended_at, ended.not_ready_s) == (NOW + timedelta(seconds=ended_after_s), not_ready_s)


def test_for_how_long_is_by_the_clock_that_nobody_steps_where_that_is_known() -> None:
    """The other was set forward by an hour meanwhile."""
    before = Memory(incident=incident(), trouble=seen(Verdict.PAGE_HUNG, 70, bad_since=65.0))
    ended = incidents.closed(before, Memory(), seen(Verdict.HEALTHY, 100), ASKED_AT + timedelta(hours=1))
    assert ended is not None
    assert ended.not_ready_s == 35.0
