"""The watchdog against a real Redis and a real supervisord, with an agent that does what the test says."""

import asyncio
import json
import signal
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
from whatsapp_contract.health import Facts, Verdict, verdict
from whatsapp_contract.health import Limits as HealthLimits
from whatsapp_contract.incidents import Incident, RestartCause
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.redis_connection import connect_async
from whatsapp_contract.results import CheckResult, PingResult, ReloadResult, ResetResult, RestartBrowserResult
from whatsapp_contract.states import SessionState
from workers.incidents import IncidentLog
from workers.memory import Limits, Memory, Rung
from workers.observing import AGENT
from workers.process_control import ProcessControl, SupervisorUnavailable
from workers.watchdog import Watchdog

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
        self.incidents: list[str | None] = []  # of the rungs
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
        if spec.name not in ("check", "ping"):
            self.incidents.append(getattr(args, "incident", None))
        if self.frozen:
            await asyncio.sleep(3600)
        if spec.name in self.errors:
            raise self.errors[spec.name]
        now = self.now()
        match spec.name:
            case "check":
                facts = self._facts(now)
                told = verdict(facts, HealthLimits(), now)
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

    def _facts(self, now: datetime) -> Facts:
        """Those of the state, of which one is bad where there is a verdict."""
        good = Facts(
            observed_at=now,
            state=self.state,
            since=self.since,
            browser_seen_at=now,
            page_seen_at=now,
            frame_seen_at=now,
        )
        long_ago = now - timedelta(hours=1)
        changes: dict[Verdict | None, dict[str, Any]] = {
            Verdict.DISCONNECTED: {"frame_seen_at": long_ago},
            Verdict.PAGE_HUNG: {"page_seen_at": long_ago},
            Verdict.BROWSER_GONE: {"browser_seen_at": long_ago},
            Verdict.DEAF: {"unheard_since": long_ago},
            Verdict.WAITING_FOR_PERSON: {"state": SessionState.AWAITING_SCAN},
        }
        return good.model_copy(update=changes.get(self.verdict, {}))

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
    patience = {"agent_grace_s": 0.0, "redis_settled_s": 0.0, **settings.pop("patience", {})}
    health = HealthLimits(**patience)
    return Watchdog(client, NAMES, supervisor.control, limits or Limits(), health_limits=health, **settings)


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
    dog = watchdog(redis_server, supervisor)
    dog.check()
    agent.verdict, agent.since = None, datetime.now(UTC) - timedelta(seconds=6)
    agent.state = SessionState.DISCONNECTED
    dog.check()
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
    reason = {"disconnected": "link_stale", "page_hung": "page_silent", "browser_gone": "browser_silent"}[bad]
    message = f"{rung} ({bad}: {reason}) could not be carried out: {error}"
    assert alerts(redis_server) == ([("rung_failed", message)] if is_told else [])


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
    assert message.startswith("restart_agent (agent_hung: no_reply) could not be carried out: signalProcess")
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
        left = RestartCause.read(str(redis.get(NAMES.restart_cause)))
        assert left.cause == "agent_hung: no_reply"
        assert left.incident is not None
        assert not redis.exists(NAMES.restart_lock)


def test_nobody_listening_counts_where_somebody_should(redis_server: RedisServer, supervisor: Supervisor) -> None:
    before = supervisor.control.state(AGENT).pid
    dog = watchdog(redis_server, supervisor)
    dog.check()
    dog.check()
    wait_until(lambda: supervisor.control.state(AGENT).pid not in (0, before), 5, "a new process")


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
    supervisor.control._call("stopProcess", AGENT)
    dog = watchdog(redis_server, supervisor)
    for _ in range(5):
        dog.check()
    assert supervisor.control.state(AGENT).name == "STOPPED"


def test_an_agent_that_a_person_stopped_stays_stopped_whoever_else_listens(
    redis_server: RedisServer, supervisor: Supervisor
) -> None:
    supervisor.control._call("stopProcess", AGENT)
    dog = watchdog(redis_server, supervisor)
    with redis_server.client() as redis, redis.pubsub() as listening:
        listening.subscribe(SessionNames("s1").commands)
        listening.get_message(timeout=5)
        dog.check()
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
    watchdog(redis_server, supervisor).check()
    agent.verdict, agent.since = None, datetime.now(UTC) - timedelta(minutes=1)
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
    agent.verdict, agent.state = Verdict.DISCONNECTED, SessionState.READY  # a lesser fault
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


# -- the ladder's memory ----------------------------------------------------------------------------------------------


