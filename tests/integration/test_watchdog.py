"""The watchdog against a real Redis and a real supervisord, with an agent that does what the test says."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from cli.checks.finding import Level
from cli.checks.watchdog import look
from tests.harness.redis_server import RedisServer
from tests.harness.supervisor import Supervisor
from tests.harness.waiting import wait_until
from tests.harness.watched import NAMES, Agent, alerts, watchdog
from whatsapp_contract.client import AgentClient
from whatsapp_contract.errors import BrowserGone, Internal, NotReady, PageTimeout, ResetUnproven
from whatsapp_contract.health import Verdict
from whatsapp_contract.names import SessionNames
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status
from workers.memory import Limits
from workers.observing import AGENT
from workers.watchdog import Watchdog


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


def test_redis_away_is_not_the_agent_s_fault(redis_server: RedisServer, supervisor: Supervisor) -> None:
    before = supervisor.control.state(AGENT).pid
    dog = watchdog(redis_server, supervisor)
    redis_server.stop()
    for _ in range(3):
        dog.check()
        dog.scheduled_reset()
    assert supervisor.control.state(AGENT).pid == before


def test_a_redis_that_does_not_say_how_long_it_is_up_keeps_nobody_from_being_restarted(
    redis_server: RedisServer, supervisor: Supervisor
) -> None:
    """As one that is rented: INFO is not for everybody."""
    with redis_server.client() as redis:
        redis.execute_command("ACL", "SETUSER", "default", "-info")
    before = supervisor.control.state(AGENT).pid
    dog = watchdog(redis_server, supervisor)
    dog.check()
    dog.check()
    wait_until(lambda: supervisor.control.state(AGENT).pid not in (0, before), 20, "it was killed and started")


def test_two_workers_at_once_take_one_rung(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    watchdog(redis_server, supervisor).check()
    agent.verdict, agent.since = None, datetime.now(UTC) - timedelta(minutes=1)
    agent.state = SessionState.DISCONNECTED
    dogs = [watchdog(redis_server, supervisor) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda dog: dog.check(), dogs))
    assert agent.rungs() == ["reset"]


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
    agent.verdict = None
    agent.frame_age_s = 30.0
    watchdog(redis_server, supervisor).scheduled_reset()
    assert agent.rungs() == ["reset", "reload"]


def test_an_unproven_scheduled_reset_whose_link_came_back_since_is_let_be(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.errors["reset"] = ResetUnproven("no proof")
    watchdog(redis_server, supervisor, clock=time.time).scheduled_reset()
    assert agent.rungs() == ["reset"]


class LossyClient(AgentClient):
    """Redis is gone as soon as a reset is unproven."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__(server.client(), "s1")
        self._server = server

    def call(self, name: str, args: dict[str, Any] | None = None, *, reply_within_s: float | None = None) -> BaseModel:
        try:
            return super().call(name, args, reply_within_s=reply_within_s)
        except ResetUnproven:
            self._server.stop()
            raise


def test_redis_that_is_away_when_an_unproven_reset_is_to_escalate_ends_no_worker(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.errors["reset"] = ResetUnproven("no proof")
    Watchdog(LossyClient(redis_server), NAMES, supervisor.control, Limits()).scheduled_reset()
    assert agent.rungs() == ["reset"]


# -- another container ------------------------------------------------------------------------------------------------


def hold_elsewhere(server: RedisServer, heartbeat_at: datetime) -> None:
    status = Status(
        session_id="s1",
        instance="i2",
        pid=1,
        epoch=2,
        started_at=heartbeat_at,
        heartbeat_at=heartbeat_at,
        state=SessionState.READY,
        since=heartbeat_at,
        verdict=Verdict.HEALTHY,
        verdict_reason="ready",
    )
    with server.client() as redis:
        redis.hset(SessionNames("s1").status, mapping=status.to_hash())


@pytest.mark.parametrize("says_so", [True, False])
def test_while_another_container_holds_the_session_nothing_is_done(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent, says_so: bool
) -> None:
    """What is bad is the other's agent: it is the one that answers."""
    before = supervisor.control.state(AGENT).pid
    agent.errors["check"] = PageTimeout("no answer")
    dog = watchdog(redis_server, supervisor)
    with redis_server.client() as redis:
        redis.hset(NAMES.start_owed, "cause", "")
        if says_so:
            redis.set(NAMES.aside, "i2")
        else:
            hold_elsewhere(redis_server, datetime.now(UTC))
        for _ in range(3):
            dog.check()
        agent.errors, agent.verdict = {}, Verdict.HEALTHY
        dog.scheduled_reset()
        assert redis.exists(NAMES.start_owed)
    environ = {"REDIS_URL": redis_server.url, "WHATSAPP_SESSION_ID": "s1", "INSTANCE_ID": "i1"}
    [finding] = look(Settings.from_env(environ), runs=True)
    assert (finding.level, "another container" in finding.found) == (Level.OK, True)
    assert agent.called == []
    assert supervisor.control.state(AGENT).pid == before


def test_a_container_that_held_the_session_once_and_is_gone_does_not_keep_this_one_from_its_work(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    hold_elsewhere(redis_server, datetime.now(UTC) - timedelta(minutes=5))
    agent.errors["check"] = PageTimeout("no answer")
    dog = watchdog(redis_server, supervisor)
    dog.check()
    dog.check()
    assert agent.rungs() == ["reload"]
