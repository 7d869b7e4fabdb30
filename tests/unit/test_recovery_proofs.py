"""The ladder's evidence: what proves a rung, what has no end of its own, and what is a false alarm."""

import pytest

from tests.harness.ladder import LIMITS, TICK_S, feed, reset_taken, seen
from whatsapp_contract.health import Verdict
from workers import recovery
from workers.memory import Memory, Observation, Rung

# -- proofs -----------------------------------------------------------------------------------------------------------


def test_a_good_word_about_old_facts_proves_nothing_and_leads_to_nothing() -> None:
    rungs, memory = feed(reset_taken(), *(seen(Verdict.HEALTHY, 120 + TICK_S * n, frame_seen=105) for n in range(10)))
    assert set(rungs) == {None}
    assert memory.attempt is not None
    assert feed(memory, seen(Verdict.DISCONNECTED, 220))[0] == [Rung.RELOAD]


def test_a_frame_after_the_rung_proves_it() -> None:
    _, memory = feed(reset_taken(), seen(Verdict.HEALTHY, 120, frame_seen=111, page_seen=120))
    assert memory.attempt is None


def test_a_page_that_hung_needs_a_new_answer_and_no_new_frame() -> None:
    _, hung = feed(Memory(), seen(Verdict.PAGE_HUNG, 100), seen(Verdict.PAGE_HUNG, 110))
    assert feed(hung, seen(Verdict.HEALTHY, 120, page_seen=90, frame_seen=90))[1].attempt is not None
    assert feed(hung, seen(Verdict.HEALTHY, 120, page_seen=119, frame_seen=90))[1].attempt is None


def test_a_session_that_stays_healthy_without_a_new_frame_is_believed_in_the_end() -> None:
    _, memory = feed(reset_taken(), *(seen(Verdict.HEALTHY, 120 + TICK_S * n, frame_seen=105) for n in range(21)))
    assert memory.attempt is None


def test_without_a_rung_too_a_good_word_about_old_facts_is_not_the_end() -> None:
    bad = seen(Verdict.PAGE_HUNG, 100), seen(Verdict.BROWSER_GONE, 110)
    _, memory = feed(Memory(), *bad, seen(Verdict.HEALTHY, 120, page_seen=95))
    assert memory.trouble is not None
    assert feed(memory, seen(Verdict.HEALTHY, 130, page_seen=129))[1].trouble is None


# -- what has no end of its own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["check_busy", "check_internal", "agent_slow", "agent_starting", "redis_settling"])
def test_an_agent_of_which_nothing_can_be_said_for_minutes_is_restarted(reason: str) -> None:
    unclear = [seen(Verdict.DEGRADED, 100 + TICK_S * n, reason=reason) for n in range(30)]
    rungs, memory = feed(Memory(), *unclear)
    taken = [one.at for one, rung in zip(unclear, rungs, strict=True) if rung]
    assert [rung for rung in rungs if rung] == [Rung.RESTART_AGENT]
    assert taken == [100 + LIMITS.unclear_s]
    assert memory.trouble is not None
    assert (memory.trouble.verdict, memory.trouble.reason) == (Verdict.AGENT_HUNG, reason)


@pytest.mark.parametrize("reason", ["starting", "site_unreachable", "internal"])
def test_what_has_an_end_of_its_own_or_that_no_restart_ends_is_waited_for(reason: str) -> None:
    rungs, _ = feed(Memory(), *(seen(Verdict.DEGRADED, 100 + TICK_S * n, reason=reason) for n in range(200)))
    assert set(rungs) == {None}


def test_that_nothing_can_be_said_counts_only_while_somebody_looks_and_nothing_else_is_seen() -> None:
    def unclear(start: float) -> list[Observation]:
        return [seen(Verdict.DEGRADED, start + TICK_S * n, reason="check_busy") for n in range(17)]

    well, after_a_gap = seen(Verdict.HEALTHY, 270), 501.0
    rungs, _ = feed(Memory(), *unclear(100), well, *unclear(280), *unclear(after_a_gap))
    assert set(rungs) == {None}


def test_a_supervisord_that_is_silent_when_it_is_asked_is_told_once_until_it_is_well() -> None:
    def silent(memory: Memory, at: float) -> tuple[list[str | None], Memory]:
        told = []
        for n in range(60):
            one = seen(Verdict.DEGRADED, at + TICK_S * n, reason="supervisor_silent")
            decision = recovery.decide(memory, one, LIMITS)
            assert decision.rung is None
            told.append(decision.alert)
            memory = decision.memory
        return told, memory

    told, memory = silent(Memory(), 100)
    assert told == [None, "supervisor_silent", *[None] * 58]
    _, memory = feed(memory, seen(Verdict.HEALTHY, 700))
    assert silent(memory, 710)[0].count("supervisor_silent") == 1


# -- false alarms -----------------------------------------------------------------------------------------------------


def test_after_a_sleep_everything_is_looked_at_twice_again() -> None:
    rungs, _ = feed(
        Memory(),
        seen(Verdict.HEALTHY, 100),
        seen(Verdict.DISCONNECTED, 400, stood_s=300),
        seen(Verdict.HEALTHY, 410),
    )
    assert rungs == [None, None, None]


def test_a_rung_under_way_before_a_sleep_is_not_followed_up_after_it() -> None:
    _, memory = feed(Memory(), seen(Verdict.PAGE_HUNG, 100), seen(Verdict.PAGE_HUNG, 110))
    rungs, _ = feed(recovery.note_done(memory, 112, failed=False), seen(Verdict.PAGE_HUNG, 412))
    assert rungs == [None]


def test_a_fault_hours_later_is_not_the_one_of_then() -> None:
    _, memory = feed(Memory(), seen(Verdict.PAGE_HUNG, 100), seen(Verdict.PAGE_HUNG, 8000))
    assert memory.trouble is not None
    assert memory.trouble.at == 8000


def test_a_site_that_cannot_be_reached_takes_no_rung_and_is_no_hold() -> None:
    away = [seen(Verdict.DISCONNECTED, 100 + TICK_S * n, reason="site_silent", stood_s=60) for n in range(500)]
    rungs, memory = feed(Memory(), *away)
    assert set(rungs) == {None}
    back = [seen(Verdict.DISCONNECTED, 5100 + TICK_S * n, reason="link_dropped", stood_s=0) for n in range(2)]
    assert feed(memory, *back)[0] == [None, Rung.RESET]


def test_a_rung_s_time_does_not_pass_while_the_site_cannot_be_reached() -> None:
    away = [seen(Verdict.DISCONNECTED, 120 + TICK_S * n, reason="site_silent") for n in range(20)]
    _, memory = feed(reset_taken(), *away)
    rungs, _ = feed(memory, *(seen(Verdict.DISCONNECTED, at, reason="link_dropped") for at in (320, 330)))
    assert rungs == [None, Rung.RELOAD]
