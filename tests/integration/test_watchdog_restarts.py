"""The watchdog's restarts of the agent, through a real supervisord: when, how often, and finished."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.harness.redis_server import RedisServer
from tests.harness.supervisor import Supervisor
from tests.harness.waiting import wait_until
from tests.harness.watched import NAMES, Agent, alert_data, alerts, remembered, take_epoch, watchdog
from whatsapp_contract.client import AgentClient
from whatsapp_contract.health import Limits as HealthLimits
from whatsapp_contract.health import Verdict
from whatsapp_contract.incidents import RestartCause
from whatsapp_contract.names import SessionNames
from whatsapp_contract.states import SessionState
from workers.clock import boot
from workers.incidents import IncidentLog
from workers.memory import Attempt, Limits, Memory, Rung
from workers.observing import AGENT, Observer
from workers.process_control import ProcessControl, ProcessState, SupervisorUnavailable
from workers.restarting import Restarter
from workers.watchdog import RESTARTED_WITHIN_S, Watchdog


def stop(supervisor: Supervisor) -> None:
    """As a person does, or a restart before it starts it again."""
    supervisor.control._call("stopProcess", AGENT, False)
    wait_until(lambda: supervisor.control.state(AGENT).name == "STOPPED", 20, "it is stopped")


def test_an_agent_that_does_not_answer_twice_is_killed_through_supervisor(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.frozen = True
    before = supervisor.control.state(AGENT).pid
    dog = watchdog(redis_server, supervisor)
    dog.check()
    assert supervisor.control.state(AGENT).pid == before
    dog.check()
    wait_until(lambda: supervisor.control.state(AGENT).pid not in (0, before), 20, "a new process")
    with redis_server.client() as redis:
        left = RestartCause.read(str(redis.get(NAMES.restart_cause)))
        assert left.cause == "agent_hung: no_reply"
        assert left.incident is not None
        assert not redis.exists(NAMES.restart_lock)


def test_nobody_listening_counts_where_somebody_should(redis_server: RedisServer, supervisor: Supervisor) -> None:
    before = supervisor.control.state(AGENT).pid
    dog = watchdog(redis_server, supervisor)
    dog.check()
    dog.check()
    wait_until(lambda: supervisor.control.state(AGENT).pid not in (0, before), 20, "a new process")


@pytest.mark.parametrize("patience", [{"agent_grace_s": 3600.0}, {"redis_settled_s": 3600.0}])
def test_nobody_listening_counts_for_nothing_while_agent_or_redis_are_young(
    redis_server: RedisServer, supervisor: Supervisor, patience: dict[str, Any]
) -> None:
    before = supervisor.control.state(AGENT).pid
    dog = watchdog(redis_server, supervisor, patience=patience)
    for _ in range(5):
        dog.check()
    assert supervisor.control.state(AGENT).pid == before


def test_an_agent_that_a_person_stopped_stays_stopped(redis_server: RedisServer, supervisor: Supervisor) -> None:
    stop(supervisor)
    dog = watchdog(redis_server, supervisor)
    for _ in range(5):
        dog.check()
    assert supervisor.control.state(AGENT).name == "STOPPED"


def test_an_agent_that_a_person_stopped_stays_stopped_whoever_else_listens(
    redis_server: RedisServer, supervisor: Supervisor
) -> None:
    stop(supervisor)
    dog = watchdog(redis_server, supervisor)
    with redis_server.client() as redis, redis.pubsub() as listening:
        listening.subscribe(SessionNames("s1").commands)
        listening.get_message(timeout=5)
        dog.check()
        dog.check()
    assert supervisor.control.state(AGENT).name == "STOPPED"


def test_two_restarts_at_once_do_not_clash(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    together = threading.Barrier(4)

    def restart(dog: Watchdog) -> bool:
        together.wait(20)
        try:
            dog.restart_agent("a test")
        except SupervisorUnavailable:
            return False
        return True

    dogs = [watchdog(redis_server, supervisor) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(restart, dogs))
    assert 1 <= sum(done) < 4
    wait_until(lambda: supervisor.control.state(AGENT).name == "RUNNING", 20, "it runs")


def test_after_three_restarts_it_holds_and_calls_a_person(redis_server: RedisServer, supervisor: Supervisor) -> None:
    impatient = Limits(deadlines_s=dict.fromkeys(Rung, 0.0))
    dog = watchdog(redis_server, supervisor, impatient)
    pids = {supervisor.control.state(AGENT).pid}

    def every_restart_is_done() -> bool:
        state = supervisor.control.state(AGENT)
        if state.name == "RUNNING":
            pids.add(state.pid)
        return len(pids) == 1 + len(remembered(redis_server).agent_starts)

    for _ in range(12):
        dog.check()
        wait_until(every_restart_is_done, 20, "a new process after each restart")
    assert len(pids) == 4
    [(code, message)] = alerts(redis_server)
    assert code == "recovery_holds"
    assert "agent_gone: nobody_listens" in message


def test_a_failed_restart_of_the_agent_is_an_alert_and_leaves_no_cause(
    redis_server: RedisServer, tmp_path: Path, agent: Agent
) -> None:
    agent.frozen = True
    nobody = ProcessControl(tmp_path / "nobody.sock")
    dog = Watchdog(AgentClient(redis_server.client(), "s1"), NAMES, nobody, Limits())
    dog.check()
    dog.check()
    for _ in range(3):  # more often than restarts are allowed: none was made
        dog.check()
    [(code, message)] = alerts(redis_server)
    [incident] = IncidentLog(redis_server.client(), SessionNames("s1")).last(2)
    assert [(rung.rung, rung.error) for rung in incident.rungs] == [("restart_agent", "supervisor_unavailable")]
    assert code == "rung_failed"
    assert message.startswith("restart_agent (agent_hung: no_reply) could not be carried out: getProcessInfo")
    with redis_server.client() as redis:
        assert not redis.exists(NAMES.restart_cause, NAMES.restart_lock)


class Simulation:
    """A page that hangs after every load, a check each ten seconds of its own time, and a real supervisord."""

    def __init__(self, server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
        self.now = 1_800_000_000.0
        self.dog = watchdog(server, supervisor, clock=lambda: self.now)
        self._server, self._supervisor, self._agent = server, supervisor, agent
        self._pid = supervisor.control.state(AGENT).pid
        agent.clock, agent.verdict, agent.state = (lambda: self.now), None, SessionState.STARTING
        self.begin_anew()

    def begin_anew(self) -> None:
        """A new agent has come up."""
        self._agent.since = self._agent.now()
        take_epoch(self._server)

    def run(self, lasting_s: float) -> list[str]:
        """The rungs taken meanwhile."""
        rungs: list[str] = []
        ends_at = self.now + lasting_s
        while self.now < ends_at:
            before = len(self._agent.rungs())
            self.dog.check()
            rungs += self._agent.rungs()[before:]
            if (pid := self._supervisor.control.state(AGENT).pid) != self._pid:
                self._pid = pid
                rungs.append("restart_agent")
                self.begin_anew()
            self.now += 10
        return rungs


def test_a_boot_that_is_stuck_is_held_and_a_person_s_restart_ends_the_hold(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    simulation = Simulation(redis_server, supervisor, agent)
    climb = ["reload", "restart_browser", *["restart_agent"] * 3]
    assert simulation.run(25 * 60) == climb
    [(code, message)] = alerts(redis_server)
    assert code == "recovery_holds"
    assert "page_hung: stuck_in_starting" in message
    agent.verdict, agent.state = Verdict.DISCONNECTED, SessionState.READY  # a lesser fault
    assert simulation.run(5 * 60) == []

    simulation.begin_anew()
    assert simulation.run(20) == ["reset"]
    attempt = remembered(redis_server).attempt
    assert attempt is not None
    assert attempt.agent_life == 5
    assert len(alerts(redis_server)) == 1


def test_a_restart_that_got_no_further_than_the_stop_is_finished_by_the_next_check(
    redis_server: RedisServer, supervisor: Supervisor
) -> None:
    stop(supervisor)
    with redis_server.client() as redis:
        cause = RestartCause(cause="page_hung: page_silent", incident="20261129-1").model_dump_json()
        redis.hset(NAMES.start_owed, "cause", cause)
        watchdog(redis_server, supervisor).check()
        wait_until(lambda: supervisor.control.state(AGENT).name == "RUNNING", 20, "it runs again")
        assert not redis.exists(NAMES.start_owed)
        assert redis.get(NAMES.restart_cause) == cause  # for the agent that comes up to tell


def test_an_owed_start_of_an_agent_that_runs_after_all_is_nobody_s(
    redis_server: RedisServer, supervisor: Supervisor
) -> None:
    before = supervisor.control.state(AGENT).pid
    with redis_server.client() as redis:
        redis.hset(NAMES.start_owed, "cause", "of another")
        watchdog(redis_server, supervisor).check()
        assert not redis.exists(NAMES.start_owed, NAMES.restart_cause)
    assert supervisor.control.state(AGENT).pid == before


def test_a_restart_that_cannot_be_finished_is_told_once(
    redis_server: RedisServer, supervisor: Supervisor, tmp_path: Path
) -> None:
    stop(supervisor)
    nobody = ProcessControl(tmp_path / "nobody.sock")
    dog = Watchdog(AgentClient(redis_server.client(), "s1"), NAMES, nobody, Limits())
    with redis_server.client() as redis:
        redis.hset(NAMES.start_owed, "cause", RestartCause(cause="c", incident="of this").model_dump_json())
        for checks, told in ((3, 0), (1, 1), (5, 1)):
            for _ in range(checks):
                dog.check()
            unfinished = [data for data in alert_data(redis_server) if data["code"] == "restart_unfinished"]
            assert len(unfinished) == told
        assert "getProcessInfo" in unfinished[0]["message"]
        assert unfinished[0]["incident"] == "of this"
        watchdog(redis_server, supervisor).check()
        wait_until(lambda: supervisor.control.state(AGENT).name == "RUNNING", 20, "it runs again")
        assert not redis.exists(NAMES.start_owed)


def test_a_restart_after_one_that_was_told_as_unfinished_is_told_as_well(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    stop(supervisor)
    with redis_server.client() as redis:
        redis.hset(NAMES.start_owed, mapping={"cause": "an earlier one", "tries": "9", "told": "1"})
        supervisor.process.send_signal(signal.SIGSTOP)
        restarter = Restarter(redis, NAMES, _StopsOnly(supervisor.control))
        with pytest.raises(SupervisorUnavailable):
            restarter.restart("another one", None, frozen=False)
        assert redis.hgetall(NAMES.start_owed) == {"cause": RestartCause(cause="another one").model_dump_json()}
        supervisor.process.send_signal(signal.SIGCONT)


class _StopsOnly(ProcessControl):
    """A supervisord that stops the agent, and is frozen before it is told to start it."""

    def __init__(self, real: ProcessControl) -> None:
        self._real = real

    def state(self, program: str) -> ProcessState:
        return ProcessState("STOPPED", 0.0, 0)

    def restart(self, program: str) -> None:
        self._real.start(program)


class _StartsNothing(ProcessControl):
    """A supervisord that stops the agent, and refuses to start it."""

    def start(self, program: str) -> None:
        raise SupervisorUnavailable(f"startProcess: no memory for {program}")


def test_a_restart_that_got_no_further_than_the_stop_was_one_of_the_ladder_s(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent, tmp_path: Path
) -> None:
    """Else its start, once it is made, is taken for one that the agent made by itself, and the rung for none."""
    take_epoch(redis_server)
    agent.verdict = Verdict.PAGE_HUNG
    impatient = Limits(deadlines_s=dict.fromkeys(Rung, 0.0))
    refusing = _StartsNothing(tmp_path / "supervisor.sock")
    dog = Watchdog(AgentClient(redis_server.client(), "s1"), NAMES, refusing, impatient)
    for _ in range(4):
        dog.check()
    assert supervisor.control.state(AGENT).name == "STOPPED"
    attempt = remembered(redis_server).attempt
    assert attempt is not None
    assert (attempt.taken, attempt.failed) == ((Rung.RELOAD, Rung.RESTART_BROWSER, Rung.RESTART_AGENT), True)

    agent.verdict = Verdict.HEALTHY
    dog = watchdog(redis_server, supervisor, impatient)
    dog.check()
    assert supervisor.control.state(AGENT).name in ("STARTING", "RUNNING")
    take_epoch(redis_server)  # it has come up
    dog.check()
    memory = remembered(redis_server)
    assert (len(memory.agent_starts), len(memory.others_starts)) == (1, 0)


def test_a_frozen_supervisor_holds_no_check_up_past_its_time(
    redis_server: RedisServer, supervisor: Supervisor
) -> None:
    supervisor.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    watchdog(redis_server, supervisor).check()
    assert time.monotonic() - started < 9  # the next one comes after ten seconds
    assert remembered(redis_server).suspect is None
    supervisor.process.send_signal(signal.SIGCONT)


def test_a_restart_that_got_no_further_than_the_stop_is_no_person_s_and_waits_for_no_lock(
    redis_server: RedisServer, supervisor: Supervisor
) -> None:
    """The killed worker's lock of checks is still there."""
    stop(supervisor)
    with redis_server.client() as redis:
        redis.hset(NAMES.start_owed, "cause", "")
        redis.set(NAMES.ladder_lock, "a dead worker's", px=60_000)
        watchdog(redis_server, supervisor).check()
        wait_until(lambda: supervisor.control.state(AGENT).name == "RUNNING", 20, "it runs again")


