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
