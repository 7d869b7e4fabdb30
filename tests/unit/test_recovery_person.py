"""The ladder and people: what is theirs to do, and what they do."""

import fakeredis
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.ladder import LIMITS, TICK_S, feed, hold, reset_taken, seen
from whatsapp_contract.health import Verdict
from whatsapp_contract.names import InstanceNames, SessionNames
from workers import recovery
from workers.memory import Attempt, Memory, Observation, Rung
from workers.remembering import LadderMemory


def conflict(at: float) -> Observation:
    return seen(Verdict.WAITING_FOR_PERSON, at, reason="conflict")


def test_a_conflict_is_taken_over_a_few_times_and_then_left_with_one_alert() -> None:
    memory, rungs, told = Memory(), [], []
    for n in range(1000):
        decision = recovery.decide(memory, conflict(100 + TICK_S * n), LIMITS)
        memory = decision.memory
        rungs.append(decision.rung)
        told.append(decision.alert)
    assert [rung for rung in rungs if rung] == [Rung.RESET] * 3
    assert [one for one in told if one] == [recovery.CONFLICT_LEFT]


def test_a_conflict_must_stand_for_two_observations() -> None:
    assert feed(Memory(), conflict(100), seen(Verdict.HEALTHY, 110), conflict(120))[0] == [None] * 3
    assert feed(Memory(), conflict(100), conflict(110))[0] == [None, Rung.RESET]


def test_a_limit_of_none_never_takes_over() -> None:
    limits = LIMITS.model_copy(update={"most_takeovers": 0})
    decisions, memory = [], Memory()
    for n in range(50):
        decisions.append(recovery.decide(memory, conflict(100 + TICK_S * n), limits))
        memory = decisions[-1].memory
    assert {one.rung for one in decisions} == {None}
    assert [one.alert for one in decisions if one.alert] == [recovery.CONFLICT_LEFT]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Verdict.WAITING_FOR_PERSON, Verdict.BLOCKED]),
            st.sampled_from(["awaiting_scan", "logged_out", "tos_block", "wrong_key", "start_budget_spent"]),
            st.floats(1, 400),
        ),
        max_size=60,
    )
)
def test_nothing_that_waits_for_a_person_is_ever_given_a_rung(series: list[tuple[Verdict, str, float]]) -> None:
    memory, at = reset_taken(), 120.0
    for verdict, reason, wait_s in series:
        (rung,), memory = feed(memory, seen(verdict, at, reason=reason, stood_s=wait_s))
        assert rung is None
        at += wait_s


def test_a_spent_start_budget_does_not_begin_the_climb_anew() -> None:
    _, memory = feed(Memory(), seen(Verdict.PAGE_HUNG, 100), seen(Verdict.PAGE_HUNG, 110))
    spent = [seen(Verdict.WAITING_FOR_PERSON, 120 + TICK_S * n, reason="start_budget_spent") for n in range(30)]
    _, memory = feed(memory, *spent)
    assert feed(memory, seen(Verdict.PAGE_HUNG, 420))[0] == [Rung.RESTART_BROWSER]


def test_an_unproven_scheduled_reset_changes_nothing_while_everything_is_held() -> None:
    memory, at = hold()
    decision = recovery.escalate(memory, Rung.RESET, seen(Verdict.DISCONNECTED, at), LIMITS)
    assert decision.rung is None
    assert isinstance(decision.memory.attempt, Attempt)


def test_a_person_s_restart_ends_a_hold_and_what_came_before_it() -> None:
    memory, at = hold()
    memory = recovery.note_person(memory)
    rungs, _ = feed(memory, *(seen(Verdict.PAGE_HUNG, at + TICK_S * n, agent_life=7) for n in range(2)))
    assert rungs == [None, Rung.RELOAD]


def test_after_a_person_s_restart_a_conflict_may_be_taken_over_again() -> None:
    taken = [conflict(100 + TICK_S * n) for n in range(100)]
    rungs, memory = feed(Memory(), *taken)
    assert rungs.count(Rung.RESET) == LIMITS.most_takeovers
    again = [conflict(2000), conflict(2010)]
    assert feed(recovery.note_person(memory), *again)[0] == [None, Rung.RESET]


def test_each_restart_that_a_person_made_between_two_looks_is_known() -> None:
    with fakeredis.FakeRedis(decode_responses=True) as redis:
        kept = LadderMemory(redis, SessionNames("s1"), InstanceNames("s1", "i1"))
        kept.keep(recovery.decide(kept.read(), seen(Verdict.HEALTHY, 100, agent_life=5), LIMITS).memory)
        for _ in range(3):
            kept.note_person()
        _, memory = feed(kept.read(), seen(Verdict.HEALTHY, 130, agent_life=9))
    assert memory.agent_starts == (130,)  # the fourth is supervisord's
