"""The watchdog against a real Redis and a real supervisord, with an agent that does what the test says."""

import asyncio
import threading
from collections.abc import Iterator
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
from whatsapp_contract.commands import CheckResult, CommandSpec, PingResult, ReloadResult, ResetResult
from whatsapp_contract.errors import PageTimeout, ResetUnproven
from whatsapp_contract.health import Facts, Verdict
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.redis_connection import connect_async
from whatsapp_contract.states import SessionState
from workers.process_control import SupervisorUnavailable
from workers.recovery import Limits, Rung
from workers.watchdog import AGENT, Watchdog

NAMES = InstanceNames("s1", "i1")


class Agent:
    """Listens on a thread of its own and answers as told. `called` has every command with its cause."""

    def __init__(self, redis_url: str) -> None:
        self.verdict = Verdict.HEALTHY
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
        now = datetime.now(UTC)
        match spec.name:
            case "check":
                facts = Facts(observed_at=now, state=SessionState.READY, since=self.since)
                return CheckResult(facts=facts, verdict=self.verdict, reason="test", operation=self.operation)
            case "reset":
                return ResetResult(took_ms=1, frame_seen_at=now)
            case "reload":
                return ReloadResult(steps=["reload"], took_ms=1)
            case _:
                return PingResult(
                    instance="i1", pid=1, epoch=1, state=SessionState.READY, operation=None, held_until=None
                )

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
    return Watchdog(client, NAMES, supervisor.control, limits or Limits(), 1000, **patience)


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
    watchdog(redis_server, supervisor).check()
    assert agent.rungs() == ["reset"]


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
    pids = set()
    for _ in range(12):
        dog.check()
        pids.add(wait_until(lambda: supervisor.control.state(AGENT).pid, 5, "it runs"))
    assert len(pids) == 4
    with redis_server.client() as redis:
        events: Any = redis.xrange("whatsapp:s1:events")
    alerts = [fields["event"] for _id, fields in events if "recovery_holds" in fields["event"]]
    assert len(alerts) == 1


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
