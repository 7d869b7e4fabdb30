"""The ladder: two agreeing observations, the cheapest rung that can work, proof or the next, and an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from whatsapp_contract.health import Verdict
from workers import recovery
from workers.recovery import FIRST_RUNG, Decision, Limits, Memory, Observation, Rung

LIMITS = Limits()
BAD = sorted(FIRST_RUNG)
TICK_S = 10.0


def seen(verdict: Verdict, at: float, **more: object) -> Observation:
    return Observation.model_validate({"verdict": verdict, "reason": "test", "at": at, **more})


def feed(memory: Memory, *observations: Observation) -> tuple[list[Rung | None], Memory]:
    rungs: list[Rung | None] = []
    for observation in observations:
        decision = recovery.decide(memory, observation, LIMITS)
        rungs.append(decision.rung)
        memory = decision.memory
    return rungs, memory


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
    just_now = seen(Verdict.DISCONNECTED, 100, standing_since=98)
    assert feed(Memory(), just_now)[0] == [None]
    standing = seen(Verdict.DISCONNECTED, 100, standing_since=95)
    assert feed(Memory(), standing)[0] == [Rung.RESET]


def test_an_operation_under_way_is_waited_for() -> None:
    during = [seen(Verdict.DISCONNECTED, at, operation="reset") for at in (100, 110, 120)]
    rungs, memory = feed(Memory(), *during)
    assert rungs == [None, None, None]
    assert memory == Memory()


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


def test_a_rung_that_failed_is_followed_at_the_next_bad_observation() -> None:
    _, memory = feed(Memory(), seen(Verdict.DISCONNECTED, 100), seen(Verdict.DISCONNECTED, 110))
    rungs, _ = feed(recovery.note_failure(memory), seen(Verdict.DISCONNECTED, 120))
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
    rungs, _ = feed(memory, seen(Verdict.PAGE_HUNG, 120), seen(Verdict.PAGE_HUNG, 130))
    assert rungs == [None, Rung.RELOAD]


def test_a_fault_long_after_a_rung_that_nobody_saw_succeed_is_a_new_one() -> None:
    _, memory = feed(Memory(), seen(Verdict.PAGE_HUNG, 100), seen(Verdict.PAGE_HUNG, 110))
    rungs, _ = feed(memory, seen(Verdict.PAGE_HUNG, 4000), seen(Verdict.PAGE_HUNG, 4010))
    assert rungs == [None, Rung.RELOAD]


class StuckBoot:
    """A session that comes up for `coming_up_s` after every load, and then hangs: nothing helps it."""

    def __init__(self, coming_up_s: float) -> None:
        self.coming_up_s = coming_up_s
        self.memory = Memory()
        self.at = self.loaded_at = 1000.0
        self.rungs: list[Rung] = []

    def run(self, until: float) -> None:
        while self.at < until:
            verdict = Verdict.DEGRADED if self.at - self.loaded_at <= self.coming_up_s else Verdict.PAGE_HUNG
            (rung,), self.memory = feed(self.memory, seen(verdict, self.at))
            if rung is not None:
                self.rungs.append(rung)
            if rung not in (None, Rung.HOLD):
                self.loaded_at = self.at
            self.at += TICK_S


@pytest.mark.parametrize("coming_up_s", [0, 30, 180, 900])
def test_a_boot_that_is_stuck_for_four_hours_climbs_the_whole_ladder_and_is_held(coming_up_s: float) -> None:
    boot = StuckBoot(coming_up_s)
    boot.run(until=boot.at + 4 * 3600)
    series = [Rung.RELOAD, Rung.RESTART_BROWSER, *[Rung.RESTART_AGENT] * 3, Rung.HOLD]
    assert boot.rungs[: len(series)] == series
    again = [series[n % len(series)] for n in range(len(boot.rungs))]
    assert boot.rungs == again
    assert boot.rungs.count(Rung.HOLD) in (2, 3, 4)


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
        *(seen(dropped, 120 + TICK_S * n) for n in range(2)),
        seen(hung, 160),
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
                memory = recovery.note_failure(memory) if fails else memory
                break
        else:
            assert Rung.HOLD in taken
        if Rung.HOLD in taken:
            return
    raise AssertionError(f"no hold: {taken}")


def hold() -> tuple[Memory, float]:
    memory, at, rungs = Memory(), 1000.0, []
    while Rung.HOLD not in rungs:
        more, memory = feed(memory, seen(Verdict.AGENT_HUNG, at, agent_epoch=7))
        rungs += more
        at += TICK_S
    assert rungs.count(Rung.RESTART_AGENT) == 3
    return memory, at


def test_after_three_agent_restarts_in_ten_minutes_a_person_is_called_and_nothing_is_done() -> None:
    memory, at = hold()
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, at + TICK_S * n, agent_epoch=7) for n in range(300)))
    assert set(rungs) == {None}


def test_a_hold_ends_after_an_hour() -> None:
    memory, at = hold()
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, at + 3600 + TICK_S * n, agent_epoch=7) for n in range(2)))
    assert rungs == [None, Rung.RESTART_AGENT]


@given(st.lists(st.sampled_from([*BAD, Verdict.DEGRADED]), min_size=1, max_size=300))
def test_a_hold_holds_whatever_else_is_wrong(verdicts: list[Verdict]) -> None:
    memory, at = hold()
    rungs, memory = feed(memory, *(seen(one, at + TICK_S * n, agent_epoch=7) for n, one in enumerate(verdicts)))
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
    rungs, memory = feed(memory, seen(verdict, at, agent_epoch=8, operation=operation))
    assert rungs == [None]
    assert memory.attempt is None


def test_a_hold_ends_when_somebody_has_restarted_the_agent() -> None:
    memory, at = hold()
    rungs, _ = feed(memory, *(seen(Verdict.PAGE_HUNG, at + TICK_S * n, agent_epoch=8) for n in range(2)))
    assert rungs == [None, Rung.RELOAD]


def test_a_hold_ends_when_the_session_is_well_again() -> None:
    memory, at = hold()
    _, memory = feed(memory, seen(Verdict.HEALTHY, at, agent_epoch=7))
    assert memory.attempt is None


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


def test_the_memory_survives_as_json() -> None:
    memory, _ = hold()
    assert Memory.model_validate_json(memory.model_dump_json()) == memory


class AnyLife(RuleBasedStateMachine):
    """Whatever is seen, in any order: what must never happen."""

    @initialize()
    def begin(self) -> None:
        self.memory = Memory()
        self.at = 1000.0
        self.restarts: list[float] = []
        self.last_rung_at = float("-inf")
        self.bad_in_a_row = 0
        self.decision: Decision | None = None

    @rule(
        verdict=st.sampled_from(Verdict),
        operation=st.sampled_from([None, None, None, "reset"]),
        wait_s=st.floats(1, 120),
        failed=st.booleans(),
    )
    def see(self, verdict: Verdict, operation: str | None, wait_s: float, failed: bool) -> None:
        self.at += wait_s
        self.bad_in_a_row = self.bad_in_a_row + 1 if verdict in FIRST_RUNG and operation is None else 0
        decision = recovery.decide(self.memory, seen(verdict, self.at, operation=operation), LIMITS)
        had_attempt = self.memory.attempt is not None
        self.memory, self.decision = decision.memory, decision
        if decision.rung is None:
            return
        assert operation is None
        assert verdict in FIRST_RUNG
        assert had_attempt or self.bad_in_a_row >= 2
        assert decision.rung is Rung.HOLD or list(Rung).index(decision.rung) >= list(Rung).index(FIRST_RUNG[verdict])
        if decision.rung is Rung.RESTART_AGENT:
            self.restarts.append(self.at)
        if failed:
            self.memory = recovery.note_failure(self.memory)

    @invariant()
    def never_more_than_three_agent_restarts_in_any_window(self) -> None:
        for moment in self.restarts:
            inside = [other for other in self.restarts if moment <= other < moment + LIMITS.agent_restart_window_s]
            assert len(inside) <= LIMITS.most_agent_restarts


TestAnyLife = AnyLife.TestCase


@given(st.lists(st.sampled_from([Verdict.HEALTHY, Verdict.WAITING_FOR_PERSON, Verdict.DEGRADED]), max_size=50))
def test_no_order_of_harmless_observations_leads_to_a_rung(verdicts: list[Verdict]) -> None:
    rungs, _ = feed(Memory(), *(seen(verdict, 100 + n) for n, verdict in enumerate(verdicts)))
    assert set(rungs) <= {None}
