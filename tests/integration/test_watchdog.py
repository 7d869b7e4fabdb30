"""The watchdog against a real Redis and a real supervisord, with an agent that does what the test says."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from pydantic import BaseModel

from browser_agent.command_bus import CommandBus
from tests.harness.redis_server import RedisServer
from tests.harness.supervisor import SLEEPER, Supervisor
from tests.harness.waiting import wait_until
from whatsapp_contract.client import AgentClient
from whatsapp_contract.commands import CommandSpec
from whatsapp_contract.errors import BrowserGone, Internal, NotReady, PageTimeout, ResetUnproven
from whatsapp_contract.event_script import TAKE_EPOCH_LUA
from whatsapp_contract.health import Assessment, Facts, Verdict, verdict
from whatsapp_contract.health import Limits as HealthLimits
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.redis_connection import connect_async
from whatsapp_contract.results import CheckResult, PingResult, ReloadResult, ResetResult, RestartBrowserResult
from whatsapp_contract.states import SessionState
from workers.process_control import ProcessControl, SupervisorUnavailable
from workers.recovery import Limits, Memory, Rung
from workers.watchdog import AGENT, Watchdog

NAMES = InstanceNames("s1", "i1")


class Agent:
    """Listens on a thread of its own and answers as told. `called` has every command with its cause.

    Without a verdict it is judged by its facts, and every load begins its state anew.
    """

    def __init__(self, redis_url: str) -> None:
        self.clock: Callable[[], float] = time.time
        self.verdict: Verdict | None = Verdict.HEALTHY
        self.state = SessionState.READY
        self.since = datetime.now(UTC)
        self.operation: str | None = None
        self.errors: dict[str, Exception] = {}
        self.frozen = False
        self.called: list[tuple[str, str | None]] = []
        self._url = redis_url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        async with connect_async(self._url, decode_responses=False) as raw:
            serving = asyncio.create_task(CommandBus(raw, SessionNames("s1"), self._answer).serve())
            await self._stop.wait()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _answer(self, spec: CommandSpec, args: Any) -> BaseModel:
        self.called.append((spec.name, getattr(args, "cause", None)))
        if self.frozen:
            await asyncio.sleep(3600)
        if spec.name in self.errors:
            raise self.errors[spec.name]
        now = self.now()
        match spec.name:
            case "check":
                facts = Facts(
                    observed_at=now, state=self.state, since=self.since, browser_seen_at=now, page_seen_at=now
                )
                told = Assessment(self.verdict, "test") if self.verdict else verdict(facts, HealthLimits(), now)
                return CheckResult(facts=facts, verdict=told.verdict, reason=told.reason, operation=self.operation)
            case "reset":
                return ResetResult(took_ms=1, frame_seen_at=now)
            case "reload":
                self.since = now
                return ReloadResult(steps=["reload"], took_ms=1)
            case "restart_browser":
                self.since = now
                return RestartBrowserResult(browser_pid=1, took_ms=1)
            case _:
                return PingResult(
                    instance="i1", pid=1, epoch=1, state=SessionState.READY, operation=None, held_until=None
                )

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    def rungs(self) -> list[str]:
        return [name for name, _cause in self.called if name not in ("check", "ping")]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path, {AGENT: SLEEPER}) as made:
        wait_until(lambda: made.control.state(AGENT).name == "RUNNING", 10, "the program runs")
        yield made


@pytest.fixture
def agent(redis_server: RedisServer) -> Iterator[Agent]:
    with Agent(redis_server.url) as made:
        with redis_server.client() as redis:
            wait_until(lambda: redis.pubsub_numsub("whatsapp:s1:commands")[0][1], 5, "the agent listens")
        yield made


def watchdog(server: RedisServer, supervisor: Supervisor, limits: Limits | None = None, **settings: Any) -> Watchdog:
    client = AgentClient(server.client(), "s1")
    patience = {"start_grace_s": 0.0, "redis_settled_s": 0.0, **settings}
    return Watchdog(client, NAMES, supervisor.control, limits or Limits(), **patience)


def alerts(server: RedisServer) -> list[tuple[str, str]]:
    with server.client() as redis:
        entries: Any = redis.xrange("whatsapp:s1:events")
    events = [json.loads(fields["event"]) for _id, fields in entries]
    return [(event["data"]["code"], event["data"]["message"]) for event in events if event["type"] == "alert"]


def remembered(server: RedisServer) -> Memory:
    with server.client() as redis:
        kept: Any = redis.get(NAMES.ladder)
    return Memory.model_validate_json(kept) if kept else Memory()


def take_epoch(server: RedisServer) -> None:
    with server.client() as redis:
        redis.eval(TAKE_EPOCH_LUA, 1, SessionNames("s1").fence, "1")


def test_a_healthy_agent_is_left_alone(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    dog = watchdog(redis_server, supervisor)
    for _ in range(5):
        dog.check()
    assert agent.called == [("check", None)] * 5


def test_two_bad_checks_lead_to_the_rung_with_its_cause(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.errors["check"] = PageTimeout("no answer")
    dog = watchdog(redis_server, supervisor)
    dog.check()
    assert agent.rungs() == []
    dog.check()
    assert agent.called[-1] == ("reload", "page_hung: page_timeout")


def test_what_the_agent_has_seen_for_a_while_itself_needs_one_check(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.verdict, agent.since = Verdict.DISCONNECTED, datetime.now(UTC) - timedelta(seconds=6)
    agent.state = SessionState.DISCONNECTED
    watchdog(redis_server, supervisor).check()
    assert agent.rungs() == ["reset"]


def test_a_ready_agent_whose_link_is_stale_is_looked_at_twice(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.verdict, agent.since = Verdict.DISCONNECTED, datetime.now(UTC) - timedelta(hours=6)
    dog = watchdog(redis_server, supervisor)
    dog.check()
    assert agent.rungs() == []
    dog.check()
    assert agent.rungs() == ["reset"]


@pytest.mark.parametrize(
    ("bad", "rung", "error", "is_told"),
    [
        (Verdict.DISCONNECTED, "reset", ResetUnproven("no proof"), False),
        (Verdict.DISCONNECTED, "reset", NotReady("cannot reset while starting"), True),
        (Verdict.PAGE_HUNG, "reload", PageTimeout("it did not come back"), False),
        (Verdict.PAGE_HUNG, "reload", Internal("a bug"), True),
        (Verdict.BROWSER_GONE, "restart_browser", BrowserGone("no new browser"), True),
    ],
)
def test_a_failed_rung_of_which_the_agent_tells_nothing_is_an_alert(
    redis_server: RedisServer,
    supervisor: Supervisor,
    agent: Agent,
    bad: Verdict,
    rung: str,
    error: Exception,
    is_told: bool,
) -> None:
    agent.verdict, agent.errors[rung] = bad, error
    dog = watchdog(redis_server, supervisor)
    dog.check()
    dog.check()
    assert agent.rungs() == [rung]
    message = f"{rung} ({bad}: test) could not be carried out: {error}"
    assert alerts(redis_server) == ([("rung_failed", message)] if is_told else [])


def test_a_failed_restart_of_the_agent_is_an_alert_and_leaves_no_cause(
    redis_server: RedisServer, tmp_path: Path, agent: Agent
) -> None:
    agent.verdict = Verdict.AGENT_HUNG
    nobody = ProcessControl(tmp_path / "nobody.sock")
    dog = Watchdog(AgentClient(redis_server.client(), "s1"), NAMES, nobody, Limits())
    dog.check()
    dog.check()
    [(code, message)] = alerts(redis_server)
    assert code == "rung_failed"
    assert message.startswith("restart_agent (agent_hung: test) could not be carried out: signalProcess")
    with redis_server.client() as redis:
        assert not redis.exists(NAMES.restart_cause, NAMES.restart_lock)


def test_a_rung_that_fails_is_followed_by_the_next(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.verdict = Verdict.DISCONNECTED
    agent.errors["reset"] = ResetUnproven("no proof")
    dog = watchdog(redis_server, supervisor)
    for _ in range(3):
        dog.check()
    assert agent.rungs() == ["reset", "reload"]


def test_an_operation_under_way_is_waited_for(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    agent.verdict, agent.operation = Verdict.DISCONNECTED, "reset"
    dog = watchdog(redis_server, supervisor)
    for _ in range(4):
        dog.check()
    assert agent.rungs() == []


def test_an_agent_that_does_not_answer_twice_is_killed_through_supervisor(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.frozen = True
    before = supervisor.control.state(AGENT).pid
    dog = watchdog(redis_server, supervisor)
    dog.check()
    assert supervisor.control.state(AGENT).pid == before
    dog.check()
    wait_until(lambda: supervisor.control.state(AGENT).pid not in (0, before), 5, "a new process")
    with redis_server.client() as redis:
        assert redis.get(NAMES.restart_cause) == "agent_hung: no_reply"
        assert not redis.exists(NAMES.restart_lock)


def test_nobody_listening_counts_where_somebody_should(redis_server: RedisServer, supervisor: Supervisor) -> None:
    before = supervisor.control.state(AGENT).pid
    dog = watchdog(redis_server, supervisor)
    dog.check()
    dog.check()
    wait_until(lambda: supervisor.control.state(AGENT).pid not in (0, before), 5, "a new process")


@pytest.mark.parametrize("patience", [{"start_grace_s": 3600.0}, {"redis_settled_s": 3600.0}])
def test_nobody_listening_counts_for_nothing_while_agent_or_redis_are_young(
    redis_server: RedisServer, supervisor: Supervisor, patience: dict[str, Any]
) -> None:
    before = supervisor.control.state(AGENT).pid
    dog = watchdog(redis_server, supervisor, **patience)
    for _ in range(5):
        dog.check()
    assert supervisor.control.state(AGENT).pid == before


def test_an_agent_that_a_person_stopped_stays_stopped(redis_server: RedisServer, supervisor: Supervisor) -> None:
    supervisor.control._call("stopProcess", AGENT)
    dog = watchdog(redis_server, supervisor)
    for _ in range(5):
        dog.check()
    assert supervisor.control.state(AGENT).name == "STOPPED"


def test_redis_away_is_not_the_agent_s_fault(redis_server: RedisServer, supervisor: Supervisor) -> None:
    before = supervisor.control.state(AGENT).pid
    dog = watchdog(redis_server, supervisor)
    redis_server.stop()
    for _ in range(3):
        dog.check()
        dog.scheduled_reset()
    assert supervisor.control.state(AGENT).pid == before


def test_two_workers_at_once_take_one_rung(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    agent.verdict, agent.since = Verdict.DISCONNECTED, datetime.now(UTC) - timedelta(minutes=1)
    agent.state = SessionState.DISCONNECTED
    dogs = [watchdog(redis_server, supervisor) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda dog: dog.check(), dogs))
    assert agent.rungs() == ["reset"]


def test_two_restarts_at_once_do_not_clash(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    def restart(dog: Watchdog) -> bool:
        try:
            dog.restart_agent("a test")
        except SupervisorUnavailable:
            return False
        return True

    dogs = [watchdog(redis_server, supervisor) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(restart, dogs))
    assert 1 <= sum(done) < 4
    wait_until(lambda: supervisor.control.state(AGENT).name == "RUNNING", 5, "it runs")


def test_after_three_restarts_it_holds_and_calls_a_person(redis_server: RedisServer, supervisor: Supervisor) -> None:
    impatient = Limits(deadlines_s={rung: 3600.0 if rung is Rung.HOLD else 0.0 for rung in Rung})
    dog = watchdog(redis_server, supervisor, impatient)
    pids = {supervisor.control.state(AGENT).pid}

    def every_restart_is_done() -> bool:
        state = supervisor.control.state(AGENT)
        if state.name == "RUNNING":
            pids.add(state.pid)
        return len(pids) == 1 + len(remembered(redis_server).agent_restarts)

    for _ in range(12):
        dog.check()
        wait_until(every_restart_is_done, 5, "a new process after each restart")
    assert len(pids) == 4
    [(code, message)] = alerts(redis_server)
    assert code == "recovery_holds"
    assert "agent_gone: nobody_listens" in message


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
    agent.verdict = Verdict.DISCONNECTED  # a lesser fault
    assert simulation.run(5 * 60) == []

    simulation.begin_anew()
    assert simulation.run(20) == ["reset"]
    attempt = remembered(redis_server).attempt
    assert attempt is not None
    assert attempt.agent_epoch == 5
    assert len(alerts(redis_server)) == 1


def test_a_scheduled_reset_is_asked_for_while_well(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    watchdog(redis_server, supervisor).scheduled_reset()
    assert agent.called == [("check", None), ("reset", "scheduled")]


def test_a_scheduled_reset_is_skipped_while_not_ready(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.verdict = Verdict.WAITING_FOR_PERSON
    watchdog(redis_server, supervisor).scheduled_reset()
    assert agent.rungs() == []


def test_an_unproven_scheduled_reset_escalates_at_once(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.errors["reset"] = ResetUnproven("no proof")
    watchdog(redis_server, supervisor).scheduled_reset()
    assert agent.rungs() == ["reset", "reload"]


def test_a_killed_worker_s_lock_is_gone_soon(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    with redis_server.client() as redis:
        redis.set(NAMES.ladder_lock, "a dead worker's", px=500)
        dog = watchdog(redis_server, supervisor)
        dog.check()
        assert agent.called == []
        wait_until(lambda: not redis.exists(NAMES.ladder_lock), 2, "the lock expires")
    dog.check()
    assert agent.called == [("check", None)]
