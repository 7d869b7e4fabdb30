"""The ladder over any life of the agent: what must never happen."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.harness.ladder import LIMITS, feed, seen
from whatsapp_contract.health import Verdict, says_nothing_for_ever
from workers import recovery
from workers.memory import RUNGS, Memory, Rung
from workers.recovery import FIRST_RUNG


class AnyLife(RuleBasedStateMachine):
    """Whatever is seen, in any order, with the agent ending by itself, people restarting it, and gaps: what must never
    happen."""

    @initialize()
    def begin(self) -> None:
        self.at = 1000.0
        self.epoch = 1
        # Whoever has never looked cannot know of starts before.
        self.memory = recovery.decide(Memory(), seen(Verdict.HEALTHY, self.at, agent_life=self.epoch), LIMITS).memory
        self.pending = 0  # starts since the last look, which says in which time they were
        self.starts: list[float] = []  # of the agent, whoever made them
        self.by_the_ladder: list[float] = []
        self.bad_in_a_row = 0
        self.unwell_at: float | None = None
        self.takeovers: list[float] = []

    @rule(times=st.integers(1, 3))
    def somebody_else_starts_the_agent(self, times: int) -> None:
        self.epoch += times
        self.pending += times

    @rule()
    def a_person_restarts_the_agent(self) -> None:
        self.epoch += 1
        self.starts, self.by_the_ladder, self.pending = [], [], 0  # forgiven
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
        one = seen(verdict, self.at, reason=reason, operation=operation, agent_life=self.epoch)
        is_bad = (verdict in FIRST_RUNG or recovery.is_conflict(one)) and operation is None
        is_after_a_gap = wait_s > LIMITS.agree_within_s
        self.bad_in_a_row = (0 if is_after_a_gap else self.bad_in_a_row) + 1 if is_bad else 0
        if not is_after_a_gap:  # else nobody knows when they were
            self.starts += [self.at] * self.pending
        self.pending = 0
        is_fault = verdict in FIRST_RUNG and not (verdict is Verdict.DISCONNECTED and reason == "site_silent")
        is_unclear = verdict is Verdict.DEGRADED and says_nothing_for_ever(reason)
        if operation is not None or not (is_unclear or (is_fault and reason != "start_budget_spent")):
            self.unwell_at = None
        elif self.unwell_at is None or is_after_a_gap:
            self.unwell_at = self.at
        is_for_long = self.unwell_at is not None and self.at - self.unwell_at >= LIMITS.unclear_s
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
            assert is_for_long
        else:
            assert verdict in FIRST_RUNG
            assert reason != "site_silent" or verdict is not Verdict.DISCONNECTED
            assert RUNGS.index(rung) >= RUNGS.index(FIRST_RUNG[verdict])
        assert before is not None or self.bad_in_a_row >= 2 or is_for_long
        self.unwell_at = None
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
