"""The ladder: two agreeing observations, the cheapest rung that can work, proof or the next, and an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.ladder import BAD, LIMITS, TICK_S, feed, hold, seen
from whatsapp_contract.health import Verdict
from workers import recovery
from workers.memory import Memory, Observation, Rung
from workers.recovery import FIRST_RUNG


@pytest.mark.parametrize("verdict", BAD)
def test_one_bad_observation_does_nothing_and_the_second_takes_the_first_rung_that_can_work(verdict: Verdict) -> None:
    rungs, _ = feed(Memory(), seen(verdict, 100), seen(verdict, 110))
    assert rungs == [None, FIRST_RUNG[verdict]]


def test_a_good_observation_between_two_bad_ones_breaks_their_agreement() -> None:
    rungs, _ = feed(
        Memory(),
        seen(Verdict.PAGE_HUNG, 100),
        seen(Verdict.HEALTHY, 110),
        seen(Verdict.PAGE_HUNG, 120),
        seen(Verdict.DEGRADED, 130),
        seen(Verdict.PAGE_HUNG, 140),
    )
    assert rungs == [None] * 5


def test_a_page_that_answered_somebody_between_two_timeouts_is_slow_and_not_hung() -> None:
    silent = {"reason": "page_timeout"}
    slow = [seen(Verdict.PAGE_HUNG, at, page_seen=at - 3, **silent) for at in (100, 110, 120)]
    rungs, memory = feed(Memory(), *slow)
    assert rungs == [None] * 3
    assert feed(memory, seen(Verdict.PAGE_HUNG, 130, page_seen=119, **silent))[0] == [Rung.RELOAD]


def test_a_page_that_is_slow_for_minutes_is_loaded_anew() -> None:
    at = [100 + TICK_S * n for n in range(30)]
    slow = [seen(Verdict.PAGE_HUNG, moment, page_seen=moment - 3, reason="page_timeout") for moment in at]
    rungs, _ = feed(Memory(), *slow)
    first = next(observation.at for observation, rung in zip(slow, rungs, strict=True) if rung)
    assert 100 + LIMITS.unclear_s <= first <= 100 + LIMITS.unclear_s + TICK_S


def test_two_observations_that_name_different_cures_do_not_agree() -> None:
    rungs, _ = feed(Memory(), seen(Verdict.PAGE_HUNG, 100), seen(Verdict.BROWSER_GONE, 110))
    assert rungs == [None, None]


def test_hung_and_gone_agree_on_the_agent() -> None:
    rungs, _ = feed(Memory(), seen(Verdict.AGENT_HUNG, 100), seen(Verdict.AGENT_GONE, 110))
    assert rungs == [None, Rung.RESTART_AGENT]


def test_observations_far_apart_do_not_agree() -> None:
    rungs, _ = feed(Memory(), seen(Verdict.PAGE_HUNG, 100), seen(Verdict.PAGE_HUNG, 161))
    assert rungs == [None, None]


def test_what_the_agent_saw_itself_and_dated_counts_as_the_first_observation() -> None:
    watching = seen(Verdict.HEALTHY, 90)
    just_now = seen(Verdict.DISCONNECTED, 100, stood_s=2)
    assert feed(Memory(), watching, just_now)[0] == [None, None]
    standing = seen(Verdict.DISCONNECTED, 100, stood_s=5)
    assert feed(Memory(), watching, standing)[0] == [None, Rung.RESET]


def test_an_operation_under_way_is_waited_for() -> None:
    during = [seen(Verdict.DISCONNECTED, at, operation="reset") for at in (100, 110, 120)]
    rungs, memory = feed(Memory(), *during)
    assert rungs == [None, None, None]
    assert memory.suspect is None
    assert memory.attempt is None


def test_an_operation_that_never_ends_is_a_hung_agent_s() -> None:
    limit_s = LIMITS.operation_s
    before, first, second = (
        seen(Verdict.HEALTHY, 1000 + at, operation="backup", operation_s=limit_s + at, agent_life=7)
        for at in (-10, 0, 10)
    )
    rungs, memory = feed(Memory(), before, first, second)
    assert rungs == [None, None, Rung.RESTART_AGENT]
    restarted = recovery.note_done(memory, 1015, failed=False)
    well = seen(Verdict.HEALTHY, 1030, agent_life=8, page_seen=1029)
    assert feed(restarted, well)[1].attempt is None


def test_one_that_is_unanswered_now_and_then_is_hung_all_the_same() -> None:
    hung = [seen(Verdict.HEALTHY, 100 + 20 * n, operation="backup", operation_s=300 + 20 * n) for n in range(2)]
    silent = seen(Verdict.AGENT_HUNG, 110)
    assert feed(Memory(), hung[0], silent, hung[1])[0] == [None, Rung.RESTART_AGENT, None]


def test_operations_one_after_another_are_each_waited_for() -> None:
    """Whoever tries a backup again and again, each of which takes its two minutes."""
    again = [seen(Verdict.HEALTHY, 100 + 10 * n, operation="backup", operation_s=10.0 * (n % 12)) for n in range(200)]
    assert set(feed(Memory(), *again)[0]) == {None}


@pytest.mark.parametrize("verdict", [Verdict.HEALTHY, Verdict.WAITING_FOR_PERSON, Verdict.BLOCKED, Verdict.DEGRADED])
def test_what_is_well_waits_for_a_person_or_comes_up_is_left_alone(verdict: Verdict) -> None:
    rungs, _ = feed(Memory(), *(seen(verdict, 100 + TICK_S * n) for n in range(100)))
    assert set(rungs) == {None}


def test_a_rung_has_its_time_and_then_the_next_follows() -> None:
    bad = [seen(Verdict.DISCONNECTED, 100 + TICK_S * n) for n in range(12)]
    rungs, _ = feed(Memory(), *bad)
    taken = [(observation.at, rung) for observation, rung in zip(bad, rungs, strict=True) if rung]
    assert taken == [
        (110, Rung.RESET),
        (130, Rung.RELOAD),
        (170, Rung.RESTART_BROWSER),
    ]


def test_a_restart_that_nobody_could_make_uses_nothing_up_and_is_tried_again() -> None:
    rungs, memory = feed(Memory(), seen(Verdict.AGENT_HUNG, 100), seen(Verdict.AGENT_HUNG, 110))
    for at in range(120, 720, 10):
        assert rungs[-1] is Rung.RESTART_AGENT
        memory = recovery.note_undone(memory, at - 5)
        assert (memory.agent_starts, memory.restarts, memory.own_restarts) == ((), (), 0)
        rungs, memory = feed(memory, seen(Verdict.AGENT_HUNG, at))


def test_a_rung_that_failed_is_followed_at_the_next_bad_observation() -> None:
    _, memory = feed(Memory(), seen(Verdict.DISCONNECTED, 100), seen(Verdict.DISCONNECTED, 110))
    rungs, _ = feed(recovery.note_done(memory, 111, failed=True), seen(Verdict.DISCONNECTED, 120))
    assert rungs == [Rung.RELOAD]


def test_a_worse_verdict_meanwhile_skips_what_cannot_cure_it() -> None:
    _, memory = feed(Memory(), seen(Verdict.DISCONNECTED, 100), seen(Verdict.DISCONNECTED, 110))
    rungs, _ = feed(memory, seen(Verdict.AGENT_HUNG, 130))
    assert rungs == [Rung.RESTART_AGENT]


def test_a_rung_that_worked_is_forgotten() -> None:
    rungs, _ = feed(
        Memory(),
        seen(Verdict.DISCONNECTED, 100),
        seen(Verdict.DISCONNECTED, 110),
        seen(Verdict.HEALTHY, 120),
        seen(Verdict.DISCONNECTED, 130),
        seen(Verdict.DISCONNECTED, 140),
    )
    assert rungs == [None, Rung.RESET, None, None, Rung.RESET]


def test_what_comes_up_after_a_rung_does_not_end_its_time() -> None:
    _, memory = feed(Memory(), seen(Verdict.PAGE_HUNG, 100), seen(Verdict.PAGE_HUNG, 110))
    rungs, _ = feed(memory, seen(Verdict.DEGRADED, 120), seen(Verdict.PAGE_HUNG, 130), seen(Verdict.PAGE_HUNG, 150))
    assert rungs == [None, None, Rung.RESTART_BROWSER]


def test_a_lesser_fault_after_a_rung_is_a_new_one_that_must_be_agreed_on() -> None:
    _, memory = feed(Memory(), seen(Verdict.AGENT_HUNG, 100), seen(Verdict.AGENT_HUNG, 110))
    rungs, _ = feed(memory, *(seen(Verdict.PAGE_HUNG, at) for at in (120, 130, 160, 170)))
    assert rungs == [None, None, None, Rung.RELOAD]


def test_a_fault_long_after_a_rung_that_nobody_saw_succeed_is_a_new_one() -> None:
    _, memory = feed(Memory(), seen(Verdict.PAGE_HUNG, 100), seen(Verdict.PAGE_HUNG, 110))
    rungs, _ = feed(memory, seen(Verdict.PAGE_HUNG, 4000), seen(Verdict.PAGE_HUNG, 4010))
    assert rungs == [None, Rung.RELOAD]


class StuckBoot:
    """A session that comes up for `coming_up_s` after every load, and then hangs: nothing helps it."""

    def __init__(self, coming_up_s: float) -> None:
        self.coming_up_s = coming_up_s
        self.first_at: float | None = None
        self.memory = Memory()
        self.at = self.loaded_at = 1000.0
        self.rungs: list[Rung] = []

    def run(self, until: float) -> None:
        while self.at < until:
            verdict = Verdict.DEGRADED if self.at - self.loaded_at <= self.coming_up_s else Verdict.PAGE_HUNG
            answered = seen(verdict, self.at, reason="stuck_in_starting", page_seen=self.at)
            (rung,), self.memory = feed(self.memory, answered)
            if rung is not None:
                self.rungs.append(rung)
                self.first_at = self.first_at or self.at
            if rung not in (None, Rung.HOLD):
                self.loaded_at = self.at
            self.at += TICK_S


@pytest.mark.parametrize("coming_up_s", [0, 30, 180, 900])
def test_a_boot_that_is_stuck_for_four_hours_climbs_the_whole_ladder_and_is_held(coming_up_s: float) -> None:
    boot = StuckBoot(coming_up_s)
    began_at = boot.at
    boot.run(until=boot.at + 4 * 3600)
    assert boot.first_at is not None
    assert coming_up_s <= boot.first_at - began_at <= coming_up_s + 2 * TICK_S
    series = [Rung.RELOAD, Rung.RESTART_BROWSER, *[Rung.RESTART_AGENT] * 3, Rung.HOLD]
    assert boot.rungs[: len(series)] == series
    assert boot.rungs.count(Rung.HOLD) >= 2
    assert sum(rung in (Rung.RESTART_AGENT, Rung.RESTART_BROWSER) for rung in boot.rungs) <= 20


def test_coming_up_for_long_does_not_make_the_next_fault_a_new_one() -> None:
    _, memory = feed(Memory(), seen(Verdict.PAGE_HUNG, 100), seen(Verdict.PAGE_HUNG, 110))
    _, memory = feed(memory, *(seen(Verdict.DEGRADED, 120 + TICK_S * n) for n in range(90)))
    rungs, _ = feed(memory, seen(Verdict.PAGE_HUNG, 1020))
    assert rungs == [Rung.RESTART_BROWSER]


def test_a_rung_that_was_in_vain_is_not_taken_again_before_the_session_was_well() -> None:
    hung, dropped = Verdict.PAGE_HUNG, Verdict.DISCONNECTED
    rungs, _ = feed(
        Memory(),
        *(seen(hung, 100 + TICK_S * n) for n in range(2)),
        *(seen(dropped, 150 + TICK_S * n) for n in range(2)),
        *(seen(hung, 170 + TICK_S * n) for n in range(3)),
    )
    assert [rung for rung in rungs if rung] == [Rung.RELOAD, Rung.RESET, Rung.RESTART_BROWSER]


troubles = st.tuples(st.sampled_from(BAD), st.sampled_from([0, 1, 10, 90]), st.booleans())


@given(st.lists(troubles, min_size=7, max_size=7))
def test_whatever_is_never_well_ends_in_a_hold(series: list[tuple[Verdict, int, bool]]) -> None:
    """Each trouble stands, after it came up for some ticks, until a rung is taken; a rung may fail at once."""
    memory, at, taken = Memory(), 1000.0, []
    for verdict, coming_up, fails in series:
        sequence = [Verdict.DEGRADED] * coming_up + [verdict] * 8
        for one in sequence:
            (rung,), memory = feed(memory, seen(one, at))
            at += TICK_S
            if rung is not None:
                taken.append(rung)
                memory = recovery.note_done(memory, at, failed=fails)
                break
        else:
            assert Rung.HOLD in taken
        if Rung.HOLD in taken:
            return
    raise AssertionError(f"no hold: {taken}")


def test_a_clock_set_back_does_not_stop_recovery() -> None:
    _, memory = feed(Memory(), seen(Verdict.PAGE_HUNG, 10_000), seen(Verdict.PAGE_HUNG, 10_010))
    rungs, _ = feed(memory, seen(Verdict.PAGE_HUNG, 6_400))
    assert rungs == [Rung.RESTART_BROWSER]
    suspicious = feed(Memory(), seen(Verdict.PAGE_HUNG, 10_000))[1]
    rungs, _ = feed(suspicious, seen(Verdict.PAGE_HUNG, 6_400), seen(Verdict.PAGE_HUNG, 6_410))
    assert rungs == [None, Rung.RELOAD]


def test_an_unproven_scheduled_reset_escalates_at_once() -> None:
    decision = recovery.escalate(Memory(), Rung.RESET, seen(Verdict.DISCONNECTED, 100), LIMITS)
    assert decision.rung is Rung.RELOAD
    assert decision.memory.attempt is not None


@pytest.mark.parametrize(
    "one",
    [
        seen(Verdict.DISCONNECTED, 100, reason="site_silent"),
        seen(Verdict.DISCONNECTED, 100, operation="reload"),
        seen(Verdict.DEGRADED, 100),
        seen(Verdict.WAITING_FOR_PERSON, 100),
        seen(Verdict.PAGE_HUNG, 100),
        seen(Verdict.HEALTHY, 100),
    ],
)
def test_an_unproven_scheduled_reset_escalates_only_where_the_link_is_seen_to_be_bad(one: Observation) -> None:
    assert recovery.escalate(Memory(), Rung.RESET, one, LIMITS).rung is None


def test_the_memory_survives_as_json() -> None:
    memory, _ = hold()
    assert Memory.model_validate_json(memory.model_dump_json()) == memory