def test_a_worker_killed_amid_a_rung_leaves_word_of_it(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    """The next one waits for the rung's time, and then goes on from there."""
    agent.verdict = Verdict.PAGE_HUNG
    now = 1000.0
    client = DyingClient(redis_server.client(), "s1")
    first = Watchdog(client, NAMES, supervisor.control, Limits(), clock=lambda: now)
    first.check()
    now += 10
    with pytest.raises(Killed):
        first.check()
    assert remembered(redis_server).attempt is not None
    second = watchdog(redis_server, supervisor, clock=lambda: now)
    for _ in range(3):
        now += 10
        second.check()
    assert agent.rungs() == []
    now += 15
    second.check()
    assert agent.rungs() == ["restart_browser"]
    [incident] = told(redis_server)
    assert [rung.rung for rung in incident.rungs] == ["reload", "restart_browser"]


class Killed(BaseException):
    """The worker's end."""


class DyingClient(AgentClient):
    """Of a worker that is killed over each rung."""

    def call(self, name: str, args: dict[str, Any] | None = None, *, reply_within_s: float | None = None) -> BaseModel:
        if name != "check":
            raise Killed
        return super().call(name, args, reply_within_s=reply_within_s)


def test_damaged_memory_is_dropped(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    agent.verdict = Verdict.PAGE_HUNG
    dog = watchdog(redis_server, supervisor)
    with redis_server.client() as redis:
        redis.set(NAMES.ladder, '{"attempt": {"rung": "jump"}}')
    dog.check()
    dog.check()
    assert agent.rungs() == ["reload"]


def test_what_was_remembered_in_another_life_of_the_machine_counts_for_nothing(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.verdict = Verdict.PAGE_HUNG
    dog = watchdog(redis_server, supervisor)
    dog.check()
    with redis_server.client() as redis:
        redis.set(NAMES.ladder, remembered(redis_server).model_copy(update={"boot": "another"}).model_dump_json())
    dog.check()
    assert agent.rungs() == []


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_a_clock_stepped_by_an_hour_neither_leads_to_a_rung_nor_keeps_one_away(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent, step_s: float
) -> None:
    dog = watchdog(redis_server, supervisor)
    dog.check()
    agent.clock = lambda: time.time() + step_s
    agent.since += timedelta(seconds=step_s)
    for _ in range(3):
        dog.check()
    assert agent.rungs() == []
    agent.verdict = Verdict.PAGE_HUNG
    dog.check()
    dog.check()
    assert agent.rungs() == ["reload"]


def test_a_check_during_which_this_process_was_stopped_tells_nothing(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.verdict = Verdict.PAGE_HUNG
    times = iter([0.0, 300.0, 310.0, 310.1, 320.0, 320.1, 321.0])
    dog = watchdog(redis_server, supervisor, clock=lambda: next(times))
    dog.check()
    assert remembered(redis_server) == Memory()
    dog.check()
    assert agent.rungs() == []
    dog.check()
    assert agent.rungs() == ["reload"]


def test_a_restart_that_got_no_further_than_the_stop_is_finished_by_the_next_check(
    redis_server: RedisServer, supervisor: Supervisor
) -> None:
    supervisor.control._call("stopProcess", AGENT)
    with redis_server.client() as redis:
        redis.set(NAMES.start_owed, "1")
        watchdog(redis_server, supervisor).check()
        wait_until(lambda: supervisor.control.state(AGENT).name == "RUNNING", 5, "it runs again")
        assert not redis.exists(NAMES.start_owed)


def test_a_frozen_supervisor_holds_no_check_up_past_its_time(
    redis_server: RedisServer, supervisor: Supervisor
) -> None:
    supervisor.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    watchdog(redis_server, supervisor).check()
    assert time.monotonic() - started < 4
    assert remembered(redis_server).suspect is None
    supervisor.process.send_signal(signal.SIGCONT)


# -- conflict ---------------------------------------------------------------------------------------------------------


def test_a_conflict_is_taken_over_a_few_times_and_then_left_to_a_person(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.verdict, agent.state = None, SessionState.CONFLICT
    now = 1000.0
    dog = watchdog(redis_server, supervisor, clock=lambda: now)
    for _ in range(40):
        dog.check()
        now += 10
    assert agent.rungs() == ["reset"] * 3
    [(code, message)] = alerts(redis_server)
    assert code == "conflict_left"
    assert "TAKEOVER_LIMIT" in message
    [incident] = told(redis_server)
    assert (incident.ended_as, incident.cured_by) == ("waiting_for_person", None)


# -- incidents --------------------------------------------------------------------------------------------------------


def told(server: RedisServer) -> list[Incident]:
    with server.client() as redis:
        return IncidentLog(redis, SessionNames("s1")).last(1000)


def test_an_incident_has_its_rungs_its_cure_and_how_long_it_took(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    now = 1_800_000_000.0
    agent.clock = lambda: now
    agent.since = agent.now()
    dog = watchdog(redis_server, supervisor, clock=lambda: now)
    dog.check()
    agent.verdict, agent.errors["reload"] = Verdict.PAGE_HUNG, PageTimeout("it did not come back")
    for _ in range(3):
        now += 10
        dog.check()
    [open_one] = told(redis_server)
    assert open_one.ended_at is None
    now += 4
    agent.verdict, agent.since = Verdict.HEALTHY, agent.now()
    now += 6
    dog.check()
    [incident] = told(redis_server)
    assert (incident.verdict, incident.reason, incident.instance) == (Verdict.PAGE_HUNG, "page_silent", "i1")
    assert [(rung.rung, rung.error) for rung in incident.rungs] == [
        ("reload", "page_timeout"),
        ("restart_browser", None),
    ]
    assert incident.rungs[1].took_ms is not None
    assert (incident.cured_by, incident.ended_as) == ("restart_browser", "healthy")
    assert incident.not_ready_s == 24.0
    assert agent.incidents == [incident.id] * 2
    assert remembered(redis_server).incident is None


def test_one_bad_check_is_no_incident_and_two_without_a_rung_are(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    dog = watchdog(redis_server, supervisor)
    for verdicts in ([Verdict.PAGE_HUNG], [Verdict.PAGE_HUNG, Verdict.BROWSER_GONE]):
        for one in [*verdicts, Verdict.HEALTHY]:
            agent.verdict = one
            dog.check()
    assert agent.rungs() == []
    [incident] = told(redis_server)
    assert (incident.verdict, incident.cured_by, incident.rungs) == (Verdict.PAGE_HUNG, "itself", ())


def publish(server: RedisServer, kind: str, at: datetime, **data: Any) -> None:
    event = {
        "v": 1,
        "type": kind,
        "session_id": "s1",
        "epoch": 1,
        "seq": 1,
        "occurred_at": at.isoformat(),
        "observed_at": at.isoformat(),
        "data": data,
    }
    with server.client() as redis:
        redis.xadd("whatsapp:s1:events", {"event": json.dumps(event)})


@pytest.mark.parametrize(
    ("kind", "data", "verdict"),
    [
        ("disconnected", {"reason": "browser_gone", "state": "starting"}, Verdict.BROWSER_GONE),
        ("disconnected", {"reason": "link_dropped", "state": "disconnected"}, Verdict.DISCONNECTED),
        ("disconnected", {"reason": "reset", "state": "disconnected"}, None),
        ("restarted", {"what": "agent", "cause": "unknown"}, Verdict.AGENT_GONE),
        ("restarted", {"what": "agent", "cause": "stop"}, None),
    ],
)
def test_what_was_over_before_anybody_looked_is_an_incident_unless_it_was_wanted(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent, kind: str, data: dict[str, Any], verdict: Any
) -> None:
    agent.since = datetime.now(UTC) - timedelta(minutes=10)
    dog = watchdog(redis_server, supervisor)
    dog.check()
    now = datetime.now(UTC)
    publish(redis_server, kind, now - timedelta(seconds=5), **data)
    agent.since = now - timedelta(seconds=2)
    dog.check()
    dog.check()
    found = [(one.verdict, one.cured_by, one.not_ready_s) for one in told(redis_server)]
    if verdict is None:
        assert found == []
    else:
        [(seen, cured_by, not_ready_s)] = found
        assert (seen, cured_by) == (verdict, "itself")
        assert not_ready_s == pytest.approx(3, abs=0.5)


def test_a_thousand_incidents_are_kept(redis_server: RedisServer) -> None:
    began = datetime(2026, 11, 23, tzinfo=UTC)
    with redis_server.client() as redis:
        log = IncidentLog(redis, SessionNames("s1"))
        for n in range(1005):
            at = began + timedelta(seconds=n)
            log.keep(Incident(id=f"i{n}", instance="i1", verdict=Verdict.DEAF, reason="r", bad_since=at, found_at=at))
        assert [one.id for one in log.last(2)] == ["i1003", "i1004"]
        assert log.get("i4") is None
        assert redis.hlen(SessionNames("s1").incidents) == redis.zcard(SessionNames("s1").incidents_order) == 1000
