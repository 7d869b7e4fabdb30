"""The ladder where what is seen is not the same at each look, or nobody looked for a while."""

from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import pytest

from tests.harness.ladder import BAD, LIMITS, TICK_S, feed, seen
from whatsapp_contract.health import Verdict
from whatsapp_contract.incidents import Incident
from workers import recovery
from workers.memory import RUNGS, Attempt, Cured, Memory, Observation, Rung
from workers.recovery import FIRST_RUNG

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

UNCLEAR = ("agent_slow", "check_busy", "check_internal")
KINDS = [(verdict, "test") for verdict in BAD] + [(Verdict.DEGRADED, reason) for reason in UNCLEAR]
MINUTES_S = LIMITS.unclear_s + 3 * TICK_S


def looks(*kinds: tuple[Verdict, str], for_s: float = MINUTES_S) -> list[Observation]:
    """In turn, every ten seconds."""
    return [
        seen(kinds[n % len(kinds)][0], 100 + TICK_S * n, reason=kinds[n % len(kinds)][1])
        for n in range(int(for_s / TICK_S))
    ]


@pytest.mark.parametrize(("one", "other"), list(combinations(KINDS, 2)))
def test_a_fault_that_looks_different_at_each_look_is_acted_on(
    one: tuple[Verdict, str], other: tuple[Verdict, str]
) -> None:
    rungs, memory = feed(Memory(), *looks(one, other))
    taken = [rung for rung in rungs if rung is not None]
    assert taken
    first = memory.trouble
    assert first is not None
    able = [FIRST_RUNG[verdict] for verdict, _ in (one, other) if verdict in FIRST_RUNG]
    assert taken[0] is min(able, key=RUNGS.index, default=Rung.RESTART_AGENT)


def test_the_mildest_of_three_is_begun_with_and_the_next_follow() -> None:
    kinds = (Verdict.AGENT_HUNG, "test"), (Verdict.PAGE_HUNG, "page_timeout"), (Verdict.DEGRADED, "agent_slow")
    memory, causes = Memory(), []
    for one in looks(*kinds, for_s=600):
        decision = recovery.decide(memory, one, LIMITS)
        memory = decision.memory
        if decision.rung is not None:
            causes.append((decision.rung, decision.cause))
            memory = recovery.note_done(memory, one.at, failed=False)
    assert causes[0] == (Rung.RELOAD, "page_hung: page_timeout")
    assert [rung for rung, _ in causes[1:3]] == [Rung.RESTART_BROWSER, Rung.RESTART_AGENT]


@pytest.mark.parametrize(
    "good", [(Verdict.HEALTHY, "ready"), (Verdict.DEGRADED, "starting"), (Verdict.BLOCKED, "tos")]
)
@pytest.mark.parametrize("bad", KINDS)
def test_a_good_look_now_and_then_ends_the_row(bad: tuple[Verdict, str], good: tuple[Verdict, str]) -> None:
    rungs, _ = feed(Memory(), *looks(bad, good, for_s=3600))
    assert set(rungs) == {None}


def test_nobody_looked_for_a_while_and_the_row_begins_anew() -> None:
    before = looks((Verdict.PAGE_HUNG, "test"), (Verdict.AGENT_HUNG, "test"), for_s=LIMITS.unclear_s - TICK_S)
    later = seen(Verdict.PAGE_HUNG, before[-1].at + LIMITS.agree_within_s + 1)
    rungs, _ = feed(Memory(), *before, later)
    assert set(rungs) == {None}


def test_starts_of_which_nobody_knows_when_they_were_count_for_nothing() -> None:
    """The session was in another container for a day, whose agents have raised the epoch."""
    _, memory = feed(Memory(), seen(Verdict.HEALTHY, 100, agent_life=5))
    _, memory = feed(memory, seen(Verdict.DEGRADED, 90_000, reason="starting", agent_life=12))
    assert (memory.attempt, memory.agent_starts, memory.others_starts) == (None, (), ())
    _, memory = feed(memory, seen(Verdict.HEALTHY, 90_010, agent_life=13))
    assert memory.agent_starts == memory.others_starts == (90_010,)


