"""The ladder: two agreeing observations, the cheapest rung that can work, proof or the next, and an end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from whatsapp_contract.health import Verdict, says_nothing_for_ever
from workers import recovery
from workers.memory import RESTARTS, RUNGS, Attempt, Decision, Limits, Memory, Observation, Rung
from workers.recovery import FIRST_RUNG

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


def hold() -> tuple[Memory, float]:
    memory, at, rungs = Memory(), 1000.0, []
    while Rung.HOLD not in rungs:
        more, memory = feed(memory, seen(Verdict.AGENT_HUNG, at, agent_epoch=7))
        rungs += more
        at += TICK_S
    assert rungs.count(Rung.RESTART_AGENT) == 3
    return memory, at


def test_after_three_agent_restarts_a_person_is_called_and_nothing_is_done() -> None:
    memory, at = hold()
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, at + TICK_S * n, agent_epoch=7) for n in range(80)))
    assert set(rungs) == {None}


def test_a_hold_ends_by_its_time() -> None:
    memory, at = hold()
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, at + 900 + TICK_S * n, agent_epoch=7) for n in range(2)))
    assert rungs == [None, Rung.RESTART_AGENT]


@given(st.lists(st.sampled_from([*BAD, Verdict.DEGRADED]), min_size=1, max_size=80))
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


class AnyLife(RuleBasedStateMachine):
    """Whatever is seen, in any order, with the agent ending by itself, people restarting it, and gaps: what must never
    happen."""

    @initialize()
    def begin(self) -> None:
        self.memory = Memory()
        self.at = 1000.0
        self.epoch = 1
        self.starts: list[float] = []  # of the agent, whoever made them
        self.by_the_ladder: list[float] = []
        self.bad_in_a_row = 0
        self.unclear_at: float | None = None
        self.takeovers: list[float] = []

    @rule(times=st.integers(1, 3))
    def somebody_else_starts_the_agent(self, times: int) -> None:
        self.epoch += times
        self.starts += [self.at] * times

    @rule()
    def a_person_restarts_the_agent(self) -> None:
        self.epoch += 1
        self.starts, self.by_the_ladder = [], []  # forgiven
        self.memory = recovery.note_person(self.memory)

    @rule(
        verdict=st.sampled_from(Verdict),
        reason=st.sampled_from(["test", "conflict", "site_silent", "start_budget_spent", "agent_slow", "check_busy"]),
        operation=st.sampled_from([None, None, None, "reset"]),
        wait_s=st.one_of(st.floats(1, 30), st.floats(30, 4000)),
        failed=st.booleans(),
    )
    def see(self, verdict: Verdict, reason: str, operation: str | None, wait_s: float, failed: bool) -> None:
        self.at += wait_s
        one = seen(verdict, self.at, reason=reason, operation=operation, agent_epoch=self.epoch)
        is_bad = (verdict in FIRST_RUNG or recovery.is_conflict(one)) and operation is None
        is_after_a_gap = wait_s > LIMITS.agree_within_s
        self.bad_in_a_row = (0 if is_after_a_gap else self.bad_in_a_row) + 1 if is_bad else 0
        is_unclear = verdict is Verdict.DEGRADED and operation is None and says_nothing_for_ever(reason)
        if not is_unclear:
            self.unclear_at = None
        elif self.unclear_at is None or is_after_a_gap:
            self.unclear_at = self.at
        before = self.memory.attempt
        decision = recovery.decide(self.memory, one, LIMITS)
        self.memory = decision.memory
        rung = decision.rung
        if rung is None:
            return
        assert operation is None
        if verdict is Verdict.DEGRADED and rung is Rung.HOLD:  # an agent that ends again and again
            return
        if verdict is Verdict.WAITING_FOR_PERSON:
            assert (reason, rung) == ("conflict", Rung.RESET)
            self.takeovers.append(self.at)
        elif verdict is Verdict.DEGRADED:
            assert self.unclear_at is not None
            assert self.at - self.unclear_at >= LIMITS.unclear_s
            self.unclear_at, self.bad_in_a_row = None, 2
        else:
            assert verdict in FIRST_RUNG
            assert reason != "site_silent" or verdict is not Verdict.DISCONNECTED
            assert RUNGS.index(rung) >= RUNGS.index(FIRST_RUNG[verdict])
        assert before is not None or self.bad_in_a_row >= 2
        if before is not None and not before.failed and before.rung is not Rung.HOLD:
            assert self.at - before.at >= before.lasts_s
        if rung is Rung.RESTART_AGENT:
            lately = [moment for moment in self.starts if self.at - moment < LIMITS.starts_window_s]
            assert len(lately) < LIMITS.most_starts
            self.epoch += 1
            self.starts.append(self.at)
            self.by_the_ladder.append(self.at)
        self.memory = recovery.note_done(self.memory, self.at, failed=failed)

    @invariant()
    def no_more_restarts_and_takeovers_than_there_may_be(self) -> None:
        for moments, most, window_s in (
            (self.by_the_ladder, LIMITS.most_starts, LIMITS.starts_window_s),
            (self.by_the_ladder, LIMITS.most_restarts, LIMITS.restarts_window_s),
            (self.takeovers, LIMITS.most_takeovers, LIMITS.long_window_s),
        ):
            assert all(sum(first <= other < first + window_s for other in moments) <= most for first in moments)


TestAnyLife = AnyLife.TestCase


@given(st.lists(st.sampled_from([Verdict.HEALTHY, Verdict.WAITING_FOR_PERSON, Verdict.DEGRADED]), max_size=50))
def test_no_order_of_harmless_observations_leads_to_a_rung(verdicts: list[Verdict]) -> None:
    rungs, _ = feed(Memory(), *(seen(verdict, 100 + n) for n, verdict in enumerate(verdicts)))
    assert set(rungs) <= {None}


# -- proofs -----------------------------------------------------------------------------------------------------------


def reset_taken() -> Memory:
    _, memory = feed(Memory(), seen(Verdict.DISCONNECTED, 100), seen(Verdict.DISCONNECTED, 110))
    assert memory.attempt is not None
    return recovery.note_done(memory, 112, failed=False)


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


@pytest.mark.parametrize("reason", ["check_busy", "check_internal", "agent_slow"])
def test_an_agent_of_which_nothing_can_be_said_for_minutes_is_restarted(reason: str) -> None:
    unclear = [seen(Verdict.DEGRADED, 100 + TICK_S * n, reason=reason) for n in range(30)]
    rungs, memory = feed(Memory(), *unclear)
    taken = [one.at for one, rung in zip(unclear, rungs, strict=True) if rung]
    assert [rung for rung in rungs if rung] == [Rung.RESTART_AGENT]
    assert taken == [100 + LIMITS.unclear_s + TICK_S]
    assert memory.trouble is not None
    assert (memory.trouble.verdict, memory.trouble.reason) == (Verdict.AGENT_HUNG, reason)


@pytest.mark.parametrize("reason", ["starting", "site_unreachable", "internal", "redis_settling", "agent_starting"])
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


# -- budgets ----------------------------------------------------------------------------------------------------------


def test_restarts_by_others_count() -> None:
    """supervisord's, and people's: each is a new epoch."""
    lives = [seen(Verdict.HEALTHY, 100 + TICK_S * n, agent_epoch=n) for n in range(1, 7)]
    rungs, memory = feed(Memory(), *lives)
    assert len(memory.agent_starts) == 5
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, 170 + TICK_S * n, agent_epoch=6) for n in range(2)))
    assert rungs == [None, Rung.HOLD]


def test_browsers_that_the_agent_started_count() -> None:
    rungs, _ = feed(Memory(), *(seen(Verdict.BROWSER_GONE, 100 + TICK_S * n, browser_starts=5) for n in range(2)))
    assert rungs == [None, Rung.HOLD]


def test_a_restart_by_the_ladder_is_counted_once() -> None:
    _, memory = feed(Memory(), *(seen(Verdict.AGENT_HUNG, 100 + TICK_S * n, agent_epoch=1) for n in range(2)))
    _, memory = feed(memory, seen(Verdict.HEALTHY, 130, agent_epoch=2))
    assert memory.agent_starts == (110,)


def test_a_redis_that_lost_its_memory_is_no_restart() -> None:
    _, memory = feed(Memory(), seen(Verdict.HEALTHY, 100, agent_epoch=9), seen(Verdict.HEALTHY, 110, agent_epoch=1))
    assert memory.agent_starts == ()


def test_an_agent_that_crashes_again_and_again_is_a_person_s_though_it_is_never_found_bad() -> None:
    memory, told, rungs = Memory(), [], []
    for n in range(360):
        decision = recovery.decide(memory, seen(Verdict.DEGRADED, 100 + TICK_S * n, agent_epoch=1 + n // 2), LIMITS)
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
    epoch = memory.agent_epoch or 0
    for n in range(times):
        for each in range(int(every_s // TICK_S)):
            one = seen(Verdict.DEGRADED, at + every_s * n + TICK_S * each, agent_epoch=epoch + n)
            decisions.append(recovery.decide(memory, one, LIMITS))
            memory = decisions[-1].memory
    return decisions, memory


def test_starts_by_supervisord_in_hours_are_told_once_and_spend_nothing_of_the_ladder_s() -> None:
    decisions, memory = crash(Memory(agent_epoch=1), 30, 1000.0, every_s=300)
    assert {one.rung for one in decisions} == {None}
    assert [one.alert for one in decisions if one.alert] == [recovery.ENDS_OFTEN]
    at = 1000.0 + 30 * 300
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, at + TICK_S * n, agent_epoch=30) for n in range(2)))
    assert rungs == [None, Rung.RESTART_AGENT]


def test_a_person_s_restart_ends_the_hold_of_an_agent_that_crashes_and_what_was_spent() -> None:
    decisions, memory = crash(Memory(), 10, 1000.0)
    assert decisions[-1].memory.attempt is not None
    memory = recovery.note_person(memory)
    at, epoch = 1210.0, 10
    _, memory = feed(memory, seen(Verdict.DEGRADED, at, agent_epoch=epoch))
    assert (memory.attempt, memory.agent_starts) == (None, ())
    rungs, _ = feed(memory, *(seen(Verdict.AGENT_HUNG, at + TICK_S * n, agent_epoch=epoch) for n in (1, 2)))
    assert rungs == [None, Rung.RESTART_AGENT]


def test_a_hold_that_a_person_or_the_session_ended_makes_the_next_no_longer() -> None:
    for end in ("person", "well"):
        memory, at = hold()
        if end == "person":
            memory = recovery.note_person(memory)
        else:
            _, memory = feed(memory, seen(Verdict.HEALTHY, at, agent_epoch=7))
            assert memory.cured == ()
        assert memory.holds == ()
        rungs: list[Rung | None] = []
        while Rung.HOLD not in rungs:
            at += TICK_S
            rungs, memory = feed(memory, seen(Verdict.AGENT_HUNG, at, agent_epoch=7))
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


# -- what a person must do --------------------------------------------------------------------------------------------


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
    rungs, _ = feed(memory, *(seen(Verdict.PAGE_HUNG, at + TICK_S * n, agent_epoch=7) for n in range(2)))
    assert rungs == [None, Rung.RELOAD]
