"""What the watchdog remembers in Redis, over killed workers, stepped clocks and lost data."""

import contextlib
import time
from datetime import timedelta
from typing import Any

import pytest
import redis
from pydantic import BaseModel

from tests.harness.redis_server import RedisServer
from tests.harness.supervisor import Supervisor
from tests.harness.waiting import wait_until
from tests.harness.watched import NAMES, Agent, alerts, remembered, told, watchdog
from whatsapp_contract.client import AgentClient
from whatsapp_contract.health import Verdict
from whatsapp_contract.states import SessionState
from workers.memory import Limits, Memory
from workers.watchdog import Watchdog


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
    # Before each look, when its facts are there, and at its end.
    times = iter([0.0, 300.0, 300.1, 310.0, 310.1, 310.2, 320.0, 320.1, 320.2, 321.0])
    dog = watchdog(redis_server, supervisor, clock=lambda: next(times))
    dog.check()
    assert remembered(redis_server) == Memory()
    dog.check()
    assert agent.rungs() == []
    dog.check()
    assert agent.rungs() == ["reload"]


def test_a_killed_worker_s_lock_is_gone_soon(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    with redis_server.client() as redis:
        redis.set(NAMES.ladder_lock, "a dead worker's", px=60_000)
        dog = watchdog(redis_server, supervisor)
        dog.check()
        assert agent.called == []
        redis.pexpire(NAMES.ladder_lock, 1)
        wait_until(lambda: not redis.exists(NAMES.ladder_lock), 20, "the lock expires")
    dog.check()
    assert agent.called == [("check", None)]


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


class DyingRedis(redis.Redis):
    """Of a worker that is killed when it tells something."""

    def eval(self, *_: Any, **__: Any) -> Any:
        raise Killed


def test_a_worker_killed_as_it_tells_a_person_leaves_nobody_untold(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.verdict, agent.state = None, SessionState.CONFLICT
    limits = Limits(most_takeovers=0)
    dying = DyingRedis.from_url(redis_server.url, decode_responses=True)
    first = Watchdog(AgentClient(dying, "s1"), NAMES, supervisor.control, limits)
    with contextlib.suppress(Killed):
        first.check()
    with contextlib.suppress(Killed):
        first.check()
    second = watchdog(redis_server, supervisor, limits)
    for _ in range(3):
        second.check()
    assert [code for code, _ in alerts(redis_server)] == ["conflict_left"]