def test_until_it_is_finished_a_restart_is_seen_as_one(redis_server: RedisServer, supervisor: Supervisor) -> None:
    stop(supervisor)
    client = AgentClient(redis_server.client(), "s1")
    observer = Observer(client, NAMES, supervisor.control, HealthLimits(), time.monotonic, 600)
    client.redis.hset(NAMES.start_owed, "cause", "")
    seen = observer.look()
    assert seen is not None
    assert (seen.verdict, seen.reason) == (Verdict.DEGRADED, "restart_unfinished")


def test_nothing_is_left_to_a_frozen_supervisor_that_it_would_do_when_it_thaws(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    before = supervisor.control.state(AGENT).pid
    restarter = Restarter(redis_server.client(), NAMES, supervisor.control)
    supervisor.process.send_signal(signal.SIGSTOP)
    for frozen in (True, False):
        with pytest.raises(SupervisorUnavailable):
            restarter.restart("a test", None, frozen=frozen)
    supervisor.process.send_signal(signal.SIGCONT)
    # A request that came later is answered: so were those of before, and what they asked for is on its way.
    wait_until(lambda: supervisor.control.state(AGENT).running_s >= 1.5, 20, "it has run for a while")
    assert supervisor.control.state(AGENT).pid == before


def test_a_person_s_restart_ends_a_hold_and_every_budget_though_a_check_is_under_way(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.verdict = Verdict.PAGE_HUNG
    now = 1000.0
    dog = watchdog(redis_server, supervisor, clock=lambda: now)
    held = Attempt(rung=Rung.HOLD, at=now, verdict=Verdict.AGENT_GONE, lasts_s=3600, only_by_time=True)
    spent = Memory(boot=boot(), watched_at=now, attempt=held, agent_starts=(now,) * 9, restarts=(now,) * 12)
    with redis_server.client() as redis:
        redis.set(NAMES.ladder, spent.model_dump_json())
        redis.zadd(NAMES.starts, {str(n): time.time() for n in range(9)})
        redis.set(NAMES.ladder_lock, "another worker's", px=60_000)
        started = time.monotonic()
        dog.restart_agent("a test")
        assert time.monotonic() - started < 30
        redis.delete(NAMES.ladder_lock)
        assert not redis.exists(NAMES.starts)
    for _ in range(2):
        now += 10
        dog.check()
    assert agent.rungs() == ["reload"]
    memory = remembered(redis_server)
    assert (memory.agent_starts, memory.restarts, memory.own_restarts) == ((), (), 1)


def test_another_restart_may_be_asked_for_once_one_has_failed_and_not_while_the_new_agent_comes_up(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent, tmp_path: Path
) -> None:
    with redis_server.client() as redis:
        nobody = ProcessControl(tmp_path / "nobody.sock")
        redis.set(NAMES.restart_asked, "7", ex=30)
        with pytest.raises(SupervisorUnavailable):
            Watchdog(AgentClient(redis_server.client(), "s1"), NAMES, nobody, Limits()).restart_agent("a test")
        assert not redis.exists(NAMES.restart_asked)
        redis.set(NAMES.restart_asked, "7", ex=30)
        watchdog(redis_server, supervisor).restart_agent("a test")
        assert redis.get(NAMES.restart_asked) == "7"
        assert 30 < redis.ttl(NAMES.restart_asked) <= RESTARTED_WITHIN_S
