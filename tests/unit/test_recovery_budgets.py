"""The ladder's budgets: how often is too often, and how a hold ends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.ladder import BAD, LIMITS, TICK_S, feed, hold, seen
from whatsapp_contract.health import Verdict
from workers import recovery
from workers.memory import RESTARTS, Decision, Memory, Rung
from workers.recovery import FIRST_RUNG


def test_after_three_agent_restarts_a_person_is_called_and_nothing_is_done() -> None:
    memory, at = hold()
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, at + TICK_S * n, agent_life=7) for n in range(80)))
    assert set(rungs) == {None}


def test_a_hold_ends_by_its_time() -> None:
    memory, at = hold()
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, at + 900 + TICK_S * n, agent_life=7) for n in range(2)))
    assert rungs == [None, Rung.RESTART_AGENT]


@given(st.lists(st.sampled_from([*BAD, Verdict.DEGRADED]), min_size=1, max_size=80))
def test_a_hold_holds_whatever_else_is_wrong(verdicts: list[Verdict]) -> None:
    memory, at = hold()
    rungs, memory = feed(memory, *(seen(one, at + TICK_S * n, agent_life=7) for n, one in enumerate(verdicts)))
    assert set(rungs) == {None}
    assert memory.attempt is not None
    assert memory.attempt.rung is Rung.HOLD


def test_a_hold_does_not_end_for_an_epoch_that_is_not_known() -> None:
    memory, at = hold()
    rungs, memory = feed(memory, *(seen(Verdict.PAGE_HUNG, at + TICK_S * n) for n in range(5)))
    assert set(rungs) == {None}


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("operation", [None, "reload"])
def test_any_observation_of_another_agent_ends_a_hold(verdict: Verdict, operation: str | None) -> None:
    memory, at = hold()
    rungs, memory = feed(memory, seen(verdict, at, agent_life=8, operation=operation))
    assert rungs == [None]
    assert memory.attempt is None


def test_a_hold_ends_when_somebody_has_restarted_the_agent() -> None:
    memory, at = hold()
    rungs, _ = feed(memory, *(seen(Verdict.PAGE_HUNG, at + TICK_S * n, agent_life=8) for n in range(2)))
    assert rungs == [None, Rung.RELOAD]


def test_a_hold_ends_when_the_session_is_well_again() -> None:
    memory, at = hold()
    _, memory = feed(memory, seen(Verdict.HEALTHY, at, agent_life=7))
    assert memory.attempt is None


def test_restarts_by_others_count() -> None:
    """supervisord's, and people's: each is a new epoch."""
    lives = [seen(Verdict.HEALTHY, 100 + TICK_S * n, agent_life=n) for n in range(1, 7)]
    rungs, memory = feed(Memory(), *lives)
    assert len(memory.agent_starts) == 5
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, 170 + TICK_S * n, agent_life=6) for n in range(2)))
    assert rungs == [None, Rung.HOLD]


def test_browsers_that_the_agent_started_count() -> None:
    rungs, _ = feed(Memory(), *(seen(Verdict.BROWSER_GONE, 100 + TICK_S * n, browser_starts=5) for n in range(2)))
    assert rungs == [None, Rung.HOLD]


def test_a_restart_by_the_ladder_is_counted_once() -> None:
    _, memory = feed(Memory(), *(seen(Verdict.AGENT_HUNG, 100 + TICK_S * n, agent_life=1) for n in range(2)))
    _, memory = feed(memory, seen(Verdict.HEALTHY, 130, agent_life=2))
    assert memory.agent_starts == (110,)


def test_a_redis_that_lost_its_memory_is_no_restart() -> None:
    _, memory = feed(Memory(), seen(Verdict.HEALTHY, 100, agent_life=9), seen(Verdict.HEALTHY, 110, agent_life=1))
    assert memory.agent_starts == ()


def test_an_agent_that_crashes_again_and_again_is_a_person_s_though_it_is_never_found_bad() -> None:
    memory, told, rungs = Memory(), [], []
    for n in range(360):
        decision = recovery.decide(memory, seen(Verdict.DEGRADED, 100 + TICK_S * n, agent_life=1 + n // 2), LIMITS)
        memory = decision.memory
        rungs.append(decision.rung)
        told.append(decision.alert)
    assert set(rungs) == {None, Rung.HOLD}
    assert 1 <= len([one for one in told if one]) <= 4


def cure_and_come_back(memory: Memory, verdict: Verdict, at: float) -> tuple[list[Rung | None], Memory]:
    rungs, memory = feed(memory, *(seen(verdict, at + TICK_S * n) for n in range(2)))
    _, memory = feed(memory, *(seen(Verdict.HEALTHY, at + TICK_S * n) for n in range(2, 10)))
    return rungs, memory


def first_rungs(verdict: Verdict, times: int) -> list[Rung]:
    memory, first = Memory(), []
    for n in range(times):
        rungs, memory = cure_and_come_back(memory, verdict, 1000.0 + 200 * n)
        first += [rung for rung in rungs if rung]
    return first


def test_what_is_cured_and_comes_back_is_begun_higher() -> None:
    assert first_rungs(Verdict.PAGE_HUNG, 7) == [
        *[Rung.RELOAD] * 3,
        *[Rung.RESTART_BROWSER] * 3,
        Rung.RESTART_AGENT,
    ]


def test_a_link_that_flaps_leads_to_no_restart() -> None:
    assert first_rungs(Verdict.DISCONNECTED, 15) == [*[Rung.RESET] * 3, *[Rung.RELOAD] * 12]


def test_an_agent_that_is_cured_by_each_restart_is_not_held_for_the_fourth_in_an_hour() -> None:
    memory, first = Memory(), []
    for n in range(5):
        rungs, memory = cure_and_come_back(memory, Verdict.AGENT_HUNG, 1000.0 + 600 * n)
        first += [rung for rung in rungs if rung]
    assert first == [Rung.RESTART_AGENT] * 5


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(BAD), st.integers(3, 25))
def test_a_fault_that_comes_back_for_hours_is_held_only_where_nothing_but_restarts_cures_it(
    verdict: Verdict, well_for: int
) -> None:
    memory, at, held, restarts = Memory(), 1000.0, 0, []
    while at < 1000.0 + 6 * 3600:
        sequence = [verdict, verdict, *[Verdict.HEALTHY] * well_for]
        for one in sequence:
            (rung,), memory = feed(memory, seen(one, at))
            held += rung is Rung.HOLD
            if rung in RESTARTS:
                restarts.append(at)
            at += TICK_S
    assert len(restarts) <= LIMITS.most_restarts
    assert (held >= 1) == (FIRST_RUNG[verdict] in RESTARTS)


def crash(memory: Memory, times: int, at: float, every_s: float = 20.0) -> tuple[list[Decision], Memory]:
    """An agent that ends by itself, and is looked at while it comes up."""
    decisions: list[Decision] = []
    epoch = memory.agent_life or 0
    for n in range(times):
        for each in range(int(every_s // TICK_S)):
            one = seen(Verdict.DEGRADED, at + every_s * n + TICK_S * each, agent_life=epoch + n)
            decisions.append(recovery.decide(memory, one, LIMITS))
            memory = decisions[-1].memory
    return decisions, memory


def test_starts_by_supervisord_in_hours_are_told_once_and_spend_nothing_of_the_ladder_s() -> None:
    decisions, memory = crash(Memory(agent_life=1), 30, 1000.0, every_s=300)
    assert {one.rung for one in decisions} == {None}
    assert [one.alert for one in decisions if one.alert] == [recovery.ENDS_OFTEN]
    at = 1000.0 + 30 * 300
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, at + TICK_S * n, agent_life=30) for n in range(2)))
    assert rungs == [None, Rung.RESTART_AGENT]


def test_a_person_s_restart_ends_the_hold_of_an_agent_that_crashes_and_what_was_spent() -> None:
    decisions, memory = crash(Memory(), 10, 1000.0)
    assert decisions[-1].memory.attempt is not None
    memory = recovery.note_person(memory)
    at, epoch = 1210.0, 10
    _, memory = feed(memory, seen(Verdict.DEGRADED, at, agent_life=epoch))
    assert (memory.attempt, memory.agent_starts) == (None, ())
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, at + TICK_S * n, agent_life=epoch) for n in (1, 2)))
    assert rungs == [None, Rung.RESTART_AGENT]


def test_a_hold_that_a_person_or_the_session_ended_makes_the_next_no_longer() -> None:
    for end in ("person", "well"):
        memory, at = hold()
        if end == "person":
            memory = recovery.note_person(memory)
        else:
            _, memory = feed(memory, seen(Verdict.HEALTHY, at, agent_life=7))
            assert memory.cured == ()
        assert memory.holds == ()
        rungs: list[Rung | None] = []
        while Rung.HOLD not in rungs:
            at += TICK_S
            rungs, memory = feed(memory, seen(Verdict.AGENT_HUNG, at, agent_life=7))
        assert memory.attempt is not None
        assert memory.attempt.lasts_s == LIMITS.hold_s


def test_holds_grow_longer_and_are_capped() -> None:
    memory, at = Memory(), 1000.0
    lengths: list[float] = []
    while len(lengths) < 5:
        (rung,), memory = feed(memory, seen(Verdict.AGENT_HUNG, at))
        if rung is Rung.HOLD:
            assert memory.attempt is not None
            lengths.append(memory.attempt.lasts_s)
        at += TICK_S
    assert lengths == [900, 1800, 3600, 3600, 3600]


@pytest.mark.parametrize(("told_at", "is_told"), [(None, True), (990.0, False), (5000.0, True)])
def test_a_hold_is_told_once_in_its_time_and_by_a_clock_that_was_set_back_again(
    told_at: float | None, is_told: bool
) -> None:
    spent = Memory(watched_at=990, steady=True, restarts=(900.0,) * LIMITS.most_restarts, held_told_at=told_at)
    hung = [seen(Verdict.AGENT_HUNG, 1000 + TICK_S * n, agent_life=1) for n in range(2)]
    decision = recovery.decide(recovery.decide(spent, hung[0], LIMITS).memory, hung[1], LIMITS)
    assert decision.rung is Rung.HOLD
    assert (decision.alert == recovery.HOLDS) is is_told
    assert decision.memory.held_told_at == (1010 if is_told else told_at)
