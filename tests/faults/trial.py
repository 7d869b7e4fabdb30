"""One row tried on a bench: the fault, its evidence, the way back, and all that must not happen meanwhile."""

from __future__ import annotations

import itertools
import time

from tests.harness.service import PROGRAMS
from tests.harness.waiting import wait_until
from whatsapp_contract.incidents import Incident
from workers.memory import Limits, Rung

from .bench import CHECK_EVERY_S, IS_FULL, Bench
from .row import Outcome, Row

TOLD_WITHIN_S = 20.0 if IS_FULL else 60.0
OVER_WITHIN_S = 6 * CHECK_EVERY_S + (20.0 if IS_FULL else 60.0)
SPEAKS_EVERY_S = 3.0
LOOKS_EVERY_S = 0.05
CLOCKS_DIFFER_S = 0.5  # an incident has the wall clock, the ladder another
BROWSER = "browser"
RESTARTED_BY = {"restart_browser": {BROWSER}, "restart_agent": {BROWSER, "browser-agent"}}
# What comes too much comes within some checks.
SETTLES_S = 2.2 * CHECK_EVERY_S


class Trial:
    """`outcome()` says what came of it."""

    def __init__(self, row: Row, bench: Bench) -> None:
        self._row = row
        self._bench = bench
        self._witness = bench.witness
        wait_until(self._is_over, 60, "the former fault is over, for the watchdog, too")
        self._known = set(bench.witness.incidents)
        self._first_key = len(bench.keys)
        self._pids = bench.service.pids()
        self._browser = bench.service.status().browser_pid
        self._log_at = len(bench.service.log())
        self._problems: list[str] = []

    def outcome(self, run: int) -> Outcome:
        """Try it."""
        row, bench = self._row, self._bench
        self._must_be_told(bench.deliver("before"), "the message of before the fault")
        fault_at = time.monotonic()
        row.inject(bench)
        if row.lasts_s is None:
            probe, counts_from = bench.deliver("during"), fault_at
        else:
            self._leave_alone(row.lasts_s, fault_at)
            assert row.heal is not None
            counts_from = time.monotonic()
            row.heal(bench)
            probe = bench.deliver("as it ended")
        ready_at = self._await_ready(probe, fault_at, counts_from)
        self._must_be_told(bench.deliver("after"), "the message of after the fault")
        watched_at = bench.watched_at()
        time.sleep(SETTLES_S)
        self._await_over()
        self._must_be_watched(watched_at)
        self._judge(fault_at)
        seen = self._evidence(fault_at)
        return Outcome(
            row=row.name,
            run=run,
            took_s=None if ready_at is None else round(ready_at - counts_from, 2),
            evidence=seen[1] if seen else "",
            found_s=round(seen[0] - fault_at, 2) if seen else None,
            rungs=tuple(rung for rung, _ in self._rungs()),
            repeats=sum(max(0, self._witness.messages[key] - 1) for key in self._keys()),
            problems=tuple(self._problems),
        )

    def _is_over(self) -> bool:
        return self._bench.is_ready() and all(one.ended_at for one in self._witness.incidents.values())

    # -- the way there -----------------------------------------------------------------------------------------------

    def _leave_alone(self, lasts_s: float, fault_at: float) -> None:
        """Messages come on; nobody does anything about the fault."""
        until, speaks_at = time.monotonic() + lasts_s, 0.0
        while time.monotonic() < until:
            if time.monotonic() >= speaks_at:
                self._bench.deliver("during")
                speaks_at = time.monotonic() + SPEAKS_EVERY_S
            if self._row.until_seen and self._evidence(fault_at):
                return
            time.sleep(LOOKS_EVERY_S)

    def _await_ready(self, probe: str, fault_at: float, counts_from: float) -> float | None:
        """When a message of after the fault was told, the status well again, and a command answered."""
        within_s = self._row.within_s if IS_FULL else self._row.quick_s or self._row.within_s
        # Looked at for longer than is allowed: a late end is another finding than none.
        while time.monotonic() < counts_from + 3 * within_s:
            was_seen = not self._row.evidence or self._evidence(fault_at)
            if was_seen and self._witness.messages[probe] and self._bench.is_ready():
                ready_at = time.monotonic()
                if ready_at - counts_from > within_s:
                    self._problems.append(f"ready after {ready_at - counts_from:.1f} s instead of {within_s:g} s")
                return ready_at
            time.sleep(LOOKS_EVERY_S)
        self._problems.append(f"not ready within {3 * within_s:g} s")
        return None

    def _evidence(self, fault_at: float) -> tuple[float, str] | None:
        found = [self._witness.first(words, fault_at) for words in self._row.evidence]
        first = min((seen for seen in found if seen), key=lambda seen: seen.at, default=None)
        return (first.at, first.text) if first else None

    def _must_be_told(self, key: str, what: str) -> None:
        until = time.monotonic() + TOLD_WITHIN_S
        while not self._witness.messages[key]:
            if time.monotonic() > until:
                self._problems.append(f"{what} was not told within {TOLD_WITHIN_S:g} s")
                return
            time.sleep(LOOKS_EVERY_S)

    def _must_be_watched(self, since: float | None) -> None:
        """Whatever was done to them, worker and scheduler still look at the agent."""
        until = time.monotonic() + OVER_WITHIN_S
        while self._bench.watched_at() == since:
            if time.monotonic() > until:
                self._problems.append(f"nobody looks at the agent any more within {OVER_WITHIN_S:g} s")
                return
            time.sleep(LOOKS_EVERY_S)

    def _await_over(self) -> None:
        """The watchdog, too, finds it well again, by evidence of after its last rung."""
        until = time.monotonic() + OVER_WITHIN_S
        while not self._is_over():
            if time.monotonic() > until:
                self._problems.append(f"the watchdog does not find it over within {OVER_WITHIN_S:g} s")
                return
            time.sleep(LOOKS_EVERY_S)

    # -- what must not have been -------------------------------------------------------------------------------------

    def _judge(self, fault_at: float) -> None:
        row = self._row
        if row.evidence and self._evidence(fault_at) is None:
            seen = [seen.text for seen in self._witness.since(fault_at)]
            self._problems.append(f"none of {row.evidence} was seen, but {seen[:12]}")
        rungs = self._rungs()
        taken = tuple(rung for rung, _ in rungs if rung not in row.may)
        if taken != row.expected_rungs:
            self._problems.append(f"the ladder took {[rung for rung, _ in rungs]} instead of {row.expected_rungs}")
        # In an incident, one that fails again and again for want of supervisord is one.
        in_log, failed = self._rungs_in_log(), self._failed()
        if in_log < len(rungs) or (in_log > len(rungs) and not failed):
            self._problems.append(f"the log has {self._rungs_in_log()} rungs, the incidents {len(rungs)}")
        self._judge_deadlines(rungs)
        self._judge_programs(rungs)
        self._judge_telling()
        lost = [key for key in self._keys() if not self._witness.messages[key]]
        if lost:
            self._problems.append(f"{len(lost)} of {len(self._keys())} messages were not told")

    def _judge_deadlines(self, rungs: list[tuple[str, float]]) -> None:
        """No second rung before the first's deadline, unless that one failed."""
        failed, limits = self._failed(), Limits()
        for (rung, at), (_, next_at) in itertools.pairwise(rungs):
            allowed_s = limits.deadlines_s[Rung(rung)]
            if (rung, at) not in failed and next_at - at < allowed_s - CLOCKS_DIFFER_S:
                self._problems.append(f"{rung} was given {next_at - at:.1f} s instead of {allowed_s:g} s")

    def _judge_programs(self, rungs: list[tuple[str, float]]) -> None:
        """Nothing was restarted but what the fault ended, or a rung restarts."""
        now, allowed = self._bench.service.pids(), set(self._row.ends)
        restarted = {name for name in PROGRAMS if now.get(name) != self._pids.get(name)}
        if self._bench.service.status().browser_pid != self._browser:
            restarted.add(BROWSER)
        for rung, _ in rungs:
            allowed |= RESTARTED_BY.get(rung, set())
        if gone := [name for name in PROGRAMS if self._pids.get(name) and not now.get(name)]:
            self._problems.append(f"not running: {gone}")
        if restarted - allowed:
            self._problems.append(f"restarted: {sorted(restarted - allowed)}")

    def _judge_telling(self) -> None:
        """An incident says what cured it; the events of its rungs carry its id, and no event carries another."""
        row, incidents = self._row, self._incidents()
        by = {row.expected_rungs[-1] if row.expected_rungs else "itself", *row.may}
        if not row.is_fault and incidents:
            self._problems.append(f"incidents: {[(one.verdict.value, one.reason) for one in incidents]}")
        found = any(one.cured_by in by for one in incidents)
        if row.is_fault and row.evidence and row.cured_by != "person" and not found:
            self._problems.append(f"incidents cured by {[one.cured_by for one in incidents]}, none by {sorted(by)}")
        named = {str(event.data["incident"]) for event in self._witness.events if event.data.get("incident")}
        of_rungs = {one.id for one in incidents if any(taken.rung != "hold" for taken in one.rungs)}
        if not of_rungs <= named <= set(self._witness.incidents):
            self._problems.append(f"events name the incidents {sorted(named)}, rungs were of {sorted(of_rungs)}")

    def _incidents(self) -> list[Incident]:
        mine = [one for key, one in self._witness.incidents.items() if key not in self._known]
        return sorted(mine, key=lambda one: one.found_at)

    def _rungs(self) -> list[tuple[str, float]]:
        taken = [taken for incident in self._incidents() for taken in incident.rungs]
        return [(one.rung, one.at.timestamp()) for one in sorted(taken, key=lambda one: one.at)]

    def _failed(self) -> set[tuple[str, float]]:
        taken = [taken for incident in self._incidents() for taken in incident.rungs]
        return {(one.rung, one.at.timestamp()) for one in taken if one.error is not None}

    def _rungs_in_log(self) -> int:
        return self._bench.service.log()[self._log_at :].count("taking a rung")

    def _keys(self) -> list[str]:
        return self._bench.keys[self._first_key :]