def test_a_restart_of_the_ladder_s_own_excuses_that_one_only() -> None:
    """What rose the epoch since is not excused by a restart whose epoch was seen already."""
    looked = [seen(Verdict.AGENT_HUNG, 100 + TICK_S * n, agent_life=5) for n in range(2)]
    rungs, memory = feed(Memory(), *looked)
    assert rungs[-1] is Rung.RESTART_AGENT
    _, memory = feed(memory, seen(Verdict.HEALTHY, 130, agent_life=6, page_seen=129.0))
    assert memory.others_starts == ()
    _, memory = feed(memory, seen(Verdict.HEALTHY, 140, agent_life=7))
    assert memory.others_starts == (140,)


def test_each_of_a_person_s_restarts_between_two_looks_is_nobody_s() -> None:
    _, memory = feed(Memory(), seen(Verdict.HEALTHY, 100, agent_life=5))
    memory = recovery.note_person(memory, 3)
    _, memory = feed(memory, seen(Verdict.HEALTHY, 110, agent_life=8))
    assert memory.agent_starts == memory.others_starts == ()


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [(Verdict.WAITING_FOR_PERSON, "awaiting_scan"), (Verdict.WAITING_FOR_PERSON, "conflict"), (Verdict.BLOCKED, "x")],
)
def test_a_hold_that_only_time_may_end_outlasts_looks_at_what_is_a_person_s(verdict: Verdict, reason: str) -> None:
    hold = Attempt(
        rung=Rung.HOLD, at=100, verdict=Verdict.AGENT_GONE, lasts_s=900, agent_life=5, only_by_time=True, taken=()
    )
    theirs = [seen(verdict, 110 + TICK_S * n, reason=reason, agent_life=6) for n in range(3)]
    rungs, memory = feed(Memory(attempt=hold, watched_at=100), *theirs)
    assert (memory.attempt, set(rungs)) == (hold, {None})
    _, memory = feed(memory, seen(Verdict.HEALTHY, 140, agent_life=6))
    assert memory.attempt is None


def test_what_a_person_was_told_of_is_told_again_when_it_comes_again() -> None:
    """`ends_told` falls when it does not hold any more; forgiven, nothing is left of it."""
    cured = Cured(first=Rung.RELOAD, at=90)
    memory = Memory(watched_at=100, agent_life=1, others_starts=tuple(range(12)), cured=(cured,), ends_told=True)
    _, kept = feed(memory, seen(Verdict.HEALTHY, 110, agent_life=1))
    assert kept.ends_told
    _, old = feed(memory, seen(Verdict.HEALTHY, 30_000, agent_life=1))
    assert not old.ends_told
    forgiven = recovery.note_person(memory)
    assert (forgiven.others_starts, forgiven.cured, forgiven.ends_told) == ((), (), False)


def test_an_agent_that_was_unclear_is_bad_since_the_first_of_it() -> None:
    *_, last = looks((Verdict.DEGRADED, "agent_slow"), for_s=LIMITS.unclear_s + TICK_S)
    _, memory = feed(Memory(), *looks((Verdict.DEGRADED, "agent_slow"), for_s=LIMITS.unclear_s + TICK_S))
    assert memory.trouble is not None
    assert (memory.trouble.at, memory.trouble.bad_since) == (last.at, 100)


def test_an_incident_keeps_its_first_bad_look_over_a_gap_and_without_one_it_is_forgotten() -> None:
    first = seen(Verdict.PAGE_HUNG, 100)
    known: dict[str, Any] = {"verdict": Verdict.PAGE_HUNG, "reason": "test", "bad_since": NOW, "found_at": NOW}
    memory = Memory(trouble=first, watched_at=100)
    later = seen(Verdict.DEGRADED, 100 + LIMITS.agree_within_s + 1, reason="starting")
    assert feed(memory, later)[1].trouble is None
    memory = memory.model_copy(update={"incident": Incident(id="i", instance="i1", **known)})
    assert feed(memory, later)[1].trouble == first
